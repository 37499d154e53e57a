//! Give it to another node, alive. Invariants: success only when the domain was seen at the target and is not executing
//! here; nothing begins unless the target was asked and has no such domain; a guest is resumed here only when libvirt says
//! that the migration failed and the target's that it never ran there, and never after a switch to post-copy.

use std::time::Duration;

use duet_domain::{PausedReason, RunningReason, ShutOffReason, State};
use duet_ocf::{ExitCode, Next, Progress, Request};

use crate::{
    config::Config,
    decide::{
        Step, budget, cannot_tell, is_borne_with_on_the_way_out, nobody_known, unanswered,
        unfinished::left_over,
    },
    migrate::{self, Job, Plan, Sight, Target, options::OnTimeout},
    observe::{Answer, Document, Domain, Observation},
};

/// The end of the operation that is kept for aborting and for seeing what became of it.
const RESERVE: Duration = Duration::from_secs(15);
/// How long libvirt has for putting things in order after a migration has ended.
const SETTLING: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(250);
const BETWEEN_ABORTS: Duration = Duration::from_secs(5);
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);
const ATTEMPTS: usize = 5;

pub(super) fn migrate_to(
    config: &Config,
    _request: &Request,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    let (Some(plan), Some(sight)) = (&config.migration.plan, &seen.migration) else {
        return Next::fail(ExitCode::Generic, "Internal error: a migration without a target");
    };
    match &sight.job {
        Job::None => before(config, plan, sight, seen, progress),
        Job::Running { first_pass_done } => during(config, plan, *first_pass_done, seen, progress),
        Job::Succeeded => after(plan, sight, None, seen, progress),
        Job::Failed(why) | Job::Lost(why) => after(plan, sight, Some(why), seen, progress),
    }
}

fn before(
    config: &Config,
    plan: &Plan,
    sight: &Sight,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    let fail = |reason: String| Next::fail(ExitCode::Generic, reason);
    let node = &plan.node;
    let domain = match &seen.libvirt {
        Answer::NotAsked => {
            return match (nobody_known(seen), &seen.document) {
                (Some(why), _) => fail(why),
                (None, Document::Unusable(why) | Document::Missing(why)) => {
                    Next::fail(ExitCode::Installed, why)
                }
                (None, Document::Read(_) | Document::NotNeeded) => {
                    fail("libvirt was not asked".to_owned())
                }
            };
        }
        Answer::None { why, silence, silent } => {
            if is_borne_with_on_the_way_out(*silence, *silent, progress) {
                return unanswered(seen, why, *silence, *silent, progress);
            }
            return cannot_tell(seen, why);
        }
        Answer::Known { ours, .. } => match ours.as_ref().filter(|domain| domain.is_active()) {
            Some(domain) => domain,
            None => return fail(format!("Domain {} is not active here", seen.name())),
        },
    };
    let name = &domain.reference.name;
    if let Some(why) = left_over(config, domain, seen) {
        return fail(why);
    }
    if !is_fit(domain.state) {
        return fail(format!("Domain {name} is {}; it is not migrated like this", domain.state));
    }
    match &sight.target {
        Target::NotAsked => return fail(format!("libvirt on {node} was not asked")),
        Target::Silent(why) => {
            return fail(format!(
                "libvirt on {node} ({}) could not be asked: {why}; domain {name} stays",
                plan.remote
            ));
        }
        Target::Known { domain: Some(there), .. } if there.is_active() => {
            return fail(format!(
                "A domain {} is {} on {node} already; domain {name} stays",
                there.reference.name, there.state
            ));
        }
        Target::Known { refusal: Some(why), .. } => {
            return fail(format!("libvirt on {node} cannot run domain {name}: {why}"));
        }
        Target::Known { .. } => {}
    }
    if progress.remaining <= reserve(progress) {
        return fail(format!("There is no time left for migrating domain {name}"));
    }
    let reference = || domain.reference.clone();
    let migration = &config.migration;
    let steps = [
        (true, migrate::Step::Mark(reference())),
        (config.start_resources, migrate::Step::Prepare(reference())),
        (migration.speed.is_some(), migrate::Step::LimitSpeed(reference())),
        (true, migrate::Step::Begin(reference())),
    ];
    for (is_wanted, step) in steps {
        let step = Step::Migration(step);
        if is_wanted && !progress.tried(|tried| *tried == step) {
            return Next::Do(step);
        }
    }
    fail(format!("The migration of domain {name} could not be begun"))
}

