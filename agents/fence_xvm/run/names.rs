//! Names of hosts. Invariant: asking for one is given up at the deadline, though the C library has none; an address costs
//! no question.

use duet_host::clock;
use duet_ocf::Deadline;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;

/// The addresses that a name has, in the order in which to try them.
pub(super) fn addresses(
    host: &str,
    port: u16,
    deadline: Deadline,
) -> Result<Vec<SocketAddr>, String> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (sender, receiver) = mpsc::channel();
    let name = host.to_owned();
    // When it is given up, the process ends, and it with it.
    std::thread::Builder::new()
        .spawn(move || {
            let found = (name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            let _ = sender.send(found);
        })
        .map_err(|why| why.to_string())?;
    match receiver.recv_timeout(deadline.remaining(clock::now())) {
        Ok(Ok(found)) if found.is_empty() => Err("the name has no address".to_owned()),
        Ok(Ok(found)) => Ok(found),
        Ok(Err(why)) => Err(why.to_string()),
        Err(_) => Err("nobody could say in time which address the name has".to_owned()),
    }
}
