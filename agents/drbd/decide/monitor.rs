//! Is it up, and Primary? Invariant: 7 only from the kernel's whole answer, whatever disks, connections and quorum are
//! like; a probe does nothing, and nothing that a recurring monitor does beside it changes its answer.

use duet_drbd::{Connection, Role};
use duet_ocf::{ExitCode, Next, Outcome, Progress};

use crate::{
    config::Config,
    decide::{Step, aside, not_running, patience, unanswered},
    facts::{Facts, Kernel},
    observe::Observation,
    record::Link,
    score::{Score, promotion_score},
};

/// `only_asks`: a probe or a status, which change nothing.
pub(super) fn monitor(
    config: &Config,
    only_asks: bool,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    let (facts, outcome) = match &seen.kernel {
        Kernel::Silent(why) => {
            return unanswered(config, why, patience(progress), progress);
        }
        Kernel::NoModule | Kernel::Unknown(_) => (None, not_running(config, &seen.kernel)),
        Kernel::Known(facts) if facts.is_unconfigured() => {
            (None, not_running(config, &seen.kernel))
        }
        Kernel::Known(facts) => {
            let code = match facts.role {
                Role::Primary => ExitCode::RunningPromoted,
                Role::Secondary => ExitCode::Ok,
                // Facts have no other roles; should they ever, nothing is known.
                Role::Unknown | Role::Unrecognized(_) => ExitCode::Generic,
            };
            (Some(facts), Outcome::plain(code))
        }
    };
    let beside = if only_asks { None } else { upkeep(config, facts, seen, progress) };
    beside.unwrap_or(Next::Done(outcome))
}

/// What a recurring monitor looks after: the score, the handlers' leftovers, and what an administrator should know.
fn upkeep(
    config: &Config,
    facts: Option<&Facts>,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Option<Next<Step>> {
    let resource = &config.resource;
    if let Some(facts) = facts {
        let peers = quarrels(config, facts);
        let kept = &seen.remembered.kept;
        // Whoever is seen to be connecting has been connected, by us or by a person, and can be refused from then on.
        let is_made = facts.peers.iter().any(|peer| peer.connection != Connection::StandAlone);
        let link = if is_made { Link::Made } else { kept.link };
        if peers != kept.stand_alone || link != kept.link {
            let resource = resource.clone();
            let step = aside(Step::ReportStandAlone { resource, peers, link }, progress);
            if step.is_some() {
                return step;
            }
        }
    }
    let is_due = match promotion_score(&seen.kernel, &config.options, seen.elsewhere) {
        // Nothing is written, but whoever watches has to know that it is managed, and by which options.
        Score::Leave => facts.is_some() && !seen.remembered.has_options,
        score => seen.remembered.score != Some(score) || !seen.remembered.has_options,
    };
    if is_due {
        let step = aside(Step::UpdateScore(resource.clone()), progress);
        if step.is_some() {
            return step;
        }
    }
    let is_whole =
        |facts: &Facts| facts.is_primary() && facts.is_up_to_date() && facts.all_peers_up_to_date();
    match facts {
        Some(facts) if config.unfence.is_some() && is_whole(facts) => {
            aside(Step::Unfence(resource.clone()), progress)
        }
        Some(_) | None => None,
    }
}

/// The peers that stay disconnected until somebody decides.
fn quarrels(config: &Config, facts: &Facts) -> Vec<String> {
    // There, an unpromoted node is meant to be without connections.
    if config.connect_only_after_promote && !facts.is_primary() {
        return Vec::new();
    }
    facts.stand_alone().map(ToString::to_string).collect()
}
