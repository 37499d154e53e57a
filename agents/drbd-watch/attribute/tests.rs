//! DRBD's own score against what drbdsetup printed on real machines, and the board over what can be told, asked and written.

use super::*;
use duet_drbd::{Verb, events2};
use std::path::{Path, PathBuf};

const NOW: Duration = Duration::from_secs(100);

fn recorded() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recorded/drbd");
    let files =
        ["9", "9.2.16"].into_iter().flat_map(|of| std::fs::read_dir(root.join(of)).unwrap());
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Every score that was printed, and the one that is computed from all that was printed before and with it.
fn scores(path: &Path) -> Vec<(String, i64, i64)> {
    #[allow(clippy::disallowed_methods, reason = "a recorded file")]
    let text = std::fs::read_to_string(path).unwrap();
    let mut view = View::default();
    let mut said: Vec<(String, String, i64)> = Vec::new();
    let mut scores = Vec::new();
    // drbdsetup computes a score from all messages of one change, and prints it before the other lines of it.
    let mut moment = String::new();
    let lines = text.lines().map(str::to_owned).chain([String::from("9999 exists -")]);
    for line in lines {
        let stamp = line.split(' ').next().unwrap_or_default().to_owned();
        let Ok(change) = events2::change(&line) else { continue };
        if line.starts_with('$') || !line.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        if stamp != moment {
            for (line, name, printed) in said.drain(..) {
                if let Some(resource) = view.resources.get(&name) {
                    let computed =
                        promotion_score(&Resource { promotion_score: None, ..resource.clone() });
                    scores.push((line, printed, computed));
                }
            }
            moment = stamp;
        }
        if change.verb == Verb::Exists && line.contains(" exists resource ") {
            view = View::default();
        }
        view.apply(&change);
        if let duet_drbd::Object::Resource { resource, promotion_score: Some(score), .. } =
            change.object
        {
            said.push((line, resource, score));
        }
    }
    scores
}

#[test]
fn the_score_is_the_one_that_drbdsetup_prints() {
    let mut compared = 0;
    let mut wrong = Vec::new();
    for path in recorded() {
        for (line, printed, computed) in scores(&path) {
            compared += 1;
            if printed != computed {
                wrong.push(format!("{}: {computed} for {line}", path.display()));
            }
        }
    }
    assert!(compared > 150, "{compared}");
    assert!(wrong.is_empty(), "{} of {compared}\n{}", wrong.len(), wrong.join("\n"));
}

fn view(resources: &[(&str, i64)]) -> View {
    let made = |(name, score): &(&str, i64)| {
        let resource = Resource { promotion_score: Some(*score), ..Resource::default() };
        ((*name).to_owned(), resource)
    };
    View { resources: resources.iter().map(made).collect() }
}

