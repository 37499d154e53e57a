//! Descriptors of processes: one stays about the process it was opened for, whoever gets its number later.
//! Neither std nor nix has these two calls, so this is where they are made.

use nix::sys::signal::Signal;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The process that has this number now. Needs Linux 5.3.
#[allow(unsafe_code, reason = "neither std nor nix has pidfd_open")]
pub(crate) fn open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let fd = unsafe { nix::libc::syscall(nix::libc::SYS_pidfd_open, pid, 0) };
    match i32::try_from(fd) {
        // SAFETY: a descriptor just returned by the kernel, which nobody else owns.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends a signal to it.
#[allow(unsafe_code, reason = "neither std nor nix has pidfd_send_signal")]
pub(crate) fn send(process: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    let (fd, number) = (process.as_raw_fd(), signal as nix::libc::c_int);
    let nothing = std::ptr::null::<nix::libc::siginfo_t>();
    // SAFETY: the descriptor is open for as long as it is borrowed; without a siginfo, the kernel makes its own.
    let sent =
        unsafe { nix::libc::syscall(nix::libc::SYS_pidfd_send_signal, fd, number, nothing, 0) };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
