//! Text from the target never reaches the terminal as anything but text.

use dashboard::app::View;
use dashboard::plain::Plain;
use dashboard::theme::Palette;
use timeline::event::Event;
use timeline::finding::Evidence;
use timeline::snapshot::Snapshot;

use crate::{SIZES, buffer, fixture, model};

/// Clears the screen, sets a title, turns text round, rings the bell, ends the line.
const EVIL: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}\u{9b}31m\r\n\u{0}\u{8}\u{200f}";

fn harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn spoil(text: &mut String) {
    // In front, so that it is on the screen however little room there is.
    *text = format!("x{EVIL}{text}");
}

fn spoil_evidence(list: &mut [Evidence]) {
    list.iter_mut().for_each(|e| [&mut e.text, &mut e.lane].into_iter().for_each(spoil));
}

fn spoil_event(e: &mut Event) {
    // The kind's first part decides where it is shown: keep that.
    e.kind.push_str(EVIL);
    spoil(&mut e.instance);
    e.labels.iter_mut().for_each(|(name, value)| {
        spoil(name);
        spoil(value);
    });
}

/// The flash sale with something evil in every string that it has.
fn spoilt() -> Snapshot {
    let mut s = fixture::flash_sale(66);
    [&mut s.run.run_id, &mut s.run.scenario, &mut s.run.target].into_iter().for_each(spoil);
    s.run.phase.iter_mut().for_each(|p| spoil(&mut p.0));
    s.phases.iter_mut().for_each(|p| spoil(&mut p.name));
    s.kinds.iter_mut().for_each(|k| spoil(&mut k.name));
    s.steps.iter_mut().for_each(|x| spoil(&mut x.name));
    s.errors.iter_mut().for_each(|x| spoil(&mut x.0));
    // A pool finds its lanes by its name: spoil both alike.
    s.lanes.iter_mut().for_each(|l| {
        for family in ["pool.", "broker.", "downstream."] {
            l.name = l.name.replace(family, &format!("{family}x{EVIL}"));
        }
    });
    s.pools.iter_mut().for_each(|x| spoil(&mut x.name));
    s.caches.iter_mut().for_each(|x| {
        spoil(&mut x.name);
        x.worst_key.iter_mut().for_each(|k| spoil(&mut k.0));
    });
    s.events.iter_mut().for_each(spoil_event);
    for f in &mut s.findings {
        [&mut f.id, &mut f.subject, &mut f.claim].into_iter().for_each(spoil);
        spoil_evidence(&mut f.evidence);
        spoil_evidence(&mut f.contradicting);
        f.advice
            .iter_mut()
            .chain(&mut f.missing)
            .chain(&mut f.caused_by)
            .chain(&mut f.caused_by_reason)
            .for_each(spoil);
    }
    s.gates.iter_mut().for_each(|g| [&mut g.that, &mut g.figure].into_iter().for_each(spoil));
    s.processes.iter_mut().for_each(|p| p.name.push_str(EVIL));
    s.sources.iter_mut().for_each(|x| [&mut x.name, &mut x.state].into_iter().for_each(spoil));
    s.log.iter_mut().for_each(|l| spoil(&mut l.text));
    s
}

#[test]
fn no_cell_of_any_view_holds_a_control_character() {
    let live = spoilt();
    for view in View::ALL {
        for (_, width, height) in SIZES.into_iter().chain([("huge", 200, 60)]) {
            for (ascii, detail) in [(false, None), (true, Some(0))] {
                let mut model = model(Palette::True, ascii);
                (model.view, model.detail) = (*view, detail);
                model.filter = EVIL.chars().take(0).collect();
                model.notice = (view == &View::Log).then(|| EVIL.to_owned());
                let buffer = buffer(&model, &live, width, height);
                for cell in buffer.content() {
                    assert!(!cell.symbol().chars().any(harmful), "{view:?}: {:?}", cell.symbol());
                }
            }
        }
    }
}

#[test]
fn the_spoilt_text_is_really_drawn() {
    // Otherwise the test above would prove nothing.
    let mut model = model(Palette::None, false);
    model.view = View::Findings;
    let text = crate::rows(&buffer(&model, &spoilt(), 200, 60)).join("\n");
    assert!(text.contains("x\u{fffd}[2J\u{fffd}]0;owned"), "{text}");
}

#[test]
fn no_plain_line_holds_a_control_character() {
    let mut plain = Plain::new();
    let mut live = spoilt();
    live.sources.iter_mut().for_each(|s| s.age_ns = Some(9_000_000_000));
    let lines = plain.lines(&live);
    assert!(lines.len() > 5, "{lines:?}");
    for line in lines {
        assert!(!line.chars().any(harmful), "{line:?}");
    }
}
