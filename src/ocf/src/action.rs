//! The words of the contract that say what is asked for: actions and roles.
//! Every word Pacemaker may use is a variant here, so a match over them is complete.

use std::fmt;

/// What the caller wants done, `argv[1]`.
///
/// A probe is not an action of its own: it is [`Action::Monitor`] with an interval of zero
/// (see [`crate::Request::is_probe`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Make the resource run (a promotable one: unpromoted).
    Start,
    /// Make the resource not run, and see that it does not.
    Stop,
    /// Say whether it runs and is healthy.
    Monitor,
    /// Unpromoted to promoted.
    Promote,
    /// Promoted to unpromoted.
    Demote,
    /// Hear what happens to the instances of a clone, before and after.
    Notify,
    /// Live migration, on the node that has the resource.
    MigrateTo,
    /// Live migration, on the node that receives it.
    MigrateFrom,
    /// Judge the parameters.
    ValidateAll,
    /// Print the metadata.
    MetaData,
    /// Take over changed reloadable parameters without a restart (OCF 1.1).
    ReloadAgent,
    /// The older, human form of monitor.
    Status,
    /// Print a short help.
    Usage,
}

impl Action {
    /// All actions, in the order in which metadata lists them.
    pub const ALL: [Action; 13] = [
        Action::Start,
        Action::Stop,
        Action::Status,
        Action::Monitor,
        Action::Promote,
        Action::Demote,
        Action::Notify,
        Action::MigrateTo,
        Action::MigrateFrom,
        Action::ReloadAgent,
        Action::MetaData,
        Action::ValidateAll,
        Action::Usage,
    ];

    /// The action of this name; `None` for a word the contract does not have.
    #[must_use]
    pub fn parse(word: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.name() == word)
    }

    /// The word for it, as in `argv[1]` and in metadata.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Action::Start => "start",
            Action::Stop => "stop",
            Action::Monitor => "monitor",
            Action::Promote => "promote",
            Action::Demote => "demote",
            Action::Notify => "notify",
            Action::MigrateTo => "migrate_to",
            Action::MigrateFrom => "migrate_from",
            Action::ValidateAll => "validate-all",
            Action::MetaData => "meta-data",
            Action::ReloadAgent => "reload-agent",
            Action::Status => "status",
            Action::Usage => "usage",
        }
    }

    /// How this action reads its parameters.
    #[must_use]
    pub const fn strictness(self) -> Strictness {
        match self {
            Action::Start
            | Action::Promote
            | Action::MigrateTo
            | Action::MigrateFrom
            | Action::ReloadAgent
            | Action::ValidateAll => Strictness::Strict,
            // A stop or demote that refuses leads to fencing, a monitor that refuses says nothing
            // about the resource, a notify has nobody to listen; the last two read none.
            Action::Stop
            | Action::Monitor
            | Action::Demote
            | Action::Notify
            | Action::Status
            | Action::MetaData
            | Action::Usage => Strictness::Lenient,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What happens to a parameter value that does not parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// It is refused with exit code 6, naming the parameter. So are a missing required parameter
    /// and one that is not implemented yet.
    Strict,
    /// The default stands in and the refusal is only noted ([`crate::Values::set_aside`]): stop and
    /// monitor depend on what the resource *is*, never on the validity of other options.
    Lenient,
}

/// A role as Pacemaker names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Not running.
    Stopped,
    /// Running, of a resource without promotion.
    Started,
    /// Running unpromoted (`Slave` before Pacemaker 2.1).
    Unpromoted,
    /// Running promoted (`Master` before Pacemaker 2.1).
    Promoted,
    /// A word this version does not know; the environment still has it.
    Unrecognized,
}

impl Role {
    /// Reads a role, in its present or its earlier name, whatever the case.
    #[must_use]
    pub fn parse(word: &str) -> Role {
        match word.trim().to_ascii_lowercase().as_str() {
            "stopped" => Role::Stopped,
            "started" => Role::Started,
            "unpromoted" | "slave" => Role::Unpromoted,
            "promoted" | "master" => Role::Promoted,
            _ => Role::Unrecognized,
        }
    }

    /// The present name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Role::Stopped => "Stopped",
            Role::Started => "Started",
            Role::Unpromoted => "Unpromoted",
            Role::Promoted => "Promoted",
            Role::Unrecognized => "unrecognized",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_read_back_from_its_name() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.name()), Some(action));
        }
    }

    #[test]
    fn other_words_are_no_action() {
        for word in ["", "Start", " start", "reload", "methods", "probe", "verify-all"] {
            assert_eq!(Action::parse(word), None, "{word:?}");
        }
    }

    #[test]
    fn roles_are_understood_in_both_generations_of_names() {
        assert_eq!(Role::parse("Master"), Role::Promoted);
        assert_eq!(Role::parse("Promoted"), Role::Promoted);
        assert_eq!(Role::parse("Slave"), Role::Unpromoted);
        assert_eq!(Role::parse(" Unpromoted "), Role::Unpromoted);
        assert_eq!(Role::parse("Started"), Role::Started);
        assert_eq!(Role::parse("leader"), Role::Unrecognized);
    }
}
