//! What a look makes of a migration's end and of who is at the target, which is the client library's test driver. Nothing here
//! reaches a libvirt of this machine.
#![allow(clippy::disallowed_methods, reason = "tests write what the driver reads")]

use std::sync::mpsc::sync_channel;

use duet_domain::{State, Uuid};
use duet_ocf::{Action, Deadline, Environment, Request, Values, VirtualHost};

use super::*;
use crate::{
    overlay::Overlay, process::Processes, snapshot::Seen, strangers::Strangers, upkeep::Upkeep,
};

fn config() -> Config {
    let environment = Environment::default()
        .with("OCF_RESOURCE_INSTANCE", "web")
        .with("OCF_RESKEY_config", "/srv/web.xml")
        .with("OCF_RESKEY_hypervisor", "test:///nowhere")
        .with("OCF_RESKEY_CRM_meta_migrate_target", "node2")
        .with("OCF_RESKEY_remoteuri", "test:///nowhere");
    let request = Request::new(Action::MigrateTo, environment);
    let values =
        Values::read(&crate::spec::SPEC, &request, Action::MigrateTo.strictness()).unwrap();
    Config::read(&request, &values).unwrap()
}

fn domain(name: &str, uuid: [u8; 16]) -> observe::Domain {
    observe::Domain {
        reference: DomainRef { name: name.into(), uuid: Uuid::from_bytes(uuid), id: 1 },
        state: State::from_numbers(1, 1),
        has_memory_image: false,
    }
}

fn seen(ours: Option<observe::Domain>) -> Observation {
    Observation {
        document: observe::Document::NotNeeded,
        remembered: Some(Identity { name: "web".into(), uuid: Some(Uuid::from_bytes([9; 16])) }),
        unclear: None,
        unfinished: None,
        libvirt: observe::Answer::Known { ours, namesake: None },
        processes: Processes::NotLooked,
        upkeep: Upkeep::default(),
        snapshot: Seen::NotAsked,
        strangers: Strangers::NotLooked,
        overlay: Overlay::NotWanted,
        migration: None,
    }
}

/// One look at a time of our choice, with an end that comes between its two halves.
fn look(run: &mut Run, at: u64, meanwhile: impl FnOnce(&VirtualHost)) -> Sight {
    let config = config();
    let plan = config.migration.plan.clone().unwrap();
    let mut host = VirtualHost::default();
    let deadline = Deadline::at(Duration::from_secs(100));
    host.pass(Duration::from_secs(at));
    run.notice_the_end(&Turn::new(&mut host, deadline));
    meanwhile(&host);
    let seen = seen(Some(domain("web", [1; 16])));
    run.look(&config, &plan, &seen, &mut Turn::new(&mut host, deadline))
}

#[test]
fn a_migration_that_ends_after_the_source_was_asked_has_not_ended_in_this_look() {
    let (tell, told) = sync_channel(1);
    let mut run = Run { ending: Some(told), ..Run::default() };
    let sight = look(&mut run, 1, |_| tell.send(Ok(())).unwrap());
    assert_eq!(sight.job, Job::Running { first_pass_done: false });
    // However long the questions take, what was seen at their beginning is not settled by them.
    let sight = look(&mut run, 2, |host| host.pass(Duration::from_secs(8)));
    assert_eq!((sight.job, sight.ended_for), (Job::Succeeded, Duration::ZERO));
    assert_eq!(look(&mut run, 9, |_| ()).ended_for, Duration::from_secs(7));
}

/// A target with one running domain.
fn target(name: &str, uuid: [u8; 16]) -> (tempfile::NamedTempFile, Box<dyn Library>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let uuid = Uuid::from_bytes(uuid);
    let node = format!(
        "<node><domain type='test'><name>{name}</name><uuid>{uuid}</uuid><memory>8192</memory>\
         <os><type>hvm</type></os></domain></node>"
    );
    std::fs::write(file.path(), node).unwrap();
    let uri = format!("test://{}", file.path().display());
    let library = (duet_libvirt::CLIENT_LIBRARY.open)(&uri, QUESTION).unwrap();
    (file, library)
}

/// Who was started here according to what is remembered has the UUID 9; who runs here and is sent there, 1.
#[test]
fn the_target_is_asked_for_who_is_sent_there() {
    for (name, uuid, before, after) in [
        ("web", [1; 16], true, true),
        ("shop", [1; 16], true, true),
        // In the way of it, and never taken for it.
        ("web", [9; 16], true, false),
        ("shop", [9; 16], false, false),
    ] {
        for (ended, expected) in [
            (None, before),
            (Some(Job::Succeeded), after),
            (Some(Job::Failed("no".into())), after),
            (Some(Job::Lost("gone".into())), after),
        ] {
            let (_file, library) = target(name, uuid);
            let migrated = ended.as_ref().map(|_| domain("web", [1; 16]).reference);
            let verdict = Some(None);
            let target = Some(library);
            let mut run = Run { target, verdict, migrated, ended, ..Run::default() };
            let sight = look(&mut run, 1, |_| ());
            let Target::Known { domain, refusal: None } = sight.target else {
                panic!("{:?}", sight.target)
            };
            let found = domain.map(|domain| (domain.reference.name, domain.reference.uuid));
            let expected = expected.then(|| (name.to_owned(), Uuid::from_bytes(uuid)));
            assert_eq!(found, expected, "{:?}", sight.job);
        }
    }
}

#[test]
fn a_question_takes_what_is_left_and_the_last_look_asks_too() {
    for (at, limit) in [(0, 10_000), (89, 10_000), (97, 3_000), (100, 50), (120, 50)] {
        let mut host = VirtualHost::default();
        host.pass(Duration::from_secs(at));
        let turn = Turn::new(&mut host, Deadline::at(Duration::from_secs(100)));
        assert_eq!(question(&turn), Duration::from_millis(limit), "{at}");
    }
}
