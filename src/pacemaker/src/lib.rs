//! Pacemaker without Pacemaker: the CIB parsed once into what fencing decides on, and the constraint that bans a DRBD
//! peer, built, read and compared by meaning. Invariant: pure; what the CIB does not say is never made up.

#![forbid(unsafe_code)]
