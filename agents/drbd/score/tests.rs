//! The score over the full product of situations, against a rule table that was written from the description and not from
//! the code; the properties that must hold whatever the rules are; and each wrong answer that was seen elsewhere.

use super::*;
use crate::facts::{Facts, Peer, PeerDisk, Volume};
use Own::*;
use Their::*;
use duet_drbd::{Connection, Disk, Role, Suspended, Version};

/// An own disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    Good,
    Old,
    Perhaps,
    Torn,
    Lost,
    Client,
    Attaching,
    Negotiating,
    Failed,
    Detaching,
    Strange,
}

const OWN: [Own; 11] =
    [Good, Old, Perhaps, Torn, Lost, Client, Attaching, Negotiating, Failed, Detaching, Strange];

/// A peer, with the same disk in each volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Their {
    /// Connected, Secondary, UpToDate.
    Fine,
    /// Connected, Primary, UpToDate.
    FinePrimary,
    /// Connected, Secondary, Inconsistent.
    Short,
    /// Connected, Primary, Diskless after a failure.
    ShortPrimary,
    /// Not connected, and nothing is known of it.
    Gone,
    /// Not connected, known to be Outdated.
    GoneOld,
    /// Connected, without a disk on purpose.
    Tiebreaker,
    /// The same, and Primary.
    ClientPrimary,
    /// Connected, with a disk in a state of another time.
    New,
}

const THEIR: [Their; 9] =
    [Fine, FinePrimary, Short, ShortPrimary, Gone, GoneOld, Tiebreaker, ClientPrimary, New];

#[derive(Debug, Clone)]
struct Case {
    primary: bool,
    quorum: bool,
    own: Vec<Own>,
    their: Vec<Their>,
}

const V9: Version = Version { major: 9, minor: 2, patch: 16 };

fn volume(number: u32, own: Own, has_quorum: bool) -> Volume {
    let disk = match own {
        Good => Disk::UpToDate,
        Old => Disk::Outdated,
        Perhaps => Disk::Consistent,
        Torn => Disk::Inconsistent,
        Lost | Client => Disk::Diskless,
        Own::Attaching => Disk::Attaching,
        Own::Negotiating => Disk::Negotiating,
        Own::Failed => Disk::Failed,
        Own::Detaching => Disk::Detaching,
        Strange => Disk::Unrecognized("Splendid".into()),
    };
    Volume { number, minor: None, disk, is_client: own == Client, has_quorum, open: None }
}

fn peer(id: u32, their: Their, volumes: usize) -> Peer {
    let (connection, role, disk) = match their {
        Fine => (Connection::Connected, Role::Secondary, Disk::UpToDate),
        FinePrimary => (Connection::Connected, Role::Primary, Disk::UpToDate),
        Short => (Connection::Connected, Role::Secondary, Disk::Inconsistent),
        ShortPrimary | ClientPrimary => (Connection::Connected, Role::Primary, Disk::Diskless),
        Gone => (Connection::Connecting, Role::Unknown, Disk::DUnknown),
        GoneOld => (Connection::Connecting, Role::Unknown, Disk::Outdated),
        Tiebreaker => (Connection::Connected, Role::Secondary, Disk::Diskless),
        New => (Connection::Connected, Role::Secondary, Disk::Unrecognized("99".into())),
    };
    let is_client = matches!(their, Tiebreaker | ClientPrimary);
    Peer {
        id,
        name: Some(format!("node{id}")),
        connection,
        role,
        disks: vec![PeerDisk { disk, is_client }; volumes],
    }
}

fn facts(case: &Case) -> Facts {
    let last = case.own.len().saturating_sub(1);
    let number = |at: usize| u32::try_from(at).unwrap();
    Facts {
        version: V9,
        role: if case.primary { Role::Primary } else { Role::Secondary },
        suspended: Suspended::default(),
        // One volume without it is enough to have none.
        volumes: (case.own.iter().enumerate())
            .map(|(at, &own)| volume(number(at), own, case.quorum || at != last))
            .collect(),
        peers: (case.their.iter().enumerate())
            .map(|(at, &their)| peer(number(at + 1), their, case.own.len()))
            .collect(),
    }
}

