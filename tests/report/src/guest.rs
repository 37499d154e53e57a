//! The guest as the oracle heard it: its acknowledged writes, where it runs, and the gaps.
//! Invariant: a gap is between two acknowledgements that were heard, and is as long as the judge says.

use crate::model::{Ack, Boot, Gap, Lane, Point, Span, Subject, Tone};
use crate::state::seconds;
use duet_oracle::summary::Way;
use duet_oracle::{Event, Line, Verdict, event::Kind};

/// A silence that is drawn as one, in seconds: 0.055 s is the guest's own rhythm.
const SILENCE: f64 = 1.0;

/// All acknowledged writes, with the nodes by their place in `nodes`.
pub(crate) fn acks(events: &[Event], nodes: &[String], zero: f64) -> Vec<Ack> {
    let ack = |event: &Event| match &event.kind {
        Kind::Serial(Line::Ack(number)) => {
            let node = nodes.iter().position(|node| *node == event.source)?;
            Some(Ack { at: seconds(event, zero), node, number: *number })
        }
        Kind::Serial(_) | Kind::Log(_) | Kind::Mark(_) => None,
    };
    events.iter().filter_map(ack).collect()
}

/// Boots as the judge counted them.
pub(crate) fn boots(verdict: &Verdict, zero: f64) -> Vec<Boot> {
    let boots = verdict.boots.iter();
    boots
        .map(|boot| Boot {
            at: boot.at.as_secs_f64() - zero,
            node: boot.source.clone(),
            found: boot.found,
            acknowledged: boot.acked_before,
        })
        .collect()
}

/// Outages and freezes as the judge counted them, in order of time.
pub(crate) fn gaps(verdict: &Verdict, zero: f64) -> Vec<Gap> {
    let outages = verdict.outages.iter().map(|outage| {
        let way = match (outage.way, outage.from == outage.to) {
            (Way::LiveMigration, _) => "live migration",
            (Way::Boot, true) => "restart",
            (Way::Boot, false) => "takeover",
        };
        let length = outage.downtime().as_secs_f64();
        Gap {
            from: outage.last_ack.as_secs_f64() - zero,
            until: outage.first_ack.as_secs_f64() - zero,
            moved: true,
            label: format!("{length:.2} s without an acknowledged write ({way})"),
        }
    });
    let freezes = verdict.freezes.iter().map(|freeze| Gap {
        from: freeze.from.as_secs_f64() - zero,
        until: freeze.until.as_secs_f64() - zero,
        moved: false,
        label: format!("{:.2} s of silence", freeze.length().as_secs_f64()),
    });
    let mut all: Vec<Gap> = outages.chain(freezes).collect();
    all.sort_by(|one, other| one.from.total_cmp(&other.from));
    all
}

/// Where the guest writes, as spans of one node, with its boots.
pub(crate) fn lane(acks: &[Ack], boots: &[Boot], node: &str, index: usize) -> Lane {
    let mut lane = Lane::of(node, Subject::Guest);
    for ack in acks {
        let last = lane.spans.last_mut().filter(|span| ack.at - span.until < SILENCE);
        match (ack.node == index, last) {
            (true, Some(span)) => span.until = ack.at,
            (true, None) => lane.spans.push(Span::new(ack.at, ack.at, "writes", Tone::Good)),
            (false, _) => {}
        }
    }
    let own = boots.iter().filter(|boot| boot.node == node);
    lane.points = own
        .map(|boot| {
            let lost = boot.acknowledged.is_some_and(|acked| boot.found < acked);
            let (label, tone) = match boot.acknowledged {
                Some(acked) if lost => {
                    (format!("boots, finds {} of {acked}", boot.found), Tone::Bad)
                }
                Some(_) => (format!("boots, finds all {}", boot.found), Tone::Good),
                None => (format!("boots, finds {}", boot.found), Tone::Good),
            };
            Point { at: boot.at, label, tone }
        })
        .collect();
    // Between the boot and the first write it already runs.
    for boot in own_boots(boots, node) {
        if let Some(span) =
            lane.spans.iter_mut().find(|span| span.from >= boot.at && span.from - boot.at < SILENCE)
        {
            span.from = boot.at;
        }
    }
    lane
}

fn own_boots<'a>(boots: &'a [Boot], node: &'a str) -> impl Iterator<Item = &'a Boot> {
    boots.iter().filter(move |boot| boot.node == node)
}
