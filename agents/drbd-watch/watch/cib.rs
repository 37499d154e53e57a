//! Which attributes of ours this node has, as the CIB says. Invariant: an answer that cannot be read whole is none.

use quick_xml::{Reader, events::Event};

/// What the question is, for the log.
pub(crate) const ASKED: &str = "this node's attributes";
/// What cibadmin exits with where nothing fits the question.
pub(crate) const NONE: i32 = 105;

/// The question for the attributes of this node whose names begin with the prefix; `None` where the name cannot be part of one.
pub(crate) fn query(prefix: &str, node: &str) -> Option<String> {
    let is_fine = |text: &str| !text.contains(['\'', '"']);
    (is_fine(prefix) && is_fine(node)).then(|| {
        format!(
            "/cib/status/node_state[@uname='{node}']/transient_attributes/instance_attributes/nvpair\
             [starts-with(@name,'{prefix}-')]"
        )
    })
}

/// The resources whose attributes an answer has; `None` where it is no answer. One attribute comes by itself, several within another
/// element, none is no text at all.
pub(crate) fn resources(answer: &str, prefix: &str) -> Option<Vec<String>> {
    let mut reader = Reader::from_str(answer);
    let mut names = Vec::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) | Event::Empty(element) => {
                if element.name().as_ref() != b"nvpair" {
                    continue;
                }
                let name = element.try_get_attribute("name").ok()??;
                let name = name.unescape_value().ok()?;
                names.extend(name.strip_prefix(prefix)?.strip_prefix('-').map(str::to_owned));
            }
            Event::Eof => return Some(names),
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
        assert_eq!(resources(&one, "p"), Some(vec!["r0".to_owned()]));
        let several = format!("<xpath-query>\n  {}\n  {}\n</xpath-query>\n", one, pair("p-a-b"));
        assert_eq!(resources(&several, "p"), Some(vec!["r0".to_owned(), "a-b".to_owned()]));
        assert_eq!(resources("", "p"), Some(vec![]));
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
