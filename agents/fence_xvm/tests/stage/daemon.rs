//! A fence_virtd without libvirt, that answers what a test wants, or misbehaves as told. It is made of the machines of
//! `duet_xvm`, which have their own tests against recorded bytes. Invariant: it ends with the test.

use super::{HOST, key};
use duet_xvm::exchange::{Server, Want};
use duet_xvm::{
    Algorithm, Challenge, Datagram, GROUP_V4, GROUP_V6, Operation, Outstanding, Protection,
    REQUEST, Request,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What it does with somebody who asks.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// Proves that it has the key, and says these bytes.
    Answer(Vec<u8>),
    /// Proves that it has the key, and says nothing for longer than anybody waits.
    Mute,
    /// Connects and says nothing.
    Silent,
    /// Connects and leaves.
    Leave,
    /// Connects and says these bytes at once, without a proof.
    Blurt(Vec<u8>),
    /// Does not connect for so many requests, then answers.
    Deaf(usize, Vec<u8>),
    /// Connects silently, connects and leaves, then answers on a third connection.
    Crowd(Vec<u8>),
    /// Has been sent a recording of a monitor, and answers that first; then what was asked, in these bytes.
    Recorded(Vec<u8>),
    /// Connects silently more often than anybody can listen, then answers.
    Flood(Vec<u8>),
}

/// How it is set.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) hash: Algorithm,
    pub(crate) auth: Algorithm,
    pub(crate) key: duet_xvm::Key,
    pub(crate) manner: Manner,
}

impl Settings {
    pub(crate) fn answering(bytes: &[u8]) -> Self {
        Self {
            hash: Algorithm::Sha256,
            auth: Algorithm::Sha256,
            key: key(),
            manner: Manner::Answer(bytes.to_vec()),
        }
    }

    pub(crate) fn with(self, manner: Manner) -> Self {
        Self { manner, ..self }
    }
}

/// A daemon that runs.
pub(crate) struct Daemon {
    pub(crate) heard: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    /// One that hears the group of IPv4.
    pub(crate) fn v4(settings: Settings) -> Self {
        let socket = UdpSocket::bind("0.0.0.0:1229").unwrap();
        let interface = HOST[0].parse().unwrap();
        socket.join_multicast_v4(&GROUP_V4, &interface).unwrap();
        Self::datagrams(socket, settings)
    }

    /// One that hears the group of IPv6.
    pub(crate) fn v6(settings: Settings) -> Self {
        let socket = UdpSocket::bind("[::]:1229").unwrap();
        let index = nix::net::if_::if_nametoindex("one").unwrap();
        socket.join_multicast_v6(&GROUP_V6, index).unwrap();
        Self::datagrams(socket, settings)
    }

    fn datagrams(socket: UdpSocket, settings: Settings) -> Self {
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Self::run(settings, move |settings, heard, stop| {
            let mut threads = Vec::new();
            let mut buffer = [0; 2048];
            while !stop.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let Ok(datagram) = Datagram::new(&buffer[..length]) else { continue };
                let Ok(request) = datagram.verify(settings.hash, Some(&settings.key)) else {
                    continue;
                };
                let call_back = request.call_back.unwrap();
                let recorded = Request { operation: Operation::Monitor, ..request.clone() };
                // The loopback's copy is one of a daemon on the same host only.
                if call_back.ip().is_loopback() {
                    continue;
                }
                assert_eq!(
                    call_back.ip(),
                    from.ip(),
                    "a copy comes from another address than it says"
                );
                heard.lock().unwrap().push(request);
                let count = heard.lock().unwrap().len();
                let (settings, stop) = (settings.clone(), Arc::clone(stop));
                threads.push(std::thread::spawn(move || {
                    if let Manner::Recorded(_) = settings.manner {
                        let hash = Protection::new(settings.hash, Some(&settings.key)).unwrap();
                        let recorded = recorded.sign(&hash, [1; 6]);
                        let manner = Manner::Answer(vec![0]);
                        let settings = settings.clone().with(manner);
                        serve_back(call_back, &recorded, count, &settings, &stop);
                    }
                    serve_back(call_back, &datagram, count, &settings, &stop);
                }));
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        })
    }

