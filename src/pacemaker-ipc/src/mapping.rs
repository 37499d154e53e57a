//! A file of libqb's in shared memory, and the semaphore in it. Invariant: a mapping is as long as its file was when it was
//! looked at, and is only ever seen as words that another process may change at any time.
#![allow(
    unsafe_code,
    clippy::disallowed_methods,
    reason = "shared memory and its semaphores have no safe interface; the files are libqb's"
)]

use std::{
    fs::OpenOptions,
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::Path,
    ptr::NonNull,
    sync::atomic::AtomicU32,
};

use nix::libc;

/// Where a ring's header has its semaphore: behind three words, two paths and the number of users.
const SEMAPHORE: usize = 8208;
/// Behind that, for requests: whether the daemon wants none now.
const FLOW: usize = SEMAPHORE + size_of::<libc::sem_t>();
/// A ring's header is as long, at least, in bytes.
pub const HEADER: usize = FLOW + 4;

/// Bytes that are shared with a daemon.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<libc::c_void>,
    length: usize,
}

// SAFETY: the memory belongs to the mapping and not to a thread; all access to it is atomic or through a semaphore, which
// are for use by several threads.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps a whole file that belongs to one of these users, if its length is within these bounds and whole words.
    ///
    /// # Errors
    /// If it cannot be opened or mapped, or is not such a file.
    pub fn open(path: &Path, owners: &[u32], bounds: (usize, usize)) -> io::Result<Mapping> {
        let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
        let is = file.metadata()?;
        let length = usize::try_from(is.len()).unwrap_or(usize::MAX);
        if !is.is_file() || !owners.contains(&is.uid()) {
            return Err(io::Error::other("it is not the daemon's file"));
        }
        if length < bounds.0 || length > bounds.1 || length % 4 != 0 {
            return Err(io::Error::other(format!("it is {length} bytes long")));
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new shared mapping of an open file, at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                protection,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start).ok_or_else(|| io::Error::other("mapped at 0"))?;
        Ok(Mapping { start, length })
    }

    /// All of it.
    #[must_use]
    pub fn words(&self) -> &[AtomicU32] {
        // SAFETY: the mapping is `length` bytes long, whole words, at the beginning of a page, and lives as long as `self`.
        // Another process may change it at any time, which is what atomics are for. If the daemon made the file shorter, an
        // access would end this process with SIGBUS; it could do so with its own clients, and has no reason to.
        unsafe { std::slice::from_raw_parts(self.start.cast().as_ptr(), self.length / 4) }
    }

    /// Whether the daemon wants no requests now.
    pub(crate) fn is_held(&self) -> bool {
        let flow = self.words()[FLOW / 4].load(std::sync::atomic::Ordering::Acquire);
        crate::handshake::signed(flow) > 0
    }

    /// A header's semaphore. Headers are opened with [`HEADER`] as their least length.
    fn semaphore(&self) -> *mut libc::sem_t {
        assert!(self.length >= HEADER, "only headers have one");
        self.start.as_ptr().wrapping_byte_add(SEMAPHORE).cast()
    }

    /// Says to the other side that there is one chunk more.
    ///
    /// # Errors
    /// If the semaphore is none, or at its highest.
    pub fn post(&self) -> io::Result<()> {
        // SAFETY: the pointer is into the mapping, aligned as its place is a multiple of eight, and libqb has made a
        // semaphore for several processes there. glibc checks nothing but its count, which it changes atomically.
        match unsafe { libc::sem_post(self.semaphore()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Takes one chunk off the count. Never waits.
    pub fn count_down(&self) {
        // SAFETY: as in `post`.
        let _ = unsafe { libc::sem_trywait(self.semaphore()) };
    }

    /// Whether the other side has taken all chunks.
    #[must_use]
    pub fn is_read(&self) -> bool {
        let mut count = 0;
        // SAFETY: as in `post`; `count` is written to.
        let known = unsafe { libc::sem_getvalue(self.semaphore(), &raw mut count) } == 0;
        known && count <= 0
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this mapping was made by `open`, with this length, and nothing borrows from it any more.
        unsafe { libc::munmap(self.start.as_ptr(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    fn file(length: usize) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(length as u64).unwrap();
        file
    }

    fn me() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    #[test]
    fn what_one_side_writes_the_other_reads() {
        let file = file(HEADER);
        let open = || Mapping::open(file.path(), &[me()], (HEADER, HEADER)).unwrap();
        let (one, other) = (open(), open());
        one.words()[5].store(7, Ordering::Release);
        assert_eq!(other.words()[5].load(Ordering::Acquire), 7);
        assert!(other.is_read());
        one.post().unwrap();
        assert!(!other.is_read());
        other.count_down();
        other.count_down();
        assert!(one.is_read());
        assert!(!one.is_held());
        other.words()[FLOW / 4].store(1, Ordering::Release);
        assert!(one.is_held());
    }

    #[test]
    fn a_file_of_another_size_owner_or_kind_is_refused() {
        let file = file(HEADER);
        let open = |path: &Path, owner, bounds| Mapping::open(path, &[owner], bounds).is_err();
        assert!(open(file.path(), me(), (HEADER + 1, HEADER + 1)));
        assert!(open(file.path(), me(), (4, HEADER - 4)));
        assert!(open(file.path(), me() + 1, (HEADER, HEADER)));
        assert!(open(Path::new("/dev/null"), 0, (0, 100)));
        let link = file.path().with_extension("link");
        std::os::unix::fs::symlink(file.path(), &link).unwrap();
        assert!(open(&link, me(), (HEADER, HEADER)));
        std::fs::remove_file(link).unwrap();
    }
}
