//! The guides, carried out: ours from its own text, by which the text cannot grow old, and the one for an NFS server.

mod follow;

use super::{MINUTES, Row};
use crate::scenario::Scenario;

pub(super) fn table(scenario: Row) -> Vec<Scenario> {
    let bare = |scenario| Scenario { bare: true, bound: MINUTES(12), ..scenario };
    vec![
        bare(scenario(
            "guide-sles",
            "docs/guide.md is typed into two fresh nodes, with crmsh: a protected guest, its address, a move, a power cut",
            true,
            follow::crmsh,
        )),
        bare(scenario("guide-pcs", "the same with pcs", true, follow::pcs)),
    ]
}
