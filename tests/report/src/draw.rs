//! Draws the lanes as SVG: strips one below the other, each with its own axis. Invariant: the number of
//! elements is bounded whatever was recorded; what is too small to be told apart is drawn as one.

use crate::model::{Drawing, Lane, Span, Subject, Tone};
use crate::pen::{Pen, Stand, cut, width};
use crate::stream;
use crate::window::{Axis, Strip};
use std::fmt::Write as _;

/// The width of the drawing; it scales with the page.
pub(crate) const WIDTH: f64 = 1200.0;
const LEFT: f64 = 128.0;
const RIGHT: f64 = 1184.0;
/// The height of a row and of the bar in it.
const ROW: f64 = 19.0;
pub(crate) const BAR: f64 = 14.0;
/// More bars than this in a lane of a strip cannot be told apart.
const BARS: usize = 120;
/// How much wider bold letters are.
const BOLD: f64 = 1.12;
/// More rows than this are no help.
const ROWS: usize = 6;

/// The picture's own style: it has to be legible by itself, on white and on black.
const STYLE: &str = include_str!("picture.css");

/// The whole drawing as one SVG element.
pub(crate) fn svg(drawing: &Drawing, strips: &[Strip], title: &str, summary: &str) -> String {
    let mut pen = Pen::default();
    let mut y = 14.0;
    if !title.is_empty() {
        pen.text("title", (16.0, y + 14.0), Stand::Right, title);
        pen.text("said", (16.0, y + 33.0), Stand::Right, &cut(summary, WIDTH));
        y += 50.0;
    }
    for strip in strips {
        y = draw_strip(&mut pen, drawing, &Axis::new(strip.clone(), LEFT, RIGHT), y) + 18.0;
    }
    y = legend(&mut pen, drawing, y);
    let mut out = String::new();
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y:.0}\" width=\"{WIDTH}\" height=\"{y:.0}\" \
         role=\"img\" aria-label=\"{}\">\n<style>{STYLE}</style>\n<defs>\n\
         <pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
         <path class=\"hatch\" d=\"M0 0V6\"/></pattern>\n</defs>\n\
         <rect class=\"paper\" x=\"0.5\" y=\"0.5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"8\"/>\n",
        crate::pen::escape(if title.is_empty() { "time line" } else { title }),
        WIDTH - 1.0,
        y - 1.0,
    );
    out + &pen.out + "</svg>\n"
}

