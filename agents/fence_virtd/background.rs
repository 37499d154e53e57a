//! Becoming the daemon: in the foreground, or in the background with a pid file. Invariant: whoever starts it learns whether it serves, and
//! there is one daemon for a pid file.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use duet_host::{Lock, clock, daemon};
use duet_ocf::{Level, chain};

use crate::{
    options::{Options, PID_FILE},
    serve::{Serve, Start},
    sockets, sources,
};

/// What stock's daemon ends with for a configuration or a key that it cannot use.
const UNUSABLE: u8 = 255;
/// How long a daemon in the background has to begin.
const BEGINNING: Duration = Duration::from_secs(60);
/// Says to the process in the background that it is that.
const BACKGROUND: &str = "FENCE_VIRTD_IN_BACKGROUND";

/// Serves, here or in a process that stays when this one has ended.
pub(crate) fn serve(options: &Options) -> ExitCode {
    let is_child = std::env::var_os(BACKGROUND).is_some();
    let read = match sources::read(&options.file, true) {
        Ok(read) => read,
        Err(error) => {
            eprintln!("fence_virtd: {error}");
            daemon::ready(Err(&error.to_string()));
            return ExitCode::from(UNUSABLE);
        }
    };
    let is_foreground = options.is_foreground || read.0.is_foreground;
    if is_foreground || is_child { here(options, read, is_child) } else { behind(options) }
}

fn here(
    options: &Options,
    (settings, policies, warnings): sources::Read,
    is_child: bool,
) -> ExitCode {
    let debug = options.debug.max(settings.debug);
    let debug = if debug > 0 { "1" } else { "0" };
    let mut variables = vec![("HA_debug", debug), ("HA_LOGTAG", "fence_virtd")];
    if is_child {
        variables.push(("HA_LOGFACILITY", "daemon"));
    }
    let log = daemon::settle_with("fence_virtd", &variables);
    let failed = |why: &str| {
        log.line(Level::Error, why);
        daemon::ready(Err(why));
        ExitCode::FAILURE
    };
    let place = options.pid_file.clone().or_else(|| is_child.then(|| PathBuf::from(PID_FILE)));
    let _pid_file = match place.map(|path| PidFile::take(&path)).transpose() {
        Ok(pid_file) => pid_file,
        Err(why) => return failed(&why),
    };
    for warning in &warnings {
        log.line(Level::Warning, warning);
    }
    let waits = options.waits || settings.waits;
    let start = Start { configuration: absolute(&options.file), sockets: sockets(), waits };
    match Serve::new(start, settings, policies, &log) {
        Ok(mut serve) => {
            daemon::ready(Ok(()));
            serve.run();
            ExitCode::SUCCESS
        }
        Err(why) => failed(&why),
    }
}

/// Starts a process in the background and waits until it serves.
fn behind(options: &Options) -> ExitCode {
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => {
            eprintln!("fence_virtd: Could not find this program's own file: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut words = vec![
        "-f".into(),
        absolute(&options.file).into_os_string(),
        "-d".into(),
        options.debug.to_string().into(),
    ];
    if options.waits {
        words.push("-w".into());
    }
    if let Some(path) = &options.pid_file {
        words.extend(["-p".into(), absolute(path).into_os_string()]);
    }
    match daemon::start_and_hear(&own, words, &[(BACKGROUND, "1")], BEGINNING) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(why)) => {
            eprintln!(
                "fence_virtd: {}",
                if why.is_empty() { "it ended at once; the log says why" } else { &why }
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("fence_virtd: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The file with the number of this process, until it is dropped.
struct PidFile {
    path: PathBuf,
    _lock: Lock,
}

impl PidFile {
    /// Makes it. The lock on it is what says that somebody is there; a file that was left behind says nothing.
    fn take(path: &Path) -> Result<PidFile, String> {
        let lock =
            Lock::take(path, clock::within(Duration::ZERO)).map_err(|error| chain(&error))?;
        let Some(lock) = lock else {
            let pid = fs::read_to_string(path).unwrap_or_default();
            return Err(format!(
                "Another fence_virtd runs already, as process {}: {}",
                pid.trim(),
                path.display()
            ));
        };
        // In place: a new file in its stead would not be locked.
        fs::write(path, std::process::id().to_string())
            .map_err(|error| format!("Could not write {}: {error}", path.display()))?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        let _ = fs::set_permissions(path, readable);
        Ok(PidFile { path: path.to_owned(), _lock: lock })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
