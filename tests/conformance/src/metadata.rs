//! Metadata as the tools of the field read it: the rules that ra-api-1.dtd and pcs's OCF 1.1 schema share,
//! checked without either. What is read here is also what the other checks know about an agent.

use crate::xml::{self, Element};
use duet_ocf::{boolean_word, duration_word};

/// What an agent says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advertised {
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub parameters: Vec<AdvertisedParameter>,
    /// The names of its actions.
    pub actions: Vec<String>,
}

/// What an agent says of one parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdvertisedParameter {
    /// Its name.
    pub name: String,
    /// string, integer, boolean, select, time or second.
    pub kind: String,
    /// Its default, if there is one.
    pub default: Option<String>,
    /// Whether it must be set.
    pub is_required: bool,
    /// The values of a select.
    pub options: Vec<String>,
}

impl AdvertisedParameter {
    /// Whether a value is of the advertised type.
    #[must_use]
    pub fn accepts(&self, value: &str) -> bool {
        match self.kind.as_str() {
            "integer" => value.parse::<i64>().is_ok(),
            "boolean" => boolean_word(value).is_some(),
            "select" => self.options.iter().any(|option| option == value),
            "time" | "second" => duration_word(value).is_some(),
            _ => true,
        }
    }
}

const CONTENT_TYPES: &[&str] = &["string", "integer", "boolean", "select", "time", "second"];
const PARAMETER_ATTRIBUTES: &[&str] = &["name", "unique", "unique-group", "required", "reloadable"];
const ACTION_ATTRIBUTES: &[&str] = &["name", "timeout", "interval", "start-delay", "depth", "role"];
const ROLES: &[&str] = &["Started", "Stopped", "Promoted", "Unpromoted"];

/// Reads metadata, with everything that is wrong with it.
///
/// # Errors
/// It is not well-formed, or no metadata at all.
pub fn read(text: &str) -> Result<(Advertised, Vec<String>), String> {
    if !text.starts_with("<?xml") {
        return Err("does not begin with <?xml".to_owned());
    }
    let root = xml::parse(text)?;
    if root.name != "resource-agent" {
        return Err(format!("the root element is <{}>", root.name));
    }
    let mut wrong = Vec::new();
    allow_attributes(&root, &["name", "version"], &mut wrong);
    let order = ["version", "longdesc", "shortdesc", "parameters", "actions"];
    in_order(&root, &order, &mut wrong);
    let ocf_version = root.named("version").next().map_or("", |version| version.text.trim());
    if ocf_version != "1.0" && ocf_version != "1.1" {
        wrong.push(format!("<version> is {ocf_version:?}, not 1.0 or 1.1"));
    }
    let mut advertised =
        Advertised { name: required(&root, "name", &mut wrong), ..Advertised::default() };
    for parameter in root.named("parameters").flat_map(|all| &all.children) {
        let parameter = read_parameter(parameter, &mut wrong);
        if advertised.parameters.iter().any(|known| known.name == parameter.name) {
            wrong.push(format!("parameter {} is listed twice", parameter.name));
        }
        advertised.parameters.push(parameter);
    }
    for action in root.named("actions").flat_map(|all| &all.children) {
        advertised.actions.push(read_action(action, ocf_version, &mut wrong));
    }
    for needed in ["start", "stop", "monitor", "meta-data", "validate-all"] {
        if !advertised.actions.iter().any(|action| action == needed) {
            wrong.push(format!("action {needed} is not listed"));
        }
    }
    Ok((advertised, wrong))
}

fn read_parameter(element: &Element, wrong: &mut Vec<String>) -> AdvertisedParameter {
    if element.name != "parameter" {
        wrong.push(format!("<{}> among the parameters", element.name));
    }
    let name = required(element, "name", wrong);
    allow_attributes(element, PARAMETER_ATTRIBUTES, wrong);
    for flag in ["unique", "required", "reloadable"] {
        if !matches!(element.attribute(flag), None | Some("0" | "1")) {
            wrong.push(format!("{name}: {flag} is neither 0 nor 1"));
        }
    }
    in_order(element, &["longdesc", "shortdesc", "deprecated", "content"], wrong);
    let mut parameter = AdvertisedParameter {
        is_required: element.attribute("required") == Some("1"),
        name,
        ..AdvertisedParameter::default()
    };
    let Some(content) = element.named("content").next() else {
        wrong.push(format!("{}: no <content>", parameter.name));
        return parameter;
    };
    allow_attributes(content, &["type", "default"], wrong);
    parameter.kind = required(content, "type", wrong);
    parameter.default = content.attribute("default").map(str::to_owned);
    parameter.options = content.named("option").map(|o| required(o, "value", wrong)).collect();
    if !CONTENT_TYPES.contains(&parameter.kind.as_str()) {
        wrong.push(format!("{}: unknown type {}", parameter.name, parameter.kind));
    }
    if parameter.options.is_empty() == (parameter.kind == "select") {
        wrong.push(format!("{}: options belong to a select, and only there", parameter.name));
    }
    parameter
}

fn read_action(element: &Element, ocf_version: &str, wrong: &mut Vec<String>) -> String {
    if element.name != "action" {
        wrong.push(format!("<{}> among the actions", element.name));
    }
    let name = required(element, "name", wrong);
    allow_attributes(element, ACTION_ATTRIBUTES, wrong);
    let timeout = required(element, "timeout", wrong);
    for span in [Some(timeout.as_str()), element.attribute("interval")].into_iter().flatten() {
        if duration_word(span).is_none() {
            wrong.push(format!("action {name}: {span:?} is not a time"));
        }
    }
    if element.attribute("role").is_some_and(|role| !ROLES.contains(&role)) {
        wrong.push(format!("action {name}: unknown role"));
    }
    if name == "reload-agent" && ocf_version == "1.0" {
        wrong.push("reload-agent needs <version> 1.1".to_owned());
    }
    name
}

fn required(element: &Element, attribute: &str, wrong: &mut Vec<String>) -> String {
    if let Some(value) = element.attribute(attribute) {
        return value.to_owned();
    }
    wrong.push(format!("<{}> without {attribute}", element.name));
    String::new()
}

fn allow_attributes(element: &Element, allowed: &[&str], wrong: &mut Vec<String>) {
    for (name, _) in &element.attributes {
        if !allowed.contains(&name.as_str()) {
            wrong.push(format!("<{}> has the unknown attribute {name}", element.name));
        }
    }
}

/// The children have these names, in this order; `parameters` and `deprecated` may be missing.
fn in_order(element: &Element, order: &[&str], wrong: &mut Vec<String>) {
    let positions: Vec<_> = element
        .children
        .iter()
        .map(|child| order.iter().position(|name| *name == child.name))
        .collect();
    if positions.contains(&None) || !positions.is_sorted() {
        let found: Vec<_> = element.children.iter().map(|child| child.name.as_str()).collect();
        wrong.push(format!(
            "<{}> has {}; wanted {}",
            element.name,
            found.join(","),
            order.join(",")
        ));
    }
    for name in order {
        let optional = matches!(*name, "parameters" | "deprecated");
        if !optional && element.named(name).next().is_none() {
            wrong.push(format!("<{}> has no <{name}>", element.name));
        }
    }
}
