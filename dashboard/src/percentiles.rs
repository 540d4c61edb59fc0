//! The percentile plot: response and service time over ever rarer requests; the gap is queueing.
//!
//! Owns the two scales (x by the logarithm of 1 / (1 - q), y by the logarithm of time) and the rule that
//! a curve ends where fewer than ten samples lie beyond it.

use ratatui::layout::Rect;
use timeline::snapshot::Percentiles;

use crate::canvas::Canvas;
use crate::figures;
use crate::layout;
use crate::theme::Role;

/// Least samples beyond a quantile for it to be drawn; fewer say little about it.
const LEAST_BEYOND: f64 = 10.0;
/// Quantiles of the x axis, with their names.
const MARKS: [(f64, &str); 4] = [(0.5, "50"), (0.9, "90"), (0.99, "99"), (0.999, "99.9 %")];
/// Columns for time labels.
const LABEL: u16 = 8;

/// Place of a quantile on the x axis: 0 at the median.
fn place(q: f64) -> f64 {
    (0.5 / (1.0 - q)).log10()
}

/// The points of a curve that enough samples support: place and nanoseconds.
fn points(p: &Percentiles) -> Vec<(f64, f64)> {
    let values = [p.p50, p.p90, p.p99, p.p999];
    let supported = |q: f64| p.count as f64 * (1.0 - q) >= LEAST_BEYOND;
    let marks = MARKS.iter().zip(values).filter(|((q, _), v)| supported(*q) && v.is_finite() && *v > 0.0);
    marks.map(|((q, _), v)| (place(*q), v)).collect()
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

/// Draws both curves with their scales and a legend.
pub(crate) fn draw(canvas: &mut Canvas<'_>, area: Rect, response: &Percentiles, service: &Percentiles) {
    let (area, legend) = layout::bottom(area, 1);
    let (area, axis) = layout::bottom(area, 1);
    let (_, plot) = layout::left(area, LABEL);
    if plot.is_empty() {
        return;
    }
    let curves = [points(response), points(service)];
    let values = || curves.iter().flatten().map(|p| p.1);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let [r, s, _] = canvas.theme.glyphs().curves;
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
    let ended = if curves[0].len() < MARKS.len() { "  (rarer: too few samples)" } else { "" };
    let text = [r, " response  ", s, " service", ended];
    let roles = [Role::Curve, Role::Text, Role::SecondCurve, Role::Text, Role::Dim];
    canvas.pieces(legend, &[0, 1, 2, 3, 4].map(|i| (text[i], roles[i])));
}

fn curve_column(canvas: &mut Canvas<'_>, plot: Rect, x: u16, rows: [Option<u16>; 2]) {
    let [r, s, both] = canvas.theme.glyphs().curves;
    let styles = [Role::Curve, Role::SecondCurve].map(|role| canvas.theme.style(role));
    let x = plot.x.saturating_add(x);
    if let Some(row) = rows[1] {
        canvas.glyph(x, plot.y.saturating_add(row), s, styles[1]);
    }
    if let Some(row) = rows[0] {
        let glyph = if rows[1] == Some(row) { both } else { r };
        canvas.glyph(x, plot.y.saturating_add(row), glyph, styles[0]);
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
    for (q, name) in MARKS {
        let x = (place(q) / end * f64::from(plot.width.saturating_sub(1))).round() as u16;
        // The last name ends at the right edge instead of beginning there.
        let x = x.min(plot.width.saturating_sub(name.len() as u16));
        canvas.text(plot.x.saturating_add(x), axis.y, name.len() as u16, name, Role::Dim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_ends_where_too_few_samples_lie_beyond() {
        let p = |count| Percentiles { count, p50: 1e6, p90: 2e6, p99: 4e6, p999: 8e6, max: 9e6 };
        assert_eq!(points(&p(10_000)).len(), 4);
        assert_eq!(points(&p(9_999)).len(), 3);
        assert_eq!(points(&p(19)).len(), 0);
        assert_eq!(at(&points(&p(9_999)), place(0.999)), None);
        assert!(at(&points(&p(9_999)), 0.0).is_some_and(|v| (v - 1e6).abs() < 1.0));
    }
}
