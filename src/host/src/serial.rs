//! A serial line as a file: opened, locked against others, set to speed and framing. Invariant: nothing is written to what
//! is no character device, and reading never waits.

use crate::Error;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::termios::{
    BaudRate, ControlFlags, FlushArg, InputFlags, LocalFlags, OutputFlags, SetArg,
    SpecialCharacterIndices, cfsetspeed, tcflush, tcgetattr, tcsetattr,
};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// How bits become characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// Bits per second: 2400, 9600, 19200, 38400, 57600 or 115200; others are 9600.
    pub speed: u32,
    /// Bits in a character: 5 to 8; others are 8.
    pub bits: u8,
    /// `Some(true)` for odd, `Some(false)` for even parity.
    pub odd_parity: Option<bool>,
    /// Two stop bits in place of one.
    pub two_stop_bits: bool,
}

/// Opens a line for raw bytes, with what it has received so far thrown away. A character device that is no terminal, such as a
/// virtio port, is taken as it is.
///
/// # Errors
/// [`Error::Read`], also when somebody else has it.
pub fn open(path: &Path, framing: &Framing) -> Result<File, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY | nix::libc::O_EXCL;
    let is_device = std::fs::metadata(path).map_err(failed)?.file_type().is_char_device();
    if !is_device {
        return Err(failed(io::Error::other("not a character device")));
    }
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).map_err(failed)?;
    let lock =
        nix::libc::flock { l_type: write_lock(), l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    fcntl(&file, FcntlArg::F_SETLK(&lock)).map_err(|why| failed(why.into()))?;
    match set(&file, framing) {
        Ok(()) | Err(nix::errno::Errno::ENOTTY | nix::errno::Errno::EINVAL) => Ok(file),
        Err(why) => Err(failed(why.into())),
    }
}

/// `F_WRLCK` in the type that the structure has.
fn write_lock() -> nix::libc::c_short {
    nix::libc::c_short::try_from(nix::libc::F_WRLCK).unwrap_or(1)
}

fn set(file: &File, framing: &Framing) -> nix::Result<()> {
    let mut settings = tcgetattr(file)?;
    settings.input_flags = InputFlags::empty();
    settings.output_flags = OutputFlags::empty();
    settings.local_flags = LocalFlags::empty();
    let mut control = ControlFlags::CLOCAL | ControlFlags::CREAD | ControlFlags::CRTSCTS;
    control |= match framing.bits {
        5 => ControlFlags::CS5,
        6 => ControlFlags::CS6,
        7 => ControlFlags::CS7,
        _ => ControlFlags::CS8,
    };
    control |= match framing.odd_parity {
        None => ControlFlags::empty(),
        Some(false) => ControlFlags::PARENB,
        Some(true) => ControlFlags::PARENB | ControlFlags::PARODD,
    };
    control.set(ControlFlags::CSTOPB, framing.two_stop_bits);
    settings.control_flags = control;
    // With less, reading nothing would look like the end.
    settings.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
    settings.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
    let speed = match framing.speed {
        2400 => BaudRate::B2400,
        19_200 => BaudRate::B19200,
        38_400 => BaudRate::B38400,
        57_600 => BaudRate::B57600,
        115_200 => BaudRate::B115200,
        _ => BaudRate::B9600,
    };
    cfsetspeed(&mut settings, speed)?;
    tcsetattr(file, SetArg::TCSANOW, &settings)?;
    tcflush(file, FlushArg::TCIOFLUSH)
}

/// Lets the other end see that somebody new is here: the modem lines go down for so long, and up again. A device without
/// modem lines has none to move.
pub fn hang_up(file: &File, pause: Duration) {
    const LINES: i32 = nix::libc::TIOCM_DTR | nix::libc::TIOCM_RTS;
    if move_lines(file, nix::libc::TIOCMBIC, LINES) {
        std::thread::sleep(pause);
        move_lines(file, nix::libc::TIOCMBIS, LINES);
    }
}

#[allow(unsafe_code, reason = "there is no other way to move modem lines")]
fn move_lines(file: &File, request: nix::libc::c_ulong, lines: i32) -> bool {
    // SAFETY: the descriptor is open for as long as `file` lives, and both requests read one int, which outlives the call.
    unsafe { nix::libc::ioctl(file.as_raw_fd(), request as _, std::ptr::from_ref(&lines)) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    const FRAMING: Framing =
        Framing { speed: 115_200, bits: 8, odd_parity: None, two_stop_bits: false };

    #[test]
    fn what_is_no_device_is_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, b"precious").unwrap();
        assert!(open(&path, &FRAMING).is_err());
        assert!(open(&directory.path().join("missing"), &FRAMING).is_err());
    }

    #[test]
    fn a_terminal_is_raw_in_both_directions() {
        let pair = match nix::pty::openpty(None, None) {
            Ok(pair) => pair,
            Err(why) => return println!("skipped: no pseudo-terminal: {why}"),
        };
        let name = nix::unistd::ttyname(&pair.slave).unwrap();
        let mut line = open(&name, &FRAMING).unwrap();
        hang_up(&line, Duration::ZERO);
        let mut other = File::from(pair.master);
        other.write_all(b"\x03\r\n\x04abba").unwrap();
        let mut got = [0; 8];
        let mut length = 0;
        for _ in 0..1000 {
            match line.read(&mut got[length..]) {
                Ok(more) => length += more,
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(why) => panic!("{why}"),
            }
            if length == got.len() {
                break;
            }
        }
        assert_eq!(&got, b"\x03\r\n\x04abba");
        line.write_all(b"\n\x01").unwrap();
        let mut back = [0; 2];
        other.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"\n\x01");
    }
}
