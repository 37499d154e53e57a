//! CIBs made for a test, from the parts that it is about.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test uses some")]

use duet_pacemaker::Cib;

/// The parts of a CIB, as text; what is empty is as in a new cluster of two nodes with r0 in clone ms-r0.
#[derive(Debug, Clone)]
pub struct Made {
    pub root: &'static str,
    pub properties: String,
    pub nodes: String,
    pub resources: String,
    pub constraints: String,
    pub status: String,
}

pub const ROOT: &str = r#"admin_epoch="0" epoch="7" num_updates="3" crm_feature_set="3.16.1" validate-with="pacemaker-3.9" have-quorum="1" dc-uuid="1""#;

impl Default for Made {
    fn default() -> Made {
        Made {
            root: ROOT,
            properties: String::new(),
            nodes: r#"<node id="1" uname="alpha"/><node id="2" uname="beta"/>"#.to_owned(),
            resources: clone("ms-r0", &primitive("p-r0", "r0")),
            constraints: String::new(),
            status: state("1", "alpha", UP) + &state("2", "beta", UP),
        }
    }
}

pub const UP: &str = r#"in_ccm="true" crmd="online" join="member" expected="member""#;

pub fn state(id: &str, uname: &str, said: &str) -> String {
    format!(r#"<node_state id="{id}" uname="{uname}" {said}><lrm id="{id}"/></node_state>"#)
}

pub fn primitive(id: &str, resource: &str) -> String {
    format!(
        r#"<primitive id="{id}" class="ocf" provider="linbit" type="drbd"><instance_attributes id="{id}-ia"><nvpair
        id="{id}-ia-r" name="drbd_resource" value="{resource}"/></instance_attributes></primitive>"#
    )
}

pub fn clone(id: &str, inside: &str) -> String {
    format!(
        r#"<clone id="{id}"><meta_attributes id="{id}-m"><nvpair id="{id}-m-p" name="promotable" value="true"/>
        </meta_attributes>{inside}</clone>"#
    )
}

/// One set of cluster properties, the first of all.
pub fn properties(pairs: &[(&str, &str)]) -> String {
    set("cib-bootstrap-options", "", pairs)
}

pub fn set(id: &str, more: &str, pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| {
        format!(r#"<nvpair id="{id}-{name}" name="{name}" value="{value}"/>"#)
    };
    let pairs: String = pairs.iter().map(pair).collect();
    format!(r#"<cluster_property_set id="{id}" {more}>{pairs}</cluster_property_set>"#)
}

impl Made {
    pub fn text(&self) -> String {
        let Made { root, properties, nodes, resources, constraints, status } = self;
        format!(
            "<cib {root}>\n<configuration><crm_config>{properties}</crm_config>\n<nodes>{nodes}</nodes>\n\
             <resources>{resources}</resources>\n<constraints>{constraints}</constraints></configuration>\n\
             <status>{status}</status></cib>\n"
        )
    }

    pub fn read(&self) -> Cib {
        Cib::parse(&self.text()).unwrap_or_else(|error| panic!("{error}\n{}", self.text()))
    }
}