    /// One that listens for streams.
    pub(crate) fn tcp(at: &str, settings: Settings) -> Self {
        let listener = listener(at);
        listener.set_nonblocking(true).unwrap();
        Self::run(settings, move |settings, heard, stop| {
            while !stop.load(Ordering::Relaxed) {
                let Ok((mut stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                let mut bytes = [0; REQUEST];
                if stream.read_exact(&mut bytes).is_err() {
                    continue;
                }
                let datagram = Datagram::new(&bytes).unwrap();
                let Ok(request) = datagram.verify(settings.hash, Some(&settings.key)) else {
                    continue;
                };
                heard.lock().unwrap().push(request);
                serve(stream, &datagram, settings, stop);
            }
        })
    }

    /// One at the host's end of a channel: gets a request's bytes, and says what it is given.
    pub(crate) fn channel(answer: Vec<u8>, stays: bool) -> Self {
        let listener = TcpListener::bind((HOST[0], 1229)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self::run(Settings::answering(&answer), move |_, heard, stop| {
            while !stop.load(Ordering::Relaxed) {
                let Ok((mut stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                let mut bytes = [0; duet_xvm::serial::REQUEST];
                stream.read_exact(&mut bytes).unwrap();
                let found = duet_xvm::serial::Requests::default().feed(&bytes);
                let [duet_xvm::serial::Request { operation, target, sequence }] = &found[..] else {
                    panic!("{found:?}")
                };
                heard.lock().unwrap().push(Request {
                    operation: *operation,
                    target: target.clone(),
                    by_uuid: false,
                    call_back: None,
                    sequence: *sequence,
                });
                for part in answer.chunks(97) {
                    stream.write_all(part).unwrap();
                }
                if stays {
                    linger(stop);
                }
            }
        })
    }

    fn run(
        settings: Settings,
        work: impl FnOnce(&Settings, &Mutex<Vec<Request>>, &Arc<AtomicBool>) + Send + 'static,
    ) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (list, flag) = (Arc::clone(&heard), Arc::clone(&stop));
        let thread = std::thread::spawn(move || work(&settings, &list, &flag));
        Self { heard, stop, thread: Some(thread) }
    }

    /// What it has heard.
    pub(crate) fn heard(&self) -> Vec<Request> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

/// A child that another test has just forked holds the listener of a daemon that was here before, until it is executed.
fn listener(at: &str) -> TcpListener {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpListener::bind((at, 1229)) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5));
            }
            bound => return bound.unwrap(),
        }
    }
}

fn linger(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn serve_back(
    call_back: SocketAddr,
    asked: &Datagram,
    count: usize,
    settings: &Settings,
    stop: &Arc<AtomicBool>,
) {
    match &settings.manner {
        Manner::Deaf(many, _) if count <= *many => return,
        Manner::Crowd(_) => {
            // The second copy may find that the client has its answer already.
            let [silent, leaving, third] = [(); 3].map(|()| TcpStream::connect(call_back));
            drop(leaving);
            if let (Ok(_silent), Ok(stream)) = (silent, third) {
                serve(stream, asked, settings, stop);
            }
            return;
        }
        Manner::Flood(_) => {
            let silent: Vec<_> = (0..40).map(|_| TcpStream::connect(call_back)).collect();
            if let Ok(stream) = TcpStream::connect(call_back) {
                serve(stream, asked, settings, stop);
            }
            return drop(silent);
        }
        _ => {}
    }
    // A client that has its answer does not listen any more.
    if let Ok(stream) = TcpStream::connect(call_back) {
        serve(stream, asked, settings, stop);
    }
}

fn serve(mut stream: TcpStream, asked: &Datagram, settings: &Settings, stop: &AtomicBool) {
    let answer = match &settings.manner {
        Manner::Silent => return linger(stop),
        Manner::Leave => return,
        Manner::Blurt(bytes) => return drop(stream.write_all(bytes)),
        Manner::Answer(answer)
        | Manner::Deaf(_, answer)
        | Manner::Crowd(answer)
        | Manner::Recorded(answer)
        | Manner::Flood(answer) => Some(answer),
        Manner::Mute => None,
    };
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let auth = Protection::new(settings.auth, Some(&settings.key)).unwrap();
    let challenge = match &auth {
        Protection::Keyed(keyed) => Challenge::about(asked, keyed, [9; 16]),
        Protection::None => Challenge::new([9; 64]),
    };
    let mut server = Server::new(auth, challenge);
    let outstanding = &mut Outstanding::default();
    loop {
        let went_on = match server.wants() {
            Want::Finished => break,
            Want::Write(bytes) => {
                let written = stream.write_all(bytes);
                server.wrote();
                written.is_ok()
            }
            Want::Read(length) => {
                let mut bytes = vec![0; length];
                stream.read_exact(&mut bytes).is_ok() && server.read(&bytes, outstanding).is_ok()
            }
        };
        if !went_on {
            return;
        }
    }
    match answer {
        Some(answer) => drop(stream.write_all(answer)),
        None => linger(stop),
    }
}
