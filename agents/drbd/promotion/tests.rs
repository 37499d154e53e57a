//! What crm_resource says is understood, or nothing is concluded from it.

use super::*;

fn said(stdout: &str) -> Elsewhere {
    let ended = Ended {
        code: Some(0),
        signal: None,
        stdout: stdout.into(),
        stderr: Vec::new(),
        is_truncated: false,
    };
    promoted_elsewhere(&ended, Some("node1"))
}

#[test]
fn both_words_for_promoted_are_understood() {
    for role in ["Promoted", "Master"] {
        let other = format!(
            "resource p_drbd is running on: node1\nresource p_drbd is running on: node2 {role}\n"
        );
        assert_eq!(said(&other), Elsewhere::Promoted);
        assert_eq!(
            said(&format!("resource p_drbd is running on: NODE1 {role}\n")),
            Elsewhere::Nobody
        );
    }
    assert_eq!(said("resource p_drbd is running on: node2 \n"), Elsewhere::Nobody);
    assert_eq!(said("resource p_drbd is running on: node2 Unpromoted\n"), Elsewhere::Nobody);
    assert_eq!(said("resource p_drbd is NOT running\n"), Elsewhere::Nobody);
}

#[test]
fn garbage_is_no_answer() {
    for text in ["", "\n\n", "Master", "<xml/>", "error: no such resource\n"] {
        assert_eq!(said(text), Elsewhere::NotKnown, "{text:?}");
    }
}

#[test]
fn the_attribute_daemon_is_told_at_once_and_in_vain_less_and_less_often() {
    let seconds = Duration::from_secs;
    let mut told = Told::now(None, seconds(100));
    let mut at = Vec::new();
    // Whoever looks each 10 s, for half an hour.
    for now in (110..1900).step_by(10) {
        if let Some(next) = Told::now(told, seconds(now)) {
            at.push(now);
            told = Some(next);
        }
    }
    assert_eq!(at, [110, 120, 140, 180, 260, 420, 740, 1060, 1380, 1700]);
    // What helped is no reason to wait the next time, nor is a time of another boot.
    let last = told.unwrap();
    let helped = Told::now(told, last.at + last.pause + Told::LOOKS).unwrap();
    assert_eq!(helped.pause, Told::PAUSES[0]);
    assert_eq!(Told::now(told, seconds(5)), Some(Told { at: seconds(5), pause: Told::PAUSES[0] }));
    assert_eq!(Told::now(Some(helped), helped.at), None);
}
