//! What is seen of one resource. Invariant: reads only, and ends by the operation's deadline; "the kernel does not have it"
//! and "the kernel could not be asked" are different values.

mod configured;
mod roles;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use duet_drbd::{Fencing, Generation, Version};
use duet_host::{drbd, file};
use duet_ocf::{Action, ExitCode, Request, Turn};

pub(crate) use self::{
    configured::{drbdadm, module_parameters},
    roles::Roles,
};
use crate::{
    config::Config,
    decide::validate::warnings,
    facts::{Facts, Kernel},
    promotion,
    record::{Kept, Link, Mark, Record},
    score::{Elsewhere, Score, is_unexpected_primary},
    surroundings::Surroundings,
};

/// What is kept of the time for killing a tool that hangs, for a last look, whose answer still counts, and for saying why.
pub(crate) fn reserve(timeout: Duration) -> Duration {
    (timeout / 10).clamp(Duration::from_millis(200), Duration::from_secs(2)).min(timeout / 2)
}

/// How long the kernel may take: it answers in milliseconds, or something holds its lock.
const KERNEL_PATIENCE: Duration = Duration::from_secs(5);
/// The shortest that the table advises, for who sets none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long Pacemaker may take in a promotion to say where else it is, which decides only how soon that is given up.
const PACEMAKER_PATIENCE: Duration = Duration::from_secs(3);

/// One look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Observation {
    /// What the kernel has of the resource.
    pub(crate) kernel: Kernel,
    /// The module's version, loaded or not; only validate-all asks.
    pub(crate) module: Option<Version>,
    /// What drbdadm says of the resource, for the actions that need it.
    pub(crate) configuration: Configuration,
    /// Whether Pacemaker knows of a promoted instance elsewhere, where that matters.
    pub(crate) elsewhere: Elsewhere,
    /// The device nodes that are not there yet, for a start.
    pub(crate) missing_nodes: Vec<PathBuf>,
    /// Who has the device open, where something could not be ended.
    pub(crate) openers: Vec<String>,
    /// What DRBD's latest refusal says about own and reachable data.
    pub(crate) access: Access,
    /// Whether all of its volumes have the role that it has, where that matters.
    pub(crate) roles: Roles,
    /// What has become of connecting it in this invocation; none where that was not tried.
    pub(crate) link: Option<Link>,
    /// What earlier invocations have left behind.
    pub(crate) remembered: Remembered,
}

impl Observation {
    /// Whether a peer is StandAlone that DRBD may have refused, or that somebody has disconnected. Where every connecting so far
    /// has failed, there has been nobody to refuse; with several such peers it cannot be told of which that is true.
    pub(crate) fn has_refused(&self, facts: &Facts) -> bool {
        let is_unmade = self.link.unwrap_or(self.remembered.kept.link) == Link::Unmade;
        let count = facts.stand_alone().count();
        count > 1 || (count == 1 && !is_unmade)
    }
}

/// The resource in DRBD's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Configuration {
    /// This action does not need it.
    NotAsked,
    /// It is not there, or could not be read.
    Unusable {
        /// What that means.
        code: ExitCode,
        /// Why.
        why: String,
    },
    /// It is there.
    Read(Configured),
}

/// What matters of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Configured {
    /// Whether drbdadm has to be told that it is stacked upon another one.
    pub(crate) is_stacked: bool,
    /// Whether it has allow-two-primaries.
    pub(crate) allows_two_primaries: bool,
    /// What happens to I/O when a peer is lost, for each connection.
    pub(crate) fencing: Vec<Fencing>,
    /// The command of the handler `fence-peer`.
    pub(crate) fence_peer: Option<String>,
    /// Whether there is a handler that lifts what that one has placed.
    pub(crate) has_unfence: bool,
}

/// Whether DRBD has found that there is no data to become Primary with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Access {
    /// It was not asked to, or refused for another reason.
    #[default]
    NotDenied,
    /// It has: `drbdadm primary` ended with 17.
    Denied,
}

impl Access {
    /// Whether it has.
    pub(crate) fn is_refused(self) -> bool {
        self == Access::Denied
    }
}

