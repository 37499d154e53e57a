//! The command line: stock's letters, and what can be asked without running. Invariant: nothing is done for a line that is not understood
//! to its end.

use std::path::PathBuf;

/// Where the configuration is, unless said otherwise.
pub(crate) const CONFIGURATION: &str = "/etc/fence_virt.conf";
/// Where the number of a process in the background is left.
pub(crate) const PID_FILE: &str = "/run/fence_virtd.pid";

/// What there is to know.
pub(crate) const USAGE: &str = "\
Usage: fence_virtd [options]
  -F                          stay in the foreground
  -f FILE                     configuration (/etc/fence_virt.conf)
  -d LEVEL                    say more (1 and above)
  -w                          wait for addresses and libvirt at the start instead of giving up
  -p FILE                     pid file (/run/fence_virtd.pid; in the foreground only where it is given)
  -c                          ask what to configure, write the configuration and the key
  -l                          list listeners and backends
  -h                          this text
  -V                          version
  --check [FILE]              say what a configuration would do, and do nothing
  --check-acl SOURCE TARGET   say which group allows or refuses it; SOURCE is an address, a CID or a UUID
";

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    /// Be the daemon.
    Serve,
    /// Ask what to configure.
    Configure,
    /// Say what is configured.
    Check,
    /// Say who may do what.
    CheckAcl { source: String, target: String },
    /// List listeners and backends.
    List,
    /// Say how it is called.
    Usage,
    /// Say which it is.
    Version,
}

/// The command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) task: Task,
    pub(crate) file: PathBuf,
    pub(crate) is_foreground: bool,
    pub(crate) debug: u32,
    pub(crate) waits: bool,
    pub(crate) pid_file: Option<PathBuf>,
}

impl Options {
    /// Reads the words after the program's name.
    ///
    /// # Errors
    /// What is not understood.
    pub(crate) fn parse<I: IntoIterator<Item = String>>(words: I) -> Result<Options, String> {
        let mut options = Options {
            task: Task::Serve,
            file: PathBuf::from(CONFIGURATION),
            is_foreground: false,
            debug: 0,
            waits: false,
            pid_file: None,
        };
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--check" => {
                    options.task = Task::Check;
                    if let Some(file) = words.next_if(|word| !word.starts_with('-')) {
                        options.file = PathBuf::from(file);
                    }
                }
                "--check-acl" => match (words.next(), words.next()) {
                    (Some(source), Some(target)) => {
                        options.task = Task::CheckAcl { source, target };
                    }
                    _ => return Err("--check-acl needs a source and a target".to_owned()),
                },
                "--help" => options.task = Task::Usage,
                "--version" => options.task = Task::Version,
                _ => options.letters(&word, &mut words)?,
            }
        }
        Ok(options)
    }

    /// As getopt has it: letters in a row, and a value glued to its letter or in the next word.
    fn letters(
        &mut self,
        word: &str,
        words: &mut impl Iterator<Item = String>,
    ) -> Result<(), String> {
        let Some(mut letters) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            return Err(format!("{word} is not an option"));
        };
        while let Some(letter) = letters.chars().next() {
            letters = &letters[letter.len_utf8()..];
            let mut value = || {
                let glued = std::mem::take(&mut letters);
                let value = if glued.is_empty() { words.next() } else { Some(glued.to_owned()) };
                value.ok_or_else(|| format!("-{letter} needs a value"))
            };
            match letter {
                'F' => self.is_foreground = true,
                'w' => self.waits = true,
                'f' => self.file = PathBuf::from(value()?),
                'p' => self.pid_file = Some(PathBuf::from(value()?)),
                'd' => {
                    let level = value()?;
                    self.debug = level.parse().map_err(|_| format!("-d {level}: not a number"))?;
                }
                'c' => self.task = Task::Configure,
                'l' => self.task = Task::List,
                'h' | '?' => self.task = Task::Usage,
                'V' => self.task = Task::Version,
                other => return Err(format!("-{other} is not an option")),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn letters_go_together_and_values_apart_or_not() {
        let options = parse("-wFd4 -f /x.conf -p/run/x.pid").unwrap();
        assert!(options.is_foreground && options.waits && options.debug == 4);
        assert_eq!(options.file, PathBuf::from("/x.conf"));
        assert_eq!(options.pid_file, Some(PathBuf::from("/run/x.pid")));
        assert_eq!(parse("").unwrap().file, PathBuf::from(CONFIGURATION));
    }

    #[test]
    fn what_can_be_asked_without_running() {
        assert_eq!(parse("--check").unwrap().task, Task::Check);
        let check = parse("--check /x -d 1").unwrap();
        assert_eq!((check.file, check.debug), (PathBuf::from("/x"), 1));
        let acl = Task::CheckAcl { source: "10.0.0.1".into(), target: "web".into() };
        assert_eq!(parse("-f /x --check-acl 10.0.0.1 web").unwrap().task, acl);
        for (line, task) in [("-c", Task::Configure), ("-l", Task::List), ("-h", Task::Usage)] {
            assert_eq!(parse(line).unwrap().task, task);
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for line in ["-x", "x", "-d", "-d much", "-f", "--check-acl one", "--what", "-"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
