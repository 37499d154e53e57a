//! Checks any agent executable against the OCF contract, with environments as clean as Pacemaker's. A check
//! passes, fails with a reason or says why it was skipped; it never hangs and never passes by default.
//!
//! Checks run the agent's meta-data, validate-all, monitor and unknown actions, and `start` with a
//! required parameter missing, which must refuse before it touches anything.
#![allow(clippy::disallowed_methods, reason = "tests look at files and directories")]

mod checks;
mod committed;
mod metadata;
mod schema;
mod subject;
mod xml;

pub use checks::{Finding, Verdict, check_all};
pub use committed::{assert_committed, check_committed};
pub use metadata::{Advertised, AdvertisedParameter, read as read_metadata};
pub use schema::validate;
pub use subject::{Invocation, Subject};
