//! `-c`: asks what to configure, in the order of stock's daemon so that what answers it goes on to, and writes configuration and key.
//! Invariant: nothing is written before the last yes, and a key that is there is never replaced.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::ExitCode,
};

use duet_host::file;
use duet_ocf::chain;
use duet_xvm::{GROUP_V4, GROUP_V6, KEY_FILE, PORT, configuration::Configuration};
use nix::net::if_::if_nametoindex;

use crate::{
    secret,
    settings::{Channel, Settings},
    sources,
};

/// Bytes of a new key: all that count.
const KEY: usize = 4096;

/// Asks on standard output, hears on standard input.
pub(crate) fn run(path: &Path) -> ExitCode {
    let mut talk = Talk { heard: io::stdin().lock(), said: io::stdout() };
    match talk.configure(path) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("fence_virtd: {why}");
            ExitCode::FAILURE
        }
    }
}

struct Talk<R, W> {
    heard: R,
    said: W,
}

impl<R: BufRead, W: Write> Talk<R, W> {
    /// True when the configuration was written.
    fn configure(&mut self, path: &Path) -> Result<bool, String> {
        let read = sources::text(path).map_err(|error| error.to_string());
        let read =
            read.and_then(|text| Configuration::parse(&text).map_err(|error| error.to_string()));
        let mut configuration = match read {
            Ok(configuration) => configuration,
            Err(why) => {
                self.say(&format!("{why}\nParsing of {} failed.\n", path.display()));
                if !self.yes("Start from scratch", false) {
                    return Ok(false);
                }
                Configuration::default()
            }
        };
        self.ask_all(&mut configuration).map_err(|error| error.to_string())?;
        let text = format!("{}\n", configuration.to_string().trim_end());
        let settings =
            Settings::parse(&text).map_err(|error| format!("this cannot be served: {error}"))?;
        self.say(&format!("\nConfiguration complete.\n\n=== Begin Configuration ===\n{text}=== End Configuration ===\n"));
        if !self.yes(&format!("Replace {} with the above", path.display()), false) {
            return Ok(false);
        }
        file::write_atomic(path, text.as_bytes(), 0o600).map_err(|error| chain(&error))?;
        self.keys(&settings)?;
        self.say(&hints(&settings));
        Ok(true)
    }

    fn ask_all(
        &mut self,
        to: &mut Configuration,
    ) -> Result<(), duet_xvm::configuration::Unwritable> {
        self.say("Listeners and backends are in the program itself; the path is kept for stock's daemon.\n\n");
        let main = ["fence_virtd"];
        if to.section(&main).and_then(|section| section.get("module_path")).is_some() {
            self.ask(to, &main, "module_path", "Module search path", "")?;
        } else {
            self.line("Module search path [built in]: ");
        }
        self.say("\nListeners: multicast serial tcp vsock; several are separated by blanks.\n\n");
        let listeners = self.ask(to, &main, "listener", "Listener module", "multicast")?;
        for name in listeners.split([' ', ',']).filter(|name| !name.is_empty()) {
            let path = ["listeners", name];
            match name {
                "multicast" => {
                    let is_v6 = to
                        .section(&path)
                        .and_then(|section| section.get("family"))
                        .is_some_and(|word| word == "ipv6");
                    let group = if is_v6 { GROUP_V6.to_string() } else { GROUP_V4.to_string() };
                    let group = self.ask(to, &path, "address", "Multicast IP Address", &group)?;
                    to.set(&path, "family", if group.contains(':') { "ipv6" } else { "ipv4" })?;
                    self.ask(to, &path, "port", "Multicast IP Port", &PORT.to_string())?;
                    self.say("\nName the bridge that the guests are on, such as virbr0.\n\n");
                    self.ask(to, &path, "interface", "Interface", "none")?;
                    self.ask(to, &path, "key_file", "Key File", KEY_FILE)?;
                }
                "tcp" => {
                    self.ask(to, &path, "address", "TCP Listen IP Address", "127.0.0.1")?;
                    self.ask(to, &path, "port", "TCP Listen Port", &PORT.to_string())?;
                    self.ask(to, &path, "key_file", "Key File", KEY_FILE)?;
                }
                "vsock" => {
                    self.ask(to, &path, "port", "VSOCK Listen Port", &PORT.to_string())?;
                    self.ask(to, &path, "key_file", "Key File", KEY_FILE)?;
                }
                "serial" => {
                    self.ask(to, &path, "uri", "Libvirt URI", "qemu:///system")?;
                    self.ask(to, &path, "path", "Socket directory", "none")?;
                    self.ask(to, &path, "mode", "Mode (serial or vmchannel)", "serial")?;
                }
                other => self.say(&format!("There is no listener {other}\n")),
            }
        }
        self.say("\nThe backend ends and starts guests of this host. Where guests migrate, run fence_virtd on each host.\n\n");
        self.ask(to, &main, "backend", "Backend module", "libvirt")?;
        self.ask(to, &["backends", "libvirt"], "uri", "Libvirt URI", "qemu:///system")?;
        Ok(())
    }

