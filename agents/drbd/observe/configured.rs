//! What drbdadm and modinfo say, for the actions that need it. Invariant: every call has a share of the time that is left, and
//! what is printed in another form than expected is a failure that names the tool.

use duet_drbd::{Configuration as Document, Fencing, Version, tools};
use duet_host::{Error as HostError, drbd, file, process::Call};
use duet_ocf::{Action, ExitCode, Turn, chain};

use super::{Configuration, Configured};
use crate::config::Config;

/// What drbdadm prints of all resources.
const LIMIT: usize = 16 * 1024 * 1024;

/// A call of drbdadm for this configuration, without its command.
pub(crate) fn drbdadm(config: &Config, is_stacked: bool) -> Call {
    let call = Call::new("drbdadm").env("LC_ALL", "C").arg("-c").arg(&config.file);
    if is_stacked { call.arg("--stacked") } else { call }
}

/// What drbdadm says of the resource: whether it is for this node, and where that decides something, its options.
pub(super) fn read(config: &Config, action: Action, turn: &mut Turn<'_>) -> Configuration {
    let is_stacked = match find(config, turn) {
        Ok(is_stacked) => is_stacked,
        Err(unusable) => return unusable,
    };
    if action != Action::ValidateAll && config.options.promoted_max <= 1 {
        return Configuration::Read(Configured { is_stacked, ..Configured::default() });
    }
    // All of it: a dump of one resource has neither a root nor what `common` says (drbd-utils 9.22).
    let text = match say(&drbdadm(config, false).arg("dump-xml"), turn) {
        Ok(Ok(text)) => text,
        Ok(Err(how)) => return unusable(ExitCode::Installed, format!("drbdadm dump-xml {how}")),
        Err(unusable) => return unusable,
    };
    let mut document = match Document::parse(&text) {
        Ok(document) => document,
        Err(why) => return unusable(ExitCode::Generic, chain(&why)),
    };
    let Some(resource) = document.resources.remove(&config.resource) else {
        let why = format!("drbdadm dumps no resource {}", config.resource);
        return unusable(ExitCode::Generic, why);
    };
    Configuration::Read(Configured {
        is_stacked,
        // What a template hides is left to DRBD itself to refuse.
        allows_two_primaries: resource.allows_two_primaries() != Some(false),
        fencing: fencing(&resource),
        fence_peer: resource.handlers.get("fence-peer").map(str::to_owned),
        has_unfence: ["unfence-peer", "after-resync-target"]
            .iter()
            .any(|name| resource.handlers.get(name).is_some()),
    })
}

/// Whether the resource is one for this node, stacked (true) or not.
fn find(config: &Config, turn: &mut Turn<'_>) -> Result<bool, Configuration> {
    let name = &config.resource;
    if let Err(why) = file::read(&config.file, LIMIT) {
        return Err(unusable(ExitCode::Installed, format!("Resource {name}: {}", chain(&why))));
    }
    let mut reason = None;
    for is_stacked in [false, true] {
        match say(&drbdadm(config, is_stacked).args(["sh-dev", name]), turn)? {
            Ok(text) if tools::devices(&text).is_empty() => {
                let why = format!("drbdadm sh-dev named no device of resource {name}");
                return Err(unusable(ExitCode::Generic, why));
            }
            Ok(_) => return Ok(is_stacked),
            // What it says of the resource itself, and not of a stacked one of that name.
            Err(how) => reason = reason.or(Some(how)),
        }
    }
    let how = reason.unwrap_or_default();
    let why = format!("Resource {name} is not to be had from the configuration: drbdadm {how}");
    Err(unusable(ExitCode::Installed, why))
}

/// What drbdadm prints, or how it failed.
fn say(call: &Call, turn: &mut Turn<'_>) -> Result<Result<String, String>, Configuration> {
    match call.clone().limit(LIMIT).run(turn.within(turn.remaining() / 2)) {
        Ok(ended) if ended.is_success() => {
            Ok(Ok(String::from_utf8_lossy(&ended.stdout).into_owned()))
        }
        Ok(ended) => Ok(Err(ended.describe())),
        Err(error @ HostError::NotFound { .. }) => {
            Err(unusable(ExitCode::Installed, chain(&error)))
        }
        Err(error) => Err(unusable(ExitCode::Generic, chain(&error))),
    }
}

fn unusable(code: ExitCode, why: String) -> Configuration {
    Configuration::Unusable { code, why }
}

/// The policy of every connection, where it is known.
fn fencing(resource: &duet_drbd::Configured) -> Vec<Fencing> {
    if resource.connections.is_empty() {
        return resource.fencing(None).into_iter().collect();
    }
    resource.connections.iter().filter_map(|link| resource.fencing(Some(link))).collect()
}

/// The version of the module that could be loaded.
pub(super) fn installed(turn: &mut Turn<'_>) -> Option<Version> {
    if let Ok(Some(version)) = drbd::version() {
        return Some(version);
    }
    let call = Call::new("modinfo").args(["-F", "version", "drbd"]);
    let ended = call.run(turn.within(turn.remaining() / 2)).ok()?;
    ended.is_success().then(|| Version::parse(&String::from_utf8_lossy(&ended.stdout))).flatten()
}

/// The words of a module's parameters, as drbdadm has them.
pub(crate) fn module_parameters(config: &Config, turn: &mut Turn<'_>) -> Vec<String> {
    let call = drbdadm(config, false).arg("sh-mod-parms");
    match call.run(turn.within(turn.remaining() / 4)) {
        Ok(ended) if ended.is_success() => {
            tools::module_parameters(&String::from_utf8_lossy(&ended.stdout))
        }
        Ok(_) | Err(_) => Vec::new(),
    }
}
