//! The percentile plot: response and service time over ever rarer requests; queueing makes the gap.
//!
//! Owns the two scales (x by the logarithm of 1 / (1 - q), y by the logarithm of time), the rule that
//! a curve ends where fewer than ten samples lie beyond it, and what is said of the gap.

use ratatui::layout::Rect;
use timeline::snapshot::{CURVE_POINTS, Snapshot, curve_quantile};

use crate::canvas::Canvas;
use crate::figures;
use crate::layout;
use crate::theme::Role;

/// Least samples beyond a quantile for it to be drawn; fewer say little about it.
const LEAST_BEYOND: f64 = 10.0;
/// Quantiles of the x axis, with their names.
const MARKS: [(f64, &str); 5] = [(0.5, "50"), (0.9, "90"), (0.99, "99"), (0.999, "99.9"), (0.9999, "99.99")];
/// Marks in the order in which their gap is told where there is no room for all.
const TELLING: [usize; 5] = [2, 0, 3, 4, 1];
/// Columns for time labels.
const LABEL: u16 = 8;

/// Place of a quantile on the x axis: 0 at the median.
fn place(q: f64) -> f64 {
    (0.5 / (1.0 - q)).log10()
}

/// The points of a curve that enough samples support: place and nanoseconds.
fn points(count: u64, curve: &[f64]) -> Vec<(f64, f64)> {
    // 10,000 samples are to support the quantile beyond which 10 lie, whatever `1.0 - q` is rounded to.
    let supported = |q: f64| count as f64 * (1.0 - q) >= LEAST_BEYOND * (1.0 - 1e-9);
    let all = (0..CURVE_POINTS).map(curve_quantile).zip(curve);
    all.filter(|(q, v)| supported(*q) && v.is_finite() && **v > 0.0).map(|(q, v)| (place(q), *v)).collect()
}

/// Nanoseconds at `x`, between two points by the logarithm; none beyond the curve.
fn at(points: &[(f64, f64)], x: f64) -> Option<f64> {
    let i = points.partition_point(|p| p.0 <= x + 1e-9).checked_sub(1)?;
    let (x0, v0) = points[i];
    match points.get(i + 1) {
        Some(&(x1, v1)) => Some((v0.ln() + (v1.ln() - v0.ln()) * (x - x0) / (x1 - x0)).exp()),
        None => (x <= x0 + 1e-9).then_some(v0),
    }
}

/// Draws both curves with what lies between them, their scales, a legend and what the gap comes to.
pub(crate) fn draw(canvas: &mut Canvas<'_>, area: Rect, s: &Snapshot) {
    let (area, told) = layout::bottom(area, 1);
    let (area, legend) = layout::bottom(area, 1);
    let (area, axis) = layout::bottom(area, 1);
    let (_, plot) = layout::left(area, LABEL);
    if plot.is_empty() {
        return;
    }
    let curves = [points(s.response.count, &s.curves.response), points(s.service.count, &s.curves.service)];
    let values = || curves.iter().flatten().map(|p| p.1);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    if !low.is_finite() {
        canvas.pieces(layout::row(area, 0), &[("too few samples for a curve", Role::Dim)]);
        return;
    }
    scales(canvas, area, axis, low, high);
    for x in 0..plot.width {
        let rows = curves
            .each_ref()
            .map(|c| at(c, x_value(x, plot.width)).map(|v| y_row(v, low, high, plot.height)));
        curve_column(canvas, plot, x, rows);
    }
    let [r, s, _] = canvas.theme.glyphs().curves;
    let gap = canvas.theme.glyphs().gap;
    let ended = if curves[0].len() < CURVE_POINTS { "  rarer: too few" } else { "" };
    let text = [r, " response  ", s, " service", "  ", gap, " gap", ended];
    let roles =
        [Role::Curve, Role::Text, Role::SecondCurve, Role::Text, Role::Dim, Role::Dim, Role::Text, Role::Dim];
    let pieces: Vec<(&str, Role)> = text.into_iter().zip(roles).collect();
    canvas.pieces(legend, &pieces);
    tell(canvas, told, &gaps(&curves));
}

/// By how much response time is longer than service time at each of the marks that both curves reach: name and nanoseconds.
fn gaps(curves: &[Vec<(f64, f64)>; 2]) -> Vec<Option<(&'static str, f64)>> {
    let gap = |(q, name): (f64, &'static str)| {
        let [response, service] = curves.each_ref().map(|c| at(c, place(q)));
        Some((name, (response? - service?).max(0.0)))
    };
    MARKS.into_iter().map(gap).collect()
}

