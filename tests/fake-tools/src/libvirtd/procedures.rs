//! Which procedures the fake has, and whom a question is about. Invariant: one that it does not have ends the test.

use duet_domain::Uuid;
use duet_libvirt_rpc::{DomainRef, xdr::Reader};

/// How the calls are named in `World::calls`.
pub(super) fn name(procedure: i32) -> &'static str {
    match procedure {
        66 => "auth-list",
        70 => "auth-polkit",
        1 => "open",
        2 => "close",
        10 => "create",
        14 => "describe",
        16 => "info",
        23 => "lookup-by-name",
        28 => "resume",
        24 => "lookup-by-uuid",
        151 => "is-persistent",
        164 => "abort-job",
        183 => "has-managed-save",
        184 => "managed-save-remove",
        196 => "start-defined",
        212 => "state",
        231 => "undefine",
        232 => "save",
        233 => "restore",
        234 => "destroy",
        235 => "describe-saved",
        258 => "shutdown",
        273 => "list",
        350 => "define",
        other => panic!("the fake libvirtd has no procedure {other}"),
    }
}

/// The domain's UUID, or what else the call is about.
pub(super) fn argument(procedure: i32, reader: &mut Reader<'_>) -> String {
    match procedure {
        66 | 70 | 2 | 10 | 273 | 350 => String::new(),
        1 => reader.optional_string().unwrap().unwrap_or_default().to_owned(),
        23 | 233 | 235 => reader.string().unwrap().to_owned(),
        24 => Uuid::from_bytes(reader.uuid().unwrap()).to_string(),
        _ => DomainRef::decode(reader).unwrap().uuid.to_string(),
    }
}

/// How a domain is named in an answer.
pub(super) fn encoded(domain: &super::FakeDomain) -> Vec<u8> {
    let mut writer = super::Writer::new();
    domain.reference().encode(&mut writer);
    writer.into_bytes()
}
