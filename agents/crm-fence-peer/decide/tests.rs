//! The rules of both handlers, stated a second time and compared over the product of what can be seen; what must hold in
//! all of it; the situations one by one. Invariant: nothing here asks a kernel or a cluster, the world is data.

mod cases;
mod doubts;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::*;
use crate::facts::{
    Cluster, Data, Kernel, Local, Member, Members, Peer, Policy, Rule, Seen, Standing, Volume,
};
use cases::*;
use reason::{Accepted, Kept, Strict};
