//! What the plan asks for and who carries it out: phases with their load, kinds of sessions; two tables of the view of sessions.
//!
//! Owns how a phase's planned load reads, and which phases are shown where there are more than rows.

use ratatui::layout::Rect;
use timeline::Unit;
use timeline::facts::{LoadModel, PhaseFacts};
use timeline::snapshot::Snapshot;

use crate::canvas::Canvas;
use crate::figures;
use crate::layout;
use crate::table::{self, Row, figure, words};
use crate::theme::Role;

/// From this width on there is room for more than the bare names.
const ROOMY: u16 = 70;

/// Names of the load models, with the unit of their load.
fn model(model: LoadModel) -> (&'static str, Unit) {
    match model {
        LoadModel::Sessions => ("sessions", Unit::Count),
        LoadModel::Arrivals => ("arrivals", Unit::PerSecond),
        LoadModel::Requests => ("requests", Unit::PerSecond),
        LoadModel::Watch => ("no load", Unit::Count),
    }
}

/// `8.10k`, or `0-8.10k` where the load changes from the phase's start to its end.
fn amount(phase: &PhaseFacts) -> String {
    let (_, unit) = model(phase.model);
    match phase.model {
        LoadModel::Watch => String::new(),
        _ if phase.from == phase.to => unit.show(phase.to),
        _ => format!("{}-{}", unit.show(phase.from).trim_end_matches("/s"), unit.show(phase.to)),
    }
}

/// The phase that is now; before the first and after the last none is.
fn current(s: &Snapshot) -> Option<usize> {
    s.run.phase.as_ref().and_then(|(_, number, _)| number.checked_sub(1)).filter(|i| *i < s.phases.len())
}

/// Rows that the phases take, their heading among them.
pub(super) fn rows(s: &Snapshot) -> u16 {
    u16::try_from(s.phases.len().max(s.kinds.len()).max(1)).unwrap_or(u16::MAX).saturating_add(2)
}

/// Phases with their spans and planned loads; the one that is now is always among them.
pub(super) fn phases(canvas: &mut Canvas<'_>, area: Rect, s: &Snapshot) {
    let now = current(s);
    let roomy = area.width >= ROOMY;
    let texts: Vec<[String; 5]> =
        s.phases.iter().enumerate().map(|(i, p)| cells(p, now == Some(i), roomy)).collect();
    let widest =
        |i: usize, least: u16| texts.iter().map(|cells| canvas.width_of(&cells[i])).fold(least, u16::max);
    let columns = [
        words("", 3),
        words("phase", if roomy { 16 } else { 9 }),
        // Figures are never cut: these are as wide as their widest.
        words("from, to", widest(2, 11)),
        figure("load", widest(3, 6)),
        words("", 0),
    ];
    let shown = usize::from(area.height.saturating_sub(2)).max(1);
    let first = table::offset(now.unwrap_or(0), texts.len(), shown);
    let note = match texts.len() {
        n if n > shown => format!("{}-{} of {n}", first + 1, (first + shown).min(n)),
        _ => "as planned".to_owned(),
    };
    canvas.heading(layout::row(area, 0), "phases", &note);
    let role = |i: usize| match now {
        Some(now) if i == now => Role::Strong,
        Some(now) if i < now => Role::Dim,
        _ => Role::Text,
    };
    let rows: Vec<Row> = texts
        .into_iter()
        .enumerate()
        .skip(first)
        .take(shown)
        .map(|(i, cells)| Row { cells: cells.into(), role: role(i) })
        .collect();
    table::draw_or(canvas, layout::top(area, 1).1, &columns, &rows, None, "no phases are planned");
}

/// Mark, name, span, load and its model.
fn cells(phase: &PhaseFacts, now: bool, roomy: bool) -> [String; 5] {
    let mark = if now { "now" } else { "" };
    let (word, _) = model(phase.model);
    let left_out = if phase.warmup && roomy { ", left out of figures" } else { "" };
    let span = format!("{}-{}", phase.span.start, phase.span.end);
    [mark.to_owned(), phase.name.clone(), span, amount(phase), format!("{word}{left_out}")]
}

/// Kinds of sessions: how many are open, and how many have begun and come to their end.
pub(super) fn kinds(canvas: &mut Canvas<'_>, area: Rect, s: &Snapshot) {
    let columns = [words("kind", 0), figure("open", 6), figure("started", 7), figure("ended", 6)];
    let silent = figures::silent_load(s).map(|age| format!("silent {age}"));
    canvas.heading(layout::row(area, 0), "session kinds", silent.as_deref().unwrap_or_default());
    let rows: Vec<Row> = s
        .kinds
        .iter()
        .map(|k| {
            // Those that have ended are the started ones that are not open: while that is not known, neither is this.
            let known = |n| if silent.is_some() { figures::NONE.to_owned() } else { figures::count(n) };
            Row::text(vec![k.name.clone(), known(k.open), figures::count(k.started), known(k.ended)])
        })
        .collect();
    table::draw_or(canvas, layout::top(area, 1).1, &columns, &rows, None, "none has started");
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeline::{RunTime, Span};

    #[test]
    fn a_load_reads_as_it_was_planned() {
        let phase = |model, from, to| PhaseFacts {
            name: "rush".into(),
            span: Span::new(RunTime::ZERO, RunTime::from_ms(90_000)),
            warmup: false,
            model,
            from,
            to,
        };
        let told = |model, from, to| amount(&phase(model, from, to));
        assert_eq!(told(LoadModel::Sessions, 0.0, 8_100.0), "0-8.10k");
        assert_eq!(told(LoadModel::Arrivals, 10.0, 4_000.0), "10-4.00k/s");
        assert_eq!(told(LoadModel::Requests, 250.0, 250.0), "250/s");
        assert_eq!(told(LoadModel::Watch, 0.0, 0.0), "");
        assert_eq!(cells(&phase(LoadModel::Sessions, 1.0, 1.0), true, false)[2], "00:00-01:30");
    }
}
