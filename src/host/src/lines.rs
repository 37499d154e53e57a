//! A child process that goes on talking, line by line. Invariant: it is ended with this value, and reading waits for nothing.

use crate::process::Call;
use crate::{Error, clock};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdout};
use std::time::Duration;

/// A line longer than this is no line.
const LONGEST: usize = 64 * 1024;
/// Reads in one go, while more keeps coming.
const BATCH: usize = 64;

/// The child and what it has not yet ended a line of.
#[derive(Debug)]
pub struct Lines {
    program: String,
    child: Child,
    pipe: ChildStdout,
    begun: Vec<u8>,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// These lines; perhaps none.
    Lines(Vec<String>),
    /// It says nothing any more.
    Ended,
}

impl Lines {
    /// Starts it. It is killed when the thread ends that called this.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Start`].
    pub fn start(call: &Call) -> Result<Lines, Error> {
        let program = call.program().to_owned();
        let (child, pipe) = call.start_talking()?;
        Ok(Lines { program, child, pipe, begun: Vec::new() })
    }

    /// The lines that are there already.
    ///
    /// # Errors
    /// [`Error::Talk`]; also where something is no text, or no line.
    pub fn heard(&mut self) -> Result<Heard, Error> {
        let failed = |source| Error::Talk { program: self.program.clone(), source };
        let mut buffer = [0; 8192];
        let mut has_ended = false;
        for _ in 0..BATCH {
            match self.pipe.read(&mut buffer) {
                Ok(0) => {
                    has_ended = true;
                    break;
                }
                Ok(length) => self.begun.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(failed(error)),
            }
        }
        let whole = self.begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let rest = self.begun.split_off(whole);
        let text = String::from_utf8(std::mem::replace(&mut self.begun, rest));
        let text = text.map_err(|_| failed(io::ErrorKind::InvalidData.into()))?;
        if self.begun.len() > LONGEST {
            return Err(failed(io::ErrorKind::InvalidData.into()));
        }
        if text.is_empty() && has_ended {
            return Ok(Heard::Ended);
        }
        Ok(Heard::Lines(text.lines().map(str::to_owned).collect()))
    }
}

impl AsFd for Lines {
    /// Readable when there is something to hear.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // Where it hangs in the kernel it is left behind, and is a zombie at last.
        let patience = clock::within(Duration::from_millis(100));
        while matches!(self.child.try_wait(), Ok(None)) {
            if patience.remaining(clock::now()).is_zero() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_ocf::Deadline;

    fn all(mut lines: Lines, deadline: Deadline) -> Result<Vec<String>, Error> {
        let mut told = Vec::new();
        loop {
            assert!(!deadline.remaining(clock::now()).is_zero(), "{told:?}");
            match lines.heard()? {
                Heard::Ended => return Ok(told),
                Heard::Lines(more) => told.extend(more),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn told(script: &str) -> Result<Vec<String>, Error> {
        let lines = Lines::start(&Call::new("sh").args(["-c", script])).unwrap();
        all(lines, clock::within(Duration::from_secs(10)))
    }

    #[test]
    fn lines_come_whole_and_in_order_however_they_are_written() {
        let script = "printf 'a b'; sleep 0.05; printf 'c\\nd\\n'; sleep 0.05; echo e; printf half";
        assert_eq!(told(script).unwrap(), ["a bc", "d", "e"]);
    }

    #[test]
    fn what_is_no_line_is_an_error() {
        assert!(told("head -c 200000 /dev/zero | tr '\\0' x; sleep 100000").is_err());
        assert!(told("printf '\\377\\n'; sleep 100000").is_err());
    }

    #[test]
    fn it_ends_with_the_value() {
        let lines = Lines::start(&Call::new("sleep").arg("100000")).unwrap();
        let stat = format!("/proc/{}/stat", lines.child.id());
        drop(lines);
        let deadline = clock::within(Duration::from_secs(10));
        let is_over = |text: &str| text.contains(") Z ");
        while std::fs::read_to_string(&stat).is_ok_and(|text| !is_over(&text)) {
            assert!(!deadline.remaining(clock::now()).is_zero());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