fn names(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

/// What is to be written now; all of it succeeds.
fn writes(board: &mut Board) -> Vec<(String, Value)> {
    let orders = board.start(100);
    for order in &orders {
        board.came(order, Placing::Written, NOW);
    }
    orders.into_iter().map(|order| (order.resource, order.value)).collect()
}

fn own(list: &[(&str, Value)]) -> Vec<(String, Value)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

/// A board that was told this when listening began, and was answered.
fn board(
    resources: &[(&str, i64)],
    configured: Option<Vec<String>>,
    existing: Option<Vec<String>>,
) -> Board {
    let mut board = Board::default();
    board.told(&view(resources), true);
    assert!(board.ask() && !board.ask());
    board.answered(&Answers { configured, existing });
    board
}

#[test]
fn a_score_is_written_and_zero_is_never() {
    let mut board = board(&[("r0", 10102), ("r1", 0)], names(&["r0", "r1"]), names(&[]));
    let all = own(&[("r0", Value::Score(10102)), ("r1", Value::Never)]);
    assert_eq!(writes(&mut board), all);
    board.told(&view(&[("r0", 10102), ("r1", 0)]), false);
    assert_eq!(writes(&mut board), own(&[]), "nothing has changed");
    board.told(&view(&[("r0", 1), ("r1", 0)]), false);
    assert_eq!(writes(&mut board), own(&[("r0", Value::Score(1))]));
}

#[test]
fn one_that_goes_has_none_and_one_that_is_configured_and_not_up_never() {
    let mut board = board(&[("r0", 5)], names(&["r0", "r1"]), names(&["r0", "old"]));
    let all = own(&[("old", Value::Absent), ("r0", Value::Score(5)), ("r1", Value::Never)]);
    assert_eq!(writes(&mut board), all);
    board.told(&view(&[]), false);
    assert_eq!(writes(&mut board), own(&[("r0", Value::Absent)]));
    assert_eq!(writes(&mut board), own(&[]), "once");
    board.told(&view(&[("r0", 5)]), false);
    assert_eq!(writes(&mut board), own(&[("r0", Value::Score(5))]));
}

#[test]
fn a_question_that_failed_removes_nothing() {
    for configured in [None, names(&["r0", "r1"])] {
        for existing in [None, names(&["r0", "old", "r1"])] {
            let mut board = board(&[("r0", 5)], configured.clone(), existing.clone());
            let removed: Vec<_> = writes(&mut board)
                .into_iter()
                .filter(|(_, value)| *value == Value::Absent)
                .collect();
            let is_answered = configured.is_some() && existing.is_some();
            let expected = if is_answered { own(&[("old", Value::Absent)]) } else { own(&[]) };
            assert_eq!(removed, expected, "{configured:?} {existing:?}");
            assert!(!board.ask(), "not before a sign of life");
            board.beat(false, NOW);
            assert_eq!(board.ask(), !is_answered);
        }
    }
}

#[test]
fn what_vanished_while_nobody_listened_is_asked_for_before_it_is_removed() {
    let mut board = board(&[("r0", 5), ("r1", 6)], names(&["r0", "r1"]), names(&[]));
    writes(&mut board);
    board.told(&view(&[]), true);
    // Nobody has seen them go, but they cannot be used here.
    let never = own(&[("r0", Value::Never), ("r1", Value::Never)]);
    assert_eq!(writes(&mut board), never);
    assert!(board.ask());
    board.answered(&Answers { configured: None, existing: names(&["r0", "r1"]) });
    assert_eq!(writes(&mut board), own(&[]), "no answer");
    board.beat(false, NOW);
    assert!(board.ask());
    board.answered(&Answers { configured: names(&["r1"]), existing: names(&["r0", "r1"]) });
    assert_eq!(writes(&mut board), own(&[("r0", Value::Absent)]));
}

#[test]
fn one_that_was_seen_to_go_is_not_written_when_listening_begins_anew() {
    let mut board = board(&[("r0", 5)], names(&[]), names(&[]));
    writes(&mut board);
    board.told(&view(&[]), false);
    let orders = board.start(1);
    board.told(&view(&[]), true);
    board.came(&orders[0], Placing::Written, NOW);
    assert_eq!(writes(&mut board), own(&[]));
}

#[test]
fn one_that_may_have_been_removed_by_somebody_is_written_again_each_minute() {
    let mut board = board(&[("r0", 5), ("r1", 0)], names(&["r0", "r1"]), names(&[]));
    let all = own(&[("r0", Value::Score(5)), ("r1", Value::Never)]);
    assert_eq!(writes(&mut board), all);
    board.beat(false, NOW + LASTS - Duration::from_secs(1));
    assert_eq!(writes(&mut board), own(&[]));
    board.beat(false, NOW + LASTS);
    let orders = board.start(100);
    assert_eq!(orders.iter().filter(|order| order.is_repeated).count(), 2, "{orders:?}");
    for order in &orders {
        board.came(order, Placing::Written, NOW + LASTS);
    }
    assert_eq!(writes(&mut board), own(&[]));
    board.told(&view(&[("r0", 6), ("r1", 0)]), false);
    assert!(!board.start(1)[0].is_repeated);
}

#[test]
fn an_attribute_of_a_longer_prefix_is_not_ours_and_one_that_we_have_written_is() {
    let existing = names(&["x-r0", "x-y-r1", "x-r2", "r2"]);
    let mut board = board(&[("r0", 5)], names(&["r0", "r1"]), existing);
    let all = [
        ("r0", Value::Score(5)),
        ("r1", Value::Never),
        ("r2", Value::Absent),
        ("x-r2", Value::Absent),
    ];
    assert_eq!(writes(&mut board), own(&all));
    board.told(&view(&[("r0", 5), ("x-r0", 6)]), false);
    assert_eq!(writes(&mut board), own(&[("x-r0", Value::Score(6))]));
    board.told(&view(&[("r0", 5)]), true);
    writes(&mut board);
    assert!(board.ask());
    board.answered(&Answers { configured: names(&["r0"]), existing: names(&["x-r0"]) });
    assert!(writes(&mut board).contains(&("x-r0".to_owned(), Value::Absent)));
}

#[test]
fn answers_of_before_listening_began_anew_are_not_heeded() {
    let mut board = Board::default();
    board.told(&view(&[("r0", 5)]), true);
    assert!(board.ask());
    board.told(&view(&[("r0", 5), ("new", 7)]), true);
    board.answered(&Answers { configured: names(&[]), existing: names(&["new2"]) });
    assert_eq!(writes(&mut board), own(&[("new", Value::Score(7)), ("r0", Value::Score(5))]));
    assert!(board.ask());
}

#[test]
fn what_could_not_be_written_waits_for_a_sign_of_life_or_a_change() {
    let mut board = board(&[("r0", 5)], names(&["r0"]), names(&[]));
    let orders = board.start(1);
    assert!(board.start(1).is_empty(), "one at a time");
    board.came(&orders[0], Placing::Not, NOW);
    assert!(board.start(1).is_empty());
    board.beat(false, NOW);
    assert_eq!(writes(&mut board), own(&[("r0", Value::Score(5))]));
    board.told(&view(&[("r0", 0)]), false);
    let orders = board.start(1);
    board.came(&orders[0], Placing::Not, NOW);
    board.told(&view(&[("r0", 6)]), false);
    assert_eq!(writes(&mut board), own(&[("r0", Value::Score(6))]));
    // Also a removal, and also where the failure comes after the change.
    board.told(&view(&[("r0", 7)]), false);
    let orders = board.start(1);
    board.came(&orders[0], Placing::Not, NOW);
    board.told(&view(&[]), false);
    assert_eq!(writes(&mut board), own(&[("r0", Value::Absent)]));
    board.told(&view(&[("r0", 7)]), false);
    let orders = board.start(1);
    board.told(&view(&[]), false);
    board.came(&orders[0], Placing::Not, NOW);
    assert_eq!(writes(&mut board), own(&[("r0", Value::Absent)]));
}

#[test]
fn since_when_one_is_missing_is_kept_until_it_is_there_or_should_be_another() {
    let mut board = board(&[("r0", 5)], names(&["r0"]), names(&[]));
    let mut look = |value: u32, placing, now| {
        board.beat(false, now);
        board.told(&view(&[("r0", value.into())]), false);
        let orders = board.start(1);
        board.came(&orders[0], placing, now);
        orders[0].missing_since
    };
    let later = |seconds| NOW + Duration::from_secs(seconds);
    assert_eq!(look(5, Placing::Missing, NOW), None);
    assert_eq!(look(5, Placing::Missing, later(10)), Some(NOW));
    assert_eq!(look(5, Placing::Missing, later(20)), Some(NOW));
    assert_eq!(look(6, Placing::Missing, later(30)), None);
    assert_eq!(look(6, Placing::Not, later(40)), Some(later(30)));
    assert_eq!(look(6, Placing::Missing, later(50)), None);
    assert_eq!(look(6, Placing::Written, later(60)), Some(later(50)));
    assert_eq!(look(6, Placing::Written, later(60) + LASTS), None);
}

#[test]
fn what_changed_while_it_was_written_is_written_again() {
    let mut board = board(&[("r0", 5)], names(&["r0"]), names(&[]));
    let orders = board.start(1);
    board.told(&view(&[("r0", 0)]), false);
    assert!(board.start(1).is_empty());
    board.came(&orders[0], Placing::Written, NOW);
    assert_eq!(writes(&mut board), own(&[("r0", Value::Never)]));
}

#[test]
fn a_cluster_that_has_lost_its_attributes_gets_all_of_them_again() {
    let mut board = board(&[("r0", 5)], names(&["r0", "r1"]), names(&[]));
    let all = own(&[("r0", Value::Score(5)), ("r1", Value::Never)]);
    assert_eq!(writes(&mut board), all);
    board.beat(false, NOW);
    assert_eq!(writes(&mut board), own(&[]));
    board.beat(true, NOW);
    assert_eq!(writes(&mut board), all);
    assert!(board.ask());
}
