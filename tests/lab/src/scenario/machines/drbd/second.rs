//! What can be tried with a resource that no guest depends on: another volume, a device that is held open, a split
//! brain. It is promoted where the guest's resource is, so its Primary is known.

use super::{GOOD, PATIENCE, Replicated, SECOND, told};
use crate::cluster::Cluster;
use crate::configuration as text;
use crate::failure::{Failure, Result};
use crate::node::{Node, SHORT};
use crate::scenario::checks::{Calm, failures, settled};
use crate::scenario::{Story, claim};
use std::time::Duration;

/// Both disks UpToDate, the one node Primary, both connected.
pub(super) const WHOLE: [&str; 3] =
    ["cs:Connected", "ro:Primary/Secondary", "ds:UpToDate/UpToDate"];
/// Several of its recurring monitors, on either side.
const SEVERAL_MONITORS: Duration = Duration::from_secs(25);
/// The device of the second volume.
const VOLUME: Replicated = Replicated { minor: 2, ..SECOND };
const FILE: &str = "/etc/drbd.d/r1.res";

/// The guest's node, where r1 is Primary, and the other one, with r1 whole; it is made where it is not there yet.
pub(super) fn ready(cluster: &Cluster) -> Result<(&Node, &Node)> {
    let active = cluster.steady()?;
    let (primary, secondary) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    let known = secondary.run("crm_resource --locate -r ms_r1", SHORT)?;
    if known.status != 0 {
        make(cluster, primary, secondary)?;
    }
    SECOND.reaches(primary, &WHOLE)?;
    SECOND.scored(secondary, [(primary, GOOD), (secondary, GOOD)])?;
    settled(secondary)?;
    Ok((primary, secondary))
}

fn make(cluster: &Cluster, primary: &Node, secondary: &Node) -> Result<()> {
    cluster.journal.mark("a second resource, r1, under Pacemaker");
    let resource = text::second_drbd(&cluster.lab.nodes, 1);
    cluster.everywhere(|node| {
        node.put(FILE, &resource)?;
        let script = "drbdadm create-md --force r1 && drbdadm up r1";
        node.sh(script, "making the second disk").map(drop)
    })?;
    SECOND.reaches(primary, &["cs:Connected"])?;
    primary.sh("drbdadm new-current-uuid --clear-bitmap r1/0", "calling both disks equal")?;
    cluster.everywhere(|node| {
        node.sh("drbdadm down r1", "handing the second disk to the cluster").map(drop)
    })?;
    secondary.put("/root/r1.crm", &text::second_clone(&cluster.programs))?;
    secondary
        .run("crm -F configure load update /root/r1.crm", Duration::from_secs(120))?
        .success("configuring the second resource")?;
    let script = format!("cibadmin -C -o constraints -X '{}'", text::SECOND_WITH_FIRST);
    secondary.sh(&script, "placing the second resource").map(drop)
}

/// Sets a meta attribute of its clone, or removes it.
pub(super) fn meta(node: &Node, name: &str, value: Option<&str>) -> Result<()> {
    let change = value.map_or(format!("-d {name}"), |value| format!("-p {name} -v {value}"));
    node.sh(&format!("crm_resource -r ms_r1 --meta {change}"), "changing the clone").map(drop)
}

/// No operation of it is on record as failed.
pub(super) fn never_failed(node: &Node) -> Result<()> {
    let failed = failures(node)?;
    claim(!failed.contains("p_r1"), || format!("Pacemaker has failures on record: {failed}"))
}

/// As its administrator would: out of Pacemaker's hands for the moment in which the new volume has no data.
pub(super) fn volume_added(cluster: &Cluster) -> Result<Story> {
    let (primary, secondary) = ready(cluster)?;
    let calm = Calm::before(cluster)?;
    meta(secondary, "maintenance", Some("true"))?;
    settled(secondary)?;
    let zero = cluster.journal.mark("a second volume; drbdadm adjust r1");
    let resource = text::second_drbd(&cluster.lab.nodes, 2);
    cluster.everywhere(|node| {
        node.put(FILE, &resource)?;
        node.sh("drbdadm create-md --force r1/1 && drbdadm adjust r1", "adding a volume").map(drop)
    })?;
    VOLUME.reaches(secondary, &["cs:Connected", "ds:Inconsistent/Inconsistent"])?;
    primary.sh(
        "drbdadm new-current-uuid --clear-bitmap r1/1 && drbdadm primary r1",
        "calling both new disks equal",
    )?;
    VOLUME.reaches(primary, &WHOLE)?;
    let whole = cluster.journal.mark("both volumes are whole; Pacemaker takes over again");
    meta(secondary, "maintenance", None)?;
    SECOND.stays(primary, &WHOLE, SEVERAL_MONITORS / 2, &cluster.journal)?;
    VOLUME.reaches(primary, &WHOLE)?;
    SECOND.scored(secondary, [(primary, GOOD), (secondary, GOOD)])?;
    never_failed(secondary)?;
    calm.kept(cluster)?;
    Ok(Story::at(zero).figure("both volumes whole", whole - zero))
}

