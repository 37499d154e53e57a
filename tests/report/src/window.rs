//! What part of a recording is shown, in how many strips, and where a moment lies in one. Quiet stretches
//! become breaks of the axis. Invariant: a moment of the window lies in exactly one strip, and order is kept.

/// Longer than this without anything that is worth a label, in seconds, and it is quiet.
const QUIET: f64 = 14.0;
/// What is left of a quiet stretch at both of its ends, in seconds.
const MARGIN: f64 = 2.0;
/// A strip shows about this much at most, in seconds, as long as there are not too many.
const STRIP: f64 = 42.0;
/// A strip that would show less goes to its neighbour, in seconds.
const SCRAP: f64 = 9.0;
/// Nobody looks at more.
const STRIPS: usize = 12;
/// The width of a break.
const BREAK: f64 = 30.0;

/// One strip of the drawing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Strip {
    pub(crate) from: f64,
    pub(crate) until: f64,
    /// Quiet stretches inside, in order.
    pub(crate) breaks: Vec<(f64, f64)>,
}

/// The quiet stretches of a window, from the moments at which something happened.
fn quiet(from: f64, until: f64, moments: &[f64]) -> Vec<(f64, f64)> {
    let mut inside: Vec<f64> =
        moments.iter().copied().filter(|at| (from..=until).contains(at)).collect();
    inside.extend([from, until]);
    inside.sort_by(f64::total_cmp);
    inside
        .windows(2)
        .filter(|pair| pair[1] - pair[0] > QUIET)
        .map(|pair| (pair[0] + MARGIN, pair[1] - MARGIN))
        .collect()
}

/// Without the breaks.
fn active(from: f64, until: f64, breaks: &[(f64, f64)]) -> f64 {
    let inside = |(begin, end): &(f64, f64)| (end.min(until) - begin.max(from)).max(0.0);
    until - from - breaks.iter().map(inside).sum::<f64>()
}

/// Cuts a window into strips: at `chapters` first, then evenly.
pub(crate) fn strips(from: f64, until: f64, moments: &[f64], chapters: &[f64]) -> Vec<Strip> {
    let until = until.max(from + 1.0);
    let breaks = quiet(from, until, moments);
    let total = active(from, until, &breaks);
    #[allow(clippy::cast_precision_loss, reason = "a dozen")]
    let most = (total / (STRIPS / 2) as f64).max(STRIP);
    let mut cuts = vec![from];
    if total > STRIP {
        for chapter in chapters.iter().copied().map(|at| at - 1.0) {
            let last = cuts.last().copied().unwrap_or(from);
            let here = active(last, chapter, &breaks);
            let rest = active(chapter, until, &breaks);
            // A strip as full as it may be begins no earlier than it must.
            let next = chapters.iter().copied().map(|at| at - 1.0).find(|at| *at > chapter + 0.1);
            let with_next = active(last, next.unwrap_or(until), &breaks);
            if here > SCRAP && rest > SCRAP && with_next > most * 0.75 {
                cuts.push(chapter);
            }
        }
    }
    cuts.push(until);
    let mut all = Vec::new();
    for pair in cuts.windows(2) {
        let length = active(pair[0], pair[1], &breaks);
        let mut rest = pair[0];
        let mut parts = (length / most).ceil().max(1.0);
        while parts > 1.0 {
            let end = advance(rest, active(rest, pair[1], &breaks) / parts, &breaks);
            all.push((rest, end));
            (rest, parts) = (end, parts - 1.0);
        }
        all.push((rest, pair[1]));
    }
    all.into_iter()
        .map(|(from, until)| {
            let clipped = breaks.iter().map(|(begin, end)| (begin.max(from), end.min(until)));
            Strip { from, until, breaks: clipped.filter(|(begin, end)| end > begin).collect() }
        })
        .collect()
}

/// The moment that is so many active seconds after another.
fn advance(from: f64, by: f64, breaks: &[(f64, f64)]) -> f64 {
    let mut at = from + by;
    for (begin, end) in breaks {
        if *end > from && *begin < at {
            at += end - begin.max(from);
        }
    }
    at
}

/// Where a moment lies between two edges.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    /// Seconds and place of each bend, in order.
    bends: Vec<(f64, f64)>,
    pub(crate) strip: Strip,
    pub(crate) left: f64,
    pub(crate) right: f64,
}

