//! The small part of a CIB that a decision rests on, as a CIB again, for the record of that decision. Invariant: read again,
//! it says the same of everything that this crate tells.

use crate::{Cib, xml::Element};
use std::collections::BTreeMap;

impl Cib {
    /// Version, quorum, properties, nodes with their states, clones with what they have of DRBD, and the constraints
    /// of this id. References and templates are resolved, and histories left out.
    #[must_use]
    pub fn extract(&self, rule_id: &str) -> String {
        let nothing = BTreeMap::new();
        let state = |state: &crate::NodeState| {
            let node = self.nodes().iter().find(|node| node.id == state.id);
            state.to_element(node.map_or(&nothing, |node| &node.transient))
        };
        let constraints = self.constraints.iter().filter(|it| it.get("id") == Some(rule_id));
        let nodes = self.nodes().iter().map(crate::Node::to_element);
        let clones = self.clones.iter().map(crate::resources::ClonedDrbd::to_element);
        let status = self.node_states().iter().map(state);
        let section = |name| Element::new(name, &[]);
        let configuration = section("configuration").with([
            self.properties().to_element(),
            section("nodes").with(nodes),
            section("resources").with(clones),
            section("constraints").with(constraints.cloned()),
        ]);
        let root = self.root().with([configuration, section("status").with(status)]);
        let mut text = String::new();
        root.write(&mut text, 0);
        text
    }

    /// The outermost element with what it says itself.
    fn root(&self) -> Element<'static> {
        let version = self.version();
        let said = [
            ("admin_epoch", Some(version.admin_epoch.to_string())),
            ("epoch", Some(version.epoch.to_string())),
            ("num_updates", Some(version.num_updates.to_string())),
            ("crm_feature_set", self.feature_set().map(ToString::to_string)),
            ("validate-with", self.validate_with().map(str::to_owned)),
            ("have-quorum", self.have_quorum().map(|has| u8::from(has).to_string())),
            ("dc-uuid", self.dc_uuid().map(str::to_owned)),
        ];
        let said: Vec<(&'static str, &str)> =
            said.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
        Element::new("cib", &said)
    }
}
