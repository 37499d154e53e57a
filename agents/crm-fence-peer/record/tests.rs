//! Records: that nothing is lost in them, and that deciding again is the same. Invariant: each test names what it claims.

mod kept;

use std::{os::unix::ffi::OsStringExt, time::Duration};

use super::*;
use crate::{
    decide::{Code, Mode, Reason, Step},
    explain::tests::{lost, members},
    facts::{Kernel, Rule},
};

fn evidence(cib: &str) -> Evidence {
    Evidence { cib: Some(cib.to_owned()), kernel: Some("r0 role:Primary".to_owned()) }
}

/// A call that writes a rule, sees it, and answers 4.
fn fenced() -> Record {
    let (asked, mut seen) = lost();
    let environment = [("DRBD_RESOURCE", "r0"), ("UP_TO_DATE_NODES", "0x00000001")];
    let environment = environment.map(|(name, value)| (name.into(), value.into()));
    let mut record = Record::begin("crm-fence-peer.9.sh", &["--timeout=90".into()], environment);
    record.asked(&asked);
    let mut progress = Progress::default();
    let next = decide(&asked, &seen, &progress);
    record.turn(&seen, &progress, &next, evidence("<cib epoch='7'/>"));
    let Next::Do(Step::Write { allowed, placed, .. }) = next else { panic!("{next:?}") };
    members(&mut seen).rule = Some(Rule { allowed });
    progress.placed = placed;
    seen.elapsed = Duration::from_millis(40);
    let next = decide(&asked, &seen, &progress);
    record.turn(&seen, &progress, &next, evidence("<cib epoch='8'/>"));
    record.end(4, Ending::Decided);
    record
}

#[test]
fn a_record_that_is_read_again_is_the_same_and_is_decided_in_the_same_way() {
    let record = fenced();
    let read = Record::parse(&record.to_json()).unwrap();
    assert_eq!(read, record);
    let report = replay(&read).unwrap();
    assert_eq!((report.turns, report.left_out), (2, 0));
    let answer = report.answer.unwrap();
    assert_eq!((answer.code, answer.reason), (Code::PeerBanned, Reason::BannedAndReachable));
}

#[test]
fn a_turn_that_is_decided_in_another_way_is_named() {
    let mut record = fenced();
    members(&mut record.turns[1].seen).has_quorum = false;
    let error = replay(&record).unwrap_err();
    assert!(matches!(error, RecordError::Differs { turn: 2, .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "Turn 2 was answer 4 (the peer cannot be promoted, DRBD takes it for outdated): the peer is reachable in the \
         cluster and banned from promotion, and is now answer 1 (not fenced, DRBD changes nothing): this node's \
         partition of the cluster has no quorum"
    );
}

#[test]
fn fields_that_are_not_known_are_passed_over() {
    let mut json: serde_json::Value = serde_json::from_str(&fenced().to_json()).unwrap();
    json["colour"] = "red".into();
    json["asked"]["options"]["later"] = 7.into();
    json["turns"][0]["seen"]["weather"] = serde_json::json!({"rain": true});
    json["turns"][0].as_object_mut().unwrap().remove("evidence");
    let read = Record::parse(&json.to_string()).unwrap();
    assert!(replay(&read).is_ok());
}

#[test]
fn what_is_no_record_is_refused_and_said_to_be_none() {
    for text in ["", "{}", "[]", "null", "{\"form\": \"one\"}", "{\"form\": -1}", "not json", "\0"]
    {
        let error = Record::parse(text).unwrap_err();
        assert!(matches!(error, RecordError::NotARecord(_)), "{text}: {error}");
    }
    let json = fenced().to_json();
    let other = json.replacen("\"form\":1", "\"form\":2", 1);
    assert!(matches!(Record::parse(&other), Err(RecordError::Form { found: 2 })));
}

#[test]
fn a_record_that_lacks_a_field_or_has_a_wrong_one_is_refused_with_its_name() {
    let json: serde_json::Value = serde_json::from_str(&fenced().to_json()).unwrap();
    for field in ["pid", "began", "arguments", "environment", "turns", "outcome"] {
        let mut without = json.clone();
        without.as_object_mut().unwrap().remove(field);
        let error = duet_ocf::chain(&Record::parse(&without.to_string()).unwrap_err());
        assert!(error.contains(field), "{error}");
    }
    let mut wrong = json.clone();
    wrong["turns"][0]["seen"]["cluster"]["Known"]["has_quorum"] = "maybe".into();
    assert!(matches!(Record::parse(&wrong.to_string()), Err(RecordError::Malformed(_))));
    let mut wrong = json;
    wrong["turns"][1]["next"] = serde_json::json!({"Done": {"code": "Fenced"}});
    let error = duet_ocf::chain(&Record::parse(&wrong.to_string()).unwrap_err());
    assert!(error.contains("Fenced") && error.contains("PeerBanned"), "{error}");
}

#[test]
fn a_record_that_was_cut_short_anywhere_is_refused() {
    let json = fenced().to_json();
    for end in (0..json.len()).filter(|end| json.is_char_boundary(*end)) {
        assert!(Record::parse(&json[..end]).is_err(), "{end}");
    }
}

/// Every value inside this one that has none inside itself, by the way to it.
fn leaves(value: &serde_json::Value, way: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                leaves(field, &format!("{way}/{name}"), found);
            }
        }
        serde_json::Value::Array(items) if !items.is_empty() => {
            for (place, item) in items.iter().enumerate() {
                leaves(item, &format!("{way}/{place}"), found);
            }
        }
        _ => found.push(way.to_owned()),
    }
}