fn options(peer_primary: PeerPrimary) -> Options {
    Options {
        scores: Scores { consistent: 5, remote: 10, local: 1000, best: 10_000 },
        peer_primary,
        promoted_max: 1,
    }
}

fn score(case: &Case) -> Score {
    let kernel = Kernel::Known(facts(case));
    promotion_score(&kernel, &options(PeerPrimary::Ignore), Elsewhere::NotKnown)
}

fn case(primary: bool, own: &[Own], their: &[Their]) -> Case {
    Case { primary, quorum: true, own: own.to_vec(), their: their.to_vec() }
}

/// Every combination of at most two volumes and two peers.
fn every(mut check: impl FnMut(&Case)) {
    let pairs = |count: usize| -> Vec<Vec<usize>> {
        let singles = (0..count).map(|a| vec![a]);
        let doubles = (0..count).flat_map(|a| (0..count).map(move |b| vec![a, b]));
        std::iter::once(Vec::new()).chain(singles).chain(doubles).collect()
    };
    for own in pairs(OWN.len()) {
        for their in pairs(THEIR.len()) {
            for (primary, quorum) in [(true, true), (true, false), (false, true), (false, false)] {
                check(&Case {
                    primary,
                    quorum,
                    own: own.iter().map(|&at| OWN[at]).collect(),
                    their: their.iter().map(|&at| THEIR[at]).collect(),
                });
            }
        }
    }
}

/// The description, row by row; the first that fits.
fn by_the_book(case: &Case) -> Score {
    let own = |kinds: &[Own]| case.own.iter().all(|own| kinds.contains(own));
    let data = || case.their.iter().filter(|peer| !matches!(peer, Tiebreaker | ClientPrimary));
    let good = data().filter(|peer| matches!(peer, Fine | FinePrimary)).count();
    let all_good = good > 0 && good == data().count();
    let unknown = data().any(|peer| matches!(peer, Gone | New));
    let rows = [
        (case.own.is_empty(), Score::Remove),
        (!case.quorum, Score::Remove),
        (own(&[Client]) && case.primary && good > 0, Score::Set(9_999)),
        (own(&[Client]) && all_good, Score::Set(9_999)),
        (own(&[Client]) && good > 0, Score::Set(999)),
        (own(&[Client]), Score::Remove),
        (own(&[Good]) && case.primary, Score::Set(10_000)),
        (own(&[Good]) && unknown, Score::Set(1000)),
        (own(&[Good]), Score::Set(10_000)),
        (good > 0, Score::Set(10)),
        (case.own.iter().any(|own| matches!(own, Own::Attaching | Own::Negotiating)), Score::Leave),
        (own(&[Good, Perhaps]), Score::Set(5)),
    ];
    let row = rows.into_iter().find(|(fits, _)| *fits);
    row.map_or(Score::Remove, |(_, score)| score)
}

#[test]
fn every_situation_has_the_score_of_the_rule_table() {
    let mut cases = 0;
    every(|case| {
        cases += 1;
        assert_eq!(score(case), by_the_book(case), "{case:?}");
    });
    assert_eq!(cases, (1 + 11 + 121) * (1 + 9 + 81) * 4);
}

#[test]
fn a_node_without_quorum_never_has_a_score() {
    every(|case| {
        if !case.quorum && !case.own.is_empty() {
            assert_eq!(score(case), Score::Remove, "{case:?}");
        }
    });
}

