//! A client of NFS version 3 that appends numbered lines, each acknowledged as being on stable storage (RFC 1813, FILE_SYNC),
//! and reads them back. Invariant: a line counts as acknowledged only by the server's own answer to its write; every call has a bound.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// One line: ten digits and a newline.
pub(crate) const LINE: u64 = 11;

/// Neither connecting nor an answer is waited for longer.
const PATIENCE: Duration = Duration::from_secs(4);
const PORTMAP: u32 = 100_000;
const NFS: u32 = 100_003;
const MOUNT: u32 = 100_005;
/// The well-known ports of rpcbind and nfsd.
const RPCBIND_PORT: u16 = 111;
const NFS_PORT: u16 = 2049;
/// FILE_SYNC of `stable_how`.
const FILE_SYNC: u32 = 2;
/// Bytes of a file's attributes in an answer (`fattr3`), and of those before a change (`wcc_attr`).
const ATTRIBUTES: usize = 84;
const ATTRIBUTES_BEFORE: usize = 24;
/// No answer is larger; more is not an answer.
const LARGEST: usize = 1 << 20;

/// The line of a number.
pub(crate) fn line(number: u64) -> Vec<u8> {
    format!("{number:010}\n").into_bytes()
}

/// An open connection, and the file.
pub(crate) struct File {
    connection: Connection,
    handle: Vec<u8>,
}

impl File {
    /// Mounts a directory of a server and opens a file in it, which is made where it is not there.
    ///
    /// # Errors
    /// Nobody answers in time, or the server refuses.
    pub(crate) fn open(server: IpAddr, directory: &str, name: &str) -> io::Result<Self> {
        let mut portmap = Connection::to(server, RPCBIND_PORT)?;
        let mut asks = Vec::new();
        for word in [MOUNT, 3, 6, 0] {
            put(&mut asks, word);
        }
        let port = portmap.call(PORTMAP, 2, 3, &asks)?.number()?;
        let port = u16::try_from(port).ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| io::Error::other("mountd is not registered"))?;
        let mut asks = Vec::new();
        put_bytes(&mut asks, directory.as_bytes());
        let mut answer = Connection::to(server, port)?.call(MOUNT, 3, 1, &asks)?;
        answer.status("mount")?;
        let root = answer.bytes()?;
        let mut connection = Connection::to(server, NFS_PORT)?;
        let mut asks = Vec::new();
        put_bytes(&mut asks, &root);
        put_bytes(&mut asks, name.as_bytes());
        // UNCHECKED, and of the attributes only a mode.
        for word in [0, 1, 0o644, 0, 0, 0, 0, 0] {
            put(&mut asks, word);
        }
        let mut answer = connection.call(NFS, 3, 8, &asks)?;
        answer.status("create")?;
        if answer.number()? != 1 {
            return Err(io::Error::other("the server made a file without a handle"));
        }
        Ok(Self { connection, handle: answer.bytes()? })
    }

    /// Writes the line of a number in its place. When this returns, the server has it on stable storage.
    ///
    /// # Errors
    /// It is not known whether it is there.
    pub(crate) fn write(&mut self, number: u64) -> io::Result<()> {
        let content = line(number);
        let length = u32::try_from(content.len()).expect("a line is short");
        let mut asks = Vec::new();
        put_bytes(&mut asks, &self.handle);
        asks.extend((number * LINE).to_be_bytes());
        put(&mut asks, length);
        put(&mut asks, FILE_SYNC);
        put_bytes(&mut asks, &content);
        let mut answer = self.connection.call(NFS, 3, 7, &asks)?;
        answer.status("write")?;
        answer.optional(ATTRIBUTES_BEFORE)?;
        answer.optional(ATTRIBUTES)?;
        match (answer.number()?, answer.number()?) {
            (written, FILE_SYNC) if written == length => Ok(()),
            (written, how) => Err(io::Error::other(format!("{written} bytes written, as {how}"))),
        }
    }

    /// The file's first lines, as many as are wanted; fewer where it ends.
    ///
    /// # Errors
    /// It could not be read.
    pub(crate) fn read(&mut self, lines: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        while (content.len() as u64) < lines * LINE {
            let offset = content.len() as u64;
            let count = u32::try_from((lines * LINE - offset).min(4096)).expect("at most 4096");
            let mut asks = Vec::new();
            put_bytes(&mut asks, &self.handle);
            asks.extend(offset.to_be_bytes());
            put(&mut asks, count);
            let mut answer = self.connection.call(NFS, 3, 6, &asks)?;
            answer.status("read")?;
            answer.optional(ATTRIBUTES)?;
            let (_, ends) = (answer.number()?, answer.number()?);
            let bytes = answer.bytes()?;
            content.extend(&bytes);
            if ends == 1 || bytes.is_empty() {
                break;
            }
        }
        Ok(content)
    }
}

