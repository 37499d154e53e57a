//! A counterexample as a table that a person can read: step by step, who did what, and how each node was after it.
//! Invariant: the reason of a decision is the program's own text.

use std::fmt::Write as _;

use crm_fence_peer::decide::{Next, Question};
use stateright::Model;

use crate::{
    handler,
    model::Action,
    project::{self, Verdict, name},
    state::{Change, Disk, Handler, Known, Phase, Set, State, each, has},
    walk::{Counterexample, replay},
    world::World,
};

/// The story of it.
#[must_use]
pub fn story(world: &World, found: &Counterexample) -> String {
    let states = replay(world, &found.actions).unwrap_or_else(|| world.init_states());
    let mut out = format!("Violated: {}\n\n", found.name.text());
    let mut rows = vec![row(world, "", "", "the beginning", &states[0])];
    for (at, action) in found.actions.iter().enumerate() {
        let (Some(before), Some(after)) = (states.get(at), states.get(at + 1)) else { break };
        let (who, what) = told(world, before, *action);
        rows.push(row(world, &(at + 1).to_string(), &who, &what, after));
    }
    let mut head = vec!["#".to_owned(), "who".to_owned(), "what".to_owned()];
    head.extend((0..world.nodes).map(name));
    head.extend(["allowed".to_owned(), "acknowledged".to_owned()]);
    rows.insert(0, head);
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    for row in &rows {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(out, "{}", line.join(" | ").trim_end());
    }
    out
}

/// What the columns mean.
pub const LEGEND: &str = "\
Of each node: off, or without DRBD, or Primary/Secondary; its disk; the writes on it, as letters; its view of its peers: + connected, \
? lost, ! outdated, x refused; whether I/O is frozen. \"allowed\" is the rule of each copy of the CIB that there is.";

fn row(world: &World, at: &str, who: &str, what: &str, state: &State) -> Vec<String> {
    let mut cells = vec![at.to_owned(), who.to_owned(), what.to_owned()];
    cells.extend((0..world.nodes).map(|node| node_text(world, state, node)));
    let mut copies: Vec<(String, String)> = Vec::new();
    for node in 0..world.nodes {
        let rule = state.nodes[node].cib.rule.map_or("all".to_owned(), |set| numbers(world, set));
        match copies.iter_mut().find(|(text, _)| *text == rule) {
            Some((_, whose)) => {
                let _ = write!(whose, "{}", node + 1);
            }
            None => copies.push((rule, (node + 1).to_string())),
        }
    }
    let rules: Vec<String> = match copies.len() {
        1 => copies.into_iter().map(|(rule, _)| rule).collect(),
        _ => copies.into_iter().map(|(rule, whose)| format!("{rule} (on {whose})")).collect(),
    };
    cells.push(rules.join(", "));
    cells.push(letters(state.acked));
    cells
}

fn node_text(world: &World, state: &State, node: usize) -> String {
    let it = &state.nodes[node];
    let disk = match it.disk {
        Disk::Inconsistent => "Inconsistent",
        Disk::Outdated => "Outdated",
        Disk::Consistent => "Consistent",
        Disk::UpToDate => "UpToDate",
    };
    let data = letters(it.history);
    if !it.is_on {
        return format!("off [{data}]");
    }
    if !it.is_up {
        return format!("no DRBD [{data}]");
    }
    let role = if it.is_primary { "Primary" } else { "Secondary" };
    let peers: Vec<String> = each(world.all())
        .filter(|peer| *peer != node)
        .map(|peer| {
            let link = &it.peers[peer];
            let mark = match link.disk {
                _ if link.is_refused => 'x',
                _ if link.is_up => '+',
                Known::Bad => '!',
                Known::Unknown | Known::Good => '?',
            };
            format!("{mark}{}", peer + 1)
        })
        .collect();
    let frozen = if it.is_frozen() { " frozen" } else { "" };
    let attaching = if it.is_attaching { " attaching" } else { "" };
    format!("{role} {disk}{attaching} [{data}] {}{frozen}", peers.join(" "))
}

fn letters(set: Set) -> String {
    each(set).map(|write| char::from(b'a' + u8::try_from(write).unwrap_or(0))).collect()
}

fn numbers(world: &World, set: Set) -> String {
    let names: Vec<_> =
        each(world.all()).filter(|n| has(set, *n)).map(|n| (n + 1).to_string()).collect();
    names.join("+")
}

