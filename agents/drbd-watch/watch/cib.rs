//! Which attributes of ours this node has, as the CIB says. Invariant: an answer that cannot be read whole is none.

use quick_xml::{Reader, events::Event};

/// What the question is, for the log.
pub(crate) const ASKED: &str = "this node's attributes";
/// What cibadmin exits with where nothing fits the question.
pub(crate) const NONE: i32 = 105;

/// What stands between the prefix and the resource in the name of an attribute with details.
pub(crate) const DETAILS: &str = ":event-details-";

/// Which resources have attributes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// With a score.
    pub(crate) scores: Vec<String>,
    /// With details.
    pub(crate) details: Vec<String>,
}

/// The question for the attributes of this node whose names begin with the prefix; `None` where the name cannot be part of one.
pub(crate) fn query(prefix: &str, node: &str) -> Option<String> {
    let is_fine = |text: &str| !text.contains(['\'', '"']);
    (is_fine(prefix) && is_fine(node)).then(|| {
        format!(
            "/cib/status/node_state[@uname='{node}']/transient_attributes/instance_attributes/nvpair\
             [starts-with(@name,'{prefix}-') or starts-with(@name,'{prefix}{DETAILS}')]"
        )
    })
}

/// The resources whose attributes an answer has; `None` where it is no answer. One attribute comes by itself, several within another
/// element, none is no text at all.
pub(crate) fn resources(answer: &str, prefix: &str) -> Option<Found> {
    let mut reader = Reader::from_str(answer);
    let mut found = Found::default();
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) | Event::Empty(element) => {
                if element.name().as_ref() != b"nvpair" {
                    continue;
                }
                let name = element.try_get_attribute("name").ok()??;
                let name = name.unescape_value().ok()?;
                let rest = name.strip_prefix(prefix)?;
                match (rest.strip_prefix(DETAILS), rest.strip_prefix('-')) {
                    (Some(of), _) => found.details.push(of.to_owned()),
                    (None, Some(of)) => found.scores.push(of.to_owned()),
                    (None, None) => {}
                }
            }
            Event::Eof => return Some(found),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_several_and_none() {
        let pair =
            |name: &str| format!("<nvpair id=\"status-1-{name}\" name=\"{name}\" value=\"1\"/>");
        let one = pair("p-r0");
        let found = |scores: &[&str], details: &[&str]| {
            let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            Some(Found { scores: all(scores), details: all(details) })
        };
        assert_eq!(resources(&one, "p"), found(&["r0"], &[]));
        let several = format!("<xpath-query>\n  {}\n  {}\n</xpath-query>\n", one, pair("p-a-b"));
        assert_eq!(resources(&several, "p"), found(&["r0", "a-b"], &[]));
        let both = format!("<xpath-query>{}{}</xpath-query>", one, pair("p:event-details-a-b"));
        assert_eq!(resources(&both, "p"), found(&["r0"], &["a-b"]));
        assert_eq!(resources("", "p"), found(&[], &[]));
    }

    #[test]
    fn what_is_no_answer_names_nothing() {
        for text in
            ["<xpath-query><nvpair", "<nvpair value='1'/>", "<nvpair name='other'/>", "<a></b>"]
        {
            assert_eq!(resources(text, "p"), None, "{text}");
        }
        assert_eq!(query("p", "node'1"), None);
        assert!(query("p", "node1").is_some());
    }
}