pub(super) fn held_open(cluster: &Cluster) -> Result<Story> {
    let (primary, secondary) = ready(cluster)?;
    let calm = Calm::before(cluster)?;
    primary.sh(
        "setsid sh -c 'exec 3<>/dev/drbd1; echo $$ >/run/lab/opener; exec sleep 600' </dev/null >/dev/null 2>&1 & \
         until [ -s /run/lab/opener ]; do sleep 0.1; done",
        "opening the device",
    )?;
    let zero =
        cluster.journal.mark(&format!("r1 is to be demoted, and is open in {}", primary.name));
    meta(secondary, "target-role", Some("Unpromoted"))?;
    // The kernel's own refusal shows that it was tried.
    told(cluster, primary, zero, &["kernel", "held open"])?;
    let open = Duration::from_secs(12);
    SECOND.stays(primary, &["ro:Primary/Secondary"], open, &cluster.journal)?;
    let closed = cluster.journal.mark("the device is closed");
    primary.sh("kill $(cat /run/lab/opener); rm /run/lab/opener", "closing the device")?;
    SECOND.reaches(primary, &["cs:Connected", "ro:Secondary/Secondary"])?;
    let demoted = cluster.journal.now();
    settled(secondary)?;
    never_failed(secondary)?;
    meta(secondary, "target-role", None)?;
    SECOND.reaches(primary, &WHOLE)?;
    calm.kept(cluster)?;
    Ok(Story::at(zero).figure("closed to demoted", demoted - closed))
}

/// Both sides write while they do not see each other; then they meet.
pub(super) fn split_brain(cluster: &Cluster) -> Result<Story> {
    let (primary, secondary) = ready(cluster)?;
    let calm = Calm::before(cluster)?;
    meta(secondary, "target-role", Some("Unpromoted"))?;
    SECOND.reaches(primary, &["ro:Secondary/Secondary"])?;
    settled(secondary)?;
    meta(secondary, "maintenance", Some("true"))?;
    settled(secondary)?;
    let zero = cluster.journal.mark("both sides of r1 are written without the other");
    cluster.everywhere(|node| {
        let script = "drbdadm disconnect r1 && drbdadm primary --force r1 && \
            dd if=/dev/urandom of=/dev/drbd1 bs=4096 count=1 oflag=direct status=none && drbdadm secondary r1";
        node.sh(script, "writing one side").map(drop)
    })?;
    let met = cluster.journal.mark("drbdadm connect r1 on both sides");
    cluster.everywhere(|node| node.sh("drbdadm connect r1", "connecting").map(drop))?;
    let alone = one_alone(cluster)?;
    let found = told(cluster, alone, met, &["kernel", "Split-Brain detected"])?;
    meta(secondary, "target-role", None)?;
    meta(secondary, "maintenance", None)?;
    let resumed = cluster.journal.mark("Pacemaker takes over again");
    SECOND.reaches(primary, &["ro:Primary/Unknown", "ds:UpToDate/"])?;
    SECOND.stays(alone, &["cs:StandAlone"], SEVERAL_MONITORS, &cluster.journal)?;
    // A Primary is as good as it gets; the other one cannot know.
    SECOND.scored(secondary, [(primary, GOOD), (secondary, Some(1000))])?;
    never_failed(secondary)?;
    if cluster.programs.is_ours("drbd") {
        told(cluster, alone, resumed, &["r1", "StandAlone"])?;
    }
    let chosen = cluster.journal.mark(&format!("what {} wrote is given up", secondary.name));
    // Whichever of the two still listens has to start anew.
    secondary
        .sh("drbdadm disconnect r1; drbdadm connect --discard-my-data r1", "giving one side up")?;
    primary.sh("drbdadm adjust r1", "connecting the other side")?;
    SECOND.reaches(primary, &WHOLE)?;
    let healed = cluster.journal.now();
    SECOND.scored(secondary, [(primary, GOOD), (secondary, GOOD)])?;
    calm.kept(cluster)?;
    Ok(Story::at(zero)
        .figure("found", found - met)
        .figure("left alone for", chosen - resumed)
        .figure("healed", healed - chosen))
}

/// The node whose kernel has given the other one up; both, or the one that found out first: it hangs up, and where that
/// comes before the other one has read its data generations, the other one waits, and never hears of the split brain.
fn one_alone(cluster: &Cluster) -> Result<&Node> {
    let alone = duet_oracle::eventually(PATIENCE, "a side of r1 that stands alone", || {
        for node in &cluster.lab.nodes {
            match SECOND.state(node) {
                Ok(Some(line)) if line.contains("cs:StandAlone") => return Ok(node),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Err("neither".to_owned())
    });
    alone.map_err(Failure::from)
}
