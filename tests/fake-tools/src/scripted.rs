//! A server whose every byte the test decides, for answers that no libvirtd would give. Invariant: it
//! listens before `start` returns, so that a client never meets an empty place.

use std::{
    io::Read,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    thread,
};

use duet_libvirt_rpc::wire::{Header, Kind, Status};
use tempfile::TempDir;

/// A listening socket `libvirt-sock` with a script behind it.
#[derive(Debug)]
pub struct Scripted {
    directory: TempDir,
}

impl Scripted {
    /// Runs `script` for each connection, one thread each.
    #[must_use]
    pub fn start(script: impl Fn(UnixStream) + Send + Sync + Clone + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("libvirt-sock")).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), script) = (stream, script.clone()) else { return };
                thread::spawn(move || script(stream));
            }
        });
        Self { directory }
    }

    /// Where the socket is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// The next whole frame; none at the end of the connection.
pub fn read_frame(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut frame = vec![0; 4];
    stream.read_exact(&mut frame).ok()?;
    let length = u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize;
    assert!((28..64 * 1024 * 1024).contains(&length), "a client sent a frame of {length}");
    frame.resize(length, 0);
    stream.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}

/// The answer to `question` with this status and body.
#[must_use]
pub fn reply_to(question: &[u8], status: Status, body: &[u8]) -> Vec<u8> {
    let (header, _) = Header::split(&question[4..]).unwrap();
    Header { kind: Kind::Reply, status, ..header }.frame(body)
}
