//! The world as stateright walks it: initial state, steps, and the invariants as properties. Invariant: every step that is
//! offered changes something, so a path is a story.

use stateright::{Model, Property};

use crate::{
    cluster, handler,
    invariant::{self, Name},
    kernel,
    state::{Cib, Disk, Handler, Known, Late, Link, Node, Phase, State, each, has, one, pair},
    world::{Start, World},
};

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The application writes.
    Write(usize),
    /// A replication link is cut.
    Cut(usize, usize),
    /// It carries again.
    Plug(usize, usize),
    /// All replication links of a node are cut at once.
    Pull(usize),
    /// Cluster communication loses this node.
    Split(usize),
    /// It is whole again.
    Merge,
    /// corosync forms this node's membership anew.
    Form(usize),
    /// A node loses power by itself.
    Crash(usize),
    /// A node is switched on.
    Boot(usize),
    /// Its DRBD is brought up.
    Start(usize),
    /// Its second volume is attached.
    Attached(usize),
    /// A node notices that it has lost a peer.
    Notice(usize, usize),
    /// Two nodes connect.
    Connect(usize, usize),
    /// A resync from the second to the first is over.
    Finish(usize, usize),
    /// The second is fenced by the first's partition.
    Fence(usize, usize),
    /// Pacemaker begins a promotion.
    Promote(usize),
    /// The kernel comes to the next point of a promotion.
    Barrier(usize),
    /// A node is demoted.
    Demote(usize),
    /// A node is shut down in order.
    ShutDown(usize),
    /// A monitor calls unfence-peer.
    Monitor(usize),
    /// DRBD is unloaded on a node.
    Unload(usize),
    /// A handler looks at the CIB.
    Look(usize, usize),
    /// It looks at the kernel, and decides.
    Decide(usize, usize),
    /// It hears from the controllers that it asked.
    Answer(usize, usize),
    /// Its change arrives.
    Commit(usize, usize),
    /// It ends.
    End(usize, usize),
    /// Its clock has moved on.
    Jump(usize, usize),
    /// It is killed.
    Kill(usize, usize),
    /// Nobody answers for its change.
    Lose(usize, usize),
    /// A change of one that was killed arrives.
    Arrive,
}

impl World {
    fn first(&self) -> State {
        let is_crashed = self.start == Start::Crashed;
        let all = self.all();
        let node = |me: usize| {
            let link = |peer: usize| {
                if peer == me || peer >= self.nodes || is_crashed {
                    Link::DOWN
                } else {
                    Link { is_up: true, is_primary: peer == 0, disk: Known::Good, ..Link::DOWN }
                }
            };
            let is_real = me < self.nodes;
            Node {
                is_on: is_real,
                is_up: is_real,
                is_attaching: is_real && is_crashed && self.has_second_volume,
                is_primary: me == 0 && !is_crashed,
                is_noted: false,
                is_promoting: false,
                disk: if is_crashed { Disk::Consistent } else { Disk::UpToDate },
                history: 0,
                peers: [0, 1, 2].map(link),
                members: if is_real { all } else { 0 },
                has_seen_all: is_real,
                cib: Cib {
                    rule: match self.start {
                        Start::Returned => Some(all & !one(self.nodes - 1)),
                        Start::AllReturned => Some(one(0)),
                        Start::Running | Start::Crashed => None,
                    },
                    epoch: 0,
                    down: 0,
                },
                handlers: [0, 1, 2].map(|place| match place == me && is_real {
                    true if matches!(self.start, Start::Returned | Start::AllReturned) => {
                        let mask = Some(all).filter(|_| !self.is_eight);
                        Handler { phase: Phase::Called, mask, ..Handler::IDLE }
                    }
                    true | false => Handler::IDLE,
                }),
            }
        };
        State {
            nodes: [0, 1, 2].map(node),
            cut: 0,
            split: 0,
            acked: 0,
            alone: 0,
            writes: 0,
            late: Late { change: None, is_stale: false },
            left: self.left,
            broken: 0,
        }
    }

