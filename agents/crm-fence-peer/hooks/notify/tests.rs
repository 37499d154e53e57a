//! Mails on a stage. Invariant: each test names what it claims.
#![allow(clippy::disallowed_methods, reason = "tests look at files themselves")]

use std::time::Duration;

use duet_drbd::Disk;
use duet_fake_tools::Answer;

use super::super::tests::{Stage, borrowed, recorded, resource, seen};

const NAME: &str = "notify-split-brain.sh";

/// Whatever is sent is taken, and can be read.
fn stage() -> Stage {
    let stage = Stage::new();
    for tool in ["mail", "sendmail"] {
        stage.tools.add(tool);
        stage.tools.answer(tool, "", Answer::success());
        let script = format!("cat >{}\n", stage.at("sent").display());
        stage.tools.on(tool, "", &script);
    }
    stage
}

fn sent(stage: &Stage) -> String {
    std::fs::read_to_string(stage.at("sent")).unwrap()
}

/// The arguments of the only call of mail.
fn arguments(stage: &Stage) -> Vec<String> {
    let calls = stage.tools.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls[0].clone()
}

#[test]
fn a_split_brain_is_told_to_root_with_what_to_do() {
    let stage = stage();
    let ran = stage.run(NAME, "", &borrowed(&recorded("9", "-node2", "split-brain")));
    assert_eq!(ran.code, 0, "{}", ran.log);
    let subject = "DRBD: split brain: r0/0 (/dev/drbd0) on node2";
    assert_eq!(arguments(&stage), ["mail", "-s", subject, "root"]);
    assert_eq!(ran.log, format!("ERROR: {subject} (mail to root)\n"));
    let sent = sent(&stage);
    for part in [
        "node2 and node1 (10.78.0.1) have both written to r0/0 (/dev/drbd0) without each other.",
        "  drbdadm connect --discard-my-data r0\n",
        "\nPeer: node1 (10.78.0.1)\n",
        "\nConfiguration: /etc/drbd.conf\n",
        "\n  Secondary here\n  volume 0: Outdated here\n  node1: Connected, Primary\n",
        "\n  node1, volume 0: UpToDate, 4096 KiB differ\n",
    ] {
        assert!(sent.contains(part), "{part:?} is not in\n{sent}");
    }
}

#[test]
fn the_calls_of_real_drivers_are_understood() {
    for (folder, node, event, peer) in [
        ("8.4", "", "split-brain", "node2 (10.78.0.2)"),
        ("9", "-node2", "initial-split-brain", "node1 (10.78.0.1)"),
        ("9", "-disk-failure-node1", "local-io-error", ""),
    ] {
        let stage = stage();
        let name = format!("notify-{event}");
        let ran = stage.run(&name, "", &borrowed(&recorded(folder, node, event)));
        assert_eq!(ran.code, 0, "{folder} {event}: {}", ran.log);
        assert!(sent(&stage).contains(peer), "{folder} {event}: {}", sent(&stage));
        assert_eq!(sent(&stage).contains("\nPeer: "), !peer.is_empty());
    }
}

#[test]
fn every_name_has_a_subject_of_its_own() {
    let names = [
        "notify.sh",
        "notify-emergency-reboot.sh",
        "notify-emergency-shutdown.sh",
        "notify-io-error.sh",
        "notify-out-of-sync.sh",
        "notify-pri-lost-after-sb.sh",
        "notify-pri-lost.sh",
        "notify-pri-on-incon-degr.sh",
        "notify-split-brain.sh",
        "notify-initial-split-brain",
        "notify-quorum-lost",
        "notify-disconnected",
    ];
    let mut subjects = std::collections::BTreeSet::new();
    for name in names {
        let stage = stage();
        assert_eq!(stage.run(name, "", &[("DRBD_RESOURCE", "r0")]).code, 0, "{name}");
        subjects.insert(arguments(&stage)[2].clone());
    }
    assert_eq!(subjects.len(), names.len(), "{subjects:?}");
}

#[test]
fn the_last_argument_says_to_whom() {
    for (arguments_, expected) in [
        ("", vec!["root"]),
        ("admin@example.org", vec!["admin@example.org"]),
        ("-l daemon root@localhost", vec!["root@localhost"]),
        ("--logfacility=mail -- ops", vec!["ops"]),
        ("one two", vec!["two"]),
        ("--colour one", vec!["one"]),
        ("-- -Sexpandaddr", vec!["root"]),
    ] {
        let stage = stage();
        assert_eq!(stage.run(NAME, arguments_, &[("DRBD_RESOURCE", "r0")]).code, 0);
        assert_eq!(arguments(&stage)[3..], expected, "{arguments_}");
    }
}

