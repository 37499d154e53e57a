//! By tcp and vsock: connect, send the request, converse. Invariant: the request goes over one connection, once.

use super::sockets;
use super::talk::{Conversation, Copies};
use super::{names, random, request, sequence, wait};
use crate::event::{Event, Trace};
use crate::key::Secrets;
use crate::options::order::{Order, Route};
use crate::outcome::Failure;
use duet_host::clock;
use duet_ocf::Deadline;
use duet_xvm::exchange::Answer;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// How long one address has to take the connection, as in stock.
const CONNECTING: Duration = Duration::from_secs(3);

/// Asks a daemon that listens for streams.
pub(super) fn ask(order: &Order, secrets: &Secrets, trace: &mut Trace) -> Result<Answer, Failure> {
    let (stream, peer) = connect(order, trace)?;
    trace.note(Event::Connected(peer.clone()));
    let datagram = request(order, None, sequence()?).sign(&secrets.hash, random()?);
    let conversation = Conversation::new(stream, peer, datagram.as_bytes().to_vec(), secrets)?;
    let mut asked = Copies::default();
    asked.add(datagram);
    conversation.finish(&asked, clock::within(order.timeout), order.timeout.as_secs(), trace)
}

fn connect(order: &Order, trace: &mut Trace) -> Result<(OwnedFd, String), Failure> {
    let deadline = clock::within(order.timeout);
    let (to, failed) = match &order.route {
        Route::Vsock { cid, port } => {
            let to = format!("{cid}:{port}");
            match made(sockets::to_peer(*cid, *port), deadline) {
                Ok(stream) => return Ok((stream, to)),
                Err(why) => (to, why.desc().to_owned()),
            }
        }
        Route::Tcp { host, port, origin } => {
            let to = format!("{host}:{port}");
            match names::addresses(host, *port, deadline) {
                Ok(addresses) => {
                    let mut last = Errno::EHOSTUNREACH;
                    for address in addresses {
                        match made(sockets::to_host(address, origin), deadline) {
                            Ok(stream) => return Ok((stream, address.to_string())),
                            Err(why) => {
                                let (to, why_text) = (address.to_string(), why.desc().to_owned());
                                trace.note(Event::NotConnected { to, why: why_text });
                                last = why;
                            }
                        }
                    }
                    return Err(Failure::Connect { to, why: last.desc().to_owned() });
                }
                Err(why) => (to, why),
            }
        }
        Route::Multicast(_) | Route::Serial { .. } | Route::Channel { .. } => {
            (String::new(), "no stream".to_owned())
        }
    };
    trace.note(Event::NotConnected { to: to.clone(), why: failed.clone() });
    Err(Failure::Connect { to, why: failed })
}

/// The stream, once the connection is made.
pub(super) fn made(begun: nix::Result<OwnedFd>, deadline: Deadline) -> nix::Result<OwnedFd> {
    let stream = begun?;
    let now = clock::now();
    let deadline = Deadline::at(now + CONNECTING.min(deadline.remaining(now)));
    loop {
        let mut descriptors = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
        wait(&mut descriptors, deadline)?;
        if descriptors[0].any().unwrap_or(false) {
            return match sockets::error(&stream) {
                None => Ok(stream),
                Some(why) => Err(why),
            };
        }
        if deadline.remaining(clock::now()).is_zero() {
            return Err(Errno::ETIMEDOUT);
        }
    }
}
