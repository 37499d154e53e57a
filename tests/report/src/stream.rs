//! Draws the oracle's stream: the number of each acknowledged write as a line that climbs, in the colour of
//! the node that wrote it, and below it a tick a write. A gap is a gap in both.

use crate::model::{Ack, Drawing, Gap};
use crate::pen::{Pen, Stand, width};
use crate::window::Axis;
use std::fmt::Write as _;

/// How high it is.
pub(crate) const HEIGHT: f64 = 72.0;
/// Of that, for the line.
const LINE: f64 = 50.0;
/// A new piece of the line begins after this, in seconds.
const PIECE: f64 = 0.5;

/// Draws the part of a strip; nothing where nothing was acknowledged.
pub(crate) fn draw(pen: &mut Pen, drawing: &Drawing, axis: &Axis, y: f64) -> f64 {
    let shown: Vec<Ack> = drawing.acks.iter().filter(|ack| axis.shows(ack.at)).copied().collect();
    let gaps: Vec<&Gap> = drawing
        .gaps
        .iter()
        .filter(|gap| gap.until > axis.strip.from && gap.from < axis.strip.until)
        .collect();
    let (Some(low), Some(high)) =
        (shown.iter().map(|ack| ack.number).min(), shown.iter().map(|ack| ack.number).max())
    else {
        if gaps.is_empty() {
            return y;
        }
        labels(pen, axis, &gaps, y);
        return y + 26.0;
    };
    for (line, words) in ["acknowledged", "writes"].into_iter().enumerate() {
        #[allow(clippy::cast_precision_loss, reason = "two")]
        let below = y + 22.0 + line as f64 * 13.0;
        pen.text("lane", (axis.left - 8.0, below), Stand::Left, words);
    }
    let rise = f64::from((high - low).max(1));
    let level = |number: u32| y + 4.0 + LINE - f64::from(number - low) / rise * (LINE - 6.0);
    for (index, node) in drawing.nodes.iter().enumerate() {
        let title = format!("acknowledged on {node}");
        pen.path(&format!("line n{index}"), &line(&shown, index, axis, level), &title);
        pen.path(&format!("rug n{index}"), &rug(&shown, index, axis, y + LINE + 8.0), &title);
    }
    for (ack, at_end) in [(shown.first(), false), (shown.last(), true)] {
        let Some(ack) = ack else { continue };
        let text = ack.number.to_string();
        let (x, above) = (axis.x(ack.at), level(ack.number));
        if at_end {
            pen.text(&format!("count n{}", ack.node), (x - 3.0, above - 4.0), Stand::Left, &text);
        } else {
            pen.text(&format!("count n{}", ack.node), (x + 3.0, above - 5.0), Stand::Right, &text);
        }
    }
    labels(pen, axis, &gaps, y);
    y + HEIGHT
}

/// The length of each gap, written in it where there is room.
fn labels(pen: &mut Pen, axis: &Axis, gaps: &[&Gap], y: f64) {
    let mut taken = f64::NEG_INFINITY;
    for gap in gaps {
        let (x0, x1) = (axis.x(gap.from), axis.x(gap.until));
        let short = format!("{:.1} s", gap.until - gap.from);
        // Too short to be worth a number, where there is no room for the words.
        if gap.until - gap.from < 1.0 && width(&gap.label) > x1 - x0 {
            continue;
        }
        let shortest = format!("{:.0}", gap.until - gap.from);
        let shown = gap.until.min(axis.strip.until) - gap.from.max(axis.strip.from);
        if shown < (gap.until - gap.from) * 0.4 {
            continue;
        }
        let fits = [gap.label.clone(), short, shortest]
            .into_iter()
            .find(|text| width(text) * 1.2 + 6.0 <= x1 - x0);
        if let Some(text) = fits.filter(|_| x0 >= taken) {
            let class = if gap.moved { "length" } else { "length quietly" };
            pen.text(class, (f64::midpoint(x0, x1), y + 18.0), Stand::Middle, &text);
            taken = x1;
        }
    }
}

/// The line of one node: one point a pixel at most, a new piece after each silence.
fn line(acks: &[Ack], node: usize, axis: &Axis, level: impl Fn(u32) -> f64) -> String {
    let mut data = String::new();
    let mut last: Option<(Ack, f64)> = None;
    for ack in acks.iter().filter(|ack| ack.node == node) {
        let (x, y) = (axis.x(ack.at), level(ack.number));
        match last {
            Some((before, _)) if ack.at - before.at > PIECE => {
                // The end of the piece before, which may not have been worth a point of its own.
                let _ = write!(
                    data,
                    "L{:.1} {:.1}M{x:.1} {y:.1}",
                    axis.x(before.at),
                    level(before.number)
                );
                last = Some((*ack, x));
            }
            Some((_, drawn)) if x - drawn < 1.0 => last = Some((*ack, drawn)),
            Some(_) => {
                let _ = write!(data, "L{x:.1} {y:.1}");
                last = Some((*ack, x));
            }
            None => {
                let _ = write!(data, "M{x:.1} {y:.1}");
                last = Some((*ack, x));
            }
        }
    }
    if let Some((ack, _)) = last {
        let _ = write!(data, "L{:.1} {:.1}", axis.x(ack.at), level(ack.number));
    }
    data
}

/// A tick a write; where they touch, one box.
fn rug(acks: &[Ack], node: usize, axis: &Axis, y: f64) -> String {
    let mut boxes: Vec<(f64, f64)> = Vec::new();
    for ack in acks.iter().filter(|ack| ack.node == node) {
        let x = axis.x(ack.at);
        match boxes.last_mut() {
            Some((_, end)) if x - *end < 1.4 => *end = x + 1.0,
            _ => boxes.push((x, x + 1.0)),
        }
    }
    let mut data = String::new();
    for (begin, end) in boxes {
        let _ = write!(data, "M{begin:.1} {y:.1}h{:.1}v8H{begin:.1}z", end - begin);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::Strip;

    fn stream(count: u32) -> Vec<Ack> {
        (0..count).map(|number| Ack { at: f64::from(number) * 0.055, node: 0, number }).collect()
    }

    fn axis(until: f64) -> Axis {
        Axis::new(Strip { from: 0.0, until, breaks: Vec::new() }, 0.0, 1000.0)
    }

    #[test]
    fn half_an_hour_of_writes_is_no_more_than_a_point_a_pixel() {
        let acks = stream(32_000);
        let axis = axis(1760.0);
        let data = line(&acks, 0, &axis, |_| 1.0);
        assert!(data.matches('L').count() <= 1001, "{}", data.len());
        assert_eq!(rug(&acks, 0, &axis, 0.0).matches('z').count(), 1);
    }

    #[test]
    fn a_silence_is_a_hole_in_line_and_ticks() {
        let mut acks = stream(100);
        acks.extend(stream(100).into_iter().map(|ack| Ack { at: ack.at + 8.0, ..ack }));
        let axis = axis(14.0);
        assert_eq!(line(&acks, 0, &axis, |_| 1.0).matches('M').count(), 2);
        let ticks = rug(&acks, 0, &axis, 0.0);
        assert!(ticks.matches('z').count() >= 2, "{ticks}");
        assert_eq!(line(&acks, 1, &axis, |_| 1.0), "");
    }
}
