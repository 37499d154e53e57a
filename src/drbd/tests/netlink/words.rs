//! What drbdsetup printed, and a view, in one form: object and property to value. A reader of its own, so that it
//! shares no mistake with the decoder of the library.

use duet_drbd::{Suspended, View};
use std::collections::BTreeMap;

/// `r0 role` to `Primary`, `r0/0 disk`, `r0:1 connection`, `r0:1/0 peer-disk`.
pub(crate) type Facts = BTreeMap<String, String>;

/// The properties that both sides have.
const PROPERTIES: [&str; 12] = [
    "role",
    "suspended",
    "force-io-failures",
    "minor",
    "disk",
    "client",
    "quorum",
    "backing_dev",
    "connection",
    "replication",
    "peer-disk",
    "peer-client",
];

/// One line of events2.
pub(crate) struct Line<'a> {
    pub(crate) verb: &'a str,
    pub(crate) kind: &'a str,
    fields: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    /// Reads it; the time comes first.
    pub(crate) fn read(line: &'a str) -> Line<'a> {
        let mut words = line.split_whitespace().skip(1);
        let (verb, kind) = (words.next().unwrap(), words.next().unwrap());
        let fields = words.map(|word| word.split_once(':').unwrap()).collect();
        Line { verb, kind, fields }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&'a str> {
        self.fields.get(name).copied()
    }

    fn object(&self) -> Option<String> {
        let resource = self.field("name").unwrap_or_default();
        let of = |name| self.field(name).unwrap();
        match self.kind {
            "resource" => Some(resource.to_owned()),
            "device" => Some(format!("{resource}/{}", of("volume"))),
            "connection" => Some(format!("{resource}:{}", of("peer-node-id"))),
            "peer-device" => Some(format!("{resource}:{}/{}", of("peer-node-id"), of("volume"))),
            "path" | "helper" | "-" => None,
            other => panic!("an object of kind {other}"),
        }
    }

    /// Takes it in as a change of what is known.
    pub(crate) fn apply(&self, facts: &mut Facts) {
        let Some(object) = self.object() else { return };
        if self.verb == "destroy" {
            facts.retain(|fact, _| !fact.starts_with(&format!("{object} ")));
            return;
        }
        for (name, value) in &self.fields {
            let is_name = self.kind == "connection" && *name == "conn-name";
            if PROPERTIES.contains(name) || *name == "out-of-sync" || is_name {
                say(facts, &object, name, value);
            }
        }
    }
}

/// What events2 said in these lines.
pub(crate) fn of_events(lines: &[String]) -> Facts {
    let mut facts = Facts::new();
    for line in lines {
        Line::read(line).apply(&mut facts);
    }
    facts
}

/// What `status --verbose --statistics` said.
pub(crate) fn of_status(lines: &[String]) -> Facts {
    let (mut facts, mut resource, mut peer, mut object) =
        (Facts::new(), String::new(), String::new(), String::new());
    for line in lines {
        let indent = line.len() - line.trim_start().len();
        let mut words = line.split_whitespace().peekable();
        let Some(first) = words.peek() else { continue };
        match (indent, first.strip_prefix("volume:")) {
            (0, None) => {
                resource = (*first).to_owned();
                object.clone_from(&resource);
                words.next();
            }
            (2, Some(volume)) => object = format!("{resource}/{volume}"),
            (2, None) => {
                // 8.4 says no number.
                let id = line
                    .split_once("node-id:")
                    .map_or("0", |(_, rest)| rest.split_whitespace().next().unwrap());
                peer = format!("{resource}:{id}");
                object.clone_from(&peer);
                words.next();
            }
            (4, Some(volume)) => object = format!("{peer}/{volume}"),
            // A line that goes on.
            _ => {}
        }
        for (name, value) in words.filter_map(|word| word.split_once(':')) {
            let is_own_id = name == "node-id" && object == resource;
            if PROPERTIES.contains(&name) || name == "out-of-sync" || is_own_id {
                say(&mut facts, &object, name, value);
            }
        }
    }
    facts
}

/// No disk is no fact, and takes the one away that there was.
fn say(facts: &mut Facts, object: &str, name: &str, value: &str) {
    let fact = format!("{object} {name}");
    if (name, value) == ("backing_dev", "none") {
        facts.remove(&fact);
    } else {
        facts.insert(fact, value.to_owned());
    }
}

fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

fn suspended(why: Suspended) -> String {
    let Suspended { user, no_data, fencing, quorum, unrecognized } = why;
    let reasons = [
        (user, "user"),
        (no_data, "no-data"),
        (fencing, "fencing"),
        (quorum, "quorum"),
        (unrecognized, "?"),
    ];
    let reasons: Vec<_> = reasons.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
    if reasons.is_empty() { "no".to_owned() } else { reasons.join(",") }
}

/// The same of a view.
pub(crate) fn of_view(view: &View) -> Facts {
    let mut facts = Facts::new();
    let mut say = |object: &str, name: &str, value: Option<String>| {
        if let Some(value) = value {
            facts.insert(format!("{object} {name}"), value);
        }
    };
    for (name, resource) in &view.resources {
        say(name, "role", Some(resource.role.to_string()));
        say(name, "suspended", Some(suspended(resource.suspended)));
        say(name, "force-io-failures", resource.force_io_failures.map(yes));
        say(name, "node-id", resource.node_id.map(|id| id.to_string()));
        for (number, volume) in &resource.volumes {
            let object = format!("{name}/{number}");
            say(&object, "minor", volume.minor.map(|minor| minor.to_string()));
            say(&object, "disk", Some(volume.disk.to_string()));
            say(&object, "client", volume.client.map(yes));
            say(&object, "quorum", volume.quorum.map(yes));
            say(&object, "open", volume.open.map(yes));
            say(&object, "backing_dev", volume.backing.clone());
        }
        for (id, peer) in &resource.peers {
            let object = format!("{name}:{id}");
            say(&object, "conn-name", peer.name.clone());
            say(&object, "connection", Some(peer.connection.to_string()));
            say(&object, "role", Some(peer.role.to_string()));
            for (number, volume) in &peer.volumes {
                let object = format!("{name}:{id}/{number}");
                say(&object, "replication", Some(volume.replication.to_string()));
                say(&object, "peer-disk", Some(volume.disk.to_string()));
                say(&object, "peer-client", volume.client.map(yes));
                say(&object, "out-of-sync", volume.out_of_sync.map(|kib| kib.to_string()));
            }
        }
    }
    facts
}
