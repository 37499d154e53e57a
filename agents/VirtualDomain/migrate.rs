//! Live migration: what is configured, what is seen of it, and its steps. Which of them comes next is decided in
//! decide/migrate_to.rs; uri.rs and options.rs read the parameters, run.rs does it.

pub(crate) mod marked;
pub(crate) mod options;
pub(crate) mod run;
pub(crate) mod uri;

use std::{fmt, time::Duration};

use duet_domain::Uuid;
use duet_libvirt_rpc::{DomainRef, Order};
use duet_ocf::{Action, ExitCode, Refusal, Request, Strictness, Values};

use crate::{migrate::options::Options, observe::Domain};

/// The parameters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Settings {
    /// Where to.
    pub(crate) parts: uri::Parts,
    /// How.
    pub(crate) options: Options,
    /// Milliseconds for which the guest may stand still; none: libvirt's.
    pub(crate) downtime: Option<Duration>,
    /// MiB/s; none: libvirt's.
    pub(crate) speed: Option<u64>,
    /// Where this invocation's migration goes to; migrate_to only.
    pub(crate) plan: Option<Plan>,
}

/// A migration to one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Its name.
    pub(crate) node: String,
    /// Its libvirt.
    pub(crate) remote: String,
    /// Where the memory is sent.
    pub(crate) data: Option<String>,
    /// What the log should say.
    pub(crate) remark: Option<String>,
}

impl Settings {
    /// Reads them. An action that depends on nothing but the identity takes what it can use.
    pub(crate) fn read(
        request: &Request,
        values: &Values,
        hypervisor: &str,
    ) -> Result<Self, Refusal> {
        match Self::judge(request, values, hypervisor) {
            Err(_) if request.action.strictness() == Strictness::Lenient => Ok(Self::default()),
            result => result,
        }
    }

    fn judge(request: &Request, values: &Values, hypervisor: &str) -> Result<Self, Refusal> {
        let refuse = |code, reason| Err(Refusal::other(code, reason));
        let text = |name: &str| values.text(name).map(|text| text.trim().to_owned());
        let above_zero = |name: &str| {
            values.integer(name).and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0)
        };
        let options = Options::parse(values.text("migrate_options").unwrap_or_default());
        let options = match options {
            Ok(options) => options,
            Err(why) => return refuse(ExitCode::Configured, format!("migrate_options: {why}")),
        };
        let user = text("migration_user");
        if let Some(user) = user.as_ref().filter(|user| !is_user(user)) {
            let reason = format!("migration_user={user:?}: not a user's name");
            return refuse(ExitCode::Configured, reason);
        }
        let transport = text("migration_transport");
        let is_word = |word: &String| word.chars().all(|c| c.is_ascii_alphanumeric());
        if let Some(word) = transport.as_ref().filter(|word| !is_word(word)) {
            let reason = format!("migration_transport={word:?}: not a transport of libvirt's");
            return refuse(ExitCode::Configured, reason);
        }
        let parts = uri::Parts {
            transport,
            user,
            suffix: text("migration_network_suffix"),
            port: values.integer("migrateport").and_then(|port| u16::try_from(port).ok()),
            remote: text("remoteuri"),
            data: text("migrateuri").or_else(|| options.data.clone()),
        };
        let plan = if request.action == Action::MigrateTo {
            let Some(node) = request.meta.migrate_target.as_deref() else {
                let reason = "OCF_RESKEY_CRM_meta_migrate_target is not set: it names the node to migrate to";
                return refuse(ExitCode::Arguments, reason.to_owned());
            };
            let Some(remote) = uri::remote(hypervisor, &parts, node) else {
                let reason =
                    format!("hypervisor={hypervisor:?}: not a URI that leads to another node");
                return refuse(ExitCode::Configured, reason);
            };
            let (data, remark) = uri::data(hypervisor, &parts, node);
            Some(Plan { node: node.to_owned(), remote, data, remark })
        } else {
            None
        };
        Ok(Self {
            parts,
            options,
            downtime: above_zero("migration_downtime").map(Duration::from_millis),
            speed: above_zero("migration_speed"),
            plan,
        })
    }

    /// What libvirt is asked for.
    pub(crate) fn order(&self, plan: &Plan, source: &str, domain: Uuid) -> Order {
        Order {
            source: source.to_owned(),
            domain,
            target: plan.remote.clone(),
            data: plan.data.clone(),
            flags: self.options.flags,
            parameters: self.options.parameters.clone(),
        }
    }
}

/// A name that a system could have, which stays one word in a URI.
fn is_user(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || "_.-$".contains(c))
}

/// What is seen of a migration beside the domain here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sight {
    /// The other side.
    pub(crate) target: Target,
    /// How far it is.
    pub(crate) job: Job,
    /// Since it was seen to have ended.
    pub(crate) ended_for: Duration,
}

/// What the target's libvirt says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Nothing, it was not asked.
    NotAsked,
    /// It could not be asked.
    Silent(String),
    /// What it knows.
    Known {
        /// The domain.
        domain: Option<Domain>,
        /// Why it could not run there.
        refusal: Option<String>,
    },
}

/// How far a migration is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Job {
    /// There is none.
    None,
    /// libvirt is at it.
    Running {
        /// All memory was sent once.
        first_pass_done: bool,
    },
    /// libvirt says that it worked.
    Succeeded,
    /// libvirt says that it did not.
    Failed(String),
    /// libvirt was lost meanwhile: whether the guest was let go at the target, nobody has said.
    Lost(String),
}

/// One change of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write the resource's name into the running domain.
    Mark(DomainRef),
    /// Start pools and networks at the target.
    Prepare(DomainRef),
    /// Limit the speed.
    LimitSpeed(DomainRef),
    /// Begin.
    Begin(DomainRef),
    /// Limit the downtime.
    LimitDowntime(DomainRef),
    /// Pause the guest, so that it converges.
    Suspend(DomainRef),
    /// Let it go on there.
    SwitchToPostCopy(DomainRef),
    /// Give up.
    Abort(DomainRef),
    /// Let the guest run on here.
    Resume(DomainRef),
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mark(domain) => write!(out, "mark domain {} as the resource's", domain.name),
            Self::Prepare(domain) => {
                write!(out, "start the pools and networks of domain {} at the target", domain.name)
            }
            Self::LimitSpeed(domain) => {
                write!(out, "limit the speed of the migration of domain {}", domain.name)
            }
            Self::Begin(domain) => write!(out, "migrate domain {}", domain.name),
            Self::LimitDowntime(domain) => {
                write!(out, "limit the downtime of the migration of domain {}", domain.name)
            }
            Self::Suspend(domain) => write!(out, "pause domain {} while it migrates", domain.name),
            Self::SwitchToPostCopy(domain) => {
                write!(out, "switch the migration of domain {} to post-copy", domain.name)
            }
            Self::Abort(domain) => write!(out, "abort the migration of domain {}", domain.name),
            Self::Resume(domain) => write!(out, "resume domain {}", domain.name),
        }
    }
}
