//! Recorded exchanges from `tests/recorded`. Invariant: read as they were written down, never edited here.

use std::path::Path;

/// A question and its answer, whole frames.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// What the client sent.
    pub question: Vec<u8>,
    /// What the daemon answered.
    pub answer: Vec<u8>,
}

/// The exchange `name` recorded from libvirt 9.0.
#[must_use]
pub fn recorded(name: &str) -> Exchange {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../recorded/libvirt-9.0")
        .join(format!("{name}.hex"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let frame = |tag: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(tag)).expect("a line of each");
        let line = line.trim().as_bytes();
        line.chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    };
    Exchange { question: frame("C "), answer: frame("S ") }
}
