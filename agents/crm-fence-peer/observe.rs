//! One look: the CIB from the DC, and DRBD's state after it. Invariant: the kernel is asked after the CIB was read, so that a
//! change that is made to that CIB rests on a state that is younger; what could not be asked is said to be so.

pub(crate) mod kernel;
pub(crate) mod names;
pub(crate) mod policy;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use duet_drbd::handler::Call;
use duet_host::clock;
use duet_ocf::{Deadline, chain};
use duet_pacemaker::{self as model, Cib, CibError};

use self::{kernel::Sighted, names::Names};
use crate::{
    decide::Mode,
    facts::{Cluster, Kernel, Member, Members, Seen, Standing, Version},
    options::Options,
    pacemaker::Pacemaker,
    rule::Place,
    tools::Unanswered,
};

/// Who looks, and what it remembers from one look to the next.
#[derive(Debug)]
pub(crate) struct Observer<'a> {
    /// What for.
    pub(crate) mode: Mode,
    /// By whom it was called.
    pub(crate) call: &'a Call,
    /// How.
    pub(crate) options: &'a Options,
    /// When everything is over.
    pub(crate) end: Deadline,
    /// Whether all is looked at, also what does not matter to the answer.
    pub(crate) is_thorough: bool,
    limits: Limits,
    own_name: Option<String>,
    quorum: Option<Quorum>,
    /// By whom the cluster is asked.
    pub(crate) pacemaker: Pacemaker,
}

/// What this node last said of quorum.
#[derive(Debug, Clone, Copy)]
struct Quorum {
    has: bool,
    at: Duration,
}

/// So long an answer about quorum holds. Corosync takes longer than that to notice that a node is gone, and what it then
/// knows is in the CIB as well, which is read every time. A change of the CIB that is made while a partition is being cut
/// in two is taken on both sides, but only when the new membership has formed (measured: 3.4 s): quorum is asked for again after it.
const QUORUM_HOLDS: Duration = Duration::from_secs(1);

/// How long this node's own copy of the CIB may take, at least and at most.
const HERE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));

/// What one look found.
#[derive(Debug)]
pub(crate) struct Look {
    /// For the decision.
    pub(crate) seen: Seen,
    /// What DRBD said besides.
    pub(crate) sighted: Sighted,
    /// Where the rule is, in this CIB.
    pub(crate) place: Option<Place>,
}

/// How long the DC gets for an answer, each time longer. In tenths of a second, as the stock handler counts.
#[derive(Debug)]
struct Limits(u64);

impl Limits {
    fn next(&mut self) -> Duration {
        let limit = Duration::from_secs(self.0 / 10);
        self.0 = (self.0 * 5 / 4).min(600);
        limit
    }

    /// Of the last question.
    fn current(&self) -> Duration {
        Duration::from_secs((self.0 * 4 / 5 / 10).max(1))
    }
}

