//! The rules of both handlers, stated a second time and compared over the product of what can be seen; what must hold in
//! all of it; the situations one by one. Invariant: nothing here asks a kernel or a cluster, the world is data.

mod cases;
mod doubts;
mod ends;
mod every;
mod fence_product;
mod fence_rules;
mod properties;
mod situations;
mod stock;
mod unfence_product;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::*;
use crate::facts::{
    Cluster, Data, Kernel, Local, Member, Members, Peer, Policy, Rule, Seen, Standing, Volume,
};
use cases::*;
use every::*;
use reason::{Accepted, Kept, Strict};
