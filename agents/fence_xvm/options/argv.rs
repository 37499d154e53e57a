//! The command line, as GNU getopt reads it: letters may be glued to each other and to their argument, and words that
//! are no options may stand anywhere. Invariant: what is not understood is an error. Stock shows its usage and reports
//! success there, and does without words it has no use for: `fence_xvm -H node1 status` reboots node1.

use super::given::Given;
use super::{Argument, Program};

/// Reads the words after the program's name.
#[must_use]
pub fn read(program: Program, words: &[String]) -> Given {
    let mut given = Given::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            words.by_ref().for_each(|word| given.complain(unexpected(word)));
        } else if let Some(name) = word.strip_prefix("--") {
            match program.by_long_name(name) {
                Some(setting) => given.set(setting, name, None),
                None => given.complain(format!("unrecognized option '{word}'")),
            }
        } else if let Some(letters) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
            let mut rest = letters.chars();
            while let Some(letter) = rest.next() {
                let Some(option) = program.by_letter(letter) else {
                    given.complain(format!("invalid option -- '{letter}'"));
                    continue;
                };
                let glued = Some(rest.as_str()).filter(|rest| !rest.is_empty());
                let value = match option.argument {
                    Argument::None => None,
                    Argument::Glued => glued,
                    Argument::Required => {
                        let value = glued.or_else(|| words.next().map(String::as_str));
                        if value.is_none() {
                            given.complain(format!("option requires an argument -- '{letter}'"));
                            break;
                        }
                        value
                    }
                };
                given.set(option.setting, &format!("-{letter}"), value);
                if option.argument != Argument::None {
                    break;
                }
            }
        } else {
            given.complain(unexpected(word));
        }
    }
    given
}

fn unexpected(word: &str) -> String {
    format!("Unexpected argument: '{word}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::given::Action;

    fn xvm(line: &str) -> Given {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        read(Program::Xvm, &words)
    }

    fn virt(line: &str) -> Given {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        read(Program::Virt, &words)
    }

    #[test]
    fn letters_and_arguments_may_be_glued() {
        let given = xvm("-ddostatus -Hnode1 -t5 -uk/dev/null -w 3");
        assert_eq!(given.complaints, [""; 0]);
        assert_eq!((given.debug, given.action), (2, Some(Action::Status)));
        assert_eq!(given.domain, Some(Ok("node1".parse().unwrap())));
        assert_eq!((given.by_uuid, given.key_file.as_deref()), (true, Some("/dev/null")));
        assert_eq!((given.timeout.as_secs(), given.delay.as_secs()), (5, 3));
    }

    #[test]
    fn an_argument_may_look_like_an_option() {
        assert_eq!(xvm("-H -o").domain, Some(Ok("-o".parse().unwrap())));
        assert_eq!(xvm("-w -1").complaints, ["Invalid delay: '-1'"]);
    }

    #[test]
    fn a_cid_has_to_be_glued() {
        assert_eq!((virt("-S3").cid, virt("-S").cid), (Some(3), Some(2)));
        let given = virt("-S 3");
        assert_eq!((given.cid, &given.complaints[0][..]), (Some(2), "Unexpected argument: '3'"));
    }

    #[test]
    fn each_program_has_its_own_letters() {
        for letter in ["-T1", "-S", "-D1", "-P1", "-A1"] {
            assert_eq!(xvm(letter).complaints.len(), letter.len() - 1, "{letter}");
            assert_eq!(virt(letter).complaints, [""; 0]);
        }
        for letter in ["-i", "-a", "-r", "-u"] {
            assert_eq!(virt(letter).complaints[0], format!("invalid option -- '{}'", &letter[1..]));
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for (line, complaint) in [
            ("-Z", "invalid option -- 'Z'"),
            ("-M x", "invalid option -- 'M'"),
            ("--halp", "unrecognized option '--halp'"),
            ("-H", "option requires an argument -- 'H'"),
            ("-H node1 status", "Unexpected argument: 'status'"),
            ("-", "Unexpected argument: '-'"),
            ("-- -o", "Unexpected argument: '-o'"),
        ] {
            assert_eq!(xvm(line).complaints[0], complaint);
        }
    }

    #[test]
    fn help_version_and_what_is_ours_have_long_names() {
        let given = xvm("--help --version --diagnose --json");
        assert!(given.help && given.version && given.diagnose && given.json);
        assert!(xvm("-?").help && xvm("-h").help && xvm("-V").version);
    }

    proptest::proptest! {
        #[test]
        fn no_words_make_it_panic(words in proptest::collection::vec(".*", 0..8)) {
            let _ = (read(Program::Xvm, &words), read(Program::Virt, &words));
        }
    }
}
