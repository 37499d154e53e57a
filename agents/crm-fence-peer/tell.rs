//! What a person asks: what the handler would do now, why, and what it decided then. Invariant: nothing is changed, and no
//! lock is taken.

use std::{io::Write, path::Path, time::Duration};

use duet_drbd::handler::Call;
use duet_host::{Log, bounded, clock, drbd};
use duet_ocf::{Level, chain};

use crate::{
    asked,
    decide::{Code, Mode, Progress, decide},
    explain::{explain, warning},
    facts::{Cluster, Standing},
    handler::Common,
    observe::Observer,
    options::{Options, Purpose},
    record::{self, Record},
};

/// What corosync's configuration may have.
const LONGEST: usize = 256 * 1024;
/// How long reading it may take.
const READING: Duration = Duration::from_secs(1);

/// `--dry-run` and `--explain`: one look with all that can be asked, and what follows from it.
pub(crate) fn tell(
    mode: Mode,
    options: &Options,
    call: &Call,
    observer: &mut Observer<'_>,
    common: &Common,
) -> u8 {
    observer.is_thorough = true;
    let mut look = observer.look();
    let asked = match asked::asked(mode, options, call, &look) {
        Ok(asked) => asked,
        Err(why) => {
            common.say(Level::Error, &why);
            return Code::NotFenced.number();
        }
    };
    if mode == Mode::Fence {
        if let Cluster::Known(members) = &look.seen.cluster {
            let online =
                members.peers.iter().filter(|(_, member)| member.standing == Standing::Online);
            let online = online.map(|(id, _)| *id).collect();
            observer.ask_controllers(&mut look, &online);
        }
        if let Some(why) = observer.ask_policy(&mut look) {
            common.say(Level::Warning, &format!("The fencing policy is not known: {why}"));
        }
    }
    let progress = Progress::default();
    let next = decide(&asked, &look.seen, &progress);
    let mut told = explain(&asked, &look.seen, &progress, &next);
    told.warnings.extend(corosync().as_deref().and_then(warning).map(str::to_owned));
    let text = match (&options.purpose, options.is_json) {
        (Purpose::DryRun, false) => told.plan(),
        (Purpose::DryRun, true) => told.plan_json(),
        (Purpose::Explain | Purpose::Act | Purpose::Replay(_), false) => told.text(),
        (Purpose::Explain | Purpose::Act | Purpose::Replay(_), true) => told.json(),
    };
    print(&text)
}

/// corosync's configuration, where it can be read.
fn corosync() -> Option<String> {
    let path = drbd::under_root("etc/corosync/corosync.conf");
    bounded::read_text(&path, LONGEST, clock::within(READING)).ok()
}

/// 0 if somebody got it. A terminal is not told what to do by whoever gave a node or a resource its name.
fn print(text: &str) -> u8 {
    let plain = |letter: char| if letter.is_control() && letter != '\n' { ' ' } else { letter };
    let text: String = text.chars().map(plain).collect();
    let mut out = std::io::stdout().lock();
    let is_told = out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok();
    u8::from(!is_told)
}

/// Decides again on a record.
pub(crate) fn replay(path: &Path, options: &Options, log: &Log) -> u8 {
    let failed = |why: String| {
        log.line(Level::Error, &why);
        1
    };
    let record = match Record::read(path) {
        Ok(record) => record,
        Err(why) => return failed(chain(&why)),
    };
    match record::replay(&record) {
        Err(why) => failed(chain(&why)),
        Ok(report) if options.is_json => match serde_json::to_string_pretty(&report) {
            Ok(json) => print(&(json + "\n")),
            Err(why) => failed(chain(&why)),
        },
        Ok(report) => print(&format!(
            "{}\n{} turns decided again, each the same\n",
            record.summary(),
            report.turns
        )),
    }
}
