//! What a definition needs of the host that runs it: the machine, and the pools and networks it draws on. Invariant: only
//! what stands where libvirt looks for it counts; the same words elsewhere (metadata, comments) do not.

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

use crate::definition::{DefinitionError, malformed};

/// What has to be there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requirements {
    /// The root's `type`: kvm, qemu, ...
    pub kind: Option<String>,
    /// `os/type`'s `arch`.
    pub arch: Option<String>,
    /// `os/type`'s `machine`.
    pub machine: Option<String>,
    /// `devices/emulator`.
    pub emulator: Option<String>,
    /// Storage pools of disks, each once.
    pub pools: Vec<String>,
    /// Virtual networks of interfaces, each once.
    pub networks: Vec<String>,
    /// The cluster's resource that says it is its own, see [`mark`].
    pub resource: Option<String>,
}

/// The namespace of [`mark`].
pub const MARK_NAMESPACE: &str = "urn:duet:resource:1";
/// Its prefix.
pub const MARK_PREFIX: &str = "duet";

/// An element for a domain's metadata which says what resource the domain belongs to, for hosts that know it
/// from nowhere else.
#[must_use]
pub fn mark(resource: &str) -> String {
    format!("<resource name=\"{}\"/>", quick_xml::escape::escape(resource))
}

/// The definition without its [`mark`]s, and the same otherwise.
///
/// # Errors
/// It is not XML.
pub fn unmarked(document: &str) -> Result<String, DefinitionError> {
    let mut reader = Reader::from_str(document);
    let mut rest = String::with_capacity(document.len());
    let mut path: Vec<String> = Vec::new();
    // How deep the mark lies whose end is still to come.
    let mut within: Option<usize> = None;
    let mut from = 0;
    loop {
        let event = reader.read_event();
        let position = reader.buffer_position();
        let event = event.map_err(|error| malformed(position, &error))?;
        let to = usize::try_from(position).unwrap_or(usize::MAX).min(document.len());
        let this = document.get(from..to).unwrap_or_default();
        from = to;
        let mut is_part = within.is_some();
        match event {
            Event::Start(tag) => {
                path.push(String::from_utf8_lossy(tag.name().as_ref()).into_owned());
                if within.is_none() && is_mark(&path, &tag, position)? {
                    (within, is_part) = (Some(path.len()), true);
                    rest.truncate(rest.trim_end().len());
                }
            }
            Event::Empty(tag) => {
                path.push(String::from_utf8_lossy(tag.name().as_ref()).into_owned());
                if within.is_none() && is_mark(&path, &tag, position)? {
                    is_part = true;
                    rest.truncate(rest.trim_end().len());
                }
                path.pop();
            }
            Event::End(_) => {
                if within == Some(path.len()) {
                    within = None;
                }
                path.pop();
            }
            Event::Eof => return Ok(rest),
            _ => {}
        }
        if !is_part {
            rest.push_str(this);
        }
    }
}

fn is_mark(path: &[String], tag: &BytesStart<'_>, position: u64) -> Result<bool, DefinitionError> {
    if path.len() != 3 || !at(&path[..2], &["domain", "metadata"]) {
        return Ok(false);
    }
    let Some(space) = path[2].strip_suffix(":resource") else { return Ok(false) };
    let space = attribute(tag, &format!("xmlns:{space}"), position)?;
    Ok(space.as_deref() == Some(MARK_NAMESPACE))
}

fn attribute(
    tag: &BytesStart<'_>,
    wanted: &str,
    position: u64,
) -> Result<Option<String>, DefinitionError> {
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| malformed(position, &error))?;
        if attribute.key.as_ref() == wanted.as_bytes() {
            let value = attribute.unescape_value();
            let value = value.map_err(|error| malformed(position, &error))?;
            return Ok(Some(value.into_owned()));
        }
    }
    Ok(None)
}

impl Requirements {
    /// Reads them from a definition.
    pub fn parse(document: &[u8]) -> Result<Self, DefinitionError> {
        let text = std::str::from_utf8(document).map_err(|_| DefinitionError::NotText)?;
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
        let mut found = Self::default();
        let mut path: Vec<String> = Vec::new();
        loop {
            let event = reader.read_event();
            let position = reader.buffer_position();
            match event.map_err(|error| malformed(position, &error))? {
                Event::Start(tag) => {
                    path.push(String::from_utf8_lossy(tag.name().as_ref()).into_owned());
                    found.take(&path, &tag, position)?;
                }
                Event::Empty(tag) => {
                    path.push(String::from_utf8_lossy(tag.name().as_ref()).into_owned());
                    found.take(&path, &tag, position)?;
                    path.pop();
                }
                Event::End(_) => {
                    path.pop();
                }
                Event::Text(text) if at(&path, &["domain", "devices", "emulator"]) => {
                    let text = text.decode().map_err(|error| malformed(position, &error))?;
                    found.emulator.get_or_insert_default().push_str(text.trim());
                }
                Event::Eof => return Ok(found),
                _ => {}
            }
        }
    }

