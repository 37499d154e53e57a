//! Listening: begun, gone on with, and begun anew when it breaks. Invariant: what could be begun is begun anew at once, though not all
//! the time; only what cannot be begun is tried less and less often.

use std::time::Duration;

use duet_host::clock;
use duet_ocf::Level;

use super::{
    Watch,
    plan::World,
    source::{Deaf, Source, Told, summary},
};

/// Between the first tries to listen, doubled each time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// And at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Listening is begun no more often than this, where it breaks each time.
const BREATH: Duration = Duration::from_millis(100);
/// So many times a module that cannot be understood is tried before drbdsetup is: one that is being loaded or unloaded looks alike.
const TRIES: u32 = 4;

impl Watch {
    pub(super) fn hear(&mut self, told: Option<Told>) {
        match told {
            None | Some(Told::Nothing) => {}
            Some(Told::Something) => {
                let now = clock::now();
                let first = self.told.map_or(now, |(first, _)| first);
                self.told = Some((first, now));
            }
            Some(Told::Over(deaf)) => {
                self.is_told = self.has_broken && deaf.why == self.deaf.why;
                self.has_broken = true;
                if !self.is_told {
                    self.log.line(Level::Info, &format!("Listening begins anew: {}", deaf.why));
                }
                let has_followed = *self.world() != World::Unknown;
                self.source = None;
                self.told = None;
                self.plan.lost();
                self.not_heard(deaf);
                if has_followed {
                    // What could be begun can be begun again, but not all the time.
                    self.failures = 0;
                    self.try_at = self.tried_at.saturating_add(BREATH);
                }
            }
        }
    }

    /// Listening could not be begun, or is over.
    fn not_heard(&mut self, deaf: Deaf) {
        self.failures = self.failures.saturating_add(1);
        self.misread = self.misread.saturating_add(u32::from(deaf.is_of_language));
        self.deaf = deaf;
        self.try_at = clock::now().saturating_add(pause(self.failures));
    }

    pub(super) fn open(&mut self) {
        self.tried_at = clock::now();
        let is_foreign = self.deaf.is_of_language && self.misread >= TRIES;
        let opened = if is_foreign { Source::open_events2() } else { Source::open() };
        let now = clock::now();
        match opened {
            Ok(source) => {
                if !self.is_told {
                    let (following, summary) = (source.following(), summary(&source.world));
                    self.log.line(Level::Info, &format!("Follows {following} ({summary})"));
                }
                self.told = Some((now, now));
                self.is_anew = true;
                self.source = Some(source);
            }
            Err(deaf) => {
                if deaf.why != self.deaf.why {
                    self.log.line(Level::Warning, &format!("Cannot follow DRBD: {}", deaf.why));
                }
                self.not_heard(deaf);
            }
        }
    }
}

/// How long to wait after so many failures.
fn pause(failures: u32) -> Duration {
    SHORTEST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_PAUSE)
}
