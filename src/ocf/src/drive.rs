//! The loop that drives every agent: request, configuration, then observe, decide and apply until
//! there is an outcome. It owns deadline, log and exit code, and always comes to an end.

use crate::reason::fold_short;
use crate::{
    Action, AfterFailure, Agent, Applied, Deadline, Environment, ExitCode, Host, Level, Next,
    Outcome, Progress, Request, Turn, Values, chain, exit_reason_line, metadata, usage,
};
use std::time::Duration;

/// Shorter pauses than this are lengthened to it: a `Wait` of zero is not a busy loop.
pub const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// So many steps in a row without a wait are a decision that goes in circles, and end the operation.
pub const DO_WITHOUT_WAIT_LIMIT: u32 = 64;

/// Runs one invocation of an agent and returns what it exits with. `words` is the command line after the
/// program's name.
///
/// In this order, as in the stock agents' `ocf_rarun`:
/// 1. No action at all: usage on stderr, 3. An action the table does not list: 3, nothing on stdout.
/// 2. `meta-data` and `usage` are answered before any parameter is looked at.
/// 3. Parameters by the table, strictly or leniently by [`Agent::strictness`], then [`Agent::config`].
/// 4. Observe, decide, apply, until done or until the deadline. A step decided in a probe or another action that
///    only asks is not carried out but reported as the bug it is.
///
/// Every failure leaves exactly one exit reason on stderr and one error in the log; success leaves neither.
pub fn drive<A: Agent>(
    agent: &mut A,
    words: &[String],
    environment: Environment,
    host: &mut dyn Host,
) -> ExitCode {
    let spec = A::spec();
    let Some(word) = words.first() else {
        for line in usage(spec).lines() {
            host.stderr(line);
        }
        return ExitCode::Unimplemented;
    };
    let Some(action) = Action::parse(word).filter(|action| spec.has(*action)) else {
        let outcome =
            Outcome::fail(ExitCode::Unimplemented, format!("{word}: action not supported"));
        return report(&outcome, true, &environment, host);
    };
    match action {
        Action::MetaData => {
            host.stdout(&metadata(spec));
            return ExitCode::Ok;
        }
        Action::Usage => {
            host.stdout(&usage(spec));
            return ExitCode::Ok;
        }
        _ => {}
    }
    let request = Request::new(action, environment);
    let outcome = operate(agent, &request, host);
    let wants_reason = outcome.code.wants_reason(action, request.is_probe());
    report(&outcome, wants_reason, &request.environment, host)
}

fn report(
    outcome: &Outcome,
    wants_reason: bool,
    environment: &Environment,
    host: &mut dyn Host,
) -> ExitCode {
    if wants_reason {
        let reason = outcome.reason.as_deref().map(fold_short).filter(|reason| !reason.is_empty());
        let reason = reason.unwrap_or_else(|| format!("Ended with {}", outcome.code));
        host.failure(&exit_reason_line(environment, &reason), &reason);
    } else if let Some(reason) = &outcome.reason {
        host.log(Level::Info, &fold_short(reason));
    }
    outcome.code
}

fn operate<A: Agent>(agent: &mut A, request: &Request, host: &mut dyn Host) -> Outcome {
    let values = match Values::read(A::spec(), request, A::strictness(request.action)) {
        Ok(values) => values,
        Err(refusal) => return refusal.into(),
    };
    // Loud where something is about to happen in spite of it, quiet in a monitor that runs all day.
    let level = if request.action == Action::Monitor { Level::Debug } else { Level::Warning };
    for refusal in values.set_aside() {
        host.log(level, &format!("{refusal}; not considered in {}", request.action));
    }
    let config = match A::config(request, &values) {
        Ok(config) => config,
        Err(refusal) => return refusal.into(),
    };
    let began = host.now();
    let timeout = request.meta.timeout.unwrap_or_else(|| {
        A::spec().default_timeout(request.action, request.meta.role, request.check_level)
    });
    let allowed = timeout.saturating_sub(A::reserve(request, timeout));
    let deadline = Deadline::at(began.saturating_add(allowed));
    let mut progress = Progress::new(allowed);
    let mut steps_in_a_row = 0;
    loop {
        let seen = match agent.observe(&config, request, &mut Turn::new(host, deadline)) {
            Ok(seen) => seen,
            Err(error) => return failure::<A>(&error, request),
        };
        progress.elapsed = host.now().saturating_sub(began);
        progress.remaining = deadline.remaining(host.now());
        let expired = |waiting_for: &str| {
            let span = progress.elapsed.as_secs_f32();
            let reason = format!("Timed out after {span:.1} s waiting for {waiting_for}");
            Outcome::fail(A::on_expiry(&config, request), reason)
        };
        match A::decide(&config, request, &seen, &progress) {
            Next::Done(outcome) => return outcome,
            Next::Wait { until, .. } if progress.remaining.is_zero() => return expired(&until),
            Next::Wait { pause, .. } => {
                steps_in_a_row = 0;
                host.sleep(pause.max(SHORTEST_WAIT).min(progress.remaining));
            }
            Next::Do(step) if !request.may_change() => {
                let name = if request.is_probe() { "probe" } else { request.action.name() };
                let reason = format!("Internal error: a {name} must not {step}");
                return Outcome::fail(ExitCode::Generic, reason);
            }
            Next::Do(step) if progress.remaining.is_zero() => {
                return expired(&format!("the chance to {step}"));
            }
            Next::Do(step) => {
                steps_in_a_row += 1;
                if steps_in_a_row > DO_WITHOUT_WAIT_LIMIT {
                    let reason = format!("Gave up: {step} is decided over and over");
                    return Outcome::fail(ExitCode::Generic, reason);
                }
                let result =
                    agent.apply(&config, request, step.clone(), &mut Turn::new(host, deadline));
                let failure = match result {
                    Ok(()) => None,
                    Err(error) => {
                        let outcome = failure::<A>(&error, request);
                        match A::after_failure(&step, &error, request) {
                            AfterFailure::End => return outcome,
                            AfterFailure::LookAgain => Some(outcome),
                        }
                    }
                };
                let at = host.now().saturating_sub(began);
                progress.applied.push(Applied { step, at, failure });
            }
        }
    }
}

fn failure<A: Agent>(error: &A::Error, request: &Request) -> Outcome {
    Outcome::fail(A::exit_code(error, request), chain(error))
}
