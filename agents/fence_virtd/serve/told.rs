//! What is said of requests and exchanges that came to nothing. Invariant: what anybody can cause as often as he likes is counted and
//! not told each time.

use duet_host::clock;
use duet_ocf::Level;
use duet_xvm::Source;

use super::Serve;
use crate::{exchange::Stage, policy::Policy, verdict::Dropped};

impl Serve {
    /// Bytes led to nothing.
    pub(super) fn dropped(&mut self, dropped: &Dropped, from: &Source, policy: &Policy) {
        let level = match dropped {
            // Copies are what clients send.
            Dropped::Duplicate | Dropped::InFlight => Level::Debug,
            Dropped::Refused(_)
            | Dropped::Replayed
            | Dropped::Late
            | Dropped::NoAddress
            | Dropped::BadAddress(_) => Level::Warning,
        };
        let text = format!("Dropped a request from {from}: {dropped} ({policy})");
        self.quiet.tell(level, &text, clock::now());
    }

    /// An exchange ends before its answer.
    pub(super) fn tell_end(&mut self, id: u64, why: &str) {
        let Some(exchange) = self.exchanges.get(&id) else { return };
        let (doing, level) = match exchange.stage {
            // Clients have addresses that cannot be reached from here, and send a copy with each.
            Stage::Connecting => ("Calling back", Level::Debug),
            Stage::Requesting | Stage::Working => ("The request of", Level::Warning),
            Stage::Proving(_) => ("Authentication with", Level::Warning),
            Stage::Answering => ("Answering", Level::Debug),
        };
        let text = format!("{doing} {} failed: {why} ({})", exchange.peer, exchange.policy);
        self.quiet.tell(level, &text, clock::now());
    }
}
