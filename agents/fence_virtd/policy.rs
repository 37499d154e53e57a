//! A listener's rules, with the key that was read. Invariant: an exchange keeps to the rules that it began under, also when others are
//! read meanwhile.

use std::{fmt, sync::Arc};

use duet_xvm::{Algorithm, Fingerprint, Protection, permission::Permissions};

use crate::{
    secret,
    settings::{Listener, Settings, Unknown},
    verdict::Terms,
};

/// The rules.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) listener: Listener,
    pub(crate) terms: Terms,
    pub(crate) auth: Protection,
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) permissions: Arc<Permissions>,
    pub(crate) unknown: Unknown,
    pub(crate) patience: std::time::Duration,
}

impl Policy {
    /// The rules of all listeners, and what is worth a warning.
    ///
    /// # Errors
    /// A key that cannot be had.
    pub(crate) fn of(
        settings: &Settings,
        mends: bool,
    ) -> Result<(Vec<Arc<Policy>>, Vec<String>), secret::Error> {
        let permissions = Arc::new(settings.permissions.clone());
        let mut warnings = Vec::new();
        let mut policies = Vec::new();
        for listener in &settings.listeners {
            let key = match &listener.signed {
                Some(signed)
                    if (signed.hash, signed.auth) == (Algorithm::None, Algorithm::None) =>
                {
                    // Nobody has to have it; what is signed all the same can be verified where there is one.
                    secret::read(&signed.key_file, mends).ok().map(|(key, _)| key)
                }
                Some(signed) => {
                    let (key, told) = secret::read(&signed.key_file, mends)?;
                    for text in told {
                        if !warnings.contains(&text) {
                            warnings.push(text);
                        }
                    }
                    Some(key)
                }
                None => None,
            };
            let signed = listener.signed.as_ref();
            let hash = signed.map_or(Algorithm::None, |signed| signed.hash);
            let auth = signed.map_or(Algorithm::None, |signed| signed.auth);
            let auth = Protection::new(auth, key.as_ref()).expect("the key was read just now");
            policies.push(Arc::new(Policy {
                listener: listener.clone(),
                auth,
                fingerprint: key.as_ref().map(duet_xvm::Key::fingerprint),
                terms: Terms { hash, key },
                permissions: Arc::clone(&permissions),
                unknown: settings.unknown,
                patience: settings.patience,
            }));
        }
        Ok((policies, warnings))
    }

    /// Whether requests have to be signed.
    pub(crate) fn is_signed(&self) -> bool {
        self.terms.hash != Algorithm::None
    }
}

/// As in a line of the log.
impl fmt::Display for Policy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "listener={} hash={} auth={}",
            self.listener.name,
            self.terms.hash,
            self.auth.algorithm()
        )?;
        match &self.fingerprint {
            Some(fingerprint) => write!(out, " key={fingerprint}"),
            None => out.write_str(" key=none"),
        }
    }
}
