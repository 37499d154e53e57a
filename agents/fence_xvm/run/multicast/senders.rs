//! From where copies of a request leave: each address of this host, or the one that was chosen. Invariant: the address that a
//! copy names is the one it comes from.

use crate::event::{Event, Trace};
use crate::options::order::Multicast;
use crate::outcome::Failure;
use crate::run::sockets;
use crate::run::talk::Copies;
use duet_xvm::{Datagram, Request};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

/// What sends.
pub(super) struct Senders<'a> {
    multicast: &'a Multicast,
    port: u16,
    sequence: u32,
    attempt: u32,
    /// The socket, and for a host that is asked alone, the address it sends from.
    sender: Option<(OwnedFd, Option<IpAddr>)>,
}

/// An address of this host.
struct Address {
    address: IpAddr,
    interface: String,
    index: u32,
}

impl<'a> Senders<'a> {
    /// Nothing is sent yet. `port` is where the daemon is to call back.
    pub(super) fn new(multicast: &'a Multicast, port: u16, sequence: u32) -> Self {
        Self { multicast, port, sequence, attempt: 0, sender: None }
    }

    fn to(&self) -> SocketAddr {
        SocketAddr::new(self.multicast.group, self.multicast.port)
    }

    /// Sends one copy from each address. The addresses are looked at anew each time: they come and go, also while a node boots.
    pub(super) fn send(
        &mut self,
        make: impl Fn(SocketAddr, u32) -> Request,
        sign: impl Fn(Request) -> Result<Datagram, Failure>,
        sent: &mut Copies,
        trace: &mut Trace,
    ) -> Result<(), Failure> {
        self.attempt += 1;
        let to = self.to();
        let (sender, alone) = match self.sender.take() {
            Some(sender) => sender,
            None => match self.open() {
                Ok(sender) => sender,
                Err(why) => {
                    trace.note(Event::NoAddress { wanted: format!("for {to}: {why}") });
                    return Ok(());
                }
            },
        };
        let addresses = match alone {
            Some(address) => vec![Address { address, interface: String::new(), index: 0 }],
            None => self.addresses(),
        };
        if addresses.is_empty() {
            trace.note(Event::NoAddress { wanted: self.wanted() });
        }
        for Address { address, interface, index } in addresses {
            let datagram = sign(make(SocketAddr::new(address, self.port), self.sequence))?;
            // A socket that is connected says by itself where from and where to.
            let by = alone.is_none().then_some((to, address, index));
            let error = sockets::send(&sender, datagram.as_bytes(), by).err();
            let error = error.map(|why| why.desc().to_owned());
            sent.add(datagram);
            trace.note(Event::Sent { attempt: self.attempt, from: address, interface, to, error });
        }
        self.sender = Some((sender, alone));
        Ok(())
    }

    /// Whether the host that is asked alone has said that nobody listens there.
    pub(super) fn hear(&mut self, trace: &mut Trace) {
        let Some((sender, Some(_))) = &self.sender else { return };
        if sockets::error(sender) == Some(nix::errno::Errno::ECONNREFUSED) {
            trace.note(Event::NobodyThere(self.to()));
        }
    }

    fn open(&self) -> std::io::Result<(OwnedFd, Option<IpAddr>)> {
        if self.multicast.group.is_multicast() {
            return Ok((sockets::sender(self.multicast.group)?, None));
        }
        let (sender, from) = sockets::sender_to_host(self.to(), &self.multicast.origin)?;
        Ok((sender, Some(from)))
    }

    /// As in stock: IPv4 with the loopback, by which a daemon on this host hears us; IPv6 without it, and without addresses
    /// that a daemon could not call back because they say nothing without an interface.
    fn addresses(&self) -> Vec<Address> {
        let origin = &self.multicast.origin;
        let Ok(found) = getifaddrs() else { return Vec::new() };
        found
            .filter(|it| it.flags.contains(InterfaceFlags::IFF_UP))
            .filter(|it| origin.interface.as_ref().is_none_or(|name| *name == it.interface_name))
            .filter_map(|it| {
                let storage = it.address?;
                let address = match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
                    (Some(v4), _) => IpAddr::from(v4.ip()),
                    (None, Some(v6)) => IpAddr::from(v6.ip()),
                    (None, None) => return None,
                };
                let index = if_nametoindex(it.interface_name.as_str()).ok()?;
                Some(Address { address, interface: it.interface_name, index })
            })
            .filter(|it| it.address.is_ipv4() == self.multicast.group.is_ipv4())
            .filter(|it| match (origin.address, it.address) {
                (Some(chosen), address) => chosen == address,
                (None, IpAddr::V4(_)) => true,
                (None, IpAddr::V6(v6)) => !v6.is_loopback() && !v6.is_unicast_link_local(),
            })
            .collect()
    }

    fn wanted(&self) -> String {
        let family = if self.multicast.group.is_ipv4() { "IPv4" } else { "IPv6" };
        let mut wanted = family.to_owned();
        if let Some(interface) = &self.multicast.origin.interface {
            wanted.push_str(&format!(" on {interface}"));
        }
        if let Some(address) = self.multicast.origin.address {
            wanted.push_str(&format!(", {address}"));
        }
        wanted
    }
}