    fn take(
        &mut self,
        path: &[String],
        tag: &BytesStart<'_>,
        position: u64,
    ) -> Result<(), DefinitionError> {
        let attribute = |wanted: &str| attribute(tag, wanted, position);
        if at(path, &["domain"]) {
            self.kind = attribute("type")?;
        } else if at(path, &["domain", "os", "type"]) {
            (self.arch, self.machine) = (attribute("arch")?, attribute("machine")?);
        } else if is_mark(path, tag, position)? {
            self.resource = attribute("name")?;
        } else if at(path, &["domain", "devices", "disk", "source"]) {
            once(&mut self.pools, attribute("pool")?);
        } else if at(path, &["domain", "devices", "interface", "source"]) {
            once(&mut self.networks, attribute("network")?);
        }
        Ok(())
    }
}

fn at(path: &[String], wanted: &[&str]) -> bool {
    path.iter().map(String::as_str).eq(wanted.iter().copied())
}

fn once(names: &mut Vec<String>, name: Option<String>) {
    if let Some(name) = name.filter(|name| !name.is_empty() && !names.contains(name)) {
        names.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pools_and_networks_are_those_of_disks_and_interfaces() {
        let document = "<domain type='kvm'><name>web</name><!-- <source pool='no'/> -->\
            <metadata><x:devices xmlns:x='u'><disk><source pool='no'/></disk></x:devices></metadata>\
            <os><type arch='x86_64' machine='q35'>hvm</type></os><devices>\
            <emulator>/usr/bin/qemu</emulator>\
            <disk type='volume'><source pool='fast' volume='a'/></disk>\
            <disk type='volume'><source volume='b' pool='a&amp;b'></source></disk>\
            <disk type='volume'><source pool='fast' volume='c'/></disk>\
            <disk type='file'><source file='/x'><slice network='no'/></source></disk>\
            <interface type='network'><source network='default'/></interface>\
            <interface type='bridge'><source bridge='br0'/></interface></devices></domain>";
        let found = Requirements::parse(document.as_bytes()).unwrap();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            found,
            Requirements {
                kind: text("kvm"),
                arch: text("x86_64"),
                machine: text("q35"),
                emulator: text("/usr/bin/qemu"),
                pools: vec!["fast".to_owned(), "a&b".to_owned()],
                networks: vec!["default".to_owned()],
                resource: None,
            }
        );
    }

    /// As libvirt writes what it was given.
    #[test]
    fn a_mark_is_found_again() {
        let marked = |attributes: &str| {
            let document = format!(
                "<domain><metadata><duet:resource xmlns:duet='{MARK_NAMESPACE}' {attributes}/></metadata></domain>"
            );
            Requirements::parse(document.as_bytes()).unwrap().resource
        };
        let name = mark("a&b");
        assert_eq!(name, "<resource name=\"a&amp;b\"/>");
        assert_eq!(marked("name=\"a&amp;b\"").as_deref(), Some("a&b"));
        let other = "<domain><metadata><x:resource xmlns:x='urn:x' name='vm'/></metadata></domain>";
        assert_eq!(Requirements::parse(other.as_bytes()).unwrap().resource, None);
    }

    #[test]
    fn without_its_mark_a_definition_is_the_same() {
        let with = |marks: &str| {
            format!(
                "<?xml version='1.0'?>\n<domain>\n  <name>ü &amp; b</name>\n  <metadata>\n    \
                 <x:resource xmlns:x='urn:x'><a/></x:resource>{marks}\n  </metadata>\n</domain>\n"
            )
        };
        let plain = with("");
        let mark = |end: &str| {
            format!("\n    <duet:resource xmlns:duet=\"{MARK_NAMESPACE}\" name=\"a\"{end}")
        };
        let (empty, full) = (mark("/>"), mark("><b><c/></b>text</duet:resource>"));
        for marks in ["", &empty, &full, &format!("{empty}{full}{empty}")] {
            assert_eq!(unmarked(&with(marks)).unwrap(), plain, "{marks}");
        }
        assert!(unmarked("<domain></name>").is_err());
    }

    proptest! {
        #[test]
        fn what_has_no_mark_stays_as_it_is(soup in "[<>/a-z&;#'= !\\[\\]-]{0,60}") {
            let document = format!("<domain><metadata>{soup}");
            if let Ok(rest) = unmarked(&document) {
                prop_assert_eq!(rest, document);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Requirements::parse(&bytes);
        }

        #[test]
        fn any_tag_soup_is_read_or_refused(soup in "[<>/a-z&;#'= !\\[\\]-]{0,60}") {
            let _ = Requirements::parse(format!("<domain><devices>{soup}").as_bytes());
        }
    }
}
