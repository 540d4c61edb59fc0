//! The load of a phase in words: its course, then its rules.

use crate::plan::{Leg, Of, Phase, Rules, Turns};
use crate::text::quantity::{show_dist, show_duration};

/// Most legs that are written out; of more only the number is said.
const LEGS_SHOWN: usize = 8;

/// `10/s to 50/s sessions arrive, linear`.
pub(super) fn show(phase: &Phase) -> String {
    let (what, rate) = match phase.model.of() {
        Of::Sessions => ("sessions held", ""),
        Of::Arrivals => ("sessions arrive", "/s"),
        Of::Requests => ("single passes", "/s"),
    };
    let legs = phase.model.legs(phase.length_ns);
    let mut out = match legs.as_slice() {
        [leg] if leg.from == leg.to => format!("{}{rate} {what}", leg.from),
        [leg] => format!("{}{rate} to {}{rate} {what}, linear", leg.from, leg.to),
        legs => {
            let mut shown: Vec<_> = legs.iter().take(LEGS_SHOWN).map(|l| show_leg(*l, rate)).collect();
            if legs.len() > LEGS_SHOWN {
                shown.push(format!("{} more", legs.len() - LEGS_SHOWN));
            }
            format!("{} {what}", shown.join(", then "))
        }
    };
    for rule in show_rules(phase.model.rules()) {
        out += &format!("; {rule}");
    }
    out
}

fn show_leg(leg: Leg, rate: &str) -> String {
    let to = if leg.from == leg.to { String::new() } else { format!(" to {}{rate}", leg.to) };
    format!("{}{rate}{to} for {}", leg.from, show_duration(leg.length_ns))
}

fn show_rules(rules: Rules) -> Vec<String> {
    let turns = rules.turns.map(|turns| match turns {
        Turns::Each(n) => format!("each place does {n} passes, then stays empty"),
        Turns::Shared(n) => format!("{n} passes in all, then the places stay empty"),
    });
    let most = rules.max_sessions.map(|n| format!("at most {n} open, the rest is dropped"));
    let life = rules.lifetime.map(|d| format!("a session is replaced after {}", show_dist(d)));
    let down = rules
        .ramp_down_ns
        .map(|ns| format!("one that is let go may finish its turn within {}", show_duration(ns)));
    let chance = rules.random.then(|| "at random (Poisson)".to_owned());
    [chance, turns, most, life, down].into_iter().flatten().collect()
}
