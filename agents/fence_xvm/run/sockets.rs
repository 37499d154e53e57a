//! Sockets as both ways of asking need them. Invariant: none of them blocks, and none is left to a child.

use crate::options::order::Origin;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockProtocol, SockType,
    SockaddrLike, SockaddrStorage, VsockAddr, bind, connect, getsockopt, listen, sendmsg,
    setsockopt, socket, sockopt,
};
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

/// How many daemons may call back at the same time before anybody is listened to.
const BACKLOG: i32 = 16;
/// Requests go no further than one router away, as in stock.
const HOPS: u8 = 2;

fn open(family: AddressFamily, kind: SockType) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socket(family, kind, flags, None::<SockProtocol>)
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// Any address of the same family.
fn any(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// Where a daemon can call back: at `port`, or at any other if that one is not to be had. Returns the port.
pub(super) fn listener(
    group: IpAddr,
    port: u16,
    origin: &Origin,
) -> io::Result<(TcpListener, u16)> {
    let at = origin.address.unwrap_or_else(|| any(group));
    let listener = match listener_at(SocketAddr::new(at, port)) {
        Err(Errno::EADDRINUSE | Errno::EACCES) => listener_at(SocketAddr::new(at, 0)),
        other => other,
    }?;
    let listener = TcpListener::from(listener);
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

fn listener_at(address: SocketAddr) -> nix::Result<OwnedFd> {
    let listener = open(family(address.ip()), SockType::Stream)?;
    setsockopt(&listener, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&listener, sockopt::Ipv6V6Only, &true)?;
    }
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&listener, Backlog::new(BACKLOG)?)?;
    Ok(listener)
}

/// Takes one that has called back, and its address. `None` if there is nobody any more.
pub(super) fn accept(listener: &TcpListener) -> Option<(OwnedFd, SocketAddr)> {
    let (stream, peer) = listener.accept().ok()?;
    stream.set_nonblocking(true).ok()?;
    Some((OwnedFd::from(stream), peer))
}

/// Begins to connect to a host by tcp.
pub(super) fn to_host(to: SocketAddr, origin: &Origin) -> nix::Result<OwnedFd> {
    let stream = open(family(to.ip()), SockType::Stream)?;
    if let Some(interface) = &origin.interface {
        setsockopt(&stream, sockopt::BindToDevice, &OsString::from(interface))?;
    }
    if let Some(address) = origin.address {
        bind(stream.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(address, 0)))?;
    }
    begin(&stream, &SockaddrStorage::from(to))?;
    Ok(stream)
}

/// Begins to connect to a peer by vsock.
pub(super) fn to_peer(cid: u32, port: u16) -> nix::Result<OwnedFd> {
    let stream = open(AddressFamily::Vsock, SockType::Stream)?;
    begin(&stream, &VsockAddr::new(cid, u32::from(port)))?;
    Ok(stream)
}

fn begin(stream: &OwnedFd, to: &dyn SockaddrLike) -> nix::Result<()> {
    match connect(stream.as_raw_fd(), to) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(()),
        Err(why) => Err(why),
    }
}

/// Why a connection that was begun was not made; `None` if it was.
pub(super) fn error(stream: &OwnedFd) -> Option<Errno> {
    match getsockopt(stream, sockopt::SocketError) {
        Ok(0) => None,
        Ok(number) => Some(Errno::from_raw(number)),
        Err(why) => Some(why),
    }
}

/// Sends a datagram: where the socket is not connected, to an address, from an address and by the interface with a number.
pub(super) fn send(
    sender: &OwnedFd,
    datagram: &[u8],
    by: Option<(SocketAddr, IpAddr, u32)>,
) -> nix::Result<()> {
    let content = [IoSlice::new(datagram)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    let sender = sender.as_raw_fd();
    let sent = match by {
        None => sendmsg::<SockaddrStorage>(sender, &content, &[], flags, None),
        Some((to, IpAddr::V4(from), index)) => {
            let about = libc::in_pktinfo {
                ipi_ifindex: i32::try_from(index).unwrap_or(0),
                ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(from.octets()) },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            let control = [ControlMessage::Ipv4PacketInfo(&about)];
            sendmsg(sender, &content, &control, flags, Some(&SockaddrStorage::from(to)))
        }
        Some((to, IpAddr::V6(from), index)) => {
            let about = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: from.octets() },
                ipi6_ifindex: index,
            };
            let control = [ControlMessage::Ipv6PacketInfo(&about)];
            sendmsg(sender, &content, &control, flags, Some(&SockaddrStorage::from(to)))
        }
    };
    sent.map(drop)
}

/// A socket that datagrams to a group leave by.
pub(super) fn sender(group: IpAddr) -> nix::Result<OwnedFd> {
    let sender = open(family(group), SockType::Datagram)?;
    if group.is_ipv4() {
        setsockopt(&sender, sockopt::IpMulticastTtl, &HOPS)?;
    } else {
        setsockopt(&sender, sockopt::Ipv6MulticastHops, &i32::from(HOPS))?;
    }
    Ok(sender)
}

/// A socket that datagrams to one host leave by, and the address that they come from.
pub(super) fn sender_to_host(to: SocketAddr, origin: &Origin) -> io::Result<(OwnedFd, IpAddr)> {
    let sender = open(family(to.ip()), SockType::Datagram)?;
    if let Some(interface) = &origin.interface {
        setsockopt(&sender, sockopt::BindToDevice, &OsString::from(interface))?;
    }
    let from = origin.address.unwrap_or_else(|| any(to.ip()));
    bind(sender.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0)))?;
    connect(sender.as_raw_fd(), &SockaddrStorage::from(to))?;
    let sender = UdpSocket::from(sender);
    let from = sender.local_addr()?.ip();
    Ok((OwnedFd::from(sender), from))
}
