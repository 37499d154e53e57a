//! The metadata XML, from the table: OCF 1.1 in the one form that Pacemaker, crmsh, pcs and
//! ocf-tester all accept. It depends on the table alone, so the committed copy can be compared with it.
//!
//! `ocf-tester` validates against the document type, and `ra-api-1.dtd` is older than 1.1; so there is a file of ours. What
//! is declared in the document itself costs an error line each in Pacemaker 3.0's log ("Triggered fatal assertion",
//! seen with 3.0.0), hence nothing is: Pacemaker, crmsh and pcs never read the file.

use crate::{ActionSpec, Kind, Parameter, Spec, Support};
use std::fmt::{self, Write};
use std::time::Duration;

/// Where the document type is installed: `ocf-metadata/schema/ocf-1.1.dtd`.
const DOCUMENT_TYPE: &str = "/usr/share/duet/ocf-1.1.dtd";

/// What `meta-data` prints.
#[must_use]
pub fn metadata(spec: &Spec) -> String {
    let mut xml = String::with_capacity(16 * 1024);
    // Writing to a String cannot fail.
    let _ = render(spec, &mut xml);
    xml
}

/// What is said of a parameter in metadata and man page: its description, and what the table knows beside.
pub(crate) fn description(parameter: &Parameter) -> String {
    let mut text = parameter.longdesc.trim().to_owned();
    if parameter.support == Support::NotYet {
        text.push_str("\n\nNot implemented yet: a value is refused.");
    }
    text
}

/// A time as Pacemaker writes it.
pub(crate) fn span(span: Duration) -> String {
    match span.subsec_millis() {
        0 => format!("{}s", span.as_secs()),
        _ => format!("{}ms", span.as_millis()),
    }
}

fn render(spec: &Spec, xml: &mut String) -> fmt::Result {
    xml.push_str("<?xml version=\"1.0\"?>\n");
    writeln!(xml, "<!DOCTYPE resource-agent SYSTEM \"{DOCUMENT_TYPE}\">")?;
    writeln!(
        xml,
        "<resource-agent name=\"{}\" version=\"{}\">\n<version>1.1</version>\n",
        escape(spec.name),
        escape(spec.version)
    )?;
    descriptions(xml, spec.longdesc.trim(), spec.shortdesc)?;
    xml.push_str("\n<parameters>\n\n");
    for parameter in spec.parameters {
        render_parameter(parameter, xml)?;
    }
    xml.push_str("</parameters>\n\n<actions>\n");
    for line in spec.actions {
        render_action(line, xml)?;
    }
    xml.push_str("</actions>\n\n</resource-agent>\n");
    Ok(())
}

fn render_parameter(parameter: &Parameter, xml: &mut String) -> fmt::Result {
    write!(xml, "<parameter name=\"{}\"", escape(parameter.name))?;
    if let Some(group) = parameter.unique_group {
        write!(xml, " unique-group=\"{}\"", escape(group))?;
    }
    if parameter.required {
        xml.push_str(" required=\"1\"");
    }
    if parameter.reloadable {
        xml.push_str(" reloadable=\"1\"");
    }
    xml.push_str(">\n");
    descriptions(xml, &description(parameter), parameter.shortdesc)?;
    if let Some(deprecated) = parameter.deprecated {
        xml.push_str("<deprecated>\n");
        for name in deprecated.replaced_with {
            writeln!(xml, "<replaced-with name=\"{}\"/>", escape(name))?;
        }
        let explanation = escape(deprecated.explanation);
        writeln!(xml, "<desc lang=\"en\">{explanation}</desc>\n</deprecated>")?;
    }
    let (kind, options) = match parameter.kind {
        Kind::String | Kind::Duration => ("string", &[][..]),
        Kind::Integer { .. } => ("integer", &[][..]),
        Kind::Boolean => ("boolean", &[][..]),
        Kind::Select(options) => ("select", options),
    };
    write!(xml, "<content type=\"{kind}\"")?;
    if let Some(default) = parameter.default {
        write!(xml, " default=\"{}\"", escape(default))?;
    }
    if options.is_empty() {
        xml.push_str("/>\n");
    } else {
        xml.push_str(">\n");
        for option in options {
            writeln!(xml, "<option value=\"{}\"/>", escape(option))?;
        }
        xml.push_str("</content>\n");
    }
    xml.push_str("</parameter>\n\n");
    Ok(())
}

fn descriptions(xml: &mut String, longdesc: &str, shortdesc: &str) -> fmt::Result {
    writeln!(xml, "<longdesc lang=\"en\">\n{}\n</longdesc>", escape(longdesc))?;
    writeln!(xml, "<shortdesc lang=\"en\">{}</shortdesc>", escape(shortdesc))
}

fn render_action(line: &ActionSpec, xml: &mut String) -> fmt::Result {
    write!(xml, "<action name=\"{}\" timeout=\"{}\"", line.action, span(line.timeout))?;
    if let Some(interval) = line.interval {
        write!(xml, " interval=\"{}\"", span(interval))?;
    }
    if let Some(depth) = line.depth {
        write!(xml, " depth=\"{depth}\"")?;
    }
    if let Some(role) = line.role {
        write!(xml, " role=\"{}\"", role.name())?;
    }
    xml.push_str("/>\n");
    Ok(())
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped() {
        assert_eq!(escape("a<b> & \"c\""), "a&lt;b&gt; &amp; &quot;c&quot;");
    }

    #[test]
    fn times_are_whole_seconds_where_they_can_be() {
        assert_eq!(span(Duration::from_secs(90)), "90s");
        assert_eq!(span(Duration::from_millis(1500)), "1500ms");
    }
}
