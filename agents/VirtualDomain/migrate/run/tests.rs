//! What a look makes of a migration's end. Nothing here reaches a libvirt of this machine.

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