/// Executing, or standing still because a person wanted it to. Everything else is the rest of something that did not end
/// well, or about to end.
fn is_fit(state: State) -> bool {
    match state {
        State::Running(RunningReason::PostCopy | RunningReason::PostCopyFailed) => false,
        State::Running(_)
        | State::Blocked
        | State::PmSuspended
        | State::Paused(PausedReason::User | PausedReason::Unknown) => true,
        State::Paused(_)
        | State::NoState
        | State::ShuttingDown
        | State::ShutOff(_)
        | State::Crashed(_)
        | State::Unrecognized { .. } => false,
    }
}

fn reserve(progress: &Progress<Step>) -> Duration {
    RESERVE.min(budget(progress) / 4)
}

fn during(
    config: &Config,
    plan: &Plan,
    first_pass_done: bool,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    let name = seen.name();
    let wait = Next::wait(POLL, format!("the migration of domain {name} to {}", plan.node));
    let Some(begun) = begun(progress) else { return wait };
    if progress.remaining.is_zero() {
        let aborted =
            progress.last(|step| is(step, |step| matches!(step, migrate::Step::Abort(_))));
        let why = aborted.and_then(|aborted| aborted.failure.as_ref()?.reason.clone());
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        return Next::fail(
            ExitCode::Generic,
            format!("The migration of domain {name} to {} has not ended{why}", plan.node),
        );
    }
    // Once the guest runs there, going back would lose it.
    if is_post_copy(progress) {
        return wait;
    }
    let migration = &config.migration;
    if progress.remaining <= reserve(progress) {
        let step = migrate::Step::Abort(begun.domain);
        return again(step, BETWEEN_ABORTS, usize::MAX, progress).map_or(wait, Next::Do);
    }
    let since = begun.ago;
    if let Some((limit, turns_into)) = migration.options.timeout {
        if since >= limit {
            let step = match turns_into {
                OnTimeout::Suspend => migrate::Step::Suspend(begun.domain),
                OnTimeout::PostCopy => migrate::Step::SwitchToPostCopy(begun.domain),
            };
            return again(step, BETWEEN_ATTEMPTS, ATTEMPTS, progress).map_or(wait, Next::Do);
        }
    }
    if first_pass_done && migration.options.post_copy_after_first_pass {
        let step = migrate::Step::SwitchToPostCopy(begun.domain);
        return again(step, BETWEEN_ATTEMPTS, ATTEMPTS, progress).map_or(wait, Next::Do);
    }
    if migration.downtime.is_some() {
        let step = migrate::Step::LimitDowntime(begun.domain);
        return again(step, BETWEEN_ATTEMPTS, ATTEMPTS, progress).map_or(wait, Next::Do);
    }
    wait
}

/// What was begun, and how long ago.
struct Begun {
    domain: duet_libvirt_rpc::DomainRef,
    ago: Duration,
}

fn begun(progress: &Progress<Step>) -> Option<Begun> {
    progress.applied.iter().rev().find_map(|applied| match &applied.step {
        Step::Migration(migrate::Step::Begin(domain)) => {
            Some(Begun { domain: domain.clone(), ago: progress.elapsed.saturating_sub(applied.at) })
        }
        _ => None,
    })
}

/// The step, unless it was carried out, or failed too often or a moment ago.
fn again(
    step: migrate::Step,
    between: Duration,
    attempts: usize,
    progress: &Progress<Step>,
) -> Option<Step> {
    let step = Step::Migration(step);
    let same = |tried: &Step| *tried == step;
    let aborts = matches!(step, Step::Migration(migrate::Step::Abort(_)));
    let is_due = match progress.last(same) {
        None => true,
        Some(tried) => {
            (tried.failure.is_some() || aborts)
                && progress.count(same) < attempts
                && progress.since(same).is_none_or(|ago| ago >= between)
        }
    };
    is_due.then_some(step)
}

fn is(step: &Step, fits: impl Fn(&migrate::Step) -> bool) -> bool {
    matches!(step, Step::Migration(step) if fits(step))
}

/// Whether the guest was let go on at the target.
fn is_post_copy(progress: &Progress<Step>) -> bool {
    progress.applied.iter().any(|applied| {
        is(&applied.step, |step| matches!(step, migrate::Step::SwitchToPostCopy(_)))
            && applied.failure.is_none()
    })
}

