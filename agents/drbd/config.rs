//! Environment to configuration, once. Invariant: stop, demote, notify and monitor need nothing but the identity, the
//! resource's name; start and validate-all refuse what is not right everywhere with 6, promote and reload-agent of that only a
//! clone or a configuration file with which they must not go on.

use std::{fmt, path::PathBuf, time::Duration};

use duet_drbd::Version;
use duet_ocf::{
    Action, CloneFacts, Environment, ExitCode, Refusal, Request, Strictness, Values, boolean_word,
};

use crate::score::{PeerPrimary, Scores};

/// Where resource agents keep what has to last until the next boot.
const STATE_DIRECTORY: &str = "/run/resource-agents";

/// What matters to the promotion score, beside the facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The four scores.
    pub scores: Scores,
    /// What a Primary peer does to it.
    pub peer_primary: PeerPrimary,
    /// How many instances may be promoted.
    pub promoted_max: u32,
}

/// The configuration of one invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The DRBD resource.
    pub resource: String,
    /// DRBD's configuration file.
    pub file: PathBuf,
    /// The cluster resource, without an instance number unless that makes a difference.
    pub instance: String,
    /// This node's name in the cluster, where Pacemaker said it.
    pub node: Option<String>,
    /// What matters to the score.
    pub options: Options,
    /// Mark own data as outdated when stopping.
    pub stop_outdates_secondary: bool,
    /// How long a start waits for connections.
    pub connect_patience: Duration,
    /// Give a promotion up early while a peer is Primary.
    pub fail_promote_early: bool,
    /// Call the unfence-peer handler from monitors, with these arguments.
    pub unfence: Option<String>,
    /// The lowest version of the module.
    pub from_version: Version,
    /// The first version that is too new.
    pub before_version: Version,
    /// Connect after the promotion.
    pub connect_only_after_promote: bool,
    /// The nodes with a promoted instance, as Pacemaker knows them.
    pub promoted: Vec<String>,
    /// The nodes on which it is being stopped.
    pub stopping: Vec<String>,
    /// The nodes on which it is being demoted.
    pub demoting: Vec<String>,
    /// The names among which 8.4's floating peer is looked for, in this order.
    pub relatives: Vec<String>,
    /// Where score and options are remembered.
    pub record: PathBuf,
    /// How many instances there may be, where Pacemaker said it.
    pub clone_max: Option<u32>,
    /// What was not considered, or replaced by a default, and why.
    pub remarks: Vec<String>,
}

