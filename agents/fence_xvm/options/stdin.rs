//! Standard input, as Pacemaker gives it: one `name=value` in a line. Invariant: a name that nobody knows is passed over
//! with a line on stderr, and everything else is taken or refused.

use super::given::Given;
use super::{Program, Setting};

const BLANKS: [char; 3] = [' ', '\t', '\r'];

/// Reads all of standard input. Returns what was said, and the names that nobody knows.
#[must_use]
pub fn read(program: Program, text: &str) -> (Given, Vec<String>) {
    let mut given = Given::default();
    let mut unknown = Vec::new();
    for line in text.split('\n').filter(|line| !line.starts_with('#')) {
        let line = line.trim_matches(BLANKS);
        let word = line.split(BLANKS).next().unwrap_or_default();
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        match program.by_name(name) {
            // Half a name is somebody else's.
            Some(Setting::Domain) => {
                given.set(Setting::Domain, name, value.map(|_| &line[name.len() + 1..]));
            }
            // Otherwise, as in stock, a value ends at the first blank: there is no quoting.
            Some(setting) => given.set(setting, name, value),
            None if line.is_empty() => {}
            None => unknown.push(name.to_owned()),
        }
    }
    (given, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::given::Action;

    fn xvm(text: &str) -> Given {
        read(Program::Xvm, text).0
    }

    #[test]
    fn situation_36_every_alias_is_taken() {
        for name in ["plug", "port", "domain", "PLUG"] {
            let given = xvm(&format!("{name}=node1\n"));
            assert_eq!(given.domain, Some(Ok("node1".parse().unwrap())), "{name}");
        }
        for name in ["action", "option", "Action"] {
            assert_eq!(xvm(&format!("{name}=off")).action, Some(Action::Off), "{name}");
        }
    }

    #[test]
    fn situation_36_a_second_name_is_an_error_whatever_it_is_called() {
        for (one, other) in [("plug", "port"), ("port", "domain"), ("plug", "plug")] {
            let given = xvm(&format!("{one}=x\n{other}=x\n"));
            assert_eq!(given.complaints, ["Domain/UUID may not be specified more than once"]);
        }
    }

    #[test]
    fn situation_36_unknown_names_are_passed_over_and_comments_ignored() {
        let text = "# a comment\nfoo=bar\n #x=y\nbare\n=v\nipaddr=1\nport=x\nagent=f\nself=1\nnodename=n\n";
        let (given, unknown) = read(Program::Xvm, text);
        assert_eq!(unknown, ["foo", "#x", "bare", "", "ipaddr"]);
        assert_eq!(given.complaints, [""; 0]);
        assert_eq!(read(Program::Virt, text).1, ["foo", "#x", "bare", ""]);
    }

    #[test]
    fn blanks_before_are_cut_and_the_next_ends_the_line() {
        assert_eq!(xvm("  action=off\n").action, Some(Action::Off));
        assert_eq!(xvm("\taction=off\r\n").action, Some(Action::Off));
        assert_eq!(xvm("hash=sha1 x\n").hash, duet_xvm::Algorithm::Sha1);
        assert_eq!(xvm("port=x=y").domain, Some(Ok("x=y".parse().unwrap())));
    }

    #[test]
    fn a_domain_is_named_by_the_whole_line() {
        let given = xvm("port=web server \r\n");
        assert_eq!(given.domain, Some(Ok("web server".parse().unwrap())));
    }

    #[test]
    fn blanks_around_the_sign_are_an_error_and_no_reboot() {
        assert_eq!(xvm("action = status\nport=x\n").complaints, ["No value for 'action'"]);
    }

    #[test]
    fn what_is_said_last_counts() {
        assert_eq!(xvm("action=off\naction=status\n").action, Some(Action::Status));
        assert_eq!(xvm("timeout=0\ntimeout=5\n").complaints, ["Invalid timeout: '0'"]);
    }

    #[test]
    fn what_only_the_command_line_has_is_unknown() {
        for name in ["help", "version", "-o", "o", "diagnose", "json"] {
            assert_eq!(read(Program::Xvm, &format!("{name}=1")).1, [name]);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(.|\n)*") {
            let _ = (read(Program::Xvm, &text), read(Program::Virt, &text));
        }
    }
}
