//! ocf:rust:drbd-watch: promotion scores that follow DRBD at once. The agent's four steps are in observe.rs, decide.rs and
//! apply.rs; it supervises a daemon, which is in watch.rs and below it. This file joins both to the machine.

mod apply;
mod attribute;
mod config;
mod decide;
mod duty;
mod observe;
pub mod spec;
mod state;
mod watch;

use duet_host::process::{PATH, find};
use duet_ocf::{
    Action, AfterFailure, Agent, ExitCode, Next, Progress, Refusal, Request, Spec, Turn, Values,
};

use crate::{config::Config, decide::Step, observe::Observation};

/// The agent.
#[derive(Debug)]
struct DrbdWatch;

impl Agent for DrbdWatch {
    type Config = Config;
    type Observation = Observation;
    type Step = Step;
    type Error = apply::Error;

    fn spec() -> &'static Spec {
        &spec::SPEC
    }

    fn config(request: &Request, values: &Values) -> Result<Config, Refusal> {
        Config::read(request, values)
    }

    fn observe(
        &mut self,
        config: &Config,
        request: &Request,
        _: &mut Turn<'_>,
    ) -> Result<Observation, apply::Error> {
        let mut seen = observe::look(config);
        if matches!(request.action, Action::Start | Action::ValidateAll) {
            seen.missing = missing(config);
        }
        Ok(seen)
    }

    fn decide(
        _: &Config,
        request: &Request,
        seen: &Observation,
        progress: &Progress<Step>,
    ) -> Next<Step> {
        decide::next(request, seen, progress)
    }

    fn apply(
        &mut self,
        config: &Config,
        _: &Request,
        step: Step,
        turn: &mut Turn<'_>,
    ) -> Result<(), apply::Error> {
        apply::apply(config, &step, turn)
    }

    fn exit_code(error: &apply::Error, _: &Request) -> ExitCode {
        apply::exit_code(error)
    }

    /// What counts is what is seen afterwards.
    fn after_failure(_: &Step, _: &apply::Error, _: &Request) -> AfterFailure {
        AfterFailure::LookAgain
    }
}

/// The programs that are needed and not there.
fn missing(config: &Config) -> Vec<String> {
    let program = config.program.display().to_string();
    let mut needed = vec![program.as_str(), "crm_attribute"];
    if config.duty.attributes.is_some() {
        needed.extend(["attrd_updater", "cibadmin", "drbdadm"]);
    }
    let is_missing = |name: &&str| find(name, PATH).is_none();
    needed.into_iter().filter(is_missing).map(str::to_owned).collect()
}

/// Runs the agent and exits.
pub fn main() -> ! {
    duet_host::run(DrbdWatch)
}

/// Runs the daemon, with this process's arguments; ends only with a failure.
pub fn daemon() -> ! {
    watch::daemon()
}
