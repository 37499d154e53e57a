//! How snapshots are to be made: from the machine's defaults and, above them, the arguments. Invariant: nothing in the
//! file is ever run, and a value that is not understood is refused as a whole.

use super::super::words::{self, ADDITIONAL, DISCONNECT, FACILITY, Known, PERCENT, VERBOSE};

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// How much of the volume, in percent, on top of what is out of sync.
    pub(super) percent: u64,
    /// How many KiB more.
    pub(super) additional: u64,
    /// Whether a resync without a snapshot is not to be.
    pub(super) disconnects: bool,
    /// Whether the log is to have each command.
    pub(super) is_verbose: bool,
    /// The snapshot's name, where it is not made from the volume's.
    pub(super) name: Option<String>,
    /// More options of lvcreate.
    pub(super) lvcreate: Vec<String>,
}

impl Default for Choice {
    fn default() -> Choice {
        Choice {
            percent: 10,
            additional: 10 * 1024,
            disconnects: false,
            is_verbose: false,
            name: None,
            lvcreate: Vec::new(),
        }
    }
}

const KNOWN: [Known; 5] = [FACILITY, PERCENT, ADDITIONAL, DISCONNECT, VERBOSE];

/// The choice, and what is worth a line in the log. `file`: what there is of the machine's defaults, or why it
/// cannot be read.
///
/// # Errors
/// If an argument is not understood, or a number is none.
pub(super) fn read(
    arguments: &[String],
    file: Result<Option<String>, String>,
) -> Result<(Choice, Vec<String>), String> {
    let mut choice = Choice::default();
    let mut notes = Vec::new();
    match file {
        Ok(Some(text)) => notes = choice.take_file(&text),
        Ok(None) => {}
        Err(why) => notes.push(format!("The defaults of snapshots are not used: {why}")),
    }
    let words = words::read(arguments, &KNOWN);
    if let Some(complaint) = words.complaints.first() {
        return Err(complaint.clone());
    }
    for (option, place) in [(&PERCENT, &mut choice.percent), (&ADDITIONAL, &mut choice.additional)]
    {
        if let Some(value) = words.value(option) {
            *place = number(value).ok_or_else(|| format!("{value:?} is no whole number"))?;
        }
    }
    choice.disconnects |= words.has(&DISCONNECT);
    choice.is_verbose |= words.has(&VERBOSE);
    if !words.rest.is_empty() {
        choice.lvcreate = words.rest;
    }
    Ok((choice, notes))
}

/// Digits alone.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

impl Choice {
    /// Takes the assignments of the file, as a shell would where nothing is expanded in them.
    fn take_file(&mut self, text: &str) -> Vec<String> {
        let mut notes = Vec::new();
        for (line, text) in (1_u32..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let assignment = text.strip_prefix("export ").unwrap_or(text).trim_start();
            let taken = assignment
                .split_once('=')
                .and_then(|(name, value)| self.take(name, &plain(value)?));
            if taken.is_none() {
                notes.push(format!("Line {line} of /etc/default/drbd-snapshot is not understood"));
            }
        }
        notes
    }

    fn take(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "SNAP_PERC" => self.percent = number(value)?,
            "SNAP_ADDITIONAL" => self.additional = number(value)?,
            "DISCONNECT_ON_ERROR" => self.disconnects = number(value)? != 0,
            "BE_VERBOSE" => self.is_verbose = number(value)? != 0,
            "SNAP_NAME" => self.name = Some(value.to_owned()).filter(|name| !name.is_empty()),
            "LVC_OPTIONS" => {
                self.lvcreate = value.split_whitespace().map(str::to_owned).collect();
            }
            _ => return None,
        }
        Some(())
    }
}

/// The value of an assignment: in quotes of one kind, or one word; a comment may follow.
fn plain(value: &str) -> Option<String> {
    let quote = value.chars().next().filter(|first| matches!(first, '"' | '\''));
    let (text, after) = match quote {
        Some(quote) => value[1..].split_once(quote)?,
        None => match value.find(char::is_whitespace) {
            Some(end) => value.split_at(end),
            None => (value, ""),
        },
    };
    let is_separate = after.is_empty() || after.starts_with(char::is_whitespace);
    let after = after.trim_start();
    let special = ['$', '`', '\\', '"', '\'', ';', '&', '|', '<', '>', '(', ')', '#'];
    let is_plain = !text.contains(special) && is_separate;
    (is_plain && (after.is_empty() || after.starts_with('#'))).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (Choice, Vec<String>) {
        read(&[], Ok(Some(text.to_owned()))).unwrap()
    }

    fn arguments(line: &str) -> Result<Choice, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        read(&words, Ok(None)).map(|(choice, _)| choice)
    }

    #[test]
    fn without_anything_it_is_ten_percent_and_ten_megabytes() {
        let (choice, notes) = read(&[], Ok(None)).unwrap();
        assert_eq!((choice.percent, choice.additional, choice.disconnects), (10, 10240, false));
        assert_eq!(notes, Vec::<String>::new());
    }

    #[test]
    fn arguments_outrank_the_file() {
        let text = "# ours\nSNAP_PERC=20\nSNAP_ADDITIONAL=\"7\" # KiB\nexport DISCONNECT_ON_ERROR=1\n\
                    LVC_OPTIONS='--permission r'\nSNAP_NAME=before\n";
        let (choice, notes) = file(text);
        assert_eq!((choice.percent, choice.additional, choice.disconnects), (20, 7, true));
        assert_eq!((choice.lvcreate.len(), choice.name.as_deref()), (2, Some("before")));
        assert_eq!(notes, Vec::<String>::new());
        let words = ["-p", "30", "--", "-an"].map(str::to_owned);
        let (choice, _) = read(&words, Ok(Some(text.to_owned()))).unwrap();
        assert_eq!((choice.percent, choice.additional), (30, 7));
        assert_eq!(choice.lvcreate, ["-an"]);
    }

    #[test]
    fn lines_that_only_a_shell_understands_are_told_and_do_nothing() {
        for line in [
            "SNAP_PERC=$((10 * 2))",
            "SNAP_PERC=`id`",
            "SNAP_PERC=20; reboot",
            "SNAP_PERC=20 reboot",
            "SNAP_PERC='20",
            "SNAP_PERC='2'0",
            "SNAP_PERC=-1",
            "SNAP_PERC=",
            "SNAP_PERC=1.5",
            "SNAP_PERC = 20",
            "COLOUR=red",
            "reboot",
            "=",
        ] {
            let (choice, notes) = file(&format!("\n{line}\n"));
            assert_eq!((choice, notes.len()), (Choice::default(), 1), "{line}");
            assert!(notes[0].starts_with("Line 2 "), "{}", notes[0]);
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_and_passed_over() {
        let (choice, notes) = read(&[], Err("It is a directory".to_owned())).unwrap();
        assert_eq!((choice, notes.len()), (Choice::default(), 1));
    }

    #[test]
    fn arguments_that_are_not_understood_are_refused() {
        for line in ["-p", "-p x", "-p -1", "-a 1.5", "-p 99999999999999999999", "--colour", "-p=3"]
        {
            assert!(arguments(line).is_err(), "{line}");
        }
        assert_eq!(
            arguments("-n -v -a 0 -p 0 -- -c 8k").unwrap(),
            Choice {
                percent: 0,
                additional: 0,
                disconnects: true,
                is_verbose: true,
                name: None,
                lvcreate: vec!["-c".into(), "8k".into()],
            }
        );
    }
}
