//! A migration as it happens: the connections to both sides, and how far it is. Invariant: looking changes nothing, every
//! question has a limit, and while memory is being sent only the source is asked.

use std::{
    sync::mpsc::{Receiver, TryRecvError},
    time::Duration,
};

use duet_domain::{MARK_NAMESPACE, MARK_PREFIX, Requirements, mark};
use duet_libvirt_rpc::{DomainRef, Error as LibvirtError, Hypervisor, Library};
use duet_ocf::{Turn, chain};

use crate::{
    config::Config,
    migrate::{Job, Plan, Sight, Step, Target},
    observe::{self, Identity, Observation},
    reach,
};

#[cfg(test)]
mod tests;

/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(10);
/// While memory is being sent, deadlines matter more than answers.
const GLANCE: Duration = Duration::from_secs(2);
/// Between two lines about the progress.
const REPORTS: Duration = Duration::from_secs(10);

/// What one look leaves for the next.
#[derive(Default)]
pub(crate) struct Run {
    source: Option<Box<dyn Library>>,
    target: Option<Box<dyn Library>>,
    ending: Option<Receiver<Result<(), LibvirtError>>>,
    ended: Option<Job>,
    ended_at: Option<Duration>,
    /// The beginning of this look.
    began_at: Duration,
    reported: Option<Duration>,
    /// Whether the target accepts the definition, once it was asked.
    verdict: Option<Option<String>>,
}

impl Run {
    /// Notices that the migration has ended. Done before the source is looked at: where a guest was seen while libvirt was
    /// still at it says nothing about where it is now.
    pub(crate) fn notice_the_end(&mut self, turn: &Turn<'_>) {
        self.began_at = turn.now();
        let Some(ending) = &self.ending else { return };
        let job = match ending.try_recv() {
            Ok(Ok(())) => Job::Succeeded,
            Ok(Err(error)) if error.fault().is_some() => Job::Failed(chain(&error)),
            Ok(Err(error)) => Job::Lost(chain(&error)),
            Err(TryRecvError::Disconnected) => Job::Lost("the client library broke off".to_owned()),
            Err(TryRecvError::Empty) => return,
        };
        self.ended_at = Some(self.began_at);
        (self.ended, self.ending) = (Some(job), None);
    }

    /// Looks at both sides; `seen` has the source already, and is younger than what [`Self::notice_the_end`] noticed.
    pub(crate) fn look(
        &mut self,
        config: &Config,
        plan: &Plan,
        seen: &Observation,
        turn: &mut Turn<'_>,
    ) -> Sight {
        let domain = match &seen.libvirt {
            observe::Answer::Known { ours: Some(domain), .. } => Some(domain.reference.clone()),
            _ => None,
        };
        let job = self.job(config, domain.as_ref(), turn);
        let target = match (&job, seen.identity()) {
            (Job::Running { .. }, _) | (_, None) => Target::NotAsked,
            (job, Some(identity)) => {
                let before = (*job == Job::None).then_some(domain.as_ref()).flatten();
                self.ask(config, plan, identity, before, turn).unwrap_or_else(|error| {
                    self.target = None;
                    Target::Silent(chain(&error))
                })
            }
        };
        // Both answers are older than this look's end, and a question may take long.
        let ended_for = self.ended_at.map(|at| self.began_at.saturating_sub(at));
        Sight { target, job, ended_for: ended_for.unwrap_or_default() }
    }

    fn job(&mut self, config: &Config, domain: Option<&DomainRef>, turn: &mut Turn<'_>) -> Job {
        match &self.ended {
            Some(job) => return job.clone(),
            None if self.ending.is_none() => return Job::None,
            None => {}
        }
        let limit = GLANCE.min(turn.remaining());
        let info = domain.and_then(|domain| {
            let result =
                self.source(config, limit).and_then(|libvirt| libvirt.migration_job(domain));
            // Between two phases, or while it ends, there is nothing to be told.
            if result.as_ref().is_err_and(|error| error.fault().is_none()) {
                self.source = None;
            }
            result.ok().flatten()
        });
        let now = turn.now();
        let since = now.saturating_sub(*self.reported.get_or_insert(now));
        if let (Some(info), Some(domain)) = (info, domain) {
            if since >= REPORTS {
                self.reported = Some(now);
                let mib = |bytes: u64| bytes / (1024 * 1024);
                turn.info(format!(
                    "Domain {} is migrating: {} MiB sent, {} of {} MiB remain",
                    domain.name,
                    mib(info.processed),
                    mib(info.remaining),
                    mib(info.total)
                ));
            }
        }
        Job::Running { first_pass_done: info.is_some_and(|info| info.iteration > 1) }
    }

    fn ask(
        &mut self,
        config: &Config,
        plan: &Plan,
        identity: &Identity,
        before: Option<&DomainRef>,
        turn: &mut Turn<'_>,
    ) -> Result<Target, LibvirtError> {
        let limit = QUESTION.min(turn.remaining());
        let verdict = match (before, &self.verdict) {
            (_, Some(verdict)) => Some(verdict.clone()),
            (Some(domain), None) => {
                let requirements = requirements(config, domain, limit)?;
                let target = self.target(plan, limit)?;
                let verdict = match target.accepts(&requirements) {
                    Ok(()) => None,
                    Err(error) if error.fault().is_some() => Some(chain(&error)),
                    Err(error) => return Err(error),
                };
                self.verdict = Some(verdict.clone());
                Some(verdict)
            }
            (None, None) => None,
        };
        let target = self.target(plan, limit)?;
        let domain = find_one(target.hypervisor(), identity)?;
        Ok(Target::Known { domain, refusal: verdict.flatten() })
    }

