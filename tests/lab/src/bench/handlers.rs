//! What is measured of the fencing handlers: the answer of fence-peer while the peer is reachable, which is how long a
//! Primary is frozen by it, and unfence-peer with nothing to do, which is called after every resynchronisation. Both kinds
//! run on the host side of a lab, on stubs of DRBD's and Pacemaker's tools that are one small program.

use super::agents::{Whose, label};
use super::on_host::{self, Host};
use crate::failure::{Failure, Result};
use crate::host_side::PATH;
use crate::programs;
use duet_bench::{Callgrind, Command, Timing, median};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The lost peer's controller answers, the rule is placed, and the answer is 4.
pub(super) const FENCE: &str = "drbd fence-peer";
/// There is no rule.
pub(super) const UNFENCE: &str = "drbd unfence-peer";

pub(super) const ROWS: [&str; 2] = [FENCE, UNFENCE];

/// How a measured command ends when all is well.
pub(super) fn expected(name: &str) -> i32 {
    if name.starts_with(FENCE) { 4 } else { 0 }
}

/// What one call of a stub takes, in ms: the median of those that go before each row.
pub(super) fn stub(timings: &[Timing]) -> Option<f64> {
    let before = timings.iter().filter(|timing| timing.name.starts_with("before drbd fence-peer"));
    median(&before.flat_map(|timing| timing.wall_ms.clone()).collect::<Vec<_>>())
}

/// What a handler calls. It is not looked for where the caller's PATH says, so the stubs are where it is looked for first.
const TOOLS: [&str; 9] = [
    "cibadmin",
    "crm_attribute",
    "crm_diff",
    "crm_mon",
    "crm_node",
    "crmadmin",
    "drbdadm",
    "drbdsetup",
    "logger",
];
const FIRST: &str = "/usr/local/sbin";

/// The handlers of both kinds, and what they see.
pub(super) struct Stage {
    directory: PathBuf,
    kernel: BTreeMap<String, String>,
}

impl Stage {
    /// Lays the handlers and the stubs out on the host side, and starts the kernel's, which ends with it.
    pub(super) fn prepare(host: &Host, stub: &Path) -> Result<Self> {
        let ours = programs::build_with(&["crm-fence-peer"], Some("duet-host/stub-kernel"))?;
        let directory = host.directory.join("handlers");
        let at = |name: &str| directory.join(name);
        for name in ["ours", "stock"] {
            fs::create_dir_all(at(name))
                .map_err(Failure::io(format!("create {}", at(name).display())))?;
        }
        on_host::copy(&ours.join("crm-fence-peer"), &at("ours/crm-fence-peer"))?;
        on_host::copy(stub, &at("stub"))?;
        for (name, text) in [
            ("cib.xml", cib("<constraints/>")),
            ("cib.after.xml", cib(RULE)),
            ("crm_mon.xml", CRM_MON.to_owned()),
            ("events2", EVENTS2.to_owned()),
            ("configuration.xml", CONFIGURATION.to_owned()),
        ] {
            crate::image::write(&at(name), text.as_bytes())?;
        }
        let place = directory.display();
        let mut script = format!(
            "ln -sf crm-fence-peer {place}/ours/crm-unfence-peer\n: >{place}/proc_drbd\n\
             sed 's#/proc/drbd#{place}/proc_drbd#' /usr/lib/drbd/crm-fence-peer.9.sh >{place}/stock/crm-fence-peer.9.sh\n\
             chmod +x {place}/stock/crm-fence-peer.9.sh\n\
             ln -sf crm-fence-peer.9.sh {place}/stock/crm-unfence-peer.9.sh\n"
        );
        for tool in TOOLS {
            script += &format!("ln -sf {place}/stub {FIRST}/{tool}\n");
        }
        host.side.sh(&format!("set -e\n{script}"), "laying out the handlers and their stubs")?;
        let kernel = host.served("kernel-cut")?;
        Ok(Self { directory, kernel })
    }

    /// The rows. Before each the rule is forgotten.
    pub(super) fn groups(&self) -> Vec<Vec<Command>> {
        let group = |row: &str, whose| vec![self.reset(row, whose), self.command(row, whose)];
        ROWS.iter().flat_map(|row| Whose::BOTH.map(|whose| group(row, whose))).collect()
    }

    fn reset(&self, row: &str, whose: Whose) -> Command {
        Command {
            name: format!("before {}", label(row, whose)),
            argv: [&format!("{FIRST}/cibadmin"), "--reset"].map(str::to_owned).to_vec(),
            env: BTreeMap::new(),
            callgrind: Callgrind::Never,
        }
    }

