//! Findings that begin together and may each have set off the next one: one of them is told as what began.

use crate::world::process::run;
use crate::world::{find, told};
use timeline::FindingKind;
use timeline::event::kinds;

#[test]
fn of_findings_that_go_round_in_a_circle_one_is_the_root() {
    let d = run(1, 24, |tick, process, t, dice| {
        if t < 10_000 {
            return;
        }
        // A task puts itself first: wakes are late, and nearly nothing is answered.
        tick.busy = if dice.unit() < 0.7 { 1.0 } else { dice.between(0.35, 0.65) };
        tick.cpu = dice.between(0.47, 0.5);
        tick.late = (0..10).map(|_| dice.between(0.0, 25e3)).collect();
        tick.ended.retain(|e| e.0 == "/page");
        if dice.unit() < 0.6 {
            tick.request("/list", dice.between(600e3, 1_400e3));
        }
        // One process stands still twice a second, and holds a file whole, which it gives back for a moment each second.
        if process == 0 {
            if t % 500 == 0 {
                tick.pauses.push((kinds::PAUSE_HICCUP, t, t + 120));
            }
            if t % 1_000 != 900 {
                tick.used += 67e6;
            }
        }
    })
    .diagnose();
    let circle =
        [FindingKind::LoopStarved, FindingKind::LongPause, FindingKind::HeapBloat].map(|k| find(&d, k));
    let roots = circle.iter().filter(|f| f.caused_by.is_none()).count();
    assert_eq!(roots, 1, "{}", told(&d));
    // Whoever follows the causes comes to a root, and the story has each once, after its cause.
    for (i, f) in d.findings().iter().enumerate() {
        let before = &d.findings()[..i];
        assert!(f.caused_by.iter().all(|id| before.iter().any(|c| c.id == *id)), "{}", told(&d));
    }
}