    /// Carries out a step; none of them waits for the migration.
    pub(crate) fn apply(
        &mut self,
        config: &Config,
        plan: &Plan,
        step: &Step,
        turn: &mut Turn<'_>,
    ) -> Result<(), LibvirtError> {
        let limit = QUESTION.min(turn.remaining());
        let settings = &config.migration;
        match step {
            Step::Mark(domain) => {
                let mark = mark(&config.instance);
                self.source(config, limit)?.mark(domain, &mark, MARK_PREFIX, MARK_NAMESPACE)
            }
            Step::Prepare(domain) => {
                let requirements = requirements(config, domain, limit)?;
                start_resources(self.target(plan, turn.remaining())?.as_mut(), &requirements)
            }
            Step::LimitSpeed(domain) => {
                let speed = settings.speed.unwrap_or_default();
                self.source(config, limit)?.set_migration_speed(domain, speed)
            }
            Step::Begin(domain) => {
                if let Some(remark) = &plan.remark {
                    turn.warning(remark);
                }
                let order = settings.order(plan, &config.uri, domain.uuid);
                if let Some(library) = reach::library() {
                    let data = plan.data.as_deref().map(|uri| format!(" over {uri}"));
                    turn.info(format!(
                        "Migrating domain {} to {} ({}{})",
                        domain.name,
                        plan.node,
                        plan.remote,
                        data.unwrap_or_default()
                    ));
                    self.reported = Some(turn.now());
                    self.ending = Some((library.migrate)(order));
                }
                Ok(())
            }
            Step::LimitDowntime(domain) => {
                let downtime = settings.downtime.unwrap_or_default();
                self.source(config, limit)?.set_migration_downtime(domain, downtime)
            }
            Step::Suspend(domain) => {
                turn.warning(format!("Pausing domain {}: its migration takes long", domain.name));
                self.source(config, limit)?.suspend(domain)
            }
            Step::SwitchToPostCopy(domain) => {
                turn.warning(format!(
                    "Domain {} goes on at the target, memory follows",
                    domain.name
                ));
                self.source(config, limit)?.switch_to_post_copy(domain)
            }
            Step::Abort(domain) => {
                turn.warning(format!("Aborting the migration of domain {}", domain.name));
                self.source(config, limit)?.abort_job(domain)
            }
            Step::Resume(domain) => {
                turn.warning(format!("Resuming domain {} after its failed migration", domain.name));
                self.source(config, limit)?.resume(domain)
            }
        }
    }

    fn source(
        &mut self,
        config: &Config,
        limit: Duration,
    ) -> Result<&mut Box<dyn Library>, LibvirtError> {
        refresh(&mut self.source, &config.uri, limit)
    }

    fn target(
        &mut self,
        plan: &Plan,
        limit: Duration,
    ) -> Result<&mut Box<dyn Library>, LibvirtError> {
        refresh(&mut self.target, &plan.remote, limit)
    }
}

/// The connection there is, or a new one.
fn refresh<'a>(
    slot: &'a mut Option<Box<dyn Library>>,
    uri: &str,
    limit: Duration,
) -> Result<&'a mut Box<dyn Library>, LibvirtError> {
    let connection = match slot.take() {
        Some(connection) => connection,
        None => reach::connect_by_library(uri, limit)?,
    };
    let connection = slot.insert(connection);
    connection.allow(limit);
    Ok(connection)
}

fn requirements(
    config: &Config,
    domain: &DomainRef,
    limit: Duration,
) -> Result<Requirements, LibvirtError> {
    let mut libvirt = reach::connect(config, limit)?;
    let xml = libvirt.describe(domain, false)?;
    libvirt.close();
    // libvirt's own XML; what cannot be read in it asks for nothing.
    Ok(Requirements::parse(xml.as_bytes()).unwrap_or_default())
}

/// Pools and networks of a definition, each started unless it runs.
pub(crate) fn start_resources(
    libvirt: &mut dyn Library,
    requirements: &Requirements,
) -> Result<(), LibvirtError> {
    for pool in &requirements.pools {
        libvirt.start_pool(pool)?;
    }
    for network in &requirements.networks {
        libvirt.start_network(network)?;
    }
    Ok(())
}

/// The domain with this identity on any libvirt.
fn find_one(
    libvirt: &mut dyn Hypervisor,
    identity: &Identity,
) -> Result<Option<observe::Domain>, LibvirtError> {
    let mut wanted = |at: usize| (at == 0).then(|| identity.clone());
    match observe::find(libvirt, &mut wanted, false)? {
        observe::Answer::Known { ours: Some(domain), .. } => Ok(Some(domain)),
        observe::Answer::Known { ours: None, namesake } => Ok(namesake),
        observe::Answer::NotAsked | observe::Answer::None { .. } => Ok(None),
    }
}

/// Pools and networks of the definition that is about to be started here.
pub(crate) fn start_resources_here(
    config: &Config,
    xml: Option<&str>,
    limit: Duration,
) -> Result<(), LibvirtError> {
    let requirements = Requirements::parse(xml.unwrap_or_default().as_bytes()).unwrap_or_default();
    start_resources(reach::connect_by_library(&config.uri, limit)?.as_mut(), &requirements)
}
