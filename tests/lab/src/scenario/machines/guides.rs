//! The guides, carried out: ours from its own text, by which the text cannot grow old, and the one for an NFS server.

mod follow;
mod nfs;

use super::{MINUTES, Row};
use crate::node_files::Init;
use crate::scenario::Scenario;

pub(super) fn table(scenario: Row) -> Vec<Scenario> {
    let bare = |scenario| Scenario { bare: true, bound: MINUTES(15), ..scenario };
    vec![
        // systemd, which the agent of the NFS server wants, as the scenario before it has.
        Scenario {
            init: Some(Init::Systemd),
            bound: MINUTES(15),
            ..scenario(
                "guide-nfs",
                "the guides' NFS server on DRBD moves, then its node loses power; no acknowledged line is lost",
                false,
                nfs::server,
            )
        },
        bare(scenario(
            "guide-sles",
            "docs/guide.md is typed into two fresh nodes, with crmsh: a protected guest, its address, a move, a power cut",
            true,
            follow::crmsh,
        )),
        bare(scenario("guide-pcs", "the same with pcs", true, follow::pcs)),
    ]
}
