//! What `/proc/drbd` of DRBD 8.4 says of one device: the kernel's own word, asked without a program of DRBD's.
//! Invariant: a device that is not configured, or of which nothing is said, is none.

/// The minor number of the guest's device.
pub(crate) const GUEST: u8 = 0;

/// The first line of a device, `cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----`.
pub(crate) fn device(text: &str, minor: u8) -> Option<&str> {
    let head = format!("{minor}:");
    text.lines()
        .find_map(|line| line.trim_start().strip_prefix(&head))
        .map(str::trim)
        .filter(|line| *line != "cs:Unconfigured")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "version: 8.4.11 (api:1/proto:86-101)
srcversion: 211FB288A383ED945B83420
 0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----
    ns:8 nr:0 dw:8 dr:1112 al:1 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0
 1: cs:Unconfigured
10: cs:StandAlone ro:Secondary/Unknown ds:UpToDate/DUnknown   r-----
    ns:0 nr:0 dw:0 dr:0 al:0 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0
";

    #[test]
    fn each_device_has_its_own_line() {
        assert!(device(TWO, 0).is_some_and(|line| line.starts_with("cs:Connected ro:Primary")));
        assert!(device(TWO, 10).is_some_and(|line| line.starts_with("cs:StandAlone")));
    }

    #[test]
    fn what_is_not_configured_is_not_there() {
        assert_eq!(device(TWO, 1), None);
        assert_eq!(device(TWO, 2), None);
        assert_eq!(device("", 0), None);
    }
}