/// What is remembered from earlier invocations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Remembered {
    /// The score that was written, where it can be relied upon to be there still.
    pub(crate) score: Option<Score>,
    /// Whether the options are those of this invocation.
    pub(crate) has_options: bool,
    /// What was kept beside the score.
    pub(crate) kept: Kept,
}

/// What one invocation keeps from look to look.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// What drbdadm said of the resource.
    configuration: Option<Configuration>,
    /// The module's version as modinfo said it.
    module: Option<Option<Version>>,
    /// Whether DRBD has said that there is no data to become Primary with.
    pub(crate) access: Access,
    /// Whether something could not be ended.
    pub(crate) is_held: bool,
    /// Whether the score is written also where it is in place.
    pub(crate) writes_anew: bool,
    /// What earlier invocations have kept.
    pub(crate) kept: Kept,
    /// Whether this one has made the resource, so that nobody has connected it before.
    pub(crate) is_new: bool,
    /// What has become of connecting it in this one; none where that was not tried.
    pub(crate) link: Option<Link>,
    /// Whether it was tried to become Primary.
    pub(crate) has_tried_primary: bool,
    /// Who was promoted in Pacemaker's eyes when it was asked last.
    elsewhere: Option<Elsewhere>,
    /// The module's family, and this node's minors.
    generation: Option<Generation>,
    pub(crate) minors: Vec<u32>,
    /// Whether the log has been told what was not considered, and what deserves a look.
    warned: bool,
}

impl Known {
    /// Whether drbdadm has to be told that the resource is stacked.
    pub(crate) fn is_stacked(&self) -> bool {
        match &self.configuration {
            Some(Configuration::Read(read)) => read.is_stacked,
            Some(Configuration::Unusable { .. } | Configuration::NotAsked) | None => {
                self.kept.is_stacked
            }
        }
    }

    /// Whether the module is of the 9 family. Nothing is done before that is known.
    pub(crate) fn is_9(&self) -> bool {
        self.generation != Some(Generation::V8)
    }
}

/// Looks once.
pub(crate) fn look(
    config: &Config,
    request: &Request,
    known: &mut Known,
    turn: &mut Turn<'_>,
) -> Observation {
    // After the deadline, half of what was kept for it.
    let last = reserve(request.meta.timeout.unwrap_or(DEFAULT_TIMEOUT)) / 2;
    let share = (turn.remaining() / 2).clamp(last, KERNEL_PATIENCE);
    let now = turn.now();
    let deadline = duet_ocf::Deadline::at(now.saturating_add(share));
    let kernel = promotion::ask_kernel(&config.resource, deadline);
    // What is waited for by everything above it, or by a fail-over, trusts what is remembered as a monitor does.
    known.writes_anew =
        matches!(request.action, Action::Start | Action::Stop | Action::ReloadAgent);
    match &kernel {
        Kernel::Known(facts) => {
            known.generation = Some(facts.version.generation());
            known.minors = facts.volumes.iter().filter_map(|volume| volume.minor).collect();
        }
        Kernel::Unknown(version) => known.generation = Some(version.generation()),
        Kernel::NoModule | Kernel::Silent(_) => {}
    }
    let needs_configuration = match request.action {
        Action::Start | Action::ValidateAll => true,
        Action::Promote => config.options.promoted_max > 1,
        _ => false,
    };
    let configuration = if needs_configuration {
        let action = request.action;
        known.configuration.get_or_insert_with(|| configured::read(config, action, turn)).clone()
    } else {
        Configuration::NotAsked
    };
    let module = match (&kernel, request.action) {
        (Kernel::Known(Facts { version, .. }) | Kernel::Unknown(version), _) => Some(*version),
        (_, Action::ValidateAll) => {
            *known.module.get_or_insert_with(|| configured::installed(turn))
        }
        _ => None,
    };
    let described = Record::new(config);
    let node = config.node.as_deref();
    let is_asked = asks_who_is_promoted(config, request, &kernel);
    // Whatever Pacemaker says, DRBD is asked first.
    let is_early = request.action == Action::Promote && !known.has_tried_primary;
    let elsewhere = if !is_asked || is_early {
        Elsewhere::NotKnown
    } else if turn.remaining().is_zero() {
        // There is no time for another answer than the latest.
        known.elsewhere.unwrap_or(Elsewhere::NotKnown)
    } else {
        let patience = match request.action {
            Action::Promote => PACEMAKER_PATIENCE,
            _ => Duration::MAX,
        };
        let deadline = turn.within(patience.min(turn.remaining() / 2));
        *known.elsewhere.insert(promotion::ask_pacemaker(&config.instance, node, deadline))
    };
    let missing_nodes = match (&kernel, request.action) {
        (Kernel::Known(facts), Action::Start) => missing_nodes(facts),
        _ => Vec::new(),
    };
    let openers = match &kernel {
        Kernel::Known(facts) if known.is_held => openers(&config.resource, facts),
        _ => Vec::new(),
    };
    let remembered = remembered(config, &described);
    known.kept = remembered.kept.clone();
    if !known.warned {
        known.warned = true;
        for remark in &config.remarks {
            if request.action == Action::Monitor {
                turn.debug(remark);
            } else {
                turn.warning(remark);
            }
        }
        if let (Action::ValidateAll, Configuration::Read(read)) = (request.action, &configuration) {
            let around = Surroundings::look(&config.resource);
            for warning in warnings(config, module, read, &around) {
                turn.warning(warning);
            }
        }
    }
    Observation {
        access: known.access,
        link: known.link,
        roles: match (&kernel, request.action) {
            (Kernel::Known(facts), Action::Promote) => Roles::of(facts),
            _ => Roles::Alike,
        },
        kernel,
        module,
        configuration,
        elsewhere,
        missing_nodes,
        openers,
        remembered,
    }
}

