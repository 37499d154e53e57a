//! The sockets that requests come in by. Invariant: an interface that comes, goes or changes is followed, and no error of a socket is the
//! end of a listener.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    time::Duration,
};

use duet_xvm::Source;
use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    net::if_::if_nametoindex,
    sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrStorage,
        VsockAddr, accept4, bind, getpeername, listen, setsockopt, socket, sockopt,
    },
};

use crate::settings::Channel;

/// How often interfaces are looked at, and what could not be opened is tried again.
pub(crate) const CHECK: Duration = Duration::from_secs(5);
/// How often a membership is announced anew: bridges forget one after 260 s where nobody queries.
const ANNOUNCE: Duration = Duration::from_secs(60);
/// Connections that the kernel keeps until they are accepted, as far as `net.core.somaxconn` lets it: a peer that comes when they are too
/// many is not refused but kept waiting, longer each time.
const BACKLOG: i32 = 4096;

/// Connections that are passed over at once because nobody is at their other end any more.
const PASSED: usize = 1024;

/// Bytes of datagrams that may wait for us.
const BURST: usize = 1024 * 1024;

/// A listener's socket.
#[derive(Debug)]
pub(crate) enum Listening {
    Multicast { socket: UdpSocket, group: SocketAddr, place: Place, announced: Duration },
    Stream { socket: OwnedFd, family: AddressFamily, address: Option<SocketAddr> },
}

/// Where a group is joined: what of an interface can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    index: u32,
    address: Option<IpAddr>,
}

/// Opens the socket of a channel; `None` for serial lines, which have none.
///
/// # Errors
/// It cannot be opened now.
pub(crate) fn open(channel: &Channel, now: Duration) -> io::Result<Option<Listening>> {
    match channel {
        Channel::Multicast { group, interface } => {
            let place = place(group, interface.as_deref())?;
            let socket = join(*group, place)?;
            Ok(Some(Listening::Multicast { socket, group: *group, place, announced: now }))
        }
        Channel::Tcp { address } => tcp(*address).map(Some),
        Channel::Vsock { port } => vsock(*port).map(Some),
        Channel::Serial { .. } => Ok(None),
    }
}

/// The interface, as it is now. Without a name the kernel chooses, by its routes.
fn place(group: &SocketAddr, interface: Option<&str>) -> io::Result<Place> {
    let Some(name) = interface else { return Ok(Place { index: 0, address: None }) };
    let index = if_nametoindex(name).map_err(|errno| {
        io::Error::new(io::ErrorKind::NotFound, format!("interface {name}: {}", errno.desc()))
    })?;
    let address = if group.is_ipv4() { Some(IpAddr::V4(first_v4(name)?)) } else { None };
    Ok(Place { index, address })
}

/// The first IPv4 address of an interface, by which the kernel knows where to join.
fn first_v4(name: &str) -> io::Result<std::net::Ipv4Addr> {
    let addresses = getifaddrs()?.filter(|entry| entry.interface_name == name);
    let mut v4 = addresses.filter_map(|entry| entry.address?.as_sockaddr_in().map(SockaddrIn::ip));
    v4.next().ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("interface {name} has no IPv4 address"))
    })
}

/// Bound to no address, as with stock's daemon: clients in networks without multicast send to this host alone.
fn join(group: SocketAddr, place: Place) -> io::Result<UdpSocket> {
    let family = if group.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Datagram, flags, None)?;
    let any: IpAddr = match group {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => {
            setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
            std::net::Ipv6Addr::UNSPECIFIED.into()
        }
    };
    // Without SO_REUSEADDR: of two daemons, only one would be asked by datagrams that are for this host alone.
    bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(any, group.port())))?;
    // Room for a burst, as much as we may: what has no room is lost to its sender until the next copy.
    let _ = setsockopt(&socket, sockopt::RcvBuf, &BURST);
    let socket = UdpSocket::from(socket);
    member(&socket, group, place, true)?;
    Ok(socket)
}

