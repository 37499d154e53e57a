//! Who a definition XML says it is: `/domain/name`, `/domain/uuid` and the `type` attribute.
//! Invariant: read like libvirt reads it (first child element of the root, entities resolved), so that
//! names elsewhere in the document, comments and line breaks make no difference.

use quick_xml::{
    Reader,
    events::{BytesRef, BytesStart, Event},
};

use crate::uuid::{Uuid, UuidError};

/// What identifies a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// `/domain/name`, exactly as libvirt takes it.
    pub name: String,
    /// `/domain/uuid`; without one, libvirt invents one at each start.
    pub uuid: Option<Uuid>,
    /// The root's `type`: kvm, qemu, lxc, xen and so on.
    pub kind: Option<String>,
}

/// Why a file is not a definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Not UTF-8.
    #[error("The definition is not UTF-8 text")]
    NotText,
    /// Not well-formed.
    #[error("The definition is not well-formed XML at byte {position}: {problem}")]
    Malformed {
        /// Where.
        position: u64,
        /// The parser's own words.
        problem: String,
    },
    /// Some other document.
    #[error("The definition's root element is {0:?}, not \"domain\"")]
    NotADomain(String),
    /// No root element.
    #[error("The definition is empty")]
    Empty,
    /// No name, or an empty one.
    #[error("The definition has no name")]
    NoName,
    /// The UUID cannot be read.
    #[error("The definition's uuid cannot be used")]
    BadUuid(#[from] UuidError),
}

/// Which text is being collected.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Uuid,
}

impl Definition {
    /// Reads a definition.
    pub fn parse(document: &[u8]) -> Result<Self, DefinitionError> {
        let text = std::str::from_utf8(document).map_err(|_| DefinitionError::NotText)?;
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
        let mut walk = Walk::default();
        loop {
            let event = reader.read_event();
            let position = reader.buffer_position();
            match event.map_err(|error| malformed(position, &error))? {
                Event::Start(tag) => walk.open(&tag, position)?,
                Event::Empty(tag) => {
                    walk.open(&tag, position)?;
                    walk.close();
                }
                Event::End(_) => walk.close(),
                Event::Text(text) => {
                    walk.append(&text.decode().map_err(|error| malformed(position, &error))?);
                }
                Event::CData(text) => {
                    walk.append(&text.decode().map_err(|error| malformed(position, &error))?);
                }
                Event::GeneralRef(entity) if walk.field.is_some() => {
                    walk.text.push(resolve(&entity, position)?);
                }
                Event::GeneralRef(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::DocType(_) => {}
                Event::Eof => return walk.finish(position),
            }
        }
    }
}

/// Where the reader stands, and what was found so far.
#[derive(Default)]
struct Walk {
    depth: usize,
    root_seen: bool,
    field: Option<Field>,
    text: String,
    kind: Option<String>,
    name: Option<String>,
    uuid: Option<String>,
}

impl Walk {
    fn open(&mut self, tag: &BytesStart<'_>, position: u64) -> Result<(), DefinitionError> {
        let element = tag.name();
        if self.depth == 0 {
            if self.root_seen {
                return Err(malformed(position, &"a second root element"));
            }
            if element.as_ref() != b"domain" {
                let found = String::from_utf8_lossy(element.as_ref()).chars().take(64).collect();
                return Err(DefinitionError::NotADomain(found));
            }
            self.root_seen = true;
            for attribute in tag.attributes() {
                let attribute = attribute.map_err(|error| malformed(position, &error))?;
                if attribute.key.as_ref() == b"type" {
                    let value = attribute.unescape_value();
                    self.kind =
                        Some(value.map_err(|error| malformed(position, &error))?.into_owned());
                }
            }
        }
        if self.depth == 1 {
            // The first one counts, as for libvirt's string(./name[1]).
            self.field = match element.as_ref() {
                b"name" if self.name.is_none() => Some(Field::Name),
                b"uuid" if self.uuid.is_none() => Some(Field::Uuid),
                _ => None,
            };
            self.text.clear();
        }
        self.depth += 1;
        Ok(())
    }

    fn append(&mut self, text: &str) {
        if self.field.is_some() {
            // XML's own rule: a line break is one line feed, however the file spells it.
            self.text.push_str(&text.replace("\r\n", "\n"));
        }
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        if self.depth == 1 {
            match self.field.take() {
                Some(Field::Name) => self.name = Some(std::mem::take(&mut self.text)),
                Some(Field::Uuid) => self.uuid = Some(std::mem::take(&mut self.text)),
                None => {}
            }
        }
    }

