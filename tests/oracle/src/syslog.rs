//! Takes apart system log datagrams in the old BSD form (RFC 3164), as libc's `syslog` writes them
//! and busybox's `syslogd -R` passes them on: busybox leaves the host name out, others put it in.
//! Invariant: nothing is dropped; what cannot be taken apart is kept whole as text without a tag.

use crate::event::Record;

/// Severity when a line does not say (notice).
const NOTICE: u8 = 5;

/// A log line and the host that it names, if it names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// Host name in the line.
    pub host: Option<String>,
    /// The line.
    pub record: Record,
}

/// Takes one datagram apart.
#[must_use]
pub fn parse(datagram: &[u8]) -> Parsed {
    let text = String::from_utf8_lossy(datagram);
    let text = text.trim_end_matches(['\n', '\r', '\0', ' ']);
    let (severity, rest) = priority(text);
    let rest = without_time(rest);
    let (host, rest) = match rest.split_once(' ') {
        Some((word, after)) if tag(word).is_none() && begins_with_tag(after) => {
            (Some(word.to_owned()), after)
        }
        Some(_) | None => (None, rest),
    };
    let (word, message) = rest.split_once(' ').unwrap_or((rest, ""));
    let Some((name, pid)) = tag(word) else {
        let record = Record { tag: String::new(), pid: None, severity, text: rest.to_owned() };
        return Parsed { host, record };
    };
    let message = message.trim_start();
    let message = if name == "kernel" { without_uptime(message) } else { message };
    Parsed {
        host,
        record: Record { tag: name.to_owned(), pid, severity, text: message.to_owned() },
    }
}

fn priority(text: &str) -> (u8, &str) {
    let split = text.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    match split.and_then(|(digits, rest)| Some((digits.parse::<u16>().ok()?, rest))) {
        Some((number, rest)) => (u8::try_from(number & 7).unwrap_or(NOTICE), rest),
        None => (NOTICE, text),
    }
}

/// `Nov 20 12:34:56 ` is 16 bytes with colons at fixed places.
fn without_time(text: &str) -> &str {
    let bytes = text.as_bytes();
    let is_time = bytes.len() > 16
        && [3, 6, 15].iter().all(|&index| bytes[index] == b' ')
        && [9, 12].iter().all(|&index| bytes[index] == b':');
    if is_time { text.get(16..).unwrap_or(text) } else { text }
}

/// The kernel's `[   12.345678] `.
fn without_uptime(text: &str) -> &str {
    let inside = text.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    match inside {
        Some((stamp, rest)) if stamp.trim().parse::<f64>().is_ok() => rest,
        Some(_) | None => text,
    }
}

fn begins_with_tag(text: &str) -> bool {
    tag(text.split(' ').next().unwrap_or_default()).is_some()
}

/// `name:` or `name[pid]:`.
fn tag(word: &str) -> Option<(&str, Option<u32>)> {
    let word = word.strip_suffix(':')?;
    match word.strip_suffix(']').and_then(|rest| rest.split_once('[')) {
        Some((name, pid)) if !name.is_empty() => Some((name, pid.parse().ok())),
        Some(_) => None,
        None if word.is_empty() || word.contains(':') => None,
        None => Some((word, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Datagram; host, tag, process id, severity, text.
    type Row<'a> = (&'a str, Option<&'a str>, &'a str, Option<u32>, u8, &'a str);

    fn row(datagram: &str) -> (Option<String>, String, Option<u32>, u8, String) {
        let Parsed { host, record } = parse(datagram.as_bytes());
        (host, record.tag, record.pid, record.severity, record.text)
    }

    #[test]
    fn the_forms_that_are_sent_are_taken_apart() {
        let table: &[Row<'_>] = &[
            (
                "<29>Nov 20 10:47:25 pacemaker-controld[271]:  notice: Requesting fencing\n",
                None,
                "pacemaker-controld",
                Some(271),
                5,
                "notice: Requesting fencing",
            ),
            (
                "<28>Nov  2 10:47:25 node2 corosync[200]:   [TOTEM ] Token",
                Some("node2"),
                "corosync",
                Some(200),
                4,
                "[TOTEM ] Token",
            ),
            (
                "<6>Nov 20 10:47:25 kernel: [   12.345678] drbd r0: conn( A -> B ) ",
                None,
                "kernel",
                None,
                6,
                "drbd r0: conn( A -> B )",
            ),
            ("<13>Nov 20 10:47:25 root: x: y", None, "root", None, 5, "x: y"),
            ("no form at all", None, "", None, 5, "no form at all"),
            ("", None, "", None, 5, ""),
        ];
        for (line, host, tag, pid, severity, text) in table {
            let expected =
                (host.map(str::to_owned), (*tag).into(), *pid, *severity, (*text).to_owned());
            assert_eq!(row(line), expected, "{line}");
        }
    }

    #[test]
    fn nonsense_does_not_panic() {
        for line in
            ["<", "<>", "<999999>x", "Nov 20 10:47:25 ", "\u{e9}\u{e9}\u{e9} 20 10:47:25 ab"]
        {
            let _ = parse(line.as_bytes());
        }
        let _ = parse(&[0xff; 40]);
    }
}
