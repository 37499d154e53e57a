//! The rows of the decision tables, with the data that an administrator needs. Invariant: every answer has exactly one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an answer is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// Fenced: the rule bans all peers that are not good, and those asked about can be reached.
    BannedAndReachable,
    /// Fenced: the rule bans them, and was there before; they are down, confirmed.
    BannedBeforeAndDown,
    /// Fenced as far as can be without stonith: the rule bans them, and was there before.
    BannedBefore,
    /// Fenced: they are down, confirmed, and the rule bans them.
    BannedAndDown,
    /// Fenced by the administrator's choice: nobody confirmed their death.
    Unconfirmed {
        /// Why that is good enough here.
        accepted: Accepted,
    },
    /// Not fenced: nobody has confirmed the peer's death, and it may be writing.
    StillUnconfirmed {
        /// What keeps the code from being 5.
        strict: Strict,
    },
    /// Not fenced: own data is only Consistent, and peers that are down may have better.
    OnlyConsistent,
    /// Not fenced: own data is only Consistent, and peers that cannot be reached may have better.
    OnlyConsistentAndUnconfirmed,
    /// Not fenced: own data is no good.
    OwnDataBad,
    /// Not fenced: some volumes are UpToDate and some are not, and no code says that.
    OwnDataMixed,
    /// Not fenced: the peer is connected and UpToDate again.
    PeerIsBack,
    /// Not fenced: the peer was reached and refused, and may be Primary with data of its own.
    SplitBrain,
    /// Not fenced: the rule bans this node.
    Banned,
    /// Not fenced: no quorum.
    NoQuorum,
    /// Not fenced: the CIB could not be read.
    NoCib(String),
    /// Not fenced: no DC answered.
    NoDc(String),
    /// Not fenced: the cluster's configuration or state cannot be used.
    ClusterUnusable(String),
    /// Not fenced: the kernel does not have the resource.
    Unconfigured,
    /// Not fenced: the kernel could not be asked.
    KernelSilent(String),
    /// Not fenced: the call contradicts itself or the kernel.
    CallUnusable(String),
    /// Not fenced: the rule could not be written or removed.
    NotWritten(String),
    /// Unfence: there is no rule.
    NoRule,
    /// Unfence: the rule is gone, seen.
    Removed,
    /// Unfence: the rule allows those that are good, seen.
    Widened,
    /// Unfence: the rule is another node's.
    NotOwner,
    /// Unfence: somebody is still not good.
    Kept(Kept),
}

/// Why an unconfirmed peer is good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Accepted {
    /// Pacemaker has no stonith.
    NoStonith,
    /// The fencing policy is resource-only.
    ResourceOnly,
    /// `--on-timeout thaw`.
    OnTimeoutThaw,
    /// The operator said at a terminal that it is outdated.
    Operator,
}

/// Why an unconfirmed peer is not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Strict {
    /// The policy is resource-and-stonith, and there is stonith.
    ResourceAndStonith,
    /// The policy could not be told, and there is stonith.
    PolicyNotKnown,
}

/// Why a rule stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kept {
    /// Own data is not UpToDate.
    OwnData,
    /// Those that are good are allowed already.
    Nobody,
    /// It bans this node, which has to say nothing about others.
    BansMe,
    /// Another node is Primary or may become it, and may have lost a peer that this one has not.
    AnotherMayWrite,
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::BannedAndReachable => {
                out.write_str("the peer is reachable in the cluster and banned from promotion")
            }
            Reason::BannedBeforeAndDown => out.write_str(
                "the peer is down, confirmed, and has been banned from promotion since before",
            ),
            Reason::BannedBefore => out.write_str(
                "the peer has been banned from promotion since before; there is no stonith to confirm that it is down",
            ),
            Reason::BannedAndDown => {
                out.write_str("the peer is down, confirmed, and banned from promotion")
            }
            Reason::Unconfirmed { accepted } => {
                let why = match accepted {
                    Accepted::NoStonith => "stonith is disabled in this cluster",
                    Accepted::ResourceOnly => "the fencing policy is resource-only",
                    Accepted::OnTimeoutThaw => "--on-timeout thaw asks for that",
                    Accepted::Operator => "the operator declared it outdated",
                };
                write!(out, "nobody has confirmed that the peer is down; declared outdated all the same, because {why}")
            }
            Reason::StillUnconfirmed { strict } => {
                let why = match strict {
                    Strict::ResourceAndStonith => "",
                    Strict::PolicyNotKnown => " (the fencing policy could not be read)",
                };
                write!(
                    out,
                    "nobody has confirmed in time that the peer is down, and it may be writing{why}; frozen I/O stays frozen. See to it that the peer is off, confirm that with stonith_admin --confirm, have it banned by running this handler by hand, and only then run drbdadm resume-io"
                )
            }
            Reason::OnlyConsistent => out.write_str(
                "own data is only Consistent, and a peer that is down may have newer data",
            ),
            Reason::OnlyConsistentAndUnconfirmed => out.write_str(
                "own data is only Consistent, and a peer that cannot be reached may have newer data",
            ),
            Reason::OwnDataBad => out.write_str("own data is neither UpToDate nor Consistent"),
            Reason::OwnDataMixed => {
                out.write_str("some volumes of this node are UpToDate and others are not")
            }
            Reason::PeerIsBack => out.write_str("the peer is connected and UpToDate again"),
            Reason::SplitBrain => out.write_str(
                "the peer was reached and refused (split brain); it may be Primary with data of its own, and is not declared outdated",
            ),
            Reason::Banned => {
                out.write_str("a rule in the CIB bans this node itself from promotion")
            }
            Reason::NoQuorum => out.write_str("this node's partition of the cluster has no quorum"),
            Reason::NoCib(why) => write!(out, "the CIB could not be read: {why}"),
            Reason::NoDc(why) => write!(out, "no DC answered: {why}"),
            Reason::ClusterUnusable(why) | Reason::CallUnusable(why) => out.write_str(why),
            Reason::Unconfigured => out.write_str("DRBD does not have the resource on this node"),
            Reason::KernelSilent(why) => write!(out, "DRBD's state could not be read: {why}"),
            Reason::NotWritten(why) => write!(out, "the rule could not be changed: {why}"),
            Reason::NoRule => out.write_str("there is no rule"),
            Reason::Removed => out.write_str("all peers are UpToDate: the rule is removed"),
            Reason::Widened => {
                out.write_str("the rule now allows the peers that are UpToDate as well")
            }
            Reason::NotOwner => {
                out.write_str("the rule bans this node, so it is not this node's to remove")
            }
            Reason::Kept(why) => out.write_str(match why {
                Kept::OwnData => "the rule stays: own data is not UpToDate",
                Kept::Nobody => "the rule stays: it allows all peers that are UpToDate",
                Kept::BansMe => "the rule stays: it bans this node, and is for those to remove whom it allows",
                Kept::AnotherMayWrite => "the rule stays: another node is Primary or may become it, and it is for a Primary to say who misses nothing",
            }),
        }
    }
}
