//! What can be asked, seen and remembered, in words, and the facts that each word stands for. node1 (0) decides, node2
//! (1) is the peer of the call, node3 (2) is there where a case says so.

use super::*;

/// What node1's volumes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    U,
    C,
    Bad,
    UandC,
    UandBad,
    CandBad,
    Client,
    ClientAndU,
    ClientAndBad,
    None,
}

/// How a peer stands with node1's DRBD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Gone,
    /// Connected, and short of UpToDate.
    Behind,
    Good,
    /// Connected and UpToDate, and Primary.
    GoodPrimary,
    ClientHere,
    ClientGone,
    /// Not connected, and said to be UpToDate all the same.
    Ghost,
}

/// What the cluster says of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Unasked,
    Answers,
    Mute,
    Down,
    Will,
    Offline,
    NotSeen,
    /// Down, it is said, of whatever node this is not known to be.
    Nameless,
    /// Not a word.
    Missing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Is {
    Secondary,
    Primary,
    Frozen,
}

/// Who asks, and with what mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// 9, for node2, the mask as a kernel makes it: node1, and node3 if there is one.
    Nine,
    /// 9, for node2, with a mask that is late: everybody.
    NineAll,
    /// 9, with a mask of node1 alone.
    NineAlone,
    NineWithoutMe,
    NineWithoutMask,
    /// A mask without an id of one's own.
    MaskOnly,
    /// For a peer that DRBD does not have.
    Stranger,
    /// For oneself.
    Myself,
    /// 8.4, or by hand: for whoever is lost.
    Eight,
    /// 9 by hand, for whoever is lost.
    NineWhoever,
}

/// Whom the rule in the CIB allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ban {
    No,
    Me,
    Loud,
    MeAndPeer,
    MeAndThird,
    Everybody,
    MeAndStranger,
    PeerOnly,
    Nobody,
}

/// What this call did before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Did {
    Nothing,
    Waited,
    /// Placed a rule where none was, to answer so.
    Placed(Code),
    PlacedForOperator,
    /// Tightened one that was there, to answer 4.
    Tightened,
    Conflicts,
    Failed(u8),
}

/// Options that are not the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum With {
    Nothing,
    Thaw,
    Cts,
    Operator,
    /// 30 s.
    Hickup,
    Suicide,
    Owner,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) own: Own,
    pub(super) is: Is,
    pub(super) link: Link,
    pub(super) third: Option<(Link, Fate)>,
    pub(super) fate: Fate,
    pub(super) call: Call,
    pub(super) refused: bool,
    pub(super) ban: Ban,
    pub(super) quorum: bool,
    pub(super) stonith: bool,
    pub(super) policy: Option<Policy>,
    /// In seconds.
    pub(super) at: u64,
    pub(super) with: With,
    pub(super) did: Did,
}

/// node1 is UpToDate, Primary and frozen, and has lost node2, whose controller has not been asked yet.
pub(super) const LOST: Case = Case {
    own: Own::U,
    is: Is::Frozen,
    link: Link::Gone,
    third: None,
    fate: Fate::Unasked,
    call: Call::Nine,
    refused: false,
    ban: Ban::No,
    quorum: true,
    stonith: true,
    policy: None,
    at: 0,
    with: With::Nothing,
    did: Did::Nothing,
};

pub(super) const VERSION: Version = Version { admin_epoch: 0, epoch: 7, num_updates: 3 };

impl Own {
    pub(super) fn volumes(self) -> BTreeMap<u32, Volume> {
        let disk = |data| Volume { data, is_client: false };
        let client = Volume { data: Data::Bad, is_client: true };
        let volumes = match self {
            Own::U => vec![disk(Data::UpToDate)],
            Own::C => vec![disk(Data::Consistent)],
            Own::Bad => vec![disk(Data::Bad)],
            Own::UandC => vec![disk(Data::UpToDate), disk(Data::Consistent)],
            Own::UandBad => vec![disk(Data::Bad), disk(Data::UpToDate)],
            Own::CandBad => vec![disk(Data::Consistent), disk(Data::Bad)],
            Own::Client => vec![client],
            Own::ClientAndU => vec![client, disk(Data::UpToDate)],
            Own::ClientAndBad => vec![disk(Data::Bad), client],
            Own::None => Vec::new(),
        };
        (0..).zip(volumes).collect()
    }
}

impl Link {
    pub(super) fn peer(self) -> Peer {
        Peer {
            is_connected: !matches!(self, Link::Gone | Link::ClientGone | Link::Ghost),
            is_primary: self == Link::GoodPrimary,
            is_up_to_date: matches!(self, Link::Good | Link::GoodPrimary | Link::Ghost),
            is_client: matches!(self, Link::ClientHere | Link::ClientGone),
        }
    }
}

impl Fate {
    pub(super) fn member(self, name: &str) -> Option<Member> {
        let (standing, answers) = match self {
            Fate::Unasked => (Standing::Online, None),
            Fate::Answers => (Standing::Online, Some(true)),
            Fate::Mute => (Standing::Online, Some(false)),
            Fate::Down | Fate::Nameless => (Standing::Down, None),
            Fate::Will => (Standing::WillBeFenced, None),
            Fate::Offline => (Standing::Offline, None),
            Fate::NotSeen => (Standing::NotSeen, None),
            Fate::Missing => return None,
        };
        let name = (self != Fate::Nameless).then(|| name.to_owned());
        Some(Member { name, standing, answers })
    }
}