impl Config {
    /// Reads it.
    ///
    /// # Errors
    /// A missing or impossible name of the resource; for actions that read strictly, whatever cannot be right on any
    /// node.
    pub fn read(request: &Request, values: &Values) -> Result<Self, Refusal> {
        let is_strict = strictness(request.action) == Strictness::Strict;
        // These were in order when it was started, and decide what is done to which data.
        let is_careful =
            is_strict || matches!(request.action, Action::Promote | Action::ReloadAgent);
        let mut remarks = Vec::new();
        if is_careful {
            clone_options(request.action, request.meta.clone.as_ref())?;
        }
        let mut file = values.text("drbdconf").unwrap_or("/etc/drbd.conf").to_owned();
        if !is_word(&file) {
            let refusal =
                wrong(format!("drbdconf={file:?}: has characters that drbdadm is not given"));
            if is_careful {
                return Err(refusal);
            }
            remarks.push(refusal.to_string());
            "/etc/drbd.conf".clone_into(&mut file);
        }
        let resource = values.require("drbd_resource")?.to_owned();
        if !is_word(&resource) || resource.starts_with('-') {
            let reason = format!("drbd_resource={resource:?}: not a name of a DRBD resource");
            return Err(wrong(reason));
        }
        let mut judge = |result: Result<(), String>| match result {
            Ok(()) => Ok(()),
            Err(why) if is_strict => Err(wrong(why)),
            Err(why) => {
                remarks.push(why);
                Ok(())
            }
        };
        let mut from_version = Version { major: 8, minor: 0, patch: 0 };
        let mut before_version = Version { major: 10, minor: 0, patch: 0 };
        for (name, bound) in [
            ("require_drbd_module_version_ge", &mut from_version),
            ("require_drbd_module_version_lt", &mut before_version),
        ] {
            if let Some(text) = values.text(name) {
                match bare_version(text) {
                    Some(version) => *bound = version,
                    None => judge(Err(format!("{name}={text:?}: not a version such as 9.1.0")))?,
                }
            }
        }
        let mut peer_primary = PeerPrimary::Ignore;
        let (name, text) = either(
            values,
            ["remove_promotion_score_if_peer_primary", "remove_master_score_if_peer_primary"],
        );
        match peer_primary_word(text) {
            Some(word) => peer_primary = word,
            None => judge(Err(format!("{name}={text:?}: neither a boolean nor \"unexpected\"")))?,
        }
        if is_careful
            && needs_notifications(request)
            && !values.boolean("ignore_missing_notifications")
            && !is_garbled(values, "ignore_missing_notifications")
        {
            return Err(wrong(
                "The clone needs notify=true (or the resource ignore_missing_notifications=true)",
            ));
        }
        let (name, text) = either(values, ["adjust_promotion_score", "adjust_master_score"]);
        let scores = Scores::parse(text).unwrap_or_else(|| {
            remarks.push(format!(
                "{name}={text:?}: not four numbers of which none is smaller than the one before it; {} is used",
                Scores::DEFAULT
            ));
            Scores::DEFAULT
        });
        let environment = &request.environment;
        let promoted = names(environment, &["promoted", "master"]);
        let relatives = ["start", "promote", "promoted", "master", "unpromoted", "slave", "demote"];
        Ok(Self {
            options: Options {
                scores,
                peer_primary,
                promoted_max: request.meta.clone.as_ref().and_then(|c| c.promoted_max).unwrap_or(1),
            },
            stop_outdates_secondary: values.boolean("stop_outdates_secondary"),
            connect_patience: seconds(values.text("wfc_timeout").unwrap_or_default()),
            fail_promote_early: values.boolean("fail_promote_early_if_peer_primary"),
            unfence: values
                .boolean("unfence_if_all_uptodate")
                .then(|| values.text("unfence_extra_args").unwrap_or_default().to_owned()),
            from_version,
            before_version,
            connect_only_after_promote: values.boolean("connect_only_after_promote"),
            stopping: names(environment, &["stop"]),
            demoting: names(environment, &["demote"]),
            relatives: relatives.iter().flat_map(|list| names(environment, &[list])).collect(),
            promoted,
            node: request.meta.on_node.clone(),
            record: record(request),
            clone_max: request.meta.clone.as_ref().and_then(|clone| clone.max),
            instance: instance(request),
            file: PathBuf::from(file),
            resource,
            remarks,
        })
    }

    /// Whether this is the name of this node, whatever the case.
    #[must_use]
    pub fn is_here(&self, node: &str) -> bool {
        self.node.as_deref().is_some_and(|here| here.eq_ignore_ascii_case(node))
    }

    /// Another node on which Pacemaker knows a promoted instance that stays so: it is neither being stopped nor demoted.
    #[must_use]
    pub fn promoted_elsewhere(&self) -> Option<&str> {
        let stays = |node: &&String| {
            !self.stopping.iter().chain(&self.demoting).any(|it| it.eq_ignore_ascii_case(node))
        };
        let other = |node: &&String| self.node.is_some() && !self.is_here(node);
        self.promoted.iter().filter(other).find(stays).map(String::as_str)
    }
}

fn wrong(reason: impl Into<String>) -> Refusal {
    Refusal::other(ExitCode::Configured, reason)
}

/// Whether this parameter's word was set aside.
fn is_garbled(values: &Values, name: &str) -> bool {
    values.set_aside().iter().any(|refusal| refusal.to_string().contains(name))
}

/// How an action reads the table's parameters. A word that nobody understands, in an option that changed while the resource runs,
/// must not end in 6, which is fatal on every node: the default of each of them protects the data no less.
pub(crate) fn strictness(action: Action) -> Strictness {
    match action {
        Action::Promote | Action::ReloadAgent => Strictness::Lenient,
        action => action.strictness(),
    }
}

/// What may be part of a command line without surprising anybody.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-%+./:=@_".contains(c))
}