    /// Asks for a value; what is configured already, or else `default`, is what an empty answer means, and `none` is no value.
    fn ask(
        &mut self,
        to: &mut Configuration,
        path: &[&str],
        name: &str,
        question: &str,
        default: &str,
    ) -> Result<String, duet_xvm::configuration::Unwritable> {
        let now =
            to.section(path).and_then(|section| section.get(name)).unwrap_or(default).to_owned();
        let answer = self.line(&format!("{question} [{now}]: "));
        let value = if answer.is_empty() { now } else { answer };
        if value == "none" {
            to.remove(path, name);
        } else {
            to.set(path, name, &value)?;
        }
        Ok(value)
    }

    fn yes(&mut self, question: &str, default: bool) -> bool {
        let answer = self.line(&format!("{question} [{}]? ", if default { "Y/n" } else { "y/N" }));
        match answer.to_ascii_lowercase().as_str() {
            "" => default,
            other => other.starts_with('y'),
        }
    }

    /// What is answered, without blanks around it; nothing at the end of all answers.
    fn line(&mut self, question: &str) -> String {
        self.say(question);
        let mut answer = String::new();
        match self.heard.by_ref().take(4096).read_line(&mut answer) {
            Ok(0) | Err(_) => self.say("\n"),
            Ok(_) => {}
        }
        answer.trim().to_owned()
    }

    fn say(&mut self, text: &str) {
        let _ = self.said.write_all(text.as_bytes()).and_then(|()| self.said.flush());
    }

    /// Makes the keys that are not there yet.
    fn keys(&mut self, settings: &Settings) -> Result<(), String> {
        let mut files: Vec<&PathBuf> = settings
            .listeners
            .iter()
            .filter_map(|listener| Some(&listener.signed.as_ref()?.key_file))
            .collect();
        files.sort();
        files.dedup();
        for path in files {
            if path.exists() {
                match secret::read(path, false) {
                    Ok((key, told)) => {
                        self.say(&format!(
                            "\nThe key {} is there (fingerprint {}).\n",
                            path.display(),
                            key.fingerprint()
                        ));
                        told.iter().for_each(|text| self.say(&format!("warning: {text}\n")));
                    }
                    Err(error) => self.say(&format!("\nwarning: {}\n", chain(&error))),
                }
            } else if self.yes(&format!("Create the key {}", path.display()), true) {
                create(path).map_err(|error| {
                    format!("Could not create the key {}: {error}", path.display())
                })?;
                let fingerprint =
                    secret::read(path, false).map(|(key, _)| key.fingerprint().to_string());
                self.say(&format!(
                    "Created {} (fingerprint {}). Copy it to the same place in every guest, over a way that nobody else reads.\n",
                    path.display(),
                    fingerprint.unwrap_or_default()
                ));
            }
        }
        Ok(())
    }
}

/// A key of random bytes that only its owner can read; never in the place of another file.
fn create(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    }
    let mut bytes = [0; KEY];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}