impl Axis {
    pub(crate) fn new(strip: Strip, left: f64, right: f64) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "a handful")]
        let wide = BREAK * strip.breaks.len() as f64;
        let seconds = active(strip.from, strip.until, &strip.breaks).max(0.1);
        let scale = (right - left - wide).max(100.0) / seconds;
        let mut bends = vec![(strip.from, left)];
        let (mut at, mut x) = (strip.from, left);
        for (begin, end) in &strip.breaks {
            x += (begin - at) * scale;
            bends.push((*begin, x));
            x += BREAK;
            bends.push((*end, x));
            at = *end;
        }
        bends.push((strip.until, right));
        Self { bends, strip, left, right }
    }

    /// The place of a moment; what is outside lies on the edge.
    pub(crate) fn x(&self, at: f64) -> f64 {
        if at <= self.strip.from {
            return self.left;
        }
        let after = self.bends.iter().position(|(seconds, _)| *seconds >= at);
        let Some(after) = after.filter(|after| *after > 0) else { return self.right };
        let ((t0, x0), (t1, x1)) = (self.bends[after - 1], self.bends[after]);
        if t1 > t0 { x0 + (x1 - x0) * (at - t0) / (t1 - t0) } else { x1 }
    }

    /// Whether a moment is shown.
    pub(crate) fn shows(&self, at: f64) -> bool {
        (self.strip.from..=self.strip.until).contains(&at)
    }

    /// Moments for the scale: round ones, none of them in a break.
    pub(crate) fn ticks(&self) -> Vec<f64> {
        let seconds = active(self.strip.from, self.strip.until, &self.strip.breaks);
        let steps = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0];
        let step = steps.into_iter().find(|step| seconds / step <= 16.0).unwrap_or(600.0);
        let mut at = (self.strip.from / step).ceil() * step;
        let mut all = Vec::new();
        while at <= self.strip.until && all.len() < 200 {
            let in_break = self.strip.breaks.iter().any(|(begin, end)| *begin < at && at < *end);
            if !in_break {
                all.push(at);
            }
            at += step;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_window_is_one_strip() {
        let strips = strips(-5.0, 25.0, &[0.0, 5.0, 13.0, 20.0], &[0.0]);
        assert_eq!(strips.len(), 1);
        assert_eq!(strips[0].breaks, []);
    }

    #[test]
    fn a_quiet_stretch_becomes_a_break() {
        let strips = strips(-3.0, 60.0, &[0.0, 5.0, 55.0], &[0.0]);
        assert_eq!(strips.len(), 1);
        assert_eq!(strips[0].breaks, [(7.0, 53.0)]);
    }

    #[test]
    fn strips_cover_the_window_without_overlap() {
        let moments: Vec<f64> = (0..1800).map(f64::from).collect();
        let chapters: Vec<f64> = (0..30).map(|chapter| f64::from(chapter) * 60.0).collect();
        let strips = strips(-5.0, 1800.0, &moments, &chapters);
        assert!(strips.len() > 3 && strips.len() <= STRIPS * 2, "{}", strips.len());
        assert_eq!((strips[0].from, strips.last().unwrap().until), (-5.0, 1800.0));
        for pair in strips.windows(2) {
            assert!((pair[0].until - pair[1].from).abs() < 1e-9, "{pair:?}");
        }
    }

    #[test]
    fn order_is_kept_on_the_axis_and_its_ends_are_the_edges() {
        let strip = Strip { from: -2.0, until: 100.0, breaks: vec![(10.0, 90.0)] };
        let axis = Axis::new(strip, 100.0, 1100.0);
        let places: Vec<f64> = (-4..=204).map(|half| axis.x(f64::from(half) / 2.0)).collect();
        assert!(places.windows(2).all(|pair| pair[0] <= pair[1]), "{places:?}");
        assert!((axis.x(-2.0) - 100.0).abs() < 1e-9 && (axis.x(100.0) - 1100.0).abs() < 1e-9);
        assert!((axis.x(90.0) - axis.x(10.0) - BREAK).abs() < 1e-6);
    }

    #[test]
    fn the_scale_has_no_mark_inside_a_break() {
        let strip = Strip { from: 0.0, until: 100.0, breaks: vec![(10.5, 90.5)] };
        let ticks = Axis::new(strip, 0.0, 1000.0).ticks();
        assert!(ticks.iter().all(|at| *at <= 10.5 || *at >= 90.5), "{ticks:?}");
        assert!(ticks.len() >= 5, "{ticks:?}");
    }
}
