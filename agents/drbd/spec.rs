//! The table: what parameters and actions drbd has. Types, defaults, metadata and man page come from here. Every
//! parameter of the stock agent is listed, and the present names of those that still say "master".

use duet_ocf::{Action, ActionSpec, Kind, Parameter, Spec};

const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "drbd_resource",
        Kind::String,
        "Name of the DRBD resource",
        "The name of the resource in drbd.conf: letters, digits and - % + . / : = @ _.",
    )
    .required()
    .unique("drbd_resource"),
    Parameter::new(
        "drbdconf",
        Kind::String,
        "Configuration file of DRBD",
        "Full path of drbd.conf, handed to drbdadm. Start and validate-all need it to be readable; stop, demote and \
         monitor go by the kernel and do without it.",
    )
    .with_default("/etc/drbd.conf"),
    Parameter::new(
        "adjust_promotion_score",
        Kind::String,
        "Promotion scores",
        "Four numbers, none smaller than the one before it, for a node whose\n\n\
         1. own data is consistent and may be old, with nobody to ask;\n\n\
         2. own data is no good, while a peer's is and can be reached;\n\n\
         3. own data is UpToDate, and what a peer has is not known;\n\n\
         4. own data is UpToDate, and what all peers have is known, or that is Primary.\n\n\
         A score of 0 is no score. Anything but four such numbers is answered with the default and a warning. Takes \
         precedence over adjust_master_score.",
    )
    .reloadable(),
    Parameter::new(
        "adjust_master_score",
        Kind::String,
        "Promotion scores, by their earlier name",
        "See adjust_promotion_score.",
    )
    .with_default("0 10 1000 10000")
    .reloadable(),
    Parameter::new(
        "stop_outdates_secondary",
        Kind::Boolean,
        "Mark own data as outdated when stopping",
        "When this node is stopped, or is told that a peer was stopped, promoted or demoted, and cannot see that \
         peer's disk: its own data is marked as outdated if Pacemaker says that another node is promoted and stays so, \
         and this node is not Primary. A wrong answer of the cluster manager would make the last good copy unusable, \
         so leave it off unless you know that you need it.",
    )
    .with_default("false")
    .reloadable(),
    Parameter::new(
        "ignore_missing_notifications",
        Kind::Boolean,
        "Allow a clone without notify=true",
        "Without notifications, connections are adjusted and scores refreshed by the recurring monitor alone. Start \
         refuses a clone with notify=false unless this is set.",
    )
    .with_default("false")
    .reloadable(),
    Parameter::new(
        "wfc_timeout",
        Kind::String,
        "How long a start waits for connections",
        "Seconds for which a start waits, at most, for the peers to be connected after it has brought the network part up. \
         Anything but digits means that it does not wait. What has become of the connections then does not matter to the start.",
    )
    .with_default("5")
    .reloadable(),
    Parameter::new(
        "remove_promotion_score_if_peer_primary",
        Kind::String,
        "Remove the promotion score while a peer is Primary",
        "A boolean, or \"unexpected\". \"true\" removes this node's score for as long as a connected peer is Primary on UpToDate disks. When that peer \
         crashes, the failover waits until DRBD has noticed and the score is back. \"unexpected\" does so only where Pacemaker \
         does not know of a promoted instance. Takes precedence over remove_master_score_if_peer_primary.",
    )
    .reloadable(),
    Parameter::new(
        "remove_master_score_if_peer_primary",
        Kind::String,
        "remove_promotion_score_if_peer_primary, by its earlier name",
        "A boolean, or \"unexpected\". See remove_promotion_score_if_peer_primary.",
    )
    .with_default("false")
    .reloadable(),
    Parameter::new(
        "fail_promote_early_if_peer_primary",
        Kind::Boolean,
        "Fail a promotion early while a peer is Primary",
        "A promotion that DRBD has refused once, and sees a healthy peer Primary that Pacemaker does not know to be promoted, fails and \
         removes the score, instead of trying until its timeout.",
    )
    .with_default("false")
    .reloadable(),
    Parameter::new(
        "unfence_if_all_uptodate",
        Kind::Boolean,
        "Call the unfence-peer handler from monitors",
        "A recurring monitor that finds this node Primary and all data UpToDate here and at all peers calls \
         \"drbdadm unfence-peer\", whose result does not matter.",
    )
    .with_default("false")
    .reloadable(),
    Parameter::new(
        "unfence_extra_args",
        Kind::String,
        "Arguments of the unfence-peer handler in that case",
        "What the handler is given beside its own arguments when unfence_if_all_uptodate calls it.",
    )
    .with_default("--quiet --flock-required --flock-timeout 0 --unfence-only-if-owner-match")
    .reloadable(),
    Parameter::new(
        "require_drbd_module_version_ge",
        Kind::String,
        "Lowest version of the DRBD module",
        "x.y.z; start and validate-all answer 5 on a node with an older module.",
    )
    .with_default("8.0.0"),
    Parameter::new(
        "require_drbd_module_version_lt",
        Kind::String,
        "First version of the DRBD module that is too new",
        "x.y.z; start and validate-all answer 5 on a node with this module or a newer one.",
    )
    .with_default("10.0.0"),
    Parameter::new(
        "connect_only_after_promote",
        Kind::Boolean,
        "Connect after the promotion",
        "A start leaves the network part down, and a promotion connects. Each failover makes a new data generation \
         then.",
    )
    .with_default("false"),
];

