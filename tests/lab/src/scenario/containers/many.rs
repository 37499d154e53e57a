//! Many guests that are moved at once, each with a disk and an oracle of its own.

use crate::cluster::Cluster;
use crate::configuration::{self as text, HOST_ADDRESS, SMALL_GUESTS_NBD_PORT, SMALL_GUESTS_PORT};
use crate::failure::{Failure, Result};
use crate::node::{Node, SHORT};
use crate::scenario::checks::{Calm, failures, settled};
use crate::scenario::{Story, claim, written_once};
use duet_oracle::{Line, Recorder, Sources, Start};
use std::time::Duration;

const GUESTS: u16 = 20;
const MINUTES: fn(u64) -> Duration = |minutes| Duration::from_secs(60 * minutes);

pub(super) fn standby(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let node = cluster.lab.node(&active)?;
    let other = cluster.other(&active)?;
    let recorders =
        (1..=GUESTS).map(|number| recorder(cluster, number)).collect::<Result<Vec<_>>>()?;
    make_disks(cluster)?;
    // All of them on the one node: the other takes nothing yet.
    node.sh(&format!("crm node standby {}", other.name), "reserving the other node")?;
    // Pacemaker would otherwise go one by one as soon as this machine is busy.
    node.sh(
        "crm configure property load-threshold=1000% node-action-limit=20",
        "asking for everything at once",
    )?;
    configure(cluster, node)?;
    settled(node)?;
    all_write(&recorders, &active, Duration::ZERO)?;
    node.sh(&format!("crm node online {}", other.name), "letting the other node go")?;
    settled(node)?;
    let calm = Calm::before(cluster)?;
    let boots: Vec<usize> = recorders.iter().map(boots).collect();
    let zero = cluster.journal.mark(&format!("crm node standby {active}"));
    let zeros: Vec<Duration> = recorders.iter().map(|one| one.journal().now()).collect();
    node.sh(&format!("crm node standby {active}"), "putting the node in standby")?;
    for (recorder, zero) in recorders.iter().zip(zeros) {
        all_write(std::slice::from_ref(recorder), &other.name, zero)?;
    }
    cluster.writing_on(&other.name, zero, SHORT)?;
    let all = cluster.journal.mark("all guests write in the other node");
    settled(node)?;
    calm.kept(cluster)?;
    let failed = failures(node)?;
    claim(failed.is_empty(), || format!("operations failed:\n{failed}"))?;
    for (number, (recorder, before)) in (1..).zip(recorders.iter().zip(boots)) {
        let name = text::small_guest_name(number);
        written_once(&recorder.journal().judge(Start::Fresh))
            .map_err(|error| Failure::broken(format!("{name}: {error}")))?;
        let now = self::boots(recorder) - before;
        claim(now == 0, || format!("{name} booted {now} times instead of migrating"))?;
    }
    super::super::intact(cluster)?;
    remove(node)?;
    node.sh(&format!("crm node online {active}"), "ending the standby")?;
    cluster.steady()?;
    Ok(Story::at(zero).figure("all of them moved", all - zero))
}

fn recorder(cluster: &Cluster, number: u16) -> Result<Recorder> {
    let mut recorder = Recorder::start();
    let sources = cluster.lab.nodes.iter().fold(Sources::default(), |sources, node| {
        sources.node(node.address().parse().expect("a node's address is one"), &node.name)
    });
    let socket = cluster.lab.host.udp(&format!("{HOST_ADDRESS}:{}", SMALL_GUESTS_PORT + number))?;
    recorder
        .listen_serial(socket, sources)
        .map_err(|error| Failure::broken(format!("The recorder: {error}")))?;
    Ok(recorder)
}

fn boots(recorder: &Recorder) -> usize {
    recorder.journal().judge(Start::Fresh).boots.len()
}

/// In memory: twenty disks that are flushed for every write would measure this machine's own.
fn make_disks(cluster: &Cluster) -> Result<()> {
    let disk = duet_oracle::guest::fresh_disk(1 << 20)
        .map_err(|error| Failure::broken(format!("The guest cannot be built: {error}")))?;
    let fresh = cluster.lab.host.run.join("small.img");
    crate::image::write(&fresh, &disk)?;
    let names: Vec<String> = (1..=GUESTS).map(text::small_guest_name).collect();
    let script = format!(
        "mkdir /tmp/small && for n in {}; do cp {} /tmp/small/$n; done",
        names.join(" "),
        fresh.display()
    );
    cluster.lab.host.sh(&script, "making many disks")?;
    let port = SMALL_GUESTS_NBD_PORT.to_string();
    let argv = ["nbdkit", "-f", "-i", HOST_ADDRESS, "-p", &port, "file", "dir=/tmp/small"];
    cluster.lab.host.daemon("nbdkit-small", &argv)?;
    cluster.listens(SMALL_GUESTS_NBD_PORT)
}

fn configure(cluster: &Cluster, first: &Node) -> Result<()> {
    let mut resources = String::new();
    for number in 1..=GUESTS {
        let (name, file) = (text::small_guest_name(number), file(number));
        for node in &cluster.lab.nodes {
            node.put(&file, &text::small_guest(number))?;
        }
        resources += &text::guest_resource(&name, &file, true, &cluster.programs);
    }
    first.put("/root/small.crm", &resources)?;
    first
        .run("crm -F configure load update /root/small.crm", MINUTES(2))?
        .success("configuring many guests")
        .map(drop)
}

fn file(number: u16) -> String {
    format!("/etc/libvirt/qemu/{}.xml", text::small_guest_name(number))
}

fn all_write(recorders: &[Recorder], node: &str, since: Duration) -> Result<()> {
    for (number, recorder) in (1..).zip(recorders) {
        let what = format!("small guest {number} to write on {node}");
        duet_oracle::eventually(MINUTES(3), &what, || {
            let lines = recorder.journal().serial_lines();
            let wrote = lines
                .iter()
                .rev()
                .take_while(|line| line.at > since)
                .any(|line| line.source == node && matches!(line.line, Line::Ack(_)));
            if wrote {
                return Ok(());
            }
            Err(lines.last().map_or("silence".to_owned(), |line| format!("{line:?}")))
        })?;
    }
    Ok(())
}

fn remove(node: &Node) -> Result<()> {
    let names: Vec<String> = (1..=GUESTS).map(text::small_guest_name).collect();
    let names = names.join(" ");
    node.run(&format!("crm resource stop {names}"), MINUTES(2))?.success("stopping many guests")?;
    settled(node)?;
    node.run(&format!("crm -F configure delete {names}"), MINUTES(2))?
        .success("removing many guests")?;
    node.sh(
        "crm_attribute -D -n load-threshold; crm_attribute -D -n node-action-limit",
        "going back to Pacemaker's own limits",
    )?;
    settled(node)
}
