//! The shooting handler on a stage: whom it shoots, and whom it does not. Invariant: each test names what it claims.

use duet_fake_tools::Answer;

use super::super::tests::{Stage, borrowed, recorded, resource, seen};
use super::*;

const NAME: &str = "stonith_admin-fence-peer.sh";
const OF_8_4: [(&str, &str); 2] = [("DRBD_RESOURCE", "r0"), ("DRBD_PEERS", "node1")];
const OF_9: [(&str, &str); 6] = [
    ("DRBD_RESOURCE", "r0"),
    ("DRBD_MY_NODE_ID", "1"),
    ("DRBD_PEER_NODE_ID", "0"),
    ("DRBD_NODE_ID_0", "node1"),
    ("DRBD_NODE_ID_1", "node2"),
    ("DRBD_CSTATE", "NetworkFailure"),
];

/// node2 has lost node1, and has good data.
fn stage() -> Stage {
    let mut stage = Stage::new();
    stage.sight = Ok(lost(Disk::UpToDate));
    stage.tools.answer("stonith_admin", "", Answer::success());
    stage
}

fn lost(disk: Disk) -> Sight {
    let mut resource = resource(disk, None);
    for peer in resource.peers.values_mut() {
        peer.connection = Connection::Connecting;
    }
    seen(resource)
}

fn with<'a>(
    environment: &[(&'a str, &'a str)],
    name: &'a str,
    value: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let others = environment.iter().copied().filter(|(other, _)| *other != name);
    others.chain([(name, value)]).collect()
}

#[test]
fn the_peer_is_shot_and_then_it_is_down() {
    for environment in [&OF_8_4[..], &OF_9[..]] {
        let stage = stage();
        let ran = stage.run(NAME, "", environment);
        assert_eq!(ran.code, 7, "{}", ran.log);
        let calls = stage.tools.calls_of("stonith_admin");
        assert_eq!(calls, ["--tolerance 5s --tag drbd --fence node1"]);
        let inputs = match environment.len() {
            2 => "me=- peer=- connection=-",
            _ => "me=1 peer=0 connection=NetworkFailure",
        };
        let begin = format!("INFO: fence-peer r0: {inputs} exit=7 after=");
        assert!(ran.log.starts_with(&begin), "{}", ran.log);
        assert!(ran.log.ends_with(" nodes=node1: fenced, confirmed by Pacemaker\n"), "{}", ran.log);
    }
}

#[test]
fn the_calls_of_real_drivers_are_understood() {
    for (folder, node, me, peer) in
        [("8.4", "", "node1", "node2"), ("9", "-node1", "node1", "node2")]
    {
        let mut stage = stage();
        stage.name = me.to_owned();
        let mut sight = lost(Disk::UpToDate);
        if let Sight::Seen { view, .. } = &mut sight {
            let r0 = view.resources.get_mut("r0").unwrap();
            let gone = r0.peers.remove(&0).unwrap();
            r0.peers.insert(u32::from(folder == "9"), gone);
        }
        let stage = stage.seeing(Ok(sight));
        let ran = stage.run(NAME, "", &borrowed(&recorded(folder, node, "fence-peer")));
        assert_eq!(ran.code, 7, "{folder}: {}", ran.log);
        assert!(stage.tools.calls_of("stonith_admin")[0].ends_with(peer));
    }
}

#[test]
fn all_nodes_of_a_stacked_peer_are_shot_and_one_failure_is_a_failure() {
    let environment = with(&OF_8_4, "DRBD_PEERS", "node3 node4");
    let stage = stage();
    assert_eq!(stage.run(NAME, "", &environment).code, 7);
    assert_eq!(stage.tools.calls_of("stonith_admin").len(), 2);
    stage.tools.answers(
        "stonith_admin",
        "",
        [Answer::success(), Answer::fails(1, "Could not fence node4: No such device\n")],
    );
    let ran = stage.run(NAME, "", &environment);
    assert_eq!(ran.code, 1);
    assert!(ran.log.contains("node4 was not fenced: stonith_admin exited with 1"), "{}", ran.log);
}