    fn command(&self, row: &str, whose: Whose) -> Command {
        let (program, state, mask) = match row {
            FENCE => ("crm-fence-peer", "NetworkFailure", "0x00000001"),
            _ => ("crm-unfence-peer", "Connected", "0x00000003"),
        };
        let mut env: BTreeMap<String, String> = [
            ("DRBD_CONF", "/etc/drbd.conf"),
            ("DRBD_CSTATE", state),
            ("DRBD_MINOR", "0"),
            ("DRBD_MY_NODE_ID", "0"),
            ("DRBD_NODE_ID_0", "host"),
            ("DRBD_NODE_ID_1", "node2"),
            ("DRBD_PEER_ADDRESS", "10.78.0.2"),
            ("DRBD_PEER_AF", "ipv4"),
            ("DRBD_PEER_NODE_ID", "1"),
            ("DRBD_RESOURCE", "r0"),
            ("DRBD_VOLUME", "0"),
            ("HOME", "/"),
            ("PATH", PATH),
            ("TERM", "linux"),
            ("UP_TO_DATE_NODES", mask),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let path = match whose {
            Whose::Stock => self.directory.join(format!("stock/{program}.9.sh")),
            Whose::Ours => {
                env.extend(self.kernel.clone());
                self.directory.join(format!("ours/{program}"))
            }
        };
        Command {
            name: label(row, whose),
            argv: vec![path.display().to_string()],
            env,
            // Not of a tree of sixty processes.
            callgrind: Callgrind::Never,
        }
    }
}

/// A tag a line, as cibadmin prints it and the stock handler needs it.
fn cib(constraints: &str) -> String {
    format!(
        r##"<cib crm_feature_set="3.16.2" validate-with="pacemaker-3.9" epoch="10" num_updates="3" admin_epoch="0" have-quorum="1" dc-uuid="1">
  <configuration>
    <crm_config>
      <cluster_property_set id="cib-bootstrap-options">
        <nvpair id="o1" name="stonith-enabled" value="true"/>
      </cluster_property_set>
    </crm_config>
    <nodes>
      <node id="1" uname="host"/>
      <node id="2" uname="node2"/>
    </nodes>
    <resources>
      <clone id="ms_r0">
        <meta_attributes id="m">
          <nvpair id="m1" name="promotable" value="true"/>
        </meta_attributes>
        <primitive id="p_r0" class="ocf" provider="linbit" type="drbd">
          <instance_attributes id="i">
            <nvpair id="i1" name="drbd_resource" value="r0"/>
          </instance_attributes>
        </primitive>
      </clone>
    </resources>
    {constraints}
  </configuration>
  <status>
    <node_state id="1" uname="host" in_ccm="true" crmd="online" crm-debug-origin="do_state_transition" join="member" expected="member"/>
    <node_state id="2" uname="node2" in_ccm="true" crmd="online" crm-debug-origin="do_state_transition" join="member" expected="member"/>
  </status>
</cib>
"##
    )
}

const RULE: &str = r##"<constraints>
      <rsc_location rsc="ms_r0" id="drbd-fence-by-handler-r0-ms_r0">
        <rule role="Master" score="-INFINITY" id="drbd-fence-by-handler-r0-rule-ms_r0">
          <expression attribute="#uname" operation="ne" value="host" id="drbd-fence-by-handler-r0-expr-0-ms_r0"/>
        </rule>
      </rsc_location>
    </constraints>"##;

const CRM_MON: &str = r#"<crm_mon version="2.1.5">
  <summary>
    <current_dc present="true" version="2.1.5" name="host" id="1" with_quorum="true"/>
  </summary>
  <bans>
  </bans>
</crm_mon>
"#;

const EVENTS2: &str = "\
exists resource name:r0 role:Primary suspended:fencing
exists connection name:r0 peer-node-id:1 conn-name:node2 connection:Connecting role:Unknown
exists device name:r0 volume:0 minor:0 disk:UpToDate client:no quorum:yes
exists peer-device name:r0 peer-node-id:1 conn-name:node2 volume:0 replication:Off peer-disk:DUnknown peer-client:no resync-suspended:no
exists -
";

const CONFIGURATION: &str = r#"<config file="/etc/drbd.conf"><common></common><resource name="r0"><section name="net"><option name="fencing" value="resource-and-stonith"/></section></resource></config>
"#;
