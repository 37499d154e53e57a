//! Typed parameter values, read once from the request by the table. A value that does not parse
//! is refused or set aside by [`Strictness`], never half understood.

use crate::{Kind, Parameter, Refusal, Request, Shown, Spec, Strictness, Support};
use std::time::Duration;

/// A parsed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    Choice(&'static str),
    Span(Duration),
}

#[derive(Clone)]
struct Slot {
    parameter: &'static Parameter,
    value: Option<Value>,
    is_set: bool,
}

/// The values of all parameters of one agent.
///
/// Unset and empty mean the default. The readers panic for a name, or a kind, that the table does
/// not have: that is a slip in the agent, and its first test finds it.
#[derive(Clone)]
pub struct Values {
    slots: Vec<Slot>,
    set_aside: Vec<Refusal>,
}

impl Values {
    /// Reads the request's parameters by the table.
    ///
    /// # Errors
    /// In [`Strictness::Strict`] the first parameter, in table order, that is missing, does not parse or is not
    /// implemented yet. In [`Strictness::Lenient`] never.
    pub fn read(spec: &Spec, request: &Request, strictness: Strictness) -> Result<Values, Refusal> {
        let mut values =
            Values { slots: Vec::with_capacity(spec.parameters.len()), set_aside: Vec::new() };
        for parameter in spec.parameters {
            let raw = request.raw(parameter.name);
            let (value, refusal) = read_one(parameter, raw);
            match (refusal, strictness) {
                (Some(refusal), Strictness::Strict) => return Err(refusal),
                (Some(refusal), Strictness::Lenient) => values.set_aside.push(refusal),
                (None, _) => {}
            }
            values.slots.push(Slot { parameter, value, is_set: raw.is_some() });
        }
        Ok(values)
    }

    /// What a lenient reading replaced by a default, for the log.
    #[must_use]
    pub fn set_aside(&self) -> &[Refusal] {
        &self.set_aside
    }

    /// Whether the parameter was given a non-empty value.
    #[must_use]
    #[track_caller]
    pub fn is_set(&self, name: &str) -> bool {
        self.slot(name).is_set
    }

    /// A text; `None` when it is unset or empty and the table has no (non-empty) default.
    #[must_use]
    #[track_caller]
    pub fn text(&self, name: &str) -> Option<&str> {
        match &self.slot(name).value {
            Some(Value::Text(text)) => Some(text),
            None => self.none_of(name, matches!(self.slot(name).parameter.kind, Kind::String)),
            Some(_) => wrong_kind(name, "text"),
        }
    }

    /// A text that this action cannot do without.
    ///
    /// # Errors
    /// [`Refusal::Missing`], where even a lenient action needs it: an identity.
    #[track_caller]
    pub fn require(&self, name: &str) -> Result<&str, Refusal> {
        let parameter = self.slot(name).parameter.name;
        self.text(name).ok_or(Refusal::Missing { parameter })
    }

    /// A number.
    #[must_use]
    #[track_caller]
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.slot(name).value {
            Some(Value::Integer(number)) => Some(number),
            None => {
                self.none_of(name, matches!(self.slot(name).parameter.kind, Kind::Integer { .. }))
            }
            Some(_) => wrong_kind(name, "a number"),
        }
    }

    /// A boolean; false when the table has no default for it.
    #[must_use]
    #[track_caller]
    pub fn boolean(&self, name: &str) -> bool {
        match self.slot(name).value {
            Some(Value::Boolean(value)) => value,
            None => self
                .none_of(name, matches!(self.slot(name).parameter.kind, Kind::Boolean))
                .unwrap_or(false),
            Some(_) => wrong_kind(name, "a boolean"),
        }
    }

    /// The chosen word of a select.
    #[must_use]
    #[track_caller]
    pub fn choice(&self, name: &str) -> Option<&'static str> {
        match self.slot(name).value {
            Some(Value::Choice(word)) => Some(word),
            None => self.none_of(name, matches!(self.slot(name).parameter.kind, Kind::Select(_))),
            Some(_) => wrong_kind(name, "a choice"),
        }
    }

    /// A span of time.
    #[must_use]
    #[track_caller]
    pub fn duration(&self, name: &str) -> Option<Duration> {
        match self.slot(name).value {
            Some(Value::Span(span)) => Some(span),
            None => self.none_of(name, matches!(self.slot(name).parameter.kind, Kind::Duration)),
            Some(_) => wrong_kind(name, "a time"),
        }
    }

    #[track_caller]
    fn slot(&self, name: &str) -> &Slot {
        let found = self.slots.iter().find(|slot| slot.parameter.name == name);
        found.unwrap_or_else(|| panic!("the table has no parameter {name}"))
    }

    #[track_caller]
    fn none_of<T>(&self, name: &str, right_kind: bool) -> Option<T> {
        if right_kind { None } else { wrong_kind(name, "of the kind asked for") }
    }
}

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut map = f.debug_map();
        for slot in &self.slots {
            if slot.parameter.private && slot.is_set {
                map.entry(&slot.parameter.name, &"(not shown)");
            } else {
                map.entry(&slot.parameter.name, &slot.value);
            }
        }
        map.finish()
    }
}

