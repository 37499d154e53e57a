//! Dumps: questions byte by byte as they were asked, answers as the words beside them.

use crate::recorded::{DRIVERS, Exchange, State, decoder, family, family_exchange, states};
use crate::words::{Facts, of_events, of_status, of_view};
use duet_drbd::netlink::{
    Decoder, Dump, Error, Family, Said, ask_family, messages, read_family, whole,
};
use duet_drbd::{Change, Generation, Object, Version, View};

const FOUR: [Dump; 4] = [Dump::Resources, Dump::Devices, Dump::Connections, Dump::PeerDevices];

/// A whole answer, which has to end.
fn read(decoder: &Decoder, dump: Dump, answer: &[Vec<u8>]) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut is_done = false;
    for message in messages(&answer.concat()) {
        assert!(!is_done);
        let message = message.unwrap();
        assert!(!message.is_interrupted());
        match decoder.answer(dump, &message).unwrap() {
            Said::Change(change) => changes.push(*change),
            Said::Done => is_done = true,
            other => panic!("{other:?}"),
        }
    }
    assert!(is_done);
    changes
}

fn four(driver: Version, state: &State) -> View {
    let mut changes = Vec::new();
    for dump in FOUR {
        let answer = state.answer(dump.command());
        changes.extend(read(&decoder(driver, &state.exchanges[0].request), dump, answer));
    }
    whole(&changes).unwrap()
}

fn initial(driver: Version, state: &State) -> View {
    let dump = Dump::InitialState;
    let answer = state.answer(dump.command());
    let changes = read(&decoder(driver, &state.exchanges[0].request), dump, answer);
    assert!(matches!(changes.last(), Some(Change { object: Object::End, .. })));
    whole(&changes).unwrap()
}

/// Every word of `text` is a fact of `view`, and every fact is one of the words but for `silent`.
fn agree(name: &str, view: &Facts, text: &Facts, after: &Facts, silent: &[&str]) {
    for (fact, word) in text {
        let said = view.get(fact).unwrap_or_else(|| panic!("{name}: nothing of {fact}"));
        let number = |word: &str| word.parse::<u64>().unwrap();
        if fact.ends_with(" out-of-sync") {
            // It moves on while it is asked for.
            let (one, other) = (number(word), number(after.get(fact).unwrap_or(word)));
            let range = one.min(other)..=one.max(other);
            assert!(range.contains(&number(said)), "{name}: {fact} is {said}, not in {range:?}");
        } else {
            assert_eq!(said, word, "{name}: {fact}");
        }
    }
    for fact in view.keys() {
        let is_silent = silent.iter().any(|property| fact.ends_with(&format!(" {property}")));
        assert!(text.contains_key(fact) || is_silent, "{name}: nobody said {fact}");
    }
}

#[test]
fn a_look_says_what_drbdsetup_said() {
    let mut checked = 0;
    for driver in DRIVERS {
        for state in states(driver) {
            let text = of_events(&state.before);
            let after = of_events(&state.after);
            let four = of_view(&four(driver, &state));
            agree(&state.name, &four, &text, &after, &["open", "node-id"]);
            agree(&state.name, &of_view(&initial(driver, &state)), &text, &after, &["open"]);
            checked += text.len();
        }
    }
    assert!(checked > 400, "{checked}");
}

#[test]
fn a_look_says_what_the_status_said() {
    let mut ids = 0;
    for driver in DRIVERS {
        for state in states(driver) {
            let text = of_status(&state.status);
            let view = of_view(&four(driver, &state));
            ids += text.keys().filter(|fact| fact.ends_with(" node-id")).count();
            let silent =
                ["open", "conn-name", "client", "peer-client", "backing_dev", "force-io-failures"];
            // Later than the look, so that a resync has moved on.
            let text: Facts =
                text.into_iter().filter(|(fact, _)| !fact.ends_with(" out-of-sync")).collect();
            let silent = [&silent[..], &["out-of-sync"]].concat();
            agree(&state.name, &view, &text, &text, &silent);
        }
    }
    assert!(ids > 20, "{ids}");
}

#[test]
fn a_module_without_resources_has_an_empty_view() {
    for driver in [DRIVERS[0], DRIVERS[2]] {
        let states = states(driver);
        let empty = states.iter().find(|state| state.name.contains("module-only")).unwrap();
        assert_eq!(four(driver, empty), View::default());
        assert_eq!(initial(driver, empty), View::default());
    }
}

