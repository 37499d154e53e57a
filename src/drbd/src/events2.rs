//! The lines of `drbdsetup events2`, of 8.4 and 9, with or without time stamps, `--full`, `--statistics` and `--diff`:
//! one line is one [`Change`], and the whole text of `events2 --now` is a [`View`]. Invariant: a text that is not complete,
//! or has a line that cannot be read, is an error and never a smaller view.

use crate::{Change, Connection, Disk, Object, Replication, Role, Suspended, Verb, View};

/// Why a line cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It has no verb and object.
    #[error("No verb and object in {0:?}")]
    Incomplete(String),
    /// A key without which it is not known what the line is about, or what it says.
    #[error("No {key} in a line about a {object}")]
    Missing {
        /// What the line is about.
        object: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A key that appears with two values.
    #[error("Two values of {0}")]
    Twice(&'static str),
    /// A value that should be a number, and is none that fits.
    #[error("{key}:{value} is not a number")]
    NotANumber {
        /// The key.
        key: &'static str,
        /// What it has.
        value: String,
    },
}

/// Why a text is no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It does not end with `exists -`.
    #[error("The output of events2 is cut off")]
    CutOff,
    /// A line cannot be read.
    #[error("Line {number} of the output of events2 cannot be read")]
    Line {
        /// From 1.
        number: usize,
        /// Why.
        source: LineError,
    },
    /// A line does not say that something exists, so that this is no snapshot, or one and what came after it.
    #[error("Line {number} of the output of events2 does not belong into a snapshot: {line:?}")]
    Foreign {
        /// From 1.
        number: usize,
        /// As it is.
        line: String,
    },
}

/// Reads one line. Keys and objects that are not known are passed over; a line with a verb that is not known is
/// [`Object::Unrecognized`] as a whole.
///
/// # Errors
/// If the line does not say what it is about, has a key twice, or something else where a number belongs.
pub fn change(line: &str) -> Result<Change, LineError> {
    let mut words = line.split_ascii_whitespace().peekable();
    // No verb begins with a digit; a time stamp does.
    words.next_if(|word| word.starts_with(|letter: char| letter.is_ascii_digit()));
    let incomplete = || LineError::Incomplete(line.to_owned());
    let verb = words.next().ok_or_else(incomplete)?;
    let object = words.next().ok_or_else(incomplete)?;
    let verb = match verb {
        "exists" => Verb::Exists,
        "create" => Verb::Create,
        "change" => Verb::Change,
        "destroy" => Verb::Destroy,
        "rename" => Verb::Rename,
        "call" => Verb::Call,
        "response" => Verb::Response,
        _ => {
            let object = Object::Unrecognized(line.to_owned());
            return Ok(Change { verb: Verb::Change, object });
        }
    };
    let is_last = words.peek().is_none();
    // Only the first colon separates: addresses contain more of them.
    let fields = words.filter_map(|word| word.split_once(':')).collect();
    let object = match object {
        "resource" => Fields { object: "resource", fields }.resource(&verb)?,
        "device" => Fields { object: "device", fields }.device()?,
        "connection" => Fields { object: "connection", fields }.connection()?,
        "peer-device" => Fields { object: "peer-device", fields }.peer_device()?,
        "path" => {
            let fields = Fields { object: "path", fields };
            Object::Path { resource: fields.required("name")?.to_owned() }
        }
        "helper" => Fields { object: "helper", fields }.helper(&verb)?,
        "-" if verb == Verb::Exists && is_last => Object::End,
        other => Object::Unrecognized(other.to_owned()),
    };
    Ok(Change { verb, object })
}

