//! The XML that cibadmin prints, as a tree that borrows from its text, and text for XML. Invariant: reading is bounded in
//! size and depth, and a document that is cut off, or is followed by anything, is an error.

use crate::CibError;
use quick_xml::{
    Reader,
    escape::{escape, unescape},
    events::{BytesStart, Event, attributes::Attributes},
};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Bytes. Pacemaker's own messages end at 4 GiB; the largest CIBs seen are a few MiB.
pub(crate) const LARGEST: usize = 32 * 1024 * 1024;
/// Elements inside each other. Only rules nest without a limit of their own, and nobody writes twenty of them.
pub(crate) const DEEPEST: usize = 64;

/// What nothing is decided on and much is said in: the history of operations, above all. Its children are not kept.
const BULK: [&str; 7] =
    ["lrm", "operations", "acls", "alerts", "fencing-topology", "op_defaults", "tickets"];

/// One element: its name, attributes and child elements. Texts and comments mean nothing in a CIB.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) attributes: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub(crate) children: Vec<Element<'a>>,
}

impl<'a> Element<'a> {
    /// Reads a whole document: its root.
    pub(crate) fn parse(document: &'a str) -> Result<Element<'a>, CibError> {
        if document.len() > LARGEST {
            return Err(CibError::TooLarge { bytes: document.len() });
        }
        let mut reader = Reader::from_str(document);
        let mut open: Vec<Element<'a>> = Vec::new();
        let mut root = None;
        // How deep inside an element whose children are not kept.
        let mut skipped = 0_usize;
        loop {
            let position = reader.buffer_position();
            let broken = |problem: String| CibError::Malformed { position, problem };
            let event = reader.read_event().map_err(|error| broken(error.to_string()))?;
            if root.is_some() && matches!(event, Event::Start(_) | Event::Empty(_)) {
                return Err(broken("a second document".to_owned()));
            }
            match event {
                Event::Start(_) if open.len() + skipped.saturating_sub(1) >= DEEPEST => {
                    return Err(CibError::TooDeep { position });
                }
                Event::Start(_) if skipped > 0 => skipped += 1,
                Event::Start(tag) => {
                    let element = Element::read(document, &tag, position)?;
                    skipped = usize::from(BULK.contains(&element.name.as_ref()));
                    open.push(element);
                }
                Event::Empty(_) if skipped > 0 => {}
                Event::Empty(tag) => {
                    let element = Element::read(document, &tag, position)?;
                    match open.last_mut() {
                        Some(around) => around.children.push(element),
                        None => root = Some(element),
                    }
                }
                // That an element ends with its own name is the reader's to check.
                Event::End(_) => {
                    skipped = skipped.saturating_sub(1);
                    if skipped > 0 {
                        continue;
                    }
                    let closed = open.pop().ok_or_else(|| broken("an end too many".to_owned()))?;
                    match open.last_mut() {
                        Some(around) => around.children.push(closed),
                        None => root = Some(closed),
                    }
                }
                Event::DocType(_) => return Err(broken("a document type".to_owned())),
                Event::Text(text) if open.is_empty() && !text.trim_ascii().is_empty() => {
                    return Err(broken("text outside of the document".to_owned()));
                }
                Event::CData(_) | Event::GeneralRef(_) if open.is_empty() => {
                    return Err(broken("text outside of the document".to_owned()));
                }
                Event::Text(_)
                | Event::CData(_)
                | Event::GeneralRef(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_) => {}
                Event::Eof => break,
            }
        }
        match root {
            Some(root) if open.is_empty() => Ok(root),
            _ => Err(CibError::CutOff),
        }
    }

    /// The tag again, as the part of the document that it is: what the reader hands out lives no longer than itself.
    fn read(
        document: &'a str,
        tag: &BytesStart<'_>,
        position: u64,
    ) -> Result<Element<'a>, CibError> {
        let broken = |problem: String| CibError::Malformed { position, problem };
        let unclear = || broken("a tag that cannot be read".to_owned());
        let start = usize::try_from(position).map_err(|_| unclear())? + 1;
        let content = document.get(start..start + tag.len()).ok_or_else(unclear)?;
        let name_len = tag.name().as_ref().len();
        let name = content.get(..name_len).ok_or_else(unclear)?;
        let mut attributes = Vec::new();
        for attribute in Attributes::new(content, name_len) {
            let attribute = attribute.map_err(|error| broken(error.to_string()))?;
            let key = std::str::from_utf8(attribute.key.into_inner()).map_err(|_| unclear())?;
            let value = match attribute.value {
                Cow::Borrowed(raw) => value(std::str::from_utf8(raw).map_err(|_| unclear())?),
                Cow::Owned(_) => return Err(unclear()),
            };
            let value = value.map_err(|error| broken(error.to_string()))?;
            attributes.push((Cow::Borrowed(key), value));
        }
        Ok(Element { name: Cow::Borrowed(name), attributes, children: Vec::new() })
    }