#[test]
fn questions_are_those_that_were_recorded() {
    for driver in DRIVERS {
        assert_eq!(ask_family(1), family_exchange(driver).0);
        for state in states(driver) {
            for dump in FOUR.into_iter().chain([Dump::InitialState]) {
                let is_it = |exchange: &&Exchange| exchange.command == dump.command();
                let asked = &state.exchanges.iter().find(is_it).unwrap().request;
                let sequence = 100 + u32::from(dump.command());
                assert_eq!(&decoder(driver, asked).ask(dump, sequence), asked, "{}", state.name);
            }
        }
    }
}

#[test]
fn the_controller_is_understood() {
    let family_of = |index: usize| family(DRIVERS[index]);
    assert_eq!(family_of(0), Family { id: 32, version: 1, events_group: Some(9) });
    assert_eq!(family_of(2), Family { id: 32, version: 2, events_group: Some(9) });
    // What this machine's kernel answers where the module is not loaded.
    let refused = crate::recorded::bytes(
        "340000000200000001000000d9270000feffffff2000000010000100010000000000000003010000090002006472626400000000",
    );
    let message = messages(&refused).next().unwrap().unwrap();
    assert_eq!(read_family(&message), Ok(None));
}

#[test]
fn tables_go_by_the_driver_and_a_mismatch_is_refused() {
    let (old, new) = (family(DRIVERS[0]), family(DRIVERS[2]));
    for (family, version, fits) in [
        (old, DRIVERS[0], true),
        (new, DRIVERS[2], true),
        (old, DRIVERS[2], false),
        (new, DRIVERS[0], false),
        (Family { version: 3, ..new }, DRIVERS[2], false),
        (new, Version { major: 10, minor: 0, patch: 0 }, false),
        (old, Version { major: 7, minor: 0, patch: 0 }, false),
    ] {
        let decoder = Decoder::new(family, version);
        assert_eq!(decoder.is_ok(), fits, "{family:?} {version}");
        if let Err(error) = decoder {
            assert_eq!(error, Error::Mismatch { family: family.version, version });
        }
    }
    assert_ne!(DRIVERS[0].generation(), Generation::V9);
}

/// A filter is never sent; the answers that it got are what the errors are made for.
#[test]
fn a_refusal_is_an_error_at_its_first_message() {
    let (mut refused, mut invalid) = (0, 0);
    for driver in DRIVERS {
        for state in states(driver) {
            for exchange in &state.exchanges {
                let dump = FOUR.into_iter().find(|dump| dump.command() == exchange.command);
                let (Some(dump), Some(first)) = (dump, exchange.answer.first()) else { continue };
                let decoder = decoder(driver, &exchange.request);
                let message = messages(first).next().unwrap().unwrap();
                let said = decoder.answer(dump, &message);
                if exchange.remark.contains("nosuch") {
                    assert_eq!(said, Err(Error::Refused(158)), "{}", state.name);
                    refused += 1;
                } else if exchange.remark.contains("no flag") {
                    assert_eq!(said, Err(Error::Errno(22)), "{}", state.name);
                    invalid += 1;
                } else {
                    assert!(said.is_ok(), "{} {}", state.name, exchange.remark);
                }
            }
        }
    }
    assert!(refused >= 4 && invalid >= 4, "{refused} {invalid}");
}

#[test]
fn an_answer_to_another_question_is_none() {
    let driver = DRIVERS[2];
    let states = states(driver);
    let state = states.iter().find(|state| state.name.contains("nl-04")).unwrap();
    for asked in FOUR.into_iter().chain([Dump::InitialState]) {
        for answered in FOUR.into_iter().chain([Dump::InitialState]) {
            let first = &state.answer(answered.command())[0];
            let message = messages(first).next().unwrap().unwrap();
            let said = decoder(driver, first).answer(asked, &message);
            assert_eq!(said.is_ok(), asked == answered, "{asked:?} {answered:?} {said:?}");
        }
    }
}

/// What only one of the two ways tells, or what moves on between them, taken out.
fn comparable(mut view: View) -> View {
    for resource in view.resources.values_mut() {
        (resource.node_id, resource.may_promote, resource.promotion_score) = (None, None, None);
        resource.volumes.values_mut().for_each(|volume| volume.open = None);
        for peer in resource.peers.values_mut() {
            peer.volumes.values_mut().for_each(|volume| volume.out_of_sync = None);
        }
    }
    view
}

/// So that nothing looks otherwise where drbdsetup has to be asked.
#[test]
fn the_text_reads_as_the_messages_do() {
    for driver in DRIVERS {
        for state in states(driver) {
            let text = duet_drbd::events2::snapshot(&state.before.join("\n")).unwrap();
            let messages = comparable(initial(driver, &state));
            assert_eq!(comparable(text), messages, "{}", state.name);
            assert_eq!(comparable(four(driver, &state)), messages, "{}", state.name);
        }
    }
}
