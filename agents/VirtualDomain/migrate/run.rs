//! A migration as it happens: the connections to both sides, and how far it is. Invariant: looking changes nothing, every
//! question has a limit, and while memory is being sent only the source is asked.

use std::{
    sync::mpsc::{Receiver, TryRecvError},
    time::Duration,
};

use duet_domain::{MARK_NAMESPACE, MARK_PREFIX, Requirements, mark};
use duet_host::clock;
use duet_libvirt_rpc::{DomainRef, Error as LibvirtError, Library};
use duet_ocf::{Turn, chain};

use crate::{
    LAST_LOOK,
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
    /// Who was sent there.
    migrated: Option<DomainRef>,
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
        let asked = match (&job, &domain, self.migrated.clone()) {
            (Job::None, Some(domain), _) => self.ask_before(config, plan, domain, turn),
            (Job::Succeeded | Job::Failed(_) | Job::Lost(_), _, Some(domain)) => {
                self.ask_after(plan, &domain, turn)
            }
            _ => Ok(Target::NotAsked),
        };
        let target = asked.unwrap_or_else(|error| {
            self.target = None;
            Target::Silent(chain(&error))
        });
        // No answer is older than the beginning of the look.
        let ended_for = self.ended_at.map(|at| self.began_at.saturating_sub(at));
        Sight { target, job, ended_for: ended_for.unwrap_or_default() }
    }

    fn job(&mut self, config: &Config, domain: Option<&DomainRef>, turn: &mut Turn<'_>) -> Job {
        match &self.ended {
            Some(job) => return job.clone(),
            None if self.ending.is_none() => return Job::None,
            None => {}
        }
        let limit = GLANCE.min(question(turn));
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

    /// Whether it could run there, and whether somebody of that name or UUID does.
    fn ask_before(
        &mut self,
        config: &Config,
        plan: &Plan,
        domain: &DomainRef,
        turn: &Turn<'_>,
    ) -> Result<Target, LibvirtError> {
        let refusal = match &self.verdict {
            Some(verdict) => verdict.clone(),
            None => {
                let requirements = requirements(config, domain, question(turn))?;
                let target = self.target(plan, question(turn))?;
                let verdict = match target.accepts(&requirements) {
                    Ok(()) => None,
                    Err(error) if error.fault().is_some() => Some(chain(&error)),
                    Err(error) => return Err(error),
                };
                self.verdict.insert(verdict).clone()
            }
        };
        let (ours, namesake) = self.find_there(plan, domain, turn)?;
        Ok(Target::Known { domain: ours.or(namesake), refusal })
    }

    /// What became of the one that was sent there. A namesake is somebody else.
    fn ask_after(
        &mut self,
        plan: &Plan,
        domain: &DomainRef,
        turn: &Turn<'_>,
    ) -> Result<Target, LibvirtError> {
        let (domain, _) = self.find_there(plan, domain, turn)?;
        Ok(Target::Known { domain, refusal: None })
    }

    /// The domain itself, and one that only has its name.
    fn find_there(
        &mut self,
        plan: &Plan,
        domain: &DomainRef,
        turn: &Turn<'_>,
    ) -> Result<(Option<observe::Domain>, Option<observe::Domain>), LibvirtError> {
        let identity = Identity { name: domain.name.clone(), uuid: Some(domain.uuid) };
        let mut wanted = |at: usize| (at == 0).then(|| identity.clone());
        let target = self.target(plan, question(turn))?;
        match observe::find(target.hypervisor(), &mut wanted, false)? {
            observe::Answer::Known { ours, namesake } => Ok((ours, namesake)),
            observe::Answer::NotAsked | observe::Answer::None { .. } => Ok((None, None)),
        }
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
                    self.migrated = Some(domain.clone());
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

/// What the next question may take; the last look after the deadline asks too.
fn question(turn: &Turn<'_>) -> Duration {
    QUESTION.min(turn.remaining()).max(LAST_LOOK)
}

/// The connection there is, or a new one; with connecting, everything asked of it takes `limit` at most.
fn refresh<'a>(
    slot: &'a mut Option<Box<dyn Library>>,
    uri: &str,
    limit: Duration,
) -> Result<&'a mut Box<dyn Library>, LibvirtError> {
    let began = clock::now();
    let connection = match slot.take() {
        Some(connection) => connection,
        None => reach::connect_by_library(uri, limit)?,
    };
    let connection = slot.insert(connection);
    connection.allow(limit.saturating_sub(clock::now().saturating_sub(began)));
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

/// Pools and networks of the definition that is about to be started here.
pub(crate) fn start_resources_here(
    config: &Config,
    xml: Option<&str>,
    limit: Duration,
) -> Result<(), LibvirtError> {
    let requirements = Requirements::parse(xml.unwrap_or_default().as_bytes()).unwrap_or_default();
    start_resources(reach::connect_by_library(&config.uri, limit)?.as_mut(), &requirements)
}
