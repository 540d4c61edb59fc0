use super::*;
use crate::testing::plan_of;
use proptest::prelude::*;
use scenarios::plan::{Leg, Model, Of, Phase, Rules, Shape, Turns};

fn phase(model: Model, ms: u64) -> Phase {
    Phase { name: "p".into(), length_ns: ms * 1_000_000, model, warmup: false }
}

fn model() -> impl Strategy<Value = Model> {
    (0..3, 0.0..300.0f64, 0.0..300.0f64, any::<bool>()).prop_map(|(m, from, to, flat)| {
        let to = if flat { from } else { to };
        match m {
            0 => Model::Sessions { from: from.floor(), to: to.floor() },
            1 => Model::Arrivals { from, to },
            _ => Model::Requests { from, to },
        }
    })
}

/// Legs of any heights, evenly or at random; their lengths are set with the phase's.
fn shaped() -> impl Strategy<Value = Model> {
    let leg = (0.0..300.0f64, 0.0..300.0f64).prop_map(|(from, to)| Leg { length_ns: 0, from, to });
    let turns = prop_oneof![Just(None), Just(Some(Turns::Each(3)))];
    (0usize..3, prop::collection::vec(leg, 1..4), any::<bool>(), turns).prop_map(
        |(of, legs, random, turns)| {
            let of = [Of::Sessions, Of::Arrivals, Of::Requests][of];
            let rules = if of == Of::Sessions {
                Rules { turns, ..Rules::default() }
            } else {
                Rules { random, ..Rules::default() }
            };
            Model::Shaped(Box::new(Shape { of, legs, rules }))
        },
    )
}

/// Plans of every model there is.
fn any_phases() -> impl Strategy<Value = Vec<Phase>> {
    let any_model = prop_oneof![model(), shaped()];
    let phase = (any_model, 1..4000u64).prop_map(|(mut m, ms)| {
        if let Model::Shaped(shape) = &mut m {
            let count = shape.legs.len() as u64;
            shape.legs.iter_mut().for_each(|l| l.length_ns = ms * 1_000_000);
            return phase(m, ms * count);
        }
        phase(m, ms)
    });
    prop::collection::vec(phase, 1..5)
}

fn phases() -> impl Strategy<Value = Vec<Phase>> {
    prop::collection::vec((model(), 1..4000u64).prop_map(|(m, ms)| phase(m, ms)), 1..5)
}

fn all(phases: &[Phase], worker: u32, workers: u32) -> Vec<Planned> {
    let mut plan = plan_of(vec![]);
    plan.phases = phases.to_vec();
    Schedule::new(&plan, worker, workers).collect()
}

