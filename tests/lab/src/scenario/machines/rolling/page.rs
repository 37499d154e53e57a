//! Reads the commands of docs/migrate.md. Invariant: every block of commands there is one that is typed; a block whose words
//! are not known is an error and not a comment.

/// The page itself.
const PAGE: &str = include_str!("../../../../../../docs/migrate.md");

/// Where the commands go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    There,
    Back,
}

/// Which of the two, where they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Crm,
    Pcs,
}

/// Where it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    EveryNode,
    OneNode,
    Host,
}

/// One block of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) way: Way,
    pub(super) place: Place,
    /// None: whichever is there.
    pub(super) tool: Option<Tool>,
    /// Of its first command in the page.
    pub(super) line: usize,
    pub(super) script: String,
}

/// A part of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doing {
    /// As it stands there.
    Type(String),
    /// `make install`: a lab has no source tree in its nodes.
    Install,
    /// `systemctl restart fence_virtd`: a lab's host side has no systemd.
    RestartDaemon,
}

impl Block {
    pub(super) fn is_for(&self, way: Way, tool: Tool) -> bool {
        self.way == way && self.tool.is_none_or(|own| own == tool)
    }

    /// The block in its parts, in order.
    pub(super) fn doings(&self) -> Vec<Doing> {
        let mut doings = Vec::new();
        let mut script = String::new();
        let flush = |script: &mut String, doings: &mut Vec<Doing>| {
            if !script.is_empty() {
                doings.push(Doing::Type(std::mem::take(script)));
            }
        };
        for line in self.script.lines() {
            let other = match line {
                "make install" => Doing::Install,
                "systemctl restart fence_virtd" => Doing::RestartDaemon,
                _ => {
                    script += line;
                    script.push('\n');
                    continue;
                }
            };
            flush(&mut script, &mut doings);
            doings.push(other);
        }
        flush(&mut script, &mut doings);
        doings
    }
}

/// The page's blocks, in order.
pub(super) fn blocks() -> Result<Vec<Block>, String> {
    read(PAGE)
}

fn read(page: &str) -> Result<Vec<Block>, String> {
    let mut way = None;
    let mut open: Option<Block> = None;
    let mut blocks = Vec::new();
    for (number, line) in (1..).zip(page.lines()) {
        match (&mut open, line) {
            (Some(_), "```") => blocks.extend(open.take()),
            (Some(block), _) => {
                block.script += line;
                block.script.push('\n');
            }
            (None, "## To Duet's programs") => way = Some(Way::There),
            (None, "## Back to the stock programs") => way = Some(Way::Back),
            (None, _) if line.starts_with("```") => {
                let way = way.ok_or(format!("line {number}: commands before the first way"))?;
                let (place, tool) =
                    heading(line).ok_or(format!("line {number}: {line:?} is not understood"))?;
                open = Some(Block { way, place, tool, line: number + 1, script: String::new() });
            }
            (None, _) => {}
        }
    }
    match open {
        Some(block) => Err(format!("line {}: a block without an end", block.line)),
        None => Ok(blocks),
    }
}

fn heading(line: &str) -> Option<(Place, Option<Tool>)> {
    let mut words = line.strip_prefix("```sh ")?.split(' ');
    let place = match words.next()? {
        "every-node" => Place::EveryNode,
        "one-node" => Place::OneNode,
        "host" => Place::Host,
        _ => return None,
    };
    let tool = match words.next() {
        None => None,
        Some("crm") => Some(Tool::Crm),
        Some("pcs") => Some(Tool::Pcs),
        Some(_) => return None,
    };
    words.next().is_none().then_some((place, tool))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_can_be_read_and_has_both_ways_for_both_tools() {
        let blocks = blocks().unwrap();
        for way in [Way::There, Way::Back] {
            let count =
                |tool| blocks.iter().filter(|it| it.way == way && it.tool == Some(tool)).count();
            assert_eq!(count(Tool::Crm), count(Tool::Pcs), "{way:?}");
            for place in [Place::EveryNode, Place::OneNode, Place::Host] {
                assert!(
                    blocks.iter().any(|it| it.way == way && it.place == place),
                    "{way:?} {place:?}"
                );
            }
        }
    }

    #[test]
    fn what_crmsh_does_pcs_does_likewise() {
        let blocks = blocks().unwrap();
        for way in [Way::There, Way::Back] {
            let of = |tool| blocks.iter().filter(move |it| it.way == way && it.tool == Some(tool));
            for (crm, pcs) in of(Tool::Crm).zip(of(Tool::Pcs)) {
                for word in [
                    "maintenance-mode=true",
                    "maintenance-mode=false",
                    "refresh",
                    "--wait",
                    "rust",
                    "linbit",
                ] {
                    // crmsh's filter also says what was there before.
                    let before =
                        crm.script.contains("filter") && ["rust", "linbit"].contains(&word);
                    let [one, other] = [crm, pcs].map(|it| it.script.contains(word));
                    assert!(
                        one == other || (before && one),
                        "{word} in line {} and {}",
                        crm.line,
                        pcs.line
                    );
                }
            }
        }
    }

    #[test]
    fn a_block_of_unknown_words_is_an_error() {
        let page = |words: &str| format!("## To Duet's programs\n```{words}\ntrue\n```\n");
        assert!(read(&page("sh one-node crm")).is_ok());
        for words in ["sh", "bash one-node", "sh some-node", "sh one-node yast", "sh host crm now"]
        {
            assert!(read(&page(words)).is_err(), "{words}");
        }
        assert!(read("```sh host\ntrue\n```\n").is_err(), "before the first way");
        assert!(read("## To Duet's programs\n```sh host\ntrue\n").is_err(), "without an end");
    }

    #[test]
    fn what_a_lab_does_in_its_own_way_divides_a_block() {
        let page = "## To Duet's programs\n```sh host\na\nb\nmake install\nc\nsystemctl restart fence_virtd\n```\n";
        let doings = read(page).unwrap()[0].doings();
        let typed = |text: &str| Doing::Type(text.to_owned());
        assert_eq!(doings, [typed("a\nb\n"), Doing::Install, typed("c\n"), Doing::RestartDaemon]);
    }
}
