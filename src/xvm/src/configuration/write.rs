//! Changing a configuration. Invariant: everything that was not asked to change stays as it is written, and what is added can be
//! read again.

use super::{Configuration, Item, Token};

/// A value that cannot be written: the grammar has no escapes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} cannot be {value:?}: a value is not empty and has no quotation mark")]
pub struct Unwritable {
    /// Of what.
    pub name: String,
    /// The value.
    pub value: String,
}

impl Configuration {
    /// Gives `name` in the section at `path` this value. Sections that are missing are added at the end of where they belong.
    ///
    /// # Errors
    /// The value cannot be written.
    pub fn set(&mut self, path: &[&str], name: &str, value: &str) -> Result<(), Unwritable> {
        if value.is_empty() || value.contains('"') {
            return Err(Unwritable { name: name.to_owned(), value: value.to_owned() });
        }
        let text = format!("\"{value}\"");
        let items = self.reach(path);
        let last = items.iter_mut().rev().find_map(|item| match item {
            Item::Setting { name: own, value, .. } if own.text.eq_ignore_ascii_case(name) => {
                Some(value)
            }
            Item::Setting { .. } | Item::Section { .. } => None,
        });
        match last {
            Some(value) => value.text = text,
            None => {
                let setting = Item::Setting {
                    name: token(&margin(path.len(), items), name),
                    equals: token(" ", "="),
                    value: token(" ", &text),
                    end: token("", ";"),
                };
                items.push(setting);
            }
        }
        Ok(())
    }

    /// Removes `name` from the section at `path`, wherever it stands there.
    pub fn remove(&mut self, path: &[&str], name: &str) {
        if self.section(path).is_none() {
            return;
        }
        self.reach(path).retain(|item| match item {
            Item::Setting { name: own, .. } => !own.text.eq_ignore_ascii_case(name),
            Item::Section { .. } => true,
        });
    }

    /// What is in the section at `path`, which is made where it is missing.
    fn reach(&mut self, path: &[&str]) -> &mut Vec<Item> {
        let mut items = &mut self.items;
        for (depth, name) in path.iter().enumerate() {
            let is_it = |item: &Item| match item {
                Item::Section { name: own, .. } => own.text.eq_ignore_ascii_case(name),
                Item::Setting { .. } => false,
            };
            let at = items.iter().rposition(is_it).unwrap_or_else(|| {
                items.push(section(name, depth, items));
                items.len() - 1
            });
            let Item::Section { body, .. } = &mut items[at] else {
                unreachable!("only a section is found or made here")
            };
            items = body;
        }
        items
    }
}

fn section(name: &str, depth: usize, beside: &[Item]) -> Item {
    Item::Section {
        name: token(&margin(depth, beside), name),
        label: None,
        open: token(" ", "{"),
        body: Vec::new(),
        close: token(&format!("\n{}", "\t".repeat(depth)), "}"),
    }
}

/// A line of its own; between sections an empty one.
fn margin(depth: usize, beside: &[Item]) -> String {
    let tabs = "\t".repeat(depth);
    match (depth, beside.is_empty()) {
        (0, true) => tabs,
        (0, false) => format!("\n\n{tabs}"),
        (_, _) => format!("\n{tabs}"),
    }
}

fn token(before: &str, text: &str) -> Token {
    Token { before: before.to_owned(), text: text.to_owned(), line: 0 }
}
