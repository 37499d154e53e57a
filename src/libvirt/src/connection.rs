//! The library as a [`Hypervisor`]. Invariant: a domain is looked up anew, by its UUID, for each call; what was
//! known about it before is not used.

use std::{ffi::CString, path::Path, time::Duration};

use duet_domain::{State, Uuid};
use duet_libvirt_rpc::{
    Code, CreateFlags, DefineFlags, DestroyFlags, DomainInfo, DomainRef, Error, Fault, Hypervisor,
    SaveFlags, ShutdownFlags, UndefineFlags, XmlFlags,
};
use virt::{connect::Connect, domain::Domain, error::Error as VirtError, sys};

use crate::{
    library::{abort_job, done},
    worker::Worker,
};

/// A connection to any libvirt.
#[derive(Debug)]
pub struct Connection {
    pub(crate) worker: Worker,
}

impl Connection {
    /// Connects; `limit` bounds this and all calls after it, until [`Hypervisor::allow`] says otherwise.
    pub fn open(uri: &str, limit: Duration) -> Result<Self, Error> {
        Ok(Self { worker: Worker::open(uri, limit)? })
    }

    pub(crate) fn on_domain<T: Send + 'static>(
        &mut self,
        doing: &'static str,
        domain: &DomainRef,
        call: impl FnOnce(&Domain) -> Result<T, VirtError> + Send + 'static,
    ) -> Result<T, Error> {
        let uuid = domain.uuid;
        self.worker.ask(doing, move |connection| call(&look_up(connection, uuid)?))
    }
}

pub(crate) fn look_up(connection: &Connect, uuid: Uuid) -> Result<Domain, VirtError> {
    Domain::lookup_by_uuid(connection, uuid::Uuid::from_bytes(*uuid.as_bytes()))
}

fn reference(domain: &Domain) -> Result<DomainRef, VirtError> {
    Ok(DomainRef {
        name: domain.get_name()?,
        uuid: Uuid::from_bytes(*domain.get_uuid()?.as_bytes()),
        id: domain.get_id().and_then(|id| i32::try_from(id).ok()).unwrap_or(-1),
    })
}

/// The C interface takes no NUL byte, and libvirt knows no name with one.
fn text(doing: &'static str, text: &str) -> Result<String, Error> {
    if text.contains('\0') { Err(unusable(doing)) } else { Ok(text.to_owned()) }
}

fn unusable(doing: &'static str) -> Error {
    Error::from_fault(Fault {
        code: Code::InvalidArgument,
        domain: 0,
        message: format!("could not {doing}: what was given is not text, or has a NUL byte"),
    })
}

fn text_path(doing: &'static str, path: &Path) -> Result<String, Error> {
    text(doing, path.to_str().ok_or_else(|| unusable(doing))?)
}

fn path(doing: &'static str, path: &Path) -> Result<CString, Error> {
    CString::new(text_path(doing, path)?).map_err(|_| unusable(doing))
}

#[allow(unsafe_code, reason = "the crate does not wrap virDomainSaveFlags")]
fn save(domain: &Domain, to: &CString, flags: u32) -> i32 {
    // SAFETY: pointer and string are valid for as long as they are borrowed; no other XML is given.
    unsafe { sys::virDomainSaveFlags(domain.as_ptr(), to.as_ptr(), std::ptr::null(), flags) }
}

impl Hypervisor for Connection {
    fn allow(&mut self, limit: Duration) {
        self.worker.allow(limit);
    }

    fn close(&mut self) {
        self.worker.close();
    }

    fn lookup_by_name(&mut self, name: &str) -> Result<DomainRef, Error> {
        let name = text("look up a domain", name)?;
        self.worker.ask("look up a domain by its name", move |connection| {
            reference(&Domain::lookup_by_name(connection, &name)?)
        })
    }

    fn lookup_by_uuid(&mut self, uuid: Uuid) -> Result<DomainRef, Error> {
        self.worker.ask("look up a domain by its UUID", move |connection| {
            reference(&look_up(connection, uuid)?)
        })
    }

    fn state(&mut self, domain: &DomainRef) -> Result<State, Error> {
        self.on_domain("ask for a domain's state", domain, |domain| {
            let (state, reason) = domain.get_state()?;
            Ok(State::from_numbers(i32::try_from(state).unwrap_or(-1), reason))
        })
    }

    fn info(&mut self, domain: &DomainRef) -> Result<DomainInfo, Error> {
        self.on_domain("ask for a domain's size", domain, |domain| {
            let info = domain.get_info()?;
            Ok(DomainInfo {
                max_memory_kib: info.max_mem,
                memory_kib: info.memory,
                vcpus: info.nr_virt_cpu,
                cpu_time_ns: info.cpu_time,
            })
        })
    }

