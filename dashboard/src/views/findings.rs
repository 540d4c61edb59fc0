//! Findings: the list, and one of them with its evidence, advice and the tree of causes.
//!
//! Owns how a finding reads. The order is the diagnosis's: cause before consequence, worst first.

use ratatui::layout::Rect;
use timeline::Finding;
use timeline::finding::Evidence;

use super::Scene;
use crate::app::View;
use crate::canvas::Canvas;
use crate::figures;
use crate::layout::{self, SizeClass};
use crate::table::{self, wrap};
use crate::theme::Role;

/// Share of the body that the list takes above the detail, in the view of findings.
const LIST_ROWS: u16 = 7;
/// From this width on a row has room for a figure.
const ROOM_FOR_EVIDENCE: u16 = 78;
/// Deepest tree of causes that is drawn; a longer chain is cut, so that a circle cannot hold the screen.
const DEEPEST: usize = 6;

/// All findings that pass the filter.
fn rows<'a>(scene: &Scene<'a>) -> Vec<&'a Finding> {
    let text =
        |f: &Finding| format!("{} {} {} {}", f.id, figures::finding_title(f), f.severity.name(), f.claim);
    scene.snapshot.findings.iter().filter(|f| scene.model.passes(&text(f))).collect()
}

/// Those that are said to be there.
fn seen<'a>(scene: &Scene<'a>) -> Vec<&'a Finding> {
    figures::seen(scene.snapshot).collect()
}

/// What the list of the view on the screen holds; none in a view without findings.
pub(super) fn listed<'a>(scene: &Scene<'a>) -> Vec<&'a Finding> {
    match scene.model.view {
        View::Overview => seen(scene),
        View::Findings => rows(scene),
        _ => Vec::new(),
    }
}

/// The view: list above, detail below; the detail alone once it was opened, or where the room is small.
pub(super) fn draw(canvas: &mut Canvas<'_>, body: Rect, scene: &Scene<'_>) {
    let all = rows(scene);
    let selected = scene.model.row_in(View::Findings, &all).min(all.len().saturating_sub(1));
    if let (Some(first), Some(finding)) = (scene.model.detail, all.get(selected)) {
        canvas.heading(layout::row(body, 0), &format!("finding {}", finding.id), "j k scroll, Esc back");
        detail(canvas, layout::top(body, 1).1, scene, finding, first);
        return;
    }
    let list_rows =
        if scene.size == SizeClass::Narrow { body.height } else { LIST_ROWS.max(body.height / 4) };
    let (list, below) = layout::top(body, list_rows);
    let note = format!("{} in all, cause before consequence", all.len());
    canvas.heading(layout::row(list, 0), "findings", &note);
    lines(canvas, layout::top(list, 1).1, &all, Some(selected));
    if let Some(finding) = all.get(selected).filter(|_| below.height > 1) {
        canvas.heading(layout::row(below, 0), &format!("finding {}", finding.id), "Enter shows it alone");
        detail(canvas, layout::top(below, 1).1, scene, finding, 0);
    }
}

/// The list of the overview.
pub(super) fn list(canvas: &mut Canvas<'_>, area: Rect, scene: &Scene<'_>) {
    let seen = seen(scene);
    let note = if seen.is_empty() { "" } else { "cause before consequence, Enter to inspect" };
    canvas.heading(layout::row(area, 0), "findings", note);
    lines(canvas, layout::top(area, 1).1, &seen, selection(scene, &seen));
}

/// The list of the overview, with the selected finding's sentence and figures below it.
pub(super) fn list_with_detail(canvas: &mut Canvas<'_>, area: Rect, scene: &Scene<'_>) {
    let seen = seen(scene);
    let rows = u16::try_from(seen.len()).unwrap_or(u16::MAX).clamp(1, (area.height / 3).max(1));
    let (top, below) = layout::top(area, rows.saturating_add(1));
    list(canvas, top, scene);
    if let Some(finding) = selection(scene, &seen).and_then(|i| seen.get(i)) {
        detail(canvas, layout::top(below, 1).1, scene, finding, 0);
    }
}

/// The newest finding in two lines, where there is no room for more.
pub(super) fn brief(canvas: &mut Canvas<'_>, area: Rect, scene: &Scene<'_>) {
    let seen = seen(scene);
    let Some(finding) = selection(scene, &seen).and_then(|i| seen.get(i)) else {
        canvas.pieces(layout::row(area, 0), &[("no finding so far", Role::Dim)]);
        return;
    };
    let role = figures::severity_role(finding.severity);
    let head = format!("{} {} ", finding.severity.glyph(), finding.id);
    canvas.pieces(layout::row(area, 0), &[(&head, role), (&figures::finding_title(finding), Role::Strong)]);
    for (i, line) in wrap(&finding.claim, area.width).iter().enumerate().take(usize::from(area.height)) {
        canvas.pieces(layout::row(area, i as u16 + 1), &[(line, Role::Text)]);
    }
}

fn selection(scene: &Scene<'_>, seen: &[&Finding]) -> Option<usize> {
    let i = scene.model.row_in(View::Overview, seen);
    (!seen.is_empty()).then(|| i.min(seen.len() - 1))
}

fn lines(canvas: &mut Canvas<'_>, area: Rect, findings: &[&Finding], selected: Option<usize>) {
    if findings.is_empty() {
        canvas.pieces(layout::row(area, 0), &[(" none so far", Role::Dim)]);
        return;
    }
    table::scroll(canvas, area, findings, selected, |canvas, row, finding| line(canvas, row, finding));
}

