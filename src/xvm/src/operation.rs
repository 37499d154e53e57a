//! What is asked and what is answered, as bytes of the wire. Invariant: a number that is not known stays what it is.

/// What is asked of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Nothing; always fails.
    Null,
    /// End the domain.
    Off,
    /// End the domain and start it again.
    Reboot,
    /// Start the domain.
    On,
    /// Whether the domain runs.
    Status,
    /// Whether the daemon is there: the client's `monitor`.
    Monitor,
    /// All domains: the client's `list`.
    List,
    /// Any other number; answered with [`Reply::Fail`].
    Unrecognized(u8),
}

impl Operation {
    /// From its number on the wire.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Null,
            1 => Self::Off,
            2 => Self::Reboot,
            3 => Self::On,
            4 => Self::Status,
            5 => Self::Monitor,
            6 => Self::List,
            other => Self::Unrecognized(other),
        }
    }

    /// Its number on the wire.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Off => 1,
            Self::Reboot => 2,
            Self::On => 3,
            Self::Status => 4,
            Self::Monitor => 5,
            Self::List => 6,
            Self::Unrecognized(other) => other,
        }
    }

    /// Whether it is meant to change a domain, so that carrying it out twice is not the same as once.
    #[must_use]
    pub fn changes(self) -> bool {
        match self {
            Self::Off | Self::Reboot | Self::On => true,
            Self::Null | Self::Status | Self::Monitor | Self::List | Self::Unrecognized(_) => false,
        }
    }
}

/// The answer: one byte, and for a list what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reply {
    /// Done; for a status: it runs.
    Success,
    /// Not done, or not known.
    Fail,
    /// The domain does not run.
    Off,
    /// The sender may not do that to this domain.
    Permission,
    /// A list of hosts follows.
    HostList,
    /// Any other byte.
    Unrecognized(u8),
}

impl Reply {
    /// From its number on the wire.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Success,
            1 => Self::Fail,
            2 => Self::Off,
            3 => Self::Permission,
            253 => Self::HostList,
            other => Self::Unrecognized(other),
        }
    }

    /// Its number on the wire.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Fail => 1,
            Self::Off => 2,
            Self::Permission => 3,
            Self::HostList => 253,
            Self::Unrecognized(other) => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_leads_back_to_itself() {
        for number in 0..=255 {
            assert_eq!(Operation::from_number(number).number(), number);
            assert_eq!(Reply::from_number(number).number(), number);
        }
    }
}
