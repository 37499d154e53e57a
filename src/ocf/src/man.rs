//! The man page, from the table: what metadata says, laid out for reading in a terminal.
//! Every text goes through one escaping function, so no description can become a troff request.

use crate::metadata::{description, span};
use crate::{ExitCode, Kind, PROVIDER, Parameter, Spec};
use std::fmt::{self, Write};

/// The page `ocf_rust_<name>.7`, in troff with the `man` macros.
#[must_use]
pub fn man_page(spec: &Spec) -> String {
    let mut page = String::with_capacity(16 * 1024);
    // Writing to a String cannot fail.
    let _ = render(spec, &mut page);
    page
}

fn render(spec: &Spec, page: &mut String) -> fmt::Result {
    let name = troff(spec.name);
    let version = troff(spec.version);
    writeln!(
        page,
        ".TH \"OCF_{}_{}\" 7 \"\" \"{version}\" \"OCF resource agents\"",
        PROVIDER.to_uppercase(),
        troff(&spec.name.to_uppercase())
    )?;
    writeln!(page, ".SH NAME\nocf_{PROVIDER}_{name} \\- {}", troff(spec.shortdesc))?;
    writeln!(page, ".SH SYNOPSIS\n.B {name}")?;
    let mut seen = Vec::new();
    for line in spec.actions {
        if !seen.contains(&line.action) {
            seen.push(line.action);
        }
    }
    let actions: Vec<String> = seen.iter().map(|action| troff(action.name())).collect();
    writeln!(page, "{{{}}}\n.SH DESCRIPTION", actions.join(" | "))?;
    paragraphs(page, spec.longdesc)?;
    page.push_str(".SH PARAMETERS\n");
    for parameter in spec.parameters {
        render_parameter(parameter, page)?;
    }
    page.push_str(".SH ACTIONS\n");
    for line in spec.actions {
        writeln!(page, ".TP\n.B {}", troff(line.action.name()))?;
        let mut facts = vec![format!("timeout {}", span(line.timeout))];
        facts.extend(line.interval.map(|interval| format!("interval {}", span(interval))));
        facts.extend(line.depth.map(|depth| format!("depth {depth}")));
        facts.extend(line.role.map(|role| format!("role {}", role.name())));
        writeln!(page, "Advised: {}.", troff(&facts.join(", ")))?;
    }
    page.push_str(".SH EXIT STATUS\n");
    for code in ExitCode::ALL {
        writeln!(page, ".TP\n.B {}\nOCF_{}", code.number(), troff(code.name()))?;
    }
    page.push_str(".SH EXAMPLE\n.nf\n");
    write!(page, "crm configure primitive p ocf:{PROVIDER}:{name}")?;
    for parameter in spec.parameters.iter().filter(|parameter| parameter.required) {
        write!(page, " \\e\n    params {}=...", troff(parameter.name))?;
    }
    for line in spec.actions.iter().filter(|line| line.interval.is_some()) {
        let interval = line.interval.map(span).unwrap_or_default();
        let action = troff(line.action.name());
        write!(page, " \\e\n    op {action} timeout={} interval={interval}", span(line.timeout))?;
        if let Some(role) = line.role {
            write!(page, " role={}", role.name())?;
        }
    }
    page.push_str("\n.fi\n.SH SEE ALSO\n.BR pacemaker (7),\n.BR crm_resource (8)\n");
    Ok(())
}

fn render_parameter(parameter: &Parameter, page: &mut String) -> fmt::Result {
    let kind = match parameter.kind {
        Kind::String => "text".to_owned(),
        Kind::Integer { min: i64::MIN, max: i64::MAX } => "number".to_owned(),
        Kind::Integer { min, max: i64::MAX } => format!("number from {min}"),
        Kind::Integer { min, max } => format!("number from {min} to {max}"),
        Kind::Boolean => "boolean".to_owned(),
        Kind::Select(options) => format!("one of {}", options.join(", ")),
        Kind::Duration => "time".to_owned(),
    };
    let mut facts = vec![kind];
    if parameter.required {
        facts.push("required".to_owned());
    }
    if parameter.unique_group.is_some() {
        facts.push("unique".to_owned());
    }
    if parameter.reloadable {
        facts.push("reloadable".to_owned());
    }
    match parameter.default {
        Some("") | None => {}
        Some(default) => facts.push(format!("default {default}")),
    }
    writeln!(page, ".TP\n.B {}", troff(parameter.name))?;
    writeln!(page, "{} ({}).", troff(parameter.shortdesc), troff(&facts.join("; ")))?;
    page.push_str(".RS\n");
    paragraphs(page, &description(parameter))?;
    if let Some(deprecated) = parameter.deprecated {
        let names = deprecated.replaced_with.join(", ");
        writeln!(page, ".PP\nDeprecated: {}", troff(deprecated.explanation))?;
        if !names.is_empty() {
            writeln!(page, "Replaced with: {}.", troff(&names))?;
        }
    }
    page.push_str(".RE\n");
    Ok(())
}

fn paragraphs(page: &mut String, text: &str) -> fmt::Result {
    for paragraph in text.trim().split("\n\n") {
        page.push_str(".PP\n");
        for line in paragraph.lines() {
            writeln!(page, "{}", troff(line.trim()))?;
        }
    }
    Ok(())
}

/// Text that troff takes literally: no escapes, no requests, no hyphens that cannot be copied.
fn troff(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    if text.starts_with(['.', '\'']) {
        escaped.push_str("\\&");
    }
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '"' => escaped.push_str("\\(dq"),
            '\n' => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_a_request() {
        assert_eq!(troff(".so /etc/shadow"), "\\&.so /etc/shadow");
        assert_eq!(troff("a\\fBb\n.c"), "a\\efBb .c");
        assert_eq!(troff("meta-data \"x\""), "meta\\-data \\(dqx\\(dq");
    }
}
