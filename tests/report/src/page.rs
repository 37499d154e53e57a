//! The page of one scenario. Invariant: one file, no script, nothing fetched from anywhere.

use crate::model::Drawing;
use crate::{Ending, Executed, Looked, Scene, Whose, escape, steps};
use duet_oracle::judge::Outcome;
use duet_oracle::{Timeline, Verdict};
use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");
/// More steps are in `timeline.txt`.
const STEPS: usize = 400;

/// The frame of every page.
pub(crate) fn framed(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(title)
    )
}

/// The verdict in a few words.
pub(crate) fn in_short(verdict: &Verdict) -> String {
    let word = match verdict.outcome() {
        Outcome::Intact => "no acknowledged write lost",
        Outcome::Incomplete => "evidence incomplete",
        Outcome::Violated => "writes LOST or doubled",
    };
    format!("{} acknowledged writes, {} boots, {word}", verdict.acknowledged, verdict.boots.len())
}

pub(crate) fn html(
    scene: &Scene<'_>,
    drawing: &Drawing,
    picture: &str,
    story: &Timeline,
) -> String {
    let mut body = String::new();
    let (class, word) = match &scene.ending {
        Ending::Passed => ("ok", "passed"),
        Ending::Failed(_) => ("no", "FAILED"),
    };
    let _ = writeln!(
        body,
        "<header>\n<p class=\"back\"><a href=\"../index.html\">all reports</a></p>\n\
         <h1>{} <span class=\"badge {class}\">{word}</span></h1>\n<p class=\"about\">{}</p>\n</header>",
        escape(scene.name),
        escape(scene.about)
    );
    if let Ending::Failed(why) = &scene.ending {
        let _ = writeln!(body, "<pre class=\"why\">{}</pre>", escape_lines(why));
    }
    cards(&mut body, scene, drawing);
    let _ = writeln!(body, "<figure>\n{picture}</figure>");
    body += "<p class=\"hint\">Seconds since the disturbance. Point at a bar to read more. Red is a time without an \
             acknowledged write.</p>\n<div class=\"columns\">\n";
    if let Some(verdict) = scene.verdict {
        let text = escape_lines(&verdict.to_string());
        let _ = writeln!(body, "<section>\n<h2>The oracle</h2>\n<pre>{text}</pre>\n</section>");
    }
    programs(&mut body, scene);
    body += "</div>\n";
    told(&mut body, scene, story);
    let links: Vec<String> =
        scene.files.iter().map(|file| format!("<a href=\"{0}\">{0}</a>", escape(file))).collect();
    let _ = writeln!(body, "<footer>Beside this page: {}</footer>", links.join(", "));
    framed(&format!("{} {word}", scene.name), &body)
}

fn escape_lines(text: &str) -> String {
    text.lines().map(|line| escape(line) + "\n").collect()
}

/// Figures, largest first to the eye.
fn cards(body: &mut String, scene: &Scene<'_>, drawing: &Drawing) {
    let mut all: Vec<(String, String, &str)> = Vec::new();
    for (name, seconds) in scene.figures {
        all.push((seconds_of(*seconds), (*name).to_owned(), ""));
    }
    if let Some(verdict) = scene.verdict {
        let (word, class) = match verdict.outcome() {
            Outcome::Intact => ("intact", "ok"),
            Outcome::Incomplete => ("incomplete", "no"),
            Outcome::Violated => ("VIOLATED", "no"),
        };
        let words = format!("{} writes acknowledged", verdict.acknowledged);
        all.push((word.to_owned(), words, class));
    }
    for phase in &drawing.phases {
        all.push((seconds_of(phase.length()), phase.label.clone(), "phase"));
    }
    *body += "<ul class=\"cards\">\n";
    for (figure, name, class) in all {
        let _ = writeln!(
            body,
            "<li class=\"{class}\"><b>{}</b><span>{}</span></li>",
            escape(&figure),
            escape(&name)
        );
    }
    *body += "</ul>\n";
}

fn seconds_of(seconds: f64) -> String {
    if seconds < 0.2 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.1} s") }
}

fn programs(body: &mut String, scene: &Scene<'_>) {
    *body += "<section>\n<h2>Programs</h2>\n";
    if !scene.executed.places.is_empty() {
        *body += "<p>Executed, as the kernels saw it:</p>\n";
        executed(body, &scene.executed);
    }
    let chosen: Vec<String> = scene
        .programs
        .iter()
        .map(|(slot, which)| format!("{} {}", escape(slot), escape(which)))
        .collect();
    let _ = writeln!(body, "<p class=\"hint\">Chosen: {}</p>\n</section>", chosen.join(", "));
}

fn executed(body: &mut String, executed: &Executed) {
    *body += "<table class=\"programs\">\n<tr><th>where</th><th>whose</th><th>times</th><th>program</th></tr>\n";
    for place in &executed.places {
        let missing = match &place.looked {
            Looked::Whole => None,
            Looked::Partly(why) => Some(format!("looked at in part: {why}")),
            Looked::Not(why) => Some(format!("not looked at: {why}")),
        };
        if let Some(why) = missing {
            let _ = writeln!(
                body,
                "<tr><td>{}</td><td colspan=\"3\">{}</td></tr>",
                escape(&place.name),
                escape(&why)
            );
        }
        for (program, times) in &place.programs {
            let whose = match program.whose {
                Whose::Ours => "ours",
                Whose::Stock => "stock",
            };
            let _ = writeln!(
                body,
                "<tr><td>{}</td><td class=\"{whose}\">{whose}</td><td class=\"times\">{times}</td><td><code>{}</code></td></tr>",
                escape(&place.name),
                escape(&program.name())
            );
        }
    }
    *body += "</table>\n";
}

/// The story step by step.
fn told(body: &mut String, scene: &Scene<'_>, story: &Timeline) {
    let steps = steps(story);
    let more = steps.len().saturating_sub(STEPS);
    let _ = writeln!(body, "<section>\n<h2>Step by step</h2>\n<table class=\"story\">");
    for (at, node, what) in steps.into_iter().take(STEPS) {
        let index = scene.nodes.iter().position(|name| *name == node);
        let class = index.map_or("lab".to_owned(), |index| format!("n{index}"));
        let what = what.strip_prefix("== ").unwrap_or(&what).to_owned();
        let _ = writeln!(
            body,
            "<tr class=\"{class}\"><td>{at:+.3}</td><td>{}</td><td>{}</td></tr>",
            escape(&node),
            escape(&what)
        );
    }
    *body += "</table>\n";
    if more > 0 {
        let _ = writeln!(body, "<p class=\"hint\">{more} more in timeline.txt</p>");
    }
    *body += "</section>\n";
}
