//! One look at the world: the definition, the remembered identity, and what libvirt says about both; the guest's
//! own process where libvirt says nothing. Invariant: reads only; and "libvirt does not know such a domain" is kept
//! apart from "libvirt could not be asked".

mod images;

use std::time::Duration;

use duet_domain::{State, Uuid};
use duet_host::{clock, processes::Process};
use duet_libvirt_rpc::{DomainInfo, DomainRef, Error as LibvirtError, Hypervisor};
use duet_ocf::{Action, chain};

use crate::{
    config::Config,
    definition::Written,
    memory::{self, Recalled, Unfinished},
    migrate::{self, marked},
    overlay::{self, Overlay},
    process::{self, Processes},
    reach,
    snapshot::{Image, Seen},
    strangers::{self, Strangers},
    upkeep::{self, Upkeep},
};

pub(crate) use reach::connect;

/// What libvirt gets to answer in any case: slow storage may have taken all there was.
const LEAST: Duration = Duration::from_millis(50);

/// Who a domain is. Without a UUID, the name alone says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Its name.
    pub(crate) name: String,
    /// Its UUID.
    pub(crate) uuid: Option<Uuid>,
}

/// What the definition file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    /// Who the domain is.
    Read(Identity),
    /// There is no such file.
    Missing(String),
    /// It is there, or may be, and cannot be read or understood.
    Unusable(String),
    /// It was not read: the domain that is remembered runs.
    NotNeeded,
}

/// A domain that libvirt knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Domain {
    /// How libvirt names it.
    pub(crate) reference: DomainRef,
    /// Its state.
    pub(crate) state: State,
    /// Whether starting another run leaves a memory image behind; asked before a start only.
    pub(crate) has_memory_image: bool,
}

/// How libvirt gives no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Nobody listens: there is no daemon that could do anything later.
    Nobody,
    /// Nobody listens, and a daemon is there, coming or going. Looked for on the way down or away only.
    NotNow,
    /// It went away under the question.
    WentAway,
    /// It takes the question and does not answer in time.
    Frozen,
    /// It answers, but not this.
    Refuses,
}

impl Silence {
    pub(crate) fn of(error: &LibvirtError) -> Self {
        match error {
            LibvirtError::NotRunning { .. } => Self::Nobody,
            LibvirtError::Deadline { .. } | LibvirtError::Overdue { .. } => Self::Frozen,
            error if error.may_pass() => Self::WentAway,
            _ => Self::Refuses,
        }
    }

    /// Whether asking again soon may help.
    pub(crate) fn may_pass(self) -> bool {
        matches!(self, Self::Nobody | Self::NotNow | Self::WentAway)
    }
}

/// What libvirt says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// There is no identity to ask for, or nothing that needs asking.
    NotAsked,
    /// It could not be asked.
    None {
        /// Why.
        why: String,
        /// In what way.
        silence: Silence,
        /// For how long it has been like this.
        silent: Duration,
    },
    /// What it knows.
    Known {
        /// The domain that is meant.
        ours: Option<Domain>,
        /// A domain of the same name that is somebody else.
        namesake: Option<Domain>,
    },
}

/// The facts of one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Observation {
    /// What the definition file says.
    pub(crate) document: Document,
    /// Who was started here, if that is remembered.
    pub(crate) remembered: Option<Identity>,
    /// Why it cannot be told who was started here, although something is remembered.
    pub(crate) unclear: Option<String>,
    /// The latest start here, where it was not seen to succeed.
    pub(crate) unfinished: Option<Unfinished>,
    /// What libvirt says.
    pub(crate) libvirt: Answer,
    /// What the process table says where libvirt says nothing.
    pub(crate) processes: Processes,
    /// What there is to do beside the guest.
    pub(crate) upkeep: Upkeep,
    /// What is known about memory images.
    pub(crate) snapshot: Seen,
    /// Who else runs here, where it cannot be told who is meant.
    pub(crate) strangers: Strangers,
    /// The copy-on-write image, before a start that wants one.
    pub(crate) overlay: Overlay,
    /// The other side of a migration from here.
    pub(crate) migration: Option<migrate::Sight>,
}

impl Observation {
    /// How to call the domain in a reason.
    pub(crate) fn name(&self) -> &str {
        match (&self.remembered, &self.document) {
            (_, Document::Read(identity)) | (Some(identity), _) => &identity.name,
            (None, Document::Missing(_) | Document::Unusable(_) | Document::NotNeeded) => {
                "(unknown)"
            }
        }
    }
}

