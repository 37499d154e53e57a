//! The page that lists the reports of a run.

use crate::escape;
use crate::page::framed;
use std::fmt::Write as _;
use std::time::Duration;

/// One scenario of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `machines/power-cut`.
    pub name: String,
    /// The directory of its report; none where it left none.
    pub folder: Option<String>,
    /// `ok`, `FAIL`, `skip`.
    pub word: String,
    /// How long it took.
    pub took: Duration,
    /// Figures, or why it failed or was skipped.
    pub told: String,
    /// Which programs were chosen.
    pub programs: String,
}

/// The page.
#[must_use]
pub fn index(entries: &[Entry]) -> String {
    let count = |word: &str| entries.iter().filter(|entry| entry.word == word).count();
    let (failed, skipped) = (count("FAIL"), count("skip"));
    let passed = entries.len() - failed - skipped;
    let (class, verdict) = match failed {
        0 => ("ok", format!("{passed} passed")),
        _ => ("no", format!("{failed} failed")),
    };
    let mut body = format!(
        "<header>\n<h1>Scenarios of this run <span class=\"badge {class}\">{verdict}</span></h1>\n\
         <p class=\"about\">{passed} passed, {failed} failed, {skipped} skipped</p>\n</header>\n<table class=\"list\">\n\
         <tr><th></th><th>scenario</th><th>took</th><th></th></tr>\n"
    );
    let mut programs = "";
    for entry in entries {
        if entry.programs != programs {
            programs = &entry.programs;
            let line = escape(programs);
            let _ = writeln!(
                body,
                "<tr class=\"lab\"><td colspan=\"4\" class=\"hint\">chosen: {line}</td></tr>"
            );
        }
        let (class, word) = match entry.word.as_str() {
            "FAIL" => ("no", "failed"),
            "skip" => ("skip", "skipped"),
            _ => ("ok", "passed"),
        };
        let name = escape(&entry.name);
        let name = match &entry.folder {
            Some(folder) => format!("<a href=\"{}/report.html\">{name}</a>", escape(folder)),
            None => name,
        };
        let _ = writeln!(
            body,
            "<tr><td><span class=\"badge {class}\">{word}</span></td><td>{name}</td><td>{:.0} s</td><td>{}</td></tr>",
            entry.took.as_secs_f64(),
            escape(&entry.told)
        );
    }
    body += "</table>\n";
    framed("Scenarios of this run", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, word: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            folder: (word != "skip").then(|| name.replace('/', "-")),
            word: word.to_owned(),
            took: Duration::from_secs(41),
            told: "downtime < 20 s".to_owned(),
            programs: "drbd ours".to_owned(),
        }
    }

    #[test]
    fn the_list_counts_links_and_escapes() {
        let page = index(&[entry("machines/a", "ok"), entry("b", "FAIL"), entry("c", "skip")]);
        assert!(page.contains("1 passed, 1 failed, 1 skipped"), "{page}");
        assert!(page.contains("<a href=\"machines-a/report.html\">machines/a</a>"), "{page}");
        assert!(page.contains("downtime &lt; 20 s") && !page.contains("c/report.html"), "{page}");
    }
}
