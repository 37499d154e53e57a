//! The kernel's messages as three drivers sent them, beside what drbdsetup said of the same moment. Invariant: every
//! recorded message is read, and reads as the words beside it.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    unsafe_code,
    reason = "tests read recordings and measure; an allocator that counts"
)]

mod altered;
mod made;
mod recorded;
mod states;
mod stories;
mod words;
