//! The table: what parameters and actions drbd-watch has. Types, defaults, metadata and man page come from here.

use duet_ocf::{Action, ActionSpec, Kind, Parameter, Spec};

/// The prefix of ocf:linbit:drbd-attr.
pub const PREFIX: &str = "drbd-promotion-score";

const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "auto_promote",
        Kind::Boolean,
        "Node attributes for DRBD's auto-promote",
        "Besides, keeps a transient node attribute for every DRBD resource of this node, as ocf:linbit:drbd-attr does: DRBD's own \
         promotion score, for location constraints of what uses a DRBD resource that no cluster resource manages. -1000000 for one \
         that cannot be used here, or is configured and not up; none for one that was taken down.",
    )
    .with_default("false"),
    Parameter::new(
        "dampening_delay",
        Kind::Integer { min: 0, max: 86_400 },
        "Dampening of such an attribute, in seconds",
        "How long Pacemaker's attribute daemon waits for further changes before it puts a score into effect. -1000000 does not \
         wait, and neither do the promotion scores of ocf:rust:drbd. Only with auto_promote.",
    )
    .with_default("5"),
    Parameter::new(
        "attr_name_prefix",
        Kind::String,
        "Beginning of the name of such an attribute",
        "The attribute of resource r0 is called PREFIX-r0. Letters, digits and . _ : - only. Only with auto_promote.",
    )
    .with_default(PREFIX),
    Parameter::new(
        "record_event_details",
        Kind::Boolean,
        "Say in another attribute what has changed",
        "Keeps an attribute PREFIX:event-details-r0 with the time and the state that led to the present score. Only with \
         auto_promote.",
    )
    .with_default("false"),
];

const ACTIONS: &[ActionSpec] = &[
    ActionSpec::new(Action::Start, 20),
    ActionSpec::new(Action::Stop, 20),
    ActionSpec::new(Action::Status, 20),
    ActionSpec::new(Action::Monitor, 20).every(20).depth(0),
    ActionSpec::new(Action::MetaData, 5),
    ActionSpec::new(Action::ValidateAll, 20),
];

/// The table.
pub static SPEC: Spec = Spec {
    name: "drbd-watch",
    version: env!("CARGO_PKG_VERSION"),
    shortdesc: "Keeps DRBD's promotion scores up to date at once",
    longdesc: "Runs a small daemon that listens to DRBD's kernel module. When the state of a DRBD resource changes that an \
        ocf:rust:drbd on this node manages, its promotion score is brought up to date at once instead of at the next \
        monitor, by the agent's own rule and options. Without it nothing is missing but that time.\n\n\
        To be used as a plain clone on all nodes with DRBD. No order or colocation with the DRBD resources is needed, and \
        the module need not be loaded. The daemon follows across restarts of DRBD and of Pacemaker.\n\n\
        Monitor fails where the daemon is there and does not follow: the kernel cannot be listened to, or for half a minute \
        the daemon has not shown a sign of life, or could not see what to bring a score in line with.",
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
    fn every_parameter_of_drbd_attr_is_listed() {
        for name in ["dampening_delay", "attr_name_prefix", "record_event_details"] {
            assert!(SPEC.parameter(name).is_some(), "{name}");
        }
    }
}