const ACTIONS: &[ActionSpec] = &[
    ActionSpec::new(Action::Start, 240),
    ActionSpec::new(Action::ReloadAgent, 30),
    ActionSpec::new(Action::Promote, 90),
    ActionSpec::new(Action::Demote, 90),
    ActionSpec::new(Action::Notify, 90),
    ActionSpec::new(Action::Stop, 100),
    ActionSpec::new(Action::Status, 20),
    ActionSpec::new(Action::Monitor, 20).every(20).unpromoted(),
    ActionSpec::new(Action::Monitor, 20).every(10).promoted(),
    ActionSpec::new(Action::MetaData, 5),
    ActionSpec::new(Action::ValidateAll, 20),
];

/// The table.
pub static SPEC: Spec = Spec {
    name: "drbd",
    version: env!("CARGO_PKG_VERSION"),
    shortdesc: "Manages a DRBD resource as a promotable clone",
    longdesc: "Brings a DRBD resource (8.4 or 9) up and down, promotes and demotes it, and tells Pacemaker by a promotion score how \
        good this node's data is. It never forces: whatever DRBD refuses stays refused.\n\n\
        The clone must be promotable with notify=true, at most one instance on a node, and as many instances as there \
        are nodes with the data. In drbd.conf, set a fencing policy (resource-and-stonith) with the fence-peer and unfence-peer \
        handlers, and let neither an init script nor systemd bring the resource up.\n\n\
        The state is the kernel's own word. \"Not running\" is answered when the kernel does not have the resource, and \
        never because it could not be asked. Disks, connections and quorum make no difference to a monitor's result: they \
        decide the promotion score, which is written where it changes, and once a minute.",
    parameters: PARAMETERS,
    actions: ACTIONS,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_no_complaints() {
        assert_eq!(SPEC.complaints(), Vec::<String>::new());
    }

    #[test]
    fn every_parameter_of_the_stock_agent_is_listed() {
        for name in [
            "drbd_resource",
            "drbdconf",
            "adjust_master_score",
            "stop_outdates_secondary",
            "ignore_missing_notifications",
            "wfc_timeout",
            "remove_master_score_if_peer_primary",
            "fail_promote_early_if_peer_primary",
            "unfence_if_all_uptodate",
            "unfence_extra_args",
            "require_drbd_module_version_ge",
            "require_drbd_module_version_lt",
            "connect_only_after_promote",
        ] {
            assert!(SPEC.parameter(name).is_some(), "{name}");
        }
    }
}
