//! What a call of a fake tool sets off in the test itself, while the tool waits for it: a promotion makes the fake kernel
//! Primary before drbdadm has returned. Invariant: the tool does not go on before it has happened.

use super::{FakeTools, named};
use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader},
    path::Path,
    process::Command,
    thread,
};

/// Tells the test of the call, by a line in a FIFO, and waits for a file; not for ever, since the test may have panicked.
const TELL: &str = r#"
printf '%s %s %s\n' "$$" "$CODE" "$*" >"$FIFO"
looks=0
while [ ! -e "$FIFO-$$" ]; do
    looks=$((looks + 1))
    [ $looks -lt 300 ]
    sleep 0.01
done
rm "$FIFO-$$"
"#;

/// One call, as its script sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// What the tool is about to exit with.
    pub code: i32,
    /// Its arguments, separated by blanks.
    pub arguments: String,
}

impl FakeTools {
    /// Runs `follow` in each such call, on a thread of its own, in place of a script of [`FakeTools::on`].
    pub fn then(&self, tool: &str, word: &str, follow: impl FnMut(&Called) + Send + 'static) {
        let fifo = self.root.join(format!("fifo-{tool}-{}", named(word)));
        assert!(!fifo.exists(), "{tool} {word} is followed already");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        // Open for both, it neither blocks here nor ends when a tool closes its end.
        let calls = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
        self.on(tool, word, &format!("FIFO='{}'\n{TELL}", fifo.display()));
        thread::spawn(move || wait_for(calls, &fifo, follow));
    }
}

fn wait_for(calls: File, fifo: &Path, mut follow: impl FnMut(&Called)) {
    for line in BufReader::new(calls).lines() {
        let Ok(line) = line else { return };
        let mut words = line.splitn(3, ' ');
        let (Some(process), Some(code), arguments) = (words.next(), words.next(), words.next())
        else {
            return;
        };
        let arguments = arguments.unwrap_or_default().to_owned();
        follow(&Called { code: code.parse().unwrap(), arguments });
        let done = format!("{}-{process}", fifo.display());
        // The directory is gone when the test is over; nobody waits then.
        if File::create(done).is_err() {
            return;
        }
    }
}
