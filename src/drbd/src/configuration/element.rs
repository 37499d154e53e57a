//! The XML of `drbdadm dump-xml` as a tree: names, attributes, texts. drbdadm writes it with printf, so this
//! bears with what it gets wrong (`<template>` is never closed) and with nothing else. Invariant: a document that ends early is an error.

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

use super::ConfigurationError;

/// No dump is deeper than seven.
const DEEPEST: usize = 32;

/// One element. It cannot be printed: it may hold the shared secret.
#[derive(Default)]
pub(super) struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// Reads a whole document: its root.
    pub(super) fn parse(document: &str) -> Result<Element, ConfigurationError> {
        let mut reader = Reader::from_str(document);
        reader.config_mut().check_end_names = false;
        // The first is no element: it holds the root.
        let mut open = vec![Element::default()];
        loop {
            let position = reader.buffer_position();
            let broken = |problem: String| ConfigurationError::Malformed { position, problem };
            match reader.read_event().map_err(|error| broken(error.to_string()))? {
                Event::Start(tag) if open.len() <= DEEPEST => open.push(element(&tag, position)?),
                Event::Start(_) => return Err(broken("deeper than any dump".to_owned())),
                Event::Empty(tag) => {
                    let empty = element(&tag, position)?;
                    innermost(&mut open).children.push(empty);
                }
                Event::End(tag) => {
                    let name = String::from_utf8_lossy(tag.name().as_ref()).into_owned();
                    if name != "template" && innermost(&mut open).name == "template" {
                        end_template(&mut open);
                    }
                    match open.pop() {
                        Some(closed) if closed.name == name && !open.is_empty() => {
                            innermost(&mut open).children.push(closed);
                        }
                        _ => return Err(broken(format!("</{name}> without its beginning"))),
                    }
                }
                Event::Text(text) => {
                    let text = text.decode().map_err(|error| broken(error.to_string()))?;
                    innermost(&mut open).text.push_str(&text);
                }
                Event::CData(text) => {
                    let text = text.decode().map_err(|error| broken(error.to_string()))?;
                    innermost(&mut open).text.push_str(&text);
                }
                Event::GeneralRef(entity) => {
                    let name = entity.decode().map_err(|error| broken(error.to_string()))?;
                    let text = format!("&{name};");
                    let text = quick_xml::escape::unescape(&text)
                        .map_err(|error| broken(error.to_string()))?;
                    innermost(&mut open).text.push_str(&text);
                }
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
                Event::Eof => break,
            }
        }
        let root = match <[Element; 1]>::try_from(open) {
            Ok([mut document]) => document.children.pop(),
            Err(_) => None,
        };
        root.ok_or(ConfigurationError::CutOff)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The children of this name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    pub(super) fn first(&self, name: &str) -> Option<&Element> {
        self.all(name).next()
    }

    /// An attribute.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// An attribute that has to be there.
    pub(super) fn require(&self, name: &'static str) -> Result<&str, ConfigurationError> {
        let missing = || ConfigurationError::Missing { element: self.name.clone(), what: name };
        self.get(name).ok_or_else(missing)
    }

    /// Its text; none where drbdadm had nothing to print.
    pub(super) fn text(&self) -> Option<&str> {
        let text = self.text.trim();
        (!text.is_empty() && text != "(null)").then_some(text)
    }
}

fn innermost(open: &mut [Element]) -> &mut Element {
    open.last_mut().expect("the document itself is never closed")
}

/// Ends a `<template>` that nobody closed: what follows it is beside it, not in it.
fn end_template(open: &mut Vec<Element>) {
    let Some(mut template) = open.pop() else { return };
    let beside = std::mem::take(&mut template.children);
    let around = innermost(open);
    around.children.push(template);
    around.children.extend(beside);
}

fn element(tag: &BytesStart<'_>, position: u64) -> Result<Element, ConfigurationError> {
    // The parser's own words might quote a value, and that value might be the secret.
    let broken = || ConfigurationError::Malformed { position, problem: "an attribute".to_owned() };
    let mut attributes = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|_| broken())?;
        let name = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        let value = attribute.unescape_value().map_err(|_| broken())?;
        attributes.push((name, value.into_owned()));
    }
    let name = String::from_utf8_lossy(tag.name().as_ref()).into_owned();
    Ok(Element { name, attributes, ..Element::default() })
}
