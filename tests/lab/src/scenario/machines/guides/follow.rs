//! docs/guide.md, typed into two fresh nodes and their host. What the labs do in other ways than a person is in one table
//! here; everything else is carried out as it is written, and must say what the guide shows.

use crate::cluster::Cluster;
use crate::configuration as text;
use crate::failure::{Failure, Result};
use crate::guide::{self, Place, Shell, Step, What};
use crate::host_side::quote;
use crate::node_files::Kind;
use crate::scenario::{Story, checks, claim, downtime};
use duet_oracle::eventually;
use std::sync::Mutex;
use std::time::Duration;

/// How long the output of a block may be waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long one block may take in the slowest lab: twenty starts of Python, ten seconds each.
const TYPING: Duration = Duration::from_secs(360);

/// Where the guide takes the guest's disk from.
const IMAGE: &str = "/var/lib/libvirt/images/vm1.img";

/// What a line of the guide is in the labs.
enum Line<'a> {
    /// As it is.
    Typed(&'a str),
    /// Done already, by whoever made the nodes.
    Done,
    /// This instead.
    Instead(&'static str),
    /// A file of here goes to a node; nobody can log in there.
    Copied { from: &'a str, node: &'a str, to: &'a str },
    /// The host's daemon, which has no systemd to start it.
    FenceDaemon,
    /// The node dies this instant.
    PowerCut,
    /// The node is switched on; a shell in it is waited for.
    SwitchedOn(&'a str),
}

/// The one place where the labs differ.
fn in_the_labs(line: &str) -> Line<'_> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["systemctl", "disable", "--now", "drbd"]
        | ["systemctl", "enable", "--now", "libvirtd"] => Line::Done,
        ["systemctl", "enable", "--now", "corosync", "pacemaker"] => {
            Line::Instead("lab-cluster enable && lab-cluster start")
        }
        ["systemctl", "enable", "--now", "fence_virtd"] => Line::FenceDaemon,
        ["scp", "-p", from, target] => match target.split_once(':') {
            Some((node, to)) => Line::Copied { from, node, to },
            None => Line::Typed(line),
        },
        ["echo", "b", ">/proc/sysrq-trigger"] => Line::PowerCut,
        ["virsh", "start", node] => Line::SwitchedOn(node),
        _ => Line::Typed(line),
    }
}

pub(super) fn crmsh(cluster: &Cluster) -> Result<Story> {
    follow(cluster, Shell::Crmsh)
}

pub(super) fn pcs(cluster: &Cluster) -> Result<Story> {
    follow(cluster, Shell::Pcs)
}

fn follow(cluster: &Cluster, shell: Shell) -> Result<Story> {
    let text = guide::text().map_err(Failure::io("read docs/guide.md"))?;
    prerequisites(cluster)?;
    let steps = guide::steps(&text, shell)
        .map_err(|why| Failure::broken(format!("docs/guide.md, {why}")))?;
    let began = cluster.journal.now();
    let mut reader = Reader { cluster, cut: None, wrong: Vec::new() };
    for step in &steps {
        reader.carry_out(step)?;
    }
    claim(reader.wrong.is_empty(), || reader.wrong.join("\n"))?;
    let (dead, zero) =
        reader.cut.ok_or_else(|| Failure::broken("The guide does not cut any power"))?;
    let still = cluster.steady()?;
    claim(still != dead, || format!("the guest went back to {still}"))?;
    let failed = checks::failures(cluster.lab.node(&still)?)?;
    claim(failed.is_empty(), || {
        format!("in the cluster that the guide makes, something failed:\n{failed}")
    })?;
    claim(cluster.verdict().boots.len() >= 3, || {
        format!("the guest booted {} times", cluster.verdict().boots.len())
    })?;
    let first = cluster.writing_on(&still, zero, PATIENCE)?;
    Ok(Story::at(zero)
        .figure("fresh nodes to power cut", zero - began)
        .figure("cut to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

/// What the guide takes for granted: our programs, and a guest with an image that libvirt of node1 has.
fn prerequisites(cluster: &Cluster) -> Result<()> {
    cluster.install_fencing()?;
    let first = &cluster.lab.nodes[0];
    let definition = text::guest(Kind::Machine)
        .replace("<disk type='block' device='disk'>", "<disk type='file' device='disk'>")
        .replace("<source dev='/dev/drbd0'/>", &format!("<source file='{IMAGE}'/>"));
    claim(definition.contains(IMAGE), || "the guest's definition has no disk".to_owned())?;
    first.put("/root/vm1.xml", &definition)?;
    let sector = duet_oracle::guest::boot_sector()
        .map_err(|error| Failure::broken(format!("The guest cannot be built: {error}")))?;
    let words: String = sector.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    let script = format!(
        "mkdir -p /var/lib/libvirt/images && printf '{words}' >{IMAGE} && truncate -s 1M {IMAGE} && \
         timeout 60 sh -c 'until virsh -q list >/dev/null 2>&1; do sleep 0.2; done' && virsh -q define /root/vm1.xml"
    );
    first.run(&script, PATIENCE)?.success("making a guest as somebody has one").map(drop)
}

struct Reader<'a> {
    cluster: &'a Cluster,
    /// Whose power was cut, and when.
    cut: Option<(String, Duration)>,
    /// Where other output came than the guide shows: all of it, so that it can be corrected at once.
    wrong: Vec<String>,
}

impl Reader<'_> {
    fn carry_out(&mut self, step: &Step) -> Result<()> {
        let places = self.places(&step.place)?;
        let what = match &step.what {
            What::Type(script) | What::Until(script) => script.lines().next().unwrap_or_default(),
            What::Write(path, _) => path,
        };
        let told = places.join(" and ");
        self.cluster.journal.mark(&format!("guide, line {}, {told}: {what}", step.line));
        let tried = match &step.what {
            What::Write(path, content) => self.write(&places, path, content),
            What::Type(script) => self.type_in(&places, script, &step.shown),
            What::Until(script) => self.until(&places, script, &step.shown),
        };
        let failed = |error: &dyn std::fmt::Display| {
            format!("docs/guide.md, line {}, on {told}: {error}", step.line)
        };
        match tried {
            Ok(None) => {}
            Ok(Some(otherwise)) => self.wrong.push(failed(&otherwise)),
            Err(error) => return Err(Failure::broken(failed(&error))),
        }
        Ok(())
    }

    /// Names of nodes, or `host`.
    fn places(&self, place: &Place) -> Result<Vec<String>> {
        Ok(match place {
            Place::Host => vec!["host".to_owned()],
            Place::Each => self.cluster.lab.nodes.iter().map(|node| node.name.clone()).collect(),
            Place::Node(name) => vec![self.cluster.lab.node(name)?.name.clone()],
        })
    }

    fn write(&self, places: &[String], path: &str, content: &str) -> Result<Otherwise> {
        for place in places {
            // The bridge that the guests of the host are on.
            let content = content.replace("virbr0", "br77");
            let script =
                format!("mkdir -p $(dirname {path}) && printf %s {} >{path}", quote(&content));
            self.said(place, &script)?;
        }
        Ok(None)
    }

    fn type_in(&mut self, places: &[String], script: &str, shown: &[String]) -> Result<Otherwise> {
        // Both nodes at once, as DRBD and corosync want them.
        let cluster = self.cluster;
        if places.len() > 1 {
            let script = self.plain(script)?;
            if script.is_empty() {
                return Ok(otherwise(shown, ""));
            }
            let wrong = Mutex::new(None);
            cluster.everywhere(|node| {
                let said = self.said(&node.name, &script)?;
                if let Some(other) = otherwise(shown, &said) {
                    *wrong.lock().expect("nobody panics with it") = Some(other);
                }
                Ok(())
            })?;
            return Ok(wrong.into_inner().expect("nobody panicked with it"));
        }
        let place = &places[0];
        let mut said = String::new();
        let mut waiting = String::new();
        for line in script.lines() {
            match in_the_labs(line) {
                Line::Typed(line) => waiting += &format!("{line}\n"),
                Line::Instead(other) => waiting += &format!("{other}\n"),
                Line::Done => {}
                special => {
                    said += &self.said(place, &std::mem::take(&mut waiting))?;
                    self.special(place, &special)?;
                }
            }
        }
        said += &self.said(place, &waiting)?;
        Ok(otherwise(shown, &said))
    }

    /// A script without anything that only one node can do.
    fn plain(&self, script: &str) -> Result<String> {
        let mut text = String::new();
        for line in script.lines() {
            match in_the_labs(line) {
                Line::Typed(line) => text += &format!("{line}\n"),
                Line::Instead(other) => text += &format!("{other}\n"),
                Line::Done => {}
                Line::Copied { .. } | Line::FenceDaemon | Line::PowerCut | Line::SwitchedOn(_) => {
                    return Err(Failure::broken(format!("{line:?} is for one place only")));
                }
            }
        }
        Ok(text)
    }

    fn special(&mut self, place: &str, line: &Line<'_>) -> Result<()> {
        let cluster = self.cluster;
        match line {
            Line::Typed(_) | Line::Instead(_) | Line::Done => Ok(()),
            Line::Copied { from, node, to } => {
                let read = self.said(place, &format!("stat -c %a {from} && base64 -w0 {from}"))?;
                let (mode, content) = read.split_once('\n').unwrap_or((&read, ""));
                let to = if to.ends_with('/') || to.is_empty() {
                    format!("{to}{}", base(from))
                } else {
                    (*to).to_owned()
                };
                let write = format!(
                    "mkdir -p $(dirname {to}) && base64 -d >{to} <<'E'\n{content}\nE\nchmod {mode} {to}"
                );
                self.said(node, &write).map(drop)
            }
            Line::FenceDaemon => {
                let daemon = cluster.programs.called("fence_virtd");
                cluster.lab.host.daemon("fence_virtd", &[daemon, "-F", "-d", "1"])
            }
            Line::PowerCut => {
                let zero = cluster.journal.mark(&format!("power cut of {place}"));
                self.cut = Some((place.to_owned(), zero));
                cluster.lab.node(place)?.cut_power()
            }
            Line::SwitchedOn(node) => cluster.lab.node(node)?.boot(),
        }
    }

    fn until(&self, places: &[String], script: &str, shown: &[String]) -> Result<Otherwise> {
        for place in places {
            let seen = eventually(PATIENCE, "what the guide shows", || {
                let said = self.said(place, script).map_err(|error| error.to_string())?;
                otherwise(shown, &said).map_or(Ok(()), Err)
            });
            if let Err(error) = seen {
                return Ok(Some(error.to_string()));
            }
        }
        Ok(None)
    }

    /// Runs a script that must succeed; what it says on both ways out.
    fn said(&self, place: &str, script: &str) -> Result<String> {
        if script.is_empty() {
            return Ok(String::new());
        }
        let script = format!("set -e\n{{ {script}\n}} 2>&1");
        let ran = match place {
            "host" => self.cluster.lab.host.run(&["sh", "-c", &script], TYPING)?,
            node => self.cluster.lab.node(node)?.run(&script, TYPING)?,
        };
        ran.success("typing what the guide says")
    }
}

/// Where the output is not the one that the guide shows, both.
type Otherwise = Option<String>;

fn base(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// What was said instead of what the guide shows.
fn otherwise(shown: &[String], said: &str) -> Otherwise {
    guide::missing(shown, said).map(|line| format!("no line like {line:?} in:\n{said}"))
}
