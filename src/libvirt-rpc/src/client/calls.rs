//! Each call of [`Hypervisor`] as a question of this client. Invariant: a call that answers with a text or a list may be
//! answered at length, any other may not.

use std::{path::Path, time::Duration};

use duet_domain::{State, Uuid};

use super::{Client, Deadline, LONG_ANSWER, SHORT_ANSWER};
use crate::{
    call::{self, DomainInfo, DomainRef, Procedure},
    error::Error,
    flags::{
        CreateFlags, DefineFlags, DestroyFlags, SaveFlags, ShutdownFlags, UndefineFlags, XmlFlags,
    },
    hypervisor::Hypervisor,
    xdr::Writer,
};

impl Client {
    fn with_xml(&mut self, call: Procedure, xml: &str, flags: u32) -> Result<DomainRef, Error> {
        let arguments = |writer: &mut Writer| {
            writer.string(xml);
            writer.u32(flags);
        };
        self.ask(call, arguments, SHORT_ANSWER, DomainRef::decode)
    }
}

/// A path as libvirt takes it; one that is not text cannot be said in XDR.
fn text(call: Procedure, path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| Error::NotText { call, path: path.to_owned() })
}

impl Hypervisor for Client {
    fn allow(&mut self, limit: Duration) {
        self.deadline = Deadline::after(limit);
    }

    fn close(&mut self) {
        // Nothing depends on the answer, so it may not cost more than a moment.
        self.deadline = Deadline::after(self.deadline.left().min(Duration::from_millis(200)));
        let _ = self.ask(Procedure::ConnectClose, |_| {}, SHORT_ANSWER, |_| Ok(()));
        self.broken = true;
    }

    fn lookup_by_name(&mut self, name: &str) -> Result<DomainRef, Error> {
        let arguments = |writer: &mut Writer| writer.string(name);
        self.ask(Procedure::DomainLookupByName, arguments, SHORT_ANSWER, DomainRef::decode)
    }

    fn lookup_by_uuid(&mut self, uuid: Uuid) -> Result<DomainRef, Error> {
        let arguments = |writer: &mut Writer| writer.fixed(uuid.as_bytes());
        self.ask(Procedure::DomainLookupByUuid, arguments, SHORT_ANSWER, DomainRef::decode)
    }

    fn state(&mut self, domain: &DomainRef) -> Result<State, Error> {
        self.on_domain(Procedure::DomainGetState, domain, Some(0), call::state)
    }

    fn info(&mut self, domain: &DomainRef) -> Result<DomainInfo, Error> {
        self.on_domain(Procedure::DomainGetInfo, domain, None, call::info)
    }

    fn describe_with(&mut self, domain: &DomainRef, flags: XmlFlags) -> Result<String, Error> {
        let arguments = |writer: &mut Writer| {
            domain.encode(writer);
            writer.u32(flags.word());
        };
        self.ask(Procedure::DomainGetXmlDesc, arguments, LONG_ANSWER, call::text)
    }

    fn is_persistent(&mut self, domain: &DomainRef) -> Result<bool, Error> {
        self.on_domain(Procedure::DomainIsPersistent, domain, None, call::yes)
    }

    fn has_managed_save_image(&mut self, domain: &DomainRef) -> Result<bool, Error> {
        self.on_domain(Procedure::DomainHasManagedSaveImage, domain, Some(0), call::yes)
    }

    fn remove_managed_save_image(&mut self, domain: &DomainRef) -> Result<(), Error> {
        self.on_domain(Procedure::DomainManagedSaveRemove, domain, Some(0), |_| Ok(()))
    }

    fn list(&mut self) -> Result<Vec<DomainRef>, Error> {
        let arguments = |writer: &mut Writer| {
            writer.i32(1); // the domains themselves, not only their number
            writer.u32(0);
        };
        self.ask(Procedure::ConnectListAllDomains, arguments, LONG_ANSWER, call::domains)
    }

    fn create_with(&mut self, xml: &str, flags: CreateFlags) -> Result<DomainRef, Error> {
        self.with_xml(Procedure::DomainCreateXml, xml, flags.word())
    }

    fn define(&mut self, xml: &str, flags: DefineFlags) -> Result<DomainRef, Error> {
        self.with_xml(Procedure::DomainDefineXmlFlags, xml, flags.word())
    }

    fn start_defined(
        &mut self,
        domain: &DomainRef,
        flags: CreateFlags,
    ) -> Result<DomainRef, Error> {
        let flags = Some(flags.word());
        self.on_domain(Procedure::DomainCreateWithFlags, domain, flags, DomainRef::decode)
    }

    fn request_shutdown_with(
        &mut self,
        domain: &DomainRef,
        flags: ShutdownFlags,
    ) -> Result<(), Error> {
        let flags = Some(flags.word());
        self.on_domain(Procedure::DomainShutdownFlags, domain, flags, |_| Ok(()))
    }

    fn destroy_with(&mut self, domain: &DomainRef, flags: DestroyFlags) -> Result<(), Error> {
        self.on_domain(Procedure::DomainDestroyFlags, domain, Some(flags.word()), |_| Ok(()))
    }

    fn undefine(&mut self, domain: &DomainRef, flags: UndefineFlags) -> Result<(), Error> {
        self.on_domain(Procedure::DomainUndefineFlags, domain, Some(flags.word()), |_| Ok(()))
    }

    fn suspend(&mut self, domain: &DomainRef) -> Result<(), Error> {
        self.on_domain(Procedure::DomainSuspend, domain, None, |_| Ok(()))
    }

    fn resume(&mut self, domain: &DomainRef) -> Result<(), Error> {
        self.on_domain(Procedure::DomainResume, domain, None, |_| Ok(()))
    }

    fn save(&mut self, domain: &DomainRef, to: &Path, flags: SaveFlags) -> Result<(), Error> {
        let to = text(Procedure::DomainSaveFlags, to)?;
        let arguments = |writer: &mut Writer| {
            domain.encode(writer);
            writer.string(to);
            writer.optional_string(None); // the domain's own XML
            writer.u32(flags.word());
        };
        self.ask(Procedure::DomainSaveFlags, arguments, SHORT_ANSWER, |_| Ok(()))
    }

    fn restore(&mut self, from: &Path, flags: SaveFlags) -> Result<(), Error> {
        let from = text(Procedure::DomainRestoreFlags, from)?;
        let arguments = |writer: &mut Writer| {
            writer.string(from);
            writer.optional_string(None); // the XML in the file
            writer.u32(flags.word());
        };
        self.ask(Procedure::DomainRestoreFlags, arguments, SHORT_ANSWER, |_| Ok(()))
    }

    fn describe_saved(&mut self, file: &Path) -> Result<String, Error> {
        let file = text(Procedure::DomainSaveImageGetXmlDesc, file)?;
        let arguments = |writer: &mut Writer| {
            writer.string(file);
            writer.u32(0);
        };
        self.ask(Procedure::DomainSaveImageGetXmlDesc, arguments, LONG_ANSWER, call::text)
    }

    fn abort_job(&mut self, domain: &DomainRef) -> Result<(), Error> {
        self.on_domain(Procedure::DomainAbortJob, domain, None, |_| Ok(()))
    }
}
