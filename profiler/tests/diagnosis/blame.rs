//! Blame on made-up runs: the true cause is confirmed, an innocent span of the same period is not, and the split of the
//! response time adds up.

use crate::world::{self, Dice, Setup, World, build, find, ms, phase};
use timeline::event::kinds;
use timeline::lane::names;
use timeline::{Finding, FindingKind, LaneSpec, RunTime, Span, Status};

const SHOPS: [&str; 2] = ["shop-0", "shop-1"];

/// Healthy but that shop-0 stops for 200 ms at `stops`, and that all requests are slow at `slow`. The clients' service time is
/// not known, so a pause is only *likely* by its own detector.
fn stopping(seed: u64, stops: &[(f64, f64)], slow: &[(f64, f64)]) -> World {
    stopping_within(32, seed, stops, slow)
}

/// The same in a run of so many seconds.
fn stopping_within(seconds: u64, seed: u64, stops: &[(f64, f64)], slow: &[(f64, f64)]) -> World {
    let phases = vec![phase(0, 5, 0.0, 5_000.0, true), phase(5, seconds.max(40), 5_000.0, 5_000.0, false)];
    let mut w = build(&Setup { seed, seconds, phases, ..Setup::default() });
    w.silence(names::SERVICE);
    for &(from, to) in stops {
        let (a, b) = (RunTime::from_secs_f64(from), RunTime::from_secs_f64(to));
        w.event(kinds::PAUSE_STOP_THE_WORLD, SHOPS[0], a, b, &[], 0.0);
    }
    let mut dice = Dice::new(seed ^ 77);
    let handlers = SHOPS.map(|s| w.lane(LaneSpec::histogram(names::SERVER_HANDLER, s).about("/x")));
    let response = w.lane(LaneSpec::histogram(names::RESPONSE, "gen-0").about("browse"));
    let mut told: Vec<f64> = Vec::new();
    for i in 1..seconds * 10 {
        for lane in handlers {
            // A request ends when the slow time that it falls into ends, so most of those end together.
            let end = i as f64 / 10.0;
            let took: Vec<f64> = (0..25)
                .map(|_| {
                    let caught = slow.iter().find(|s| s.1 > end - 0.1 && s.1 <= end && dice.unit() < 0.8);
                    5e3 + dice.exp(3e3) + caught.map_or(0.0, |s| (s.1 - s.0) * 1e6 * dice.unit())
                })
                .collect();
            w.histogram(lane, ms(i * 100 - 100), ms(i * 100), &took);
            told.extend(took.iter().map(|t| t + 800.0));
        }
        if i % 10 == 0 {
            w.histogram(response, ms(i * 100 - 1_000), ms(i * 100), &std::mem::take(&mut told));
        }
    }
    w
}

/// Stops of 200 ms from 12 s to 28 s, moved on by `offset`.
fn each(period: f64, offset: f64) -> Vec<(f64, f64)> {
    each_until(28.0, period, offset)
}

fn each_until(end: f64, period: f64, offset: f64) -> Vec<(f64, f64)> {
    let n = ((end - 12.0) / period) as u32;
    (0..n).map(|i| 12.0 + offset + period * f64::from(i)).map(|t| (t, t + 0.2)).collect()
}

/// At random times, about as often.
fn at_random(seed: u64) -> Vec<(f64, f64)> {
    at_random_until(28.0, seed)
}

fn at_random_until(end: f64, seed: u64) -> Vec<(f64, f64)> {
    let mut dice = Dice::new(seed);
    let mut t = 12.0;
    let mut list = Vec::new();
    while t < end {
        list.push((t, t + 0.2));
        t += 0.5 + dice.exp(1.2);
    }
    list
}

fn blamed(f: &Finding) -> bool {
    f.evidence.iter().any(|e| e.text.contains("of the added response time falls into its"))
}

#[test]
fn a_true_cause_is_confirmed_whether_it_has_a_period_or_not() {
    let mut confirmed = 0;
    for seed in 1..5 {
        for spans in [each_until(52.0, 2.0, 0.0), each_until(52.0, 1.3, 0.0), at_random_until(52.0, seed)] {
            let d = stopping_within(56, seed, &spans, &spans).diagnose();
            let f = find(&d, FindingKind::LongPause);
            assert!(blamed(f), "seed {seed}: {f:#?}");
            // With something against it, here a few stolen moments, it does not rise.
            let expected = if f.contradicting.is_empty() { Status::Confirmed } else { Status::Likely };
            confirmed += usize::from(f.status == Status::Confirmed);
            assert!(f.status >= expected, "seed {seed}: {f:#?}");
        }
    }
    assert!(confirmed >= 6, "{confirmed} of 12");
}

