//! One step carried out, by DRBD's own tools. Invariant: nothing here concludes anything from success; the next look does,
//! also after a tool that hung, whose order the kernel may still carry out.

use std::time::Duration;

use duet_host::{Error as HostError, process::Call};
use duet_ocf::{ExitCode, Turn, chain};

use crate::{
    config::Config,
    decide::{By, Step},
    observe::{self, Access, Known},
    promotion::{self, Done, Wanted},
    record::{Kept, Link, Record},
};

/// What `drbdadm primary` exits with where no UpToDate data can be reached.
const NO_DATA: i32 = 17;

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A tool did not run to its end.
    #[error("Could not {step}")]
    Tool {
        /// What was tried.
        step: String,
        /// Why.
        source: HostError,
    },
    /// A tool has failed.
    #[error("Could not {step}: {tool} {how}")]
    Failed {
        /// What was tried.
        step: String,
        /// By what.
        tool: &'static str,
        /// With which code.
        code: Option<i32>,
        /// How it ended, with what it said.
        how: String,
    },
    /// About the promotion score.
    #[error(transparent)]
    Promotion(#[from] promotion::Error),
}

/// Each is a failure on this node only, and not of the configuration.
pub(crate) fn exit_code(_error: &Error) -> ExitCode {
    ExitCode::Generic
}

/// Carries out `step`.
pub(crate) fn apply(
    config: &Config,
    step: &Step,
    known: &mut Known,
    turn: &mut Turn<'_>,
) -> Result<(), Error> {
    let result = carry_out(config, step, known, turn);
    if let Err(error) = &result {
        // Whether it ends the operation, only the next look says.
        turn.debug(chain(error));
    }
    result
}

fn carry_out(
    config: &Config,
    step: &Step,
    known: &mut Known,
    turn: &mut Turn<'_>,
) -> Result<(), Error> {
    let stacked = known.is_stacked();
    let adm = |words: &[&str]| observe::drbdadm(config, stacked).args(words);
    let name = config.resource.as_str();
    let all = Duration::MAX;
    match step {
        Step::LoadModule => {
            let parameters = observe::module_parameters(config, turn);
            let call = Call::new("modprobe").args(["-s", "drbd"]).args(parameters);
            run("modprobe", &call, step, all, turn)?;
            turn.info("Loaded the DRBD module");
        }
        Step::CheckResize(_) => {
            let quarter = turn.remaining() / 4;
            run("drbdadm", &adm(&["check-resize", name]), step, quarter, turn)?;
        }
        Step::Create(_) => {
            let created = run("drbdadm", &adm(&["new-resource", name]), step, all, turn);
            // Where only the volumes are missing, the resource is there, and the first of these fails.
            run("drbdadm", &adm(&["new-minor", name]), step, all, turn)
                .map_err(|error| created.err().unwrap_or(error))?;
            known.is_new = true;
            turn.info(format!("Created resource {name}"));
        }
        Step::Attach(_) => {
            let words: &[&str] =
                if known.is_9() { &["adjust", "--skip-net", name] } else { &["attach", name] };
            run("drbdadm", &adm(words), step, all, turn)?;
            turn.info(format!("Attached the disks of resource {name}"));
        }
        // 8.4 has no way to leave the connections alone.
        Step::AdjustDisks(_) if !known.is_9() => {}
        Step::AdjustDisks(_) => {
            run("drbdadm", &adm(&["adjust", "--skip-net", name]), step, all, turn)?;
        }
        Step::Connect { peer, .. } => {
            let one = peer.as_ref().map(|peer| format!("{name}:{peer}"));
            let words = match (&one, peer) {
                (Some(one), _) if known.is_9() => vec!["adjust", one],
                (_, Some(peer)) => vec!["--peer", peer, "adjust", name],
                (_, None) => vec!["adjust", name],
            };
            // What becomes of the connections decides nothing, so it must not take all of the time.
            let half = turn.remaining() / 2;
            let is_first = known.link != Some(Link::Made)
                && (known.is_new || known.kept.link == Link::Unmade);
            // From here on a peer may be refused, also if this is killed.
            remember(config, known, Link::Made, turn)?;
            let result = run("drbdadm", &adm(&words), step, half, turn);
            let link = match &result {
                Err(Error::Failed { .. }) if is_first => Link::Unmade,
                _ => Link::Made,
            };
            known.link = Some(link);
            remember(config, known, link, turn)?;
            result?;
        }
        Step::Primary(_) => {
            known.has_tried_primary = true;
            let result = run("drbdadm", &adm(&["primary", name]), step, all, turn);
            if let Err(Error::Failed { code: Some(NO_DATA), .. }) = &result {
                known.access = Access::Denied;
            }
            result?;
            turn.info(format!("Made resource {name} Primary"));
        }
        Step::Secondary { by, .. } => {
            let calls = match by {
                By::Drbdadm => vec![("drbdadm", adm(&["secondary", name]))],
                // 8.4 has roles by minor.
                By::Drbdsetup if !known.is_9() => known
                    .minors
                    .iter()
                    .map(|minor| ("drbdsetup", setup(&["secondary", &minor.to_string()])))
                    .collect(),
                By::Drbdsetup => vec![("drbdsetup", setup(&["secondary", name]))],
            };
            take_away(&calls, *by, step, known, turn)?;
            turn.info(format!("Made resource {name} Secondary"));
        }
        Step::Down { by, .. } => {
            let call = match by {
                By::Drbdadm => ("drbdadm", adm(&["down", name])),
                By::Drbdsetup => ("drbdsetup", setup(&["down", name])),
            };
            take_away(&[call], *by, step, known, turn)?;
            turn.info(format!("Took resource {name} down"));
        }
        Step::Outdate { promoted, .. } => {
            run("drbdadm", &adm(&["outdate", name]), step, all, turn)?;
            turn.warning(format!(
                "Outdated resource {name}: {promoted} is promoted, and the data here is not the latest any more"
            ));
        }
        Step::Unfence(_) => {
            let arguments = config.unfence.as_deref().unwrap_or_default();
            let call = adm(&["unfence-peer", name]).env("OCF_RESKEY_unfence_extra_args", arguments);
            let half = turn.remaining() / 2;
            run("drbdadm", &call, step, half, turn)?;
        }
        Step::UpdateScore(_) => {
            let is_stacked = known.is_stacked();
            if is_stacked != known.kept.is_stacked {
                let (described, deadline) = (Record::new(config), turn.deadline());
                let keep = |kept: &mut Kept| kept.is_stacked = is_stacked;
                let kept = promotion::annotate(&described, &config.record, keep, deadline);
                if let Err(error) = kept {
                    turn.warning(chain(&error));
                }
            }
            let wanted = match known.writes_anew {
                true => Wanted::AsSeenAnew,
                false => Wanted::AsSeen,
            };
            score(config, wanted, turn)?;
        }
        Step::DropScore(_) => score(config, Wanted::None, turn)?,
        Step::Withdraw(_) => {
            // Twice: once for whoever writes at this moment.
            let deadline = turn.within((promotion::HELD_AT_MOST * 2).min(turn.remaining() * 3 / 4));
            let withdrawn = promotion::withdraw(&Record::new(config), &config.record, deadline);
            if let Err(error) = withdrawn {
                turn.warning(chain(&error));
                return Err(error.into());
            }
            turn.info(format!("The promotion score of {} is none", config.instance));
        }
        Step::ReportStandAlone { peers, link, .. } => {
            if known.kept.stand_alone != *peers {
                report(config, peers, turn);
            }
            let deadline = turn.deadline();
            promotion::annotate(
                &Record::new(config),
                &config.record,
                |kept| {
                    kept.stand_alone.clone_from(peers);
                    kept.link = *link;
                },
                deadline,
            )?;
        }
        Step::ReportTwoPrimaries { other, .. } => turn.error(format!(
            "Resource {name} is Primary here and on {other}, and the two do not see each other: the data diverges"
        )),
    }
    Ok(())
}

