//! The cluster's configuration and state as Pacemaker 2.1 has them, and the rule in it.

use duet_fake_tools::Xml;

/// The rule's id.
pub(crate) const RULE: &str = "drbd-fence-by-handler-r0-ms_r0";

/// A cluster of these nodes, all online, with stonith, and a promotable clone for r0.
pub(crate) fn of(names: &[&str]) -> String {
    let nodes: String = (1..)
        .zip(names)
        .map(|(id, name)| format!("<node id=\"{id}\" uname=\"{name}\"/>"))
        .collect();
    let states: String = (1..)
        .zip(names)
        .map(|(id, name)| {
            format!(
                "<node_state id=\"{id}\" uname=\"{name}\" in_ccm=\"true\" crmd=\"online\" \
                 crm-debug-origin=\"do_state_transition\" join=\"member\" expected=\"member\"/>"
            )
        })
        .collect();
    format!(
        "<cib crm_feature_set=\"3.16.2\" validate-with=\"pacemaker-3.9\" epoch=\"10\" num_updates=\"3\" \
         admin_epoch=\"0\" have-quorum=\"1\" dc-uuid=\"1\"><configuration><crm_config>\
         <cluster_property_set id=\"cib-bootstrap-options\">\
         <nvpair id=\"o1\" name=\"stonith-enabled\" value=\"true\"/></cluster_property_set></crm_config>\
         <nodes>{nodes}</nodes><resources><clone id=\"ms_r0\"><meta_attributes id=\"ms_r0-meta\">\
         <nvpair id=\"m1\" name=\"promotable\" value=\"true\"/></meta_attributes>\
         <primitive id=\"p_r0\" class=\"ocf\" provider=\"linbit\" type=\"drbd\">\
         <instance_attributes id=\"p_r0-params\"><nvpair id=\"i1\" name=\"drbd_resource\" value=\"r0\"/>\
         </instance_attributes></primitive></clone></resources><constraints/></configuration>\
         <status>{states}</status></cib>"
    )
}

/// The state of a node, by its place among them.
pub(crate) fn state(cib: &mut Xml, number: usize) -> &mut Xml {
    cib.find(&format!("/cib/status/node_state[@id='{number}']")).unwrap()
}

/// A node is gone, and will be fenced.
pub(crate) fn unclean(cib: &mut Xml, number: usize) {
    let state = state(cib, number);
    state.set("in_ccm", "false");
    state.set("crmd", "offline");
    state.set("join", "down");
}

/// It has been shut down, or fenced.
pub(crate) fn down(cib: &mut Xml, number: usize) {
    unclean(cib, number);
    state(cib, number).set("expected", "down");
}

/// A property of the cluster.
pub(crate) fn property(cib: &mut Xml, name: &str, value: &str) {
    let path = "/cib/configuration/crm_config/cluster_property_set";
    let set = cib.find(path).unwrap();
    set.children.retain(|pair| pair.get("name") != Some(name));
    set.children
        .push(Xml::parse(&format!("<nvpair id=\"o-{name}\" name=\"{name}\" value=\"{value}\"/>")));
}

/// The constraints.
pub(crate) fn constraints(cib: &mut Xml) -> &mut Vec<Xml> {
    &mut cib.find("/cib/configuration/constraints").unwrap().children
}

/// A rule as the stock handler of 9 writes it, that allows these nodes.
pub(crate) fn place(cib: &mut Xml, allowed: &[&str], role: &str) {
    let expressions: String = (0..)
        .zip(allowed)
        .map(|(id, name)| {
            format!(
                "<expression attribute=\"#uname\" operation=\"ne\" value=\"{name}\" \
                 id=\"drbd-fence-by-handler-r0-expr-{id}-ms_r0\"/>"
            )
        })
        .collect();
    let rule = format!(
        "<rsc_location rsc=\"ms_r0\" id=\"{RULE}\"><rule role=\"{role}\" score=\"-INFINITY\" \
         id=\"drbd-fence-by-handler-r0-rule-ms_r0\">{expressions}</rule></rsc_location>"
    );
    constraints(cib).retain(|constraint| constraint.get("id") != Some(RULE));
    constraints(cib).push(Xml::parse(&rule));
}

/// Whom the rule allows; `None` without one.
pub(crate) fn allowed(cib: &Xml) -> Option<Vec<String>> {
    let mut cib = cib.clone();
    let rule = constraints(&mut cib).iter().find(|it| it.get("id") == Some(RULE))?.clone();
    let values = rule.children[0].children.iter();
    Some(values.map(|one| one.get("value").unwrap().to_owned()).collect())
}
