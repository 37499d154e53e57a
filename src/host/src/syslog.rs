//! One datagram to the local syslog socket. Never waits: a log daemon that does not read loses lines,
//! it does not stop a failover.

use duet_ocf::Level;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Where syslog listens.
pub(crate) const SOCKET: &str = "/dev/log";

const LONGEST: usize = 8 * 1024;

/// The number of a facility's name, as in `HA_LOGFACILITY`.
pub(crate) fn facility(name: &str) -> Option<u8> {
    const NAMES: [&str; 12] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron",
        "authpriv", "ftp",
    ];
    let name = name.trim().to_ascii_lowercase();
    if let Some(at) = NAMES.iter().position(|known| *known == name) {
        return u8::try_from(at).ok();
    }
    let local: u8 = name.strip_prefix("local")?.parse().ok()?;
    (local < 8).then_some(16 + local)
}

fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warning => 4,
        Level::Info => 6,
        Level::Debug => 7,
    }
}

/// Sends one line.
pub(crate) fn send(
    socket: &Path,
    facility: u8,
    level: Level,
    stamp: &str,
    tag: &str,
    text: &str,
) -> io::Result<()> {
    let priority = facility * 8 + severity(level);
    let line = format!("<{priority}>{stamp} {tag}: {level}: {text}");
    let mut end = line.len().min(LONGEST);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let datagram = UnixDatagram::unbound()?;
    datagram.set_nonblocking(true)?;
    datagram.connect(socket)?;
    datagram.send(&line.as_bytes()[..end]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities_have_their_numbers() {
        for (name, number) in [("daemon", 3), ("LOCAL7", 23), ("local0", 16), ("ftp", 11)] {
            assert_eq!(facility(name), Some(number), "{name}");
        }
        for name in ["none", "", "local8", "localx"] {
            assert_eq!(facility(name), None, "{name}");
        }
    }
}