#[test]
fn nobody_is_shot_in_doubt() {
    let back = seen(resource(Disk::UpToDate, None));
    let mut diskless = resource(Disk::Diskless, None);
    diskless.peers.clear();
    diskless.volumes.values_mut().for_each(|volume| volume.client = Some(true));
    let good = || Ok(lost(Disk::UpToDate));
    for (environment, sight, why) in [
        (vec![], good(), "DRBD_RESOURCE is not set"),
        (vec![OF_8_4[0]], good(), "DRBD_PEERS is not set"),
        (with(&OF_8_4, "DRBD_PEERS", " "), good(), "DRBD_PEERS is not set"),
        (with(&OF_8_4, "DRBD_PEERS", "--reboot"), good(), "\"--reboot\" is no node"),
        (with(&OF_8_4, "DRBD_PEERS", "node1 NODE2"), good(), "NODE2 is this node itself"),
        (with(&OF_9, "DRBD_PEER_NODE_ID", ""), good(), "DRBD_PEER_NODE_ID is not set"),
        (with(&OF_9, "DRBD_PEER_NODE_ID", "1"), good(), "DRBD_PEER_NODE_ID is this node's own id"),
        (with(&OF_9, "DRBD_PEER_NODE_ID", "one"), good(), "is not a number"),
        (with(&OF_9, "DRBD_NODE_ID_0", ""), good(), "DRBD_NODE_ID_0 is not set"),
        (with(&OF_9, "DRBD_NODE_ID_0", "node2"), good(), "node2 is this node itself"),
        (with(&OF_9, "DRBD_CSTATE", "Disconnecting"), good(), "split brain"),
        (OF_9.to_vec(), Ok(lost(Disk::Consistent)), "volume 0 is Consistent here"),
        (OF_9.to_vec(), Ok(lost(Disk::Outdated)), "volume 0 is Outdated here"),
        (OF_9.to_vec(), Ok(lost(Disk::Negotiating)), "volume 0 is Negotiating here"),
        (OF_9.to_vec(), Ok(seen(diskless)), "this node has no disk"),
        (OF_9.to_vec(), Ok(back), "the peer is connected again"),
        (OF_9.to_vec(), Ok(Sight::NoModule), "DRBD's module is not loaded"),
        (OF_9.to_vec(), Err("it hangs".to_owned()), "it hangs"),
        (with(&OF_9, "DRBD_RESOURCE", "r1"), good(), "DRBD does not have the resource"),
    ] {
        let stage = stage().seeing(sight);
        let ran = stage.run(NAME, "", &environment);
        assert_eq!((ran.code, stage.tools.calls().len()), (1, 0), "{why}: {}", ran.log);
        assert!(
            ran.log.starts_with("ERROR: fence-peer ") && ran.log.contains(why),
            "{why}: {}",
            ran.log
        );
    }
}

#[test]
fn without_stonith_admin_nothing_is_said_of_the_peer() {
    let stage = stage();
    stage.tools.remove("stonith_admin");
    let ran = stage.run(NAME, "", &OF_8_4);
    assert_eq!(ran.code, 1);
    assert!(ran.log.contains("Could not find the program stonith_admin"), "{}", ran.log);
}

#[test]
fn a_fencer_or_a_kernel_that_hangs_ends_in_not_fenced() {
    let mut stage = stage();
    stage.haste = 50;
    stage.tools.answer("stonith_admin", "", Answer::hangs());
    let ran = stage.run(NAME, "", &OF_8_4);
    assert_eq!(ran.code, 1);
    assert!(ran.log.contains("node1 was not fenced: stonith_admin "), "{}", ran.log);
    assert!(ran.took < Duration::from_secs(60), "{:?}", ran.took);
    stage.tools.forget();
    stage.pause = Duration::from_secs(300);
    let ran = stage.run(NAME, "", &OF_8_4);
    assert_eq!((ran.code, stage.tools.calls().len()), (1, 0), "{}", ran.log);
    assert!(ran.took < Duration::from_secs(60), "{:?}", ran.took);
}