#[test]
fn less_data_never_has_more_score() {
    // Each is worth no more than the one before it; what is in transit says nothing.
    const BY_WORTH: [Own; 5] = [Good, Perhaps, Old, Torn, Lost];
    let value = |case: &Case| match score(case) {
        Score::Set(value) => value,
        Score::Remove => 0,
        Score::Leave => panic!("{case:?}"),
    };
    every(|case| {
        for at in 0..case.own.len() {
            let mut worth = u32::MAX;
            for own in BY_WORTH {
                let mut case = case.clone();
                case.own[at] = own;
                if case.own.iter().all(|own| BY_WORTH.contains(own)) {
                    assert!(value(&case) <= worth, "{case:?}");
                    worth = value(&case);
                }
            }
        }
    });
}

#[test]
fn a_node_with_a_disk_is_preferred_to_a_client_with_the_same_peers() {
    every(|case| {
        if case.own == [Client] {
            let with_disk = Case { own: vec![Good], ..case.clone() };
            if let (Score::Set(client), Score::Set(disk)) = (score(case), score(&with_disk)) {
                assert!(client < disk, "{case:?}");
            }
        }
    });
}

#[test]
fn what_the_best_score_needs() {
    every(|case| {
        if score(case) == Score::Set(10_000) {
            assert!(case.quorum && !case.own.is_empty(), "{case:?}");
            assert!(case.own.iter().all(|own| *own == Good), "{case:?}");
        }
    });
}

#[test]
fn zero_is_no_score_for_each_of_the_four() {
    let none = Options {
        scores: Scores { consistent: 0, remote: 0, local: 0, best: 0 },
        ..options(PeerPrimary::Ignore)
    };
    every(|case| {
        let score = promotion_score(&Kernel::Known(facts(case)), &none, Elsewhere::NotKnown);
        assert!(!matches!(score, Score::Set(_)), "{case:?}");
    });
}

#[test]
fn a_healthy_primary_peer_takes_the_score_where_that_was_asked_for() {
    every(|case| {
        let kernel = Kernel::Known(facts(case));
        let plain = score(case);
        let fires = case.quorum
            && !case.primary
            && !case.own.is_empty()
            && case.their.contains(&FinePrimary);
        for (rule, elsewhere, taken) in [
            (PeerPrimary::Ignore, Elsewhere::Nobody, plain),
            (PeerPrimary::Remove, Elsewhere::NotKnown, Score::Remove),
            (PeerPrimary::Remove, Elsewhere::Promoted, Score::Remove),
            (PeerPrimary::RemoveUnexpected, Elsewhere::Nobody, Score::Remove),
            (PeerPrimary::RemoveUnexpected, Elsewhere::Promoted, plain),
            (PeerPrimary::RemoveUnexpected, Elsewhere::NotKnown, Score::Leave),
        ] {
            let options = options(rule);
            let expected = if fires { taken } else { plain };
            assert_eq!(promotion_score(&kernel, &options, elsewhere), expected, "{case:?}");
            let asks = fires && rule == PeerPrimary::RemoveUnexpected;
            assert_eq!(wants_elsewhere(&kernel, &options), asks, "{case:?}");
        }
        let two = Options { promoted_max: 2, ..options(PeerPrimary::RemoveUnexpected) };
        assert_eq!(promotion_score(&kernel, &two, Elsewhere::Nobody), plain, "{case:?}");
    });
}

#[test]
fn nothing_there_has_no_score_and_nothing_known_changes_nothing() {
    let options = options(PeerPrimary::Remove);
    let score = |kernel: &Kernel| promotion_score(kernel, &options, Elsewhere::NotKnown);
    assert_eq!(score(&Kernel::NoModule), Score::Remove);
    assert_eq!(score(&Kernel::Unknown(V9)), Score::Remove);
    assert_eq!(score(&Kernel::Silent("no answer".into())), Score::Leave);
}

#[test]
fn d1_attaching_or_negotiating_is_not_up_to_date() {
    for own in [Own::Attaching, Own::Negotiating] {
        for disks in [&[own][..], &[Good, own], &[own, Good]] {
            assert_eq!(score(&case(false, disks, &[Gone])), Score::Leave);
            assert_eq!(score(&case(false, disks, &[GoneOld])), Score::Leave);
            assert_eq!(score(&case(false, disks, &[Fine])), Score::Set(10));
        }
    }
}