fn draw_strip(pen: &mut Pen, drawing: &Drawing, axis: &Axis, top: f64) -> f64 {
    let (from, until) = (axis.strip.from, axis.strip.until);
    // What lies below is drawn first, and how far down it goes is known last.
    let mut front = Pen::default();
    let mut y = top;
    let mostly = |from: f64, until: f64| {
        f64::min(until, axis.strip.until) - f64::max(from, axis.strip.from) > (until - from) * 0.4
    };
    let phases = drawing.phases.iter().filter(|phase| mostly(phase.from, phase.until));
    if phases.clone().next().is_some() {
        for phase in phases {
            draw_phase(&mut front, axis, phase, y);
        }
        y += 27.0;
    }
    let of_all = |subject| {
        let mut lanes = drawing.lanes.iter();
        lanes.find(move |lane: &&Lane| lane.node.is_none() && lane.subject == subject)
    };
    let lab = of_all(Subject::Lab);
    if let Some(lab) = lab.filter(|lane| lane.is_seen(from, until)) {
        y = draw_lab(&mut front, axis, lab, y);
    }
    let scale = y;
    y += 18.0;
    let field = y;
    y = stream::draw(&mut front, drawing, axis, y);
    if let Some(lane) = of_all(Subject::Fencing).filter(|lane| lane.is_seen(from, until)) {
        name(&mut front, "lane", "fencing", y);
        y = draw_bars(&mut front, axis, lane, y);
    }
    for (index, node) in drawing.nodes.iter().enumerate() {
        y += 5.0;
        let group = y;
        y += 4.0;
        let own = drawing.lanes.iter().filter(|lane| lane.node.as_ref() == Some(node));
        let seen = own.filter(|lane| lane.is_seen(from, until));
        for (row, lane) in seen.enumerate() {
            if row == 0 {
                front.text(&format!("node n{index}"), (14.0, y + 12.0), Stand::Right, node);
            } else {
                name(&mut front, "lane", lane.subject.title(), y);
            }
            y = match lane.subject {
                Subject::Power | Subject::Role | Subject::Disk => {
                    draw_states(&mut front, axis, lane, y)
                }
                Subject::Guest => draw_guest(&mut front, axis, lane, index, y),
                Subject::Lab
                | Subject::Fencing
                | Subject::Fault
                | Subject::Operations
                | Subject::Handlers => draw_bars(&mut front, axis, lane, y),
            };
        }
        y += 2.0;
        pen.rect("group", (6.0, group), (WIDTH - 12.0, y - group), "");
        pen.rect(&format!("edge n{index}"), (6.0, group), (3.0, y - group), "");
    }
    for gap in drawing.gaps.iter().filter(|gap| gap.until > from && gap.from < until) {
        let (x0, x1) = (axis.x(gap.from), axis.x(gap.until));
        // A freeze is a matter of the stream, an outage of everything.
        let class = if gap.moved { "gap" } else { "gap freeze" };
        let wide = (x1 - x0).max(1.0);
        pen.rect(class, (x0, field), (wide, stream::HEIGHT.min(y - field)), &gap.label);
        if gap.moved {
            pen.rect(
                "gap below",
                (x0, field + stream::HEIGHT),
                (wide, y - field - stream::HEIGHT),
                "",
            );
        }
    }
    for at in axis.ticks() {
        let x = axis.x(at);
        pen.down("grid", x, (scale + 14.0, y));
        let label = if at == 0.0 { "0".to_owned() } else { format!("{at:+} s") };
        front.text("scale", (x, scale + 11.0), Stand::Middle, &label);
    }
    for (begin, end) in &axis.strip.breaks {
        let (x0, x1) = (axis.x(*begin), axis.x(*end));
        let quiet = format!("{:.0} s without news", end - begin);
        pen.rect("break", (x0, scale + 14.0), (x1 - x0, y - scale - 14.0), &quiet);
        let middle = f64::midpoint(x0, x1);
        front.text(
            "scale",
            (middle, scale + 11.0),
            Stand::Middle,
            &format!("⋯{:.0} s⋯", end - begin),
        );
    }
    for point in lab.iter().flat_map(|lane| &lane.points).filter(|point| axis.shows(point.at)) {
        let class = if point.at.abs() < 1e-3 { "zero" } else { "deed" };
        pen.down(class, axis.x(point.at), (scale - 3.0, y));
    }
    pen.out += &front.out;
    y
}

fn name(pen: &mut Pen, class: &str, text: &str, y: f64) {
    pen.text(class, (LEFT - 8.0, y + 11.0), Stand::Left, text);
}

/// An arrow with its name and length.
fn draw_phase(pen: &mut Pen, axis: &Axis, phase: &Span, y: f64) {
    let (x0, x1) = (axis.x(phase.from), axis.x(phase.until));
    let (tip, bottom) = ((x1 - x0).min(7.0), y + 20.0);
    let middle = y + 10.0;
    let data = format!(
        "M{x0:.1} {y:.1}H{:.1}L{x1:.1} {middle:.1}L{:.1} {bottom:.1}H{x0:.1}L{:.1} {middle:.1}Z",
        x1 - tip,
        x1 - tip,
        x0 + tip
    );
    let full = format!("{} {:.1} s", phase.label, phase.length());
    pen.path(&format!("bar {}", phase.tone.class()), &data, &full);
    let wide = x1 - x0 - 18.0;
    let short = format!("{:.1} s", phase.length());
    let fits = [full, short].into_iter().find(|text| width(text) * BOLD <= wide);
    if let Some(text) = fits {
        pen.text("within phased", (f64::midpoint(x0, x1) + 2.0, y + 14.0), Stand::Middle, &text);
    }
}

/// What the harness did, as flags.
fn draw_lab(pen: &mut Pen, axis: &Axis, lane: &Lane, y: f64) -> f64 {
    let mut rows: Vec<f64> = Vec::new();
    for point in lane.points.iter().filter(|point| axis.shows(point.at)).take(BARS) {
        let x = axis.x(point.at);
        let label = cut(&point.label, 360.0);
        let wide = width(&label) * BOLD + 8.0;
        let turned = x + wide > RIGHT;
        let (begin, end) = if turned { (x - wide, x) } else { (x, x + wide) };
        let Some(row) = place(&mut rows, begin, end, 3) else { continue };
        #[allow(clippy::cast_precision_loss, reason = "three")]
        let middle = y + row as f64 * 15.0 + 11.0;
        let stand = if turned { Stand::Left } else { Stand::Right };
        let beside = if turned { x - 5.0 } else { x + 5.0 };
        pen.text("flag", (beside, middle), stand, &label);
        pen.down(if point.at.abs() < 1e-3 { "zero" } else { "deed" }, x, (middle - 9.0, y + 44.0));
    }
    #[allow(clippy::cast_precision_loss, reason = "three")]
    let deep = rows.len() as f64 * 15.0 + 4.0;
    y + deep
}

