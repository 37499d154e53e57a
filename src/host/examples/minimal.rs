//! The smallest agent that runs on a real machine: it "runs" while a file exists. The tests run it as an executable;
//! its parameter `misbehave` makes it panic or never be satisfied.
#![allow(clippy::disallowed_methods, reason = "an example small enough to touch its file itself")]

use duet_ocf::{
    Action, ActionSpec, Agent, ExitCode, Kind, Next, Parameter, Progress, Refusal, Request, Spec,
    Turn, Values,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

static SPEC: Spec = Spec {
    name: "minimal",
    version: "1.0",
    shortdesc: "A file that is there or not",
    longdesc: "Runs while its file exists.",
    parameters: &[
        Parameter::new("state", Kind::String, "State file", "The file that is the resource.")
            .required()
            .unique("state"),
        Parameter::new("misbehave", Kind::Select(&["no", "panic", "hang"]), "Misbehave", "How.")
            .with_default("no"),
        Parameter::new("fast", Kind::Boolean, "Fast", "Does nothing.").with_default("yes"),
    ],
    actions: &[
        ActionSpec::new(Action::Start, 20),
        ActionSpec::new(Action::Stop, 20),
        ActionSpec::new(Action::Monitor, 20).every(10).depth(0),
        ActionSpec::new(Action::MetaData, 5),
        ActionSpec::new(Action::ValidateAll, 5),
    ],
};

struct Minimal;

struct Config {
    state: PathBuf,
    misbehave: &'static str,
}

#[derive(Clone)]
enum Step {
    Create,
    Remove,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Step::Create => "create the state file",
            Step::Remove => "remove the state file",
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("Could not change {}", path.display())]
struct CannotChange {
    path: PathBuf,
    source: std::io::Error,
}

impl Agent for Minimal {
    type Config = Config;
    type Observation = bool;
    type Step = Step;
    type Error = CannotChange;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn config(_: &Request, values: &Values) -> Result<Config, Refusal> {
        let state = PathBuf::from(values.require("state")?);
        Ok(Config { state, misbehave: values.choice("misbehave").unwrap_or("no") })
    }

    fn observe(
        &mut self,
        config: &Config,
        _: &Request,
        _: &mut Turn<'_>,
    ) -> Result<bool, CannotChange> {
        assert!(config.misbehave != "panic", "told to\nmisbehave");
        Ok(Path::exists(&config.state) && config.misbehave != "hang")
    }

    fn decide(
        _: &Config,
        request: &Request,
        is_there: &bool,
        so_far: &Progress<Step>,
    ) -> Next<Step> {
        match (request.action, is_there) {
            (Action::ValidateAll, _) | (Action::Start, true) | (Action::Stop, false) => {
                Next::success()
            }
            (Action::Monitor, true) => Next::success(),
            (Action::Monitor, false) => Next::not_running(),
            _ if so_far.tried(|_| true) => Next::wait(Duration::from_millis(50), "the file"),
            (Action::Stop, true) => Next::Do(Step::Remove),
            _ => Next::Do(Step::Create),
        }
    }

    fn apply(
        &mut self,
        config: &Config,
        _: &Request,
        step: Step,
        turn: &mut Turn<'_>,
    ) -> Result<(), CannotChange> {
        let path = &config.state;
        let result = match step {
            Step::Create => std::fs::write(path, ""),
            Step::Remove => std::fs::remove_file(path),
        };
        result.map_err(|source| CannotChange { path: path.clone(), source })?;
        turn.info(format!("Changed {}", path.display()));
        Ok(())
    }

    fn exit_code(_: &CannotChange, _: &Request) -> ExitCode {
        ExitCode::Generic
    }
}

fn main() {
    duet_host::run(Minimal)
}
