//! Response times: the heatmap in full, the percentile plot, gates.

use ratatui::layout::Rect;
use timeline::snapshot::{GateView, Percentiles};

use super::Scene;
use crate::canvas::Canvas;
use crate::figures;
use crate::lanes;
use crate::layout::{self, SizeClass};
use crate::table::{self, Row, figure, words};
use crate::theme::Role;
use crate::{heatmap, percentiles};

/// Width of the table of figures beside the percentile plot: every column, since no quantile stands without its count.
const FIGURES: u16 = 48;

/// Draws it.
pub(super) fn draw(canvas: &mut Canvas<'_>, body: Rect, scene: &Scene<'_>) {
    let s = scene.snapshot;
    let (upper, lower) = match scene.size {
        SizeClass::Narrow | SizeClass::TooSmall => layout::top(body, body.height.saturating_sub(3)),
        SizeClass::Standard | SizeClass::Wide => layout::top(body, body.height / 2),
    };
    let axis = scene.axis(upper);
    let (head, rest) = layout::top(upper, 1);
    canvas.heading(head, "response time, log scale, darker = more", &axis.scale_text());
    let (heat, time) = layout::bottom(rest, 1);
    heatmap::draw(canvas, heat, &axis, s);
    lanes::time_row(canvas, time, &axis, s);
    if scene.size == SizeClass::Narrow {
        quantiles(canvas, lower, scene);
        return;
    }
    let (plot, right) = layout::split_right(lower, FIGURES);
    let plot = Rect { width: plot.width.saturating_sub(1), ..plot };
    canvas.heading(layout::row(plot, 0), "percentiles", "queueing makes the gap");
    percentiles::draw(canvas, layout::top(plot, 1).1, s);
    let (upper, lower) = layout::top(right, 5);
    canvas.heading(layout::row(upper, 0), "figures", "warm-up left out");
    quantiles(canvas, layout::top(upper, 1).1, scene);
    let shown = usize::from(lower.height.saturating_sub(1));
    canvas.heading(layout::row(lower, 0), "gates", &table::shown_of(shown, s.gates.len()));
    gates(canvas, layout::top(lower, 1).1, &s.gates);
}

/// Quantiles of both times, never without their count.
fn quantiles(canvas: &mut Canvas<'_>, area: Rect, scene: &Scene<'_>) {
    let s = scene.snapshot;
    let columns = [
        words("", 8),
        figure("p50", 7),
        figure("p99", 7),
        figure("p99.9", 7),
        figure("max", 7),
        figure("n", 5),
    ];
    let row = |name: &str, p: &Percentiles| {
        Row::text(vec![
            name.to_owned(),
            figures::quantile(p, |p| p.p50),
            figures::quantile(p, |p| p.p99),
            figures::quantile(p, |p| p.p999),
            figures::quantile(p, |p| p.max),
            figures::count(p.count),
        ])
    };
    // The last five seconds come last: on a small screen the run's own figures matter more.
    let rows = [row("response", &s.response), row("service", &s.service), row("last 5 s", &s.recent)];
    table::draw(canvas, area, &columns, &rows, None);
}

fn gates(canvas: &mut Canvas<'_>, area: Rect, gates: &[GateView]) {
    if gates.is_empty() {
        canvas.pieces(layout::row(area, 0), &[("none", Role::Dim)]);
    }
    for (i, gate) in gates.iter().enumerate() {
        let (word, role) = match gate.holds {
            Some(true) => ("holds", Role::Text),
            Some(false) => ("FAILS", Role::Critical),
            None => ("open ", Role::Dim),
        };
        let row = layout::row(area, u16::try_from(i).unwrap_or(u16::MAX));
        let figure = if gate.figure.is_empty() { figures::NONE } else { &gate.figure };
        let (row, right) =
            layout::split_right(row, canvas.width_of(figure).saturating_add(1).min(row.width / 2));
        canvas.pieces(row, &[(word, role), (" ", Role::Dim), (&gate.that, Role::Text)]);
        canvas.right(right, figure, Role::Strong);
    }
}