/// One finding on one line: severity as glyph and word, identity, what and since when.
fn line(canvas: &mut Canvas<'_>, row: Rect, f: &Finding) {
    let (_, row) = layout::left(row, 1);
    let role = if figures::is_seen(f) { figures::severity_role(f.severity) } else { Role::Dim };
    let severity = format!("{:<2} {:<8} ", f.severity.glyph(), f.severity.name());
    let id = format!("{:<3} ", f.id);
    let onset = format!("{}  ", f.onset);
    let mut pieces = vec![
        (severity, role),
        (id, Role::Dim),
        (onset, Role::Text),
        (figures::finding_title(f), Role::Strong),
    ];
    pieces.push((format!("  {}", f.status.name()), Role::Dim));
    if let Some(ended) = f.ended {
        pieces.push((format!(" until {ended}"), Role::Dim));
    }
    if row.width >= ROOM_FOR_EVIDENCE {
        let cause = f.caused_by.as_ref().map(|c| format!("  caused by {c}")).unwrap_or_default();
        let figure = f.evidence.first().map(|e| format!("  {}", e.text)).unwrap_or_default();
        pieces.push((cause, Role::Text));
        pieces.push((figure, Role::Dim));
    }
    canvas.pieces(row, &super::borrowed(&pieces));
}

/// Everything that is known of a finding, from its line `first` on.
fn detail(canvas: &mut Canvas<'_>, area: Rect, scene: &Scene<'_>, finding: &Finding, first: usize) {
    let text = detail_lines(scene, finding, area.width);
    let end = text.len().saturating_sub(usize::from(area.height).max(1));
    canvas.places.end = Some(end);
    let first = first.min(end);
    for (i, (line, role)) in text.iter().skip(first).take(usize::from(area.height)).enumerate() {
        canvas.pieces(layout::row(area, i as u16), &[(line, *role)]);
    }
}

fn detail_lines(scene: &Scene<'_>, f: &Finding, width: u16) -> Vec<(String, Role)> {
    let mut out: Vec<(String, Role)> = Vec::new();
    let inner = width.saturating_sub(2);
    let role = figures::severity_role(f.severity);
    let head = format!(
        "{} {}: {}, {}",
        f.severity.glyph(),
        f.severity.name(),
        figures::finding_title(f),
        f.status.name()
    );
    out.extend(wrap(&head, width).into_iter().map(|l| (l, role)));
    let ended = f.ended.map(|t| format!(", ended {t}")).unwrap_or_default();
    out.push((format!("from {}, found {}{ended}", f.onset, f.found_at), Role::Dim));
    out.extend(wrap(&f.claim, width).into_iter().map(|l| (l, Role::Text)));
    let mut section = |title: &str, texts: Vec<String>| {
        if texts.is_empty() {
            return;
        }
        out.push((title.to_owned(), Role::Strong));
        for text in texts {
            let lines = wrap(&text, inner);
            out.extend(
                lines
                    .into_iter()
                    .enumerate()
                    .map(|(i, l)| (format!("{}{l}", if i == 0 { "- " } else { "  " }), Role::Text)),
            );
        }
    };
    section("evidence", f.evidence.iter().map(evidence).collect());
    section("against it", f.contradicting.iter().map(evidence).collect());
    section("advice", f.advice.clone());
    section("to say more it would need", f.missing.clone());
    out.extend(tree(scene, f));
    out
}

fn evidence(e: &Evidence) -> String {
    format!("{} ({}, {} to {})", e.text, e.lane, e.span.start, e.span.end)
}

/// The chain of causes from the root down to this finding, then what it causes in turn.
fn tree(scene: &Scene<'_>, finding: &Finding) -> Vec<(String, Role)> {
    let all = &scene.snapshot.findings;
    let mut chain = vec![finding];
    while let Some(cause) = chain.last().and_then(|f| f.caused_by.as_ref()) {
        let next = all.iter().find(|f| f.id == *cause);
        match next {
            Some(next) if chain.len() < DEEPEST && !chain.iter().any(|f| f.id == next.id) => chain.push(next),
            _ => break,
        }
    }
    chain.reverse();
    let caused: Vec<&Finding> = all
        .iter()
        .filter(|f| f.caused_by.as_ref() == Some(&finding.id) && f.id != finding.id)
        .take(DEEPEST)
        .collect();
    if chain.len() == 1 && caused.is_empty() {
        return Vec::new();
    }
    let branch = scene.model.theme.glyphs().branch;
    let one = |depth: usize, f: &Finding| {
        let why =
            f.caused_by_reason.as_ref().filter(|_| depth > 0).map(|r| format!(": {r}")).unwrap_or_default();
        let lead = if depth == 0 { String::new() } else { format!("{}{branch} ", "   ".repeat(depth - 1)) };
        let role = if f.id == finding.id { Role::Strong } else { Role::Text };
        (format!("{lead}{} {}{why}", f.id, figures::finding_title(f)), role)
    };
    let mut out = vec![("cause and consequence".to_owned(), Role::Strong)];
    out.extend(chain.iter().enumerate().map(|(depth, f)| one(depth, f)));
    out.extend(caused.into_iter().map(|f| one(chain.len(), f)));
    out
}
