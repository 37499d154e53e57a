//! The agent under test and how it is called: a clean environment, a scratch directory and a time limit
//! for every call, and a record of all of them.

use duet_host::process::{Call, Ended};
use duet_host::{Error, clock};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One call that was made, and how it went.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// What was asked, for people.
    pub what: String,
    /// The action.
    pub action: String,
    /// How it ended; the error's text when it did not.
    pub result: Result<Ended, String>,
    /// Whether the time limit ended it.
    pub is_hang: bool,
    /// How long it took.
    pub took: Duration,
}

impl Invocation {
    /// The exit code, if it came to one.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.result.as_ref().ok().and_then(|ended| ended.code)
    }

    /// What it wrote to standard output.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.text(|ended| &ended.stdout)
    }

    /// What it wrote to standard error.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.text(|ended| &ended.stderr)
    }

    /// The exit reasons it gave.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let stderr = self.stderr();
        let prefix = duet_ocf::DEFAULT_PREFIX;
        stderr.lines().filter_map(|line| line.strip_prefix(prefix)).map(str::to_owned).collect()
    }

    /// How it went, in one line.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.result {
            Ok(ended) => format!("{} {}", self.what, ended.describe()),
            Err(error) => format!("{}: {error}", self.what),
        }
    }

    fn text(&self, of: impl Fn(&Ended) -> &Vec<u8>) -> String {
        let bytes = self.result.as_ref().map_or(&[][..], |ended| of(ended));
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// An agent executable.
#[derive(Debug)]
pub struct Subject {
    path: PathBuf,
    extra: Vec<(String, String)>,
    limit: Duration,
    scratch: tempfile::TempDir,
    record: RefCell<Vec<Invocation>>,
}

impl Subject {
    /// The agent at this path, with variables that its resource needs.
    ///
    /// # Errors
    /// There is no such file, or no place for a scratch directory.
    pub fn new(path: &Path, extra: Vec<(String, String)>) -> std::io::Result<Subject> {
        Ok(Subject {
            path: path.canonicalize()?,
            extra,
            limit: Duration::from_secs(15),
            scratch: tempfile::tempdir()?,
            record: RefCell::new(Vec::new()),
        })
    }

    /// With another limit for each call.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Subject {
        self.limit = limit;
        self
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that `HA_RSCTMP`, `HOME` and `TMPDIR` name in every call.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The value the caller gave for a parameter.
    #[must_use]
    pub fn given(&self, parameter: &str) -> Option<&str> {
        let variable = format!("OCF_RESKEY_{parameter}");
        self.extra.iter().find(|(name, _)| *name == variable).map(|(_, value)| value.as_str())
    }

    /// All calls so far.
    #[must_use]
    pub fn record(&self) -> Vec<Invocation> {
        self.record.borrow().clone()
    }

    /// Calls it with no variables at all, as another user if one is given.
    pub fn bare(&self, action: &str, user: Option<(u32, u32)>) -> Invocation {
        let mut call = Call::new(self.path.to_string_lossy()).env_clean().arg(action);
        if let Some((uid, gid)) = user {
            call = call.user(uid, gid);
        }
        let whom = if user.is_some() { " as nobody" } else { "" };
        self.make(action, format!("{action} without environment{whom}"), &call)
    }

    /// Calls it as Pacemaker would, with these parameters; an empty action means no argument.
    pub fn call(&self, action: &str, parameters: &[(String, String)]) -> Invocation {
        let call = self.prepared(action, parameters, Call::new(self.path.to_string_lossy()));
        self.make(action, describe(action, parameters), &call)
    }

    /// Like [`Subject::call`], with standard input, output and error closed.
    pub fn call_closed(&self, action: &str, parameters: &[(String, String)]) -> Invocation {
        let shell = Call::new("sh").arg("-c").arg(r#"exec "$0" "$@" <&- >&- 2>&-"#);
        let call = self.prepared(action, parameters, shell.arg(&self.path));
        self.make(action, format!("{}, closed streams", describe(action, parameters)), &call)
    }

    fn prepared(&self, action: &str, parameters: &[(String, String)], call: Call) -> Call {
        let scratch = self.scratch.path();
        let name = self.path.file_name().unwrap_or_default();
        let mut call = call
            .env_clean()
            .directory(scratch)
            .env("LC_ALL", "C")
            .env("OCF_ROOT", "/usr/lib/ocf")
            .env("OCF_RA_VERSION_MAJOR", "1")
            .env("OCF_RA_VERSION_MINOR", "1")
            .env("OCF_RESOURCE_INSTANCE", "conformance")
            .env("OCF_RESOURCE_TYPE", name)
            .env("OCF_RESOURCE_PROVIDER", duet_ocf::PROVIDER)
            .env("OCF_EXIT_REASON_PREFIX", duet_ocf::DEFAULT_PREFIX)
            .env("OCF_RESKEY_CRM_meta_timeout", (self.limit.as_millis() / 2).to_string());
        for variable in ["HA_RSCTMP", "HOME", "TMPDIR"] {
            call = call.env(variable, scratch);
        }
        for (variable, value) in &self.extra {
            call = call.env(variable, value);
        }
        for (parameter, value) in parameters {
            call = call.env(format!("OCF_RESKEY_{parameter}"), value);
        }
        if action.is_empty() { call } else { call.arg(action) }
    }

    fn make(&self, action: &str, what: String, call: &Call) -> Invocation {
        let began = clock::now();
        let result = call.run(clock::within(self.limit));
        let invocation = Invocation {
            what,
            action: action.to_owned(),
            is_hang: result.as_ref().is_err_and(Error::is_timeout),
            result: result.map_err(|error| {
                let error: &(dyn std::error::Error + 'static) = &error;
                duet_ocf::chain(error)
            }),
            took: clock::now() - began,
        };
        self.record.borrow_mut().push(invocation.clone());
        invocation
    }
}

fn describe(action: &str, parameters: &[(String, String)]) -> String {
    let mut what = if action.is_empty() { "(no action)".to_owned() } else { action.to_owned() };
    for (name, value) in parameters {
        what.push_str(&format!(" {name}={value:?}"));
    }
    what
}
