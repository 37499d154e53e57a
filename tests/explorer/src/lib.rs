//! Walks every interleaving of what can befall two or three nodes with DRBD, Pacemaker and our fencing handlers, whose
//! own functions decide at every turn. Invariant: what is decided here is decided by `crm_fence_peer::decide` and
//! `drbd::score`, unless a switch in [`world::Stock`] says otherwise.
#![forbid(unsafe_code)]

pub mod cluster;
pub mod handler;
pub mod invariant;
pub mod kernel;
pub mod model;
pub mod project;
pub mod state;
pub mod stock;
pub mod story;
pub mod walk;
pub mod world;
pub mod worlds;
