//! The variables an invocation came with, as data. Looked at once by the host, then never again:
//! everything that depends on the environment can be tested without one.

use std::collections::HashMap;
use std::fmt;

/// A snapshot of environment variables. A debug dump shows their names only: parameters can be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: HashMap<String, String>,
}

impl Environment {
    /// The variable's value, which may be empty; `None` when it is not set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The variable's value without surrounding white space; `None` when that leaves nothing.
    /// Pacemaker writes "empty" as one space in places.
    #[must_use]
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// Like [`Environment::filled`] for `OCF_RESKEY_CRM_meta_<name>`.
    #[must_use]
    pub fn meta(&self, name: &str) -> Option<&str> {
        self.filled(&format!("OCF_RESKEY_CRM_meta_{name}"))
    }

    /// The same snapshot with one variable changed; for tests.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Environment {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.variables.keys().collect();
        names.sort_unstable();
        f.debug_set().entries(names).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Environment {
        let variables = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        Environment { variables: variables.collect() }
    }
}