/// Where the guest is, after libvirt has let go of it. `why` is there if it says that it failed.
fn after(
    plan: &Plan,
    sight: &Sight,
    why: Option<&str>,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    let (name, node) = (seen.name(), &plan.node);
    let text = why.map(|why| format!(": {why}")).unwrap_or_default();
    let fail = |what: String| {
        let head = match why {
            Some(_) => format!("The migration of domain {name} to {node} failed{text}"),
            None => format!("libvirt says that domain {name} was migrated to {node}"),
        };
        Next::fail(ExitCode::Generic, format!("{head}; {what}"))
    };
    let settled = progress.remaining.is_zero() || sight.ended_for >= SETTLING;
    let settle = |what: &str| Next::wait(POLL, format!("domain {name} {what}"));
    let here = match &seen.libvirt {
        Answer::Known { ours, .. } => ours.as_ref().filter(|domain| domain.is_active()),
        Answer::NotAsked => return fail("whether it runs here was not asked".to_owned()),
        Answer::None { why, .. } if progress.remaining.is_zero() => {
            return fail(format!("whether it runs here cannot be told: {why}"));
        }
        Answer::None { .. } => return settle("to be seen here"),
    };
    let there = match &sight.target {
        Target::Known { domain, .. } => Some(domain.as_ref().filter(|domain| domain.is_active())),
        Target::NotAsked | Target::Silent(_) => None,
    };
    match (here, there) {
        (Some(here), Some(Some(there))) if executes(here.state) && executes(there.state) => {
            fail(format!(
                "it runs on both nodes, {} here and {} there: each copy has to be stopped before \
                 it writes over the other's data",
                here.state, there.state
            ))
        }
        (here, Some(Some(there)))
            if has_arrived(there.state) && !here.is_some_and(|here| executes(here.state)) =>
        {
            match here {
                // What ran here stays remembered: the stop that follows forgets it, by libvirt's word.
                None => Next::success(),
                // What is left here stands still for good, and the stop that follows a migration ends it.
                Some(_) if settled => Next::success(),
                Some(_) => settle("to be gone here"),
            }
        }
        (Some(here), _) if executes(here.state) && why.is_some() => {
            fail(format!("it is {} here", here.state))
        }
        (_, _) if !settled => settle("to be in one place"),
        (Some(here), Some(None)) if may_resume(here, sight, progress) => {
            Next::Do(Step::Migration(migrate::Step::Resume(here.reference.clone())))
        }
        (Some(here), _) if executes(here.state) => fail(format!("it is {} here", here.state)),
        (Some(here), Some(None)) => fail(format!("it is {} here, and not there", here.state)),
        (here, Some(Some(there))) => fail(format!(
            "it is {} there{}; nothing was resumed",
            there.state,
            here.map(|here| format!(" and {} here", here.state)).unwrap_or_default()
        )),
        (here, None) if progress.remaining.is_zero() => {
            let silent = match &sight.target {
                Target::Silent(why) => why.as_str(),
                Target::NotAsked | Target::Known { .. } => "it was not asked",
            };
            fail(format!(
                "it is {} here, and whether it is there cannot be told ({silent}); nothing was resumed",
                here.map_or("not".to_owned(), |here| here.state.to_string())
            ))
        }
        (_, None) => settle("to be seen at the target"),
        (None, Some(None)) => fail("it is neither here nor there".to_owned()),
    }
}

/// Whether it can write to its disks.
fn executes(state: State) -> bool {
    match state {
        State::Running(_)
        | State::Blocked
        | State::NoState
        | State::ShuttingDown
        | State::Unrecognized { .. } => true,
        State::Paused(_) | State::ShutOff(_) | State::Crashed(_) | State::PmSuspended => false,
    }
}

/// Whether all of it is there. One that was paused before, or by `--suspend`, arrives paused.
fn has_arrived(state: State) -> bool {
    is_fit(state)
}

/// Whether the guest never ran there. That none is there now does not say so: it may have ended since, and have left nothing
/// but changed disks.
fn never_ran_there(sight: &Sight) -> bool {
    let (Job::Failed(_), Target::Known { domain, .. }) = (&sight.job, &sight.target) else {
        return false;
    };
    // What libvirt was told to keep there may be defined already, or be from before.
    let unused = [ShutOffReason::Failed, ShutOffReason::Unknown].map(State::ShutOff);
    domain.as_ref().is_none_or(|there| unused.contains(&there.state))
}

/// Whether this guest stands still only because of the migration, and nothing of it can be anywhere else.
fn may_resume(here: &Domain, sight: &Sight, progress: &Progress<Step>) -> bool {
    let tried = |fits: fn(&migrate::Step) -> bool| progress.tried(|step| is(step, fits));
    let was_paused_by_us = tried(|step| matches!(step, migrate::Step::Suspend(_)));
    // A request that failed may still have been heard.
    let switched = tried(|step| matches!(step, migrate::Step::SwitchToPostCopy(_)));
    let by_migration = matches!(here.state, State::Paused(PausedReason::Migration));
    let by_us = matches!(here.state, State::Paused(PausedReason::User)) && was_paused_by_us;
    begun(progress).is_some_and(|begun| begun.domain.uuid == here.reference.uuid)
        && (by_migration || by_us)
        && never_ran_there(sight)
        && !switched
        && !progress.remaining.is_zero()
        && progress.count(|step| is(step, |step| matches!(step, migrate::Step::Resume(_)))) < 3
}
