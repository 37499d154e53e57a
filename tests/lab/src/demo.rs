//! The demonstration: from two bare machines to a protected guest, then the active machine's power is cut in front
//! of the reader, who sees each step, the machine's return, the oracle's verdict and what was executed. Invariant: it
//! fails where a program was executed that was not chosen, or one that was chosen was not.

use crate::cluster::Cluster;
use crate::configuration;
use crate::executed::{self, Duty, Since, breaches};
use crate::failure::{Failure, Result};
use crate::host_side::Life;
use crate::place::Place;
use crate::programs::Programs;
use crate::report;
use crate::scenario;
use crate::topology::{Lab, Settings};
use duet_oracle::Timeline;
use duet_oracle::judge::Outcome;
use duet_oracle::timeline::Detail;
use duet_report::{Ending, Scene};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Runs it. `keep` leaves the lab up for the reader to look around in.
pub(crate) fn run(
    place: &Place,
    settings: &Settings,
    keep: bool,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    let began = Instant::now();
    tell(
        "two machines without shared storage, DRBD between them, one guest that numbers its writes",
    );
    tell(&format!("programs: {}", settings.programs.line()));
    let life = if keep { Life::Stays } else { Life::DiesWithUs };
    let lab = Lab::up(place, settings, life, tell)?;
    tell(&format!("both machines have a shell after {:.1} s", lab.up_in.as_secs_f64()));
    let cluster = Cluster::watch(lab, settings.programs.clone())?;
    let outcome = show(&cluster, place, tell);
    if keep {
        tell("the lab stays up, as KEEP asks");
    } else {
        cluster.down()?;
        tell("all taken down; nothing is left but the image in the cache, and the report");
    }
    tell(&format!("{:.0} s in all", began.elapsed().as_secs_f64()));
    if outcome.is_ok() {
        next(place, keep, tell);
    }
    outcome
}

/// From bare machines to the verdict.
fn show(cluster: &Cluster, place: &Place, tell: &mut dyn FnMut(&str)) -> Result<()> {
    cluster.set_up(tell)?;
    if cluster.programs.is_ours("drbd-watch") {
        tell("node1: crm configure (the watcher of promotion scores, in both nodes)");
        let first = &cluster.lab.nodes[0];
        first.put("/root/watcher.crm", &configuration::watcher(&cluster.programs))?;
        first
            .run("crm -F configure load update /root/watcher.crm", Duration::from_secs(120))?
            .success("configuring the watcher")?;
    }
    let settled = cluster.journal.now();
    // A few seconds of ordinary life, so that there is something to lose.
    cluster.writing_since(settled + Duration::from_secs(6), Duration::from_secs(60))?;
    tell("cutting the power of the active machine, and then giving it back:");
    let story = cluster_with_story(cluster)?;
    let took = cluster.journal.now() - story.zero;
    let events = cluster.journal.events();
    let verdict = cluster.verdict();
    let executed = cluster.executed(&Since::default());
    let breaches = breaches(&executed, &cluster.programs, &duties(&cluster.programs));
    let timeline = Timeline::new(&events, story.zero);
    println!("\n{}\n", timeline.failover());
    println!("{verdict}\n");
    println!("executed, as the kernels saw it:\n{}", executed.text());
    let failed = match verdict.outcome() {
        Outcome::Intact if breaches.is_empty() => None,
        Outcome::Intact => Some(format!("What was executed: {}", breaches.join("; "))),
        Outcome::Incomplete | Outcome::Violated => Some(format!("The oracle: {verdict}")),
    };
    let dir = place.reports.join("demo");
    crate::image::write(&dir.join("timeline.txt"), timeline.render(Detail::Steps).as_bytes())?;
    let scene = Scene {
        name: "make demo",
        about: "the machine with the guest loses power, and comes back",
        ending: failed.clone().map_or(Ending::Passed, Ending::Failed),
        took,
        began: settled,
        zero: story.zero,
        figures: &story.figures,
        programs: cluster.programs.choice(),
        nodes: cluster.lab.nodes.iter().map(|node| node.name.clone()).collect(),
        executed,
        events: &events,
        verdict: Some(&verdict),
        files: Vec::new(),
    };
    report::pages(&dir, scene)?;
    if let Some(why) = failed {
        return Err(Failure::broken(why));
    }
    tell("every acknowledged write survived the power cut");
    let stock: Vec<String> = cluster
        .programs
        .choice()
        .into_iter()
        .filter(|(_, which)| which == "stock")
        .map(|(slot, _)| slot)
        .collect();
    tell(&match stock.as_slice() {
        [] => {
            "everything between Pacemaker, DRBD and libvirt was ours: no stock agent, handler or \
               fence program was executed"
                .to_owned()
        }
        _ => format!("executed as chosen: stock {}, ours for the rest", stock.join(", ")),
    });
    Ok(())
}

