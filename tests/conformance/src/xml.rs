//! Just enough of an XML tree to look at metadata. Whatever is not well-formed is an error with its
//! position, never an empty tree.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// An element with its attributes and child elements; text is kept only as "there is some".
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Element>,
    pub(crate) text: String,
}

impl Element {
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> + 'a {
        self.children.iter().filter(move |child| child.name == name)
    }
}

/// Reads a document into its root element.
pub(crate) fn parse(text: &str) -> Result<Element, String> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut open: Vec<Element> = vec![Element::default()];
    loop {
        let event = reader.read_event();
        let at = reader.error_position();
        let inside = open.len() - 1;
        match event.map_err(|error| format!("not well-formed at byte {at}: {error}"))? {
            Event::Start(start) => open.push(element(&start)?),
            Event::Empty(start) => {
                let child = element(&start)?;
                open[inside].children.push(child);
            }
            Event::End(_) => {
                // The reader has checked that it closes something.
                let Some(child) = open.pop() else { return Err("unbalanced".to_owned()) };
                let Some(parent) = open.last_mut() else { return Err("unbalanced".to_owned()) };
                parent.children.push(child);
            }
            Event::Text(text) => {
                let text = text.decode().map_err(|error| error.to_string())?;
                if inside == 0 && !text.trim().is_empty() {
                    return Err(format!("text outside the root element: {:?}", text.trim()));
                }
                open[inside].text.push_str(&text);
            }
            Event::CData(text) => open[inside].text.push_str(&String::from_utf8_lossy(&text)),
            Event::GeneralRef(_) => open[inside].text.push('&'),
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    let [document] = &mut open[..] else { return Err("ends within an element".to_owned()) };
    match (document.children.pop(), document.children.is_empty()) {
        (Some(root), true) => Ok(root),
        (None, _) => Err("no element at all".to_owned()),
        (Some(_), false) => Err("more than one root element".to_owned()),
    }
}

fn element(start: &BytesStart<'_>) -> Result<Element, String> {
    let name = String::from_utf8_lossy(start.name().as_ref()).into_owned();
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| format!("<{name}>: {error}"))?;
        let value = attribute.unescape_value().map_err(|error| format!("<{name}>: {error}"))?;
        let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        attributes.push((key, value.into_owned()));
    }
    Ok(Element { name, attributes, ..Element::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_a_tree() {
        let root = parse(
            "<?xml version=\"1.0\"?><!DOCTYPE a [<!ELEMENT a ANY>]>\n<a x=\"1&amp;2\"><b/>t</a>\n",
        );
        let root = root.unwrap();
        assert_eq!((root.name.as_str(), root.attribute("x")), ("a", Some("1&2")));
        assert_eq!((root.named("b").count(), root.text.as_str()), (1, "t"));
    }

    #[test]
    fn what_is_not_well_formed_is_an_error() {
        for text in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "noise <a/>",
            "<a x=1/>",
            "<a x='1' x='2'/>",
            "</a>",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
