//! The grammar of `fence_virt.conf`: sections in braces, quoted values that end in a semicolon, comments. Invariant: what was
//! read is written again to the last byte, comments and white space too, and a change touches only the value that it is about.

mod lexer;
mod write;

use std::fmt;

use lexer::{Lexer, Sort};
pub use write::Unwritable;

/// Sections within sections beyond this are refused; nothing that is configured needs more than three.
const DEPTH: usize = 16;

/// A piece of the text: what stands before it (blanks and comments), and itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    before: String,
    text: String,
    line: usize,
}

/// A section or a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Setting {
        name: Token,
        equals: Token,
        value: Token,
        end: Token,
    },
    Section {
        name: Token,
        label: Option<(Token, Token)>,
        open: Token,
        body: Vec<Item>,
        close: Token,
    },
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Configuration {
    items: Vec<Item>,
    after: String,
}

/// The text is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("syntax error on line {line}: {what}")]
pub struct SyntaxError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// A section of a [`Configuration`].
#[derive(Debug, Clone, Copy)]
pub struct Section<'a> {
    items: &'a [Item],
    line: usize,
    label: Option<&'a str>,
}

/// A value with its name, as it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting<'a> {
    /// Its name, spelled as in the file.
    pub name: &'a str,
    /// The value without its quotes.
    pub value: &'a str,
    /// The line it stands on, counted from 1.
    pub line: usize,
}

impl Configuration {
    /// Reads a file. One without any section or value is refused, as by the stock daemon.
    ///
    /// # Errors
    /// The first place that does not follow the grammar.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let mut lexer = Lexer::new(text);
        let items = items(&mut lexer, 0)?;
        let (sort, end) = lexer.next()?;
        if sort != Sort::End {
            return Err(unexpected(&end, "a section or a value"));
        }
        if items.is_empty() {
            return Err(SyntaxError { line: end.line, what: "nothing is configured".to_owned() });
        }
        Ok(Self { items, after: end.before })
    }

    /// The file as a section: what stands outside of all others.
    #[must_use]
    pub fn root(&self) -> Section<'_> {
        Section { items: &self.items, line: 1, label: None }
    }

    /// The section at this path, such as `["listeners", "multicast"]`.
    #[must_use]
    pub fn section(&self, path: &[&str]) -> Option<Section<'_>> {
        path.iter().try_fold(self.root(), |section, name| section.section(name))
    }
}

impl<'a> Section<'a> {
    /// The line that it begins on, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// What stands between its name and its brace, as in `group = "web" { ... }`.
    #[must_use]
    pub fn label(&self) -> Option<&'a str> {
        self.label
    }

    /// Its values in the order of the file.
    pub fn settings(&self) -> impl Iterator<Item = Setting<'a>> {
        self.items.iter().filter_map(|item| match item {
            Item::Setting { name, value, .. } => {
                Some(Setting { name: &name.text, value: unquoted(value), line: name.line })
            }
            Item::Section { .. } => None,
        })
    }

    /// The sections in it with their names, in the order of the file.
    pub fn named_sections(&self) -> impl Iterator<Item = (&'a str, Section<'a>)> {
        self.items.iter().filter_map(|item| match item {
            Item::Section { name, label, body, .. } => {
                let label = label.as_ref().map(|(_, value)| unquoted(value));
                Some((name.text.as_str(), Section { items: body, line: name.line, label }))
            }
            Item::Setting { .. } => None,
        })
    }

    /// The sections in it with this name, in any case of its letters, in the order of the file.
    pub fn sections(&self, name: &str) -> impl Iterator<Item = Section<'a>> {
        self.named_sections()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, section)| section)
    }

    /// The section in it with this name; of several, the last.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<Section<'a>> {
        self.sections(name).last()
    }

    /// The values with this name, in any case of its letters, in the order of the file.
    pub fn all(&self, name: &str) -> impl Iterator<Item = Setting<'a>> {
        self.settings().filter(move |setting| setting.name.eq_ignore_ascii_case(name))
    }

    /// The value with this name; of several, the last.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.all(name).last().map(|setting| setting.value)
    }
}

fn unquoted(token: &Token) -> &str {
    token.text.trim_matches('"')
}

/// Items up to what cannot begin one, which stays where it is.
fn items(lexer: &mut Lexer<'_>, depth: usize) -> Result<Vec<Item>, SyntaxError> {
    let mut found = Vec::new();
    while lexer.peek() == Sort::Word {
        found.push(item(lexer, depth)?);
    }
    Ok(found)
}

fn item(lexer: &mut Lexer<'_>, depth: usize) -> Result<Item, SyntaxError> {
    let name = lexer.expect(Sort::Word, "a name")?;
    let (sort, token) = lexer.next()?;
    let (label, open) = match sort {
        Sort::Open => (None, token),
        Sort::Equals => {
            let value = lexer.expect(Sort::Text, "a value in quotation marks")?;
            let (sort, after) = lexer.next()?;
            match sort {
                Sort::Semicolon => {
                    return Ok(Item::Setting { name, equals: token, value, end: after });
                }
                Sort::Open => (Some((token, value)), after),
                Sort::Word | Sort::Text | Sort::Equals | Sort::Close | Sort::End => {
                    return Err(unexpected(&after, "a semicolon after the value"));
                }
            }
        }
        Sort::Word | Sort::Text | Sort::Semicolon | Sort::Close | Sort::End => {
            return Err(unexpected(&token, &format!("\"=\" or \"{{\" after {}", name.text)));
        }
    };
    if depth == DEPTH {
        return Err(SyntaxError {
            line: open.line,
            what: "too many sections in one another".to_owned(),
        });
    }
    let body = items(lexer, depth + 1)?;
    let close =
        lexer.expect(Sort::Close, &format!("a value, a section, or \"}}\" of {}", name.text))?;
    Ok(Item::Section { name, label, open, body, close })
}

fn unexpected(found: &Token, wanted: &str) -> SyntaxError {
    let found_text: String = found.text.chars().take(40).collect();
    let what = match found_text.as_str() {
        "" => format!("the file ends where there should be {wanted}"),
        text => format!("there should be {wanted}, not {text}"),
    };
    SyntaxError { line: found.line, what }
}

impl fmt::Display for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", self.before, self.text)
    }
}

impl fmt::Display for Item {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Setting { name, equals, value, end } => write!(out, "{name}{equals}{value}{end}"),
            Item::Section { name, label, open, body, close } => {
                write!(out, "{name}")?;
                if let Some((equals, value)) = label {
                    write!(out, "{equals}{value}")?;
                }
                write!(out, "{open}")?;
                body.iter().try_for_each(|item| write!(out, "{item}"))?;
                write!(out, "{close}")
            }
        }
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.items.iter().try_for_each(|item| write!(out, "{item}"))?;
        out.write_str(&self.after)
    }
}

#[cfg(test)]
mod tests;