/// What the demo cannot have done without executing.
fn duties(programs: &Programs) -> Vec<Duty> {
    let duty = |place, slot| Duty { place, slot, called: None };
    let mut all = vec![duty(None, "fence_xvm"), duty(Some(executed::HOST), "fence_virtd")];
    for node in ["node1", "node2"] {
        all.extend([duty(Some(node), "VirtualDomain"), duty(Some(node), "drbd")]);
        // Only ours is configured: the stock one does another thing.
        if programs.is_ours("drbd-watch") {
            all.push(duty(Some(node), "drbd-watch"));
        }
    }
    let names = if programs.is_ours("crm-fence-peer") {
        ["crm-fence-peer", "crm-unfence-peer"]
    } else {
        ["crm-fence-peer.sh", "crm-unfence-peer.sh"]
    };
    let handler = |name| Duty { place: None, slot: "crm-fence-peer", called: Some(name) };
    all.extend(names.map(handler));
    all
}

/// What a reader can do now.
fn next(place: &Place, keep: bool, tell: &mut dyn FnMut(&str)) {
    const LAB: &str = "cargo run -q --release -p lab --";
    tell("what to try next:");
    tell(&format!("  look at it      {}", place.reports.join("demo/report.html").display()));
    if keep {
        tell(&format!("  the cluster     {LAB} run node2 crm_mon -1rf"));
        tell(&format!("  DRBD            {LAB} run node2 cat /proc/drbd"));
        let explain = "/usr/lib/drbd/crm-fence-peer --explain --resource r0";
        tell(&format!("  the handler     {LAB} run node2 {explain}"));
        tell(&format!("  move the guest  {LAB} run node1 crm resource move vm1"));
        tell(&format!("  fence a node    {LAB} run node1 stonith_admin --reboot node2"));
        tell(&format!("  at the end      {LAB} down"));
    } else {
        tell("  stay in it      KEEP=1 make demo");
    }
    tell("  with stock      make demo AGENTS=stock");
    tell(&format!("  break more      {LAB} list; make lab SCENARIO='machines/link-cut'"));
    tell("  your cluster    docs/guide.md");
}

/// The power cut and the way back, their steps printed as they happen.
fn cluster_with_story(cluster: &Cluster) -> Result<scenario::Story> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let shown = scope.spawn(|| follow(cluster, &over));
        let story = there_and_back(cluster);
        over.store(true, Ordering::Relaxed);
        // A panic in the printing thread costs the reader lines, not the result.
        drop(shown.join());
        story
    })
}

fn there_and_back(cluster: &Cluster) -> Result<scenario::Story> {
    let cut = scenario::machines::power_cut(cluster)?;
    // Long enough to see the guest go on alone.
    thread::sleep(Duration::from_secs(3));
    let back = scenario::machines::node_back(cluster)?;
    let figures = [cut.figures, back.figures].concat();
    Ok(scenario::Story { figures, ..cut })
}

/// Prints new steps until the disturbance is over.
fn follow(cluster: &Cluster, over: &AtomicBool) {
    let mut printed = 0;
    loop {
        let last = over.load(Ordering::Relaxed);
        if let Some(timeline) = Timeline::since_mark(&cluster.journal.events(), "power cut") {
            let text = timeline.between(-0.2, 600.0).render(Detail::Steps);
            for line in text.lines().skip(printed) {
                println!("  {line}");
                printed += 1;
            }
        }
        if last {
            break;
        }
        thread::sleep(Duration::from_millis(300));
    }
}

/// What `lab up` leaves ready is a bare lab; this is the same with the whole cluster set up.
pub(crate) fn set_up_and_keep(
    place: &Place,
    settings: &Settings,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    let lab = Lab::up(place, settings, Life::Stays, tell)?;
    let cluster = Cluster::watch(lab, settings.programs.clone())?;
    let outcome = cluster.set_up(tell);
    if outcome.is_err() {
        report::keep_logs(&place.reports.join("failed-set-up"), &cluster);
        cluster.down()?;
    }
    outcome
}
