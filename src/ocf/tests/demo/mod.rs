//! A table with one of everything, and an agent over a world of one counter: what the tests of the
//! contract run on. The world is inside the agent, so a test can say what happens when.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use duet_ocf::{
    Action, ActionSpec, Agent, Environment, ExitCode, Kind, Next, Parameter, Progress, Refusal,
    Request, Spec, Turn, Values, VirtualHost, drive,
};
use std::time::Duration;

pub const MODES: &[&str] = &["soft", "hard"];

pub static SPEC: Spec = Spec {
    name: "Demo",
    version: "0.1.0",
    shortdesc: "Counts for tests",
    longdesc: "It has one of everything.\n\nIt is < 1 & \"quoted\".",
    parameters: &[
        Parameter::new("config", Kind::String, "What it is", "The identity.")
            .required()
            .unique("config"),
        Parameter::new("ticks", Kind::Integer { min: 0, max: 10 }, "Ticks to start", "How long.")
            .with_default("3")
            .reloadable(),
        Parameter::new("force", Kind::Boolean, "Force it", "By force.").with_default("false"),
        Parameter::new("mode", Kind::Select(MODES), "Mode", "How.").with_default("soft"),
        Parameter::new("patience", Kind::Duration, "Patience", "How long to try.")
            .with_default("2min"),
        Parameter::new("secret", Kind::Integer { min: 0, max: 9 }, "Secret", "Not for logs.")
            .private(),
        Parameter::new("snapshot", Kind::String, "Snapshot", "The stock agent has it.").not_yet(),
        Parameter::new("old_force", Kind::Boolean, "Force it", "The old name.")
            .deprecated(&["force"], "It has a better name now."),
    ],
    actions: &[
        ActionSpec::new(Action::Start, 90),
        ActionSpec::new(Action::Stop, 60),
        ActionSpec::new(Action::Monitor, 30).every(10).depth(0),
        ActionSpec::new(Action::Monitor, 20).every(11).depth(0).promoted(),
        ActionSpec::new(Action::Notify, 15),
        ActionSpec::new(Action::ReloadAgent, 10),
        ActionSpec::new(Action::MetaData, 5),
        ActionSpec::new(Action::ValidateAll, 5),
    ],
};

/// The same without what the old DTD cannot say.
pub static PLAIN: Spec = Spec { name: "Plain", parameters: &[SPEC.parameters[0]], ..SPEC };

/// How the demo world answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// Starting takes this many looks.
    Obeys { looks: u32 },
    /// It never changes.
    Stuck,
    /// A step cannot be carried out.
    Refuses,
    /// A step cannot be carried out, but trying again is worth it.
    RefusesOnce,
    /// It cannot even be looked at.
    Unreachable,
    /// The agent decides the same step for ever.
    Circles,
    /// The agent decides to change something whatever it was asked.
    Meddles,
    /// Waiting for no time at all, for ever.
    Impatient,
}

#[derive(Debug)]
pub struct Demo {
    pub world: World,
    pub running: bool,
    pub looks: u32,
    pub steps: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step;

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("start demo1")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("Could not start demo1")]
    Start(#[source] std::num::ParseIntError),
    #[error("Could not look at demo1")]
    Look,
}

fn cause() -> std::num::ParseIntError {
    "x".parse::<u8>().expect_err("x is no number")
}

#[derive(Debug)]
pub struct Seen {
    pub running: bool,
    pub world: World,
}

impl Agent for Demo {
    type Config = String;
    type Observation = Seen;
    type Step = Step;
    type Error = DemoError;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn config(_: &Request, values: &Values) -> Result<String, Refusal> {
        // Read whatever the action: a lenient reading has something to offer for each of them.
        let _ = (values.integer("ticks"), values.boolean("force"), values.choice("mode"));
        let _ = (values.duration("patience"), values.integer("secret"), values.text("snapshot"));
        values.require("config").map(str::to_owned)
    }

    fn observe(&mut self, _: &String, _: &Request, _: &mut Turn<'_>) -> Result<Seen, DemoError> {
        self.looks += 1;
        if self.world == World::Unreachable {
            return Err(DemoError::Look);
        }
        if let World::Obeys { looks } = self.world {
            self.running |= self.steps > 0 && self.looks > looks;
        }
        Ok(Seen { running: self.running, world: self.world })
    }

    fn decide(_: &String, request: &Request, seen: &Seen, so_far: &Progress<Step>) -> Next<Step> {
        match request.action {
            _ if seen.world == World::Meddles && so_far.applied.is_empty() => Next::Do(Step),
            Action::Stop | Action::ValidateAll | Action::Notify | Action::ReloadAgent => {
                Next::success()
            }
            Action::Monitor if seen.running => Next::success(),
            Action::Monitor => Next::fail(ExitCode::NotRunning, "demo1 was not there"),
            _ if seen.running => Next::success(),
            _ if seen.world == World::Circles => Next::Do(Step),
            _ if so_far.applied.iter().all(|step| step.failure.is_some()) => Next::Do(Step),
            _ if seen.world == World::Impatient => Next::wait(Duration::ZERO, "nothing"),
            _ => Next::wait(Duration::from_secs(7), "demo1 to run"),
        }
    }

    fn apply(
        &mut self,
        _: &String,
        _: &Request,
        _: Step,
        turn: &mut Turn<'_>,
    ) -> Result<(), DemoError> {
        self.steps += 1;
        if self.world == World::Refuses || (self.world == World::RefusesOnce && self.steps == 1) {
            return Err(DemoError::Start(cause()));
        }
        if self.world == World::RefusesOnce {
            self.running = true;
        }
        turn.info("Started demo1");
        Ok(())
    }

    fn exit_code(error: &DemoError, _: &Request) -> ExitCode {
        match error {
            DemoError::Start(_) => ExitCode::Installed,
            DemoError::Look => ExitCode::Generic,
        }
    }

    fn after_failure(_: &Step, _: &DemoError, _: &Request) -> duet_ocf::AfterFailure {
        duet_ocf::AfterFailure::LookAgain
    }
}

/// One invocation of the demo agent.
pub fn run(
    world: World,
    action: &str,
    variables: &[(&str, &str)],
) -> (ExitCode, Demo, VirtualHost) {
    run_on(VirtualHost::default(), world, action, variables)
}

/// The same on a machine of the test's choice.
pub fn run_on(
    mut host: VirtualHost,
    world: World,
    action: &str,
    variables: &[(&str, &str)],
) -> (ExitCode, Demo, VirtualHost) {
    let mut agent = Demo { world, running: false, looks: 0, steps: 0 };
    let environment: Environment = variables.iter().copied().collect();
    let words: Vec<String> = action.split_whitespace().map(str::to_owned).collect();
    let code = drive(&mut agent, &words, environment, &mut host);
    (code, agent, host)
}
