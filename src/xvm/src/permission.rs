//! Who may do what to whom: the groups of `fence_virt.conf`. Invariant: without any group everybody may do everything; with one,
//! nobody may do anything to a domain that no group names together with them.

use std::{fmt, net::IpAddr};

use duet_domain::Uuid;

use crate::{
    Source,
    configuration::{Configuration, Section},
};

/// A group: its members may do anything to its domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What it is called, or the line it begins on.
    pub name: String,
    /// Domains, each by name or UUID. A guest among them is a member too, where it asks over its own serial line.
    pub domains: Vec<String>,
    /// Addresses of members, and context ids of those that ask over vsock.
    pub addresses: Vec<String>,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// From where.
    pub source: &'a Source,
    /// The name of a guest that asks over its own serial line.
    pub name: Option<&'a str>,
}

/// A domain that libvirt knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
}

/// Whom it is about.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The name or UUID that was asked for.
    pub asked: &'a str,
    /// Whom libvirt knows under it, once it has been asked.
    pub known: Option<&'a Known>,
}

/// May they?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// There are no groups.
    Everybody,
    /// By this group.
    Group(String),
    /// No group has this source.
    NoSuchSource,
    /// Groups have the source, none of them the target.
    NotThisTarget,
}

impl Permission {
    /// Whether it is one.
    #[must_use]
    pub fn is_given(&self) -> bool {
        match self {
            Permission::Everybody | Permission::Group(_) => true,
            Permission::NoSuchSource | Permission::NotThisTarget => false,
        }
    }
}

/// The groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Permissions {
    /// In the order of the file; none means that everybody may do everything.
    pub groups: Vec<Group>,
}

impl Permissions {
    /// The groups of a configuration. One without any entry does not count, as with the stock daemon; its name comes back too.
    #[must_use]
    pub fn of(configuration: &Configuration) -> (Permissions, Vec<String>) {
        let groups = configuration.root().section("groups");
        let groups = groups.into_iter().flat_map(|section| {
            section.sections("group").map(|group| Group::of(&group)).collect::<Vec<_>>()
        });
        let is_empty = |group: &Group| group.domains.is_empty() && group.addresses.is_empty();
        let (ignored, groups): (Vec<_>, Vec<_>) = groups.partition(is_empty);
        (Permissions { groups }, ignored.into_iter().map(|group| group.name).collect())
    }

    /// Whether `member` may do something to `target`. A name in a group stands for the domain of that name, also where it was asked
    /// for by UUID, and the other way round.
    #[must_use]
    pub fn ask(&self, member: Member<'_>, target: Target<'_>) -> Permission {
        if self.groups.is_empty() {
            return Permission::Everybody;
        }
        let mut is_member = false;
        for group in self.groups.iter().filter(|group| group.has_member(member)) {
            is_member = true;
            if group.has_domain(target) {
                return Permission::Group(group.name.clone());
            }
        }
        if is_member { Permission::NotThisTarget } else { Permission::NoSuchSource }
    }
}

impl Group {
    fn of(section: &Section<'_>) -> Group {
        let all =
            |name: &str| section.all(name).map(|setting| setting.value.trim().to_owned()).collect();
        let named = section.get("name").or(section.label());
        Group {
            name: named.map_or_else(|| format!("on line {}", section.line()), str::to_owned),
            domains: all("uuid"),
            addresses: all("ip"),
        }
    }

    fn has_member(&self, member: Member<'_>) -> bool {
        match member.source {
            Source::Address(address) => {
                let is_it = |entry: &String| {
                    entry
                        .parse::<IpAddr>()
                        .is_ok_and(|entry| entry.to_canonical() == address.to_canonical())
                };
                self.addresses.iter().any(is_it)
            }
            Source::Cid(id) => self.addresses.iter().any(|entry| entry.parse() == Ok(*id)),
            Source::Domain(uuid) => self.domains.iter().any(|entry| {
                is_same(entry, uuid)
                    || member.name.is_some_and(|name| entry.eq_ignore_ascii_case(name))
            }),
        }
    }

    fn has_domain(&self, target: Target<'_>) -> bool {
        self.domains.iter().any(|entry| match target.known {
            Some(known) => is_domain(entry, known),
            None => is_same(entry, target.asked),
        })
    }
}

/// A UUID is compared as such where both are, so its spelling makes no difference.
fn is_same(entry: &str, asked: &str) -> bool {
    match (entry.parse::<Uuid>(), asked.parse::<Uuid>()) {
        (Ok(entry), Ok(asked)) => entry == asked,
        (_, _) => entry.eq_ignore_ascii_case(asked),
    }
}

fn is_domain(entry: &str, domain: &Known) -> bool {
    entry.parse() == Ok(domain.uuid) || entry.eq_ignore_ascii_case(&domain.name)
}

impl fmt::Display for Permission {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Permission::Everybody => out.write_str("there are no groups"),
            Permission::Group(name) => write!(out, "group {name}"),
            Permission::NoSuchSource => out.write_str("no group has this source"),
            Permission::NotThisTarget => out.write_str("no group of this source has this target"),
        }
    }
}

#[cfg(test)]
mod tests;