/// Whether the decision depends on who is promoted in Pacemaker's eyes.
fn asks_who_is_promoted(config: &Config, request: &Request, kernel: &Kernel) -> bool {
    match (request.action, kernel) {
        (Action::Monitor, _) => {
            !request.is_probe() && crate::score::wants_elsewhere(kernel, &config.options)
        }
        (Action::Promote, Kernel::Known(facts)) => {
            config.fail_promote_early
                && is_unexpected_primary(facts, &config.options, Elsewhere::Nobody)
        }
        _ => false,
    }
}

fn remembered(config: &Config, described: &Record) -> Remembered {
    let Some(record) = Record::read(&config.record) else {
        return Remembered::default();
    };
    Remembered {
        score: record.score(Mark::now().as_ref()),
        has_options: record.is_of(described),
        kept: record.kept,
    }
}

/// The device nodes that udev, or whoever makes them here, has not made yet.
fn missing_nodes(facts: &Facts) -> Vec<PathBuf> {
    use std::os::unix::fs::FileTypeExt;
    let minors = facts.volumes.iter().filter_map(|volume| volume.minor);
    let nodes = minors.map(|minor| drbd::under_root(&format!("dev/drbd{minor}")));
    let is_there =
        |path: &Path| path.metadata().is_ok_and(|about| about.file_type().is_block_device());
    nodes.filter(|path| !is_there(path)).collect()
}

/// Who has a volume open, as 9 says it in debugfs; nobody where that is not mounted, or not of this module.
fn openers(resource: &str, facts: &Facts) -> Vec<String> {
    if resource.contains('/') || resource.starts_with('.') {
        return Vec::new();
    }
    let root = drbd::under_root("sys/kernel/debug/drbd/resources").join(resource).join("volumes");
    let texts = facts.volumes.iter().filter_map(|volume| {
        let path = root.join(volume.number.to_string()).join("openers");
        file::read_text(&path, 4096).ok()
    });
    let lines: Vec<String> =
        texts.flat_map(|text| text.lines().map(fold_blanks).collect::<Vec<_>>()).collect();
    lines.into_iter().filter(|line| !line.is_empty()).take(5).collect()
}

fn fold_blanks(line: &str) -> String {
    line.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}
