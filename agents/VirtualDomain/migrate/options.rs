//! `migrate_options`: the words of `virsh migrate` in flags and parameters. Invariant: a word is either done as virsh would,
//! or refused by name; none is passed over but `--live` and `--verbose`, which say nothing here.

use std::time::Duration;

use duet_libvirt_rpc::library::{Parameter, flag};

/// What a migration that takes too long is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnTimeout {
    /// The guest is paused until it is there.
    Suspend,
    /// It goes on there, and its memory follows.
    PostCopy,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// See [`flag`].
    pub(crate) flags: u32,
    /// Typed parameters.
    pub(crate) parameters: Vec<Parameter>,
    /// `--migrateuri`
    pub(crate) data: Option<String>,
    /// `--timeout`
    pub(crate) timeout: Option<(Duration, OnTimeout)>,
    /// `--postcopy-after-precopy`
    pub(crate) post_copy_after_first_pass: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            flags: flag::LIVE,
            parameters: Vec::new(),
            data: None,
            timeout: None,
            post_copy_after_first_pass: false,
        }
    }
}

const FLAGS: &[(&str, u32)] = &[
    ("live", flag::LIVE),
    ("verbose", 0),
    ("p2p", flag::PEER2PEER),
    ("tunnelled", flag::TUNNELLED),
    ("persistent", flag::PERSIST_DEST),
    ("undefinesource", flag::UNDEFINE_SOURCE),
    ("suspend", flag::PAUSED),
    ("copy-storage-all", flag::NON_SHARED_DISK),
    ("copy-storage-inc", flag::NON_SHARED_INC),
    ("copy-storage-synchronous-writes", flag::NON_SHARED_SYNCHRONOUS_WRITES),
    ("change-protection", flag::CHANGE_PROTECTION),
    ("unsafe", flag::UNSAFE),
    ("compressed", flag::COMPRESSED),
    ("abort-on-error", flag::ABORT_ON_ERROR),
    ("auto-converge", flag::AUTO_CONVERGE),
    ("rdma-pin-all", flag::RDMA_PIN_ALL),
    ("postcopy", flag::POSTCOPY),
    ("tls", flag::TLS),
    ("parallel", flag::PARALLEL),
    ("zerocopy", flag::ZEROCOPY),
];

const REFUSED: &[(&str, &str)] = &[
    ("dname", "the guest would have another name than the definition"),
    ("xml", "the definition is what the config parameter names"),
    ("persistent-xml", "the definition is what the config parameter names"),
    ("offline", "a guest that does not run is not migrated"),
    ("postcopy-resume", "what to do after a failed post-copy migration is for a person to decide"),
    ("direct", "it is the hypervisor's own way, which nobody here can watch"),
    ("domain", "it is known"),
    ("desturi", "use remoteuri"),
];

impl Options {
    /// Reads them.
    ///
    /// # Errors
    /// Which word cannot be done, and why.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut options = Self::default();
        let mut words = text.split_whitespace();
        let (mut seconds, mut turns_into) = (None, None);
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| format!("{word:?} is not an option of virsh migrate"))?;
            let (name, attached) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (name, None),
            };
            if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
                return Err(format!("--{name} is not possible: {why}"));
            }
            let is_plain = FLAGS.iter().any(|(flag, _)| *flag == name)
                || matches!(
                    name,
                    "timeout-suspend" | "timeout-postcopy" | "postcopy-after-precopy"
                );
            if is_plain {
                if attached.is_some() {
                    return Err(format!("--{name} takes no value"));
                }
                match name {
                    "timeout-suspend" => turns_into = Some(OnTimeout::Suspend),
                    "timeout-postcopy" => turns_into = Some(OnTimeout::PostCopy),
                    "postcopy-after-precopy" => options.post_copy_after_first_pass = true,
                    _ => {
                        let bits = FLAGS.iter().find(|(flag, _)| *flag == name);
                        options.flags |= bits.map_or(0, |(_, bits)| *bits);
                    }
                }
                continue;
            }
            if !takes_value(name) {
                return Err(format!("--{name} is not an option that this agent knows"));
            }
            let value = attached.or_else(|| words.next()).filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| format!("--{name} needs a value"))?;
            if name == "timeout" {
                seconds = Some(number::<u64>(name, value)?).filter(|seconds| *seconds > 0);
            } else {
                options.take(name, value)?;
            }
        }
        options.check(seconds, turns_into)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        let text = || value.to_owned();
        let parameter = match name {
            "migrateuri" => {
                self.data = Some(text());
                return Ok(());
            }
            "bandwidth" => Parameter::Bandwidth(number(name, value)?),
            "postcopy-bandwidth" => Parameter::BandwidthPostcopy(number(name, value)?),
            "graphicsuri" => Parameter::GraphicsUri(text()),
            "listen-address" => Parameter::ListenAddress(text()),
            "disks-port" => Parameter::DisksPort(number(name, value)?),
            "disks-uri" => Parameter::DisksUri(text()),
            "comp-mt-level" => Parameter::CompressionMtLevel(number(name, value)?),
            "comp-mt-threads" => Parameter::CompressionMtThreads(number(name, value)?),
            "comp-mt-dthreads" => Parameter::CompressionMtDthreads(number(name, value)?),
            "comp-xbzrle-cache" => Parameter::CompressionXbzrleCache(number(name, value)?),
            "comp-zlib-level" => Parameter::CompressionZlibLevel(number(name, value)?),
            "comp-zstd-level" => Parameter::CompressionZstdLevel(number(name, value)?),
            "auto-converge-initial" => Parameter::AutoConvergeInitial(number(name, value)?),
            "auto-converge-increment" => Parameter::AutoConvergeIncrement(number(name, value)?),
            "parallel-connections" => Parameter::ParallelConnections(number(name, value)?),
            "tls-destination" => Parameter::TlsDestination(text()),
            "migrate-disks" => {
                let disks = value.split(',').map(|disk| Parameter::MigrateDisk(disk.to_owned()));
                self.parameters.extend(disks);
                return Ok(());
            }
            _ => {
                if value.contains(',') {
                    return Err(format!("--{name} {value}: one method at a time"));
                }
                Parameter::Compression(text())
            }
        };
        self.parameters.push(parameter);
        Ok(())
    }

    fn check(
        mut self,
        seconds: Option<u64>,
        turns_into: Option<OnTimeout>,
    ) -> Result<Self, String> {
        let has = |bits: u32| self.flags & bits != 0;
        if has(flag::TUNNELLED) && !has(flag::PEER2PEER) {
            return Err("--tunnelled needs --p2p".to_owned());
        }
        let wants_post_copy =
            self.post_copy_after_first_pass || turns_into == Some(OnTimeout::PostCopy);
        if wants_post_copy && !has(flag::POSTCOPY) {
            return Err(
                "--postcopy-after-precopy and --timeout-postcopy need --postcopy".to_owned()
            );
        }
        if turns_into.is_some() && seconds.is_none() {
            return Err("--timeout-suspend and --timeout-postcopy need --timeout".to_owned());
        }
        let turns_into = turns_into.unwrap_or(OnTimeout::Suspend);
        self.timeout = seconds.map(|seconds| (Duration::from_secs(seconds), turns_into));
        Ok(self)
    }
}

