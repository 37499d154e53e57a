//! Usage and metadata, from the table. Invariant: without what is ours, the metadata are those of fence_virt, parameter by
//! parameter.

use super::{Opt, Program};
use std::fmt::Write;

/// The columns of the usage, as stock has them.
const NAME: usize = 20;
const TEXT: usize = 55;

const NOTE: &str = "NOTE: reboot-action does not power on nodes that are powered off.";

/// What `-h` shows: the command line, then standard input.
#[must_use]
pub fn help(program: Program) -> String {
    let mut text = usage(program);
    text.push_str(
        "With no command line argument, arguments are read from standard input.\n\
         Arguments read from standard input take the form of:\n\n    \
         arg1=value1\n    arg2=value2\n\n",
    );
    text.push_str(&names(program));
    text
}

/// What can be said on the command line.
#[must_use]
pub fn usage(program: Program) -> String {
    let mut text = format!("usage: {} [args]\n\n{NOTE}\n\n", program.name());
    for option in shown(program) {
        let letter = format!("-{} {}", option.letter, option.placeholder);
        entry(&mut text, letter.trim_end(), option.description);
    }
    entry(&mut text, "--json", "With list: one JSON object");
    entry(
        &mut text,
        "--diagnose",
        "Say what happens, and what to look at if it does not work (with monitor, status or list; default=monitor)",
    );
    text.push('\n');
    text
}

/// What can be said on standard input.
#[must_use]
pub fn names(program: Program) -> String {
    let mut text = String::new();
    for option in shown(program) {
        if let Some(name) = option.name {
            entry(&mut text, name, option.description);
        }
    }
    text.push('\n');
    text
}

fn shown(program: Program) -> impl Iterator<Item = &'static Opt> {
    program.options().iter().filter(|option| !option.deprecated)
}

/// Two columns, the second broken at blanks.
fn entry(text: &mut String, name: &str, description: &str) {
    let mut name = name;
    let mut rest = description;
    loop {
        let cut = if rest.len() > TEXT { rest[..=TEXT].rfind(' ') } else { None };
        let (line, later) = cut.map_or((rest, ""), |at| (&rest[..at], &rest[at + 1..]));
        let _ = writeln!(text, "  {name:<NAME$}  {line}");
        if later.is_empty() {
            return;
        }
        (name, rest) = ("", later);
    }
}

/// What `-V` shows.
#[must_use]
pub fn version(program: Program) -> String {
    format!("{} {} (Duet)\n", program.name(), env!("CARGO_PKG_VERSION"))
}

/// What `-o metadata` shows.
#[must_use]
pub fn metadata(program: Program) -> String {
    let name = program.name();
    let mut xml = String::with_capacity(6 * 1024);
    let _ = write!(
        xml,
        "<?xml version=\"1.0\" ?>\n\
         <resource-agent name=\"{name}\" shortdesc=\"Fence agent for virtual machines\">\n\
         <longdesc>{name} is a Power Fencing agent which can be used with virtual machines.\n\n\
         {NOTE}</longdesc>\n\
         <vendor-url>https://libvirt.org</vendor-url>\n<parameters>\n"
    );
    for option in program.options() {
        parameter(&mut xml, option);
    }
    xml.push_str(
        "\t<parameter name=\"domain\" unique=\"0\" required=\"0\" deprecated=\"1\">\n\
         \t\t<getopt mixed=\"\" />\n\t\t<content type=\"string\" />\n\
         \t\t<shortdesc lang=\"en\">Virtual Machine (domain name) to fence (deprecated; use port)</shortdesc>\n\
         \t</parameter>\n</parameters>\n<actions>\n",
    );
    for action in [
        "null",
        "on",
        "off",
        "reboot",
        "metadata",
        "status",
        "monitor",
        "list",
        "list-status",
        "validate-all",
    ] {
        let _ = writeln!(xml, "\t<action name=\"{action}\" />");
    }
    xml.push_str("</actions>\n</resource-agent>\n");
    xml
}

fn parameter(xml: &mut String, option: &Opt) {
    let Some(name) = option.name else { return };
    let required = u8::from(option.required);
    let _ = write!(xml, "\t<parameter name=\"{name}\" unique=\"0\" required=\"{required}\"");
    if let Some(obsoletes) = option.obsoletes {
        let _ = write!(xml, " obsoletes=\"{obsoletes}\"");
    }
    if option.deprecated {
        xml.push_str(" deprecated=\"1\"");
    }
    let _ = write!(xml, ">\n\t\t<getopt mixed=\"-{}\" />\n", option.letter);
    let _ = write!(xml, "\t\t<content type=\"{}\"", option.content);
    if let Some(default) = option.default {
        let _ = write!(xml, " default=\"{default}\"");
    }
    let text = option.description.replace('<', "&lt;").replace('>', "&gt;");
    let _ = write!(xml, " />\n\t\t<shortdesc lang=\"en\">{text}</shortdesc>\n\t</parameter>\n");
}
