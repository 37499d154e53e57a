//! ocf:rust:VirtualDomain as Pacemaker calls it. What needs libvirt's client library it hands over to
//! VirtualDomain-libvirt, so that a monitor never loads that.

fn main() {
    virtual_domain::main(None)
}
