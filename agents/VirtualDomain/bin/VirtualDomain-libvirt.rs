//! The same agent with libvirt's client library. VirtualDomain becomes it where the native client is not enough.

fn main() {
    virtual_domain::main(Some(duet_libvirt::CLIENT_LIBRARY))
}
