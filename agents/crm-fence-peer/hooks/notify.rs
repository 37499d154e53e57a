//! Mail to a person about what happened to a resource. Invariant: a mail system that hangs or is missing holds nobody up,
//! and what happened is in the log then.

#[cfg(test)]
mod tests;
mod text;

use std::{ffi::OsString, time::Duration};

use duet_drbd::handler::{Call, CallError, Event};
use duet_host::process;
use duet_ocf::{Level, fold};

use super::{Host, words};

/// How long DRBD may take to answer.
const LOOK: Duration = Duration::from_secs(2);
/// How long the mail system may take: DRBD waits for its handlers, in some events with a disk that has failed.
const DELIVERY: Duration = Duration::from_secs(10);
/// Where the stock script sends it.
const RECIPIENT: &str = "root";

/// What a person is told about: the end of the name that the hook was called by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    /// A split brain that was not resolved.
    SplitBrain,
    /// Any split brain.
    InitialSplitBrain,
    /// Online verify has found blocks that differ.
    OutOfSync,
    /// The disk has failed.
    IoError,
    /// A Primary that should become the target of a resync.
    PriLost,
    /// The Primary that lost, after a split brain.
    PriLostAfterSb,
    /// A Primary without UpToDate data.
    PriOnInconDegr,
    /// A Primary without quorum (9).
    QuorumLost,
    /// The configuration is about to reboot this node.
    EmergencyReboot,
    /// The configuration is about to switch this node off.
    EmergencyShutdown,
    /// Any other event of DRBD's.
    Other(Event),
    /// Called by a name that names nothing.
    Unspecified,
}

/// A longer name comes before one that it ends with.
const TOPICS: &[(&str, Topic)] = &[
    ("initial-split-brain", Topic::InitialSplitBrain),
    ("split-brain", Topic::SplitBrain),
    ("out-of-sync", Topic::OutOfSync),
    ("io-error", Topic::IoError),
    ("pri-lost-after-sb", Topic::PriLostAfterSb),
    ("pri-lost", Topic::PriLost),
    ("pri-on-incon-degr", Topic::PriOnInconDegr),
    ("quorum-lost", Topic::QuorumLost),
    ("emergency-reboot", Topic::EmergencyReboot),
    ("emergency-shutdown", Topic::EmergencyShutdown),
];

impl Topic {
    /// From the end of a name; what is before it does not matter.
    #[must_use]
    pub fn parse(name: &str) -> Topic {
        let is =
            |word: &str| name.strip_suffix(word).is_some_and(|s| s.is_empty() || s.ends_with('-'));
        if let Some((_, topic)) = TOPICS.iter().find(|(word, _)| is(word)) {
            return topic.clone();
        }
        match Event::parse(name) {
            Event::Unrecognized(_) => Topic::Unspecified,
            event => Topic::Other(event),
        }
    }

    /// The event of DRBD's, where there is one.
    pub(super) fn event(&self) -> Event {
        match self {
            Topic::SplitBrain => Event::SplitBrain,
            Topic::InitialSplitBrain => Event::InitialSplitBrain,
            Topic::OutOfSync => Event::OutOfSync,
            Topic::IoError => Event::LocalIoError,
            Topic::PriLost => Event::PriLost,
            Topic::PriLostAfterSb => Event::PriLostAfterSb,
            Topic::PriOnInconDegr => Event::PriOnInconDegr,
            Topic::QuorumLost => Event::QuorumLost,
            Topic::EmergencyReboot => Event::Unrecognized("emergency-reboot".to_owned()),
            Topic::EmergencyShutdown => Event::Unrecognized("emergency-shutdown".to_owned()),
            Topic::Other(event) => event.clone(),
            Topic::Unspecified => Event::Unrecognized("unspecified".to_owned()),
        }
    }

    /// Whether DRBD drops the connection for good if this fails.
    pub(super) fn is_before_resync(&self) -> bool {
        matches!(self.event(), Event::BeforeResyncTarget | Event::BeforeResyncSource)
    }
}

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mail {
    recipients: Vec<String>,
    subject: String,
    body: String,
}

/// Tells a person, and gives what to exit with.
pub(super) fn run(
    host: &Host<'_>,
    topic: &Topic,
    arguments: &[String],
    environment: Vec<(OsString, OsString)>,
) -> u8 {
    let words = words::read(arguments, &[words::FACILITY]);
    for complaint in &words.complaints {
        host.log(Level::Warning, &fold(&format!("{complaint}; ignored")));
    }
    let recipients = recipients(host, words.rest.last());
    let (call, trouble) = match read(topic, environment) {
        Ok(read) => read,
        Err(error) => {
            let event = topic.event();
            host.log(Level::Error, &fold(&format!("Nobody is told of {event}: {error}")));
            return u8::from(!topic.is_before_resync());
        }
    };
    let state = host.look(LOOK, |sight| text::state(&call, sight));
    let state = state.unwrap_or_else(|why| vec![format!("DRBD could not be asked: {why}")]);
    let (subject, body) = text::mail(topic, &call, &host.name, &state, trouble.as_ref());
    let mail = Mail { recipients, subject, body };
    match send(host, &mail) {
        Ok(()) => {
            let text = format!("{} (mail to {})", mail.subject, mail.recipients.join(", "));
            host.log(text::level(topic), &fold(&text));
            0
        }
        Err(why) => {
            host.log(Level::Error, &fold(&format!("{}; no mail: {why}", mail.subject)));
            u8::from(!topic.is_before_resync())
        }
    }
}

/// What is said of the event. A variable that cannot be read keeps nobody from being told: then only the resource is
/// known, and that.
fn read(
    topic: &Topic,
    environment: Vec<(OsString, OsString)>,
) -> Result<(Call, Option<CallError>), CallError> {
    let resource = environment.iter().find(|(name, _)| name == "DRBD_RESOURCE").cloned();
    match Call::read(topic.event(), environment) {
        Ok(call) => Ok((call, None)),
        Err(error) => match Call::read(topic.event(), resource) {
            Ok(call) => Ok((call, Some(error))),
            Err(_) => Err(error),
        },
    }
}

/// To whom: the last argument, in which several may be.
fn recipients(host: &Host<'_>, argument: Option<&String>) -> Vec<String> {
    let words = argument.map(String::as_str).unwrap_or_default().split_whitespace();
    // Some programs called mail would take it for an option, and there are options that run commands.
    let (options, mut recipients): (Vec<String>, Vec<String>) =
        words.map(str::to_owned).partition(|word| word.starts_with('-'));
    for option in options {
        host.log(Level::Warning, &fold(&format!("{option:?} is nobody to send mail to; ignored")));
    }
    if recipients.is_empty() {
        recipients.push(RECIPIENT.to_owned());
    }
    recipients
}

/// By the first of the two programs that is installed. `Err`: it was not taken.
fn send(host: &Host<'_>, mail: &Mail) -> Result<(), String> {
    let Mail { recipients, subject, body } = mail;
    let call = if process::find("mail", &host.tools).is_some() {
        let call = host.call("mail").arg("-s").arg(subject).args(recipients);
        call.input(body.as_bytes())
    } else if process::find("sendmail", &host.tools).is_some() {
        let whole = format!(
            "To: {}\nSubject: {subject}\nAuto-Submitted: auto-generated\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset=utf-8\n\n{body}",
            fold(&recipients.join(", "))
        );
        host.call("sendmail").args(["-i", "--"]).args(recipients).input(whole)
    } else {
        return Err("neither mail nor sendmail is installed".to_owned());
    };
    host.finish(&call, DELIVERY).map(drop)
}
