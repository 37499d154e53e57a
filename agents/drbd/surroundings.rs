//! What a validation looks at beside the resource: whether the cluster fences, and how long it gives a promotion. Invariant:
//! what could not be read is not known, and nothing is said about it.

use std::time::Duration;

use duet_host::{drbd::under_root, file};
use duet_ocf::{boolean_word, duration_word};
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

/// Pacemaker's own file of the CIB on this node, which root may read.
const CIB: &str = "var/lib/pacemaker/cib/cib.xml";
const COROSYNC: &str = "etc/corosync/corosync.conf";
/// The CIB of a very large cluster.
const LIMIT: usize = 64 * 1024 * 1024;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// The cluster property `stonith-enabled`, as it is set or by its default.
    pub(crate) fences: Option<bool>,
    /// The shortest timeout of a promote operation of this resource.
    pub(crate) promote_timeout: Option<Duration>,
    /// Whether two nodes are quorate each on its own.
    pub(crate) two_node: bool,
}

impl Surroundings {
    /// Looks at the files of Pacemaker and corosync.
    pub(crate) fn look(resource: &str) -> Surroundings {
        let text = |path: &str| file::read_text(&under_root(path), LIMIT).ok();
        let mut found = text(CIB).and_then(|cib| read_cib(&cib, resource)).unwrap_or_default();
        found.two_node = text(COROSYNC).is_some_and(|text| is_two_node(&text));
        found
    }
}

/// `two_node: 1` in section quorum, which is the only one that has it.
fn is_two_node(text: &str) -> bool {
    text.lines().any(|line| {
        line.split_once(':')
            .is_some_and(|(name, value)| name.trim() == "two_node" && value.trim() == "1")
    })
}

/// None where it is no CIB to its end.
fn read_cib(cib: &str, resource: &str) -> Option<Surroundings> {
    let mut reader = Reader::from_str(cib);
    let mut found = Surroundings { fences: Some(true), ..Surroundings::default() };
    let (mut is_ours, mut timeouts, mut is_cib) = (false, Vec::new(), false);
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) | Event::Empty(element) => match element.name().as_ref() {
                b"cib" => is_cib = true,
                b"primitive" => (is_ours, timeouts) = (false, Vec::new()),
                b"nvpair" => {
                    let (name, value) = (get(&element, "name"), get(&element, "value"));
                    match (name.as_deref(), value.as_deref()) {
                        (Some("stonith-enabled"), Some(value)) => {
                            found.fences = boolean_word(value).or(found.fences);
                        }
                        (Some("drbd_resource"), Some(value)) => is_ours = value == resource,
                        _ => {}
                    }
                }
                b"op" if get(&element, "name").as_deref() == Some("promote") => {
                    let timeout = get(&element, "timeout");
                    timeouts.extend(timeout.as_deref().and_then(duration_word));
                }
                _ => {}
            },
            Event::End(element) if element.name().as_ref() == b"primitive" && is_ours => {
                let shortest = timeouts.iter().chain(&found.promote_timeout).min();
                found.promote_timeout = shortest.copied();
            }
            Event::Eof => return is_cib.then_some(found),
            _ => {}
        }
    }
}

fn get(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok()??;
    Some(attribute.unescape_value().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "<cib><configuration><crm_config><cluster_property_set>\
        <nvpair id='o' name='stonith-enabled' value='false'/></cluster_property_set></crm_config><resources>\
        <primitive id='other'><instance_attributes><nvpair id='a' name='drbd_resource' value='r1'/>\
        </instance_attributes><operations><op id='b' name='promote' timeout='5s'/></operations></primitive>\
        <primitive id='p'><instance_attributes><nvpair id='c' name='drbd_resource' value='r0'/></instance_attributes>\
        <operations><op id='d' name='promote' timeout='60s' interval='0'/><op id='e' name='start' timeout='7s'/>\
        </operations></primitive></resources></configuration></cib>";

    #[test]
    fn what_a_cib_says_of_fencing_and_of_this_resource() {
        let found = read_cib(TEXT, "r0").unwrap();
        assert_eq!(found.fences, Some(false));
        assert_eq!(found.promote_timeout, Some(Duration::from_secs(60)));
        let unsaid = read_cib("<cib><configuration/></cib>", "r0").unwrap();
        assert_eq!((unsaid.fences, unsaid.promote_timeout), (Some(true), None));
    }

    #[test]
    fn what_is_no_cib_says_nothing() {
        for text in ["", "<html/>", "<cib><configuration></cib>"] {
            assert_eq!(read_cib(text, "r0"), None, "{text}");
        }
    }

    #[test]
    fn two_nodes_are_read_from_corosync() {
        assert!(is_two_node("quorum {\n  provider: corosync_votequorum\n  two_node: 1\n}\n"));
        assert!(!is_two_node("quorum {\n  two_node: 0\n}\n"));
        assert!(!is_two_node("# two_node\n"));
    }
}
