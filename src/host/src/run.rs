//! The entry point of every agent: the real machine behind [`duet_ocf::drive`]. Whatever happens, also a
//! panic, the process ends with a code of the contract.

use crate::log::stderr_line;
use crate::{Log, clock};
use duet_ocf::{Action, Agent, Environment, ExitCode, Host, Level, drive, exit_reason_line, fold};
use std::io::Write;
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::time::Duration;

/// Runs an agent on this machine with this process's arguments and environment, and exits.
///
/// ```no_run
/// # fn agent() -> impl duet_ocf::Agent { Nothing }
/// # struct Nothing;
/// # #[derive(Debug, thiserror::Error)] #[error("Nothing")] struct NoError;
/// # impl duet_ocf::Agent for Nothing {
/// #     type Config = (); type Observation = (); type Step = String; type Error = NoError;
/// #     fn spec() -> &'static duet_ocf::Spec { unimplemented!() }
/// #     fn config(_: &duet_ocf::Request, _: &duet_ocf::Values) -> Result<(), duet_ocf::Refusal> { Ok(()) }
/// #     fn observe(&mut self, _: &(), _: &duet_ocf::Request, _: &mut duet_ocf::Turn<'_>) -> Result<(), NoError> { Ok(()) }
/// #     fn decide(_: &(), _: &duet_ocf::Request, _: &(), _: &duet_ocf::Progress<String>) -> duet_ocf::Next<String> { duet_ocf::Next::success() }
/// #     fn apply(&mut self, _: &(), _: &duet_ocf::Request, _: String, _: &mut duet_ocf::Turn<'_>) -> Result<(), NoError> { Ok(()) }
/// #     fn exit_code(_: &NoError, _: &duet_ocf::Request) -> duet_ocf::ExitCode { duet_ocf::ExitCode::Generic }
/// # }
/// fn main() {
///     duet_host::run(agent())
/// }
/// ```
///
/// The environment is read once. The umask becomes 0022 whatever the caller's was, and signals that
/// the caller had blocked arrive again, so SIGTERM ends an operation as it should; SIGCHLD is no longer ignored where
/// the caller ignored it, since nobody could be waited for then. PATH is not touched: children get their own from
/// [`crate::process`].
pub fn run<A: Agent>(mut agent: A) -> ! {
    let _ = clock::now();
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let environment: Environment = std::env::vars_os()
        .map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        })
        .collect();
    let validating = words.first().is_some_and(|word| word == Action::ValidateAll.name());
    let name = A::spec().name;
    answer_panics(name, &environment);
    take_signals();
    let mut machine = Machine::new(Log::new(name, &environment, validating));
    let code = drive(&mut agent, &words, environment, &mut machine);
    // What somebody asked for could not be delivered; for all else stdout is never used.
    let code = if code == ExitCode::Ok && machine.stdout_failed { ExitCode::Generic } else { code };
    leave(code)
}

/// Ends the process at once: no thread is waited for and no destructor runs, so a library call that hangs on another
/// thread can neither delay the answer nor crash it. What had to be written is written.
pub(crate) fn leave(code: ExitCode) -> ! {
    leave_with(code.number())
}

/// The same with any code: for programs that are no agents. Nothing that is still in a buffer is written.
#[allow(unsafe_code, reason = "neither std nor nix has _exit")]
pub fn leave_with(code: u8) -> ! {
    // SAFETY: _exit takes a number and does not return.
    unsafe { nix::libc::_exit(i32::from(code)) }
}

/// Makes this process, which is no agent, one that ends as it should: the clock runs, signals arrive, children can be
/// waited for, and a panic, also one on another thread, ends it with exit code 1 and a line in this log.
pub fn guard(name: &str, log: &Arc<Log>) {
    guard_with(name, log, ExitCode::Generic.number());
}

/// The same where a panic has to end it with another code.
pub fn guard_with(name: &str, log: &Arc<Log>, code: u8) {
    let _ = clock::now();
    take_signals();
    let (name, log) = (name.to_owned(), Arc::clone(log));
    std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        log.line(Level::Error, &format!("Internal error in {name}: {info}"));
        leave_with(code)
    }));
}

/// What this machine calls itself, if that is text.
#[must_use]
pub fn host_name() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    Some(name).filter(|name| !name.is_empty())
}

/// What a caller may have changed, as it usually is.
pub(crate) fn take_signals() {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let _ = nix::sys::signal::SigSet::all().thread_unblock();
    heed_children();
}

/// An ignored SIGCHLD is inherited, and makes the kernel forget how a child ended.
#[allow(unsafe_code, reason = "no safe interface to the disposition of a signal")]
fn heed_children() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: the default disposition runs no code of ours.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
}

/// A panic is our bug, but still an answer: exit code 1 and a reason, not a dead process that
/// Pacemaker can say nothing about. Works with `panic = "abort"` too, because the hook itself exits.
fn answer_panics(name: &'static str, environment: &Environment) {
    let environment = environment.clone();
    std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line()));
        let reason = fold(&format!(
            "Internal error in {name}{}: {}",
            place.unwrap_or_default(),
            text.unwrap_or("no message")
        ));
        stderr_line(&exit_reason_line(&environment, &reason));
        Log::new(name, &environment, false).reason(&reason);
        leave(ExitCode::Generic)
    }));
}

/// This machine, as the loop needs it.
#[derive(Debug)]
pub struct Machine {
    log: Log,
    stdout_failed: bool,
}

impl Machine {
    /// This machine with this log.
    #[must_use]
    pub fn new(log: Log) -> Machine {
        Machine { log, stdout_failed: false }
    }
}

impl Host for Machine {
    fn now(&self) -> Duration {
        clock::now()
    }

    fn sleep(&mut self, span: Duration) {
        std::thread::sleep(span);
    }

    fn log(&mut self, level: Level, text: &str) {
        self.log.line(level, text);
    }

    fn stdout(&mut self, text: &str) {
        let mut out = std::io::stdout().lock();
        self.stdout_failed |= out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err();
    }

    fn stderr(&mut self, line: &str) {
        stderr_line(line);
    }

    fn failure(&mut self, exit_reason: &str, reason: &str) {
        stderr_line(exit_reason);
        self.log.reason(reason);
    }
}
