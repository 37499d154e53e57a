//! A lab with a running cluster, its guest, and the record of all that happens: what every scenario
//! begins with. Nothing here waits without a bound, and everything that is believed was observed.

mod fencing;

use crate::configuration as text;
use crate::executed::{Executions, Since};
use crate::failure::{Failure, Result};
use crate::node::{Node, SHORT};
use crate::node_files::Kind;
use crate::proc_drbd;
use crate::programs::Programs;
use crate::topology::{Lab, Topology};
use crate::watch::Watch;
use duet_oracle::{Journal, Line, Recorder, Sources, Start, Verdict, eventually};
use duet_report::Executed;
use std::net::IpAddr;
use std::time::Duration;

/// A cluster that is up.
pub(crate) struct Cluster {
    pub(crate) lab: Lab,
    pub(crate) programs: Programs,
    pub(crate) journal: Journal,
    /// Looks at the guests' processes; those of machines are inside them, where it cannot look.
    pub(crate) watch: Option<Watch>,
    /// Knows what is executed in the nodes and on the host side.
    pub(crate) executions: Executions,
    /// Listens as long as the cluster is looked at.
    _recorder: Recorder,
}

/// How long the whole way from a cold node to a writing guest may take in the slowest lab.
pub(crate) const START_BOUND: Duration = Duration::from_secs(360);

impl Cluster {
    /// Starts to listen. Nothing of the cluster runs yet.
    pub(crate) fn watch(lab: Lab, programs: Programs) -> Result<Self> {
        let mut recorder = Recorder::start();
        let sources = lab.nodes.iter().fold(Sources::default(), |sources, node| {
            let address: IpAddr = node.address().parse().expect("a node's address is one");
            sources.node(address, &node.name)
        });
        let broken = |error: duet_oracle::Error| Failure::broken(format!("The recorder: {error}"));
        let serial = lab.host.udp(&format!("{}:{}", text::HOST_ADDRESS, text::SERIAL_PORT))?;
        recorder.listen_serial(serial, sources.clone()).map_err(broken)?;
        let syslog = lab.host.udp(&format!("{}:{}", text::HOST_ADDRESS, text::SYSLOG_PORT))?;
        recorder.listen_syslog(syslog, sources).map_err(broken)?;
        let journal = recorder.journal();
        lab.nodes.iter().for_each(|node| node.tell(&journal));
        let watch = (lab.topology == Topology::Containers)
            .then(|| Watch::start(lab.host.holder, journal.clone()));
        let executions = Executions::watch(&lab, &programs)?;
        Ok(Self { lab, programs, journal, watch, executions, _recorder: recorder })
    }

    fn kind(&self) -> Kind {
        match self.lab.topology {
            Topology::Machines => Kind::Machine,
            Topology::Containers => Kind::Container,
        }
    }

    /// Everything an administrator does between fresh nodes and a protected guest.
    pub(crate) fn set_up(&self, tell: &mut dyn FnMut(&str)) -> Result<()> {
        self.start_fencing(tell)?;
        match self.kind() {
            Kind::Machine => self.make_replicated_disk(tell)?,
            Kind::Container => self.make_shared_disk(tell)?,
        }
        for node in &self.lab.nodes {
            node.put(text::GUEST_FILE, &text::guest(self.kind()))?;
        }
        self.start_cluster(tell)?;
        self.configure_cluster(tell)?;
        tell("waiting for the guest's first acknowledged write");
        let node = self.writing_since(Duration::ZERO, START_BOUND)?;
        tell(&format!("the guest writes on {node}"));
        self.steady()?;
        Ok(())
    }

    fn make_replicated_disk(&self, tell: &mut dyn FnMut(&str)) -> Result<()> {
        tell("both nodes: /etc/drbd.d/r0.res, drbdadm create-md r0, drbdadm up r0");
        let resource = text::drbd(&self.lab.nodes, &text::Handlers::of(&self.programs));
        self.everywhere(|node| {
            node.put(text::DRBD_FILE, &resource)?;
            node.sh("drbdadm create-md --force r0 && drbdadm up r0", "making the replicated disk")
                .map(drop)
        })?;
        let first = &self.lab.nodes[0];
        self.disk_reaches(first, "cs:Connected", Duration::from_secs(60))?;
        tell("node1: the guest onto /dev/drbd0");
        let sector = duet_oracle::guest::boot_sector()
            .map_err(|error| Failure::broken(format!("The guest cannot be built: {error}")))?;
        // Both sides are blank and equal: no resynchronisation is needed to say so.
        first.sh(
            "drbdadm new-current-uuid --clear-bitmap r0 && drbdadm primary r0",
            "promoting by hand",
        )?;
        let words: Vec<String> = sector.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        first.sh(
            &format!("printf '{}' | dd of=/dev/drbd0 bs=512 count=1 oflag=direct iflag=fullblock status=none", words.concat()),
            "writing the guest",
        )?;
        first.sh("drbdadm secondary r0", "demoting by hand")?;
        self.everywhere(|node| {
            node.sh("drbdadm down r0", "handing the disk to the cluster").map(drop)
        })
    }

