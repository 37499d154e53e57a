//! Clients of the daemon, well-behaved and not. Invariant: nothing of the daemon's own code is used but the types of the wire.
#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test support, of which no test file uses everything"
)]

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use duet_xvm::{
    Algorithm, Challenge, Datagram, GROUP_V4, Operation, PORT, Protection, Request, Target,
    exchange::{Answer, Client, Stage, Want},
};

use super::{PATIENCE, Stage as Host};

static SEQUENCE: AtomicU32 = AtomicU32::new(1);

/// Where the daemon's tcp listener is in these tests.
pub(crate) const TCP: &str = "10.99.0.1:1229";

/// 64 bytes that were never used before.
pub(crate) fn challenge() -> [u8; 64] {
    let mut bytes = [0; 64];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

pub(crate) fn protection(algorithm: Algorithm) -> Protection {
    Protection::new(algorithm, Some(&Host::key())).unwrap()
}

/// A request with a number of its own.
pub(crate) fn request(
    operation: Operation,
    domain: &str,
    call_back: Option<SocketAddr>,
) -> Request {
    let target = domain.parse().map_or(Target::Nobody, Target::Domain);
    let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
    Request { operation, target, by_uuid: false, call_back, sequence }
}

/// A signed request, unlike all others.
pub(crate) fn signed(request: &Request, hash: Algorithm) -> Vec<u8> {
    let mut random = [0; 6];
    random.copy_from_slice(&challenge()[..6]);
    request.sign(&protection(hash), random).as_bytes().to_vec()
}

/// The whole conversation after the request; `None` where the daemon hangs up.
pub(crate) fn converse(stream: &mut TcpStream, auth: Algorithm) -> Option<Answer> {
    converse_and(stream, auth, || ())
}

/// The same as our client: it proves itself for these copies of its request only. `None` also where the daemon was asked another.
pub(crate) fn converse_for(stream: &mut TcpStream, asked: &[Vec<u8>]) -> Option<Answer> {
    let asked: Vec<Datagram> = asked.iter().map(|bytes| Datagram::new(bytes).unwrap()).collect();
    converse_as(stream, Algorithm::Sha256, || (), |client, bytes| client.read_for(bytes, &asked))
}

/// The same, with something done when the daemon has proved that it has the key and we have not.
pub(crate) fn converse_and(
    stream: &mut TcpStream,
    auth: Algorithm,
    half_way: impl FnOnce(),
) -> Option<Answer> {
    converse_as(stream, auth, half_way, Client::read)
}

fn converse_as(
    stream: &mut TcpStream,
    auth: Algorithm,
    half_way: impl FnOnce(),
    read: impl Fn(&mut Client, &[u8]) -> Result<(), duet_xvm::Error>,
) -> Option<Answer> {
    let mut half_way = Some(half_way);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = Client::new(protection(auth), Challenge::new(challenge()));
    loop {
        match client.wants() {
            Want::Write(bytes) => {
                let bytes = bytes.to_vec();
                if client.stage() == Stage::Proving {
                    half_way.take().into_iter().for_each(|half_way| half_way());
                }
                stream.write_all(&bytes).ok()?;
                client.wrote();
            }
            Want::Read(length) => {
                let mut bytes = vec![0; length];
                stream.read_exact(&mut bytes).ok()?;
                read(&mut client, &bytes).ok()?;
            }
            Want::Finished => return client.answer(),
        }
    }
}

/// A connection to the tcp listener, from this address.
pub(crate) fn connect_from(last: u8) -> TcpStream {
    // std cannot bind before connecting; nix can.
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
    use std::os::fd::AsRawFd;
    let stream =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(stream.as_raw_fd(), &SockaddrIn::new(10, 99, 0, last, 0)).unwrap();
    let to: SocketAddrV4 = TCP.parse().unwrap();
    connect(stream.as_raw_fd(), &SockaddrIn::from(to)).unwrap();
    TcpStream::from(stream)
}

/// Asks over tcp.
pub(crate) fn tcp(operation: Operation, domain: &str) -> Option<Answer> {
    tcp_from(2, operation, domain)
}

pub(crate) fn tcp_from(last: u8, operation: Operation, domain: &str) -> Option<Answer> {
    let mut stream = connect_from(last);
    stream.write_all(&signed(&request(operation, domain, None), Algorithm::Sha256)).ok()?;
    converse(&mut stream, Algorithm::Sha256)
}

/// Sends a datagram to the group.
pub(crate) fn cast(bytes: &[u8]) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // The way out is by the address that the socket has.
    socket.set_multicast_loop_v4(true).unwrap();
    socket.send_to(bytes, SocketAddrV4::new(GROUP_V4, PORT)).unwrap();
}

/// A port at which a call-back is awaited.
pub(crate) struct Awaiting {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Awaiting {
    pub(crate) fn at(last: u8) -> Awaiting {
        Awaiting::of(TcpListener::bind((Ipv4Addr::new(10, 99, 0, last), 0)).unwrap())
    }

    pub(crate) fn of(listener: TcpListener) -> Awaiting {
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        Awaiting { listener, address }
    }

    /// The next call-back within this time.
    pub(crate) fn called(&self, within: Duration) -> Option<TcpStream> {
        let began = Instant::now();
        while began.elapsed() < within {
            if let Ok((stream, _)) = self.listener.accept() {
                stream.set_nonblocking(false).unwrap();
                return Some(stream);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }
}

/// Asks over multicast, again every second: datagrams get lost where many are sent.
pub(crate) fn multicast(operation: Operation, domain: &str) -> Option<Answer> {
    let awaiting = Awaiting::at(2);
    let asked = request(operation, domain, Some(awaiting.address));
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        cast(&signed(&asked, Algorithm::Sha256));
        if let Some(mut stream) = awaiting.called(Duration::from_secs(1)) {
            return converse(&mut stream, Algorithm::Sha256);
        }
    }
    None
}
