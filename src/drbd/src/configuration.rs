//! The configuration as `drbdadm dump-xml` prints it: resources, hosts, volumes, connections, and the options that
//! decide something. Invariant: an option that the dump does not show is its documented default only where it cannot
//! be set elsewhere; drbdadm leaves out what a `template-file` sets, and then the option is `None`.

mod element;
mod option;

use element::Element;
pub use option::{Fencing, OnNoQuorum, Quorum, Section};
use std::collections::BTreeMap;

/// Why a dump cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// It ends before its root does, or there is nothing.
    #[error("The configuration that drbdadm printed is cut off")]
    CutOff,
    /// It is no XML.
    #[error("The configuration that drbdadm printed cannot be read at byte {position}: {problem}")]
    Malformed {
        /// Where.
        position: u64,
        /// The parser's own words.
        problem: String,
    },
    /// Some other document.
    #[error("drbdadm printed <{0}> where <config> was expected")]
    NotAConfiguration(String),
    /// What has to be there is not.
    #[error("drbdadm printed a <{element}> without {what}")]
    Missing {
        /// Where it belongs.
        element: String,
        /// What is missing.
        what: &'static str,
    },
    /// A number that is none.
    #[error("drbdadm printed {value:?} as {what}")]
    NotANumber {
        /// What it should be.
        what: &'static str,
        /// What it is.
        value: String,
    },
}

/// All resources, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// By name.
    pub resources: BTreeMap<String, Configured>,
}

/// One resource. Its sections have what `common` says where the resource itself says nothing: a dump does not show
/// that merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// The hosts, in the order of the file.
    pub hosts: Vec<Host>,
    /// The connections, with implicit ones; 8.4's tools print none.
    pub connections: Vec<Link>,
    /// A file with further options, which the dump does not show.
    pub template: Option<String>,
    /// Section `options`.
    pub options: Section,
    /// Section `net`.
    pub net: Section,
    /// Section `disk`.
    pub disk: Section,
    /// Section `startup`.
    pub startup: Section,
    /// Section `handlers`: command lines by event.
    pub handlers: Section,
}

/// One host of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The names after `on`, or of all lower hosts of a stacked resource; none of a floating peer. The dump does not
    /// print node ids.
    pub names: Vec<String>,
    /// Where it listens; none where each connection says it.
    pub address: Option<Address>,
    /// By number.
    pub volumes: BTreeMap<u32, ConfiguredVolume>,
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `ipv4`, `ipv6`, `ssocks`, `sdp`.
    pub family: String,
    /// The address itself.
    pub address: String,
    /// The port.
    pub port: String,
}

/// One volume on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredVolume {
    /// `/dev/drbdN`; none in a file that is not for this node.
    pub minor: Option<u32>,
    /// Its device: as configured, or by the minor.
    pub device: Option<String>,
    /// The device below; none for a diskless node.
    pub disk: Option<String>,
    /// Where the metadata is.
    pub meta_disk: Option<MetaDisk>,
    /// Section `disk` of this volume, with what the resource and `common` say.
    pub options: Section,
}

/// Where a volume's metadata is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetaDisk {
    /// At the end of the disk.
    Internal,
    /// On a device of its own.
    External {
        /// Which.
        device: String,
        /// Which of several, unless the whole device is for it.
        index: Option<u32>,
    },
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The two ends: names of hosts, `address:port` of a floating peer, or names joined by `_` of a stacked resource's hosts.
    pub hosts: Vec<String>,
    /// Section `net` of this connection, with what the resource and `common` say.
    pub net: Section,
}

impl Configuration {
    /// Reads the output of `drbdadm dump-xml`.
    ///
    /// # Errors
    /// If it is cut off, no such document, or lacks what makes a resource, host or volume.
    pub fn parse(document: &str) -> Result<Configuration, ConfigurationError> {
        let root = Element::parse(document)?;
        if root.name() != "config" {
            return Err(ConfigurationError::NotAConfiguration(root.name().to_owned()));
        }
        let nothing = Element::default();
        let common = root.first("common").unwrap_or(&nothing);
        let mut resources = BTreeMap::new();
        for resource in root.all("resource") {
            let name = resource.require("name")?.to_owned();
            resources.insert(name, Configured::read(resource, common)?);
        }
        Ok(Configuration { resources })
    }

    /// The resource on whose device this one's disk is, on some host: `stacked-on-top-of`. The dump of a stacked
    /// resource names the lower one's device as its disk.
    #[must_use]
    pub fn stacked_on(&self, resource: &str) -> Option<&str> {
        let is_below = |disk: &str, (name, lower): (&String, &Configured)| {
            let mut volumes = lower.hosts.iter().flat_map(|host| host.volumes.values());
            name != resource && volumes.any(|volume| volume.device.as_deref() == Some(disk))
        };
        let hosts = &self.resources.get(resource)?.hosts;
        let volumes = hosts.iter().flat_map(|host| host.volumes.values());
        let mut disks = volumes.filter_map(|volume| volume.disk.as_deref());
        disks.find_map(|disk| {
            let mut others = self.resources.iter();
            others.find(|other| is_below(disk, *other)).map(|(name, _)| name.as_str())
        })
    }
}

