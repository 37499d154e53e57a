//! What arrives by a migration, at the target: it counts once it is seen running, and is remembered then.

use super::*;

fn from(seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    let environment = Environment::default().with("OCF_RESKEY_CRM_meta_migrate_source", "node1");
    let request = Request::new(Action::MigrateFrom, environment);
    next(&config(false, OnPausedByError::Fail), &request, seen, progress)
}

#[test]
fn what_arrives_is_seen_running_before_it_counts() {
    for state in 0..9 {
        for reason in 0..16 {
            for progress in [at(0, 58), at(20, 38), at(58, 0)] {
                let seen = ours(domain(OURS, state, reason));
                let next = from(&seen, &progress);
                let here = matches!(state, 2 | 7)
                    || (state == 1 && !matches!(reason, 10 | 11))
                    || (state == 3 && matches!(reason, 0 | 1));
                let success = code(&next) == Some(ExitCode::Ok);
                assert_eq!(success, here, "{state}/{reason}: {next:?}");
                assert!(!matches!(next, Next::Do(_)), "{state}/{reason}: {next:?}");
            }
        }
    }
}

#[test]
fn what_never_arrives_is_a_failure_before_the_timeout() {
    let nobody = seen(Answer::Known { ours: None, namesake: None });
    assert!(matches!(from(&nobody, &at(1, 57)), Next::Wait { .. }));
    let late = from(&nobody, &at(11, 47));
    assert_eq!(code(&late), Some(ExitCode::Generic));
    assert!(reason(&late).contains("node1"));
}

#[test]
fn what_arrives_is_remembered() {
    let mut seen = ours(domain(OURS, 1, 2));
    seen.remembered = None;
    let remember = Step::Remember(identity_of("web", Some(OURS)));
    assert_eq!(from(&seen, &at(0, 58)), Next::Do(remember));
    seen.document = Document::Unusable("no such file".into());
    assert!(matches!(from(&seen, &at(0, 58)), Next::Do(Step::Remember(_))));
}
