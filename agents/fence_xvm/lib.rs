//! fence_xvm and fence_virt: asks a fence_virtd to end, start or look at a domain. `options` makes an order of what was said, `run`
//! asks, `outcome` and `diagnose` say what came of it. Invariant: nothing waits without a deadline, and success is the daemon's word.
#![allow(clippy::disallowed_methods, reason = "the delay before fencing is awaited here")]

pub mod diagnose;
pub mod event;
pub mod key;
pub mod options;
pub mod outcome;
mod probe;
pub mod run;
mod said;

use crate::event::{Event, Trace};
use crate::options::order::{Command, Order, Route, decide};
use crate::options::{Program, render};
use crate::outcome::{Failure, Output};
use duet_host::{Log, clock};
use duet_ocf::Level;
use duet_xvm::exchange::Answer;
use std::io::Write;
use std::process::ExitCode;

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let _ = clock::now();
    let mut words = std::env::args_os();
    let program = Program::called(words.next().as_deref());
    let said = said::read(program, words);
    let from_stdin = said.from_stdin;
    for name in &said.unknown {
        to_stderr(&format!("Parse error: Ignoring unknown option '{name}'\n"));
    }
    let output = match decide(program, said.given) {
        Command::Help => printed(render::help(program)),
        Command::Version => printed(render::version(program)),
        Command::Refuse { complaints, with_usage } => {
            let usage = match (with_usage, from_stdin) {
                (true, true) => render::names(program),
                (true, false) => render::usage(program),
                (false, _) => String::new(),
            };
            refused(program, &complaints, &usage)
        }
        Command::Metadata => printed(render::metadata(program)),
        Command::Validate(order) => refused_by_machine(program, &order, "").unwrap_or_default(),
        Command::Ask(order) => {
            let usage = if from_stdin { render::names } else { render::usage };
            refused_by_machine(program, &order, &usage(program))
                .unwrap_or_else(|| carried_out(program, &order))
        }
    };
    to_stderr(&output.stderr);
    let told = std::io::stdout().write_all(output.stdout.as_bytes());
    // A list that went nowhere was no list.
    ExitCode::from(if told.is_err() && output.code == 0 { 1 } else { output.code })
}

/// Unlike `eprintln`, goes on when nobody reads it any more: nobody is left half fenced for that.
fn to_stderr(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn printed(stdout: String) -> Output {
    Output { stdout, ..Output::default() }
}

fn refused(program: Program, complaints: &[String], usage: &str) -> Output {
    let mut stderr = String::new();
    for complaint in complaints {
        // As getopt has it.
        let is_getopt = ["invalid option", "unrecognized option", "option requires"]
            .iter()
            .any(|begin| complaint.starts_with(begin));
        if is_getopt {
            stderr.push_str(program.name());
            stderr.push_str(": ");
        }
        stderr.push_str(complaint);
        stderr.push('\n');
    }
    stderr.push_str(usage);
    Output { stdout: String::new(), stderr, code: 1 }
}

/// What can be seen to be wrong only on this machine.
fn refused_by_machine(program: Program, order: &Order, usage: &str) -> Option<Output> {
    let mut complaints = Vec::new();
    let path = &order.key_file;
    match nix::sys::stat::stat(path) {
        Err(why) if order.key_file_was_given => {
            complaints.push(format!("Invalid key file: '{}' ({})", path.display(), why.desc()));
        }
        Ok(_) | Err(_) => {}
    }
    let origin = match &order.route {
        Route::Multicast(multicast) => Some(&multicast.origin),
        Route::Tcp { origin, .. } => Some(origin),
        Route::Vsock { .. } | Route::Serial { .. } | Route::Channel { .. } => None,
    };
    if let Some(interface) = origin.and_then(|origin| origin.interface.as_ref()) {
        if let Err(why) = nix::net::if_::if_nametoindex(interface.as_str()) {
            complaints.push(format!("Invalid interface: {interface}: {}", why.desc()));
        }
    }
    (!complaints.is_empty()).then(|| refused(program, &complaints, usage))
}

/// Asks the daemon.
fn carried_out(program: Program, order: &Order) -> Output {
    let mut trace = Trace::new(program.name(), order.debug);
    let secrets = key::read(order, &mut trace);
    if secrets.is_ok() {
        std::thread::sleep(order.delay);
    }
    let began = clock::now();
    let outcome: Result<Answer, Failure> = match &secrets {
        Ok(secrets) => run::ask(order, secrets, &mut trace),
        Err(Failure::Key(why)) => Err(Failure::Key(why.clone())),
        Err(why) => Err(Failure::Key(why.to_string())),
    };
    let seconds = clock::now().saturating_sub(began).as_secs_f64();
    let way = said::way(&order.route);
    let mut output = outcome::output(order, &outcome);
    if order.action.is_fencing() {
        let safety = said::safety(order, secrets.as_ref().ok());
        let level = if output.code == 0 { Level::Info } else { Level::Error };
        let line = outcome::log_line(order, &way, &safety, seconds, &output);
        Log::system(program.name()).line(level, &line);
        output.stderr.insert_str(0, &warnings(trace.events()));
    }
    if order.diagnose {
        let probes = match (&outcome, &secrets) {
            (Err(Failure::NoCallBack), Ok(secrets)) => probe::all(order, secrets),
            _ => Vec::new(),
        };
        let safety = said::safety(order, secrets.as_ref().ok());
        let way = format!("{way}, {safety}");
        let report = diagnose::report(order, &way, &outcome, trace.events(), &probes);
        output.stdout = report;
        output.stderr.clear();
    }
    output
}

/// What should not stay as it is; said where somebody is fenced, and not by each monitor.
fn warnings(events: &[Event]) -> String {
    let mut text = String::new();
    for event in events {
        if let Event::Key { is_short, is_open, .. } = event {
            if *is_short {
                text.push_str("Warning: the key has fewer than 16 bytes\n");
            }
            if *is_open {
                text.push_str("Warning: the key can be read or changed by others\n");
            }
        }
    }
    text
}
