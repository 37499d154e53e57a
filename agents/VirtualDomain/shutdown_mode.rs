//! The parameter `shutdown_mode`: virsh's words, one or several. Invariant: a word that is not one of them is never
//! passed over in silence.

use duet_libvirt_rpc::ShutdownFlags;

/// The words of `virsh shutdown --mode`, and what they stand for.
const WORDS: [(&str, ShutdownFlags); 5] = [
    ("acpi", ShutdownFlags::ACPI),
    ("agent", ShutdownFlags::AGENT),
    ("initctl", ShutdownFlags::INITCTL),
    ("signal", ShutdownFlags::SIGNAL),
    ("paravirt", ShutdownFlags::PARAVIRT),
];

/// The ways of asking that the value allows; libvirt tries them in an order of its own, whatever theirs is. Like
/// virsh, it takes several with commas between them.
///
/// # Errors
/// The word that is none.
pub(crate) fn parse(value: &str) -> Result<ShutdownFlags, String> {
    let mut flags = ShutdownFlags::ANY;
    for word in value.split(',').map(str::trim) {
        let Some((_, flag)) = WORDS.iter().find(|(known, _)| *known == word) else {
            let words = WORDS.map(|(known, _)| known).join(", ");
            return Err(format!(
                "shutdown_mode={value:?}: {word:?} is not one of {words}; several are separated by commas"
            ));
        };
        flags = flags.and(*flag);
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_virsh_has_its_flag() {
        for (value, word) in [
            ("acpi", 1),
            ("agent", 2),
            ("initctl", 4),
            ("signal", 8),
            ("paravirt", 16),
            ("acpi,agent", 3),
            (" agent , acpi", 3),
            ("agent,agent", 2),
        ] {
            assert_eq!(parse(value).unwrap().word(), word, "{value}");
        }
    }

    #[test]
    fn other_words_are_named() {
        for (value, word) in
            [("bogus", "bogus"), ("ACPI", "ACPI"), ("acpi,", "\"\""), ("acpi agent", "acpi agent")]
        {
            let why = parse(value).unwrap_err();
            assert!(why.contains(word) && why.contains("paravirt"), "{why}");
        }
    }
}
