//! Is it running, and well? Invariant: 7 only when libvirt says so; when libvirt cannot be asked, no process is the
//! guest's and no libvirt that merely does not answer can still be about to start it; or when a probe has nothing to
//! ask for.

use std::time::Duration;

use duet_domain::{Ailment, Health, health};
use duet_ocf::{ExitCode, Next, Outcome, Progress};

use crate::{
    config::Config,
    decide::{
        Step, about_to_start, is_borne_with, may_still_start, nobody_known, patience, unanswered,
        unfinished::left_over, upkeep, well,
    },
    observe::{Answer, Document, Observation, Silence},
    process::Processes,
    strangers::Strangers,
};

/// `only_asks`: a probe or a status, which change nothing.
pub(super) fn monitor(
    config: &Config,
    only_asks: bool,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    let name = seen.name();
    let domain = match &seen.libvirt {
        Answer::NotAsked => return nobody_to_ask_for(only_asks, seen),
        Answer::None { why, silence, silent } => {
            return by_process(config, only_asks, seen, why, *silence, *silent, progress);
        }
        Answer::Known { ours: Some(domain), .. } => domain,
        Answer::Known { ours: None, namesake: Some(other) } => {
            let other = &other.reference;
            return not_running(format!(
                "Domain {name} is not running; the domain of this name here has another UUID ({})",
                other.uuid
            ));
        }
        Answer::Known { ours: None, namesake: None } => {
            return not_running(format!("Domain {name} is not running: libvirt does not know it"));
        }
    };
    if let Some(why) = left_over(config, domain, seen) {
        return Next::fail(ExitCode::Generic, why);
    }
    // Not always the definition's name: that may have been edited since.
    let name = &domain.reference.name;
    match health(domain.state, config.paused_by_error) {
        Health::Gone => not_running(format!("Domain {name} is {}", domain.state)),
        Health::Healthy | Health::Leaving if only_asks => Next::success(),
        // Not remembered yet if it came here otherwise than by our start.
        Health::Healthy => upkeep::monitored(config, Some(domain), seen, progress),
        // Its services are going, too.
        Health::Leaving => well(domain, seen, progress),
        Health::Ailing(Ailment::Unclear)
            if progress.elapsed < patience(progress) && !progress.remaining.is_zero() =>
        {
            Next::wait(Duration::from_secs(1), format!("domain {name} to have a clear state"))
        }
        Health::Ailing(_) => {
            Next::fail(ExitCode::Generic, format!("Domain {name} is {}", domain.state))
        }
    }
}

/// A guest that is seen needs no libvirt to be running; how well it is, only libvirt could say. One that is not
/// seen can wait for a libvirt that is only being restarted.
fn by_process(
    config: &Config,
    only_asks: bool,
    seen: &Observation,
    why: &str,
    silence: Silence,
    silent: Duration,
    progress: &Progress<Step>,
) -> Next<Step> {
    match &seen.processes {
        Processes::Found(_) if only_asks => Next::success(),
        Processes::Found(_) => upkeep::monitored(config, None, seen, progress),
        Processes::NoneSeen if !is_borne_with(silence, silent, progress) => {
            let is_early = progress.elapsed < patience(progress) && !progress.remaining.is_zero();
            if may_still_start(seen, silence) && silence == Silence::Frozen && is_early {
                // A daemon that is only coming up takes the question before it can answer.
                return Next::wait(Duration::from_secs(1), "libvirt to answer");
            }
            if may_still_start(seen, silence) {
                return about_to_start(seen, why);
            }
            let name = seen.name();
            not_running(format!("Domain {name} is not running: no process here is its; {why}"))
        }
        Processes::NoneSeen | Processes::NotLooked | Processes::CouldNotLook(_) => {
            unanswered(seen, why, silence, silent, progress)
        }
    }
}

fn nobody_to_ask_for(only_asks: bool, seen: &Observation) -> Next<Step> {
    if let Some(why) = nobody_known(seen) {
        return Next::fail(ExitCode::Generic, why);
    }
    let why = match &seen.document {
        Document::Unusable(why) | Document::Missing(why) => why.as_str(),
        Document::Read(_) | Document::NotNeeded => "Nothing was asked",
    };
    let nobody = seen.strangers == Strangers::Nobody;
    let and = if nobody {
        "no domain runs here at all"
    } else {
        "no domain is remembered to run here either"
    };
    let reason = format!("{why}; {and}");
    if only_asks || nobody {
        // The definition may lie on storage that only the active node has.
        not_running(reason)
    } else {
        Next::fail(ExitCode::Generic, reason)
    }
}

fn not_running(reason: String) -> Next<Step> {
    Next::Done(Outcome::fail(ExitCode::NotRunning, reason))
}
