//! ocf:rust:VirtualDomain: a libvirt domain under Pacemaker. The four steps are in observe.rs, decide.rs
//! and apply.rs; this file only joins them to the loop. Two programs are made from it (bin/): one that Pacemaker
//! calls, and one with libvirt's client library, which the first becomes where it needs it.

mod apply;
mod config;
mod decide;
mod definition;
mod hand_over;
mod memory;
mod migrate;
mod observe;
mod overlay;
mod place;
mod process;
mod reach;
mod shutdown_mode;
mod snapshot;
mod spec;
mod strangers;
mod upkeep;
mod utilization;

use std::{ffi::OsString, time::Duration};

use duet_host::processes::Process;
use duet_libvirt_rpc::ClientLibrary;
use duet_ocf::{
    Action, AfterFailure, Agent, ExitCode, Next, Progress, Refusal, Request, Spec, Turn, Values,
};

use crate::{
    config::Config,
    decide::Step,
    definition::Written,
    observe::{Answer, Document, Observation, Silence},
    process::Processes,
    snapshot::Seen,
};

/// The look after the deadline, whose answer still counts, takes from the loop's reserve (never below 100 ms); a
/// round trip to a local daemon takes one.
const LAST_LOOK: Duration = Duration::from_millis(50);

/// How long a monitor waits for a libvirt that does not answer, before the guest's process decides.
const MONITOR_PATIENCE: Duration = Duration::from_millis(1500);
/// How long one look at the source of a migration may take, and half of what is left: an abort has to go out after it.
const MIGRATION_PATIENCE: Duration = Duration::from_secs(10);
/// How long a stop does: only libvirt can ask the guest itself.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// How long a libvirt that has let a question wait already is waited for, time and again.
const FROZEN_PATIENCE: Duration = Duration::from_millis(250);

/// The agent; what one look leaves for the next.
// Not Debug: a definition can hold passwords.
#[derive(Default)]
struct VirtualDomain {
    /// What was found out about the definition file.
    written: Written,
    /// The definition as it was judged in the latest look.
    xml: Option<String>,
    /// Whether the log has been told about an unusable definition or memory.
    complained: bool,
    /// Whether the log has been told what this stop does not do.
    warned: bool,
    /// Since when libvirt has not been answering.
    silent_since: Option<Duration>,
    /// Whether it let a question wait for too long.
    is_frozen: bool,
    /// The domain whose memory was saved.
    saved: Option<String>,
    /// Why libvirt's client library cannot be had, where it is needed.
    missing: Option<String>,
    /// A migration from here.
    migration: migrate::run::Run,
    /// The guest's process, if libvirt could not be asked and there is one.
    process: Option<Process>,
}

impl VirtualDomain {
    /// All there is, unless a process can stand in for libvirt.
    fn time_for_libvirt(&self, config: &Config, action: Action, remaining: Duration) -> Duration {
        let share = match action {
            Action::MigrateTo => MIGRATION_PATIENCE.min(remaining / 2),
            _ if !process::can_tell(config.driver, action) => remaining,
            _ if self.is_frozen => FROZEN_PATIENCE.min(remaining),
            Action::Stop => STOP_PATIENCE.min(remaining / 2),
            _ => MONITOR_PATIENCE.min(remaining / 3),
        };
        share.max(LAST_LOOK)
    }
}

impl Agent for VirtualDomain {
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
        turn: &mut Turn<'_>,
    ) -> Result<Observation, apply::Error> {
        if let Some(why) = &self.missing {
            return Err(apply::Error::NoLibrary(why.clone()));
        }
        if config.migration.plan.is_some() {
            self.migration.notice_the_end(turn);
        }
        let began = turn.now();
        let remaining = turn.remaining();
        let limit = self.time_for_libvirt(config, request.action, remaining);
        let times = observe::Times { limit, remaining };
        let (mut seen, xml) = observe::look(
            config,
            request.action,
            times,
            self.process,
            self.saved.as_deref(),
            &mut self.written,
        );
        self.xml = xml;
        if matches!(seen.snapshot, Seen::Unfit(_)) {
            // What cannot be looked at is not waited for again.
            self.saved = None;
        }
        match &mut seen.libvirt {
            Answer::None { silent, silence, why } => {
                let since = *self.silent_since.get_or_insert(began);
                *silent = turn.now().saturating_sub(since);
                self.is_frozen |= *silence == Silence::Frozen;
                if let Processes::Found(process) = seen.processes {
                    if self.process.replace(process) != Some(process) {
                        turn.warning(format!("{why}; process {} is the domain's", process.pid));
                    }
                }
            }
            Answer::NotAsked | Answer::Known { .. } => {
                (self.silent_since, self.is_frozen) = (None, false);
            }
        }
        if request.action == Action::Stop && !self.warned {
            self.warned = true;
            let unfit = match &seen.snapshot {
                Seen::Unfit(why) => Some(format!("{why}; the memory is not saved")),
                Seen::NotAsked | Seen::Fit | Seen::Images(_) => None,
            };
            let ignored =
                config.set_aside.iter().map(|why| format!("{why}; not considered in stop"));
            for why in ignored.chain(unfit) {
                turn.warning(why);
            }
        }
        if let Some(plan) = &config.migration.plan {
            seen.migration = Some(self.migration.look(config, plan, &seen, turn));
        }
        // Where it is not the outcome anyway: somebody should look before the next start.
        let goes_on = request.action == Action::Stop || seen.libvirt != Answer::NotAsked;
        if goes_on && !self.complained {
            if let Document::Unusable(why) | Document::Missing(why) = &seen.document {
                turn.warning(why);
                self.complained = true;
            }
            let is_told = |why: &&String| request.may_change() && *why != memory::BEGUN;
            if let Some(why) = seen.unclear.as_ref().filter(is_told) {
                turn.warning(why);
                self.complained = true;
            }
        }
        Ok(seen)
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
        apply::apply(config, self.xml.as_deref(), &step, &mut self.migration, turn)?;
        // Only after libvirt's yes do the images matter to a stop.
        if let Step::Save { domain, .. } = &step {
            self.saved = Some(domain.name.clone());
        }
        Ok(())
    }

    fn exit_code(error: &apply::Error, request: &Request) -> ExitCode {
        apply::exit_code(error, request.action)
    }

    fn after_failure(step: &Step, error: &apply::Error, _request: &Request) -> AfterFailure {
        apply::after_failure(step, error)
    }
}

/// Runs the agent and exits. Without the client library, what needs it is handed over to the program that has it.
pub fn main(library: Option<ClientLibrary>) -> ! {
    let mut agent = VirtualDomain::default();
    match library {
        Some(library) => reach::with(library),
        None if is_library_needed() => agent.missing = Some(hand_over::become_it()),
        None => {}
    }
    duet_host::run(agent)
}

fn is_library_needed() -> bool {
    let action = std::env::args_os().nth(1).unwrap_or_default();
    let value = |name: &str| std::env::var_os(format!("OCF_RESKEY_{name}"));
    let text = |value: Option<OsString>| value.map(|value| value.to_string_lossy().into_owned());
    let (uri, start_resources) = (text(value("hypervisor")), text(value("start_resources")));
    hand_over::is_needed(&action.to_string_lossy(), |name| match name {
        "hypervisor" => uri.as_deref(),
        _ => start_resources.as_deref(),
    })
}