/// The pause of a run of so many seconds that stops each 2 s until shortly before its end.
fn paused_each_2_s(seconds: u64) -> Finding {
    let spans = each_until(seconds as f64 - 4.0, 2.0, 0.0);
    find(&stopping_within(seconds, 1, &spans, &spans).diagnose(), FindingKind::LongPause).clone()
}

/// The share that it is blamed for, and with how many shifts that was compared.
fn blame(f: &Finding) -> (f64, u32) {
    let line = f.evidence.iter().find(|e| e.text.contains("different shifts")).unwrap();
    let shifts = line.text.split("the median of ").nth(1).unwrap().split(' ').next().unwrap();
    (line.value, shifts.parse().unwrap())
}

#[test]
fn a_short_span_has_too_few_independent_shifts_to_confirm_anything() {
    let short = paused_each_2_s(32);
    assert!(blamed(&short) && short.status == Status::Likely, "{short:#?}");
    // 16 s have 160 cells of 100 ms, of which those next to a multiple of the period are no other times.
    let line = short.evidence.iter().find(|e| e.text.contains("by whole cells")).unwrap();
    let apart = line.text.split("different shifts (").nth(1).unwrap().split(' ').next().unwrap();
    assert!((80..160).contains(&apart.parse::<u32>().unwrap()), "{}", line.text);
    let long = paused_each_2_s(56);
    assert!(!long.evidence.iter().any(|e| e.text.contains("by whole cells")), "{long:#?}");
    for finding in [short, long] {
        assert!((200..=400).contains(&blame(&finding).1), "{finding:#?}");
    }
}

#[test]
fn what_is_usual_stays_known_when_it_is_long_ago() {
    // Requests are longer than their median in health, too: in a minute that comes to a third of what these stops add.
    let (soon, late) = (blame(&paused_each_2_s(56)).0, blame(&paused_each_2_s(110)).0);
    assert!(late >= soon - 0.1, "{soon} in the first minute, {late} in the last");
}

#[test]
fn an_innocent_span_with_the_fault_s_own_period_is_not_blamed() {
    for seed in 1..4 {
        for period in [2.0, 1.3] {
            for part in [0.25, 0.4, 0.5, 0.7] {
                let d = stopping(seed, &each(period, 0.0), &each(period, period * part)).diagnose();
                let f = find(&d, FindingKind::LongPause);
                assert!(!blamed(f), "period {period}, {part} of it away: {f:#?}");
                assert_eq!(f.status, Status::Likely);
            }
        }
    }
}

#[test]
fn what_falls_together_only_now_and_then_is_told_as_chance() {
    let mut told = 0;
    for seed in 1..7 {
        let d = stopping(seed, &at_random(seed), &at_random(seed + 100)).diagnose();
        let f = find(&d, FindingKind::LongPause);
        assert!(!blamed(f) && f.status == Status::Likely, "{f:#?}");
        told += usize::from(f.contradicting.iter().any(|e| e.text.contains("by chance")));
    }
    // A share that happens to lie between chance and proof is told as neither.
    assert!(told >= 1, "{told} of 6");
}

#[test]
fn a_law_does_not_confirm_what_the_null_test_takes_for_chance() {
    let mut by_law = 0;
    let mut chance = 0;
    for seed in 1..7 {
        let mut w = stopping(seed, &at_random(seed), &at_random(seed + 100));
        // Some request of each second takes as long as a pause.
        let service = w.lane(LaneSpec::histogram(names::SERVICE, "gen-0").about("browse"));
        (1..32).for_each(|s| w.histogram(service, ms(s * 1_000 - 1_000), ms(s * 1_000), &[5e3, 200e3]));
        let d = w.diagnose();
        let f = find(&d, FindingKind::LongPause);
        let is_chance = f.contradicting.iter().any(|e| e.text.contains("by chance"));
        assert_eq!(f.status, if is_chance { Status::Likely } else { Status::Confirmed }, "{f:#?}");
        *(if is_chance { &mut chance } else { &mut by_law }) += 1;
    }
    assert!(chance >= 1 && by_law >= 1, "{chance} by chance, {by_law} by law");
}

#[test]
fn without_added_response_time_nobody_is_blamed() {
    let d = stopping(1, &each(2.0, 0.0), &[]).diagnose();
    let f = find(&d, FindingKind::LongPause);
    assert!(!blamed(f) && f.status == Status::Likely, "{f:#?}");
}

#[test]
fn the_same_run_is_judged_the_same_to_the_byte() {
    let w = stopping(3, &at_random(3), &at_random(3));
    let text =
        |d: &dynamometer_profiler::Diagnosis| serde_json::to_string(&(d.findings(), d.breakdowns())).unwrap();
    assert_eq!(text(&w.diagnose()), text(&w.diagnose()));
}

