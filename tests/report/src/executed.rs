//! What was executed in the nodes and beside them, as the kernels saw it: a table a place. Invariant: a place
//! into which nobody looked, or not all the time, says so and has no programs to be believed in.

use serde::Serialize;
use std::collections::BTreeMap;

/// Who made a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// Its content is that of a program that the lab built.
    Ours,
    /// It is another one.
    Stock,
}

/// A file that was executed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Program {
    /// Its own path, links resolved.
    pub path: String,
    /// The name it was called by, where that was another one and its process lived long enough to be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
    /// By its content, whatever it is called.
    pub whose: Whose,
}

impl Program {
    /// The path, and the name it was called by.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.called {
            Some(called) => format!("{} as {called}", self.path),
            None => self.path.clone(),
        }
    }
}

/// Whether a place was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Looked {
    /// All the time.
    Whole,
    /// Not all the time, and why.
    Partly(String),
    /// Not at all, and why.
    Not(String),
}

/// One node, or the side of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// `node1`, `host`.
    pub name: String,
    /// Whether what follows is all.
    pub looked: Looked,
    /// How often each program was executed.
    #[serde(serialize_with = "as_list")]
    pub programs: BTreeMap<Program, u64>,
}

fn as_list<S: serde::Serializer>(
    programs: &BTreeMap<Program, u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Row<'a> {
        #[serde(flatten)]
        program: &'a Program,
        times: u64,
    }
    serializer.collect_seq(programs.iter().map(|(program, times)| Row { program, times: *times }))
}

/// Everything that was executed of what the labs are about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Executed {
    /// Nodes first, then the side of the host.
    pub places: Vec<Place>,
}

impl Executed {
    /// The table as text, one line a program and place.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for place in &self.places {
            match &place.looked {
                Looked::Whole => {}
                Looked::Partly(why) => {
                    out += &format!("  {}: looked at in part: {why}\n", place.name);
                }
                Looked::Not(why) => out += &format!("  {}: not looked at: {why}\n", place.name),
            }
            for (program, times) in &place.programs {
                let whose = match program.whose {
                    Whose::Ours => "ours",
                    Whose::Stock => "stock",
                };
                out +=
                    &format!("  {:<6} {whose:<6} {times:>5} x  {}\n", place.name, program.name());
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_whose_and_where_nobody_looked() {
        let program =
            Program { path: "/usr/sbin/fence_xvm".into(), called: None, whose: Whose::Ours };
        let seen = Place {
            name: "node1".into(),
            looked: Looked::Whole,
            programs: BTreeMap::from([(program, 3)]),
        };
        let unseen = Place {
            name: "host".into(),
            looked: Looked::Not("no fanotify".into()),
            programs: BTreeMap::new(),
        };
        let executed = Executed { places: vec![seen, unseen] };
        assert_eq!(
            executed.text(),
            "  node1  ours       3 x  /usr/sbin/fence_xvm\n  host: not looked at: no fanotify\n"
        );
        let json = serde_json::to_value(&executed).unwrap();
        assert_eq!(json["places"][0]["programs"][0]["times"], 3);
        assert_eq!(json["places"][1]["looked"]["not"], "no fanotify");
    }
}
