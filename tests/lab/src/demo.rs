//! The demonstration: from two bare machines to a protected guest, then the active machine's power
//! is cut in front of the reader, who sees each step and the oracle's verdict.

use crate::cluster::Cluster;
use crate::failure::{Failure, Result};
use crate::host_side::Life;
use crate::place::Place;
use crate::report;
use crate::scenario;
use crate::topology::{Lab, Settings};
use duet_oracle::Timeline;
use duet_oracle::judge::Outcome;
use duet_oracle::timeline::Detail;
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
        tell("kept, as KEEP asks: cargo run -q --release -p lab -- run node1 crm_mon -1");
        tell("and at the end:     cargo run -q --release -p lab -- down");
    } else {
        cluster.down()?;
        tell("all taken down; nothing is left but the image in the cache");
    }
    tell(&format!("{:.0} s in all", began.elapsed().as_secs_f64()));
    outcome
}

fn show(cluster: &Cluster, place: &Place, tell: &mut dyn FnMut(&str)) -> Result<()> {
    cluster.set_up(tell)?;
    let settled = cluster.journal.now();
    // A few seconds of ordinary life, so that there is something to lose.
    cluster.writing_since(settled + Duration::from_secs(4), Duration::from_secs(60))?;
    tell("cutting the power of the active machine:");
    let story = cluster_with_story(cluster)?;
    let events = cluster.journal.events();
    let verdict = cluster.verdict();
    let timeline = Timeline::new(&events, story.zero);
    println!("\n{}\n", timeline.failover());
    println!("{verdict}\n");
    let dir = place.file("reports").join("demo");
    crate::image::write(&dir.join("timeline.txt"), timeline.render(Detail::Steps).as_bytes())?;
    crate::image::write(
        &dir.join("events.json"),
        duet_oracle::event::to_json_lines(&events).as_bytes(),
    )?;
    tell(&format!("the whole recording is in {}", dir.display()));
    match verdict.outcome() {
        Outcome::Intact => {
            tell("every acknowledged write survived the power cut");
            Ok(())
        }
        Outcome::Incomplete | Outcome::Violated => {
            Err(Failure::broken(format!("The oracle: {verdict}")))
        }
    }
}

/// The power cut, its steps printed as they happen.
fn cluster_with_story(cluster: &Cluster) -> Result<scenario::Story> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let shown = scope.spawn(|| follow(cluster, &over));
        let story = scenario::machines::power_cut(cluster);
        over.store(true, Ordering::Relaxed);
        // A panic in the printing thread costs the reader lines, not the result.
        drop(shown.join());
        story
    })
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
        report::keep_logs(&place.file("reports").join("failed-set-up"), &cluster);
        cluster.down()?;
    }
    outcome
}