    /// The state after this step.
    #[must_use]
    pub fn step(&self, state: &State, action: Action) -> State {
        let mut next = *state;
        let s = &mut next;
        match action {
            Action::Write(node) => kernel::write(self, s, node),
            Action::Cut(node, peer) => {
                s.left.cuts -= 1;
                s.cut |= one(pair(node, peer));
            }
            Action::Plug(node, peer) => s.cut &= !one(pair(node, peer)),
            Action::Pull(node) => {
                s.left.cuts -= 1;
                for peer in each(self.all() & !one(node)) {
                    s.cut |= one(pair(node, peer));
                }
            }
            Action::Split(node) => {
                s.left.splits -= 1;
                s.split = u8::try_from(node + 1).expect("three at most");
            }
            Action::Merge => s.split = 0,
            Action::Form(node) => cluster::form(self, s, node),
            Action::Crash(node) => {
                s.left.crashes -= 1;
                cluster::power_off(self, s, node);
            }
            Action::Boot(node) => {
                s.left.boots -= 1;
                cluster::boot(s, node);
            }
            Action::Start(node) => kernel::up(self, s, node),
            Action::Attached(node) => s.nodes[node].is_attaching = false,
            Action::Notice(node, peer) => kernel::notice(self, s, node, peer),
            Action::Connect(node, peer) => kernel::connect(self, s, node, peer),
            Action::Finish(target, source) => kernel::finish(self, s, target, source),
            Action::Fence(node, victim) => cluster::fence(self, s, node, victim),
            Action::Promote(node) => {
                s.left.promotions -= 1;
                cluster::promote(self, s, node);
            }
            Action::Barrier(node) => kernel::barrier(self, s, node),
            Action::Demote(node) => {
                s.left.orders -= 1;
                s.nodes[node].is_primary = false;
                cluster::bump(self, s, node);
            }
            Action::ShutDown(node) => {
                s.left.orders -= 1;
                cluster::shut_down(self, s, node);
            }
            Action::Monitor(node) => {
                s.left.monitors -= 1;
                s.nodes[node].handlers[node] = Handler { phase: Phase::Called, ..Handler::IDLE };
            }
            Action::Unload(node) => {
                s.left.unloads -= 1;
                kernel::gone(s, node);
            }
            Action::Look(node, place) => handler::look(self, s, node, place),
            Action::Decide(node, place) => {
                let seen = handler::looked(self, s, node, place);
                handler::decide(self, s, node, place, seen);
            }
            Action::Answer(node, place) => {
                let seen = handler::answered(self, s, node, place);
                handler::decide(self, s, node, place, seen);
            }
            Action::Commit(node, place) => handler::commit(self, s, node, place),
            Action::End(node, place) => {
                if let Phase::Ends { code, is_excused } = s.nodes[node].handlers[place].phase {
                    kernel::code(self, s, node, place, code, is_excused);
                }
            }
            Action::Jump(node, place) => {
                s.left.jumps -= 1;
                s.nodes[node].handlers[place].clock += 1;
            }
            Action::Kill(node, place) => {
                s.left.kills -= 1;
                handler::kill(self, s, node, place);
            }
            Action::Lose(node, place) => {
                s.left.kills -= 1;
                handler::lose(s, node, place);
            }
            Action::Arrive => handler::arrive(self, s),
        }
        kernel::settle(self, s);
        invariant::check_state(self, s);
        next
    }

