//! The report as JSON. Its form is described in docs/testing.md; [`VERSION`] changes when a field changes its
//! meaning or goes, not when one is added.

use crate::model::Drawing;
use crate::{Ending, Scene, steps};
use duet_oracle::judge::Outcome;
use duet_oracle::{Timeline, Verdict};
use serde_json::{Value, json};

/// The version of the form.
pub const VERSION: u32 = 1;

/// Half a millisecond is as exact as the recorder.
fn rounded(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(exact) if number.is_f64() => json!((exact * 1e3).round() / 1e3),
            _ => Value::Number(number),
        },
        Value::Array(all) => all.into_iter().map(rounded).collect(),
        Value::Object(all) => all.into_iter().map(|(name, value)| (name, rounded(value))).collect(),
        other => other,
    }
}

pub(crate) fn json(scene: &Scene<'_>, drawing: &Drawing, story: &Timeline) -> String {
    let (result, why) = match &scene.ending {
        Ending::Passed => ("passed", None),
        Ending::Failed(why) => ("failed", Some(why)),
    };
    let figures: Vec<Value> = scene
        .figures
        .iter()
        .map(|(name, seconds)| json!({"name": name, "seconds": seconds}))
        .collect();
    let programs: serde_json::Map<String, Value> =
        scene.programs.iter().map(|(slot, which)| (slot.clone(), json!(which))).collect();
    let told: Vec<Value> = steps(story)
        .into_iter()
        .map(|(at, node, what)| json!({"at": at, "node": node, "what": what}))
        .collect();
    let whole = json!({
        "report": "duet-lab",
        "version": VERSION,
        "name": scene.name,
        "about": scene.about,
        "result": result,
        "why": why,
        "took": scene.took.as_secs_f64(),
        "zero": scene.zero.as_secs_f64(),
        "figures": figures,
        "programs": programs,
        "executed": scene.executed,
        "verdict": scene.verdict.map(|verdict| judged(verdict, scene.zero.as_secs_f64())),
        "drawing": drawing,
        "story": told,
    });
    serde_json::to_string_pretty(&rounded(whole)).expect("a report holds only text and numbers")
        + "\n"
}

/// The judge's word over the whole recording, not only over what is shown.
fn judged(verdict: &Verdict, zero: f64) -> Value {
    let outcome = match verdict.outcome() {
        Outcome::Intact => "intact",
        Outcome::Incomplete => "incomplete",
        Outcome::Violated => "violated",
    };
    let outages: Vec<Value> = verdict
        .outages
        .iter()
        .map(|outage| {
            json!({
                "at": outage.last_ack.as_secs_f64() - zero,
                "seconds": outage.downtime().as_secs_f64(),
                "from": outage.from,
                "to": outage.to,
            })
        })
        .collect();
    json!({
        "outcome": outcome,
        "acknowledged": verdict.acknowledged,
        "boots": verdict.boots.len(),
        "unreadable": verdict.garbled,
        "outages": outages,
        "violations": verdict.violations.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "doubts": verdict.doubts.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
