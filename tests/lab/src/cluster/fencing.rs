//! The host side's part of fencing: the daemon that ends nodes, and its end and return. What is chosen of ours is
//! installed there over the stock program of its name, as in the nodes.

use super::Cluster;
use crate::configuration as text;
use crate::failure::{Failure, Result};
use crate::node::Node;
use crate::node_files::Kind;
use duet_oracle::eventually;
use std::fs;
use std::time::Duration;

impl Cluster {
    /// From the key to a node that hears from the daemon about all nodes.
    pub(super) fn start_fencing(&self, tell: &mut dyn FnMut(&str)) -> Result<()> {
        tell("host side: fence_virtd, and a try of fence_xvm from node1");
        self.install_fencing()?;
        let [key, file] = ["fence_xvm.key", "fence_virt.conf"].map(|name| self.fencing_file(name));
        let configuration = text::fence_virtd(&key, self.fencing_uri());
        crate::image::write(file.as_ref(), configuration.as_bytes())?;
        self.lab.host.sh(&format!("chmod 600 {file} {key}"), "protecting the key")?;
        self.start_fence_daemon()
    }

    /// Where the host side's libvirt has the nodes.
    pub(crate) fn fencing_uri(&self) -> &'static str {
        match self.kind() {
            Kind::Machine => "qemu:///system",
            Kind::Container => "lxc:///system",
        }
    }

    /// Installs what is chosen of ours on the host side.
    pub(crate) fn install_fencing(&self) -> Result<()> {
        for name in ["fence_xvm", "fence_virtd"] {
            let Some(program) = self.programs.file(name) else { continue };
            let doing = format!("read {}", program.built.display());
            let content = fs::read(&program.built).map_err(Failure::io(doing))?;
            self.lab.host.put_program(program.installed, &content)?;
            for link in program.links {
                let script = format!("ln -sf {} {link}", program.installed);
                self.lab.host.sh(&script, "linking a program")?;
            }
        }
        Ok(())
    }

    /// Starts the daemon and waits until a node hears from it about all nodes.
    pub(crate) fn start_fence_daemon(&self) -> Result<()> {
        let file = self.fencing_file("fence_virt.conf");
        let daemon = self.programs.called("fence_virtd");
        let argv = [daemon, "-F", "-d", "1", "-f", &file, "-p", "/run/fence_virtd.pid"];
        self.lab.host.daemon("fence_virtd", &argv)?;
        eventually(Duration::from_secs(40), "fence_xvm to list the nodes", || {
            let mut said = String::new();
            for node in &self.lab.nodes {
                // One that is off cannot be asked from.
                let Ok(listed) = node.run("fence_xvm -o list -t 5", Duration::from_secs(10)) else {
                    continue;
                };
                if self.lab.nodes.iter().all(|node| listed.stdout.contains(&node.name)) {
                    return Ok(());
                }
                said += &format!("{}: {}{}", node.name, listed.stdout, listed.stderr);
            }
            Err(said)
        })?;
        Ok(())
    }

    /// Ends the daemon without a word to it.
    pub(crate) fn kill_fence_daemon(&self) -> Result<()> {
        let script = "kill -9 $(pidof fence_virtd) && \
                      timeout 20 sh -c 'while pidof fence_virtd >/dev/null; do sleep 0.1; done'";
        self.lab.host.sh(script, "killing fence_virtd").map(drop)
    }

    /// A fence_virtd for each node in place of the one for all, as if each node were on a host of its own: with its own network
    /// namespace on the bridge, its own multicast address, and nobody else's guest to end.
    pub(crate) fn fence_daemon_each(&self) -> Result<()> {
        self.kill_fence_daemon()?;
        let key = self.fencing_file("fence_xvm.key");
        for node in &self.lab.nodes {
            let name = Self::own_daemon(node);
            let file = self.fencing_file(&format!("{name}.conf"));
            let nodes = &self.lab.nodes;
            let configuration = text::fence_virtd_of(node, nodes, &key, self.fencing_uri());
            crate::image::write(file.as_ref(), configuration.as_bytes())?;
            let state = format!("STATE_DIRECTORY={}", self.fencing_file(&format!("{name}.state")));
            let pid = format!("/run/{name}.pid");
            let daemon = self.programs.called("fence_virtd");
            let network = format!("--net=/run/netns/{name}");
            self.lab.host.sh(&text::own_network(node, &name), "making a host of its own")?;
            let argv = [
                "nsenter", &network, "env", &state, daemon, "-F", "-d", "1", "-f", &file, "-p",
                &pid,
            ];
            self.lab.host.daemon(&name, &argv)?;
        }
        Ok(())
    }

    /// What the daemon for one node has said.
    pub(crate) fn daemon_of_node_said(&self, node: &Node) -> Result<String> {
        let file = self.fencing_file(&format!("{}.log", Self::own_daemon(node)));
        fs::read_to_string(&file).map_err(Failure::io(format!("read {file}")))
    }

    fn own_daemon(node: &Node) -> String {
        format!("fence_virtd-{}", node.name)
    }

    fn fencing_file(&self, name: &str) -> String {
        self.lab.host.run.join(name).to_string_lossy().into_owned()
    }
}