    fn describe_with(&mut self, domain: &DomainRef, flags: XmlFlags) -> Result<String, Error> {
        let flags = flags.word();
        self.on_domain("describe a domain", domain, move |domain| domain.get_xml_desc(flags))
    }

    fn is_persistent(&mut self, domain: &DomainRef) -> Result<bool, Error> {
        self.on_domain("ask whether a domain is persistent", domain, Domain::is_persistent)
    }

    fn has_managed_save_image(&mut self, domain: &DomainRef) -> Result<bool, Error> {
        let doing = "ask for a managed save image";
        self.on_domain(doing, domain, |domain| domain.has_managed_save(0))
    }

    fn remove_managed_save_image(&mut self, domain: &DomainRef) -> Result<(), Error> {
        let doing = "remove a managed save image";
        self.on_domain(doing, domain, |domain| domain.managed_save_remove(0).map(drop))
    }

    fn list(&mut self) -> Result<Vec<DomainRef>, Error> {
        self.worker.ask("list domains", |connection| {
            let all = connection.list_all_domains(0)?;
            // One that goes away meanwhile is not there.
            Ok(all.iter().filter_map(|domain| reference(domain).ok()).collect())
        })
    }

    fn create_with(&mut self, xml: &str, flags: CreateFlags) -> Result<DomainRef, Error> {
        let (xml, flags) = (text("start a domain", xml)?, flags.word());
        self.worker.ask("start a domain", move |connection| {
            reference(&Domain::create_xml(connection, &xml, flags)?)
        })
    }

    fn define(&mut self, xml: &str, flags: DefineFlags) -> Result<DomainRef, Error> {
        let (xml, flags) = (text("define a domain", xml)?, flags.word());
        self.worker.ask("define a domain", move |connection| {
            reference(&Domain::define_xml_flags(connection, &xml, flags)?)
        })
    }

    fn start_defined(
        &mut self,
        domain: &DomainRef,
        flags: CreateFlags,
    ) -> Result<DomainRef, Error> {
        let flags = flags.word();
        self.on_domain("start a defined domain", domain, move |domain| {
            domain.create_with_flags(flags)?;
            reference(domain)
        })
    }

    fn request_shutdown_with(
        &mut self,
        domain: &DomainRef,
        flags: ShutdownFlags,
    ) -> Result<(), Error> {
        let (doing, flags) = ("ask a domain to shut down", flags.word());
        self.on_domain(doing, domain, move |domain| domain.shutdown_flags(flags).map(drop))
    }

    fn destroy_with(&mut self, domain: &DomainRef, flags: DestroyFlags) -> Result<(), Error> {
        let flags = flags.word();
        self.on_domain("destroy a domain", domain, move |domain| {
            domain.destroy_flags(flags).map(drop)
        })
    }

    fn undefine(&mut self, domain: &DomainRef, flags: UndefineFlags) -> Result<(), Error> {
        let flags = flags.word();
        self.on_domain("undefine a domain", domain, move |domain| domain.undefine_flags(flags))
    }

    fn suspend(&mut self, domain: &DomainRef) -> Result<(), Error> {
        self.on_domain("pause a domain", domain, |domain| domain.suspend().map(drop))
    }

    fn resume(&mut self, domain: &DomainRef) -> Result<(), Error> {
        self.on_domain("resume a domain", domain, |domain| domain.resume().map(drop))
    }

    fn save(&mut self, domain: &DomainRef, to: &Path, flags: SaveFlags) -> Result<(), Error> {
        let (to, flags) = (path("save a domain", to)?, flags.word());
        self.on_domain("save a domain", domain, move |domain| done(save(domain, &to, flags)))
    }

    fn restore(&mut self, from: &Path, flags: SaveFlags) -> Result<(), Error> {
        let (from, flags) = (text_path("restore a domain", from)?, flags.word());
        self.worker.ask("restore a domain", move |connection| {
            Domain::domain_restore_flags(connection, &from, None, flags)
        })
    }

    fn describe_saved(&mut self, file: &Path) -> Result<String, Error> {
        let file = text_path("describe a saved domain", file)?;
        self.worker.ask("describe a saved domain", move |connection| {
            Domain::save_image_get_xml_desc(connection, &file, 0)
        })
    }

    fn abort_job(&mut self, domain: &DomainRef) -> Result<(), Error> {
        self.on_domain("abort a domain's job", domain, |domain| done(abort_job(domain)))
    }
}