fn takes_value(name: &str) -> bool {
    matches!(
        name,
        "migrateuri"
            | "timeout"
            | "bandwidth"
            | "postcopy-bandwidth"
            | "graphicsuri"
            | "listen-address"
            | "disks-port"
            | "disks-uri"
            | "migrate-disks"
            | "comp-methods"
            | "comp-mt-level"
            | "comp-mt-threads"
            | "comp-mt-dthreads"
            | "comp-xbzrle-cache"
            | "comp-zlib-level"
            | "comp-zstd-level"
            | "auto-converge-initial"
            | "auto-converge-increment"
            | "parallel-connections"
            | "tls-destination"
    )
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("--{name} {value}: not a number that fits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_virsh() {
        assert_eq!(Options::parse(" "), Ok(Options::default()));
        let parse = |text: &str| Options::parse(text).unwrap();
        assert_eq!(parse("--live --verbose"), Options::default());
        assert_eq!(
            parse("--unsafe --copy-storage-inc --p2p --tunnelled").flags,
            flag::LIVE | flag::UNSAFE | flag::NON_SHARED_INC | flag::PEER2PEER | flag::TUNNELLED
        );
        for text in ["--migrateuri tcp://%n:5", "--migrateuri=tcp://%n:5"] {
            assert_eq!(parse(text).data.as_deref(), Some("tcp://%n:5"));
        }
        let ten = Duration::from_secs(10);
        assert_eq!(parse("--timeout 10").timeout, Some((ten, OnTimeout::Suspend)));
        assert_eq!(
            parse("--timeout=10 --postcopy --timeout-postcopy").timeout,
            Some((ten, OnTimeout::PostCopy))
        );
        assert_eq!(parse("--timeout 0").timeout, None);
        assert_eq!(
            parse("--migrate-disks vda,vdb --parallel --parallel-connections 4").parameters,
            [
                Parameter::MigrateDisk("vda".into()),
                Parameter::MigrateDisk("vdb".into()),
                Parameter::ParallelConnections(4)
            ]
        );
    }

    #[test]
    fn every_other_word_is_refused_by_name() {
        for (text, named) in [
            ("--dname x", "--dname"),
            ("--xml=/x", "--xml"),
            ("--offline", "--offline"),
            ("--postcopy-resume", "--postcopy-resume"),
            ("--frobnicate", "--frobnicate"),
            ("live", "live"),
            ("--", "--"),
            ("--unsafe=yes", "--unsafe"),
            ("--bandwidth", "--bandwidth"),
            ("--bandwidth fast", "fast"),
            ("--disks-port 99999999999", "--disks-port"),
            ("--tunnelled", "--tunnelled"),
            ("--timeout 5 --timeout-postcopy", "--timeout-postcopy"),
            ("--timeout-suspend", "--timeout-suspend"),
            ("--comp-methods mt,xbzrle", "--comp-methods"),
        ] {
            let refused = Options::parse(text).unwrap_err();
            assert!(refused.contains(named), "{text}: {refused}");
        }
    }

    /// The help of the parameter lists what there is.
    #[test]
    fn every_word_is_documented() {
        let help = crate::spec::SPEC.parameter("migrate_options").unwrap().longdesc;
        for (name, _) in FLAGS {
            assert!(help.contains(&format!("--{name}")), "{name}");
        }
        for word in help.split([' ', ',', '.', '\n']).filter_map(|word| word.strip_prefix("--")) {
            let known = FLAGS.iter().any(|(flag, _)| *flag == word)
                || REFUSED.iter().any(|(refused, _)| *refused == word)
                || takes_value(word)
                || word.starts_with("timeout-")
                || word == "postcopy-after-precopy";
            assert!(known, "{word}");
        }
    }
}
