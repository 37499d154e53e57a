//! ocf:rust:drbd: a DRBD resource as a promotable clone under Pacemaker. What a watcher needs too (facts, score,
//! options, record and the writing of the score) is public; the four steps are in observe.rs, decide.rs and apply.rs, and
//! this file only joins them to the loop.

mod apply;
pub mod config;
mod decide;
pub mod facts;
mod observe;
pub mod promotion;
pub mod record;
pub mod score;
pub mod spec;
mod surroundings;

use std::time::Duration;

use duet_ocf::{
    Action, AfterFailure, Agent, ExitCode, Next, Progress, Refusal, Request, Spec, Strictness,
    Turn, Values,
};

use crate::{
    config::Config,
    decide::Step,
    observe::{Known, Observation},
};

/// The agent; what one look leaves for the next.
#[derive(Debug, Default)]
struct Drbd {
    known: Known,
}

impl Agent for Drbd {
    type Config = Config;
    type Observation = Observation;
    type Step = Step;
    type Error = apply::Error;

    fn spec() -> &'static Spec {
        &spec::SPEC
    }

    fn strictness(action: Action) -> Strictness {
        config::strictness(action)
    }

    fn config(request: &Request, values: &Values) -> Result<Config, Refusal> {
        Config::read(request, values)
    }

    fn observe(
        &mut self,
        config: &Config,
        request: &Request,
        turn: &mut Turn<'_>,
    ) -> Result<Observation, apply::Error> {
        Ok(observe::look(config, request, &mut self.known, turn))
    }

    fn decide(
        config: &Config,
        request: &Request,
        seen: &Observation,
        progress: &Progress<Step>,
    ) -> Next<Step> {
        decide::next(config, request, seen, progress)
    }

    fn apply(
        &mut self,
        config: &Config,
        _request: &Request,
        step: Step,
        turn: &mut Turn<'_>,
    ) -> Result<(), apply::Error> {
        apply::apply(config, &step, &mut self.known, turn)
    }

    fn exit_code(error: &apply::Error, _request: &Request) -> ExitCode {
        apply::exit_code(error)
    }

    /// A tool that hangs is killed at the deadline, and what it did is looked at after that.
    fn reserve(_: &Request, timeout: Duration) -> Duration {
        observe::reserve(timeout)
    }

    /// What counts is what is seen afterwards: a tool that failed, or hung, may have done it all the same.
    fn after_failure(_: &Step, _: &apply::Error, _: &Request) -> AfterFailure {
        AfterFailure::LookAgain
    }
}

/// Runs the agent and exits.
pub fn main() -> ! {
    duet_host::run(Drbd::default())
}
