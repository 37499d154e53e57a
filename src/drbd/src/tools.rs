//! What drbdadm prints for scripts beside the configuration: versions, devices, module parameters. Invariant: a line
//! that is not of the expected form is an error or left out, never taken for something else.

use crate::Version;

/// The output of `drbdadm --version`: assignments for a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The driver's; none where drbdadm found no module, neither loaded nor on disk.
    pub kernel: Option<Version>,
    /// The tools' own.
    pub tools: Option<Version>,
}

impl Versions {
    /// Reads it; `None` where the driver's version is not mentioned at all or is no number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Versions> {
        let code = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
            u32::from_str_radix(value.trim().strip_prefix("0x")?, 16).ok()
        };
        Some(Versions {
            kernel: Version::from_code(code("DRBD_KERNEL_VERSION_CODE")?),
            tools: code("DRBDADM_VERSION_CODE").and_then(Version::from_code),
        })
    }
}

/// Reads `drbdadm sh-dev RESOURCE`: one device a line.
#[must_use]
pub fn devices(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| line.starts_with("/dev/")).map(str::to_owned).collect()
}

/// Reads `drbdadm sh-mod-parms`: words for modprobe, as `minor_count=32`.
#[must_use]
pub fn module_parameters(text: &str) -> Vec<String> {
    let words = text.split_ascii_whitespace().filter(|word| word.contains('='));
    words.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_assignments() {
        let version = |major, minor, patch| Some(Version { major, minor, patch });
        let said = |kernel: &str| {
            Versions::parse(&format!(
                "DRBDADM_BUILDTAG=GIT-hash:\\ 409097fe\\ 2023-01-09\nDRBDADM_API_VERSION=2\n{kernel}\
                 DRBDADM_VERSION_CODE=0x091600\nDRBDADM_VERSION=9.22.0\n"
            ))
        };
        let tools = version(9, 22, 0);
        let rows = [
            ("DRBD_KERNEL_VERSION_CODE=0x090303\nDRBD_KERNEL_VERSION=9.3.3\n", version(9, 3, 3)),
            ("DRBD_KERNEL_VERSION_CODE=0x08040b\n", version(8, 4, 11)),
            ("DRBD_KERNEL_VERSION_CODE=0x000000\nDRBD_KERNEL_VERSION=0\n", None),
        ];
        for (text, kernel) in rows {
            assert_eq!(said(text), Some(Versions { kernel, tools }), "{text}");
        }
        for text in ["", "DRBD_KERNEL_VERSION_CODE=\n", "DRBD_KERNEL_VERSION_CODE=9\n"] {
            assert_eq!(said(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_device_or_parameter_is_left_out() {
        assert_eq!(devices("/dev/drbd1\n/dev/drbd6\n\n"), ["/dev/drbd1", "/dev/drbd6"]);
        assert_eq!(devices("'r1' not defined in your config\n"), [""; 0]);
        let text = "This command will ignore resource names!\nminor_count=32\n";
        assert_eq!(module_parameters(text), ["minor_count=32"]);
    }
}
