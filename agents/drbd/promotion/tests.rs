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