proptest! {
    #[test]
    fn arrivals_of_a_phase_match_its_integral(phases in phases()) {
        let planned = all(&phases, 0, 1);
        let mut start = 0;
        for p in &phases {
            let end = start + p.length_ns;
            let want = match p.model {
                Model::Sessions { .. } | Model::Shaped(_) => 0.0,
                Model::Arrivals { from, to } | Model::Requests { from, to } => {
                    (from + to) / 2.0 * p.length_ns as f64 / 1e9
                }
            };
            let got = planned
                .iter()
                .filter(|x| matches!(x.action, Action::Arrive { .. }) && start <= x.at && x.at < end)
                .count();
            prop_assert!((got as f64 - want).abs() <= 1.0, "{got} of {want}");
            start = end;
        }
    }

    #[test]
    fn parts_of_workers_are_disjoint_and_complete(phases in any_phases(), workers in 1u32..9) {
        let whole = all(&phases, 0, 1);
        let mut parts: Vec<Planned> = (0..workers).flat_map(|w| all(&phases, w, workers)).collect();
        prop_assert_eq!(parts.len(), whole.len());
        prop_assert_eq!(&whole, &all(&phases, 0, 1), "the same again");
        let numbers: std::collections::HashSet<u64> = whole.iter().filter_map(|p| match p.action {
            Action::Arrive { number, .. } => Some(number),
            _ => None,
        }).collect();
        prop_assert_eq!(numbers.len(), whole.iter().filter(|p| matches!(p.action, Action::Arrive { .. })).count());
        let key = |p: &Planned| (p.at, format!("{:?}", p.action));
        let mut whole = whole;
        parts.sort_by_key(key);
        whole.sort_by_key(key);
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn time_never_runs_backwards(phases in any_phases(), at in 0u64..8_000_000_000, factor in 0.0..3.0f64, taken in 0usize..400) {
        let mut plan = plan_of(vec![]);
        plan.phases = phases;
        let mut s = Schedule::new(&plan, 0, 1);
        let mut last = 0;
        for planned in s.by_ref().take(taken) {
            prop_assert!(planned.at >= last);
            last = planned.at;
        }
        s.scale(at.max(last), factor);
        for planned in s {
            prop_assert!(planned.at >= last, "{planned:?} after {last}");
            last = planned.at;
        }
    }

    #[test]
    fn held_places_follow_the_plan(phases in phases(), at_ms in 0u64..12_000) {
        let at = at_ms * 1_000_000;
        let held = all(&phases, 0, 1).iter().take_while(|p| p.at <= at).fold(0i64, |n, p| match p.action {
            Action::Hold { .. } => n + 1,
            Action::LetGo { .. } => n - 1,
            Action::Arrive { .. } => n,
        });
        let piece = Piece::of_phases(&phases).into_iter().find(|p| p.start <= at && at < p.end);
        if let Some(p) = piece {
            let want = if p.load == Load::Held { p.value_at(at) } else { 0.0 };
            prop_assert!((held as f64 - want).abs() <= 1.0 + 1e-6, "{held} held, {want} planned");
        }
    }

    #[test]
    fn scaling_before_the_start_is_another_plan(phases in phases(), factor in 0.0..3.0f64) {
        let mut plan = plan_of(vec![]);
        plan.phases = phases;
        let mut scaled = Schedule::new(&plan, 1, 3);
        scaled.scale(0, factor);
        for p in &mut plan.phases {
            let (Model::Sessions { from, to } | Model::Arrivals { from, to } | Model::Requests { from, to }) = &mut p.model else { continue };
            (*from, *to) = (*from * factor, *to * factor);
        }
        prop_assert!(scaled.eq(Schedule::new(&plan, 1, 3)));
    }

    #[test]
    fn what_was_scaled_can_be_scaled_back(phases in phases(), at in 0u64..4_000_000_000, factor in 0.0..3.0f64) {
        let mut plan = plan_of(vec![]);
        plan.phases = phases;
        let mut s = Schedule::new(&plan, 0, 1);
        s.scale(at, factor);
        s.scale(at, 1.0);
        // Split at an instant and joined again: counts may differ by the one arrival or place that lies there.
        let (got, want) = (s.count(), Schedule::new(&plan, 0, 1).count());
        prop_assert!(got.abs_diff(want) <= 2, "{got} {want}");
    }
}

#[test]
fn a_constant_rate_is_a_grid() {
    let planned = all(&[phase(Model::Arrivals { from: 4.0, to: 4.0 }, 1000)], 0, 1);
    let at: Vec<u64> = planned.iter().map(|p| p.at / 1_000_000).collect();
    assert_eq!(at, [125, 375, 625, 875]);
}

/// What one worker is to do, a line each.
fn told(phases: &[Phase]) -> String {
    let line = |p: &Planned| format!("{} {:?}", p.at / 1_000_000, p.action);
    all(phases, 0, 1).iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn sessions_carry_over_from_phase_to_phase() {
    let (a, b) = (Model::Sessions { from: 0.0, to: 4.0 }, Model::Sessions { from: 4.0, to: 4.0 });
    let c = Model::Sessions { from: 2.0, to: 2.0 };
    insta::assert_snapshot!(told(&[phase(a, 1000), phase(b, 1000), phase(c, 1000)]), @r"
    250 Hold { place: 0 }
    500 Hold { place: 1 }
    750 Hold { place: 2 }
    1000 Hold { place: 3 }
    2000 LetGo { place: 3 }
    2000 LetGo { place: 2 }
    ");
}

#[test]
fn half_the_load_from_the_middle_is_three_quarters() {
    let mut plan = plan_of(vec![]);
    plan.phases = vec![phase(Model::Arrivals { from: 100.0, to: 100.0 }, 2000)];
    let mut s = Schedule::new(&plan, 0, 1);
    s.scale(1_000_000_000, 0.5);
    assert_eq!(s.clone().count(), 150);
    s.scale(1_500_000_000, 1.0);
    assert_eq!(s.count(), 175);
}

/// What would have come during a halt never comes; places are held as planned.
#[test]
fn nothing_arrives_in_a_halt_and_nothing_is_made_up_for() {
    let rate = Model::Arrivals { from: 100.0, to: 100.0 };
    for phases in
        [vec![phase(rate, 4000)], random(vec![Leg { length_ns: 4_000_000_000, from: 100.0, to: 100.0 }])]
    {
        let mut plan = plan_of(vec![]);
        plan.phases = phases;
        let mut s = Schedule::new(&plan, 0, 1);
        s.halt(1_000_000_000, true);
        s.scale(1_500_000_000, 2.0);
        s.halt(3_000_000_000, false);
        let at: Vec<u64> = s.map(|p| p.at / 1_000_000_000).collect();
        assert!(!at.iter().any(|s| (1..3).contains(s)), "{at:?}");
        let (before, after) =
            (at.iter().filter(|s| **s == 0).count(), at.iter().filter(|s| **s == 3).count());
        assert!(before.abs_diff(100) < 50 && after.abs_diff(200) < 75, "{before} and {after}");
    }
    let mut plan = plan_of(vec![]);
    plan.phases = vec![phase(Model::Sessions { from: 0.0, to: 4.0 }, 4000)];
    let mut halted = Schedule::new(&plan, 0, 1);
    halted.halt(1_500_000_000, true);
    assert!(halted.eq(Schedule::new(&plan, 0, 1)));
}

fn random(legs: Vec<Leg>) -> Vec<Phase> {
    let length = legs.iter().map(|l| l.length_ns).sum::<u64>();
    let rules = Rules { random: true, ..Rules::default() };
    vec![phase(Model::Shaped(Box::new(Shape { of: Of::Arrivals, legs, rules })), length / 1_000_000)]
}

/// Counts in windows of a Poisson process vary as much as they are large; those of a grid do not vary at all.
#[test]
fn arrivals_at_random_are_as_many_as_planned_and_vary_as_poisson_counts_do() {
    let flat = Leg { length_ns: 100_000_000_000, from: 500.0, to: 500.0 };
    let planned = all(&random(vec![flat]), 0, 1);
    // Five standard errors of 50,000 expected events.
    assert!((planned.len() as f64 - 50_000.0).abs() < 1_120.0, "{}", planned.len());
    let mut counts = vec![0.0f64; 1000];
    planned.iter().for_each(|p| counts[(p.at / 100_000_000) as usize] += 1.0);
    let mean = counts.iter().sum::<f64>() / 1000.0;
    let variance = counts.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / 999.0;
    assert!((0.8..1.25).contains(&(variance / mean)), "{variance} {mean}");
}

/// A ramp from 0 has a quarter of its arrivals in its first half, at random too.
#[test]
fn arrivals_at_random_follow_a_ramp() {
    let ramp = Leg { length_ns: 100_000_000_000, from: 0.0, to: 1000.0 };
    let planned = all(&random(vec![ramp]), 0, 1);
    let first = planned.iter().filter(|p| p.at < 50_000_000_000).count() as f64;
    assert!((first / planned.len() as f64 - 0.25).abs() < 0.01, "{first} of {}", planned.len());
}

/// So many places, each with one pass.
fn counted(n: f64) -> Model {
    let legs = vec![Leg { length_ns: 1_000_000_000, from: n, to: n }];
    let rules = Rules { turns: Some(Turns::Each(1)), ..Rules::default() };
    Model::Shaped(Box::new(Shape { of: Of::Sessions, legs, rules }))
}

/// Two phases that count their passes share no place: the first one's are let go, then its own are held.
#[test]
fn places_that_count_passes_are_held_anew() {
    let phases = [phase(counted(2.0), 1000), phase(counted(1.0), 1000)];
    insta::assert_snapshot!(told(&phases), @r"
    0 Hold { place: 0 }
    0 Hold { place: 1 }
    1000 LetGo { place: 1 }
    1000 LetGo { place: 0 }
    1000 Hold { place: 0 }
    ");
}

/// A place that has used up its passes is empty: whoever holds places without counting, behind such a phase, takes new ones.
#[test]
fn places_behind_counted_passes_are_held_anew() {
    let plain = Model::Sessions { from: 2.0, to: 2.0 };
    let phases = [phase(counted(2.0), 1000), phase(plain.clone(), 1000), phase(plain, 1000)];
    insta::assert_snapshot!(told(&phases), @r"
    0 Hold { place: 0 }
    0 Hold { place: 1 }
    1000 LetGo { place: 1 }
    1000 LetGo { place: 0 }
    1000 Hold { place: 0 }
    1000 Hold { place: 1 }
    ");
}