    /// An element without children.
    pub(crate) fn new(name: &'static str, attributes: &[(&'static str, &str)]) -> Element<'static> {
        let owned = |(key, value): &(&'static str, &str)| {
            (Cow::Borrowed(*key), Cow::Owned((*value).to_owned()))
        };
        Element {
            name: Cow::Borrowed(name),
            attributes: attributes.iter().map(owned).collect(),
            children: Vec::new(),
        }
    }

    /// The same with these children.
    pub(crate) fn with(mut self, children: impl IntoIterator<Item = Element<'a>>) -> Element<'a> {
        self.children.extend(children);
        self
    }

    /// A copy that needs the document no more.
    pub(crate) fn to_static(&self) -> Element<'static> {
        let owned = |text: &Cow<'_, str>| Cow::Owned(text.clone().into_owned());
        Element {
            name: owned(&self.name),
            attributes: self.attributes.iter().map(|(k, v)| (owned(k), owned(v))).collect(),
            children: self.children.iter().map(Element::to_static).collect(),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_ref())
    }

    /// An attribute that has to be there.
    pub(crate) fn require(&self, what: &'static str) -> Result<&str, CibError> {
        let element = || self.name.clone().into_owned();
        self.get(what).ok_or_else(|| CibError::Missing { element: element(), what })
    }

    /// The children of this name.
    pub(crate) fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Element<'a>> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The only child of this name.
    pub(crate) fn section(&self, name: &'static str) -> Result<&Element<'a>, CibError> {
        let mut found = self.all(name);
        match (found.next(), found.next()) {
            (Some(section), None) => Ok(section),
            (Some(_), Some(_)) => Err(CibError::Twice(name)),
            (None, _) => {
                let element = self.name.clone().into_owned();
                Err(CibError::Missing { element, what: name })
            }
        }
    }

    /// As text, one element on a line, indented by one blank a level, as Pacemaker's own tools write it.
    pub(crate) fn write(&self, text: &mut String, indent: usize) {
        let _ = write!(text, "{:indent$}<{}", "", self.name);
        for (key, value) in &self.attributes {
            let _ = write!(text, " {key}=\"{}\"", escaped(value));
        }
        if self.children.is_empty() {
            text.push_str("/>\n");
            return;
        }
        text.push_str(">\n");
        for child in &self.children {
            child.write(text, indent + 1);
        }
        let _ = writeln!(text, "{:indent$}</{}>", "", self.name);
    }
}

/// An attribute's value: its references resolved, its line ends and tabs blanks, as every XML reader has them.
fn value(raw: &str) -> Result<Cow<'_, str>, quick_xml::escape::EscapeError> {
    if raw.contains(['\n', '\t', '\r']) {
        let blanks = raw.replace("\r\n", " ").replace(['\n', '\t', '\r'], " ");
        return unescape(&blanks).map(|value| Cow::Owned(value.into_owned()));
    }
    unescape(raw)
}

/// For the inside of an attribute. Line ends and tabs are written as references, or a reader would take them for blanks.
fn escaped(value: &str) -> Cow<'_, str> {
    let escaped = escape(value);
    if escaped.contains(['\n', '\t', '\r']) {
        let text = escaped.replace('\n', "&#10;").replace('\t', "&#9;").replace('\r', "&#13;");
        return Cow::Owned(text);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_with_their_references_and_blanks() {
        let text =
            "<?xml version='1.0'?>\n<a x = 'p&quot;&#x41;&amp;'><!-- c --><b y=\"1\n2\"/>t</a>\n";
        let root = Element::parse(text).unwrap();
        assert_eq!(root.get("x"), Some("p\"A&"));
        assert_eq!(root.children[0].get("y"), Some("1 2"));
        assert_eq!((root.children.len(), root.get("z")), (1, None));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let value = "<\"'&> \n\t\r \u{e9}";
        let one = Element::new("a", &[("x", value)]).with([Element::new("b", &[])]);
        let mut text = String::new();
        one.write(&mut text, 0);
        assert_eq!(Element::parse(&text).unwrap(), one);
    }

    #[test]
    fn a_document_that_is_none_is_refused() {
        for text in ["", " ", "<a>", "<a><b></a>", "<a/><b/>", "<a/>b", "a<b/>", "</a>", "<a x=1/>"]
        {
            assert!(Element::parse(text).is_err(), "{text}");
        }
        for text in ["<a x='1' x='2'/>", "<a x='&no;'/>", "<!DOCTYPE a><a/>", "<a", "<a/>&amp;"] {
            assert!(Element::parse(text).is_err(), "{text}");
        }
        assert!(Element::parse("<lrm><b></lrm>").is_err());
    }

    #[test]
    fn depth_is_bounded_also_where_nothing_is_kept() {
        let nested = |name: &str, deep| {
            format!("{}{}", format!("<{name}>").repeat(deep), format!("</{name}>").repeat(deep))
        };
        for name in ["a", "lrm"] {
            assert!(Element::parse(&nested(name, DEEPEST)).is_ok());
            let deeper = nested(name, DEEPEST + 1);
            assert!(matches!(Element::parse(&deeper), Err(CibError::TooDeep { .. })));
        }
    }

    #[test]
    fn the_bulk_is_not_kept() {
        let root = Element::parse("<a><lrm><b><c/></b></lrm><lrm/><d/></a>").unwrap();
        let names: Vec<_> = root.children.iter().map(|child| child.name.as_ref()).collect();
        assert_eq!(names, ["lrm", "lrm", "d"]);
        assert!(root.children[0].children.is_empty());
    }
}
