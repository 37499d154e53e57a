//! By a serial line or a channel: 74 bytes out, an answer back, and nothing proved by either side. Invariant: what comes
//! before the answer does not count, and time that passes does.

use super::stream::made;
use super::{operation, sequence, sockets, target, wait};
use crate::event::{Event, Trace};
use crate::options::order::{Order, Origin, Parity, Route};
use crate::outcome::Failure;
use duet_host::clock;
use duet_host::serial::{self, Framing};
use duet_ocf::{Deadline, chain};
use duet_xvm::exchange::Answer;
use duet_xvm::serial::{Replies, Request};
use nix::poll::{PollFd, PollFlags};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

/// How long the other end may take the request, as in stock.
const SENDING: Duration = Duration::from_secs(3);
/// How long the line is down before it, as in stock.
const PAUSE: Duration = Duration::from_millis(300);

/// Asks the daemon at the other end.
pub(super) fn ask(order: &Order, trace: &mut Trace) -> Result<Answer, Failure> {
    let (mut line, peer) = open(order, trace)?;
    trace.note(Event::Connected(peer.clone()));
    let request = Request {
        operation: operation(order.action),
        target: target(order),
        sequence: sequence()?,
    };
    send(&mut line, &request.to_bytes(), clock::within(SENDING))?;
    let deadline = clock::within(order.timeout);
    let mut replies = Replies::default();
    let mut buffer = [0; 4096];
    loop {
        let length = match line.read(&mut buffer) {
            Ok(0) => return Err(Failure::Line("The line was closed without an answer".to_owned())),
            Ok(length) => length,
            Err(why) if why.kind() == ErrorKind::WouldBlock => 0,
            Err(why) if why.kind() == ErrorKind::Interrupted => 0,
            Err(why) => return Err(Failure::Line(format!("Could not read the answer: {why}"))),
        };
        let answer = replies
            .feed(&buffer[..length])
            .map_err(|why| Failure::Line(format!("No answer: {why}")))?;
        if let Some(answer) = answer {
            let reply = match &answer {
                Answer::Reply(reply) => *reply,
                Answer::Hosts(_) => duet_xvm::Reply::HostList,
            };
            trace.note(Event::Answered { peer, reply });
            return Ok(answer);
        }
        if deadline.remaining(clock::now()).is_zero() {
            return Err(Failure::NoAnswer(order.timeout.as_secs()));
        }
        if length == 0 {
            ready(&line, PollFlags::POLLIN, deadline)?;
        }
    }
}

fn open(order: &Order, trace: &mut Trace) -> Result<(File, String), Failure> {
    match &order.route {
        Route::Serial { device, line } => {
            let framing = Framing {
                speed: line.speed,
                bits: line.bits,
                odd_parity: line.parity.map(|parity| parity == Parity::Odd),
                two_stop_bits: line.two_stop_bits,
            };
            let opened = serial::open(device, &framing).map_err(|why| {
                let (to, why) = (device.display().to_string(), chain(&why));
                trace.note(Event::NotConnected { to, why: why.clone() });
                Failure::Line(why)
            })?;
            serial::hang_up(&opened, PAUSE);
            Ok((opened, device.display().to_string()))
        }
        Route::Channel { address, port } => {
            let to = SocketAddr::new(*address, *port);
            let deadline = clock::within(order.timeout);
            let stream =
                made(sockets::to_host(to, &Origin::default()), deadline).map_err(|why| {
                    let why = why.desc().to_owned();
                    trace.note(Event::NotConnected { to: to.to_string(), why: why.clone() });
                    Failure::Line(format!("Failed to connect to {to}: {why}"))
                })?;
            Ok((File::from(stream), to.to_string()))
        }
        Route::Multicast(_) | Route::Tcp { .. } | Route::Vsock { .. } => {
            Err(Failure::Line("no line".to_owned()))
        }
    }
}

fn send(line: &mut File, mut bytes: &[u8], deadline: Deadline) -> Result<(), Failure> {
    while !bytes.is_empty() {
        match line.write(bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            Err(why) if why.kind() == ErrorKind::WouldBlock => {
                if deadline.remaining(clock::now()).is_zero() {
                    let text = "Failed to send request: the other end does not take it";
                    return Err(Failure::Line(text.to_owned()));
                }
                ready(line, PollFlags::POLLOUT, deadline)?;
            }
            Err(why) => return Err(Failure::Line(format!("Failed to send request: {why}"))),
        }
    }
    Ok(())
}

fn ready(line: &File, flags: PollFlags, deadline: Deadline) -> Result<(), Failure> {
    wait(&mut [PollFd::new(line.as_fd(), flags)], deadline)
        .map_err(|why| Failure::Line(why.desc().to_owned()))
}
