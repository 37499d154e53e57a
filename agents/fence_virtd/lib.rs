//! fence_virtd: ends and starts the guests of this host for those who have its key. Datagrams and frames come in by `listen` and `serve`,
//! `verdict` and `limits` say what they are worth, `plan` what is done about a domain; these three decide and touch nothing. `carry_out`
//! and `backend` do it. Invariant: success is what libvirt was seen to say, and nothing is done for bytes that were seen before.
#![allow(
    clippy::disallowed_methods,
    reason = "this program has sockets, files and threads that wait for libvirt; what decides has none"
)]

mod backend;
mod background;
mod carry_out;
mod check;
mod desk;
mod exchange;
mod limits;
mod listen;
mod memory;
mod notify;
mod options;
mod plan;
mod policy;
mod secret;
mod serial;
mod serve;
mod settings;
mod sources;
mod verdict;
mod wizard;

use std::{path::PathBuf, process::ExitCode};

use crate::options::{Options, Task, USAGE};

/// Runs the program with this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let options = match Options::parse(words) {
        Ok(options) => options,
        Err(why) => {
            eprint!("fence_virtd: {why}\n\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match &options.task {
        Task::Serve => background::serve(&options),
        Task::Configure => wizard::run(&options.file),
        Task::Check => check::check(&options.file),
        Task::CheckAcl { source, target } => check::acl(&options.file, source, target),
        Task::List => {
            print!(
                "Available backends:\n    libvirt 0.5\nAvailable listeners:\n    multicast 1.3\n    serial 0.5\n    tcp 0.1\n    vsock 0.2\n"
            );
            ExitCode::SUCCESS
        }
        Task::Usage => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        Task::Version => {
            println!("fence_virtd {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
    }
}

/// Where libvirt's daemons have their sockets.
fn sockets() -> PathBuf {
    PathBuf::from(duet_libvirt_rpc::SOCKET_DIR)
}