impl Domain {
    /// Whether it is there in any way but as a definition.
    pub(crate) fn is_active(&self) -> bool {
        !matches!(self.state, State::ShutOff(_))
    }
}

/// How long a look may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// For libvirt's answers.
    pub(crate) limit: Duration,
    /// For all of the operation.
    pub(crate) remaining: Duration,
}

/// Looks once; libvirt has `limit` to answer, and the storage of the definition a share of what is `remaining`. `before` is the
/// guest's process as an earlier look found it, `saved` the name of the domain that was saved meanwhile. Returns the definition's bytes too, where they were read.
pub(crate) fn look(
    config: &Config,
    action: Action,
    Times { limit, remaining }: Times,
    before: Option<Process>,
    saved: Option<&str>,
    written: &mut Written,
) -> (Observation, Option<String>) {
    let began = clock::now();
    let left = || {
        let spent = clock::now().saturating_sub(began);
        limit.min(remaining.saturating_sub(spent)).max(LEAST)
    };
    let (mut remembered, mut unclear, mut unfinished) = (None, None, None);
    match memory::recall(config) {
        Ok(Recalled::Nobody) => {}
        Ok(Recalled::Ran(identity)) => remembered = Some(identity),
        Ok(Recalled::Unfinished(start)) => {
            unfinished = Some(start);
            // Whom a stop has given up, it has seen not to be there.
            unclear = (start == Unfinished::Begun).then(|| memory::BEGUN.to_owned());
        }
        Err(why) => unclear = Some(why),
    }
    let path = &config.definition;
    let mut read = None;
    // Who is remembered is asked for first; where that one runs, the definition matters to nobody.
    let decides = matches!(action, Action::Start | Action::ValidateAll | Action::ReloadAgent);
    let comes_first = decides || remembered.is_none();
    if comes_first {
        read = Some(written.read(path, remaining));
    }
    let text = read.as_ref().and_then(|(_, text)| text.as_deref());
    let needless = match action {
        Action::ValidateAll | Action::ReloadAgent => true,
        // A start that cannot be carried out need not wait for libvirt to say so.
        Action::Start => text.is_none(),
        _ => remembered.is_none() && text.is_none(),
    };
    let overlay = match text {
        Some(text) => overlay::look(config, action, text),
        None => Overlay::NotWanted,
    };
    let document = read.as_ref().map_or(&Document::NotNeeded, |(document, _)| document);
    let mut snapshot = images::look(config, action, document, &overlay, saved, remaining);
    let (libvirt, size) = if needless {
        (marked::ask(config, action, left()), None)
    } else {
        let mut next = |at: usize| {
            let mut wanted = Vec::new();
            wanted.extend(remembered.clone());
            if at > 0 || wanted.is_empty() {
                let (document, _) = read.get_or_insert_with(|| written.read(path, remaining));
                wanted = identities(document, remembered.as_ref()).into_iter().cloned().collect();
            }
            wanted.into_iter().nth(at)
        };
        let answer = ask(config, &mut next, action == Action::Start, left(), &mut snapshot);
        answer.unwrap_or_else(|error| {
            let mut silence = Silence::of(&error);
            if silence == Silence::Nobody && process::may_come_back(config.driver, action) {
                silence = Silence::NotNow;
            }
            let why = chain(&error);
            (Answer::None { silence, why, silent: Duration::ZERO }, None)
        })
    };
    let (document, text) = match (read, &libvirt) {
        (Some(read), _) => read,
        (None, Answer::Known { .. }) => (written.glance(path, remaining), None),
        (None, Answer::None { .. } | Answer::NotAsked) => written.read(path, remaining),
    };
    let processes = match libvirt {
        Answer::None { .. } if process::can_tell(config.driver, action) => {
            process::look(config, &identities(&document, remembered.as_ref()), before)
        }
        Answer::None { .. } | Answer::NotAsked | Answer::Known { .. } => Processes::NotLooked,
    };
    let is_unknown = matches!(document, Document::Unusable(_))
        || unclear.is_some() && matches!(document, Document::Missing(_));
    let strangers = match action {
        Action::Monitor | Action::Status | Action::Stop
            if is_unknown && libvirt == Answer::NotAsked =>
        {
            strangers::look(config, left())
        }
        _ => Strangers::NotLooked,
    };
    let upkeep = upkeep::look(config, action, size);
    let seen = Observation {
        document,
        remembered,
        unclear,
        unfinished,
        libvirt,
        processes,
        upkeep,
        snapshot,
        strangers,
        overlay,
        migration: None,
    };
    (seen, text)
}

