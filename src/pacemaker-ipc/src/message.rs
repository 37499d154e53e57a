//! The messages, as Pacemaker's own tools send them (seen of 2.1.5 and 3.0.0), and what is read of the answers. Invariant: pure; what
//! is read of an answer is there once and in its place, or the answer is unknown.

use quick_xml::{
    Reader,
    escape::escape,
    events::{BytesStart, Event},
};

/// What Pacemaker 2.1.5 says of itself in a message; nobody compares it but with 3.0.9, from which on this is as it is.
const FEATURE_SET: &str = "3.16.1";
/// As whom this crate asks.
const CLIENT: &str = "crm-fence-peer";
/// Elements inside each other, in an answer; those in a CIB are not looked at here.
const DEEPEST: usize = 100;

/// Introduces this process to the CIB's daemon. Nobody answers.
#[must_use]
pub fn register() -> String {
    format!(
        "<cib_command t=\"cib\" cib_op=\"register\" cib_clientname=\"{CLIENT}\" cib_callopt=\"0\"/>"
    )
}

/// Asks the CIB's daemon for something, with this number and these options. `data` is XML.
#[must_use]
pub fn cib_request(operation: &str, call: u32, options: u32, data: Option<&str>) -> String {
    let head = format!(
        "<cib_command t=\"cib\" cib_op=\"{operation}\" cib_callid=\"{call}\" cib_callopt=\"{options}\""
    );
    match data {
        None => head + "/>",
        Some(data) => format!("{head}><cib_calldata>{data}</cib_calldata></cib_command>"),
    }
}

/// Introduces this process to the controller. Nobody answers.
#[must_use]
pub fn hello(pid: u32) -> String {
    controller(
        &format!("hello-{CLIENT}-{pid}"),
        "hello",
        pid,
        "",
        Some(&format!(
            "<crm_xml><options major_version=\"1\" minor_version=\"0\" client_name=\"{CLIENT}\" client_uuid=\"{pid}\"/></crm_xml>"
        )),
    )
}

/// Asks a controller for something: this node's, or another's through it.
#[must_use]
pub fn controller_request(task: &str, reference: &str, pid: u32, node: Option<&str>) -> String {
    let to = node.map(|node| format!(" crm_host_to=\"{}\"", escape(node))).unwrap_or_default();
    controller(reference, task, pid, &format!(" crm_sys_to=\"crmd\"{to}"), None)
}

fn controller(reference: &str, task: &str, pid: u32, to: &str, data: Option<&str>) -> String {
    let head = format!(
        "<create_request_adv origin=\"{CLIENT}\" t=\"crmd\" version=\"{FEATURE_SET}\" subt=\"request\" \
         reference=\"{reference}\" crm_task=\"{task}\"{to} crm_sys_from=\"{pid}_{CLIENT}\""
    );
    match data {
        None => head + "/>",
        Some(data) => format!("{head}>{data}</create_request_adv>"),
    }
}

/// Asks the attribute daemon for a node's value of an attribute.
#[must_use]
pub fn attribute_query(name: &str, node: &str) -> String {
    format!(
        "<attrd_query t=\"attrd\" src=\"{CLIENT}\" task=\"query\" attr_name=\"{}\" attr_host=\"{}\"/>",
        escape(name),
        escape(node)
    )
}

/// Asks the CIB's daemon for what this XPath finds, with this number and these options (`cibadmin --query --xpath`).
#[must_use]
pub fn cib_lookup(xpath: &str, call: u32, options: u32) -> String {
    format!(
        "<cib_command t=\"cib\" cib_op=\"cib_query\" cib_callid=\"{call}\" cib_callopt=\"{options}\" \
         cib_section=\"{}\"/>",
        escape(xpath)
    )
}

/// The values of the name-value pairs in what was found: one, or several in one element.
///
/// # Errors
/// What is not understood, a pair without a value among it.
pub fn read_nvpair_values(text: &str) -> Result<Vec<String>, String> {
    let mut reader = Reader::from_str(text);
    let mut values = Vec::new();
    let mut depth = 0_usize;
    loop {
        let event = next(&mut reader)?;
        match &event {
            Event::Start(tag) | Event::Empty(tag) if is(tag, "nvpair") => {
                values.push(attribute(tag, "value")?.ok_or("a pair without a value")?);
            }
            Event::Start(tag) | Event::Empty(tag) if !is(tag, "xpath-query") || depth > 0 => {
                return Err("something that is no pair".to_owned());
            }
            _ => {}
        }
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            Event::Eof if depth > 0 => return Err("an answer that is cut off".to_owned()),
            Event::Eof => return Ok(values),
            _ => {}
        }
    }
}

