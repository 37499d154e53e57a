//! What the labs know about the truth: a guest that fits in a boot sector and numbers its writes
//! ([`guest`]), the record of what it confirmed ([`recorder`], [`stream`], [`syslog`]), the judge that
//! compares the record with the disk it wakes up on ([`judge`]), and the story of a failover told
//! from the same record ([`phase`], [`timeline`]). Invariant: judging and telling ask nobody, so
//! both can be repeated over a stored recording; only `guest`, `recorder` and `wait` touch the world.

mod error;
pub mod event;
pub mod finding;
pub mod guest;
pub mod judge;
pub mod phase;
pub mod recorder;
pub mod stream;
pub mod summary;
pub mod syslog;
pub mod timeline;
mod verdict;
pub mod wait;

pub use error::Error;
pub use event::{Event, Kind, Record};
pub use finding::{Doubt, Violation};
pub use judge::{Judge, Start, Verdict};
pub use recorder::{Journal, Recorder, Sources};
pub use stream::{Assembler, Line, Stamped};
pub use timeline::Timeline;
pub use wait::{TimedOut, eventually};
