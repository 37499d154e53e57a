//! The client against what a real libvirtd 9.0 said, and against what libvirt's own client asked.
//! Invariant: the same question is the same bytes, apart from the serial that counts the calls.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that talks over a socket"
)]

use std::{io::Write, os::unix::net::UnixStream, path::Path, time::Duration};

use duet_domain::{PausedReason, RunningReason, ShutOffReason, State};
use duet_fake_tools::{Scripted, read_frame, recorded};
use duet_libvirt_rpc::{
    Client, Code, CreateFlags, DefineFlags, DomainRef, Driver, Error, Hypervisor, SaveFlags,
    ShutdownFlags, UndefineFlags, XmlFlags,
};

const SERIAL: std::ops::Range<usize> = 20..24;

/// Which words of the question differ between virsh's flags and ours, and why that is fine.
fn mask(name: &str, frame: &mut [u8]) {
    frame[SERIAL].fill(0);
    let flags = frame.len() - 4;
    match name {
        // virsh says --mode acpi and --graceful, we leave the way to libvirt.
        "shutdown" | "shutdown-refused" | "destroy" => frame[flags..].fill(0),
        _ => {}
    }
}

/// Answers exactly the recorded questions in this order.
fn replay(names: &'static [&'static str]) -> Scripted {
    Scripted::start(move |mut stream: UnixStream| {
        for name in ["auth-list", "open"].iter().chain(names) {
            let exchange = recorded(name);
            let Some(asked) = read_frame(&mut stream) else { return };
            let (mut expected, mut found) = (exchange.question, asked.clone());
            mask(name, &mut expected);
            mask(name, &mut found);
            if found != expected {
                // The client sees the connection close, and its test fails with both on stderr.
                eprintln!("{name}: asked {found:02x?}\nvirsh asked {expected:02x?}");
                return;
            }
            let mut answer = exchange.answer;
            answer[SERIAL].copy_from_slice(&asked[SERIAL]);
            stream.write_all(&answer).unwrap();
        }
    })
}

fn open(directory: &Path) -> Client {
    Client::open(Driver::Qemu, "qemu:///system", directory, Duration::from_secs(5)).unwrap()
}

/// The domain as the recording's other frames name it.
fn tiny1(name: &str) -> DomainRef {
    let question = recorded(name).question;
    DomainRef::decode(&mut duet_libvirt_rpc::xdr::Reader::new(&question[28..])).unwrap()
}

#[test]
fn lookups_find_the_recorded_domain() {
    let server = replay(&["lookup-by-name", "lookup-by-uuid", "lookup-by-name-missing", "close"]);
    let mut client = open(server.directory());
    let by_name = client.lookup_by_name("tiny1").unwrap();
    assert_eq!(by_name.name, "tiny1");
    assert_eq!(by_name.uuid.to_string(), "c7a5fdbd-edaf-9455-926a-d65c16db1809");
    assert_eq!(client.lookup_by_uuid(by_name.uuid).unwrap().uuid, by_name.uuid);
    let missing = client.lookup_by_name("tiny1").unwrap_err();
    assert!(matches!(missing, Error::NoDomain(_)), "{missing}");
    assert!(missing.to_string().contains("no domain with matching name 'tiny1'"), "{missing}");
    client.close();
}

#[test]
fn states_come_with_their_reasons() {
    for (name, expected) in [
        ("state-1-1", State::Running(RunningReason::Booted)),
        ("state-1-5", State::Running(RunningReason::Unpaused)),
        ("state-3-1", State::Paused(PausedReason::User)),
        ("state-5-0", State::ShutOff(ShutOffReason::Unknown)),
    ] {
        let one: &'static [&'static str] = Box::leak(Box::new([name]));
        let server = replay(one);
        assert_eq!(open(server.directory()).state(&tiny1(name)).unwrap(), expected);
    }
}

#[test]
fn sizes_and_flags_are_read() {
    let server = replay(&["info", "is-persistent", "has-managed-save"]);
    let mut client = open(server.directory());
    let info = client.info(&tiny1("info")).unwrap();
    assert_eq!((info.max_memory_kib, info.memory_kib, info.vcpus), (32768, 32768, 1));
    assert!(!client.is_persistent(&tiny1("is-persistent")).unwrap());
    assert!(!client.has_managed_save_image(&tiny1("has-managed-save")).unwrap());
}

#[test]
fn descriptions_and_lists_are_read() {
    let server = replay(&["describe"]);
    let xml = open(server.directory()).describe(&tiny1("describe"), false).unwrap();
    assert_eq!(duet_domain::Definition::parse(xml.as_bytes()).unwrap().name, "tiny1");
}

#[test]
fn a_list_has_every_domain() {
    // virsh leaves nothing out either, but says so with flags for active and inactive.
    let list = Scripted::start(|mut stream| {
        for name in ["auth-list", "open", "list"] {
            let Some(asked) = read_frame(&mut stream) else { return };
            let mut answer = recorded(name).answer;
            answer[SERIAL].copy_from_slice(&asked[SERIAL]);
            stream.write_all(&answer).unwrap();
        }
    });
    let domains = open(list.directory()).list().unwrap();
    let names: Vec<_> = domains.iter().map(|domain| domain.name.as_str()).collect();
    assert_eq!(names, ["tiny1"]);
}

