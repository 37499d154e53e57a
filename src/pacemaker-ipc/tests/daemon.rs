//! The clients against this machine's own Pacemaker, where there is one: only questions are asked. Where there is none, or it is
//! no cluster with a DC, the test says "skipped" and why.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use duet_host::clock;
use duet_pacemaker_ipc::{CibClient, Controller, Scope, Sockets};
use std::{path::Path, time::Duration};

#[test]
fn the_machines_own_pacemaker_is_understood() {
    let deadline = || clock::within(Duration::from_secs(10));
    let sockets = Sockets::under(Path::new("/"));
    let mut cib = match CibClient::connect(&sockets, deadline()) {
        Ok(cib) => cib,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let here = cib.query(Scope::Local, deadline()).unwrap();
    assert!(here.starts_with("<cib ") && here.ends_with("</cib>"), "{here}");
    match cib.query(Scope::Cluster, deadline()) {
        Ok(all) => assert!(all.starts_with("<cib "), "{all}"),
        Err(why) => return eprintln!("skipped: {why}"),
    }
    let mut controller = Controller::connect(&sockets, deadline()).unwrap();
    let node = controller.node_info(deadline()).unwrap();
    assert_eq!(controller.are_well(&[node.name], deadline()).unwrap(), [true]);
}
