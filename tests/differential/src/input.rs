//! One input: a cluster as node1 sees it, its DRBD, and the call. Invariant: what the stock handler is shown and what ours
//! is shown are made from the same value.

use duet_drbd::{
    Connection, Disk, Peer, PeerVolume, Replication, Resource, Role, Suspended, View, Volume,
};
use std::fmt::Write as _;

/// The driver, and with it the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    V8,
    V9,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Fence,
    Unfence,
}

/// How a peer stands with DRBD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Lost,
    /// Connected, and Inconsistent.
    Behind,
    Good,
}

/// How a peer stands with the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Online, and its controller answers.
    Answers,
    /// Online, and its controller does not.
    Mute,
    Down,
    Unclean,
    /// The CIB has no state of it.
    Absent,
}

/// The rule that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ban {
    /// The numbers of those that it allows.
    pub(crate) allowed: Vec<usize>,
    /// What it calls the role.
    pub(crate) role: &'static str,
}

/// One input.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) driver: Driver,
    pub(crate) mode: Mode,
    pub(crate) own: Vec<Disk>,
    pub(crate) is_primary: bool,
    /// node2, and node3 if there is one.
    pub(crate) peers: Vec<(Link, Fate)>,
    /// What the kernel passes (9).
    pub(crate) mask: u32,
    /// The peer was reached and refused.
    pub(crate) is_refused: bool,
    pub(crate) ban: Option<Ban>,
    pub(crate) cib_has_quorum: bool,
    pub(crate) node_sees_quorum: bool,
    pub(crate) has_stonith: bool,
    /// resource-and-stonith, not resource-only.
    pub(crate) freezes: bool,
    /// `--unfence-only-if-owner-match`.
    pub(crate) only_if_owner: bool,
}

const CLONE: &str = "ms_r0";
/// The rule's id.
pub(crate) const RULE: &str = "drbd-fence-by-handler-r0-ms_r0";

pub(crate) fn node(number: usize) -> String {
    format!("node{number}")
}

impl Input {
    /// A Primary under 9 that is UpToDate, and has lost its only peer.
    pub(crate) fn lost(driver: Driver) -> Input {
        Input {
            driver,
            mode: Mode::Fence,
            own: vec![Disk::UpToDate],
            is_primary: true,
            peers: vec![(Link::Lost, Fate::Answers)],
            mask: 1,
            is_refused: false,
            ban: None,
            cib_has_quorum: true,
            node_sees_quorum: true,
            has_stonith: true,
            freezes: true,
            only_if_owner: false,
        }
    }

    pub(crate) fn has_frozen(&self) -> bool {
        self.freezes && self.mode == Mode::Fence && self.is_primary
    }