/// The XML that was recorded with the creation.
fn created_xml() -> String {
    let question = recorded("create").question;
    duet_libvirt_rpc::xdr::Reader::new(&question[28..]).string().unwrap().to_owned()
}

#[test]
fn creation_answers_with_the_domain_or_says_why_not() {
    let server = replay(&["create", "create-active-already"]);
    let mut client = open(server.directory());
    assert_eq!(client.create(&created_xml()).unwrap().name, "tiny1");
    let error = client.create(&created_xml()).unwrap_err();
    assert!(matches!(error, Error::OperationInvalid(_)), "{error}");
    let server = replay(&["create-name-taken"]);
    let error = open(server.directory()).create(&created_xml()).unwrap_err();
    assert_eq!(error.fault().map(|fault| fault.code), Some(Code::OperationFailed), "{error}");
    assert!(error.to_string().contains("already exists with uuid"), "{error}");
}

#[test]
fn a_paused_guest_refuses_to_shut_down() {
    let server = replay(&["suspend", "shutdown-refused", "resume", "shutdown", "destroy"]);
    let mut client = open(server.directory());
    client.suspend(&tiny1("suspend")).unwrap();
    let refused = client.request_shutdown(&tiny1("shutdown-refused")).unwrap_err();
    assert!(matches!(refused, Error::OperationInvalid(_)), "{refused}");
    client.resume(&tiny1("resume")).unwrap();
    client.request_shutdown(&tiny1("shutdown")).unwrap();
    client.destroy(&tiny1("destroy")).unwrap();
}

#[test]
fn undefining_keeps_nvram() {
    let server = replay(&["undefine"]);
    let mut client = open(server.directory());
    client.undefine(&tiny1("undefine"), UndefineFlags::KEEP_NVRAM).unwrap();
}

#[test]
fn memory_is_saved_described_and_restored() {
    let server = replay(&["save", "describe-image", "restore", "state-restored"]);
    let mut client = open(server.directory());
    let file = Path::new("/srv/tiny1.state");
    client.save(&tiny1("save"), file, SaveFlags::RUNNING).unwrap();
    let xml = client.describe_saved(file).unwrap();
    assert_eq!(duet_domain::Definition::parse(xml.as_bytes()).unwrap().name, "tiny1");
    client.restore(file, SaveFlags::RUNNING).unwrap();
    let state = client.state(&tiny1("state-restored")).unwrap();
    assert_eq!(state, State::Running(RunningReason::Restored));
}

#[test]
fn an_image_that_is_not_whole_is_refused_in_libvirts_words() {
    let server = replay(&["save-disk-full", "restore-incomplete", "restore-cut-off"]);
    let mut client = open(server.directory());
    let full = Path::new("/srv/full/tiny1.state");
    let error = client.save(&tiny1("save-disk-full"), full, SaveFlags::RUNNING).unwrap_err();
    assert!(error.to_string().contains("No space left on device"), "{error}");
    for (file, words) in [("partial", "save image is incomplete"), ("cut", "migration failed")] {
        let error = client.restore(&Path::new("/srv").join(file), SaveFlags::RUNNING).unwrap_err();
        assert!(error.fault().is_some() && error.to_string().contains(words), "{error}");
    }
}

#[test]
fn there_is_no_job_to_abort() {
    let server = replay(&["abort-job-none"]);
    let error = open(server.directory()).abort_job(&tiny1("abort-job-none")).unwrap_err();
    assert!(matches!(error, Error::OperationInvalid(_)), "{error}");
}

#[test]
fn a_guest_agent_is_asked_by_its_flag() {
    let server = replay(&["shutdown-agent-refused"]);
    let domain = tiny1("shutdown-agent-refused");
    let error =
        open(server.directory()).request_shutdown_with(&domain, ShutdownFlags::AGENT).unwrap_err();
    assert!(matches!(error, Error::OperationInvalid(_)), "{error}");
}

#[test]
fn definitions_come_go_and_start() {
    let server = replay(&["define", "start-paused", "managed-save-remove"]);
    let mut client = open(server.directory());
    let question = recorded("define").question;
    let xml = duet_libvirt_rpc::xdr::Reader::new(&question[28..]).string().unwrap().to_owned();
    assert_eq!(client.define(&xml, DefineFlags::VALIDATE).unwrap().name, "tiny1");
    let started = client.start_defined(&tiny1("start-paused"), CreateFlags::PAUSED).unwrap();
    assert!(started.id > 0);
    client.remove_managed_save_image(&tiny1("managed-save-remove")).unwrap();
    let server = replay(&["describe-inactive"]);
    let mut client = open(server.directory());
    let xml = client.describe_with(&tiny1("describe-inactive"), XmlFlags::INACTIVE).unwrap();
    assert!(xml.contains("<on_poweroff>"), "{xml}");
}

#[test]
fn a_path_that_is_no_text_is_not_sent() {
    use std::os::unix::ffi::OsStrExt;
    let server = replay(&["restore"]);
    let mut client = open(server.directory());
    let path = Path::new(std::ffi::OsStr::from_bytes(b"/srv/\xff.state"));
    let error = client.restore(path, SaveFlags::PLAIN).unwrap_err();
    assert!(matches!(error, Error::NotText { .. }), "{error}");
    client.restore(Path::new("/srv/tiny1.state"), SaveFlags::RUNNING).unwrap();
}
