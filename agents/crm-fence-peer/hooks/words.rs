//! Options as the stock hooks take them: short ones together or with their value, long ones cut short, and what is none
//! of them in any place. Invariant: a word that is not understood is told to the caller and means nothing.

/// An option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    short: char,
    long: &'static str,
    takes_value: bool,
}

const fn option(short: char, long: &'static str, takes_value: bool) -> Known {
    Known { short, long, takes_value }
}

pub(super) const FACILITY: Known = option('l', "logfacility", true);
pub(super) const PERCENT: Known = option('p', "percent", true);
pub(super) const ADDITIONAL: Known = option('a', "additional", true);
pub(super) const DISCONNECT: Known = option('n', "disconnect-on-error", false);
pub(super) const VERBOSE: Known = option('v', "verbose", false);

/// What was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Words {
    given: Vec<(char, String)>,
    /// What is no option, and what follows `--`.
    pub(super) rest: Vec<String>,
    /// What was not understood.
    pub(super) complaints: Vec<String>,
}

impl Words {
    /// Whether it was given.
    pub(super) fn has(&self, option: &Known) -> bool {
        self.given.iter().any(|(short, _)| *short == option.short)
    }

    /// Its value; the last one counts.
    pub(super) fn value(&self, option: &Known) -> Option<&str> {
        let mut given = self.given.iter().rev();
        given.find(|(short, _)| *short == option.short).map(|(_, value)| value.as_str())
    }
}

/// Reads arguments.
pub(super) fn read(arguments: &[String], known: &[Known]) -> Words {
    let mut words = Words::default();
    let mut arguments = arguments.iter();
    while let Some(word) = arguments.next() {
        if word == "--" {
            words.rest.extend(arguments.by_ref().cloned());
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            match find(name, known) {
                None => words.complaints.push(format!("{word:?} is no option")),
                Some(option) if option.takes_value => {
                    let value = value.or_else(|| arguments.next().cloned());
                    take(&mut words, option, word, value);
                }
                Some(_) if value.is_some() => {
                    words.complaints.push(format!("{word:?} takes no value"));
                }
                Some(option) => words.given.push((option.short, String::new())),
            }
        } else if word.len() > 1 && word.starts_with('-') {
            for (place, letter) in word.char_indices().skip(1) {
                match known.iter().find(|option| option.short == letter) {
                    None => words.complaints.push(format!("-{letter} is no option")),
                    Some(option) if option.takes_value => {
                        let glued = &word[place + letter.len_utf8()..];
                        let glued = Some(glued.to_owned()).filter(|value| !value.is_empty());
                        let value = glued.or_else(|| arguments.next().cloned());
                        take(&mut words, option, word, value);
                        break;
                    }
                    Some(option) => words.given.push((option.short, String::new())),
                }
            }
        } else {
            words.rest.push(word.clone());
        }
    }
    words
}

fn take(words: &mut Words, option: &Known, word: &str, value: Option<String>) {
    match value {
        Some(value) => words.given.push((option.short, value)),
        None => words.complaints.push(format!("{word:?} has no value")),
    }
}

/// The option of this name, or the only one that begins so.
fn find<'a>(name: &str, known: &'a [Known]) -> Option<&'a Known> {
    if let Some(option) = known.iter().find(|option| option.long == name) {
        return Some(option);
    }
    let mut begin = known.iter().filter(|option| !name.is_empty() && option.long.starts_with(name));
    let option = begin.next()?;
    begin.next().is_none().then_some(option)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Known; 5] = [FACILITY, PERCENT, ADDITIONAL, DISCONNECT, VERBOSE];

    fn words(line: &str) -> Words {
        read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), &KNOWN)
    }

    #[test]
    fn options_are_understood_in_every_form_that_getopt_has() {
        for line in [
            "-p 15 -n",
            "-np15",
            "-n -p15",
            "--percent=15 --disconnect-on-error",
            "--perc 15 --dis",
        ] {
            let words = words(line);
            assert_eq!(words.value(&PERCENT), Some("15"), "{line}");
            assert!(words.has(&DISCONNECT) && !words.has(&VERBOSE), "{line}");
            assert_eq!((words.rest.len(), words.complaints.len()), (0, 0), "{line}");
        }
        assert_eq!(words("-p 1 -p 2").value(&PERCENT), Some("2"));
    }

    #[test]
    fn what_is_no_option_is_kept_in_order() {
        assert_eq!(words("one -n two -- -p three").rest, ["one", "two", "-p", "three"]);
        assert_eq!(words("- --").rest, ["-"]);
    }

    #[test]
    fn what_is_not_understood_is_said_and_does_nothing() {
        for line in ["-x", "--colour", "--percent", "-p", "--verbose=1", "-nxv", "--"] {
            let words = words(line);
            assert_eq!(words.complaints.len(), usize::from(line != "--"), "{line}");
            assert_eq!((words.value(&PERCENT), words.rest.len()), (None, 0), "{line}");
        }
        assert!(words("-nxv").has(&VERBOSE));
    }
}
