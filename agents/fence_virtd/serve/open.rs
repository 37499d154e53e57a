//! Listeners coming and going: at the start, with interfaces and addresses, and with another configuration. Invariant: a configuration that
//! cannot be used changes nothing, and one that can loses no request of a listener that stays.

use std::{io, sync::Arc, time::Duration};

use duet_host::clock;
use duet_ocf::Level;

use super::{Serve, lines::Line};
use crate::{
    backend::Backend,
    listen::{self, CHECK, Listening},
    policy::Policy,
    serial::{self, Lines},
    settings::{Channel, Settings, Uri},
    sources,
};

/// A listener, open or not.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) id: u64,
    pub(crate) policy: Arc<Policy>,
    pub(crate) listening: Option<Listening>,
    /// Why it is not open.
    pub(crate) trouble: Option<Trouble>,
    pub(crate) rests_until: Duration,
    /// Serial lines: libvirt of their guests, what it said last, when it is asked again, and the lines.
    pub(crate) guests: Option<Guests>,
    pub(crate) lines: Vec<Line>,
}

/// Why a listener is not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) text: String,
    /// Whether it is an interface that is not there: then it is waited for in any case.
    pub(crate) is_interface: bool,
}

/// Where serial lines are looked for.
#[derive(Debug)]
pub(crate) struct Guests {
    pub(crate) backend: Arc<Backend>,
    /// None while libvirt is being asked.
    pub(crate) known: Option<Lines>,
    pub(crate) look_at: Duration,
}

impl Serve {
    /// Opens listeners for these, keeping those sockets that still are where they should be.
    pub(super) fn open_all(&mut self, policies: Vec<Arc<Policy>>) {
        let mut before = std::mem::take(&mut self.open);
        let mut open: Vec<Open> = Vec::new();
        for policy in policies {
            let same = before
                .iter()
                .position(|old| old.policy.listener.channel == policy.listener.channel);
            open.push(match same {
                Some(at) => Open { policy, ..before.swap_remove(at) },
                None => self.closed(policy),
            });
        }
        // What is not wanted any more gives its place to what is.
        drop(before);
        self.open = open;
        self.check(clock::now());
    }

    fn closed(&mut self, policy: Arc<Policy>) -> Open {
        let guests = match &policy.listener.channel {
            Channel::Serial { uri, driver, path, mode } => {
                let uri = Uri { text: uri.clone(), driver: *driver, limit: serial::LIMIT };
                let backend = Arc::new(Backend::new(vec![uri], &self.sockets));
                let known = Lines {
                    mode: *mode,
                    path: path.clone(),
                    guests: std::collections::HashMap::new(),
                };
                Some(Guests { backend, known: Some(known), look_at: Duration::ZERO })
            }
            Channel::Multicast { .. } | Channel::Tcp { .. } | Channel::Vsock { .. } => None,
        };
        Open {
            id: self.number(),
            policy,
            listening: None,
            trouble: None,
            rests_until: Duration::ZERO,
            guests,
            lines: Vec::new(),
        }
    }

    /// Looks whether all listeners are where they should be, and opens those that are not.
    pub(super) fn check(&mut self, now: Duration) {
        self.check_at = now + CHECK;
        self.backend.tidy(now);
        for open in &mut self.open {
            let channel = &open.policy.listener.channel;
            if open.listening.as_mut().is_some_and(|listening| !listening.check(channel, now)) {
                open.listening = None;
            }
            if open.listening.is_some() {
                continue;
            }
            let name = &open.policy.listener.name;
            match listen::open(channel, now) {
                Ok(listening) => {
                    let is_news = listening.is_some();
                    open.listening = listening;
                    if is_news && open.trouble.take().is_some() {
                        self.log.line(Level::Info, &format!("Listener {name} is open"));
                    }
                }
                Err(error) => {
                    let is_interface = error.kind() == io::ErrorKind::NotFound;
                    let trouble = Trouble { text: error.to_string(), is_interface };
                    if open.trouble.as_ref() != Some(&trouble) {
                        let text = format!(
                            "Listener {name} cannot be opened, and is tried again: {error}"
                        );
                        self.log.line(Level::Warning, &text);
                    }
                    open.trouble = Some(trouble);
                }
            }
        }
        self.check_lines(now);
    }

    /// What at the start is a reason to give up.
    pub(super) fn fatal_trouble(&self) -> Option<String> {
        self.open.iter().find_map(|open| {
            let trouble = open.trouble.as_ref().filter(|trouble| !trouble.is_interface)?;
            Some(format!("Could not open listener {}: {}", open.policy.listener.name, trouble.text))
        })
    }

    /// Reads the configuration anew.
    pub(super) fn reload(&mut self) {
        self.notify.reloading();
        let read = sources::read(&self.configuration, true);
        match read {
            Ok((settings, policies, warnings)) => {
                for warning in warnings {
                    self.log.line(Level::Warning, &warning);
                }
                let Settings { uris, .. } = settings;
                if !self.backend.is_of(&uris) {
                    self.backend = Arc::new(Backend::new(uris, &self.sockets));
                }
                self.open_all(policies);
                let status = self.status();
                self.log.line(Level::Info, &format!("Reloaded. {status}"));
                self.notify.ready(&status);
            }
            Err(error) => {
                let text = format!("Kept the configuration as it was: {error}");
                self.log.line(Level::Error, &text);
                self.notify.ready(&text);
            }
        }
    }

    /// What there is, in a line.
    pub(super) fn status(&self) -> String {
        let listeners: Vec<String> = self
            .open
            .iter()
            .map(|open| {
                let is_open = open.listening.is_some() || open.guests.is_some();
                format!("{}{}", open.policy, if is_open { "" } else { " (not open yet)" })
            })
            .collect();
        format!("Serving: {}", listeners.join("; "))
    }
}
