//! Load models over real worker processes: what a plan counts, caps or replaces is exact whatever the number of workers.

use std::net::TcpStream;

use crate::common::*;
use crate::server::*;
use loadgen::LoadUpdate;
use scenarios::plan::*;

const S: u64 = 1000 * MS;

fn act(_: &str, _: &str, s: &mut TcpStream) -> std::io::Result<bool> {
    ok(s, "")
}

fn shaped(of: Of, legs: Vec<Leg>, rules: Rules) -> Model {
    Model::Shaped(Box::new(Shape { of, legs, rules }))
}

fn flat(ms: u64, n: f64) -> Leg {
    Leg { length_ns: ms * MS, from: n, to: n }
}

#[test]
fn each_place_does_its_passes_and_the_run_ends_early() {
    let rules = Rules { turns: Some(Turns::Each(10)), ..Rules::default() };
    let model = shaped(Of::Sessions, vec![flat(60_000, 7.0)], rules);
    let totals = run(plan(model, 60_000, vec![get(0, "/"), get(1, "/")]), serve(act), 3);
    assert_eq!((totals.finished[&0], totals.finished[&1]), (70, 70));
    assert_eq!(totals.sum(|c| c.offered), 140);
    assert!(totals.done.values().all(|d| d.at < 60 * S), "{:?}", totals.done);
}

#[test]
fn shared_passes_are_split_exactly() {
    let rules = Rules { turns: Some(Turns::Shared(1001)), ..Rules::default() };
    let model = shaped(Of::Sessions, vec![flat(60_000, 2.0)], rules);
    // One worker more than places: it has no share either.
    let totals = run(plan(model, 60_000, vec![get(0, "/")]), serve(act), 3);
    assert_eq!((totals.finished[&0], totals.sum(|c| c.dropped)), (1001, 0));
    // A pass is a session of its kind, and all have come to their end.
    assert_eq!((totals.sum(|c| c.kinds[0].started), totals.sum(|c| c.kinds[0].ended)), (1001, 1001));
    assert!(totals.done.values().all(|d| d.at < 60 * S), "{:?}", totals.done);
}

#[test]
fn arrivals_beyond_the_cap_are_dropped_and_counted() {
    let rules = Rules { max_sessions: Some(5), ..Rules::default() };
    let model = shaped(Of::Arrivals, vec![flat(1000, 100.0)], rules);
    let mut plan = plan(model, 1000, vec![think(LONG_MS), get(0, "/")]);
    plan.phases.push(rest(LONG_MS));
    // All have come, and those that were let in are seen to be there.
    let all = |t: &Totals| t.sum(|c| c.offered) == 100 && t.sum(|c| c.open_sessions) == 5;
    let totals = run_with(options(plan, serve(act), 2), || (), all);
    let open = totals.updates.iter().filter_map(|u| match u {
        LoadUpdate::Counters(w, c) => Some((*w, c.open_sessions)),
        _ => None,
    });
    let most = |worker| open.clone().filter(|(w, _)| *w == worker).map(|(_, n)| n).max().unwrap();
    assert_eq!((most(0), most(1)), (3, 2), "five in all");
    assert_eq!((totals.sum(|c| c.dropped), totals.sum(|c| c.over_cap)), (95, 95));
    assert_eq!(totals.sum(|c| c.over_descriptors), 0);
}

#[test]
fn steps_and_a_spike_offer_what_they_say() {
    let legs = vec![flat(300, 100.0), flat(300, 400.0), flat(300, 50.0)];
    let model = shaped(Of::Requests, legs, Rules::default());
    let totals = run(plan(model, 900, vec![get(0, "/")]), serve(act), 2);
    assert_eq!(totals.finished[&0], 30 + 120 + 15);
}

#[test]
fn arrivals_at_random_are_the_same_over_any_number_of_workers() {
    let rules = Rules { random: true, ..Rules::default() };
    let model = shaped(Of::Requests, vec![flat(1000, 200.0)], rules);
    let count = |workers| run(plan(model.clone(), 1000, vec![get(0, "/")]), serve(act), workers).finished[&0];
    let one = count(1);
    assert!((130..270).contains(&one), "{one}, five deviations of 200");
    assert_eq!((count(2), count(3)), (one, one));
}

#[test]
fn a_held_session_that_has_lived_its_time_is_replaced_after_its_turn() {
    let rules = Rules { lifetime: Some(Dist::Constant(300 * MS)), ..Rules::default() };
    let model = shaped(Of::Sessions, vec![flat(LONG_MS, 4.0)], rules);
    // The first step is done once by each session, the second in every turn, the third when it leaves.
    let steps = vec![get(0, "/"), forever(Some(20), vec![get(1, "/")]), get(2, "/")];
    let enough = |t: &Totals| t.sum(|c| c.kinds[0].started) >= 4 * 5;
    let totals = run_with(options(plan(model, LONG_MS, steps), serve(act), 2), || (), enough);
    // Four lifetimes of 300 ms, and up to a turn and a sweep (40 ms) more, are over then in each of four places.
    let born = totals.finished[&0];
    let most: u64 = totals.done.values().map(|d| 2 * (d.at / (300 * MS) + 1)).sum();
    assert!((4 * 5..=most).contains(&born), "{born} of {most} at the most");
    let lasted = totals.done.values().map(|d| d.at / MS).max().unwrap();
    assert!(lasted < 2000 + totals.stood_ms(), "{lasted} ms, {} ms stood still", totals.stood_ms());
    let left = totals.finished[&2];
    // But for a place's last one, if the end comes before it has begun the loop.
    assert!((born - 4..=born).contains(&left), "{left} of {born} leave by what follows the loop");
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
}

#[test]
fn one_that_is_let_go_finishes_its_pass_within_the_grace() {
    let finished = |ramp_down_ns| {
        let rules = Rules { ramp_down_ns, ..Rules::default() };
        // The two are let go 200 ms after the start, in the middle of their pause, and the phase lasts until they are gone.
        let model = shaped(Of::Sessions, vec![flat(200, 2.0), flat(LONG_MS, 0.0)], rules);
        let plan = plan(model, 200 + LONG_MS, vec![get(0, "/"), think(400), get(1, "/")]);
        let gone = |t: &Totals| t.sum(|c| c.kinds[0].ended) == 2;
        let totals = run_with(options(plan, serve(act), 2), || (), gone);
        (totals.finished[&0], totals.finished.get(&1).copied())
    };
    // Only the grace brings the second step of their pass.
    assert_eq!((finished(Some(30 * S)), finished(None)), ((2, Some(2)), (2, None)));
}

#[test]
fn the_precise_timer_releases_closer_to_the_instant() {
    let error = |timer| {
        let mut plan = plan(Model::Requests { from: 500.0, to: 500.0 }, 1500, vec![get(0, "/")]);
        plan.timer = timer;
        let totals = run(plan, serve(act), 1);
        // What a machine keeps from starting until the end is dropped.
        assert_eq!(totals.finished[&0] + totals.sum(|c| c.dropped), 750);
        let mut errors = timeline::histogram::new();
        for update in &totals.updates {
            if let LoadUpdate::Histograms(_, h) = update {
                h.release_error.add_to(&mut errors);
            }
        }
        timeline::histogram::quantile_ns(&errors, 0.5).expect("arrivals have an error")
    };
    // The wheel's grain is a millisecond; a busy machine can spoil either, but not so that half of all is wrong each time.
    let better = (0..8).any(|_| error(Timer::Precise) < error(Timer::Wheel) / 2.0);
    assert!(better);
}