#[test]
fn a_record_with_any_value_damaged_is_refused_or_decided_in_the_same_way() {
    let whole: serde_json::Value = serde_json::from_str(&fenced().to_json()).unwrap();
    let mut ways = Vec::new();
    leaves(&whole, "", &mut ways);
    assert!(ways.len() > 80, "{}", ways.len());
    for way in ways {
        for damage in
            ["null", "\"\"", "-1", "0", "1e99", "18446744073709551615", "true", "[]", "{}"]
        {
            let mut json = whole.clone();
            *json.pointer_mut(&way).unwrap() = serde_json::from_str(damage).unwrap();
            let Ok(record) = Record::parse(&json.to_string()) else { continue };
            if let Ok(report) = replay(&record) {
                assert_eq!(report.outcome.code, 4, "{way} {damage}");
            }
        }
    }
}

#[test]
fn a_record_that_contradicts_itself_is_refused() {
    let contradicts = |change: fn(&mut Record)| {
        let mut record = fenced();
        change(&mut record);
        let error = replay(&record).unwrap_err();
        assert!(matches!(error, RecordError::Contradiction(_)), "{error}");
        error.to_string()
    };
    let text = contradicts(|record| record.outcome.code = 7);
    assert!(text.ends_with("the last turn answers 4, and the exit code was 7"), "{text}");
    contradicts(|record| record.turns.reverse());
    contradicts(|record| drop(record.turns.pop()));
    contradicts(|record| record.asked = None);
    contradicts(|record| record.asked.as_mut().unwrap().options.timeout = Duration::MAX);
}

#[test]
fn a_call_that_could_not_be_understood_has_a_record_too() {
    let mut record = Record::begin("crm-fence-peer", &[], []);
    record.end(1, Ending::Refused("DRBD_RESOURCE is not set".into()));
    let report = replay(&Record::parse(&record.to_json()).unwrap()).unwrap();
    assert_eq!((report.turns, report.answer), (0, None));
    assert!(record.summary().ends_with(": DRBD_RESOURCE is not set"), "{}", record.summary());
}

#[test]
fn a_call_that_was_cut_off_is_decided_again_as_far_as_it_went() {
    let mut record = fenced();
    record.turns.pop();
    record.end(1, Ending::CutOff("the deadline came first".into()));
    assert_eq!(replay(&record).unwrap().answer, None);
}

