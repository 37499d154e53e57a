//! Honest clients of a fencing daemon beside hostile peers: eight that connect and say nothing, one that drips, and three
//! requests whose call-back address leads nowhere. Invariant: all of them are there when a client is measured.

use duet_bench::{Beset, Error, Plan, Result, Timing, measure};
use duet_xvm::{Algorithm, GROUP_V4, Key, Operation, Protection, Request, Target};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

const SILENT: usize = 8;
/// Between two bytes of the one that drips.
const DRIP: Duration = Duration::from_millis(20);

fn could_not<E: ToString>(doing: &'static str) -> impl FnOnce(E) -> Error {
    move |error| Error::Hostile(doing, error.to_string())
}

/// Measures the commands, each beside peers that have just come.
pub(crate) fn beset(plan: &Beset) -> Result<Vec<Timing>> {
    let text = std::fs::read(&plan.key)
        .map_err(|source| Error::Read { what: plan.key.clone(), source })?;
    let key = Key::new(&text).map_err(could_not("take the key"))?;
    let protection =
        Protection::new(Algorithm::Sha256, Some(&key)).map_err(could_not("use the key"))?;
    let mut all: Vec<Timing> = Vec::new();
    let mut sequence = std::process::id();
    for _ in 0..plan.rounds {
        for command in &plan.commands {
            let held = plan.tcp_port.map(silent).transpose()?;
            let dripping = plan.tcp_port.map(connect).transpose()?;
            dripping.into_iter().for_each(drip);
            for (nowhere, port) in plan.nowhere.iter().zip(plan.multicast_port.iter().cycle()) {
                sequence = sequence.wrapping_add(1);
                call_nowhere(*port, nowhere, sequence, &protection)?;
            }
            std::thread::sleep(DRIP);
            let one =
                Plan { rounds: 1, warm_up: 0, groups: vec![vec![command.clone()]], at_once: 0 };
            for seen in measure::rounds(&one)? {
                match all.iter_mut().find(|timing| timing.name == seen.name) {
                    Some(timing) => {
                        timing.wall_ms.extend(seen.wall_ms);
                        timing.cpu_ms.extend(seen.cpu_ms);
                        timing.statuses.extend(seen.statuses);
                    }
                    None => all.push(seen),
                }
            }
            drop(held);
        }
    }
    Ok(all)
}

fn connect(port: u16) -> Result<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(could_not("connect"))
}

fn silent(port: u16) -> Result<Vec<TcpStream>> {
    (0..SILENT).map(|_| connect(port)).collect()
}

/// One byte after the other, until the daemon hangs up.
fn drip(mut stream: TcpStream) {
    std::thread::spawn(move || {
        while stream.write_all(&[0x55]).is_ok() {
            std::thread::sleep(DRIP);
        }
    });
}

/// Has the daemon call back where nobody is.
fn call_nowhere(port: u16, address: &str, sequence: u32, protection: &Protection) -> Result<()> {
    let nowhere: SocketAddr = address.parse().map_err(could_not("read the address"))?;
    let request = Request {
        operation: Operation::Monitor,
        target: Target::Nobody,
        by_uuid: false,
        call_back: Some(nowhere),
        sequence,
    };
    let clock = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.subsec_nanos());
    let mut random = [0; 6];
    random[..4].copy_from_slice(&clock.to_ne_bytes());
    let packet = request.sign(protection, random);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(could_not("open a socket"))?;
    socket
        .send_to(packet.as_bytes(), (GROUP_V4, port))
        .map(drop)
        .map_err(could_not("send a datagram"))
}
