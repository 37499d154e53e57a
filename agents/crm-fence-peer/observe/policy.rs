//! The fencing policy of a connection, from DRBD's configuration. Invariant: where connections or volumes differ, the
//! strictest counts; what the configuration hides is not known.

use duet_drbd::{Configuration, Configured, Fencing};
use duet_ocf::{Deadline, chain};

use crate::{facts::Policy, tools};

/// Asks drbdadm. The text says why it could not be told.
pub(crate) fn ask(
    resource: &str,
    file: Option<&str>,
    peer: &[String],
    end: Deadline,
) -> (Policy, Option<String>) {
    let document = tools::configuration(file, end)
        .and_then(|text| Configuration::parse(&text).map_err(|why| chain(&why)));
    match document {
        Err(why) => (Policy::NotKnown, Some(why)),
        Ok(document) => match document.resources.get(resource) {
            None => (Policy::NotKnown, Some(format!("drbdadm dumps no resource {resource}"))),
            Some(resource) => (of(resource, peer), None),
        },
    }
}

fn of(resource: &Configured, peer: &[String]) -> Policy {
    let has_peer = |link: &&duet_drbd::Link| {
        link.hosts.iter().any(|host| peer.iter().any(|name| name.eq_ignore_ascii_case(host)))
    };
    let mut links: Vec<&duet_drbd::Link> = resource.connections.iter().filter(has_peer).collect();
    if links.is_empty() {
        links = resource.connections.iter().collect();
    }
    let mut said: Vec<Option<Fencing>> =
        links.iter().map(|link| resource.fencing(Some(link))).collect();
    if links.is_empty() {
        said.push(resource.fencing(None));
    }
    let volumes = resource.hosts.iter().flat_map(|host| host.volumes.values());
    said.extend(
        volumes.filter_map(|volume| volume.options.get("fencing")).map(|w| Some(Fencing::parse(w))),
    );
    let is = |policy: &Fencing| said.iter().any(|said| said.as_ref() == Some(policy));
    let is_hidden = said.iter().any(|said| matches!(said, None | Some(Fencing::Unrecognized(_))));
    if is(&Fencing::ResourceAndStonith) {
        Policy::ResourceAndStonith
    } else if is_hidden {
        Policy::NotKnown
    } else {
        // Nobody is called under dont-care; who calls by hand has nothing frozen.
        Policy::ResourceOnly
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(net: &str, disk: &str, template: &str) -> Policy {
        let section = |name: &str, value: &str| match value {
            "" => String::new(),
            value => format!(
                "<section name=\"{name}\"><option name=\"fencing\" value=\"{value}\"/></section>"
            ),
        };
        let text = format!(
            "<config file=\"f\"><common></common><resource name=\"r0\">{}{}{template}</resource></config>",
            section("net", net),
            section("disk", disk),
        );
        of(&Configuration::parse(&text).unwrap().resources["r0"], &["node2".to_owned()])
    }

    #[test]
    fn the_policy_is_where_each_driver_has_it_and_what_is_hidden_is_not_known() {
        let hidden = "<template file=\"t\"/>";
        for (net, disk, template, expected) in [
            ("resource-and-stonith", "", "", Policy::ResourceAndStonith),
            ("", "resource-and-stonith", "", Policy::ResourceAndStonith),
            ("resource-only", "", "", Policy::ResourceOnly),
            ("", "resource-only", "", Policy::ResourceOnly),
            ("", "", "", Policy::ResourceOnly),
            ("resource-something", "", "", Policy::NotKnown),
            ("", "", hidden, Policy::NotKnown),
            ("resource-and-stonith", "", hidden, Policy::ResourceAndStonith),
        ] {
            assert_eq!(policy(net, disk, template), expected, "{net} {disk} {template}");
        }
    }
}