    /// In one line, for people.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("{:?} {:?} own", self.driver, self.mode);
        for disk in &self.own {
            let _ = write!(line, " {disk}");
        }
        let role = if self.is_primary { "Primary" } else { "Secondary" };
        let _ = write!(line, ", {role}, peers {:?}", self.peers);
        match &self.ban {
            None => line.push_str(", no rule"),
            Some(ban) => {
                let _ = write!(line, ", {} rule allows {:?}", ban.role, ban.allowed);
            }
        }
        let _ = write!(line, ", mask {:#x}", self.mask);
        for (is_so, word) in [
            (self.is_refused, "refused"),
            (!self.cib_has_quorum, "CIB without quorum"),
            (!self.node_sees_quorum, "node without quorum"),
            (!self.has_stonith, "no stonith"),
            (!self.freezes, "resource-only"),
            (self.only_if_owner, "owner only"),
        ] {
            if is_so {
                let _ = write!(line, ", {word}");
            }
        }
        line
    }

    /// The program, as it is called.
    pub(crate) fn program(&self) -> &'static str {
        match (self.mode, self.driver) {
            (Mode::Fence, Driver::V8) => "crm-fence-peer.sh",
            (Mode::Fence, Driver::V9) => "crm-fence-peer.9.sh",
            (Mode::Unfence, Driver::V8) => "crm-unfence-peer.sh",
            (Mode::Unfence, Driver::V9) => "crm-unfence-peer.9.sh",
        }
    }

    /// Its environment, as drbdadm makes it.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let mut all = vec![
            ("DRBD_RESOURCE", "r0".to_owned()),
            ("DRBD_CONF", "/etc/drbd.conf".to_owned()),
            ("DRBD_PEER_AF", "ipv4".to_owned()),
            ("DRBD_PEER_ADDRESS", "10.78.0.2".to_owned()),
            ("HOME", "/".to_owned()),
            ("TERM", "linux".to_owned()),
        ];
        let minors: Vec<String> = (0..self.own.len()).map(|minor| minor.to_string()).collect();
        all.push(("DRBD_MINOR", minors.join(" ")));
        let mut all: Vec<(String, String)> =
            all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut add = |name: &str, value: String| all.push((name.to_owned(), value));
        match self.driver {
            Driver::V8 => {
                add("DRBD_PEER", node(2));
                add("DRBD_PEERS", node(2));
            }
            Driver::V9 => {
                for id in 0..=self.peers.len() {
                    add(&format!("DRBD_NODE_ID_{id}"), node(id + 1));
                }
                add("DRBD_MY_NODE_ID", "0".to_owned());
                add("DRBD_PEER_NODE_ID", "1".to_owned());
                let state = match (self.mode, self.is_refused) {
                    (_, true) => "Disconnecting",
                    (Mode::Fence, false) => "NetworkFailure",
                    (Mode::Unfence, false) => "Connected",
                };
                add("DRBD_CSTATE", state.to_owned());
                add("UP_TO_DATE_NODES", format!("0x{:08X}", self.mask));
            }
        }
        all
    }

    /// What the cluster has.
    pub(crate) fn cib(&self) -> String {
        let mut nodes = String::new();
        let mut states = String::new();
        let fates = std::iter::once(Fate::Answers).chain(self.peers.iter().map(|(_, fate)| *fate));
        for (number, fate) in (1..).zip(fates) {
            let name = node(number);
            let _ = write!(nodes, "<node id=\"{number}\" uname=\"{name}\"/>");
            let (in_ccm, crmd, join, expected) = match fate {
                Fate::Answers | Fate::Mute => ("true", "online", "member", "member"),
                Fate::Down => ("false", "offline", "down", "down"),
                Fate::Unclean => ("false", "offline", "down", "member"),
                Fate::Absent => continue,
            };
            let _ = write!(
                states,
                "<node_state id=\"{number}\" uname=\"{name}\" in_ccm=\"{in_ccm}\" crmd=\"{crmd}\" \
                 crm-debug-origin=\"do_state_transition\" join=\"{join}\" expected=\"{expected}\"/>"
            );
        }
        let quorum = u8::from(self.cib_has_quorum);
        let stonith = self.has_stonith;
        let rule = self.ban.as_ref().map(|ban| self.rule(ban)).unwrap_or_default();
        format!(
            "<cib crm_feature_set=\"3.16.1\" validate-with=\"pacemaker-3.9\" epoch=\"10\" num_updates=\"3\" \
             admin_epoch=\"0\" have-quorum=\"{quorum}\" dc-uuid=\"1\"><configuration><crm_config>\
             <cluster_property_set id=\"cib-bootstrap-options\">\
             <nvpair id=\"o1\" name=\"stonith-enabled\" value=\"{stonith}\"/></cluster_property_set></crm_config>\
             <nodes>{nodes}</nodes><resources><clone id=\"{CLONE}\"><meta_attributes id=\"m\">\
             <nvpair id=\"m1\" name=\"promotable\" value=\"true\"/></meta_attributes>\
             <primitive id=\"p_r0\" class=\"ocf\" provider=\"linbit\" type=\"drbd\">\
             <instance_attributes id=\"i\"><nvpair id=\"i1\" name=\"drbd_resource\" value=\"r0\"/>\
             </instance_attributes></primitive></clone></resources><constraints>{rule}</constraints>\
             </configuration><status>{states}</status></cib>\n"
        )
    }

    fn rule(&self, ban: &Ban) -> String {
        let mut expressions = String::new();
        for number in &ban.allowed {
            let id = if self.driver == Driver::V8 {
                format!("drbd-fence-by-handler-r0-expr-{CLONE}")
            } else {
                format!("drbd-fence-by-handler-r0-expr-{}-{CLONE}", number - 1)
            };
            let name = node(*number);
            let _ = write!(
                expressions,
                "<expression attribute=\"#uname\" operation=\"ne\" value=\"{name}\" id=\"{id}\"/>"
            );
        }
        format!(
            "<rsc_location rsc=\"{CLONE}\" id=\"{RULE}\"><rule role=\"{}\" score=\"-INFINITY\" \
             id=\"drbd-fence-by-handler-r0-rule-{CLONE}\">{expressions}</rule></rsc_location>",
            ban.role
        )
    }

    /// What the kernel has.
    pub(crate) fn view(&self) -> View {
        let volume = |minor: usize, disk: &Disk| Volume {
            minor: u32::try_from(minor).ok(),
            disk: disk.clone(),
            client: Some(false),
            quorum: Some(true),
            open: Some(self.is_primary),
            backing: Some("/dev/vdb".to_owned()),
        };
        let volumes = self.own.iter().enumerate();
        let volumes = (0_u32..).zip(volumes.map(|(minor, disk)| volume(minor, disk))).collect();
        let is_8 = self.driver == Driver::V8;
        let peer = |(index, (link, _)): (usize, &(Link, Fate))| {
            let id = if is_8 { 0 } else { u32::try_from(index + 1).unwrap_or(0) };
            let (connection, disk) = self.seen(*link);
            let there = PeerVolume {
                replication: match link {
                    Link::Lost => Replication::Off,
                    Link::Behind => Replication::SyncSource,
                    Link::Good => Replication::Established,
                },
                disk,
                client: Some(false),
                out_of_sync: Some(0),
            };
            let peer = Peer {
                name: Some(if is_8 { "peer".to_owned() } else { node(index + 2) }),
                connection,
                role: if *link == Link::Lost { Role::Unknown } else { Role::Secondary },
                volumes: (0..).zip(self.own.iter().map(|_| there.clone())).collect(),
            };
            (id, peer)
        };
        let resource = Resource {
            node_id: Some(0).filter(|_| !is_8),
            role: if self.is_primary { Role::Primary } else { Role::Secondary },
            suspended: Suspended { fencing: self.has_frozen(), ..Suspended::default() },
            volumes,
            peers: self.peers.iter().enumerate().map(peer).collect(),
            ..Resource::default()
        };
        View { resources: [("r0".to_owned(), resource)].into() }
    }

    fn seen(&self, link: Link) -> (Connection, Disk) {
        match link {
            Link::Lost if self.is_refused => (Connection::StandAlone, Disk::DUnknown),
            Link::Lost => (Connection::Connecting, Disk::DUnknown),
            Link::Behind => (Connection::Connected, Disk::Inconsistent),
            Link::Good => (Connection::Connected, Disk::UpToDate),
        }
    }

    /// The same, as `drbdsetup events2 --now` prints it.
    pub(crate) fn events2(&self) -> String {
        let mut text = String::new();
        let role = if self.is_primary { "Primary" } else { "Secondary" };
        let suspended = if self.has_frozen() { "fencing" } else { "no" };
        let _ = writeln!(text, "exists resource name:r0 role:{role} suspended:{suspended}");
        for (id, (link, _)) in (1..).zip(&self.peers) {
            let (connection, _) = self.seen(*link);
            let role = if *link == Link::Lost { "Unknown" } else { "Secondary" };
            let name = node(id + 1);
            let _ = writeln!(
                text,
                "exists connection name:r0 peer-node-id:{id} conn-name:{name} connection:{connection} role:{role}"
            );
        }
        for (volume, disk) in self.own.iter().enumerate() {
            let _ = writeln!(
                text,
                "exists device name:r0 volume:{volume} minor:{volume} disk:{disk} client:no quorum:yes"
            );
        }
        for (id, (link, _)) in (1..).zip(&self.peers) {
            let (_, disk) = self.seen(*link);
            let name = node(id + 1);
            for volume in 0..self.own.len() {
                let _ = writeln!(
                    text,
                    "exists peer-device name:r0 peer-node-id:{id} conn-name:{name} volume:{volume} \
                     replication:Off peer-disk:{disk} peer-client:no resync-suspended:no"
                );
            }
        }
        text.push_str("exists -\n");
        text
    }

    /// The same, as 8.4 has it in `/proc/drbd`.
    pub(crate) fn proc_drbd(&self) -> String {
        let mut text = "version: 8.4.11 (api:1/proto:86-101)\n".to_owned();
        let own = if self.is_primary { "Primary" } else { "Secondary" };
        let (link, _) = self.peers[0];
        let (_, peer) = self.seen(link);
        let (state, role) = match link {
            Link::Lost if self.is_refused => ("StandAlone", "Unknown"),
            Link::Lost => ("WFConnection", "Unknown"),
            Link::Behind => ("SyncSource", "Secondary"),
            Link::Good => ("Connected", "Secondary"),
        };
        for (minor, disk) in self.own.iter().enumerate() {
            let _ = writeln!(
                text,
                "{minor:2}: cs:{state} ro:{own}/{role} ds:{disk}/{peer} C r-----\n    ns:0 nr:0 dw:0 dr:0 oos:0"
            );
        }
        text
    }

    /// The same, as `drbdadm dump-xml` prints it.
    pub(crate) fn configuration(&self) -> String {
        let policy = if self.freezes { "resource-and-stonith" } else { "resource-only" };
        format!(
            "<config file=\"/etc/drbd.conf\"><common></common><resource name=\"r0\">\
             <section name=\"net\"><option name=\"fencing\" value=\"{policy}\"/></section></resource></config>\n"
        )
    }
}