/// x.y.z and nothing else.
fn bare_version(text: &str) -> Option<Version> {
    let is_bare = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    is_bare.then(|| Version::parse(text)).flatten().filter(|_| text.split('.').count() == 3)
}

/// The first of these that is set; else the last, which has the default.
fn either<'a>(values: &'a Values, names: [&'static str; 2]) -> (&'static str, &'a str) {
    let name = if values.is_set(names[0]) { names[0] } else { names[1] };
    (name, values.text(name).unwrap_or_default())
}

fn peer_primary_word(text: &str) -> Option<PeerPrimary> {
    match boolean_word(text) {
        Some(true) => Some(PeerPrimary::Remove),
        Some(false) => Some(PeerPrimary::Ignore),
        None if text.trim().eq_ignore_ascii_case("unexpected") => {
            Some(PeerPrimary::RemoveUnexpected)
        }
        None => None,
    }
}

/// Whole seconds; anything else is no time at all.
fn seconds(text: &str) -> Duration {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number too long for 64 bits is for ever, which the operation's own deadline bounds.
    if is_number { Duration::from_secs(text.parse().unwrap_or(u64::MAX)) } else { Duration::ZERO }
}

/// What the clone must be like. Outside a cluster, validate-all is told nothing about it.
fn clone_options(action: Action, clone: Option<&CloneFacts>) -> Result<(), Refusal> {
    let Some(clone) = clone else {
        return match action {
            Action::ValidateAll => Ok(()),
            _ => Err(wrong("drbd has to be the resource of a promotable clone")),
        };
    };
    let bound = |name: &str, value: u32, max: u32| match value {
        1.. if value <= max => Ok(()),
        _ => Err(wrong(format!("{name}={value}: {} is what drbd can do", up_to(max)))),
    };
    bound("clone-node-max", clone.node_max.unwrap_or(1), 1)?;
    bound("promoted-node-max", clone.promoted_node_max.unwrap_or(1), 1)?;
    let promoted_max = clone.promoted_max.unwrap_or(1);
    bound("promoted-max", promoted_max, 2)?;
    let Some(max) = clone.max else {
        return Err(wrong(
            "drbd has to be the resource of a promotable clone: clone-max is not known",
        ));
    };
    match max {
        0 => bound("clone-max", max, u32::MAX),
        // Two writers and a third node is more than anybody has tested.
        _ if promoted_max == 2 => bound("clone-max (with promoted-max=2)", max, 2),
        _ => Ok(()),
    }
}

fn up_to(max: u32) -> impl fmt::Display {
    if max == 1 { "1".to_owned() } else { format!("1 to {max}") }
}

/// Whether this is a clone whose instances hear nothing of each other.
fn needs_notifications(request: &Request) -> bool {
    let told = request.meta.clone.as_ref().is_some_and(|clone| clone.notify)
        || request.environment.get("OCF_RESKEY_CRM_meta_notify_start_uname").is_some();
    request.action != Action::ValidateAll && !told
}

/// The node names in the first of these lists of Pacemaker's that has any.
fn names(environment: &Environment, lists: &[&str]) -> Vec<String> {
    let list = |name: &&str| environment.meta(&format!("notify_{name}_uname"));
    let found = lists.iter().find_map(list).unwrap_or_default();
    found.split_whitespace().map(str::to_owned).collect()
}

/// The name that the score goes by: an anonymous clone's instances share it, and each of a globally unique one has its own.
fn instance(request: &Request) -> String {
    let name = request.instance_or_default();
    if request.meta.clone.as_ref().is_some_and(|clone| clone.globally_unique) {
        return name.to_owned();
    }
    match name.rsplit_once(':') {
        Some((base, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => base.to_owned(),
        Some(_) | None => name.to_owned(),
    }
}

/// Where score and options are remembered.
fn record(request: &Request) -> PathBuf {
    let directory = request.environment.filled("HA_RSCTMP").unwrap_or(STATE_DIRECTORY);
    // Resource ids are XML ids and cannot hold a slash; a caller by hand could.
    PathBuf::from(directory).join(format!("drbd-{}.record", instance(request).replace('/', "_")))
}

#[cfg(test)]
mod tests;