impl Configured {
    fn read(resource: &Element, common: &Element) -> Result<Configured, ConfigurationError> {
        let template = resource.first("template");
        // What a template says counts before `common`, and is not shown.
        let section = |name| {
            let own = Section::of(resource, name);
            if template.is_some() { own } else { own.or(&Section::of(common, name)) }
        };
        let (net, disk) = (section("net"), section("disk"));
        let mut hosts = Vec::new();
        for host in resource.all("host") {
            hosts.push(Host::read(host, &disk)?);
        }
        Ok(Configured {
            hosts,
            connections: resource.all("connection").map(|link| Link::read(link, &net)).collect(),
            template: template.map(|file| file.get("file").unwrap_or_default().to_owned()),
            options: section("options"),
            startup: section("startup"),
            handlers: section("handlers"),
            net,
            disk,
        })
    }

    /// This host, as DRBD finds it: by the name that `uname -n` says.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.names.iter().any(|known| known == name))
    }

    /// What is to happen to I/O when a peer is lost, of this connection or (`None`) of the resource. On 9 it is an option
    /// of `net`, on 8.4 of `disk`, which 9 still takes.
    #[must_use]
    pub fn fencing(&self, link: Option<&Link>) -> Option<Fencing> {
        let net = link.map_or(&self.net, |link| &link.net);
        let said = net.get("fencing").or_else(|| self.disk.get("fencing"));
        self.said_or(said.map(Fencing::parse), Fencing::DontCare)
    }

    /// Whether both nodes may be Primary, over any of the connections.
    #[must_use]
    pub fn allows_two_primaries(&self) -> Option<bool> {
        let mut nets = self.connections.iter().map(|link| &link.net).chain([&self.net]);
        let is_on = nets.any(|net| net.is_on("allow-two-primaries") == Some(true));
        self.said_or(is_on.then_some(true), false)
    }

    /// Whether opening the device for writing promotes it (9).
    #[must_use]
    pub fn auto_promotes(&self) -> Option<bool> {
        self.said_or(self.options.is_on("auto-promote"), true)
    }

    /// How many nodes have to be there (9).
    #[must_use]
    pub fn quorum(&self) -> Option<Quorum> {
        self.said_or(self.options.get("quorum").map(Quorum::parse), Quorum::Off)
    }

    /// What is to happen to I/O without them (9).
    #[must_use]
    pub fn on_no_quorum(&self) -> Option<OnNoQuorum> {
        let said = self.options.get("on-no-quorum").map(OnNoQuorum::parse);
        self.said_or(said, OnNoQuorum::SuspendIo)
    }

    /// The default holds only where nothing is hidden.
    fn said_or<T>(&self, said: Option<T>, default: T) -> Option<T> {
        said.or_else(|| self.template.is_none().then_some(default))
    }
}

impl Host {
    fn read(host: &Element, disk: &Section) -> Result<Host, ConfigurationError> {
        let names = match host.get("name") {
            None if host.get("floating").is_some() => "",
            None => host.require("name")?,
            Some(names) => names,
        };
        let mut volumes = BTreeMap::new();
        for volume in host.all("volume") {
            let vnr = number(volume.require("vnr")?, "the number of a volume")?;
            volumes.insert(vnr, ConfiguredVolume::read(volume, disk)?);
        }
        Ok(Host {
            names: names.split_ascii_whitespace().map(str::to_owned).collect(),
            address: host.first("address").and_then(Address::read),
            volumes,
        })
    }
}

impl Address {
    fn read(address: &Element) -> Option<Address> {
        Some(Address {
            family: address.get("family")?.to_owned(),
            address: address.text()?.to_owned(),
            port: address.get("port")?.to_owned(),
        })
    }
}

impl ConfiguredVolume {
    fn read(volume: &Element, disk: &Section) -> Result<ConfiguredVolume, ConfigurationError> {
        let device = volume.first("device");
        let minor = match device.and_then(|device| device.get("minor")) {
            None | Some("-1") => None,
            Some(minor) => Some(number(minor, "a minor")?),
        };
        let by_minor = || minor.map(|minor| format!("/dev/drbd{minor}"));
        let path = device.and_then(Element::text).map(str::to_owned);
        let meta_disk = match volume.first("meta-disk").and_then(|meta| meta.text().zip(Some(meta)))
        {
            None => None,
            Some(("internal", _)) => Some(MetaDisk::Internal),
            Some((device, meta)) => {
                let index = meta.get("index").map(|index| number(index, "a metadata index"));
                Some(MetaDisk::External { device: device.to_owned(), index: index.transpose()? })
            }
        };
        let below = volume.first("disk").and_then(Element::text).filter(|disk| *disk != "none");
        Ok(ConfiguredVolume {
            minor,
            device: path.or_else(by_minor),
            disk: below.map(str::to_owned),
            meta_disk,
            options: Section::of(volume, "disk").or(disk),
        })
    }
}

impl Link {
    fn read(link: &Element, net: &Section) -> Link {
        // Each path has both ends.
        let ends = link.first("path").unwrap_or(link);
        Link {
            name: link.get("name").map(str::to_owned),
            hosts: ends
                .all("host")
                .filter_map(|host| host.get("name"))
                .map(str::to_owned)
                .collect(),
            net: Section::of(link, "net").or(net),
        }
    }
}

fn number(value: &str, what: &'static str) -> Result<u32, ConfigurationError> {
    value.parse().map_err(|_| ConfigurationError::NotANumber { what, value: value.to_owned() })
}
