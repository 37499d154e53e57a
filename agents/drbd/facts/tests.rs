//! Facts are whole or none, from what was said and from nothing else.

use super::*;
use duet_drbd::events2;

const V8: Version = Version { major: 8, minor: 4, patch: 11 };
const V9: Version = Version { major: 9, minor: 2, patch: 16 };

/// The view after these lines of `drbdsetup events2`.
fn view(lines: &str) -> View {
    let mut view = View::default();
    for line in lines.lines() {
        view.apply(&events2::change(line).unwrap());
    }
    view
}

fn facts(lines: &str, version: Version) -> Result<Option<Facts>, Incomplete> {
    Facts::of("r0", &view(lines), version)
}

const WELL: &str = "exists resource name:r0 role:Secondary suspended:no\n\
     exists connection name:r0 peer-node-id:1 conn-name:node2 connection:Connected role:Secondary\n\
     exists device name:r0 volume:0 minor:0 disk:UpToDate client:no quorum:yes\n\
     exists peer-device name:r0 peer-node-id:1 conn-name:node2 volume:0 replication:Established peer-disk:UpToDate peer-client:no";

#[test]
fn a_whole_answer_is_facts() {
    let facts = facts(WELL, V9).unwrap().unwrap();
    assert!(!facts.is_primary() && facts.has_quorum() && facts.is_up_to_date());
    assert!(facts.all_peers_up_to_date() && !facts.is_unconfigured());
    assert_eq!(facts.peers[0].to_string(), "node2");
}

#[test]
fn another_resource_is_not_this_one() {
    let other = WELL.replace("name:r0", "name:r00");
    assert_eq!(facts(&other, V9), Ok(None));
    assert_eq!(facts("", V9), Ok(None));
}

#[test]
fn what_was_not_said_makes_no_facts() {
    let name = || "r0".to_owned();
    for (what, missing) in [
        (" role:Secondary suspended", Incomplete::Role { resource: name() }),
        (" disk:UpToDate", Incomplete::Disk { resource: name(), volume: 0 }),
        (" quorum:yes", Incomplete::Quorum { resource: name(), volume: 0 }),
    ] {
        let with = if what.contains("role") { " suspended" } else { "" };
        assert_eq!(facts(&WELL.replacen(what, with, 1), V9), Err(missing), "{what}");
    }
    for word in ["Unknown", "Leader"] {
        let said = WELL.replacen("role:Secondary", &format!("role:{word}"), 1);
        assert!(facts(&said, V9).is_err(), "{word}");
    }
    // 8.4 knows no quorum.
    assert!(facts(&WELL.replace(" quorum:yes", ""), V8).unwrap().unwrap().has_quorum());
}

#[test]
fn an_incomplete_answer_is_a_question_that_failed() {
    let kernel = Kernel::of("r0", &view(&WELL.replace(" disk:UpToDate", "")), V9);
    assert!(matches!(kernel, Kernel::Silent(_)), "{kernel:?}");
}

#[test]
fn a_volume_that_a_peer_does_not_have_is_not_good_there() {
    let two = format!(
        "{WELL}\nexists device name:r0 volume:1 minor:1 disk:UpToDate client:no quorum:yes"
    );
    let facts = facts(&two, V9).unwrap().unwrap();
    assert!(!facts.some_peer_up_to_date() && facts.some_peer_unknown());
}

#[test]
fn a_state_of_another_time_is_not_good() {
    let own = facts(&WELL.replacen("disk:UpToDate", "disk:Splendid", 1), V9).unwrap().unwrap();
    assert!(!own.is_up_to_date() && !own.is_consistent());
    let theirs = facts(&WELL.replace("peer-disk:UpToDate", "peer-disk:Splendid"), V9);
    let theirs = theirs.unwrap().unwrap();
    assert!(!theirs.some_peer_up_to_date() && theirs.some_peer_unknown());
}

#[test]
fn a_peer_counts_as_good_while_it_is_connected() {
    let gone = facts(&WELL.replace("connection:Connected", "connection:Connecting"), V9);
    assert!(!gone.unwrap().unwrap().some_peer_up_to_date());
}

#[test]
fn d2_a_client_has_quorum_or_not_like_any_other() {
    let client = WELL.replacen(
        "disk:UpToDate client:no quorum:yes",
        "disk:Diskless client:yes quorum:no",
        1,
    );
    let facts = facts(&client, V9).unwrap().unwrap();
    assert!(facts.is_client() && !facts.has_quorum());
}

#[test]
fn what_8_4_has_left_over_is_not_running() {
    let left = "exists resource name:r0 role:Secondary suspended:no\n\
         exists connection name:r0 peer-node-id:0 conn-name:peer connection:StandAlone role:Unknown\n\
         exists device name:r0 volume:0 minor:0 disk:Diskless";
    let unconfigured =
        |lines: &str, version| facts(lines, version).unwrap().unwrap().is_unconfigured();
    assert!(unconfigured(left, V8));
    assert!(!unconfigured(&left.replace("role:Secondary", "role:Primary"), V8));
    assert!(!unconfigured(&left.replace("StandAlone", "Connecting"), V8));
    assert!(!unconfigured(&left.replace("Diskless", "Failed"), V8));
    // Where somebody has detached one of two volumes, the other still runs.
    let two = format!("{left}\nexists device name:r0 volume:1 minor:1 disk:UpToDate");
    assert!(!unconfigured(&two, V8));
    // On 9 a client without connections is up.
    let client = left.replace("disk:Diskless", "disk:Diskless client:yes quorum:yes");
    assert!(!unconfigured(&client, V9));
    assert!(unconfigured("exists resource name:r0 role:Secondary suspended:no", V9));
}

#[test]
fn a_resource_of_8_4_without_volumes_is_nobodys_primary() {
    let bare = facts("exists resource name:r0 suspended:no", V8).unwrap().unwrap();
    assert!(!bare.is_primary() && bare.is_unconfigured());
    assert!(facts("exists resource name:r0 suspended:no", V9).is_err());
}

#[test]
fn the_only_peer_of_8_4_has_no_name() {
    let lines = WELL.replace("node2", "peer");
    let facts = facts(&lines, V9).unwrap().unwrap();
    assert_eq!(facts.peers[0].to_string(), "peer 1");
}