fn told(world: &World, before: &State, action: Action) -> (String, String) {
    let plain = |node: usize, what: &str| (name(node), what.to_owned());
    let of = |node: usize, place: usize| {
        let fence = || format!("{} fence({})", name(node), name(place));
        if node == place { format!("{} unfence", name(node)) } else { fence() }
    };
    match action {
        Action::Write(node) => plain(node, "the application writes"),
        Action::Cut(a, b) => {
            ("cable".into(), format!("{} - {}: replication is cut", name(a), name(b)))
        }
        Action::Plug(a, b) => {
            ("cable".into(), format!("{} - {}: replication is back", name(a), name(b)))
        }
        Action::Pull(node) => ("cable".into(), format!("{} loses all replication", name(node))),
        Action::Split(node) => ("cable".into(), format!("the cluster loses {}", name(node))),
        Action::Merge => ("cable".into(), "the cluster is whole again".into()),
        Action::Form(node) => plain(node, "forms a new membership"),
        Action::Crash(node) => plain(node, "loses power"),
        Action::Boot(node) => plain(node, "is switched on"),
        Action::Start(node) => plain(node, "starts DRBD"),
        Action::Attached(node) => plain(node, "has attached the second volume"),
        Action::Notice(node, peer) => plain(node, &format!("notices that {} is lost", name(peer))),
        Action::Connect(a, b) => plain(a, &format!("and {} shake hands", name(b))),
        Action::Finish(target, source) => {
            plain(target, &format!("has caught up with {}", name(source)))
        }
        Action::Fence(_, victim) => {
            ("fencing".into(), format!("{} is shot, confirmed", name(victim)))
        }
        Action::Promote(node) => plain(node, "is chosen for promotion"),
        Action::Barrier(node) => {
            let after = world.step(before, action);
            plain(
                node,
                match () {
                    () if after.nodes[node].is_primary => "is promoted",
                    () if after.nodes[node].is_promoting => {
                        "has fence-peer called for its promotion"
                    }
                    () => "is refused promotion by its kernel",
                },
            )
        }
        Action::Demote(node) => plain(node, "is demoted"),
        Action::ShutDown(node) => plain(node, "is shut down in order"),
        Action::Monitor(node) => plain(node, "has its monitor call unfence-peer"),
        Action::Unload(node) => plain(node, "has DRBD unloaded"),
        Action::Look(node, place) => (of(node, place), "looks at the CIB".into()),
        Action::Decide(node, place) => {
            let seen = handler::looked(world, before, node, place);
            (of(node, place), format!("looks at the kernel: {}", says(world, node, place, &seen)))
        }
        Action::Answer(node, place) => {
            let seen = handler::answered(world, before, node, place);
            (of(node, place), format!("has asked: {}", says(world, node, place, &seen)))
        }
        Action::Commit(node, place) => {
            let handler = &before.nodes[node].handlers[place];
            let after = world.step(before, action).nodes[node].handlers[place].memory;
            let Phase::Commits(change) = handler.phase else { return plain(node, "commits") };
            let is_made = after.failures == handler.memory.failures
                && (!handler.is_stale || change == Change::Bump);
            let what = change_text(world, change);
            let how =
                if is_made || !handler.is_stale { "" } else { ", refused: the CIB has moved on" };
            (of(node, place), format!("{what}{how}"))
        }
        Action::End(node, place) => match before.nodes[node].handlers[place].phase {
            Phase::Ends { code, .. } => (of(node, place), format!("exits with {code}")),
            _ => (of(node, place), "ends".into()),
        },
        Action::Jump(node, place) => (of(node, place), "waits long, or its clock jumps".into()),
        Action::Kill(node, place) => (of(node, place), "is killed".into()),
        Action::Lose(node, place) => {
            (of(node, place), "hears nothing of its change, which is on its way".into())
        }
        Action::Arrive => ("CIB".into(), "the change that nobody waits for arrives".into()),
    }
}

fn change_text(world: &World, change: Change) -> String {
    match change {
        Change::Write { allowed, .. } => {
            format!("writes the rule: allowed {}", numbers(world, allowed))
        }
        Change::Remove => "removes the rule".to_owned(),
        Change::Bump => "gives the CIB a newer version".to_owned(),
    }
}

fn says(world: &World, node: usize, place: usize, seen: &Handler) -> String {
    let next = project::next(world, node, place, seen);
    let verdict = project::verdict(world, node, place, seen);
    match (verdict, &next) {
        (Verdict::Ask(whom), Next::Ask(Question::Controllers(_))) => {
            format!("asks the controllers of {}", numbers(world, whom))
        }
        (Verdict::Ask(_), _) => "asks".to_owned(),
        (Verdict::Do(change), _) => format!("will: {}", change_text(world, change)),
        (Verdict::Wait { .. }, _) => "waits".to_owned(),
        (Verdict::Done(code), Next::Done(answer)) if answer.code.number() == code => {
            format!("{code}: {}", answer.reason)
        }
        (Verdict::Done(code), _) => format!("{code}, by the stock rule"),
    }
}
