//! Sets of names and values, with the precedence that Pacemaker gives them. Invariant: where a rule decides what holds,
//! that is said, since only Pacemaker can evaluate it.

use crate::xml::Element;
use std::collections::HashMap;

/// Elements by their ids: what an `id-ref` may name.
pub(crate) type Ids<'e, 'a> = HashMap<&'e str, &'e Element<'a>>;

/// Pacemaker's INFINITY.
pub(crate) const INFINITY: i64 = 1_000_000;

/// What a name has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held<'e> {
    /// Nothing: Pacemaker's default holds.
    Unset,
    /// This value.
    Value(&'e str),
    /// What a rule says.
    ByRule,
}

/// Several sets of one kind, in the order in which they count.
pub(crate) struct Sets<'e, 'a> {
    /// The element of a set, as it was found through its reference.
    sets: Vec<&'e Element<'a>>,
    ids: Option<&'e Ids<'e, 'a>>,
}

impl<'e, 'a> Sets<'e, 'a> {
    /// Of `elements` in the order of the document. `first` is the id that counts before all others.
    ///
    /// By Pacemaker's make_pairs and sort_pairs (lib/pengine/rules.c): that id, then the higher score, then what comes
    /// later.
    pub(crate) fn new(
        elements: impl IntoIterator<Item = &'e Element<'a>>,
        ids: Option<&'e Ids<'e, 'a>>,
        first: Option<&str>,
    ) -> Sets<'e, 'a> {
        let resolved = |set: &'e Element<'a>| match set.get("id-ref") {
            None => Some(set),
            Some(id) => ids.and_then(|ids| ids.get(id).copied()),
        };
        let mut sets: Vec<_> = elements.into_iter().filter_map(resolved).collect();
        sets.reverse();
        sets.sort_by_key(|set| {
            let is_first = first.is_some() && set.get("id") == first;
            (!is_first, -set.get("score").map_or(0, score))
        });
        Sets { sets, ids }
    }

    /// What `name` has: the first value that counts, where `#default` takes it away again (populate_hash there).
    pub(crate) fn held(&self, name: &str) -> Held<'e> {
        let mut held = Held::Unset;
        for set in &self.sets {
            let is_by_rule = set.all("rule").next().is_some();
            for value in self.values(set, name) {
                let is_default = value.eq_ignore_ascii_case("#default");
                match held {
                    Held::ByRule => return Held::ByRule,
                    _ if is_by_rule && (held == Held::Unset || is_default) => held = Held::ByRule,
                    Held::Value(_) if is_default => held = Held::Unset,
                    Held::Unset if !is_default => held = Held::Value(value),
                    Held::Value(_) | Held::Unset => {}
                }
            }
        }
        held
    }

    /// Every value that any set has for `name`, whatever counts.
    pub(crate) fn every(&self, name: &str) -> Vec<&'e str> {
        self.sets.iter().flat_map(|set| self.values(set, name)).collect()
    }

    fn values(&self, set: &'e Element<'a>, name: &str) -> Vec<&'e str> {
        let pairs = set.all("nvpair").filter_map(|pair| {
            let named = pair.get("name");
            let pair = match pair.get("id-ref") {
                None => pair,
                Some(id) => self.ids.and_then(|ids| ids.get(id).copied())?,
            };
            (named.or_else(|| pair.get("name")) == Some(name)).then(|| pair.get("value")).flatten()
        });
        pairs.collect()
    }
}

/// A score, as Pacemaker reads it (char2score): a number beyond INFINITY is INFINITY, no number is 0.
pub(crate) fn score(text: &str) -> i64 {
    let text = text.trim_matches(' ');
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("INFINITY") || is("+INFINITY") {
        INFINITY
    } else if is("-INFINITY") {
        -INFINITY
    } else {
        text.parse::<i64>().map_or(0, |number| number.clamp(-INFINITY, INFINITY))
    }
}

/// A boolean, as Pacemaker reads it.
pub(crate) fn boolean(word: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
    if is(&["true", "on", "yes", "y", "1"]) {
        Some(true)
    } else if is(&["false", "off", "no", "n", "0"]) {
        Some(false)
    } else {
        None
    }
}