/// The first row that is free from `begin` on, and is taken up to `end`.
fn place(rows: &mut Vec<f64>, begin: f64, end: f64, most: usize) -> Option<usize> {
    let free = rows.iter().position(|taken| *taken <= begin);
    let row = free.or_else(|| (rows.len() < most).then_some(rows.len()))?;
    if row == rows.len() {
        rows.push(end);
    } else {
        rows[row] = end;
    }
    Some(row)
}

/// States fill their lane; a label stands where there is room.
fn draw_states(pen: &mut Pen, axis: &Axis, lane: &Lane, y: f64) -> f64 {
    let (from, until) = (axis.strip.from, axis.strip.until);
    let seen = || lane.spans.iter().filter(|span| span.until > from && span.from < until);
    for span in seen().take(BARS) {
        let (x0, x1) = (axis.x(span.from), axis.x(span.until));
        let title = format!("{}, {:.1} s", span.label, span.length());
        let class = format!("state {}", span.tone.class());
        pen.rect(&class, (x0, y + 1.0), ((x1 - x0).max(1.0), BAR), &title);
        if matches!(span.tone, Tone::Bad | Tone::Frozen) && x1 - x0 > 3.0 {
            pen.rect("hatched", (x0, y + 1.0), (x1 - x0, BAR), "");
        }
        if width(&span.label) + 8.0 <= x1 - x0 {
            pen.text("in", (x0 + 5.0, y + 12.0), Stand::Right, &span.label);
        }
    }
    for point in lane.points.iter().filter(|point| axis.shows(point.at)).take(BARS) {
        let x = axis.x(point.at);
        let data = format!("M{:.1} {:.1}h8l-4 7z", x - 4.0, y - 1.0);
        let title = format!("the cluster calls it {} ({:+.1} s)", point.label, point.at);
        pen.path(&format!("point {}", point.tone.class()), &data, &title);
        let room = seen().any(|span| {
            let begin = axis.x(span.from) + width(&span.label) + 10.0;
            begin < x && x + 8.0 + width(&point.label) < axis.x(span.until)
        });
        if room {
            pen.text("in soft", (x + 7.0, y + 12.0), Stand::Right, &point.label);
        }
    }
    y + ROW
}

/// A bar to be drawn, of one or of several that cannot be told apart.
struct Bar<'a> {
    span: &'a Span,
    x0: f64,
    x1: f64,
}

/// Things that were done, in as many rows as they overlap; what is dull is a line below them.
fn draw_bars(pen: &mut Pen, axis: &Axis, lane: &Lane, y: f64) -> f64 {
    let (from, until) = (axis.strip.from, axis.strip.until);
    let seen = || lane.spans.iter().filter(|span| span.until >= from && span.from <= until);
    let mut rows: Vec<f64> = Vec::new();
    let mut drawn = 0;
    for span in seen().filter(|span| span.tone != Tone::Quiet) {
        let (x0, x1) = (axis.x(span.from), axis.x(span.until).max(axis.x(span.from) + 3.0));
        let long = width(&span.label) + 6.0;
        let (inside, right) = (width(&span.label) * BOLD + 10.0 <= x1 - x0, x1 + long <= RIGHT);
        let (begin, end) = match (inside, right) {
            (true, _) => (x0, x1),
            (false, true) => (x0, x1 + long),
            (false, false) => (x0 - long, x1),
        };
        drawn += 1;
        let row = place(&mut rows, begin - 4.0, end, ROWS);
        if row.is_none() && drawn > BARS {
            continue;
        }
        #[allow(clippy::cast_precision_loss, reason = "a handful")]
        let top = y + row.unwrap_or(ROWS - 1) as f64 * ROW + 1.0;
        let open = if span.open { " open" } else { "" };
        let class = format!("bar {}{open}", span.tone.class());
        let title = if span.detail.is_empty() {
            format!("{}, {:.2} s", span.label, span.length())
        } else {
            cut(&span.detail, 1500.0)
        };
        pen.rect(&class, (x0, top), (x1 - x0, BAR), &title);
        if row.is_none() || drawn > BARS {
            continue;
        }
        match (inside, right) {
            (true, _) => pen.text("within", (x0 + 5.0, top + 11.0), Stand::Right, &span.label),
            (false, true) => pen.text("beside", (x1 + 4.0, top + 11.0), Stand::Right, &span.label),
            (false, false) => pen.text("beside", (x0 - 4.0, top + 11.0), Stand::Left, &span.label),
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "a handful")]
    let bottom = y + rows.len() as f64 * ROW;
    let quiet = seen().filter(|span| span.tone == Tone::Quiet);
    draw_quiet(pen, axis, quiet, rows.is_empty(), bottom)
}