#[test]
fn situation_20_a_disk_that_is_being_attached_leaves_the_score_as_it_is() {
    assert_eq!(score(&case(false, &[Own::Negotiating], &[Gone])), Score::Leave);
    assert_eq!(score(&case(false, &[Own::Attaching], &[])), Score::Leave);
}

#[test]
fn situation_21_one_bad_volume_of_two_is_a_bad_node() {
    assert_eq!(score(&case(false, &[Good, Torn], &[Gone])), Score::Remove);
    assert_eq!(score(&case(false, &[Good, Torn], &[Fine])), Score::Set(10));
}

#[test]
fn d2_situation_27_a_client_without_quorum_has_no_score() {
    let case = Case { quorum: false, ..case(false, &[Client], &[Fine]) };
    assert_eq!(score(&case), Score::Remove);
}

#[test]
fn situation_26_a_primary_that_lost_quorum_has_no_score() {
    let case = Case { quorum: false, ..case(true, &[Good], &[Gone]) };
    assert_eq!(score(&case), Score::Remove);
}

#[test]
fn d3_it_is_the_primary_peer_that_has_to_be_healthy() {
    let kernel = Kernel::Known(facts(&case(false, &[Good], &[ShortPrimary, Fine])));
    let score = promotion_score(&kernel, &options(PeerPrimary::Remove), Elsewhere::NotKnown);
    assert_eq!(score, Score::Set(10_000));
    let kernel = Kernel::Known(facts(&case(false, &[Good], &[FinePrimary, Short])));
    let score = promotion_score(&kernel, &options(PeerPrimary::Remove), Elsewhere::NotKnown);
    assert_eq!(score, Score::Remove);
}

#[test]
fn d4_without_volumes_it_is_nobodys_client() {
    assert_eq!(score(&case(false, &[], &[Fine])), Score::Remove);
    assert_eq!(score(&case(true, &[], &[])), Score::Remove);
    assert!(!facts(&case(false, &[], &[Fine])).is_client());
}

#[test]
fn d11_without_the_module_there_is_no_score() {
    for peer_primary in [PeerPrimary::Ignore, PeerPrimary::Remove, PeerPrimary::RemoveUnexpected] {
        let options = options(peer_primary);
        for kernel in [Kernel::NoModule, Kernel::Unknown(V9)] {
            let score = promotion_score(&kernel, &options, Elsewhere::Nobody);
            assert_eq!(score, Score::Remove);
        }
    }
}

#[test]
fn a_survivor_stays_promotable_and_a_lone_rebooted_node_is_not() {
    let defaults = Options { scores: Scores::DEFAULT, ..options(PeerPrimary::Ignore) };
    let score =
        |case: &Case| promotion_score(&Kernel::Known(facts(case)), &defaults, Elsewhere::NotKnown);
    assert_eq!(score(&case(false, &[Good], &[Gone])), Score::Set(1000));
    assert_eq!(score(&case(false, &[Perhaps], &[Gone])), Score::Remove);
    assert_eq!(score(&case(true, &[Good], &[Gone])), Score::Set(10_000));
}

#[test]
fn scores_are_four_numbers_in_order_or_the_default() {
    assert_eq!(Scores::parse("0 10 1000 10000"), Some(Scores::DEFAULT));
    assert_eq!(Scores::parse(" 5  5 5 5 ").map(|scores| scores.best), Some(5));
    let huge = Scores::parse("0 0 0 4000000000").map(|scores| scores.best);
    assert_eq!(huge, Some(1_000_000), "INFINITY");
    for text in [
        "",
        "1 2 3",
        "1 2 3 4 5",
        "4 3 2 1",
        "0 10 1000 999",
        "-1 0 1 2",
        "a b c d",
        "1 2 3 4x",
        "+1 2 3 4",
        "0 10 1000 99999999999",
        "1,2,3,4",
    ] {
        assert_eq!(Scores::parse(text), None, "{text:?}");
    }
}