#[test]
fn of_very_many_turns_the_first_and_the_last_ones_stay() {
    let (asked, mut seen) = lost();
    seen.kernel = Kernel::Silent("it hangs".into());
    let mut record = Record::begin("crm-fence-peer", &[], []);
    record.asked(&asked);
    let progress = Progress::default();
    for second in 0..1000_u64 {
        seen.elapsed = Duration::from_millis(second * 19);
        let next = decide(&asked, &seen, &progress);
        let cib = if second < 100 { "<early/>" } else { "<late/>" };
        record.turn(&seen, &progress, &next, evidence(cib));
    }
    assert_eq!(record.turns[0].evidence.cib.as_deref(), Some("<early/>"));
    assert_eq!(record.turns[HEAD].evidence.cib.as_deref(), Some("<late/>"));
    assert_eq!(record.turns[HEAD + 1].evidence.cib, None);
    let numbers: Vec<u64> = record.turns.iter().map(|turn| turn.number).collect();
    assert_eq!((numbers[0], numbers[HEAD - 1], numbers[HEAD]), (1, 60, 941));
    assert_eq!((numbers.last(), record.left_out), (Some(&1000), 880));
    record.end(1, Ending::CutOff("enough".into()));
    assert_eq!(replay(&record).unwrap().left_out, 880);
}

#[test]
fn the_same_evidence_is_written_once() {
    let (asked, seen) = lost();
    let mut record = Record::begin("crm-fence-peer", &[], []);
    record.asked(&asked);
    let progress = Progress::default();
    let next = decide(&asked, &seen, &progress);
    for cib in ["<a/>", "<a/>", "<b/>", "<b/>"] {
        record.turn(&seen, &progress, &next, evidence(cib));
    }
    let cibs: Vec<Option<&str>> =
        record.turns.iter().map(|turn| turn.evidence.cib.as_deref()).collect();
    assert_eq!(cibs, [Some("<a/>"), None, Some("<b/>"), None]);
}

#[test]
fn of_the_environment_only_what_is_drbds_is_recorded_and_texts_end_somewhere() {
    let environment = [
        ("DRBD_PEERS".into(), "node2".into()),
        ("OCF_RESKEY_password".into(), "secret".into()),
        ("HOME".into(), "/".into()),
        ("DRBD_CONF".into(), OsString::from_vec(vec![b'a', 0xff])),
        ("DRBD_LL_DISK".into(), "ä".repeat(LONGEST_TEXT).into()),
    ];
    let record = Record::begin("crm-fence-peer", &["x".repeat(100_000)], environment);
    let names: Vec<&str> = record.environment.keys().map(String::as_str).collect();
    assert_eq!(names, ["DRBD_CONF", "DRBD_LL_DISK", "DRBD_PEERS"]);
    assert_eq!(record.environment["DRBD_CONF"], "a\u{fffd}");
    assert!(record.environment["DRBD_LL_DISK"].len() <= LONGEST_TEXT);
    assert_eq!(record.arguments[0].len(), LONGEST_TEXT);
}

#[test]
fn the_line_in_the_log_has_the_inputs_and_the_outcome() {
    let mut record = fenced();
    record.outcome.after = Duration::from_millis(41);
    assert_eq!(
        record.summary(),
        "fence-peer r0: exit=4 after=0.041s turns=2 me=0 peer=1 mask=0 role=Primary frozen=yes volumes=0/UpToDate \
         peers=1/lost cib=0.7.3 quorum=yes stonith=yes node=node1 rule=node1 nodes=1/node2/online/answers: 4 (the peer \
         cannot be promoted, DRBD takes it for outdated): the peer is reachable in the cluster and banned from promotion"
    );
}

#[test]
fn the_line_in_the_log_is_one_line_whatever_was_said() {
    let mut record = fenced();
    record.end(1, Ending::CutOff("one\ntwo\u{1b}[2J".repeat(1000)));
    let line = record.summary();
    assert!(!line.chars().any(char::is_control));
    assert!(line.chars().count() < 1600, "{}", line.len());
}