struct Connection {
    stream: TcpStream,
    next: u32,
}

impl Connection {
    fn to(server: IpAddr, port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&SocketAddr::new(server, port), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, next: 1 })
    }

    /// One call as root, by its numbers of RFC 5531, and its results.
    fn call(
        &mut self,
        program: u32,
        version: u32,
        procedure: u32,
        asks: &[u8],
    ) -> io::Result<Answer> {
        let number = self.next;
        self.next += 1;
        let mut message = Vec::new();
        for word in [number, 0, 2, program, version, procedure] {
            put(&mut message, word);
        }
        // AUTH_SYS: stamp, machine, user, group, no further groups; and no verifier.
        let mut who = Vec::new();
        put(&mut who, 0);
        put_bytes(&mut who, b"lab");
        for word in [0, 0, 0] {
            put(&mut who, word);
        }
        put(&mut message, 1);
        put_bytes(&mut message, &who);
        put(&mut message, 0);
        put(&mut message, 0);
        message.extend(asks);
        let length = u32::try_from(message.len()).map_err(io::Error::other)?;
        let mut record = (length | 1 << 31).to_be_bytes().to_vec();
        record.extend(&message);
        self.stream.write_all(&record)?;
        let mut answer = Answer { bytes: self.record()?, at: 0 };
        let head = [answer.number()?, answer.number()?, answer.number()?];
        let verifier = answer.number().and_then(|_| answer.bytes());
        verifier?;
        match (head, answer.number()?) {
            ([same, 1, 0], 0) if same == number => Ok(answer),
            (head, accepted) => Err(io::Error::other(format!("refused: {head:?}, {accepted}"))),
        }
    }

    /// The next record, of however many fragments.
    fn record(&mut self) -> io::Result<Vec<u8>> {
        let mut record = Vec::new();
        loop {
            let mut head = [0; 4];
            self.stream.read_exact(&mut head)?;
            let head = u32::from_be_bytes(head);
            let length = (head & !(1 << 31)) as usize;
            if record.len() + length > LARGEST {
                return Err(io::Error::other("an answer without an end"));
            }
            let from = record.len();
            record.resize(from + length, 0);
            self.stream.read_exact(&mut record[from..])?;
            if head >> 31 == 1 {
                return Ok(record);
            }
        }
    }
}

/// What came back, read from its front.
struct Answer {
    bytes: Vec<u8>,
    at: usize,
}

impl Answer {
    fn take(&mut self, length: usize) -> io::Result<&[u8]> {
        let end = self.at.saturating_add(length);
        let taken = self.bytes.get(self.at..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.at = end;
        Ok(taken)
    }

    fn number(&mut self) -> io::Result<u32> {
        let word = self.take(4)?;
        Ok(u32::from_be_bytes(word.try_into().expect("four were taken")))
    }

    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let length = self.number()? as usize;
        let content = self.take(length)?.to_vec();
        self.take(length.next_multiple_of(4) - length)?;
        Ok(content)
    }

    /// Passes over what is there only if the word before it says so.
    fn optional(&mut self, length: usize) -> io::Result<()> {
        if self.number()? == 1 {
            self.take(length)?;
        }
        Ok(())
    }

    fn status(&mut self, doing: &str) -> io::Result<()> {
        match self.number()? {
            0 => Ok(()),
            status => Err(io::Error::other(format!("{doing}: status {status}"))),
        }
    }
}

fn put(into: &mut Vec<u8>, word: u32) {
    into.extend(word.to_be_bytes());
}

/// Bytes with their length before them, filled up to whole words.
fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    put(into, u32::try_from(bytes.len()).expect("nothing long is sent"));
    into.extend(bytes);
    into.resize(into.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_bytes_are_read_as_they_are_written() {
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, b"hello");
        put(&mut bytes, 1);
        bytes.extend([7; 24]);
        put(&mut bytes, 0);
        assert_eq!(bytes.len() % 4, 0);
        let mut answer = Answer { bytes, at: 0 };
        assert_eq!(answer.bytes().unwrap(), b"hello");
        answer.optional(24).unwrap();
        answer.status("test").unwrap();
        assert!(answer.number().is_err(), "nothing is left");
    }

    #[test]
    fn every_line_has_its_place() {
        assert_eq!(line(42).len() as u64, LINE);
        assert_eq!(line(42), b"0000000042\n");
    }

    #[test]
    fn an_answer_that_ends_too_early_is_none() {
        let mut answer = Answer { bytes: vec![0, 0, 0, 9, 1, 2], at: 0 };
        assert!(answer.bytes().is_err());
    }
}
