//! Every answer and every failure, as fence_virt says it where nothing else is said.

use super::*;
use crate::options::{Program, argv, order};
use duet_xvm::Record;

fn order(action: &str) -> Order {
    let words = ["-o", action, "-H", "x"].map(str::to_owned);
    match order::decide(Program::Xvm, argv::read(Program::Xvm, &words)) {
        order::Command::Ask(order) => order,
        other => panic!("{other:?}"),
    }
}

fn said(action: &str, outcome: &Result<Answer, Failure>) -> (u8, String, String) {
    let output = output(&order(action), outcome);
    (output.code, output.stdout, output.stderr)
}

fn replied(action: &str, number: u8) -> (u8, String, String) {
    said(action, &Ok(Answer::Reply(Reply::from_number(number))))
}

fn text(code: u8, stdout: &str, stderr: &str) -> (u8, String, String) {
    (code, stdout.to_owned(), stderr.to_owned())
}

#[test]
fn answers_have_the_codes_and_texts_of_stock() {
    assert_eq!(replied("status", 0), text(0, "Status: ON\n", ""));
    assert_eq!(replied("status", 2), text(2, "Status: OFF\n", ""));
    for action in ["off", "on", "reboot", "monitor", "null", "list"] {
        assert_eq!(replied(action, 0), text(0, "", ""), "{action}");
        assert_eq!(replied(action, 1), text(1, "", "Operation failed\n"), "{action}");
        assert_eq!(replied(action, 2), text(2, "", ""), "{action}");
        assert_eq!(replied(action, 3), text(3, "", "Permission denied\n"), "{action}");
        assert_eq!(replied(action, 4), text(4, "", "Unknown response (4)\n"), "{action}");
        assert_eq!(replied(action, 200), text(200, "", "Unknown response (-56)\n"), "{action}");
    }
}

#[test]
fn no_failure_has_the_code_of_an_answer() {
    for (failure, code) in [
        (Failure::Key("Could not read /k".into()), 1),
        (Failure::Random("x".into()), 1),
        (Failure::Listen("x".into()), 255),
        (Failure::Send("x".into()), 1),
        (Failure::NoCallBack, 1),
        (Failure::Connect { to: "h:1".into(), why: "x".into() }, 1),
        (Failure::Line("x".into()), 255),
        (Failure::Proof, 1),
        (Failure::Closed, 1),
        (Failure::BrokenList(3), 1),
        (Failure::NoAnswer(5), 255),
    ] {
        let first = failure.to_string();
        let last = if code == 1 { "Operation failed" } else { "Unknown response (-1)" };
        assert_eq!(said("off", &Err(failure)), text(code, "", &format!("{first}\n{last}\n")));
    }
}

fn hosts() -> HostList {
    let uuid = |last: u8| format!("11111111-2222-4333-8444-5555555555{last:02}");
    let record =
        |name: &str, last, state| Record { name: name.to_owned(), uuid: uuid(last), state };
    HostList(vec![
        record("node1", 1, 1),
        record("x".repeat(40).as_str(), 2, 5),
        record("pa\nused\u{e9}", 3, 3),
    ])
}

#[test]
fn a_list_has_the_columns_of_stock_and_no_line_of_its_own_making() {
    let long = "x".repeat(40);
    let wanted = format!(
        "node1                            11111111-2222-4333-8444-555555555501 on\n\
         {long} 11111111-2222-4333-8444-555555555502 off\n\
         pa?used\u{e9}                        11111111-2222-4333-8444-555555555503 off\n"
    );
    assert_eq!(said("list", &Ok(Answer::Hosts(hosts()))), text(0, &wanted, ""));
    assert_eq!(said("list", &Ok(Answer::Hosts(HostList::default()))), text(0, "", ""));
}

#[test]
fn a_list_for_programs_says_the_same() {
    let order = Order { json: true, ..order("list") };
    let text = output(&order, &Ok(Answer::Hosts(hosts()))).stdout;
    let read: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read["hosts"][0]["name"], "node1");
    assert_eq!((&read["hosts"][0]["on"], &read["hosts"][2]["on"]), (&true.into(), &false.into()));
    assert_eq!(read["hosts"][2]["state"], 3);
    assert_eq!(read["hosts"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_list_is_no_answer_to_off() {
    assert_eq!(said("off", &Ok(Answer::Hosts(hosts()))).0, 253);
}

#[test]
fn the_log_says_what_went_in_and_what_came_out() {
    let done = output(&order("off"), &Ok(Answer::Reply(Reply::Success)));
    let line = log_line(&order("off"), "multicast 225.0.0.12:1229", "key 0badcafe", 0.25, &done);
    assert_eq!(
        line,
        "off of domain \"x\" by multicast 225.0.0.12:1229 (key 0badcafe, after \
         a delay of 0 s): done after 0.25 s"
    );
    let failed = output(&order("off"), &Err(Failure::NoCallBack));
    let line = log_line(&order("off"), "x", "x", 4.0, &failed);
    assert!(line.ends_with("not done (1): Timed out waiting for response after 4.00 s"), "{line}");
}