#[track_caller]
fn wrong_kind(name: &str, wanted: &str) -> ! {
    panic!("the table does not say that {name} is {wanted}")
}

fn read_one(parameter: &'static Parameter, raw: Option<&str>) -> (Option<Value>, Option<Refusal>) {
    let name = parameter.name;
    let by_default = || {
        // A default that does not parse is a complaint of Spec::complaints, never met by users.
        parameter.default.filter(|d| !d.is_empty()).and_then(|d| parse(parameter, d).ok())
    };
    match raw {
        None if parameter.required => (None, Some(Refusal::Missing { parameter: name })),
        None => (by_default(), None),
        // Its default said aloud asks for nothing that is not done: clusters have such lines.
        Some(text) if parameter.support == Support::NotYet => {
            let default = by_default();
            let is_default = default.is_some() && parse(parameter, text).ok() == default;
            (default, (!is_default).then_some(Refusal::NotYet { parameter: name }))
        }
        Some(text) => match parse(parameter, text) {
            Ok(value) => (Some(value), None),
            Err(refusal) => (by_default(), Some(refusal)),
        },
    }
}

pub(crate) fn parse(parameter: &Parameter, text: &str) -> Result<Value, Refusal> {
    let (name, value) = (parameter.name, || Shown::of(parameter, text));
    match parameter.kind {
        Kind::String => Ok(Value::Text(text.to_owned())),
        Kind::Integer { min, max } => text
            .trim()
            .parse()
            .ok()
            .filter(|number| (min..=max).contains(number))
            .map(Value::Integer)
            .ok_or_else(|| Refusal::NotAnInteger { parameter: name, value: value(), min, max }),
        Kind::Boolean => boolean_word(text)
            .map(Value::Boolean)
            .ok_or_else(|| Refusal::NotABoolean { parameter: name, value: value() }),
        Kind::Select(options) => options
            .iter()
            .find(|option| **option == text.trim())
            .map(|option| Value::Choice(option))
            .ok_or_else(|| Refusal::NotOneOf { parameter: name, value: value(), options }),
        Kind::Duration => duration_word(text)
            .map(Value::Span)
            .ok_or_else(|| Refusal::NotADuration { parameter: name, value: value() }),
    }
}

/// A boolean in the words of OCF, whatever their case: the words that the stock shell functions take
/// for true, their opposites, and nothing else.
#[must_use]
pub fn boolean_word(word: &str) -> Option<bool> {
    let word = word.trim();
    let is_any_of = |words: [&str; 5]| words.iter().any(|w| w.eq_ignore_ascii_case(word));
    if is_any_of(["yes", "true", "1", "ja", "on"]) {
        Some(true)
    } else if is_any_of(["no", "false", "0", "nein", "off"]) {
        Some(false)
    } else {
        None
    }
}

/// A span of time as people write it for Pacemaker: a whole number, then `ms`, `s`, `sec`, `m`, `min`, `h`
/// or `hr`; seconds when there is no unit.
#[must_use]
pub fn duration_word(word: &str) -> Option<Duration> {
    let word = word.trim();
    let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (number, unit) = word.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit.trim_start() {
        "ms" | "msec" => 1,
        "" | "s" | "sec" => 1000,
        "m" | "min" => 60_000,
        "h" | "hr" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_is_not_implemented_yet_takes_its_default_and_nothing_else() {
        static SPEED: Parameter =
            Parameter::new("speed", Kind::Integer { min: 0, max: 9 }, "Speed", "How fast.")
                .with_default("0")
                .not_yet();
        static PLACE: Parameter =
            Parameter::new("place", Kind::String, "Place", "Where.").not_yet();
        let refused = |parameter, text| read_one(parameter, Some(text)).1.is_some();
        assert!(!refused(&SPEED, "0") && !refused(&SPEED, " 0 "));
        assert!(refused(&SPEED, "1") && refused(&SPEED, "fast"));
        assert!(refused(&PLACE, "/srv"));
    }
}
