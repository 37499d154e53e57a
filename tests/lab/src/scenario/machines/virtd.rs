//! fence_virtd where only a real machine shows whether it works: as systemd's service that is not root, over vsock, and with guests at
//! the other end of a serial line and a channel; and what people do about a fencing that is impossible. Invariant: what was changed in a
//! node for it is as before at the end.

use super::{MINUTES, Row};
use crate::cluster::Cluster;
use crate::failure::{Failure, Result};
use crate::node::{LINE, Node, SHORT, lines};
use crate::scenario::containers::fencing;
use crate::scenario::{Scenario, Story, claim};
use duet_oracle::eventually;
use std::time::Duration;

/// A guest to be switched, in which nothing runs.
const GUEST: &str = "<domain type='qemu'><name>powered</name><memory unit='MiB'>16</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/>
<memballoon model='none'/></devices></domain>
";
const UNIT: &str = include_str!("../../../../../packaging/systemd/fence_virtd.service");
const USER: &str = include_str!("../../../../../packaging/systemd/fence_virtd.sysusers");
const CONFIGURATION: &str = "fence_virtd { listener = \"tcp vsock\"; backend = \"libvirt\"; }
backends { libvirt { uri = \"qemu:///system\"; } }
";
/// What `systemd-analyze security` may say at most, of 10.
const EXPOSURE: f64 = 3.0;

pub(super) fn table(scenario: Row) -> Vec<Scenario> {
    let ours = Some(("fence_virtd", "stock's has one listener at a time"));
    vec![
        Scenario {
            ours,
            ..scenario(
                "fence-line",
                "both nodes ask fence_virtd by their serial port and by a channel, and switch a guest with them",
                false,
                line,
            )
        },
        scenario(
            "fence-by-hand",
            "nobody can fence; nothing is started before an administrator confirms the death",
            false,
            fencing::by_hand,
        ),
    ]
}

/// The nodes are guests of the host side: their serial port and a channel of theirs end in sockets there.
fn line(cluster: &Cluster) -> Result<Story> {
    cluster.steady()?;
    let host = &cluster.lab.host;
    let file = |name: &str| host.run.join(name).to_string_lossy().into_owned();
    let [guest, configuration, pid, state] =
        ["powered.xml", "lines.conf", "lines.pid", "lines.state"].map(file);
    let path = lines(&host.run).display().to_string();
    let listener = |name: &str, mode: &str| {
        format!(
            "serial = \"{name}\" {{ uri = \"qemu:///system\"; path = \"{path}\"; mode = \"{mode}\"; }}\n"
        )
    };
    let text = format!(
        "fence_virtd {{ listener = \"serial:line serial:channel\"; backend = \"libvirt\"; }}\n\
         listeners {{ {}{} }}\nbackends {{ libvirt {{ uri = \"qemu:///system\"; }} }}\n",
        listener("line", "serial"),
        listener("channel", "vmchannel")
    );
    crate::image::write(configuration.as_ref(), text.as_bytes())?;
    crate::image::write(guest.as_ref(), GUEST.as_bytes())?;
    let script = format!(
        "chmod 600 {configuration}; virsh -q -c qemu:///system define {guest} && \
         virsh -q -c qemu:///system start powered"
    );
    host.sh(&script, "starting a guest to be switched")?;
    let zero = cluster.journal.mark("a fence_virtd for serial lines and channels");
    let state = format!("STATE_DIRECTORY={state}");
    let daemon = cluster.programs.called("fence_virtd");
    host.daemon(
        "fence_virtd-lines",
        &["env", &state, daemon, "-F", "-d", "1", "-f", &configuration, "-p", &pid],
    )?;
    let asked = switch(cluster);
    host.sh(&format!("kill $(cat {pid})"), "ending that fence_virtd")?;
    host.sh(
        "virsh -q -c qemu:///system destroy powered; virsh -q -c qemu:///system undefine powered",
        "removing the guest",
    )?;
    asked?;
    cluster.steady()?;
    Ok(Story::at(zero).figure("both nodes, both ways", cluster.journal.now() - zero))
}

/// Each node, by each way: a list, off, off seen, on.
fn switch(cluster: &Cluster) -> Result<()> {
    let channel = format!(
        "for port in /sys/class/virtio-ports/*; do \
         grep -qx {LINE} $port/name && echo /dev/${{port##*/}}; done; :"
    );
    for node in &cluster.lab.nodes {
        let channel = node.sh(&channel, "looking for the channel")?;
        for device in ["/dev/ttyS1", channel.trim()] {
            claim(device.starts_with("/dev/"), || format!("{} has no channel", node.name))?;
            let ask = |words: &str| ask(node, &format!("-D {device} {words}"));
            let listed = ask("-o list")?;
            for name in ["node1", "node2", "powered"] {
                claim(listed.contains(name), || format!("{device} lists no {name}: {listed}"))?;
            }
            ask("-o off -H powered")?;
            let state = cluster.lab.host.virsh("qemu:///system", &["domstate", "powered"])?;
            claim(state.stdout.trim() == "shut off", || {
                format!("{} by {device}: {}", node.name, state.stdout)
            })?;
            ask("-o on -H powered")?;
        }
    }
    Ok(())
}

/// Asks with our client; anything but success is a failure with what it says.
fn ask(node: &Node, words: &str) -> Result<String> {
    let script = format!("fence_virt -t 20 {words} 2>&1");
    node.run(&script, SHORT)?.success(&format!("fence_virt {words} in {}", node.name))
}

/// The service in the node without the cluster's guest, and who lets it speak with libvirt.
pub(super) fn unit(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let node = cluster.other(&active)?;
    node.put("/etc/systemd/system/fence_virtd.service", UNIT)?;
    node.put("/usr/lib/sysusers.d/fence_virtd.conf", USER)?;
    node.put("/etc/fence_virt.conf", CONFIGURATION)?;
    node.put("/root/powered.xml", GUEST)?;
    let prepare = "chmod 600 /etc/fence_virt.conf && systemd-sysusers && systemctl daemon-reload && \
                   modprobe vsock_loopback && cp -p /etc/libvirt/libvirtd.conf /root/libvirtd.conf && \
                   virsh -q define /root/powered.xml && virsh -q start powered";
    node.run(prepare, MINUTES(2))?.success("preparing the service and a guest")?;
    let zero = cluster.journal.mark("systemctl start fence_virtd, libvirtd without polkit");
    node.run("systemctl start fence_virtd", MINUTES(1))?.success("starting the service")?;
    let ready = cluster.journal.now();
    let who = confined(node)?;
    obeys(node)?;
    reloads(node)?;
    restarts(node)?;
    libvirtd(node, "polkit")?;
    cluster.journal.mark("libvirtd asks polkit");
    obeys(node)?;
    refused_by_polkit(node)?;
    obeys(node)?;
    let security = "systemd-analyze --no-pager security fence_virtd.service";
    let security = node.run(security, MINUTES(1))?.success("asking what is left open")?;
    let exposure = exposure(&security)?;
    claim(exposure <= EXPOSURE, || format!("exposure {exposure}:\n{security}"))?;
    let restore = "systemctl stop fence_virtd && rm /etc/systemd/system/fence_virtd.service \
                   /usr/lib/sysusers.d/fence_virtd.conf /etc/fence_virt.conf && systemctl daemon-reload && \
                   virsh -q destroy powered; virsh -q undefine powered; cp -p /root/libvirtd.conf /etc/libvirt/ && \
                   systemctl restart libvirtd";
    node.run(restore, MINUTES(2))?.success("putting the node back")?;
    cluster.steady()?;
    Ok(Story::at(zero)
        .figure("start to ready", ready - zero)
        .paper("security.txt", format!("{who}\n{security}")))
}

/// Who the service is, and what it may do: nothing that root may.
fn confined(node: &Node) -> Result<String> {
    let script = "pid=$(systemctl show -p MainPID --value fence_virtd) && ps -o user=,group=,supgrp= -p $pid && \
                  grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/$pid/status && \
                  systemctl show -p ActiveState,StatusText fence_virtd";
    let who = node.sh(script, "looking at the service")?;
    for wanted in [
        "fence_virtd",
        "libvirt",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "ActiveState=active",
        "StatusText=Serving: ",
    ] {
        claim(who.contains(wanted), || format!("no {wanted:?} in:\n{who}"))?;
    }
    Ok(who)
}

/// It switches the guest, asked over tcp and over vsock.
fn obeys(node: &Node) -> Result<()> {
    for way in ["-T 127.0.0.1", "-S"] {
        for (words, state) in [("-o off", "shut off"), ("-o on", "running")] {
            ask(node, &format!("{way} {words} -H powered"))?;
            let seen = node.sh("virsh domstate powered", "looking at the guest")?;
            claim(seen.trim() == state, || format!("{way} {words}: {seen}"))?;
        }
    }
    Ok(())
}

/// HUP is understood, and the process stays.
fn reloads(node: &Node) -> Result<()> {
    let before = main_pid(node)?;
    node.run("systemctl reload fence_virtd", SHORT)?.success("reloading the service")?;
    eventually(SHORT, "the line about the reload", || {
        // As its user finds it, whichever way it came there.
        let script = "journalctl -q --no-pager -o cat -u fence_virtd";
        let said = node.run(script, SHORT).map_err(|error| error.to_string())?.stdout;
        if said.contains("Reloaded. ") { Ok(()) } else { Err(said) }
    })?;
    let after = main_pid(node)?;
    claim(before == after, || format!("{before} was followed by {after}"))
}

/// One that dies is there again, by systemd.
fn restarts(node: &Node) -> Result<()> {
    let before = main_pid(node)?;
    node.sh(&format!("kill -9 {}", before.trim()), "killing the daemon")?;
    eventually(Duration::from_secs(40), "the service to be there again", || {
        let script =
            "systemctl is-active fence_virtd && systemctl show -p MainPID --value fence_virtd";
        let ran = node.run(script, SHORT).map_err(|error| error.to_string())?;
        let is_back = ran.status == 0 && !ran.stdout.contains(before.trim());
        if is_back { Ok(()) } else { Err(ran.stdout) }
    })?;
    obeys(node)
}

fn main_pid(node: &Node) -> Result<String> {
    node.sh("systemctl show -p MainPID --value fence_virtd", "asking for the daemon's process")
}

/// Has libvirtd let in whom the mode of its socket lets in (`none`), or whom polkit does.
fn libvirtd(node: &Node, auth: &str) -> Result<()> {
    let script = format!(
        "sed -i 's/^auth_unix_rw.*/auth_unix_rw = \"{auth}\"/' /etc/libvirt/libvirtd.conf && \
         systemctl restart libvirtd && virsh -q list"
    );
    node.run(&script, MINUTES(2))?.success("restarting libvirtd").map(drop)
}

/// Without the rule for group libvirt, polkit lets nobody in who is not root: that is a failure, and nothing happens to the guest.
fn refused_by_polkit(node: &Node) -> Result<()> {
    let rule = "/usr/share/polkit-1/rules.d/60-libvirt.rules";
    let script = format!("mv {rule} /root/ && systemctl restart polkit fence_virtd");
    node.run(&script, MINUTES(1))?.success("taking libvirt's rule from polkit")?;
    let words = "-t 20 -T 127.0.0.1 -o off -H powered";
    let ran = node.run(&format!("fence_virt {words} 2>&1"), SHORT)?;
    let state = node.sh("virsh domstate powered", "looking at the guest")?;
    let script =
        format!("mv /root/60-libvirt.rules {rule} && systemctl restart polkit fence_virtd");
    node.run(&script, MINUTES(1))?.success("giving polkit the rule back")?;
    claim(ran.status == 1 && state.trim() == "running", || {
        format!(
            "polkit refuses, and off answers {}: {}, the guest is {state}",
            ran.status, ran.stdout
        )
    })
}

/// The number in the last line.
fn exposure(text: &str) -> Result<f64> {
    let after = text.split_once("Overall exposure level for fence_virtd.service: ");
    let number = after.and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| Failure::broken(format!("No exposure in:\n{text}")))
}