/// `response - service: p50 600 us p99 42.0 ms`: as many of the gaps as there is room for, the most telling ones first. A difference of
/// two percentiles is no percentile of the time in queues, and is not called one.
fn tell(canvas: &mut Canvas<'_>, row: Rect, gaps: &[Option<(&'static str, f64)>]) {
    const HEAD: &str = "response - service:";
    let text = |i: usize| gaps.get(i).copied().flatten().map(|(q, ns)| format!(" p{q} {}", figures::ns(ns)));
    let mut used = HEAD.len();
    let mut told: Vec<(usize, String)> = Vec::new();
    for (i, text) in TELLING.into_iter().filter_map(|i| Some((i, text(i)?))) {
        if used + text.len() <= usize::from(row.width) {
            used += text.len();
            told.push((i, text));
        }
    }
    told.sort_by_key(|(i, _)| *i);
    let mut pieces = vec![(HEAD, Role::Text)];
    pieces.extend(told.iter().map(|(_, text)| (text.as_str(), Role::Strong)));
    canvas.pieces(row, &pieces);
}

fn curve_column(canvas: &mut Canvas<'_>, plot: Rect, x: u16, rows: [Option<u16>; 2]) {
    let [r, s, both] = canvas.theme.glyphs().curves;
    let gap = canvas.theme.glyphs().gap;
    let [first, second, between] =
        [Role::Curve, Role::SecondCurve, Role::Dim].map(|role| canvas.theme.style(role));
    let x = plot.x.saturating_add(x);
    if let [Some(a), Some(b)] = rows {
        for y in a.min(b)..a.max(b) {
            canvas.glyph(x, plot.y.saturating_add(y), gap, between);
        }
    }
    if let Some(row) = rows[1] {
        canvas.glyph(x, plot.y.saturating_add(row), s, second);
    }
    if let Some(row) = rows[0] {
        let glyph = if rows[1] == Some(row) { both } else { r };
        canvas.glyph(x, plot.y.saturating_add(row), glyph, first);
    }
}

fn x_value(x: u16, width: u16) -> f64 {
    let end = place(MARKS[MARKS.len() - 1].0);
    f64::from(x) / f64::from(width.saturating_sub(1).max(1)) * end
}

/// Row of a value, from the top.
fn y_row(v: f64, low: f64, high: f64, height: u16) -> u16 {
    let span = (high / low).ln();
    let share = if span > 0.0 { (v / low).ln() / span } else { 0.0 };
    let rows = f64::from(height.saturating_sub(1));
    ((1.0 - share.clamp(0.0, 1.0)) * rows).round() as u16
}

fn scales(canvas: &mut Canvas<'_>, area: Rect, axis: Rect, low: f64, high: f64) {
    let (label, plot) = layout::left(area, LABEL);
    let narrower = |r: Rect| Rect { width: r.width.saturating_sub(1), ..r };
    canvas.right(narrower(layout::row(label, 0)), &figures::ns(high), Role::Dim);
    let last = label.height.saturating_sub(1);
    if last > 2 {
        canvas.right(narrower(layout::row(label, last / 2)), &figures::ns((high * low).sqrt()), Role::Dim);
    }
    if last > 0 {
        canvas.right(narrower(layout::row(label, last)), &figures::ns(low), Role::Dim);
    }
    let end = place(MARKS[MARKS.len() - 1].0);
    // From the rarest on: a name for which there is no room before the next one is left out.
    let mut free = plot.width;
    for (q, name) in MARKS.into_iter().rev() {
        let width = name.len() as u16;
        let x = (place(q) / end * f64::from(plot.width.saturating_sub(1))).round() as u16;
        // The last name ends at the right edge instead of beginning there.
        let x = x.min(plot.width.saturating_sub(width));
        if x.saturating_add(width) <= free {
            canvas.text(plot.x.saturating_add(x), axis.y, width, name, Role::Dim);
            free = x.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve() -> Vec<f64> {
        (0..CURVE_POINTS).map(|i| 1e6 + i as f64 * 1e5).collect()
    }

    #[test]
    fn a_curve_ends_where_too_few_samples_lie_beyond() {
        let last = |count| points(count, &curve()).last().map(|p| p.0);
        assert!(last(100_000).is_some_and(|x| (x - place(0.9999)).abs() < 1e-9));
        assert!(last(10_000).is_some_and(|x| (x - place(0.999)).abs() < 1e-9));
        assert!(last(9_999).is_some_and(|x| x < place(0.999) - 1e-9));
        assert_eq!(last(19), None);
        assert_eq!(at(&points(9_999, &curve()), place(0.999)), None);
        assert!(at(&points(9_999, &curve()), 0.0).is_some_and(|v| (v - 1e6).abs() < 1.0));
    }

    #[test]
    fn the_gap_is_told_where_both_curves_reach_and_is_never_less_than_nothing() {
        let slower: Vec<f64> = curve().iter().map(|v| v * 3.0).collect();
        let both = [points(10_000, &slower), points(1_000, &curve())];
        let told = gaps(&both);
        assert_eq!(told.iter().flatten().map(|(q, _)| *q).collect::<Vec<_>>(), ["50", "90", "99"]);
        assert!(told[0].is_some_and(|(_, ns)| (ns - 2e6).abs() < 1.0));
        assert!(gaps(&[both[1].clone(), both[0].clone()]).iter().flatten().all(|(_, ns)| *ns == 0.0));
    }
}
