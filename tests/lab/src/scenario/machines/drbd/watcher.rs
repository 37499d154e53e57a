//! The watcher: scores that follow the kernel while no monitor runs, also after the watcher has been killed. What it watches
//! is not touched by its end.

use super::second::{WHOLE, meta, ready};
use super::{GOOD, PATIENCE, SECOND};
use crate::cluster::Cluster;
use crate::failure::Result;
use crate::node::{Node, SHORT};
use crate::scenario::checks::{Calm, forget_failures, settled};
use crate::scenario::{Story, claim};
use duet_oracle::eventually;
use std::time::Duration;

const DAEMON: &str = "drbd-watchd";

pub(super) fn killed(cluster: &Cluster) -> Result<Story> {
    let (primary, secondary) = ready(cluster)?;
    let calm = Calm::before(cluster)?;
    watch(cluster, secondary)?;
    // Without monitors, nobody but the watcher writes scores.
    meta(secondary, "maintenance", Some("true"))?;
    settled(secondary)?;
    let zero = cluster.journal.now();
    let followed = followed(cluster, primary, secondary)?;
    let before = daemon(secondary)?;
    let killed = cluster.journal.mark(&format!("{DAEMON} of {} is killed", secondary.name));
    secondary.sh(&format!("kill -9 {before}"), "killing the watcher")?;
    SECOND.reaches(primary, &WHOLE)?;
    let what = format!("another {DAEMON} in {}", secondary.name);
    eventually(PATIENCE, &what, || match daemon(secondary) {
        Ok(now) if now == before => Err(now),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    })?;
    let again = cluster.journal.mark(&format!("{DAEMON} of {} is there again", secondary.name));
    self::followed(cluster, primary, secondary)?;
    meta(secondary, "maintenance", None)?;
    forget_failures(secondary)?;
    SECOND.reaches(primary, &WHOLE)?;
    SECOND.scored(secondary, [(primary, GOOD), (secondary, GOOD)])?;
    let still = cluster.steady()?;
    claim(still == primary.name, || format!("the guest went from {} to {still}", primary.name))?;
    calm.kept(cluster)?;
    Ok(Story::at(zero).figure("score followed", followed).figure("watched again", again - killed))
}

/// Puts the watcher under Pacemaker, if it is not there yet.
fn watch(cluster: &Cluster, node: &Node) -> Result<()> {
    if node.run("crm_resource --locate -r cl_watch", SHORT)?.status != 0 {
        let text = crate::configuration::watcher(&cluster.programs);
        node.put("/root/watch.crm", &text)?;
        node.run("crm -F configure load update /root/watch.crm", Duration::from_secs(120))?
            .success("configuring the watcher")?;
    }
    settled(node)?;
    cluster.everywhere(|node| {
        let look = || daemon(node).map_err(|error| error.to_string());
        eventually(PATIENCE, &format!("{DAEMON} in {}", node.name), look)?;
        Ok(())
    })
}

/// The number of the one watcher of a node.
fn daemon(node: &Node) -> Result<String> {
    let number = node.sh(&format!("pidof {DAEMON}"), "looking for the watcher")?.trim().to_owned();
    claim(!number.contains(' '), || format!("several {DAEMON} in {}: {number}", node.name))?;
    Ok(number)
}

/// A Secondary that does not see the Primary any more, and does again; says how long the score took to fall, asked from
/// outside.
fn followed(cluster: &Cluster, primary: &Node, secondary: &Node) -> Result<Duration> {
    let cut = cluster.journal.mark("drbdadm disconnect r1");
    secondary.sh("drbdadm disconnect r1", "disconnecting")?;
    SECOND.scored(secondary, [(primary, GOOD), (secondary, Some(1000))])?;
    let fell = cluster.journal.now();
    cluster.journal.mark("drbdadm connect r1");
    secondary.sh("drbdadm connect r1", "connecting")?;
    SECOND.reaches(primary, &WHOLE)?;
    SECOND.scored(secondary, [(primary, GOOD), (secondary, GOOD)])?;
    Ok(fell - cut)
}
