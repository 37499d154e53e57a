//! What a CIB on disk says about the utilization of one resource. Invariant: read as a stream, to the end of the
//! resources and no further; what only Pacemaker's own evaluation could tell (rules, references) is told as such.

use std::{collections::BTreeMap, io::BufRead};

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

/// Values by name.
pub(crate) type Values = BTreeMap<String, String>;

/// What the CIB has for one resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Held {
    /// Its own.
    pub(crate) own: Values,
    /// Those of its template, where it has one.
    pub(crate) inherited: Values,
    /// It is part of a clone or a bundle: crm_resource would then take the whole for it.
    pub(crate) is_instance: bool,
    /// Part of it stands elsewhere, or depends on a rule.
    pub(crate) is_indirect: bool,
}

impl Held {
    /// What holds for the resource: its own word, else its template's.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.own.get(name).or_else(|| self.inherited.get(name)).map(String::as_str)
    }
}

/// The values of one primitive or template, in the order in which they count.
#[derive(Default)]
struct Entry {
    sets: Vec<Set>,
    template: Option<String>,
    is_instance: bool,
    is_indirect: bool,
}

#[derive(Default)]
struct Set {
    score: i64,
    pairs: Vec<(String, String)>,
}

impl Entry {
    /// Of sets with the same name in them, the one with the higher score counts, then the earlier one.
    fn values(mut self) -> Values {
        self.sets.sort_by_key(|set| std::cmp::Reverse(set.score));
        let mut values = Values::new();
        for (name, value) in self.sets.into_iter().flat_map(|set| set.pairs) {
            values.entry(name).or_insert(value);
        }
        values
    }
}