fn member(socket: &UdpSocket, group: SocketAddr, place: Place, joins: bool) -> io::Result<()> {
    match (group.ip(), place.address) {
        (IpAddr::V4(group), address) => {
            let any = std::net::Ipv4Addr::UNSPECIFIED;
            let at = match address {
                Some(IpAddr::V4(address)) => address,
                Some(IpAddr::V6(_)) | None => any,
            };
            if joins {
                socket.join_multicast_v4(&group, &at)
            } else {
                socket.leave_multicast_v4(&group, &at)
            }
        }
        (IpAddr::V6(group), _) if joins => socket.join_multicast_v6(&group, place.index),
        (IpAddr::V6(group), _) => socket.leave_multicast_v6(&group, place.index),
    }
}

fn tcp(address: SocketAddr) -> io::Result<Listening> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = stream(family)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    Ok(Listening::Stream { socket, family, address: Some(address) })
}

fn vsock(port: u32) -> io::Result<Listening> {
    let socket = stream(AddressFamily::Vsock)?;
    bind(socket.as_raw_fd(), &VsockAddr::new(nix::libc::VMADDR_CID_ANY, port))?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    Ok(Listening::Stream { socket, family: AddressFamily::Vsock, address: None })
}

fn stream(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(family, SockType::Stream, flags, None)?)
}

impl Listening {
    /// Whether it is still where it should be: false where it has to be opened anew. Announces the membership when that is due.
    pub(crate) fn check(&mut self, channel: &Channel, now: Duration) -> bool {
        let Listening::Multicast { socket, group, place: at, announced } = self else {
            return true;
        };
        let Channel::Multicast { interface, .. } = channel else { return true };
        if place(group, interface.as_deref()).ok() != Some(*at) {
            return false;
        }
        if now.saturating_sub(*announced) < ANNOUNCE {
            return true;
        }
        *announced = now;
        // The kernel reports a membership when it begins.
        let _ = member(socket, *group, *at, false);
        member(socket, *group, *at, true).is_ok()
    }

    /// Where a tcp listener listens.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Listening::Stream { address, .. } => *address,
            Listening::Multicast { .. } => None,
        }
    }

    /// The interface that a group was joined on, for calling back an address that is one of a link.
    pub(crate) fn scope(&self) -> u32 {
        match self {
            Listening::Multicast { place, .. } => place.index,
            Listening::Stream { .. } => 0,
        }
    }

    /// The next datagram, if there is one.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        let Listening::Multicast { socket, .. } = self else { return Ok(None) };
        match socket.recv_from(buffer) {
            Ok(received) => Ok(Some(received)),
            Err(error) if is_nothing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next connection, if there is one.
    pub(crate) fn accept(&self) -> io::Result<Option<(OwnedFd, Source)>> {
        let Listening::Stream { socket, family, .. } = self else { return Ok(None) };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        // Peers that have gone again are passed over: they are no trouble of the listener's. As many as the loop has patience for.
        for _ in 0..PASSED {
            match accept4(socket.as_raw_fd(), flags) {
                Ok(accepted) => {
                    let accepted = own(accepted);
                    if let Some(source) = peer(&accepted, *family) {
                        return Ok(Some((accepted, source)));
                    }
                }
                Err(Errno::ECONNABORTED) => {}
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(None)
    }
}

#[allow(unsafe_code, reason = "nix gives the descriptor of an accepted connection as a number")]
fn own(number: std::os::fd::RawFd) -> OwnedFd {
    // SAFETY: accept4 has just made it, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

fn peer(stream: &OwnedFd, family: AddressFamily) -> Option<Source> {
    let fd = stream.as_raw_fd();
    match family {
        AddressFamily::Inet => {
            getpeername::<SockaddrIn>(fd).ok().map(|peer| IpAddr::V4(peer.ip()).into())
        }
        AddressFamily::Inet6 => {
            getpeername::<SockaddrIn6>(fd).ok().map(|peer| IpAddr::V6(peer.ip()).into())
        }
        _ => getpeername::<VsockAddr>(fd).ok().map(|peer| Source::Cid(peer.cid())),
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listening::Multicast { socket, .. } => socket.as_fd(),
            Listening::Stream { socket, .. } => socket.as_fd(),
        }
    }
}