/// An answer of the CIB's daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CibReply<'a> {
    /// To what.
    pub operation: String,
    /// With which number.
    pub call: u32,
    /// 0, or a negative error: one of the system's, or of Pacemaker's own from 200 on.
    pub code: i32,
    /// What came with it, as it stands.
    pub data: Option<&'a str>,
}

/// Reads an answer of the CIB's daemon.
///
/// # Errors
/// What is not understood.
pub fn read_cib_reply(text: &str) -> Result<CibReply<'_>, String> {
    let mut reader = Reader::from_str(text);
    let (root, is_empty) = first(&mut reader)?;
    let number = |name: &str| {
        let value = attribute(&root, name)?.ok_or_else(|| format!("an answer without {name}"))?;
        value.parse::<i64>().map_err(|_| format!("an answer with {name} {value:?}"))
    };
    let operation = attribute(&root, "cib_op")?.ok_or("an answer to nothing")?;
    let call = u32::try_from(number("cib_callid")?).map_err(|_| "a number of a call")?;
    let code = i32::try_from(number("cib_rc")?).map_err(|_| "a result")?;
    let mut data = None;
    if !is_empty {
        loop {
            match next(&mut reader)? {
                Event::Start(tag) if is(&tag, "cib_calldata") && data.is_none() => {
                    let span = reader.read_to_end(tag.name()).map_err(|why| why.to_string())?;
                    let (from, to) = (usize::try_from(span.start), usize::try_from(span.end));
                    let inside = from.ok().zip(to.ok()).and_then(|(from, to)| text.get(from..to));
                    data = Some(inside.ok_or("data that are not there")?);
                }
                Event::Start(tag) => {
                    reader.read_to_end(tag.name()).map_err(|why| why.to_string())?;
                }
                Event::End(_) => break,
                Event::Eof => return Err("an answer that is cut off".to_owned()),
                _ => {}
            }
        }
    }
    only(&mut reader)?;
    Ok(CibReply { operation, call, code, data })
}

/// An answer of a controller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControllerReply {
    /// To which request.
    pub reference: String,
    /// What of.
    pub task: String,
    /// The attributes of what it says, by name.
    pub said: Vec<(String, String)>,
}

impl ControllerReply {
    /// One of them.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.said.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Reads an answer of a controller: what its `node` or `ping_response` says.
///
/// # Errors
/// What is not understood.
pub fn read_controller_reply(text: &str) -> Result<ControllerReply, String> {
    let mut reader = Reader::from_str(text);
    let (root, is_empty) = first(&mut reader)?;
    let reference = attribute(&root, "reference")?.unwrap_or_default();
    let task = attribute(&root, "crm_task")?.unwrap_or_default();
    let mut reply = ControllerReply { reference, task, said: Vec::new() };
    let mut depth = usize::from(!is_empty);
    while depth > 0 {
        let event = next(&mut reader)?;
        if let Event::Start(tag) | Event::Empty(tag) = &event {
            if is(tag, "node") || is(tag, "ping_response") {
                if !reply.said.is_empty() {
                    return Err("an answer that says two things".to_owned());
                }
                for one in tag.attributes() {
                    let one = one.map_err(|why| why.to_string())?;
                    let name = String::from_utf8_lossy(one.key.into_inner()).into_owned();
                    let value = one.unescape_value().map_err(|why| why.to_string())?;
                    reply.said.push((name, value.into_owned()));
                }
            }
        }
        match event {
            Event::Start(_) if depth >= DEEPEST => {
                return Err("an answer that is too deep".to_owned());
            }
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            Event::Eof => return Err("an answer that is cut off".to_owned()),
            _ => {}
        }
    }
    only(&mut reader)?;
    Ok(reply)
}

/// Reads the attribute daemon's answer about the attribute of this name, for this node.
///
/// # Errors
/// What is not understood.
pub fn read_attribute_reply(text: &str, name: &str, node: &str) -> Result<Option<String>, String> {
    let mut reader = Reader::from_str(text);
    let (root, is_empty) = first(&mut reader)?;
    let kind = (attribute(&root, "t")?, attribute(&root, "subt")?);
    if (kind.0.as_deref(), kind.1.as_deref()) != (Some("attrd"), Some("query")) {
        return Err("an answer to no question".to_owned());
    }
    // Nobody has given the attribute a value since the daemon began.
    let Some(of) = attribute(&root, "attr_name")? else {
        return if is_empty { Ok(None) } else { Err("values of nothing".to_owned()) };
    };
    if of != name {
        return Err("an answer about another attribute".to_owned());
    }
    if is_empty {
        return Err("an answer without this node".to_owned());
    }
    let mut value = None;
    loop {
        let event = next(&mut reader)?;
        match &event {
            Event::Start(tag) | Event::Empty(tag) if is(tag, "node") && value.is_none() => {
                let of = attribute(tag, "attr_host")?;
                if !of.is_some_and(|of| of.eq_ignore_ascii_case(node)) {
                    return Err("an answer about another node".to_owned());
                }
                value = Some(attribute(tag, "attr_value")?);
            }
            Event::Start(_) | Event::Empty(_) => return Err("more than one value".to_owned()),
            Event::End(_) => break,
            Event::Eof => return Err("an answer that is cut off".to_owned()),
            _ => {}
        }
        if let Event::Start(tag) = event {
            reader.read_to_end(tag.name()).map_err(|why| why.to_string())?;
        }
    }
    only(&mut reader)?;
    value.ok_or_else(|| "an answer without this node".to_owned())
}

fn is(tag: &BytesStart<'_>, name: &str) -> bool {
    tag.name().into_inner() == name.as_bytes()
}

fn next<'a>(reader: &mut Reader<&'a [u8]>) -> Result<Event<'a>, String> {
    match reader.read_event().map_err(|why| why.to_string())? {
        Event::DocType(_) => Err("a document type".to_owned()),
        event => Ok(event),
    }
}