/// Who to look for: first who was started here, then who the definition says, once if they are one.
fn identities<'a>(document: &'a Document, remembered: Option<&'a Identity>) -> Vec<&'a Identity> {
    let mut wanted: Vec<&Identity> = remembered.into_iter().collect();
    if let Document::Read(identity) = document {
        // A definition without UUID is asked for by name, unless that is the remembered name already:
        // then both are asked, since the remembered UUID may be gone and another run be there.
        if wanted.first() != Some(&identity) {
            wanted.push(identity);
        }
    }
    wanted
}

fn ask(
    config: &Config,
    wanted: &mut dyn FnMut(usize) -> Option<Identity>,
    starting: bool,
    limit: Duration,
    snapshot: &mut Seen,
) -> Result<(Answer, Option<DomainInfo>), LibvirtError> {
    let mut client = connect(config, limit)?;
    let answer = find(client.as_mut(), wanted, starting)?;
    let size = match &answer {
        // The answer stands without it.
        Answer::Known { ours: Some(domain), .. }
            if config.upkeep.utilization.is_some() && domain.is_active() =>
        {
            client.info(&domain.reference).ok()
        }
        Answer::Known { .. } | Answer::None { .. } | Answer::NotAsked => None,
    };
    // Whom the definition names comes last.
    let last = if starting { (0..).map_while(wanted).last() } else { None };
    if let (Some(identity), Seen::Images(images)) = (last, snapshot) {
        if images.ready == Image::Complete {
            images.ready = images::whose(client.as_mut(), config, &identity)?;
        }
    }
    client.close();
    Ok((answer, size))
}

/// Finds the domain that is meant. Active beats inactive, remembered beats written: `wanted` says who is first, who
/// second, and is not asked for more than it takes.
pub(crate) fn find(
    libvirt: &mut dyn Hypervisor,
    wanted: &mut dyn FnMut(usize) -> Option<Identity>,
    starting: bool,
) -> Result<Answer, LibvirtError> {
    let (mut ours, mut namesake): (Option<Domain>, Option<Domain>) = (None, None);
    for identity in (0..).map_while(wanted) {
        if let Some(uuid) = identity.uuid {
            let found = known(libvirt.lookup_by_uuid(uuid))?;
            if let Some(domain) = describe(libvirt, found, starting)? {
                if domain.is_active() {
                    return Ok(Answer::Known { ours: Some(domain), namesake: None });
                }
                ours.get_or_insert(domain);
                continue;
            }
        }
        let found = known(libvirt.lookup_by_name(&identity.name))?;
        let is_ours = match (&found, identity.uuid) {
            (Some(found), Some(uuid)) => found.uuid == uuid,
            (_, None) | (None, _) => true,
        };
        let Some(domain) = describe(libvirt, found, starting)? else { continue };
        if !is_ours {
            namesake = Some(domain);
        } else if domain.is_active() {
            return Ok(Answer::Known { ours: Some(domain), namesake: None });
        } else {
            ours.get_or_insert(domain);
        }
    }
    Ok(Answer::Known { ours, namesake })
}

pub(crate) fn describe(
    libvirt: &mut dyn Hypervisor,
    found: Option<DomainRef>,
    starting: bool,
) -> Result<Option<Domain>, LibvirtError> {
    let Some(reference) = found else { return Ok(None) };
    // It may be gone by now, which is an answer like any other.
    let Some(state) = known(libvirt.state(&reference))? else { return Ok(None) };
    let mut domain = Domain { reference, state, has_memory_image: false };
    // Without a definition there is no domain at rest that is off, and one that is off has no number: libvirt is about to
    // start it, for an order that nobody may wait for any more, or has just ended it. Another look will tell.
    if !domain.is_active() && (domain.reference.id >= 0 || is_transient(libvirt, &domain)?) {
        domain.state = State::NoState;
    }
    if starting && !domain.is_active() {
        // Drivers without managed save refuse the question; then there is no image.
        domain.has_memory_image = match libvirt.has_managed_save_image(&domain.reference) {
            Ok(answer) => answer,
            Err(error) if error.fault().is_some() => false,
            Err(error) => return Err(error),
        };
    }
    Ok(Some(domain))
}

fn is_transient(libvirt: &mut dyn Hypervisor, domain: &Domain) -> Result<bool, LibvirtError> {
    match libvirt.is_persistent(&domain.reference) {
        Ok(is_persistent) => Ok(!is_persistent),
        // It is gone by now, or the driver does not tell.
        Err(error) if error.fault().is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

/// "No such domain" is knowledge; every other error is not.
pub(crate) fn known<T>(result: Result<T, LibvirtError>) -> Result<Option<T>, LibvirtError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(LibvirtError::NoDomain(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