/// Reads the whole text of `events2 --now`. 8.4's tools end it with `exists -` as well.
///
/// # Errors
/// If it does not end with `exists -`, or has a line that cannot be read or does not belong there.
pub fn snapshot(text: &str) -> Result<View, SnapshotError> {
    let lines = || (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let is_end = |line| matches!(change(line), Ok(Change { object: Object::End, .. }));
    let Some((last, _)) = lines().last().filter(|(_, line)| is_end(line)) else {
        return Err(SnapshotError::CutOff);
    };
    let mut view = View::default();
    for (number, line) in lines() {
        let said = change(line).map_err(|source| SnapshotError::Line { number, source })?;
        match said {
            Change { object: Object::End, .. } if number == last => {}
            Change { verb: Verb::Exists, ref object } if *object != Object::End => {
                view.apply(&said);
            }
            _ => return Err(SnapshotError::Foreign { number, line: line.to_owned() }),
        }
    }
    Ok(view)
}

/// The `key:value` words of one line.
struct Fields<'a> {
    object: &'static str,
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Fields<'a> {
    fn resource(&self, verb: &Verb) -> Result<Object, LineError> {
        let new_name = match verb {
            Verb::Rename => Some(self.required("new_name")?.to_owned()),
            _ => None,
        };
        Ok(Object::Resource {
            resource: self.required("name")?.to_owned(),
            new_name,
            node_id: self.number("node-id")?,
            role: self.state("role")?.map(Role::parse),
            suspended: self.state("suspended")?.map(Suspended::parse),
            force_io_failures: self.flag("force-io-failures", true)?,
            may_promote: self.flag("may_promote", false)?,
            promotion_score: self.number("promotion_score")?,
        })
    }

    fn device(&self) -> Result<Object, LineError> {
        let backing = self.state("backing_dev")?.map(|path| match path {
            "none" => String::new(),
            path => path.to_owned(),
        });
        Ok(Object::Device {
            resource: self.required("name")?.to_owned(),
            volume: self.required_number("volume")?,
            minor: self.number("minor")?,
            disk: self.state("disk")?.map(Disk::parse),
            client: self.flag("client", false)?,
            quorum: self.flag("quorum", false)?,
            open: self.flag("open", true)?,
            backing,
        })
    }

    fn connection(&self) -> Result<Object, LineError> {
        Ok(Object::Connection {
            resource: self.required("name")?.to_owned(),
            peer: self.required_number("peer-node-id")?,
            name: self.get("conn-name")?.map(str::to_owned),
            connection: self.state("connection")?.map(Connection::parse),
            role: self.state("role")?.map(Role::parse),
        })
    }

    fn peer_device(&self) -> Result<Object, LineError> {
        Ok(Object::PeerDevice {
            resource: self.required("name")?.to_owned(),
            peer: self.required_number("peer-node-id")?,
            volume: self.required_number("volume")?,
            replication: self.state("replication")?.map(Replication::parse),
            disk: self.state("peer-disk")?.map(Disk::parse),
            client: self.flag("peer-client", false)?,
            out_of_sync: self.number("out-of-sync")?,
        })
    }

    fn helper(&self, verb: &Verb) -> Result<Object, LineError> {
        Ok(Object::Helper {
            resource: self.required("name")?.to_owned(),
            peer: self.number("peer-node-id")?,
            volume: self.number("volume")?,
            helper: self.required("helper")?.to_owned(),
            status: match verb {
                Verb::Response => Some(self.required_number("status")?),
                _ => None,
            },
        })
    }

    fn get(&self, key: &'static str) -> Result<Option<&'a str>, LineError> {
        let mut values = self.fields.iter().filter(|(name, _)| *name == key);
        let first = values.next().map(|(_, value)| *value);
        if values.next().is_some() { Err(LineError::Twice(key)) } else { Ok(first) }
    }

    fn required(&self, key: &'static str) -> Result<&'a str, LineError> {
        let value = self.get(key)?.filter(|value| !value.is_empty());
        value.ok_or(LineError::Missing { object: self.object, key })
    }

    /// A value as it is now: `--diff` prints `old->new`.
    fn state(&self, key: &'static str) -> Result<Option<&'a str>, LineError> {
        Ok(self.get(key)?.map(|value| value.rsplit_once("->").map_or(value, |(_, new)| new)))
    }

    fn number<N: std::str::FromStr>(&self, key: &'static str) -> Result<Option<N>, LineError> {
        let Some(value) = self.state(key)? else { return Ok(None) };
        let not_a_number = |_| LineError::NotANumber { key, value: value.to_owned() };
        value.parse().map(Some).map_err(not_a_number)
    }

    fn required_number(&self, key: &'static str) -> Result<u32, LineError> {
        self.number(key)?.ok_or(LineError::Missing { object: self.object, key })
    }

    /// `yes` or `no`. drbdsetup says `unknown` where the driver does not say; any other word counts as the worse of the two.
    fn flag(&self, key: &'static str, worse: bool) -> Result<Option<bool>, LineError> {
        Ok(match self.state(key)? {
            None | Some("unknown") => None,
            Some("yes") => Some(true),
            Some("no") => Some(false),
            Some(_) => Some(worse),
        })
    }
}

impl Suspended {
    /// Reads drbdsetup's list of reasons. Anything but `no` counts as frozen.
    #[must_use]
    pub fn parse(reasons: &str) -> Suspended {
        let mut suspended = Suspended::default();
        if reasons == "no" {
            return suspended;
        }
        for reason in reasons.split(',') {
            match reason {
                "user" => suspended.user = true,
                "no-data" => suspended.no_data = true,
                "fencing" => suspended.fencing = true,
                "quorum" => suspended.quorum = true,
                _ => suspended.unrecognized = true,
            }
        }
        suspended
    }
}
