//! Every call comes to an end in time, whatever the world does: a call is played until it answers, while time passes
//! with each look and nothing that is hoped for comes.

use super::*;

/// What becomes of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cib {
    Takes,
    /// It says yes, and nothing is seen of it.
    Lies,
    HasMovedOn,
    Refuses,
    /// It takes it, and is silent from then on.
    FallsSilent,
}

/// The codes of the answer, and when it came. Each look takes 100 ms, each change and question half a second.
fn play(case: &Case, mode: Mode, cib: Cib) -> (Answer, Duration) {
    let (asked, mut seen) = (case.asked(mode), case.seen());
    let mut progress = case.progress();
    let mut silent = false;
    for _ in 0..10_000 {
        seen.elapsed += Duration::from_millis(100);
        let look = match silent {
            true => Seen { cluster: Cluster::Unread("Timed out".into()), ..seen.clone() },
            false => seen.clone(),
        };
        match decide(&asked, &look, &progress) {
            Next::Done(answer) => return (answer, seen.elapsed),
            Next::Wait { pause, until } => {
                progress.has_waited |= until == Until::Peer;
                seen.elapsed += pause;
            }
            Next::Ask(question) => {
                seen.elapsed += Duration::from_millis(500);
                answer_question(&mut seen, &question);
            }
            Next::Do(step) => {
                seen.elapsed += Duration::from_millis(500);
                let Cluster::Known(members) = &mut seen.cluster else {
                    panic!("{step:?} in a cluster that was not seen")
                };
                match cib {
                    Cib::HasMovedOn => progress.conflicts += 1,
                    Cib::Refuses => progress.failures.push("Refused".into()),
                    Cib::Takes | Cib::Lies | Cib::FallsSilent => match step {
                        Step::Write { allowed, placed, .. } => {
                            progress.placed = placed;
                            let rule = Some(Rule { allowed });
                            members.rule = if cib == Cib::Lies { None } else { rule };
                        }
                        Step::Bump { version } => {
                            progress.bumped = Some(version);
                            members.version.epoch += u64::from(cib != Cib::Lies);
                        }
                        Step::Remove { .. } => {
                            progress.has_removed = true;
                            if cib != Cib::Lies {
                                members.rule = None;
                            }
                        }
                    },
                }
                silent = cib == Cib::FallsSilent;
            }
        }
    }
    panic!("no end: {case:#?}")
}

fn answer_question(seen: &mut Seen, question: &Question) {
    let Cluster::Known(members) = &mut seen.cluster else { unreachable!() };
    match question {
        Question::Policy => seen.policy = Some(Policy::NotKnown),
        Question::Controllers(ids) => {
            for id in ids {
                members.peers.get_mut(id).unwrap().answers = Some(false);
            }
        }
    }
}

const CIBS: [Cib; 5] = [Cib::Takes, Cib::Lies, Cib::HasMovedOn, Cib::Refuses, Cib::FallsSilent];

#[test]
fn every_call_ends_in_time_whatever_becomes_of_its_changes() {
    let mut case = LOST;
    for cib in CIBS {
        product!(case:
            own in [Own::U, Own::C, Own::UandC],
            link in [Link::Gone, Link::Good],
            fate in EVERY_FATE,
            ban in [Ban::No, Ban::Me, Ban::MeAndPeer],
            quorum in BOTH,
            refused in BOTH,
            with in EVERY_WITH;
            {
                for mode in [Mode::Fence, Mode::Unfence] {
                    let (_, took) = play(&case, mode, cib);
                    let end = case.asked(mode).options.end();
                    assert!(took <= end, "{took:?} of {end:?}: {cib:?} {case:#?}");
                }
            }
        );
    }
}

#[test]
fn a_call_that_got_its_lock_after_the_timeout_still_tries_once() {
    for at in [90, 99, 104, 119] {
        let fence = Case { at, fate: Fate::Answers, ..LOST };
        assert_eq!(play(&fence, Mode::Fence, Cib::Takes).0.code, Code::PeerBanned, "{at}");
        let unfence = Case { at, link: Link::Good, ban: Ban::Me, ..LOST };
        assert_eq!(play(&unfence, Mode::Unfence, Cib::Takes).0.reason, Reason::Removed, "{at}");
        for case in [fence, unfence] {
            for cib in CIBS {
                let (_, took) = play(&case, Mode::Fence, cib);
                assert!(took < Duration::from_secs(at + 12), "{cib:?} took {took:?} from {at}");
            }
        }
    }
}

#[test]
fn a_rule_that_was_written_is_answered_as_soon_as_it_is_seen() {
    let case = Case { fate: Fate::Answers, ..LOST };
    let (answer, took) = play(&case, Mode::Fence, Cib::Takes);
    assert_eq!((answer.code, took), (Code::PeerBanned, Duration::from_millis(700)));
}

#[test]
fn nothing_is_said_of_a_rule_that_is_not_seen() {
    let case = Case { fate: Fate::Answers, ..LOST };
    for cib in [Cib::Lies, Cib::HasMovedOn, Cib::Refuses, Cib::FallsSilent] {
        assert_eq!(play(&case, Mode::Fence, cib).0.code, Code::NotFenced, "{cib:?}");
    }
}

/// Neither the kernel nor the cluster says all; for one second, and for ever.
#[test]
fn a_look_that_is_not_whole_is_waited_for_and_then_not_fenced() {
    let no = || "No answer".to_owned();
    let blind: [(Cluster, Option<Until>); 4] = [
        (Cluster::Unread(no()), Some(Until::Cib)),
        (Cluster::WithoutDc(no()), Some(Until::Dc)),
        (Cluster::Unusable(no()), None),
        (LOST.seen().cluster, Some(Until::Kernel)),
    ];
    for (cluster, until) in blind {
        for mode in [Mode::Fence, Mode::Unfence] {
            let case = Case { ban: Ban::Me, ..LOST };
            let mut seen = Seen { cluster: cluster.clone(), ..case.seen() };
            if until == Some(Until::Kernel) {
                seen = Seen { kernel: Kernel::Silent(no()), ..case.seen() };
            }
            let look = |seconds| {
                let seen = Seen { elapsed: Duration::from_secs(seconds), ..seen.clone() };
                decide(&case.asked(mode), &seen, &Progress::default())
            };
            match (look(19), until) {
                (Next::Wait { until, .. }, Some(wanted)) => assert_eq!(until, wanted),
                (Next::Done(answer), None) => assert_eq!(answer.code, Code::NotFenced),
                (next, _) => panic!("{next:?}"),
            }
            let Next::Done(answer) = look(20) else { panic!("{mode:?} {until:?} goes on") };
            assert_eq!(answer.code, Code::NotFenced);
        }
    }
}

#[test]
fn a_resource_that_drbd_does_not_have_is_never_fenced_or_freed() {
    for mode in [Mode::Fence, Mode::Unfence] {
        let case = Case { ban: Ban::Me, ..LOST };
        let seen = Seen { kernel: Kernel::Unconfigured, ..case.seen() };
        let Next::Done(answer) = decide(&case.asked(mode), &seen, &Progress::default()) else {
            panic!("{mode:?} goes on")
        };
        assert_eq!((answer.code, answer.reason), (Code::NotFenced, Reason::Unconfigured));
    }
}
