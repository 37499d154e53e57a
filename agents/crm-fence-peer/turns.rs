//! The turns of one call: look, decide, do, and look again. Invariant: nothing is done that `decide` did not say of the look
//! just before, and only a look says what came of it.
#![allow(clippy::disallowed_methods, reason = "this is the loop: it waits")]

use std::time::Duration;

use duet_drbd::handler::Call;
use duet_host::clock;
use duet_ocf::Level;

use crate::{
    apply::{self, Applied},
    asked,
    decide::{Answer, Asked, Mode, Next, Placed, Progress, Question, Step, Until, decide},
    facts::Seen,
    handler::Common,
    late::Notes,
    observe::{Look, Observer},
    options::Options,
    record::Evidence,
    rule::Place,
};

/// So many changes that came too late are followed by another look at once.
const CONFLICTS: u32 = 3;

/// The turns of one call: look, decide, do, and look again.
pub(crate) struct Turns<'a> {
    common: &'a Common,
    options: &'a Options,
    call: &'a Call,
    asked: Option<Asked>,
    progress: Progress,
    notes: Notes,
}

impl<'a> Turns<'a> {
    pub(crate) fn new(
        common: &'a Common,
        options: &'a Options,
        call: &'a Call,
        notes: Notes,
    ) -> Turns<'a> {
        Turns { common, options, call, asked: None, progress: Progress::default(), notes }
    }
}

impl Turns<'_> {
    /// Takes turns until there is an answer.
    ///
    /// # Errors
    /// If the call contradicts DRBD.
    pub(crate) fn go(
        &mut self,
        mode: Mode,
        observer: &mut Observer<'_>,
    ) -> Result<(Answer, Seen), String> {
        let mut waiting = None;
        loop {
            let mut look = observer.look();
            // By hand, only DRBD says some of it; what was decided while it was silent does not depend on that.
            let asked = match self.asked.take() {
                Some(asked) => asked,
                None => {
                    let asked = asked::asked(mode, self.options, self.call, &look)?;
                    Asked { late: self.notes.late(), ..asked }
                }
            };
            self.common.record(|record| record.asked(&asked));
            let next = self.settle(&asked, &mut look, observer);
            self.asked = Some(asked).filter(|_| look.sighted.generation.is_some());
            match next {
                Next::Done(answer) => return Ok((answer, look.seen)),
                Next::Wait { pause, until } => {
                    self.progress.has_waited |= until == Until::Peer;
                    if waiting != Some(until) {
                        let text = format!("{}: waiting for {}", self.call.resource, words(until));
                        self.common.say(Level::Info, &text);
                        waiting = Some(until);
                    }
                    std::thread::sleep(pause.min(observer.end.remaining(clock::now())));
                }
                Next::Do(step) => self.take(mode, &step, &look, observer),
                // All questions of this look have been asked.
                Next::Ask(question) => return Err(format!("{question:?} has no answer")),
            }
        }
    }

    /// Decides on one look, after whatever has to be asked for that.
    fn settle(&self, asked: &Asked, look: &mut Look, observer: &Observer<'_>) -> Next {
        // There are two questions, each asked once.
        let mut questions = 0;
        loop {
            let next = decide(asked, &look.seen, &self.progress);
            self.common.record(|record| {
                let place = look.place.as_ref();
                let cib = place.map(Place::extract);
                let evidence = Evidence { cib, kernel: look.sighted.text.clone() };
                record.turn(&look.seen, &self.progress, &next, evidence);
                record.ways = observer.pacemaker.ways();
            });
            match &next {
                Next::Ask(question) if questions < 2 => self.ask(question, look, observer),
                Next::Ask(_) | Next::Do(_) | Next::Wait { .. } | Next::Done(_) => return next,
            }
            questions += 1;
        }
    }

    fn ask(&self, question: &Question, look: &mut Look, observer: &Observer<'_>) {
        match question {
            Question::Controllers(ids) => observer.ask_controllers(look, ids),
            Question::Policy => {
                if let Some(why) = observer.ask_policy(look) {
                    let text = format!("The fencing policy is not known: {why}");
                    self.common.say(Level::Warning, &text);
                }
            }
        }
    }

    fn take(&mut self, mode: Mode, step: &Step, look: &Look, observer: &Observer<'_>) {
        let end = observer.end;
        let Some(place) = &look.place else {
            self.progress.failures.push("The CIB was not read".to_owned());
            return;
        };
        let (did, placed) = match step {
            Step::Write { allowed, placed, .. } => {
                let names: Vec<&str> = allowed.iter().map(String::as_str).collect();
                let text = format!("wrote: only {} may be promoted", names.join(", "));
                (text, placed.clone())
            }
            Step::Remove { .. } => ("removed".to_owned(), None),
            Step::Bump { .. } => ("seen again, in a newer version of the CIB".to_owned(), None),
        };
        let is_remove = matches!(step, Step::Remove { .. });
        let frees = match step {
            Step::Remove { version } => Some(*version),
            Step::Write { version, .. } if mode == Mode::Unfence => Some(*version),
            Step::Write { .. } | Step::Bump { .. } => None,
        };
        if let Some(Err(why)) = frees.map(|version| self.notes.sending(version)) {
            self.fail(place, why);
            return;
        }
        if let Step::Remove { version } = step {
            self.progress.removing = Some(*version);
        }
        let applied = apply::apply(step, place, &observer.pacemaker, end);
        // Only a CIB that is known to have moved on takes no change to this version any more, neither this one nor that of a call
        // before, which may be noted here.
        if frees.is_some() && matches!(applied, Applied::Done | Applied::Moved) {
            self.notes.overtaken();
        }
        match applied {
            Applied::Done => {
                if let Step::Bump { version } = step {
                    self.progress.bumped = Some(*version);
                }
                self.common.say(Level::Info, &format!("Rule {} {did}", place.id()));
                self.note(placed, is_remove);
            }
            Applied::Moved => {
                self.progress.conflicts += 1;
                if self.progress.conflicts > CONFLICTS {
                    // Others are at it: not all again at the same moment.
                    let pause = 100 + u64::from(std::process::id() % 7) * 40;
                    let pause = Duration::from_millis(pause);
                    std::thread::sleep(pause.min(end.remaining(clock::now())));
                }
            }
            Applied::Failed(why) => self.fail(place, why),
            Applied::Unclear(why) => {
                // What is seen next counts; if it is as wanted, it may well be of this call's making.
                self.note(placed, is_remove);
                self.fail(place, why);
            }
        }
    }

    fn note(&mut self, placed: Option<Placed>, is_remove: bool) {
        self.progress.has_removed |= is_remove;
        if placed.is_some() {
            self.progress.placed = placed;
        }
    }

    fn fail(&mut self, place: &Place, why: String) {
        let text = format!("Rule {} could not be changed: {why}", place.id());
        self.common.say(Level::Warning, &text);
        self.progress.failures.push(why);
    }
}

fn words(until: Until) -> &'static str {
    match until {
        Until::Kernel => "DRBD to say its state",
        Until::Cib => "the CIB to be readable",
        Until::Dc => "a DC",
        Until::Quorum => "quorum",
        Until::Peer => "the peer to be reachable, or confirmed down",
        Until::Link => "a short interruption to be over",
    }
}
