//! docs/guide.md as something that can be carried out: its blocks of commands, files and output, in order, and where each
//! belongs. Invariant: no block is passed over that does not say so itself.

/// The guide, as people read it at this moment.
///
/// # Errors
/// The sources are not where this program was built from.
pub(crate) fn text() -> std::io::Result<String> {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide.md"))
}

/// Where something is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The machine that the nodes are guests of.
    Host,
    /// Both nodes.
    Each,
    /// The node of this name.
    Node(String),
}

/// With what the cluster is configured; the guide has both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shell {
    Crmsh,
    Pcs,
}

/// What a block asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Commands, once.
    Type(String),
    /// Questions, until the answer is the one shown.
    Until(String),
    /// A file at this path with this content.
    Write(String, String),
}

/// A block, and the output that is shown after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// The line of the guide, from 1, where it begins.
    pub(crate) line: usize,
    pub(crate) place: Place,
    /// Where only one of both is concerned.
    pub(crate) shell: Option<Shell>,
    pub(crate) what: What,
    /// Lines that must be in the output, `...` being anything. Not their order: it is another one with each shell.
    pub(crate) shown: Vec<String>,
}

/// The steps of the guide for one of both shells.
pub(crate) fn steps(text: &str, shell: Shell) -> Result<Vec<Step>, String> {
    let all = all(text)?;
    Ok(all.into_iter().filter(|step| step.shell.is_none_or(|only| only == shell)).collect())
}

/// All steps. The words after the three quotes say what a block is:
/// `sh PLACE [until] [crmsh|pcs]`, `conf PLACE PATH`, `text` (output of the block before it), and `sh by-hand` or `conf example`,
/// which nobody but a reader follows.
fn all(text: &str) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(words) = line.strip_prefix("```") else { continue };
        let body: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| !line.starts_with("```"))
            .collect();
        let words: Vec<&str> = words.split_whitespace().collect();
        let line = number + 1;
        let step = |place: &str, shell, what| Step {
            line,
            place: at(place),
            shell,
            what,
            shown: Vec::new(),
        };
        let script = body.join("\n") + "\n";
        match words.as_slice() {
            ["sh", "by-hand"] | ["conf", "example"] => {}
            ["text"] => {
                let last = steps.last_mut().ok_or(format!("line {line}: output of nothing"))?;
                last.shown = body.iter().map(|line| (*line).to_owned()).collect();
            }
            ["sh", place] => steps.push(step(place, None, What::Type(script))),
            ["sh", place, "until"] => steps.push(step(place, None, What::Until(script))),
            ["sh", place, "crmsh"] => {
                steps.push(step(place, Some(Shell::Crmsh), What::Type(script)));
            }
            ["sh", place, "pcs"] => steps.push(step(place, Some(Shell::Pcs), What::Type(script))),
            ["conf", place, path] => {
                steps.push(step(place, None, What::Write((*path).to_owned(), script)));
            }
            ["conf", place, path, "crmsh"] => {
                let what = What::Write((*path).to_owned(), script);
                steps.push(step(place, Some(Shell::Crmsh), what));
            }
            _ => return Err(format!("line {line}: nobody knows what to do with {words:?}")),
        }
    }
    Ok(steps)
}

fn at(place: &str) -> Place {
    match place {
        "host" => Place::Host,
        "each" => Place::Each,
        node => Place::Node(node.to_owned()),
    }
}

/// The first line that is shown in the guide and not to be found in what was said.
pub(crate) fn missing<'a>(shown: &'a [String], said: &str) -> Option<&'a str> {
    let said: Vec<String> = said.lines().map(squeezed).collect();
    shown
        .iter()
        .filter(|line| !line.trim().is_empty() && line.trim() != "...")
        .find(|line| !said.iter().any(|other| fits(&squeezed(line), other)))
        .map(String::as_str)
}

fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a line is the one that is shown; `...` stands for anything.
fn fits(shown: &str, said: &str) -> bool {
    let parts: Vec<&str> = shown.split("...").map(str::trim).collect();
    let [first, middle @ .., last] = parts.as_slice() else { return shown == said };
    let Some(mut rest) = said.strip_prefix(first) else { return false };
    for part in middle {
        let Some(found) = rest.find(part) else { return false };
        rest = &rest[found + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_has_no_block_that_is_passed_over_unsaid() {
        for shell in [Shell::Crmsh, Shell::Pcs] {
            let steps = steps(&text().unwrap(), shell).unwrap();
            assert!(steps.len() > 25, "{} steps for {shell:?}", steps.len());
            assert!(steps.iter().any(|step| step.shell == Some(shell)));
        }
        assert!(all("```sh node1 perhaps\nx\n```\n").is_err());
        assert!(all("```text\nx\n```\n").is_err());
    }

    #[test]
    fn every_question_that_is_repeated_has_an_answer() {
        for step in all(&text().unwrap()).unwrap() {
            if let What::Until(_) = step.what {
                assert!(!step.shown.is_empty(), "line {}", step.line);
            }
        }
    }

    #[test]
    fn what_the_guide_has_installed_is_what_the_labs_nodes_have() {
        let there: Vec<&str> = include_str!("../image/packages")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .flat_map(str::split_whitespace)
            .collect();
        let text = text().unwrap();
        let wanted = text
            .split_once("apt-get install --no-install-recommends")
            .and_then(|(_, rest)| rest.split_once("```"))
            .map(|(words, _)| words.replace('\\', " "))
            .unwrap();
        assert!(wanted.contains("pacemaker") && wanted.contains("drbd-utils"));
        for package in wanted.split_whitespace() {
            assert!(there.contains(&package), "{package} is not in the labs' image");
        }
    }

    #[test]
    fn output_is_looked_for_line_by_line() {
        let shown =
            |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let said = "one\n  * vm1\t (ocf:rust:VirtualDomain):   Started node2\nthree 3\n";
        assert_eq!(missing(&shown(&["one", "...", "three ..."]), said), None);
        assert_eq!(missing(&shown(&["* vm1 ... Started node2"]), said), None);
        assert_eq!(
            missing(&shown(&["* vm1 ... Started node1"]), said),
            Some("* vm1 ... Started node1")
        );
        assert_eq!(missing(&shown(&["three 3", "one", "two"]), said), Some("two"));
        assert_eq!(missing(&shown(&["thr"]), said), Some("thr"));
        assert_eq!(missing(&shown(&["... 3"]), said), None);
        assert_eq!(missing(&shown(&["o...x...e"]), said), Some("o...x...e"));
    }
}
