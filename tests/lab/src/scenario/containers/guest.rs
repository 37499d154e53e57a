//! Guests that crash, and guests whose disk fails under them.

use crate::cluster::Cluster;
use crate::failure::Result;
use crate::node::SHORT;
use crate::scenario::checks::{
    Calm, failures, forget_failures, processes, restarted, settled, with_parameter,
};
use crate::scenario::{Story, boots_since, claim, downtime};
use duet_oracle::eventually;
use std::time::Duration;

/// QEMU itself crashes; then the guest's kernel does, and libvirt preserves what is left of it.
pub(super) fn crashes(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let node = cluster.lab.node(&active)?;
    let calm = Calm::before(cluster)?;
    let zero = cluster.journal.mark(&format!("the guest's QEMU crashes in {active}"));
    node.sh("kill -SEGV $(cat /run/libvirt/qemu/vm1.pid)", "crashing the guest's QEMU")?;
    let first = restarted(cluster, &active, zero)?;
    forget_failures(node)?;
    cluster.steady()?;

    let panic = cluster.journal.mark(&format!("the guest panics in {active}"));
    // What a guest's kernel writes to the pvpanic device when it gives up.
    node.sh("virsh -q -c qemu:///system qemu-monitor-command vm1 --hmp 'o /b 0x505 1'", "panic")?;
    // libvirt notes it when it is done with the command that was given.
    eventually(SHORT, "libvirt to see the panic", || {
        let state = node
            .run("virsh -q -c qemu:///system domstate vm1 --reason", SHORT)
            .map_err(|error| error.to_string())?;
        let seen = state.stdout.contains("crashed");
        if seen { Ok(()) } else { Err(state.stdout + &state.stderr) }
    })?;
    let again = restarted(cluster, &active, panic)?;
    if cluster.programs.is_ours("VirtualDomain") {
        let failed = failures(node)?;
        claim(failed.contains("vm1") && failed.contains("crashed"), || {
            format!("the reason does not say that it crashed:\n{failed}")
        })?;
    }
    forget_failures(node)?;
    cluster.steady()?;
    calm.kept(cluster)?;
    Ok(Story::at(zero)
        .figure("crash to first write", first - zero)
        .figure("panic to first write", again - panic))
}

/// The disk gives errors for a moment. libvirt pauses the guest, and nobody but the cluster will
/// have it running again.
pub(super) fn disk_fails(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let node = cluster.lab.node(&active)?;
    let calm = Calm::before(cluster)?;
    let zero = cluster.journal.mark("the guest's disk fails");
    pause_by_error(cluster)?;
    let first = restarted(cluster, &active, zero)?;
    let failed = failures(node)?;
    claim(failed.contains("vm1") && failed.contains("I/O error"), || {
        format!("the reason does not name the I/O error:\n{failed}")
    })?;
    forget_failures(node)?;
    cluster.steady()?;
    calm.kept(cluster)?;
    Ok(Story::at(zero)
        .figure("error to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

/// The same with `paused_by_error=ignore`: the guest stays as it is until somebody resumes it.
pub(super) fn disk_fails_ignored(cluster: &Cluster) -> Result<Story> {
    let calm = Calm::before(cluster)?;
    let story = with_parameter(cluster, "paused_by_error", "ignore", || {
        let active = cluster.steady()?;
        let node = cluster.lab.node(&active)?;
        let zero = cluster.journal.mark("the guest's disk fails");
        pause_by_error(cluster)?;
        // Two monitors at least.
        std::thread::sleep(Duration::from_secs(25));
        settled(node)?;
        let failed = failures(node)?;
        claim(!failed.contains("vm1"), || format!("an operation failed:\n{failed}"))?;
        let there = processes(cluster)?;
        claim(matches!(there.as_slice(), [(_, false)]), || {
            format!("the guest is not as it was (process, runs): {there:?}")
        })?;
        let resumed = cluster.journal.mark("virsh resume vm1");
        node.sh("virsh -q -c qemu:///system resume vm1", "resuming the guest")?;
        let first = cluster.writing_on(&active, resumed, SHORT)?;
        claim(boots_since(cluster, zero) == 0, || "the guest was started again".to_owned())?;
        Ok(Story::at(zero).figure("resume to first write", first - resumed))
    })?;
    calm.kept(cluster)?;
    Ok(story)
}

/// Lets every access to the disk fail until the guest stands still, then lets the disk heal: a guest that
/// is paused does not notice.
fn pause_by_error(cluster: &Cluster) -> Result<()> {
    let fails = cluster.lab.host.run.join("guest.img.fails").to_string_lossy().into_owned();
    cluster.lab.host.sh(&format!("touch {fails}"), "making the guest's disk fail")?;
    let paused = duet_oracle::eventually(SHORT, "the guest to be paused", || {
        let there = processes(cluster).map_err(|error| error.to_string())?;
        match there.as_slice() {
            [(_, false)] => Ok(()),
            others => Err(format!("(process, runs): {others:?}")),
        }
    });
    cluster.lab.host.sh(&format!("rm {fails}"), "healing the guest's disk")?;
    cluster.journal.mark("the guest is paused, its disk heals");
    Ok(paused?)
}