/// The root, and whether it is empty.
fn first<'a>(reader: &mut Reader<&'a [u8]>) -> Result<(BytesStart<'a>, bool), String> {
    loop {
        match next(reader)? {
            Event::Start(tag) => return Ok((tag, false)),
            Event::Empty(tag) => return Ok((tag, true)),
            Event::Eof => return Err("no answer".to_owned()),
            Event::Decl(_) | Event::Comment(_) => {}
            Event::Text(text) if text.trim_ascii().is_empty() => {}
            _ => return Err("an answer that is no XML".to_owned()),
        }
    }
}

/// Nothing follows.
fn only(reader: &mut Reader<&[u8]>) -> Result<(), String> {
    loop {
        match next(reader)? {
            Event::Eof => return Ok(()),
            Event::Text(text) if text.trim_ascii().is_empty() => {}
            _ => return Err("an answer with something behind it".to_owned()),
        }
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    let found = tag.try_get_attribute(name).map_err(|why| why.to_string())?;
    let value = found.map(|it| it.unescape_value().map(std::borrow::Cow::into_owned));
    value.transpose().map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_with_its_data_as_they_stand() {
        let text = "<cib-reply t=\"cib\" cib_op=\"cib_query\" cib_callid=\"2\" cib_callopt=\"0\" cib_rc=\"0\">\
                    <cib_calldata><cib a=\"&lt;\"><x/></cib></cib_calldata></cib-reply>";
        let reply = read_cib_reply(text).unwrap();
        assert_eq!((reply.operation.as_str(), reply.call, reply.code), ("cib_query", 2, 0));
        assert_eq!(reply.data, Some("<cib a=\"&lt;\"><x/></cib>"));
        let text = "<cib-reply cib_op=\"cib_bump\" cib_callid=\"3\" cib_rc=\"-205\"/>";
        let reply = read_cib_reply(text).unwrap();
        assert_eq!((reply.call, reply.code, reply.data), (3, -205, None));
    }

    #[test]
    fn an_answer_that_is_cut_off_doubled_or_without_its_number_is_unknown() {
        let whole =
            "<r cib_op=\"o\" cib_callid=\"2\" cib_rc=\"0\"><cib_calldata><cib/></cib_calldata></r>";
        assert!(read_cib_reply(whole).is_ok());
        for length in 0..whole.len() {
            assert!(read_cib_reply(&whole[..length]).is_err(), "{length}");
        }
        assert!(read_cib_reply(&format!("{whole}{whole}")).is_err());
        for (from, to) in [("cib_rc=\"0\"", ""), ("\"2\"", "\"x\""), ("\"0\"", "\"99999999999\"")] {
            assert!(read_cib_reply(&whole.replace(from, to)).is_err(), "{from}");
        }
        assert!(read_cib_reply("<!DOCTYPE a><a/>").is_err());
    }

    #[test]
    fn what_a_controller_says_is_read() {
        let text = "<create_reply_adv reference=\"r1\" crm_task=\"ping\"><crm_xml>\
                    <ping_response crmd_state=\"S_IDLE\" result=\"ok\"/></crm_xml></create_reply_adv>";
        let reply = read_controller_reply(text).unwrap();
        assert_eq!((reply.reference.as_str(), reply.task.as_str()), ("r1", "ping"));
        assert_eq!((reply.get("result"), reply.get("crmd_state")), (Some("ok"), Some("S_IDLE")));
        for length in 0..text.len() {
            assert!(read_controller_reply(&text[..length]).is_err(), "{length}");
        }
        assert!(read_controller_reply(&"<a>".repeat(1000)).is_err());
        assert!(read_controller_reply("<a><node x=\"1\"/><node x=\"2\"/></a>").is_err());
    }

    #[test]
    fn a_value_is_that_of_this_attribute_or_unknown() {
        let read = |text: &str| read_attribute_reply(text, "master-p", "node1");
        let reply = |inside: &str| {
            format!(
                "<build_query_reply t=\"attrd\" subt=\"query\" attr_version=\"5\" attr_name=\"master-p\">{inside}</build_query_reply>"
            )
        };
        let node = "<node attr_host=\"node1\" attr_value=\"10000\"/>";
        assert_eq!(read(&reply(node)), Ok(Some("10000".to_owned())));
        assert_eq!(read(&reply("<node attr_host=\"node1\"/>")), Ok(None));
        assert_eq!(read("<r t=\"attrd\" subt=\"query\" attr_version=\"5\"/>"), Ok(None));
        for length in 0..reply(node).len() {
            assert!(read(&reply(node)[..length]).is_err(), "{length}");
        }
        for strange in [
            reply(""),
            reply(&format!("{node}{node}")),
            reply("<other/>"),
            reply(node).replace("node1", "node2"),
            reply("<node attr_value=\"10000\"/>"),
            reply(node).replace("master-p", "master-q"),
            reply(node).replace("\"query\"", "\"update\""),
            reply(node).replace("\"attrd\"", "\"cib\""),
            reply(node).replace(" attr_name=\"master-p\"", ""),
            reply(node) + "<x/>",
            "<ack status=\"0\"/>".to_owned(),
        ] {
            assert!(read(&strange).is_err(), "{strange}");
        }
    }

    #[test]
    fn pairs_are_read_and_nothing_else_is_one() {
        let pair =
            |value: &str| format!("<nvpair id=\"status-1-m\" name=\"m\" value=\"{value}\"/>");
        let read = |text: &str| read_nvpair_values(text);
        assert_eq!(read(&pair("10000")), Ok(vec!["10000".to_owned()]));
        let both = format!("<xpath-query>{}{}</xpath-query>", pair("1"), pair("2"));
        assert_eq!(read(&both), Ok(vec!["1".to_owned(), "2".to_owned()]));
        assert_eq!(read("\n"), Ok(vec![]));
        for length in 1..both.len() {
            assert!(read(&both[..length]).is_err(), "{length}");
        }
        for strange in [
            "<nvpair id=\"a\" name=\"m\"/>",
            "<cib/>",
            "<!DOCTYPE a><a/>",
            "<a><nvpair value=\"1\"/></a>",
        ] {
            assert!(read(strange).is_err(), "{strange}");
        }
    }

    #[test]
    fn a_path_cannot_change_a_request() {
        let text = cib_lookup("//a[@b='c\"]<&", 3, 258);
        assert!(text.contains("cib_section=\"//a[@b=&apos;c&quot;]&lt;&amp;\""), "{text}");
        assert!(read_cib_reply(&text.replace("cib_callopt", "cib_rc")).is_ok(), "{text}");
    }

    #[test]
    fn a_node_name_cannot_change_a_request() {
        let text = controller_request("ping", "r", 1, Some("a\" b='<x>"));
        assert!(text.contains("crm_host_to=\"a&quot; b=&apos;&lt;x&gt;\""), "{text}");
        assert!(read_controller_reply(&text).is_ok());
    }
}