    fn make_shared_disk(&self, tell: &mut dyn FnMut(&str)) -> Result<()> {
        tell("host side: the guest onto a network block device that both nodes reach");
        let disk = duet_oracle::guest::fresh_disk(1 << 20)
            .map_err(|error| Failure::broken(format!("The guest cannot be built: {error}")))?;
        let file = |name: &str| self.lab.host.run.join(name).to_string_lossy().into_owned();
        crate::image::write(file("guest.img").as_ref(), &disk)?;
        let (address, port) = (text::HOST_ADDRESS, text::NBD_PORT.to_string());
        let fails = format!("error-file={}", file("guest.img.fails"));
        self.lab.host.daemon(
            "nbdkit",
            &[
                "nbdkit",
                "-f",
                "-i",
                address,
                "-p",
                &port,
                "--filter=error",
                "file",
                &file("guest.img"),
                "error=EIO",
                "error-rate=100%",
                &fails,
            ],
        )?;
        self.listens(text::NBD_PORT)
    }

    /// Waits until a daemon of the host side takes connections.
    pub(crate) fn listens(&self, port: u16) -> Result<()> {
        let script = format!("ss -Hltn sport = :{port}");
        eventually(Duration::from_secs(60), &format!("somebody to listen on port {port}"), || {
            match self.lab.host.sh(&script, "looking for a daemon") {
                Ok(seen) if seen.is_empty() => Err("nobody".to_owned()),
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        })?;
        Ok(())
    }

    fn start_cluster(&self, tell: &mut dyn FnMut(&str)) -> Result<()> {
        tell("both nodes: /etc/corosync/corosync.conf, corosync and pacemakerd");
        let token = if self.kind() == Kind::Machine { 5000 } else { 3000 };
        let corosync = text::corosync(&self.lab.nodes, token);
        let began = self.journal.now();
        self.everywhere(|node| {
            node.put("/etc/corosync/corosync.conf", &corosync)?;
            // A cluster without a configuration waits 20 s for a DC that may be there already.
            // From Pacemaker's own template: a feature set above its own would be fatal.
            node.sh(SHORT_FIRST_ELECTION, "seeding the cluster's configuration")?;
            // What a kernel has not written yet is empty after a power cut, and half a minute may pass until it does.
            let sync = if self.kind() == Kind::Machine { "&& sync" } else { "" };
            let script = format!("lab-cluster enable {sync} && lab-cluster start");
            node.run(&script, Duration::from_secs(120))?.success("starting the cluster").map(drop)
        })?;
        self.all_online(Duration::from_secs(120))?;
        let took = self.journal.now() - began;
        tell(&format!(
            "{} nodes online with a DC after {:.1} s",
            self.lab.nodes.len(),
            took.as_secs_f64()
        ));
        self.journal.mark(&format!("cluster formed in {:.1} s", took.as_secs_f64()));
        Ok(())
    }

    fn configure_cluster(&self, tell: &mut dyn FnMut(&str)) -> Result<()> {
        tell(&format!("node1: crm configure ({})", self.programs.line()));
        let configuration = text::pacemaker(&self.lab.nodes, self.kind(), &self.programs);
        let first = &self.lab.nodes[0];
        first.put("/root/cluster.crm", &configuration)?;
        first
            .run("crm -F configure load update /root/cluster.crm", Duration::from_secs(120))?
            .success("configuring the cluster")?;
        Ok(())
    }

    /// Does the same in every node at once: most of it is waiting.
    pub(crate) fn everywhere(&self, what: impl Fn(&Node) -> Result<()> + Sync) -> Result<()> {
        std::thread::scope(|scope| {
            let what = &what;
            let threads: Vec<_> =
                self.lab.nodes.iter().map(|node| scope.spawn(move || what(node))).collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread.join().unwrap_or_else(|_| Err(Failure::broken("A thread panicked")))
                })
                .collect::<Result<Vec<()>>>()
                .map(drop)
        })
    }

    /// Waits until every node sees every node online, with quorum.
    pub(crate) fn all_online(&self, within: Duration) -> Result<()> {
        let first = &self.lab.nodes[0];
        eventually(within, "every node online with quorum", || {
            let seen = first
                .run("crm_mon -1", Duration::from_secs(20))
                .map_err(|error| error.to_string())?;
            let online =
                seen.stdout.lines().find(|line| line.contains("Online: [")).unwrap_or_default();
            let all =
                self.lab.nodes.iter().all(|node| online.contains(&format!(" {} ", node.name)));
            if all && seen.stdout.contains("partition with quorum") {
                Ok(())
            } else {
                Err(seen.stdout + &seen.stderr)
            }
        })?;
        Ok(())
    }

    /// Waits until `/proc/drbd` of a node shows a text of the guest's device.
    pub(crate) fn disk_reaches(&self, node: &Node, wanted: &str, within: Duration) -> Result<()> {
        eventually(within, &format!("{wanted} in {}", node.name), || {
            let seen = node.read("/proc/drbd").map_err(|error| error.to_string())?;
            match proc_drbd::device(&seen, proc_drbd::GUEST) {
                Some(line) if line.contains(wanted) => Ok(()),
                Some(_) | None => Err(seen),
            }
        })?;
        Ok(())
    }

    /// Waits for an acknowledged write after `since`; says where.
    pub(crate) fn writing_since(&self, since: Duration, within: Duration) -> Result<String> {
        let node = eventually(within, "the guest to write", || {
            let lines = self.journal.serial_lines();
            lines
                .iter()
                .rev()
                .take_while(|line| line.at > since)
                .find(|line| matches!(line.line, Line::Ack(_)))
                .map(|line| line.source.clone())
                .ok_or_else(|| match lines.last() {
                    Some(line) => format!(
                        "{:?} from {} at {:.1} s",
                        line.line,
                        line.source,
                        line.at.as_secs_f64()
                    ),
                    None => "not a word from the guest".to_owned(),
                })
        })?;
        Ok(node)
    }

    /// Waits for an acknowledged write in one node after `since`; says when the first came.
    pub(crate) fn writing_on(
        &self,
        node: &str,
        since: Duration,
        within: Duration,
    ) -> Result<Duration> {
        let at = eventually(within, &format!("the guest to write on {node}"), || {
            let lines = self.journal.serial_lines();
            let first = lines.iter().find(|line| {
                line.at > since && line.source == node && matches!(line.line, Line::Ack(_))
            });
            first.map(|line| line.at).ok_or_else(|| {
                lines.last().map_or("silence".to_owned(), |line| {
                    format!("{:?} from {}", line.line, line.source)
                })
            })
        })?;
        Ok(at)
    }

    /// The node the guest runs on, everything in order: both nodes online, both disks UpToDate, no
    /// fencing rule left, the guest writing now.
    pub(crate) fn steady(&self) -> Result<String> {
        self.all_online(Duration::from_secs(120))?;
        let active = self.writing_since(self.journal.now(), Duration::from_secs(60))?;
        if self.kind() == Kind::Machine {
            let node = self.lab.node(&active)?;
            self.disk_reaches(node, "ds:UpToDate/UpToDate", Duration::from_secs(120))?;
            eventually(Duration::from_secs(60), "the fencing rule to be gone", || {
                let rules = node
                    .run("cibadmin -Q --xpath '//constraints'", SHORT)
                    .map_err(|error| error.to_string())?
                    .stdout;
                if rules.contains("drbd-fence-by-handler") { Err(rules) } else { Ok(()) }
            })?;
        }
        self.runs_once()?;
        self.journal.mark(&format!("steady, the guest on {active}"));
        Ok(active)
    }

    /// Waits until the guest has exactly one process, and that one runs.
    fn runs_once(&self) -> Result<()> {
        let Some(watch) = &self.watch else { return Ok(()) };
        eventually(SHORT, "exactly one process of the guest, running", || {
            match watch.processes(text::GUEST_UUID).as_slice() {
                [(_, true)] => Ok(()),
                others => Err(format!("(process, runs): {others:?}")),
            }
        })?;
        Ok(())
    }

    /// What the oracle says of everything since the guest's first boot.
    pub(crate) fn verdict(&self) -> Verdict {
        duet_oracle::judge::judge(&self.journal.serial_lines(), Start::Fresh)
    }

    /// What was executed since a moment, or ever.
    pub(crate) fn executed(&self, since: &Since) -> Executed {
        let is_on = |name: &str| {
            let power = self.lab.node(name).and_then(Node::power);
            // Who cannot be asked may be on, and then its silence counts.
            power.map_or(true, |power| power == "running")
        };
        self.executions.since(since, is_on)
    }

    /// The other node of two.
    pub(crate) fn other(&self, name: &str) -> Result<&Node> {
        self.lab
            .nodes
            .iter()
            .find(|node| node.name != name)
            .ok_or_else(|| Failure::broken("There is no other node"))
    }

    /// Whatever an earlier scenario left: nodes that are off are booted, and all is in order again.
    pub(crate) fn restore(&self) -> Result<()> {
        for node in &self.lab.nodes {
            if node.power()? == "shut off" {
                self.journal.mark(&format!("power on of {}", node.name));
                node.boot()?;
            }
        }
        self.steady().map(drop)
    }

    /// Ends the lab.
    pub(crate) fn down(&self) -> Result<()> {
        self.lab.down()
    }
}

const SHORT_FIRST_ELECTION: &str = r#"set -e
f=/var/lib/pacemaker/cib/cib.xml
cibadmin --empty | sed 's|<crm_config/>|<crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair id="cib-bootstrap-options-dc-deadtime" name="dc-deadtime" value="3s"/></cluster_property_set></crm_config>|' >$f
chown hacluster:haclient $f; chmod 600 $f"#;