/// What usually is in the way.
fn hints(settings: &Settings) -> String {
    let mut lines = vec![String::new(), "What has to be let through:".to_owned()];
    for listener in &settings.listeners {
        match &listener.channel {
            Channel::Multicast { group, interface } => {
                let (port, name) = (group.port(), interface.as_deref().unwrap_or("any interface"));
                let protocol = if group.is_ipv4() { "IGMP" } else { "MLD (ICMPv6)" };
                lines
                    .push(format!("  on this host, in by {name}: udp port {port}, and {protocol}"));
                lines.push(format!("  in every guest, in from this host: tcp port {PORT}, by which the daemon calls back"));
                match interface {
                    Some(name) if if_nametoindex(name.as_str()).is_err() => lines.push(format!(
                        "warning: there is no interface {name} now; the daemon waits for it"
                    )),
                    Some(_) => {}
                    None => lines.push(
                        "warning: no interface is named; the routes choose one, which often is not the guests' bridge".to_owned(),
                    ),
                }
            }
            Channel::Tcp { address } => {
                lines.push(format!(
                    "  on this host: tcp port {} at {}",
                    address.port(),
                    address.ip()
                ));
                if address.ip().is_loopback() {
                    lines.push(format!("warning: only this host itself reaches {}", address.ip()));
                }
            }
            Channel::Vsock { .. } | Channel::Serial { .. } => {
                lines.push(format!("  nothing for {}", listener.name));
            }
        }
    }
    lines.push("Firewalls: firewall-cmd --add-port=1229/udp --permanent on the host and --add-port=1229/tcp --permanent in guests, or their like.".to_owned());
    lines.push(
        "To see what this configuration does: fence_virtd --check; from a guest: fence_xvm -o list"
            .to_owned(),
    );
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn run(path: &Path, answers: &str) -> (Result<bool, String>, String) {
        let mut talk = Talk { heard: answers.as_bytes(), said: Vec::new() };
        let done = talk.configure(path);
        (done, String::from_utf8(talk.said).unwrap())
    }

    #[test]
    fn defaults_and_a_yes_make_a_configuration_and_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let (path, key) = (directory.path().join("f.conf"), directory.path().join("c/k.key"));
        // From scratch, path, listener, address, port, interface, key, backend, URI, replace, create.
        let answers = format!("y\n\n\n\n\nvirbr0\n{}\n\n\ny\n\n", key.display());
        let (done, said) = run(&path, &answers);
        assert_eq!(done, Ok(true), "{said}");
        let text = fs::read_to_string(&path).unwrap();
        let settings = Settings::parse(&text).unwrap();
        let group = "225.0.0.12:1229".parse().unwrap();
        let interface = Some("virbr0".to_owned());
        assert_eq!(settings.listeners[0].channel, Channel::Multicast { group, interface });
        for (file, length) in [(&path, None), (&key, Some(4096))] {
            let about = file.metadata().unwrap();
            assert_eq!(about.mode() & 0o7777, 0o600);
            assert!(length.is_none_or(|length| about.len() == length));
        }
        let before = fs::read(&key).unwrap();
        // Everything as it is: the same file, the same key.
        let (done, said) = run(&path, &format!("{}y\n", "\n".repeat(8)));
        assert_eq!(done, Ok(true), "{said}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::read(&key).unwrap(), before);
    }

    #[test]
    fn without_the_last_yes_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.conf");
        for answers in ["", "n\n", "y\n", "y\n\n\n\n\n\n\n\n\nn\n"] {
            assert_eq!(run(&path, answers).0, Ok(false), "{answers:?}");
            assert!(!path.exists());
        }
    }

    #[test]
    fn what_was_not_asked_about_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.conf");
        let key = directory.path().join("key");
        let text = format!(
            "# mine\nfence_virtd {{ listener = \"tcp\"; backend = \"libvirt\"; }}\nlisteners {{ tcp {{ hash = \"sha512\"; # strong\n key_file = \"{}\"; }} }}\nbackends {{ libvirt {{ uri = \"lxc:///\"; }} }}\ngroups {{ group {{ uuid = \"a\"; ip = \"1.2.3.4\"; }} }}\n",
            key.display()
        );
        fs::write(&path, &text).unwrap();
        let (done, said) = run(&path, "\n\n10.0.0.1\n\n\n\n\ny\nn\n");
        assert_eq!(done, Ok(true), "{said}");
        let after = fs::read_to_string(&path).unwrap();
        assert!(after.starts_with("# mine\n") && after.contains("# strong\n"), "{after}");
        assert!(
            after.contains("address = \"10.0.0.1\"") && after.contains("uri = \"lxc:///\""),
            "{after}"
        );
        assert!(!key.exists());
    }
}