/// Monitors and the like: a thin line of dashes.
fn draw_quiet<'a>(
    pen: &mut Pen,
    axis: &Axis,
    spans: impl Iterator<Item = &'a Span>,
    alone: bool,
    y: f64,
) -> f64 {
    let mut merged: Vec<(Bar<'a>, usize)> = Vec::new();
    for span in spans {
        let (x0, x1) = (axis.x(span.from), axis.x(span.until).max(axis.x(span.from) + 2.0));
        match merged.last_mut() {
            Some((bar, count)) if x0 - bar.x1 < 2.0 => {
                bar.x1 = bar.x1.max(x1);
                *count += 1;
            }
            _ => merged.push((Bar { span, x0, x1 }, 1)),
        }
    }
    if merged.is_empty() {
        return y;
    }
    // Where there is nothing else, the name of the lane wants its room.
    let (above, high) = if alone { (6.0, ROW) } else { (2.0, 8.0) };
    for (bar, count) in merged.into_iter().take(BARS) {
        let title = match count {
            1 => cut(&bar.span.detail, 600.0),
            _ => format!("{count} monitors, notifications or other calls"),
        };
        pen.rect("bar quiet", (bar.x0, y + above), (bar.x1 - bar.x0, 4.0), &title);
    }
    y + high
}

/// Where the guest writes, in the colour of the node, with its boots.
fn draw_guest(pen: &mut Pen, axis: &Axis, lane: &Lane, index: usize, y: f64) -> f64 {
    let (from, until) = (axis.strip.from, axis.strip.until);
    let seen = lane.spans.iter().filter(|span| span.until > from && span.from < until);
    let mut starts = Vec::new();
    for span in seen.take(BARS) {
        let (x0, x1) = (axis.x(span.from), axis.x(span.until).max(axis.x(span.from) + 2.0));
        let title = format!("the guest writes, {:.1} s", span.length());
        pen.rect(&format!("run n{index}"), (x0, y + 1.0), (x1 - x0, BAR), &title);
        starts.push((x0, x1));
    }
    let mut taken = f64::NEG_INFINITY;
    for point in lane.points.iter().filter(|point| axis.shows(point.at)).take(BARS) {
        let x = axis.x(point.at);
        pen.path(
            &format!("point {}", point.tone.class()),
            &format!("M{:.1} {:.1}l4 7h-8z", x, y + 4.0),
            &format!("{} ({:+.2} s)", point.label, point.at),
        );
        let long = width(&point.label) + 10.0;
        if x - long > taken.max(LEFT)
            && !starts.iter().any(|(x0, x1)| *x1 > x - long && *x0 < x - 1.0)
        {
            pen.text("beside", (x - 7.0, y + 12.0), Stand::Left, &point.label);
            taken = x;
        } else if starts.iter().any(|(x0, x1)| *x0 <= x + 2.0 && *x1 > x + long) {
            pen.text("within", (x + 7.0, y + 12.0), Stand::Right, &point.label);
            taken = x + long;
        }
    }
    y + ROW
}

/// What the colours mean.
fn legend(pen: &mut Pen, drawing: &Drawing, y: f64) -> f64 {
    let tones = [
        (Tone::Guest, "agent of the guest"),
        (Tone::Disk, "agent of DRBD"),
        (Tone::Fencing, "fencing"),
        (Tone::Other, "others"),
        (Tone::Bad, "failed, or without an end"),
        (Tone::Quiet, "monitors and notifications"),
    ];
    let used = |tone: Tone| {
        let states = [Subject::Power, Subject::Fault, Subject::Role, Subject::Disk, Subject::Guest];
        let bars = drawing.lanes.iter().filter(|lane| !states.contains(&lane.subject));
        let mut spans = bars.flat_map(|lane| &lane.spans);
        spans.any(|span| span.tone == tone)
    };
    let mut x = LEFT;
    for (tone, words) in tones.into_iter().filter(|(tone, _)| used(*tone)) {
        let high = if tone == Tone::Quiet { 4.0 } else { 10.0 };
        pen.rect(&format!("bar {}", tone.class()), (x, y + (10.0 - high) / 2.0), (14.0, high), "");
        pen.text("beside", (x + 19.0, y + 9.0), Stand::Right, words);
        x += width(words) + 40.0;
    }
    y + 22.0
}