impl<'a> Observer<'a> {
    pub(crate) fn new(
        mode: Mode,
        call: &'a Call,
        options: &'a Options,
        end: Deadline,
    ) -> Observer<'a> {
        Observer {
            mode,
            call,
            options,
            end,
            is_thorough: false,
            limits: Limits(18),
            own_name: None,
            quorum: None,
            pacemaker: Pacemaker::new(options),
        }
    }

    /// Looks once.
    pub(crate) fn look(&mut self) -> Look {
        let limit = self.limits.next();
        let (document, quorum) = self.ask(limit);
        let cib = match document {
            Ok(document) => self.read(&document),
            Err(cluster) => Err(cluster),
        };
        // Where there is no rule, there is nothing to free, whatever DRBD says.
        let has_rule = cib.as_ref().is_ok_and(|place| place.rule().is_some());
        let sighted = match self.mode {
            Mode::Unfence if !has_rule && !self.is_thorough => {
                Sighted::bare(Kernel::Silent("it was not asked".to_owned()))
            }
            Mode::Fence | Mode::Unfence => kernel::look(&self.call.resource, self.end),
        };
        let (cluster, place) = match cib {
            Err(cluster) => (cluster, None),
            Ok(mut place) => match self.members(&mut place, &sighted, quorum) {
                Ok(members) => (Cluster::Known(members), Some(place)),
                Err(cluster) => (cluster, Some(place)),
            },
        };
        let kernel = sighted.kernel.clone();
        let seen = Seen { kernel, cluster, policy: None, elapsed: clock::now() };
        Look { seen, sighted, place }
    }

    /// The CIB; for fence what this node knows of quorum too, at the same time.
    fn ask(&mut self, limit: Duration) -> (Result<String, Cluster>, Option<Result<bool, String>>) {
        let (end, pacemaker) = (self.end, &self.pacemaker);
        let is_due = self.mode == Mode::Fence && self.quorum_known().is_none();
        let (document, quorum) = std::thread::scope(|scope| {
            let quorum = is_due.then(|| scope.spawn(move || pacemaker.quorum(end)));
            let document = pacemaker.cib_of_dc(limit, end);
            let lost = || Err("the question was lost".to_owned());
            (document, quorum.map(|thread| thread.join().unwrap_or_else(|_| lost())))
        });
        (document.map_err(|why| self.without_dc(&why)), quorum)
    }

    fn quorum_known(&self) -> Option<bool> {
        let known = self.quorum.filter(|it| clock::now().saturating_sub(it.at) < QUORUM_HOLDS);
        known.map(|known| known.has)
    }

    /// Whether this node sees quorum: by the answer of just now, or of just before, or by asking.
    fn sees_quorum(&mut self, answer: Option<Result<bool, String>>) -> Result<bool, String> {
        if let Some(has) = self.quorum_known() {
            return Ok(has);
        }
        let has = answer.unwrap_or_else(|| self.pacemaker.quorum(self.end))?;
        self.quorum = Some(Quorum { has, at: clock::now() });
        Ok(has)
    }

    /// Whether it is Pacemaker that is missing, or only a DC.
    fn without_dc(&self, why: &Unanswered) -> Cluster {
        match why {
            Unanswered::NotConnected(how) => Cluster::Unread(how.clone()),
            Unanswered::Other(how) => {
                match self.pacemaker.cib_of_here(self.left_for_here(), self.end) {
                    Ok(_) => Cluster::WithoutDc(how.clone()),
                    Err(_) => Cluster::Unread(how.clone()),
                }
            }
        }
    }

    /// What is left for this node's copy of what the call has for finding a DC, within bounds.
    fn left_for_here(&self) -> Duration {
        let left = Deadline::at(self.options.decision.dc_timeout).remaining(clock::now());
        left.clamp(HERE.0, HERE.1)
    }

    fn read(&self, document: &str) -> Result<Place, Cluster> {
        let cib = Cib::parse(document).map_err(|why| match why {
            // What a tool that was interrupted, or is none, prints may be better next time.
            CibError::TooLarge { .. }
            | CibError::TooDeep { .. }
            | CibError::CutOff
            | CibError::Malformed { .. }
            | CibError::NotACib(_)
            | CibError::Missing { .. }
            | CibError::Twice(_) => Cluster::Unread(chain(&why)),
            CibError::Unusable { .. } | CibError::Property { .. } | CibError::PropertyByRule(_) => {
                Cluster::Unusable(chain(&why))
            }
        })?;
        if cib.is_newer_than_known() {
            return Err(Cluster::Unusable(format!(
                "The CIB is of a newer Pacemaker than this program knows: schema {}, feature set {}",
                cib.validate_with().unwrap_or("none"),
                cib.feature_set().map(ToString::to_string).unwrap_or_default(),
            )));
        }
        Place::find(cib, &self.call.resource, self.options).map_err(Cluster::Unusable)
    }

    fn members(
        &mut self,
        place: &mut Place,
        sighted: &Sighted,
        quorum: Option<Result<bool, String>>,
    ) -> Result<Members, Cluster> {
        let me = self.call.node_id.or(sighted.node_id);
        let names = Names::of(self.call, me, sighted);
        let (cib, rule) = (place.cib(), place.rule());
        let is_idle = self.mode == Mode::Unfence && rule.is_none() && !self.is_thorough;
        let own = match &self.own_name {
            Some(name) => name.clone(),
            None if is_idle => names.own.first().cloned().unwrap_or_default(),
            None => names.own(cib, &self.pacemaker, self.end).map_err(|why| {
                Cluster::Unusable(format!("This node's name in the cluster is not known: {why}"))
            })?,
        };
        if !is_idle {
            self.own_name = Some(own.clone());
        }
        let sees_quorum = is_idle || self.sees_quorum(quorum).map_err(Cluster::Unread)?;
        let mut ids: BTreeSet<u32> = match &sighted.kernel {
            Kernel::Known(local) => local.peers.keys().copied().collect(),
            Kernel::Silent(_) | Kernel::Unconfigured => names.peers.keys().copied().collect(),
        };
        ids.extend(self.call.peer.as_ref().and_then(|peer| peer.node_id));
        let member = |id: u32| {
            let name = names.peer(id, &own, cib);
            let standing = name.as_ref().map_or(Standing::NotSeen, |name| standing(cib, name));
            (id, Member { name, standing, answers: None })
        };
        let peers: BTreeMap<u32, Member> = ids.into_iter().map(member).collect();
        let version = cib.version();
        let version = Version {
            admin_epoch: version.admin_epoch,
            epoch: version.epoch,
            num_updates: version.num_updates,
        };
        let has_quorum = cib.have_quorum() == Some(true) && sees_quorum;
        let has_stonith = cib.properties().stonith_enabled;
        let named = peers.iter().filter_map(|(id, peer)| Some((peer.name.clone()?, *id)));
        place.numbers = named.chain([(own.clone(), me.unwrap_or(0))]).collect();
        Ok(Members { version, has_quorum, has_stonith, me: own, rule, peers })
    }

    /// Asks the controllers of these peers, all at once, and notes what they say.
    pub(crate) fn ask_controllers(&self, look: &mut Look, ids: &BTreeSet<u32>) {
        let Cluster::Known(members) = &mut look.seen.cluster else { return };
        let (limit, end) = (self.limits.current() * 2, self.end);
        let named = ids.iter().filter_map(|id| Some((*id, members.peers.get(id)?.name.clone()?)));
        let (asked, names): (Vec<u32>, Vec<String>) = named.unzip();
        let answers = match &names[..] {
            [] => Vec::new(),
            names => self.pacemaker.controllers_answer(names, limit, end),
        };
        for (id, answers) in asked.iter().zip(answers) {
            if let Some(member) = members.peers.get_mut(id) {
                member.answers = Some(answers);
            }
        }
        // One without a name cannot be asked, and has not answered.
        for id in ids {
            if let Some(member) = members.peers.get_mut(id) {
                member.answers.get_or_insert(false);
            }
        }
        look.seen.elapsed = clock::now();
    }

    /// Asks for the fencing policy, and says why it could not be told.
    pub(crate) fn ask_policy(&self, look: &mut Look) -> Option<String> {
        let peer = self.call.peer.as_ref().map(|peer| peer.names.clone()).unwrap_or_default();
        let file = self.call.configuration.as_deref();
        let (policy, why) = policy::ask(&self.call.resource, file, &peer, self.end);
        look.seen.policy = Some(policy);
        look.seen.elapsed = clock::now();
        why
    }
}

fn standing(cib: &Cib, node: &str) -> Standing {
    match cib.standing(node) {
        model::Standing::Online => Standing::Online,
        model::Standing::Down => Standing::Down,
        model::Standing::WillBeFenced => Standing::WillBeFenced,
        model::Standing::Offline => Standing::Offline,
        model::Standing::NotSeen => Standing::NotSeen,
    }
}
