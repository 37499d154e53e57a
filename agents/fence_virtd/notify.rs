//! Telling whoever supervises the daemon how it is (`NOTIFY_SOCKET`, sd_notify(3)). Invariant: nobody who does not listen holds it up.

use std::{
    ffi::OsString,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

use nix::time::{ClockId, clock_gettime};

/// Where to tell it, if anybody asked.
#[derive(Debug)]
pub(crate) struct Notify(Option<OsString>);

impl Notify {
    /// As the environment says.
    pub(crate) fn from_environment() -> Notify {
        Notify(std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()))
    }

    /// It serves.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// It reads its configuration anew, and will say when it has.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map(|now| now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.unwrap_or(0)));
    }

    /// It ends.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, text: &str) {
        let Some(socket) = &self.0 else { return };
        let address = match socket.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            _ => SocketAddr::from_pathname(socket),
        };
        let (Ok(address), Ok(datagram)) = (address, UnixDatagram::unbound()) else { return };
        let _ = datagram.set_nonblocking(true);
        let _ = datagram.send_to_addr(text.as_bytes(), &address);
    }
}