    fn of_node(&self, s: &State, node: usize, out: &mut Vec<Action>) {
        let it = &s.nodes[node];
        let mut when = |is: bool, action: Action| {
            if is {
                out.push(action);
            }
        };
        let others = self.all() & !one(node);
        if !it.is_on {
            when(s.left.boots > 0, Action::Boot(node));
            return;
        }
        let is_first = each(cluster::company(self, s, node)).next() == Some(node);
        when(kernel::can_write(s, node), Action::Write(node));
        let is_formed =
            each(cluster::company(self, s, node)).all(|member| cluster::is_formed(self, s, member));
        when(is_first && !is_formed, Action::Form(node));
        when(s.left.crashes > 0, Action::Crash(node));
        let can_start = !it.is_up && cluster::has_quorum(self, s, node);
        when(can_start && cluster::is_formed(self, s, node), Action::Start(node));
        when(it.is_attaching, Action::Attached(node));
        let can_promote = s.left.promotions > 0 && cluster::can_promote(self, s, node);
        when(can_promote, Action::Promote(node));
        let is_called = it.handlers.iter().enumerate().any(|(at, h)| at != node && h.runs());
        when(it.is_promoting && !is_called, Action::Barrier(node));
        let is_calm = !it.is_frozen() && !it.is_promoting;
        when(s.left.orders > 0 && it.is_primary && is_calm, Action::Demote(node));
        when(s.left.orders > 0 && it.is_up && !it.is_primary && is_calm, Action::ShutDown(node));
        let is_quiet = !it.handlers[node].runs();
        let is_good = it.is_primary && it.disk == Disk::UpToDate;
        when(s.left.monitors > 0 && is_quiet && is_good, Action::Monitor(node));
        when(s.left.unloads > 0 && it.is_up && !it.is_primary && is_calm, Action::Unload(node));
        for peer in each(others) {
            when(kernel::can_notice(s, node, peer), Action::Notice(node, peer));
            when(kernel::can_finish(s, node, peer), Action::Finish(node, peer));
            when(cluster::can_fence(self, s, node, peer), Action::Fence(node, peer));
        }
        for place in 0..self.nodes {
            let handler = &it.handlers[place];
            when(handler::can_look(self, s, node, place), Action::Look(node, place));
            let can_jump = matches!(handler.phase, Phase::Called | Phase::Look)
                && usize::from(handler.clock) + 1 < crate::state::CLOCK.len();
            when(can_jump && s.left.jumps > 0, Action::Jump(node, place));
            when(handler.is_at_work() && s.left.kills > 0, Action::Kill(node, place));
            let is_sent = matches!(handler.phase, Phase::Commits(_)) && s.late.change.is_none();
            when(is_sent && s.left.kills > 0, Action::Lose(node, place));
            match handler.phase {
                Phase::Idle | Phase::Called | Phase::Look => {}
                Phase::SeenCib => when(true, Action::Decide(node, place)),
                Phase::Asks => when(true, Action::Answer(node, place)),
                Phase::Commits(_) => when(true, Action::Commit(node, place)),
                Phase::Ends { .. } => when(true, Action::End(node, place)),
            }
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut first = self.first();
        kernel::settle(self, &mut first);
        vec![first]
    }

    fn actions(&self, s: &State, out: &mut Vec<Action>) {
        // What comes after a violation is another story.
        if s.broken != 0 {
            return;
        }
        for node in 0..self.nodes {
            self.of_node(s, node, out);
            for peer in node + 1..self.nodes {
                let is_cut = has(s.cut, pair(node, peer));
                if is_cut {
                    out.push(Action::Plug(node, peer));
                } else if s.left.cuts > 0 {
                    out.push(Action::Cut(node, peer));
                }
                if kernel::can_connect(s, node, peer) {
                    out.push(Action::Connect(node, peer));
                }
            }
            if self.nodes > 2 && s.left.cuts > 0 && s.cut == 0 {
                out.push(Action::Pull(node));
            }
            if s.split == 0 && s.left.splits > 0 && (self.nodes > 2 || node == 0) {
                out.push(Action::Split(node));
            }
        }
        if s.split != 0 {
            out.push(Action::Merge);
        }
        if s.late.change.is_some_and(|(from, _)| {
            s.nodes[usize::from(from)].is_on && cluster::is_formed(self, s, usize::from(from))
        }) {
            out.push(Action::Arrive);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let next = self.step(state, action);
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn holds<const BIT: u8>(_: &World, state: &State) -> bool {
            state.broken & BIT == 0
        }
        vec![
            Property::always(Name::NoDivergence.text(), holds::<1>),
            Property::always(Name::NoStalePromotion.text(), holds::<2>),
            Property::always(Name::SingleWriter.text(), holds::<4>),
            Property::always(Name::HonestCodes.text(), holds::<8>),
            Property::always(Name::MonotoneBan.text(), holds::<16>),
            Property::always(Name::BoundedFreeze.text(), holds::<32>),
            Property::always(Name::ScoreNeedsData.text(), holds::<64>),
            Property::always(Name::FirmBan.text(), holds::<128>),
        ]
    }
}
