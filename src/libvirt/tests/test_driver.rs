//! The real libvirt.so with its built-in test driver, which needs no daemon: a host with one domain, a pool and a network
//! that exist in this process only.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use duet_domain::{PausedReason, Requirements, RunningReason, State};
use duet_libvirt::{CLIENT_LIBRARY, Connection};
use duet_libvirt_rpc::{Code, Error, Hypervisor, Library, UndefineFlags};

const LIMIT: Duration = Duration::from_secs(10);
const UUID: &str = "6695eb01-f6a4-8304-79aa-97f2502e193f";

/// A host of its own: what the driver calls its default is one for all tests of this process.
struct Host(tempfile::NamedTempFile);

impl Host {
    fn new() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let node = format!(
            "<node><domain type='test'><name>test</name><uuid>{UUID}</uuid><memory>8192</memory>\
             <os><type>hvm</type></os></domain>\
             <network><name>default</name><bridge name='virbr0'/>\
             <ip address='192.0.2.1' netmask='255.255.255.0'/></network>\
             <pool type='dir'><name>default-pool</name><target><path>/default-pool</path></target></pool>\
             </node>"
        );
        std::fs::write(file.path(), node).unwrap();
        Self(file)
    }

    fn uri(&self) -> String {
        format!("test://{}", self.0.path().display())
    }

    fn open(&self) -> Connection {
        Connection::open(&self.uri(), LIMIT).unwrap()
    }
}

#[test]
fn domains_are_looked_up_by_name_and_uuid() {
    let host = Host::new();
    let mut libvirt = host.open();
    let domain = libvirt.lookup_by_name("test").unwrap();
    assert_eq!(domain.uuid.to_string(), UUID);
    assert_eq!(libvirt.lookup_by_uuid(domain.uuid).unwrap(), domain);
    assert_eq!(libvirt.list().unwrap(), std::slice::from_ref(&domain));
    assert!(libvirt.describe(&domain, true).unwrap().contains("<name>test</name>"));
    assert!(libvirt.info(&domain).unwrap().vcpus > 0);
    assert!(libvirt.is_persistent(&domain).unwrap());
    let missing = libvirt.lookup_by_name("nobody").unwrap_err();
    assert!(matches!(&missing, Error::NoDomain(fault) if fault.code == Code::NoDomain));
    assert!(missing.to_string().contains("not found"), "{missing}");
}

#[test]
fn a_domain_is_paused_resumed_ended_and_undefined() {
    let host = Host::new();
    let mut libvirt = host.open();
    let domain = libvirt.lookup_by_name("test").unwrap();
    assert!(matches!(libvirt.state(&domain), Ok(State::Running(_))));
    libvirt.suspend(&domain).unwrap();
    assert!(matches!(libvirt.state(&domain), Ok(State::Paused(PausedReason::User))));
    libvirt.resume(&domain).unwrap();
    assert!(matches!(libvirt.state(&domain), Ok(State::Running(RunningReason::Unpaused))));
    libvirt.destroy(&domain).unwrap();
    assert!(matches!(libvirt.state(&domain), Ok(State::ShutOff(_))));
    let again = libvirt.destroy(&domain).unwrap_err();
    assert!(matches!(again, Error::OperationInvalid(_)), "{again}");
    libvirt.undefine(&domain, UndefineFlags::PLAIN).unwrap();
    assert!(matches!(libvirt.lookup_by_uuid(domain.uuid), Err(Error::NoDomain(_))));
}

#[test]
fn a_domain_is_started_from_xml_and_gone_after_its_end() {
    let host = Host::new();
    let mut libvirt = host.open();
    let xml = "<domain type='test'><name>new</name><memory>65536</memory><os><type>hvm</type></os></domain>";
    let domain = libvirt.create(xml).unwrap();
    assert!(!libvirt.is_persistent(&domain).unwrap());
    assert!(libvirt.create(xml).unwrap_err().fault().is_some(), "twice the same name");
    assert!(libvirt.create("<domain").unwrap_err().fault().is_some());
    assert!(libvirt.create("a\0b").unwrap_err().fault().is_some());
    libvirt.destroy(&domain).unwrap();
    assert!(matches!(libvirt.state(&domain), Err(Error::NoDomain(_))));
}

#[test]
fn pools_and_networks_are_started_or_found_running() {
    let host = Host::new();
    let mut libvirt = host.open();
    libvirt.start_pool("default-pool").unwrap();
    libvirt.start_network("default").unwrap();
    for refused in [libvirt.start_pool("none"), libvirt.start_network("none")] {
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("none"), "{refused}");
    }
}

#[test]
fn what_the_driver_does_not_have_is_a_fault_and_not_an_outage() {
    let host = Host::new();
    let mut libvirt = (CLIENT_LIBRARY.open)(&host.uri(), LIMIT).unwrap();
    let domain = libvirt.lookup_by_name("test").unwrap();
    let refused = libvirt.switch_to_post_copy(&domain).unwrap_err();
    assert!(matches!(refused.fault(), Some(fault) if fault.code == Code::NoSupport), "{refused}");
    let refused = libvirt.accepts(&Requirements::default()).err();
    assert!(refused.is_none_or(|refused| refused.fault().is_some()));
}

#[test]
fn whom_nobody_serves_cannot_be_reached() {
    for uri in ["qemu+unix:///system?socket=/nonexistent/sock", "qemu+tcp://127.0.0.1:9/system"] {
        let error = Connection::open(uri, LIMIT).unwrap_err();
        assert!(error.may_pass() && error.fault().is_none(), "{uri}: {error:?}");
    }
}

/// A listener that takes the connection and never says a word, as a frozen daemon does.
#[test]
fn a_silent_daemon_costs_the_time_allowed_and_no_more() {
    let directory = std::env::temp_dir().join(format!("duet-libvirt-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let socket = directory.join("sock");
    let _ = std::fs::remove_file(&socket);
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let began = Instant::now();
    let uri = format!("qemu+unix:///system?socket={}", socket.display());
    let error = Connection::open(&uri, Duration::from_millis(300)).unwrap_err();
    let took = began.elapsed();
    assert!(matches!(error, Error::Overdue { .. }), "{error:?}");
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(3), "{took:?}");
    drop(listener);
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_migration_that_cannot_begin_says_why() {
    let host = Host::new();
    let order = duet_libvirt_rpc::Order {
        source: host.uri(),
        domain: UUID.parse().unwrap(),
        target: "qemu+tcp://127.0.0.1:9/system".into(),
        data: None,
        flags: duet_libvirt_rpc::library::flag::LIVE,
        parameters: Vec::new(),
    };
    let ended = (CLIENT_LIBRARY.migrate)(order.clone()).recv_timeout(LIMIT).unwrap();
    assert!(matches!(ended, Err(Error::Unreachable(_))), "{ended:?}");
    let order = duet_libvirt_rpc::Order { domain: duet_domain::Uuid::from_bytes([9; 16]), ..order };
    let ended = (CLIENT_LIBRARY.migrate)(order).recv_timeout(LIMIT).unwrap();
    assert!(matches!(ended, Err(Error::NoDomain(_))), "{ended:?}");
}