/// Looks for `resource`, by its name in the configuration or as an instance (`NAME:0`). `None`: it is not there.
///
/// # Errors
/// It is no XML, or cannot be read.
pub(crate) fn read(input: impl BufRead, resource: &str) -> Result<Option<Held>, quick_xml::Error> {
    let mut walk = Walk { resource: configured(resource), ..Walk::default() };
    let mut reader = Reader::from_reader(input);
    let mut buffer = Vec::new();
    loop {
        match reader.read_event_into(&mut buffer)? {
            Event::Start(tag) => walk.open(&tag)?,
            Event::Empty(tag) => {
                walk.open(&tag)?;
                if walk.close() {
                    break;
                }
            }
            Event::End(_) if walk.close() => break,
            Event::Eof => break,
            Event::End(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::GeneralRef(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => {}
        }
        buffer.clear();
    }
    Ok(walk.finish())
}

/// Pacemaker calls instances `NAME:NUMBER`; an id in XML has no colon.
fn configured(resource: &str) -> &str {
    resource.split_once(':').map_or(resource, |(name, _)| name)
}

/// Where the reader stands, and what was found so far.
#[derive(Default)]
struct Walk<'a> {
    resource: &'a str,
    /// The names of the open elements.
    path: Vec<Vec<u8>>,
    /// The primitive or template that is being read, by its depth and its id.
    current: Option<(usize, String, Entry)>,
    ours: Option<Entry>,
    templates: BTreeMap<String, Entry>,
}

impl Walk<'_> {
    fn open(&mut self, tag: &BytesStart<'_>) -> Result<(), quick_xml::Error> {
        let name = tag.name().as_ref().to_vec();
        let is_in_resources = self.path.iter().any(|open| open == b"resources");
        match (name.as_slice(), &mut self.current) {
            (b"primitive" | b"template", None) if is_in_resources => {
                let id = attribute(tag, "id")?.unwrap_or_default();
                if name == b"template" || id == self.resource {
                    let parts: [&[u8]; 3] = [b"clone", b"master", b"bundle"];
                    let entry = Entry {
                        template: attribute(tag, "template")?,
                        is_instance: self.path.iter().any(|open| parts.contains(&open.as_slice())),
                        ..Entry::default()
                    };
                    self.current = Some((self.path.len(), id, entry));
                }
            }
            (b"utilization", Some((depth, _, entry))) if self.path.len() == *depth + 1 => {
                entry.is_indirect |= attribute(tag, "id-ref")?.is_some();
                let score = attribute(tag, "score")?.as_deref().map_or(0, score);
                entry.sets.push(Set { score, pairs: Vec::new() });
            }
            (word @ (b"nvpair" | b"rule"), Some((depth, _, entry)))
                if self.path.len() == *depth + 2
                    && self.path.last().is_some_and(|open| open == b"utilization") =>
            {
                let pair = (attribute(tag, "name")?, attribute(tag, "value")?);
                match (word, pair, entry.sets.last_mut()) {
                    (b"nvpair", (Some(name), Some(value)), Some(set)) => {
                        set.pairs.push((name, value));
                    }
                    _ => entry.is_indirect = true,
                }
            }
            _ => {}
        }
        self.path.push(name);
        Ok(())
    }

    /// Whether there is nothing more to learn.
    fn close(&mut self) -> bool {
        let closed = self.path.pop();
        if self.current.as_ref().is_some_and(|(depth, _, _)| *depth == self.path.len()) {
            if let Some((_, id, entry)) = self.current.take() {
                if closed.as_deref() == Some(b"template") {
                    self.templates.insert(id, entry);
                } else {
                    self.ours = Some(entry);
                }
            }
        }
        closed.as_deref() == Some(b"resources")
    }

    fn finish(mut self) -> Option<Held> {
        let ours = self.ours?;
        let template = ours.template.as_ref().and_then(|id| self.templates.remove(id));
        let (is_instance, mut is_indirect) = (ours.is_instance, ours.is_indirect);
        is_indirect |= template.as_ref().is_some_and(|template| template.is_indirect);
        let inherited = template.map(Entry::values).unwrap_or_default();
        Some(Held { own: ours.values(), inherited, is_instance, is_indirect })
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<Option<String>, quick_xml::Error> {
    match tag.try_get_attribute(name)? {
        Some(attribute) => Ok(Some(attribute.unescape_value()?.into_owned())),
        None => Ok(None),
    }
}

fn score(word: &str) -> i64 {
    match word.trim() {
        "INFINITY" | "+INFINITY" => i64::MAX,
        "-INFINITY" => i64::MIN,
        number => number.parse().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair(name: &str, value: &str) -> String {
        format!("<nvpair id='i' name='{name}' value='{value}'/>")
    }

    fn set(name: &str, value: &str) -> String {
        format!("<utilization id='u'>{}</utilization>", pair(name, value))
    }

    fn cib(resources: &str) -> String {
        format!(
            "<?xml version='1.0'?>\n<cib><configuration><crm_config/><nodes><node id='1'>\
             <utilization id='nu'><nvpair id='n' name='cpu' value='64'/></utilization></node></nodes>\
             <resources>{resources}</resources></configuration><status><primitive id='vm'/></status></cib>"
        )
    }

    fn held(resources: &str, resource: &str) -> Option<Held> {
        read(cib(resources).as_bytes(), resource).unwrap()
    }

    fn value(resources: &str, resource: &str) -> Option<String> {
        held(resources, resource)?.value("cpu").map(str::to_owned)
    }

    #[test]
    fn a_resource_is_found_wherever_it_stands() {
        let vm = format!("<primitive id='vm'>{}</primitive>", set("cpu", "2"));
        let other = format!("<primitive id='vm1'>{}</primitive>", set("cpu", "9"));
        for (wrap, resource, is_instance) in [
            (("", ""), "vm", false),
            (("<group id='g'>", "</group>"), "vm", false),
            (("<clone id='c'>", "</clone>"), "vm", true),
            (("<clone id='c'>", "</clone>"), "vm:0", true),
            (("<master id='c'><group id='g'>", "</group></master>"), "vm:12", true),
            (("<bundle id='b'>", "</bundle>"), "vm", true),
        ] {
            let resources = format!("{other}{}{vm}{}{other}", wrap.0, wrap.1);
            let held = held(&resources, resource).unwrap();
            assert_eq!(held.value("cpu"), Some("2"), "{resources}");
            assert_eq!(held.is_instance, is_instance, "{resources}");
            assert!(!held.is_indirect);
        }
        assert_eq!(held(&other, "vm"), None);
        assert_eq!(held("", "vm"), None);
    }

    #[test]
    fn what_it_does_not_say_itself_its_template_does() {
        let template = format!("<template id='t'>{}</template>", set("cpu", "4"));
        let plain = "<primitive id='vm' template='t'/>";
        for order in [format!("{template}{plain}"), format!("{plain}{template}")] {
            let held = held(&order, "vm").unwrap();
            assert_eq!(held.value("cpu"), Some("4"));
            assert!(held.own.is_empty());
        }
        let own = format!("<primitive id='vm' template='t'>{}</primitive>", set("cpu", "1"));
        assert_eq!(value(&format!("{template}{own}"), "vm").as_deref(), Some("1"));
        assert_eq!(value(&format!("{template}<primitive id='vm'/>"), "vm"), None);
    }

    #[test]
    fn only_its_own_utilization_counts() {
        let meta = format!("<meta_attributes id='m'>{}</meta_attributes>", pair("cpu", "7"));
        let operation = format!("<operations><op id='o'>{}</op></operations>", set("cpu", "8"));
        let resources = format!("<primitive id='vm'>{meta}{operation}</primitive>");
        assert_eq!(value(&resources, "vm"), None);
    }

    #[test]
    fn of_several_sets_the_higher_score_counts_then_the_first() {
        let scored = |score: &str, value: &str| {
            format!("<utilization id='u' score='{score}'>{}</utilization>", pair("cpu", value))
        };
        for (sets, expected) in [
            (vec![("1", "a"), ("1", "b")], "a"),
            (vec![("1", "a"), ("2", "b")], "b"),
            (vec![("-INFINITY", "a"), ("0", "b"), ("INFINITY", "c")], "c"),
        ] {
            let sets: String = sets.iter().map(|(by, value)| scored(by, value)).collect();
            let resources = format!("<primitive id='vm'>{sets}</primitive>");
            assert_eq!(value(&resources, "vm").as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_needs_pacemaker_to_be_evaluated_is_told() {
        for inside in [
            "<utilization id-ref='elsewhere'/>",
            "<utilization id='u'><nvpair id-ref='elsewhere'/></utilization>",
            "<utilization id='u'><rule id='r'><expression id='e'/></rule></utilization>",
        ] {
            let resources = format!("<primitive id='vm'>{inside}</primitive>");
            assert!(held(&resources, "vm").unwrap().is_indirect, "{inside}");
        }
    }

    #[test]
    fn half_a_file_is_an_error_or_less_and_never_another_value() {
        let whole = cib(&format!("<primitive id='vm'>{}</primitive>", set("cpu", "2")));
        for length in 0..whole.len() {
            if let Ok(Some(held)) = read(&whole.as_bytes()[..length], "vm") {
                assert_eq!(held.value("cpu"), Some("2"), "{length}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = read(&bytes[..], "vm");
        }

        #[test]
        fn any_tags_are_read_or_refused(soup in "[<>/a-z='\" -]{0,80}") {
            let text = format!("<cib><resources><primitive id='vm'><utilization>{soup}");
            let _ = read(text.as_bytes(), "vm");
        }
    }
}