impl Ban {
    pub(super) fn rule(self) -> Option<Rule> {
        let allowed: &[&str] = match self {
            Ban::No => return None,
            Ban::Me => &["node1"],
            Ban::Loud => &["NODE1"],
            Ban::MeAndPeer => &["node1", "node2"],
            Ban::MeAndThird => &["node1", "node3"],
            Ban::Everybody => &["node1", "node2", "node3"],
            Ban::MeAndStranger => &["node1", "elsewhere"],
            Ban::PeerOnly => &["node2"],
            Ban::Nobody => &[],
        };
        Some(Rule { allowed: names(allowed) })
    }
}

impl Case {
    pub(super) fn asked(&self, mode: Mode) -> Asked {
        let third = self.third.is_some().then_some(2);
        let mask = |ids: &[u32]| Some(Mask(ids.iter().copied().chain(third).collect()));
        let (me, peer, mask) = match self.call {
            Call::Nine => (Some(0), Some(1), mask(&[0])),
            Call::NineAll => (Some(0), Some(1), mask(&[0, 1])),
            Call::NineAlone => (Some(0), Some(1), Some(Mask(BTreeSet::from([0])))),
            Call::NineWithoutMe => (Some(0), Some(1), Some(Mask(BTreeSet::from([1])))),
            Call::NineWithoutMask => (Some(0), Some(1), None),
            Call::MaskOnly => (None, Some(1), mask(&[0])),
            Call::Stranger => (Some(0), Some(7), mask(&[0])),
            Call::Myself => (Some(0), Some(0), mask(&[0])),
            Call::Eight => (None, None, None),
            Call::NineWhoever => (Some(0), None, mask(&[0, 1])),
        };
        let options = match self.with {
            With::Nothing => Options::default(),
            With::Thaw => Options { on_timeout: OnTimeout::Thaw, ..Options::default() },
            With::Cts => Options { cts_mode: true, ..Options::default() },
            With::Operator => Options { unreachable_is_outdated: true, ..Options::default() },
            With::Hickup => Options { hickup: Duration::from_secs(30), ..Options::default() },
            With::Suicide => Options { suicide: true, ..Options::default() },
            With::Owner => Options { only_if_owner: true, ..Options::default() },
        };
        let is_refused = self.refused;
        Asked {
            mode,
            resource: "r0".into(),
            me,
            peer,
            is_refused,
            mask,
            late: Late::Nothing,
            options,
        }
    }

    pub(super) fn seen(&self) -> Seen {
        let mut peers = BTreeMap::from([(1, self.link.peer())]);
        let mut fates: BTreeMap<u32, Member> = BTreeMap::new();
        fates.extend(self.fate.member("node2").map(|member| (1, member)));
        if let Some((link, fate)) = self.third {
            peers.insert(2, link.peer());
            fates.extend(fate.member("node3").map(|member| (2, member)));
        }
        let local = Local {
            is_primary: self.is != Is::Secondary,
            is_frozen: self.is == Is::Frozen,
            volumes: self.own.volumes(),
            peers,
        };
        let members = Members {
            version: VERSION,
            has_quorum: self.quorum,
            has_stonith: self.stonith,
            me: "node1".into(),
            rule: self.ban.rule(),
            peers: fates,
        };
        Seen {
            kernel: Kernel::Known(local),
            cluster: Cluster::Known(members),
            policy: self.policy,
            elapsed: Duration::from_secs(self.at),
        }
    }

    pub(super) fn progress(&self) -> Progress {
        let placed = |then, because, is_new| {
            let placed = Some(Placed { then, because, is_new });
            Progress { placed, ..Progress::default() }
        };
        let for_reason = |accepted| Reason::Unconfirmed { accepted };
        match self.did {
            Did::Nothing => Progress::default(),
            Did::Waited => Progress { has_waited: true, ..Progress::default() },
            Did::Placed(Code::PeerDown) => placed(Code::PeerDown, Reason::BannedAndDown, true),
            Did::Placed(Code::PeerUnreachable) => {
                placed(Code::PeerUnreachable, for_reason(Accepted::NoStonith), true)
            }
            Did::Placed(Code::NotFenced) => placed(Code::NotFenced, Reason::SplitBrain, true),
            Did::Placed(code @ (Code::Done | Code::PeerBanned)) => {
                placed(code, Reason::BannedAndReachable, true)
            }
            Did::PlacedForOperator => {
                placed(Code::PeerUnreachable, for_reason(Accepted::Operator), true)
            }
            Did::Tightened => placed(Code::PeerBanned, Reason::BannedAndReachable, false),
            Did::Conflicts => Progress { conflicts: 3, ..Progress::default() },
            Did::Failed(times) => {
                let failures = (0..times).map(|_| "cibadmin said no".to_owned()).collect();
                Progress { failures, ..Progress::default() }
            }
        }
    }

    pub(super) fn fence(&self) -> Next {
        fence(&self.asked(Mode::Fence), &self.seen(), &self.progress())
    }

    pub(super) fn unfence(&self) -> Next {
        unfence(&self.asked(Mode::Unfence), &self.seen(), &self.progress())
    }
}

/// The answer, where there is one already.
pub(super) fn done(next: Next) -> Answer {
    match next {
        Next::Done(answer) => answer,
        next => panic!("no answer yet: {next:#?}"),
    }
}

/// Whom a rule that is to be written allows.
pub(super) fn written(next: Next) -> BTreeSet<String> {
    match next {
        Next::Do(Step::Write { allowed, .. }) => allowed,
        next => panic!("no rule is written: {next:#?}"),
    }
}

pub(super) fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