#[test]
fn several_can_be_told_with_one_argument() {
    let stage = stage();
    let recipients = super::recipients(
        &super::super::Host {
            tools: String::new(),
            root: stage.root(),
            look: Box::new(|_| Err(String::new())),
            log: Box::new(|_, _| {}),
            haste: 1,
            name: String::new(),
        },
        Some(&"root  ops@example.org -f".to_owned()),
    );
    assert_eq!(recipients, ["root", "ops@example.org"]);
}

#[test]
fn without_a_resource_nobody_is_told_and_that_is_a_failure() {
    for environment in [&[][..], &[("DRBD_RESOURCE", "")], &[("DRBD_VOLUME", "0")]] {
        let stage = stage();
        let ran = stage.run(NAME, "", environment);
        assert_eq!((ran.code, stage.tools.calls().len()), (1, 0));
        assert!(ran.log.contains("DRBD_RESOURCE is not set"), "{}", ran.log);
        // Where a failure would end the connection for good, it is none.
        assert_eq!(stage.run("notify-before-resync-target", "", environment).code, 0);
    }
}

#[test]
fn variables_that_cannot_be_read_keep_nobody_from_being_told() {
    for (name, value) in [
        ("DRBD_MINOR", "zero"),
        ("DRBD_PEER_NODE_ID", "-1"),
        ("UP_TO_DATE_NODES", "many"),
        ("DRBD_NODE_ID_77", "x"),
    ] {
        let stage = stage();
        let ran = stage.run(NAME, "", &[("DRBD_RESOURCE", "r0"), (name, value)]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.log);
        let part = format!("\nNot all that DRBD said was understood: {name}=");
        assert!(sent(&stage).contains(&part), "{}", sent(&stage));
    }
}

#[test]
fn a_subject_is_one_line_whatever_things_are_called() {
    let stage = stage();
    let name = "r0\nBcc: everybody@example.org\u{1b}[2J";
    stage.run(NAME, "", &[("DRBD_RESOURCE", name), ("DRBD_PEERS", &"x".repeat(5000))]);
    let subject = &arguments(&stage)[2];
    assert!(!subject.chars().any(char::is_control) && subject.chars().count() <= 200, "{subject}");
}

#[test]
fn without_mail_it_is_sendmail_and_the_message_has_its_headers() {
    let stage = stage();
    stage.tools.remove("mail");
    let ran = stage.run(NAME, "ops@example.org", &[("DRBD_RESOURCE", "r0\nBcc: x")]);
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(arguments(&stage), ["sendmail", "-i", "--", "ops@example.org"]);
    let sent = sent(&stage);
    let (head, _) = sent.split_once("\n\n").unwrap();
    assert!(
        head.starts_with("To: ops@example.org\nSubject: DRBD: split brain: r0; Bcc: x on node2\n")
    );
    assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
}

#[test]
fn without_any_mail_system_it_is_in_the_log_and_a_failure() {
    let stage = stage();
    stage.tools.remove("mail");
    stage.tools.remove("sendmail");
    let ran = stage.run(NAME, "", &[("DRBD_RESOURCE", "r0")]);
    assert_eq!(ran.code, 1);
    let text =
        "ERROR: DRBD: split brain: r0 on node2; no mail: neither mail nor sendmail is installed\n";
    assert_eq!(ran.log, text);
    assert_eq!(stage.run("notify-before-resync-source.sh", "", &[("DRBD_RESOURCE", "r0")]).code, 0);
}

#[test]
fn a_mail_system_that_fails_or_hangs_holds_nobody_up() {
    let mut stage = stage();
    stage.tools.answer("mail", "", Answer::fails(75, "queue is full\n"));
    let ran = stage.run(NAME, "", &[("DRBD_RESOURCE", "r0")]);
    assert_eq!(ran.code, 1);
    assert!(ran.log.contains("no mail: exited with 75: queue is full"), "{}", ran.log);
    stage.tools.answer("mail", "", Answer::hangs());
    stage.haste = 10;
    let ran = stage.run(NAME, "", &[("DRBD_RESOURCE", "r0")]);
    assert_eq!(ran.code, 1);
    assert!(ran.took < Duration::from_secs(60), "{:?}", ran.took);
    assert!(ran.log.contains("split brain: r0 on node2; no mail: "), "{}", ran.log);
}

#[test]
fn a_kernel_that_cannot_be_asked_keeps_nobody_from_being_told() {
    let stage = stage().seeing(Err("it hangs".into()));
    assert_eq!(stage.run(NAME, "", &[("DRBD_RESOURCE", "r0")]).code, 0);
    assert!(sent(&stage).contains("  It could not be asked: it hangs\n"));
    let stage = stage.seeing(Ok(seen(resource(Disk::UpToDate, None))));
    assert_eq!(stage.run("notify-out-of-sync.sh", "", &[("DRBD_RESOURCE", "r9")]).code, 0);
    assert!(sent(&stage).contains("  It does not have the resource\n"));
}
