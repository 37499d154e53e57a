//! DRBD's handlers under Pacemaker. crm-fence-peer bans a peer that was lost from being promoted, and says whether that is
//! enough for DRBD to go on without it; crm-unfence-peer frees it when its data is good again.
//!
//! Invariant: `decide` is pure and has all safety rules; what it was given and what it said can be written down and
//! decided on again.
#![forbid(unsafe_code)]

pub mod decide;
pub mod explain;
pub mod facts;
pub mod hooks;
pub mod record;