/// Remembers what has become of connecting it, where that is something else than before.
fn remember(
    config: &Config,
    known: &mut Known,
    link: Link,
    turn: &mut Turn<'_>,
) -> Result<(), Error> {
    if known.kept.link == link {
        return Ok(());
    }
    let (described, deadline) = (Record::new(config), turn.deadline());
    promotion::annotate(&described, &config.record, |kept| kept.link = link, deadline)?;
    known.kept.link = link;
    Ok(())
}

/// A call of drbdsetup.
fn setup(words: &[&str]) -> Call {
    Call::new("drbdsetup").env("LC_ALL", "C").args(words)
}

/// Runs a tool to its success, for at most this long.
fn run(
    tool: &'static str,
    call: &Call,
    step: &Step,
    span: Duration,
    turn: &mut Turn<'_>,
) -> Result<(), Error> {
    let deadline = turn.within(span);
    match call.run(deadline) {
        Ok(ended) if ended.is_success() => Ok(()),
        Ok(ended) => Err(Error::Failed {
            step: step.to_string(),
            tool,
            code: ended.code,
            how: ended.describe(),
        }),
        Err(source) => Err(Error::Tool { step: step.to_string(), source }),
    }
}

/// Runs what ends something. drbdadm gets half of the time, so that one that hangs leaves some for drbdsetup.
fn take_away(
    calls: &[(&'static str, Call)],
    by: By,
    step: &Step,
    known: &mut Known,
    turn: &mut Turn<'_>,
) -> Result<(), Error> {
    for (tool, call) in calls {
        let span = match by {
            By::Drbdadm => turn.remaining() / 2,
            By::Drbdsetup => Duration::MAX,
        };
        let result = run(tool, call, step, span, turn);
        known.is_held = result.is_err();
        result?;
    }
    Ok(())
}

/// Has the score written; what is left of the time then is the operation's.
fn score(config: &Config, wanted: Wanted, turn: &mut Turn<'_>) -> Result<(), Error> {
    let deadline = turn.within(promotion::HELD_AT_MOST.min(turn.remaining() * 3 / 4));
    let described = Record::new(config);
    let (path, node) = (&config.record, config.node.as_deref());
    match promotion::update(&described, path, wanted, node, deadline) {
        Ok(Done::Wrote(score)) => {
            turn.info(format!("The promotion score of {} is {score}", config.instance));
        }
        Ok(Done::Restored(score)) => turn.info(format!(
            "The CIB had lost the promotion score of {}, {score}; the attribute daemon writes it anew",
            config.instance
        )),
        Ok(Done::InPlace(_) | Done::Left(None)) => {}
        Ok(Done::Left(Some(why))) => turn.debug(why),
        Ok(Done::LeftToHolder) => turn.debug("Somebody else is writing the promotion score"),
        Err(error) => {
            turn.warning(chain(&error));
            return Err(error.into());
        }
    }
    Ok(())
}

fn report(config: &Config, peers: &[String], turn: &mut Turn<'_>) {
    let resource = &config.resource;
    if peers.is_empty() {
        turn.info(format!("Every connection of resource {resource} is being made again"));
    } else {
        turn.warning(format!(
            "Resource {resource} is StandAlone towards {}: after a split brain, or because somebody disconnected it. \
             It is not connected again until somebody decides whose data is to be kept",
            peers.join(", ")
        ));
    }
}