    fn finish(self, position: u64) -> Result<Definition, DefinitionError> {
        if !self.root_seen {
            return Err(DefinitionError::Empty);
        }
        if self.depth != 0 {
            return Err(malformed(position, &"the document ends inside an element"));
        }
        let name = self.name.filter(|name| !name.trim().is_empty());
        let name = name.ok_or(DefinitionError::NoName)?;
        let uuid = self.uuid.as_deref().map(str::parse).transpose()?;
        Ok(Definition { name, uuid, kind: self.kind })
    }
}

fn resolve(entity: &BytesRef<'_>, position: u64) -> Result<char, DefinitionError> {
    if let Some(letter) = entity.resolve_char_ref().map_err(|error| malformed(position, &error))? {
        return Ok(letter);
    }
    match entity.as_ref() {
        b"amp" => Ok('&'),
        b"lt" => Ok('<'),
        b"gt" => Ok('>'),
        b"quot" => Ok('"'),
        b"apos" => Ok('\''),
        _ => Err(malformed(position, &"an entity that XML does not define")),
    }
}

pub(crate) fn malformed(position: u64, problem: &dyn std::fmt::Display) -> DefinitionError {
    DefinitionError::Malformed { position, problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UUID: &str = "c7a5fdbd-edaf-9455-926a-d65c16db1809";

    fn name(document: &str) -> Result<String, DefinitionError> {
        Definition::parse(document.as_bytes()).map(|definition| definition.name)
    }

    #[test]
    fn a_definition_is_identified_however_it_is_laid_out() {
        for document in [
            format!("<domain type='kvm'><name>web</name><uuid>{UUID}</uuid></domain>"),
            format!(
                "<?xml version='1.0' encoding='UTF-8'?>\n<!--\nvirsh edit\n-->\n\n<domain type=\"kvm\">\n  \
                 <name>web</name> <!-- the shop -->\n  <uuid>{UUID}</uuid>\n</domain>\n"
            ),
            format!(
                "<domain type='kvm'>\r\n<name>web</name>\r\n<uuid>{UUID}</uuid>\r\n</domain>\r\n"
            ),
            format!(
                "\u{feff}<domain type='kvm'><metadata><a:x xmlns:a='u'><name>other</name><uuid>no</uuid></a:x>\
                 </metadata><name>web</name><uuid> {UUID} </uuid><name>late</name></domain>"
            ),
            format!("<domain type='kvm'><name><![CDATA[web]]></name><uuid>{UUID}</uuid></domain>"),
            format!("<domain type='kvm'><name>w<!-- - -->eb</name><uuid>{UUID}</uuid></domain>"),
            format!(
                "<!DOCTYPE domain><domain type='kvm'><name>&#x77;eb</name><uuid>{UUID}</uuid></domain>"
            ),
        ] {
            let definition = Definition::parse(document.as_bytes());
            let expected = Definition {
                name: "web".into(),
                uuid: UUID.parse().ok(),
                kind: Some("kvm".into()),
            };
            assert_eq!(definition, Ok(expected), "{document}");
        }
    }

    #[test]
    fn names_keep_their_odd_letters() {
        for (written, meant) in [
            ("a&amp;b", "a&b"),
            ("v.1", "v.1"),
            ("vm+1", "vm+1"),
            ("two words", "two words"),
            ("&lt;&gt;&quot;&apos;", "<>\"'"),
            ("größe", "größe"),
        ] {
            let document = format!("<domain><name>{written}</name></domain>");
            assert_eq!(name(&document).as_deref(), Ok(meant));
        }
    }

    #[test]
    fn what_is_no_definition_is_refused() {
        for (document, expected) in [
            ("", "The definition is empty"),
            ("<!-- nothing -->", "The definition is empty"),
            ("<network><name>n</name></network>", "root element is \"network\""),
            ("<domain/>", "has no name"),
            ("<domain><name/></domain>", "has no name"),
            ("<domain><name> \n</name></domain>", "has no name"),
            ("<domain><x><name>deep</name></x></domain>", "has no name"),
            ("<domain><name>n</name>", "ends inside an element"),
            ("<domain><name>n</domain>", "not well-formed"),
            ("<domain><name>n</name></domain><domain/>", "second root"),
            ("<domain><name>&unknown;</name></domain>", "entity"),
            ("<domain><name>n</name><uuid>zz</uuid></domain>", "uuid cannot be used"),
            ("name=web", "The definition is empty"),
        ] {
            let error = name(document).unwrap_err().to_string();
            assert!(error.contains(expected), "{document}: {error}");
        }
        assert_eq!(Definition::parse(b"<domain>\xff</domain>"), Err(DefinitionError::NotText));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_definition_or_refused(bytes: Vec<u8>) {
            let _ = Definition::parse(&bytes);
        }

        #[test]
        fn any_tag_soup_is_a_definition_or_refused(soup in "[<>/a-z&;#'= !\\[\\]-]{0,60}") {
            let _ = Definition::parse(format!("<domain><name>{soup}").as_bytes());
        }

        #[test]
        fn any_name_survives_escaping(meant in "[ -~]{1,40}") {
            prop_assume!(!meant.trim().is_empty());
            let document = format!("<domain><name>{}</name></domain>", quick_xml::escape::escape(&meant));
            prop_assert_eq!(name(&document), Ok(meant));
        }
    }
}