#[test]
fn a_consequence_names_what_its_cause_explains_once_that_is_computed() {
    let setup =
        Setup { stampede: Some((15.0, 30.0)), rate: |s| 150.0 * (s / 5.0).min(1.0), ..Setup::default() };
    let reason = |w: &World| {
        let d = w.diagnose();
        find(&d, FindingKind::PoolSaturated).caused_by_reason.clone().unwrap()
    };
    // No response time is known: nothing is said of it.
    assert!(!reason(&build(&setup)).contains("response time"));
    let mut w = build(&setup);
    let handler = w.lane(LaneSpec::histogram(names::SERVER_HANDLER, SHOPS[0]).about("/x"));
    let response = w.lane(LaneSpec::histogram(names::RESPONSE, "gen-0").about("browse"));
    let refreshes: Vec<Span> = w
        .entries
        .iter()
        .filter_map(|(_, e)| match e {
            timeline::Entry::Event(e) if e.kind == kinds::CACHE_REFRESH && e.value > 5.0 => Some(e.span()),
            _ => None,
        })
        .collect();
    let mut dice = Dice::new(5);
    let mut told = Vec::new();
    for i in 1..400u64 {
        let end = ms(i * 100);
        let caught = refreshes.iter().find(|r| r.contains(end));
        let took: Vec<f64> = (0..30)
            .map(|_| {
                5e3 + dice.exp(3e3) + caught.map_or(0.0, |r| end.since(r.start).as_micros() as f64 * 0.9)
            })
            .collect();
        w.histogram(handler, ms(i * 100 - 100), end, &took);
        told.extend(took);
        if i % 10 == 0 {
            w.histogram(response, ms(i * 100 - 1_000), end, &std::mem::take(&mut told));
        }
    }
    let text = reason(&w);
    let share: f64 = text
        .split("it explains ")
        .nth(1)
        .and_then(|t| t.split(' ').next())
        .unwrap_or_else(|| panic!("{text}"))
        .parse()
        .unwrap();
    assert!((70.0..=100.0).contains(&share), "{text}");
}

#[test]
fn the_parts_of_the_response_time_add_up_and_the_pool_s_wait_is_the_added_one() {
    let setup = Setup {
        phases: world::open(vec![phase(0, 5, 0.0, 5_000.0, true), phase(5, 24, 5_000.0, 5_000.0, false)]),
        capacity: |s| if s < 12.0 { 8 } else { 5 },
        rate: |s| 700.0 * (s / 5.0).min(1.0),
        seconds: 24,
        ..Setup::default()
    };
    let mut w = build(&setup);
    w.silence(names::SERVICE);
    let service = w.lane(LaneSpec::histogram(names::SERVICE, "gen-0").about("x"));
    let response = w.lane(LaneSpec::histogram(names::RESPONSE, "gen-0").about("x"));
    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); 25];
    for shop in SHOPS {
        let handler = w.lane(LaneSpec::histogram(names::SERVER_HANDLER, shop).about("/x"));
        let waits = w.values("pool.db.wait", shop);
        let holds = w.values("pool.db.hold", shop);
        for (span, held) in holds {
            // Whose wait is whose does not matter to means.
            let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len().max(1) as f64;
            let wait = waits.iter().find(|i| i.0 == span).map_or(0.0, |i| mean(&i.1));
            let took: Vec<f64> = held.iter().map(|h| h + wait + 1_000.0).collect();
            w.histogram(handler, span.start, span.end, &took);
            seconds[span.end.as_secs_f64() as usize].extend(took.iter().map(|t| t + 2_000.0));
        }
    }
    for (s, took) in seconds.iter().enumerate() {
        let (a, b) = (ms(s as u64 * 1_000), ms(s as u64 * 1_000 + 1_000));
        w.histogram(service, a, b, took);
        w.histogram(response, a, b, &took.iter().map(|t| t + 500.0).collect::<Vec<_>>());
    }
    let d = w.diagnose();
    let root = d.findings().first().unwrap();
    assert_eq!(root.kind, FindingKind::PoolSaturated, "{:#?}", d.findings());
    let b = &d.breakdowns()[0];
    let sum: f64 = b.parts.iter().map(|p| p.after).sum();
    assert!((sum / b.response_after - 1.0).abs() < 0.05, "{b:#?}");
    assert!(b.explained().unwrap() > 0.85 && b.laws.len() >= 3, "{b:#?}");
    let line = root.evidence.iter().find(|e| e.text.contains("waiting for a connection of a pool")).unwrap();
    assert_eq!(line.lane, "pool.db.wait");
}
