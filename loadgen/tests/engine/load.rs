//! Whole runs over real worker processes: counts, models, amendments, losses, a worker that stands still.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::common::*;
use crate::server::*;
use loadgen::lanes::{Lanes, Reading};
use loadgen::protocol::Counters;
use loadgen::{Coordinator, Crew, LoadUpdate};
use scenarios::plan::*;
use timeline::{Amendment, MonoNs, RunClock};

static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn act(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
    match path {
        "/ws" => {
            upgrade(head, s)?;
            until_closed(s, |s, kind, payload| {
                if kind != 10 {
                    // A push, a ping, and the answer in two fragments.
                    s.write_all(&frame(0x81, b"{\"id\":\"news\"}"))?;
                    let (a, b) = payload.split_at(payload.len() / 2);
                    s.write_all(&frame(0x01, a))?;
                    s.write_all(&frame(0x89, b"there?"))?;
                    s.write_all(&frame(0x80, b))?;
                }
                Ok(())
            })
        }
        "/login" => ok(s, "{\"token\":\"a b\",\"rooms\":[{\"id\":7}],\"none\":[],\"next\":null}"),
        "/once" => {
            ok(s, "")?;
            Ok(false)
        }
        path => {
            SEEN.lock().unwrap().insert(path.to_owned());
            ok(s, "{}")
        }
    }
}

#[test]
fn arrivals_over_three_workers_add_up() {
    let model = Model::Arrivals { from: 100.0, to: 300.0 };
    let mut plan = plan(model, 1000, vec![get(0, "/"), get(1, "/")]);
    plan.phases.push(rest(LONG_MS));
    // All have come, and gone.
    let over = |t: &Totals| {
        let gone = |c: &Counters| c.at >= 1000 * MS && c.open_sessions == 0 && c.offered == c.achieved;
        t.counters.len() == 3 && t.counters.values().all(gone)
    };
    let totals = run_with(options(plan, serve(act), 3), || (), over);
    assert_eq!(totals.done.len(), 3);
    assert_eq!((totals.finished[&0], totals.finished[&1]), (200, 200));
    assert_eq!(totals.sum(|c| c.offered), totals.sum(|c| c.completed));
    assert_eq!(totals.sum(|c| c.offered), totals.sum(|c| c.achieved));
    assert_eq!(totals.response[&0].len(), 200);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert_eq!(totals.done.values().map(|d| d.cut).sum::<u64>(), 0);
}

#[test]
fn requests_share_pooled_connections() {
    let model = Model::Requests { from: 200.0, to: 200.0 };
    let totals = run(plan(model, 1000, vec![get(0, "/")]), serve(act), 1);
    assert_eq!(totals.finished[&0], 200);
    let most = totals.updates.iter().filter_map(|u| match u {
        LoadUpdate::Counters(_, c) => Some(c.open_connections),
        _ => None,
    });
    // One is opened only where all are in use, and that many requests are under way at once at the most.
    let (most, slowest) = (most.max().unwrap(), totals.response[&0].max());
    assert!(most <= 2 + 200 * slowest / 1_000_000, "{most} connections, an answer took {slowest} us");
}

#[test]
fn what_is_saved_is_used() {
    let mut login = request(0, "POST", "/login");
    login.body = Some(("application/json".to_owned(), text("{}").into()));
    login.checks = vec![
        Check::Status(vec![(200, 200)]),
        Check::Json("$.rooms[0].id".to_owned(), JsonTest::Equals(7.into())),
    ];
    login.saves = vec![
        Save { slot: Slot(0), from: Capture::Json("$.token".to_owned()), pick: Pick::First },
        Save { slot: Slot(1), from: Capture::Json("$.rooms[*].id".to_owned()), pick: Pick::Random },
        Save { slot: Slot(2), from: Capture::Json("$.absent".to_owned()), pick: Pick::First },
        Save { slot: Slot(3), from: Capture::Json("$.next".to_owned()), pick: Pick::Last },
    ];
    let mut uses = request(1, "GET", "");
    uses.path = Template(vec![
        Part::Text("/saved/".into()),
        Part::Var(Slot(1)),
        Part::Text("?t=".into()),
        Part::Var(Slot(0)),
    ]);
    // Neither what is not there is set, nor a null.
    let mut skipped = request(2, "GET", "/skipped");
    let set = [2, 3].map(|slot| Test::Set(Operand::Value(Part::Var(Slot(slot)))));
    skipped.when = Some(Condition { text: "absent or next".into(), test: Test::Any(set.into()) });
    let steps = vec![login, uses, skipped].into_iter().map(|r| Step::Request(Box::new(r))).collect();
    let totals = run(plan(once(10), LONG_MS, steps), serve(act), 1);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert_eq!((totals.finished[&0], totals.finished.get(&2)), (10, None));
    assert!(SEEN.lock().unwrap().contains("/saved/7?t=a%20b"));
}

#[test]
fn a_check_that_fails_is_told_with_what_was_found() {
    let mut login = request(0, "POST", "/login");
    login.body = Some(("application/json".to_owned(), text("{}").into()));
    let mut strict = login.clone();
    strict.id = StepId(1);
    login.checks = vec![
        Check::Size(Compare::AtMost, 1 << 20),
        Check::Header("X-None".to_owned(), FieldTest::Exists),
        Check::Size(Compare::Greater, 1 << 20),
    ];
    strict.checks = vec![
        Check::Header("X-None".to_owned(), FieldTest::Absent),
        Check::Json("$.rooms[0].id".to_owned(), JsonTest::Text(TextTest::Equals("7".to_owned()))),
        Check::Json("$.token".to_owned(), JsonTest::Text(TextTest::Equals("x".to_owned()))),
    ];
    let steps = [login, strict].into_iter().map(|r| Step::Request(Box::new(r))).collect();
    let totals = run(plan(once(10), LONG_MS, steps), serve(act), 1);
    assert_eq!(totals.errors(), BTreeMap::from([("check", 20)]));
    let told: Vec<_> =
        totals.done[&0].failed_checks.iter().map(|f| (f.step, &*f.what, f.count, &*f.found)).collect();
    let wanted = [
        (0, "header X-None exists", 10, "no such field"),
        (1, "json $.token = x", 10, "a text of 3 characters"),
    ];
    assert_eq!(told, wanted);
}

#[test]
fn a_websocket_conversation_is_timed_and_pushes_are_counted() {
    let steps = vec![connect(0, "/ws"), forever(Some(50), vec![say(1, AMPLE_MS)]), close(2)];
    // Whoever stood still makes up for it. Of the two sessions of a worker the time counts since when both were seen to be open.
    let mut open = BTreeMap::new();
    let mut on_the_grid = |worker: usize, c: &Counters| {
        if c.ws.opened < 2 {
            return false;
        }
        let turns = (c.at - *open.entry(worker).or_insert(c.at)) / (50 * MS);
        turns >= 15 && c.pushed >= 2 * turns
    };
    let enough = |t: &Totals| t.counters.len() == 2 && t.counters.iter().all(|(w, c)| on_the_grid(*w, c));
    let totals = run_with(options(plan(held(4), LONG_MS, steps), serve(act), 2), || (), enough);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert_eq!((totals.finished[&0], totals.finished[&2]), (4, 4), "each ends by its closing step");
    let said = totals.finished[&1];
    assert!(totals.done.values().all(|d| d.at < LONG_MS * MS), "{said} messages are fewer than one in 50 ms");
    let most: u64 = totals.done.values().map(|d| 2 * (d.at / (50 * MS) + 1)).sum();
    assert!(said <= most, "{said} messages on a grid of 50 ms, of which {most} points went by");
    assert_eq!(totals.sum(|c| c.pushed), said);
    assert_eq!(totals.done.values().map(|d| d.cut).sum::<u64>(), 0);
}

#[test]
fn what_follows_a_pause_that_is_cut_short_is_timed_from_its_start() {
    let length = Dist::Constant(LONG_MS * MS);
    let loops = [
        forever(None, vec![get(0, "/"), Step::Think(length)]),
        forever(None, vec![get(0, "/"), Step::Ignore(length)]),
        forever(Some(LONG_MS), vec![get(0, "/")]),
    ];
    for (i, pauses) in loops.into_iter().enumerate() {
        // The end of the load cuts it short; what stands behind the loop is done all the same.
        let totals = run_until(plan(held(1), LONG_MS, vec![pauses, get(1, "/end")]), serve(act), done(1));
        assert!(totals.errors().is_empty() && totals.finished[&1] == 1, "loop {i}: {:?}", totals.errors());
        assert_eq!(totals.response[&1].max(), totals.service[&1].max(), "loop {i}");
    }
}

#[test]
fn a_closed_kept_connection_is_replaced_without_an_error() {
    let steps = vec![forever(Some(50), vec![get(0, "/once")])];
    // It is found before a request goes out, or by one that did.
    let again = |t: &Totals| t.sum(|c| c.replaced + c.retried);
    let totals = run_until(plan(held(1), LONG_MS, steps), serve(act), |t| again(t) >= 8);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert!(again(&totals) >= 8);
}

#[test]
fn unique_rows_run_out_and_the_rest_is_dropped() {
    let mut uses = request(0, "GET", "");
    uses.path = Template(vec![Part::Text("/user/".into()), Part::Column { feeder: 0, column: 0 }]);
    let mut plan = plan(Model::Arrivals { from: 20.0, to: 20.0 }, 500, vec![Step::Request(Box::new(uses))]);
    let rows = (0..6).map(|i| vec![i.to_string()]).collect();
    plan.feeders =
        vec![Feeder { name: "users".into(), columns: vec!["name".into()], rows, order: Order::Unique }];
    let totals = run(plan, serve(act), 2);
    assert_eq!((totals.sum(|c| c.completed), totals.sum(|c| c.dropped)), (6, 4));
    assert_eq!(totals.sum(|c| c.rowless[0]), 4, "and why is told");
    let seen = SEEN.lock().unwrap();
    assert!((0..6).all(|i| seen.contains(&format!("/user/{i}"))));
}

#[test]
fn a_stop_drains_and_a_lost_worker_is_named() {
    let address = serve(act);
    let steps = vec![forever(Some(20), vec![get(0, "/")])];
    let totals = runtime().block_on(async {
        let mut coordinator =
            Coordinator::start(options(plan(held(6), LONG_MS, steps), address, 2)).await.unwrap();
        let (mut totals, mut pids) = (Totals::default(), Vec::new());
        while let Some(update) = coordinator.next().await {
            match &update {
                LoadUpdate::Joined { pid, .. } => pids.push(*pid),
                LoadUpdate::Counters(0, c) if c.completed > 20 && totals.lost.is_empty() => {
                    let pid = rustix::process::Pid::from_raw(pids[1] as i32).unwrap();
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
                LoadUpdate::Lost { .. } => coordinator.stop(),
                _ => {}
            }
            totals.take(update);
        }
        totals
    });
    assert_eq!(totals.lost.len(), 1);
    assert_eq!(totals.lost[0].0, 1);
    assert!(totals.lost[0].1.contains("signal: 9"), "{:?}", totals.lost);
    assert_eq!(totals.done[&0].cut, 0);
    assert!(totals.done[&0].at < LONG_MS * MS);
    let mut lanes = Lanes::new(&["browse".to_owned()]);
    let readings: Vec<Reading> = totals.updates.iter().flat_map(|u| lanes.read(u)).collect();
    let events: Vec<String> = readings
        .iter()
        .filter_map(|r| match r {
            Reading::Event(e) => Some(format!("{} {}", e.kind, e.instance)),
            _ => None,
        })
        .collect();
    assert_eq!(events, ["generator.worker-lost gen-1", "client.amendment coordinator"]);
    let mut declared: Vec<String> = readings
        .iter()
        .filter_map(|r| match r {
            Reading::Lane(spec) if spec.instance == "gen-0" => {
                Some(format!("{} {}", spec.name, spec.subject).trim_end().to_owned())
            }
            _ => None,
        })
        .collect();
    declared.sort();
    insta::assert_snapshot!(declared.join("\n"), @r"
    client.achieved
    client.completed
    client.dropped
    client.late
    client.lateness
    client.most-sessions
    client.offered
    client.open-connections
    client.open-sessions
    client.pushed
    client.received
    client.response browse
    client.retried
    client.sent
    client.service browse
    generator.cpu
    generator.hiccup
    generator.release-error
    ");
}

/// That what a worker which does this in place of its work says last, and how it ends, are told.
fn is_heard(script: &str) {
    let mut options = options(plan(held(1), 100, vec![get(0, "/")]), serve(act), 1);
    options.worker_exe = "sh".into();
    options.worker_args = vec!["-c".to_owned(), script.to_owned()];
    let refused = runtime().block_on(Coordinator::start(options)).err().unwrap().to_string();
    assert!(refused.ends_with("exit status: 3: last words"), "{refused}");
}

#[test]
fn a_worker_that_floods_its_stderr_is_heard_to_its_last_words() {
    // More than a pipe holds: unread, it would never come to its last words.
    is_heard("yes noise | head -c 300000 >&2; echo last words >&2; exit 3");
}

#[test]
fn a_worker_that_takes_its_time_to_end_is_heard_to_its_last_words() {
    is_heard("exec >&-; sleep 2; echo last words >&2; exit 3");
}

#[test]
fn a_worker_that_is_killed_loses_its_own_part_alone() {
    // Long enough for the signal to come while it is at work.
    let model = Model::Requests { from: 125.0, to: 125.0 };
    let options = options(plan(model, 6000, vec![get(0, "/")]), serve(act), 3);
    let (totals, told, loss) = runtime().block_on(async {
        let mut coordinator = Coordinator::start(options).await.unwrap();
        let (mut totals, mut pids, mut told, mut loss) = (Totals::default(), Vec::new(), 0, None);
        while let Some(update) = coordinator.next().await {
            match &update {
                LoadUpdate::Joined { pid, .. } => pids.push(*pid),
                LoadUpdate::Counters(1, c) if c.at > 1300 * MS && told == 0 => {
                    told = c.completed;
                    let pid = rustix::process::Pid::from_raw(pids[1] as i32).unwrap();
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
                LoadUpdate::Lost { loss: told, .. } => loss = Some(*told),
                _ => {}
            }
            totals.take(update);
        }
        (totals, told, loss.expect("its loss is told"))
    });
    assert_eq!(totals.lost.iter().map(|(worker, _)| *worker).collect::<Vec<_>>(), [1]);
    // The others carry out their exact segments to the end.
    assert_eq!(totals.done.keys().copied().collect::<Vec<_>>(), [0, 2]);
    assert_eq!((totals.counters[&0].completed, totals.counters[&2].completed), (250, 250));
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    // What it had told is kept, and of the rest it is said how much there was.
    let last = &totals.counters[&1];
    assert_eq!((loss.counted_at, loss.finished, loss.workers), (last.at, last.completed, 3));
    assert!((told.max(1)..250).contains(&last.completed), "{} of {told}", last.completed);
    let timed = totals.finished[&0] - 500;
    assert_eq!(timed + loss.untimed(), last.completed);
    let into = last.at % (1000 * MS);
    assert!(loss.untimed() > 0 || into < 200 * MS, "its last interval was not over, but {into} ns old");
    let mut lanes = Lanes::new(&["browse".to_owned()]);
    let readings: Vec<Reading> = totals.updates.iter().flat_map(|u| lanes.read(u)).collect();
    let event = readings.iter().find_map(|r| if let Reading::Event(e) = r { Some(e) } else { None }).unwrap();
    assert_eq!(event.label("untimed"), Some(loss.untimed().to_string().as_str()));
    assert_eq!(event.label("share"), Some("1 of 3"));
}

#[test]
fn an_abort_ends_at_once() {
    let address = serve(act);
    runtime().block_on(async {
        let mut coordinator =
            Coordinator::start(options(plan(held(3), 60_000, vec![think(30_000)]), address, 1))
                .await
                .unwrap();
        let mut totals = Totals::default();
        while let Some(update) = coordinator.next().await {
            if matches!(&update, LoadUpdate::Counters(_, c) if c.open_sessions == 3) {
                coordinator.abort();
            }
            totals.take(update);
        }
        assert_eq!(totals.done[&0].cut, 3);
    });
}

#[test]
fn twice_the_load_is_twice_the_arrivals() {
    let address = serve(act);
    runtime().block_on(async {
        let model = Model::Arrivals { from: 100.0, to: 100.0 };
        let crew = Crew::hire(options(plan(model, 1000, vec![get(0, "/")]), address, 2)).await.unwrap();
        // It begins so far ahead that all have heard of the change by then.
        let mut coordinator = crew.begin(RunClock::with_origin(MonoNs(MonoNs::now().0 + 4000 * MS))).await;
        coordinator.scale(2.0);
        let mut totals = Totals::default();
        while let Some(update) = coordinator.next().await {
            totals.take(update);
        }
        // From 0.2 s on: the amendment's lead is counted from the run's start, which lies ahead.
        assert_eq!(totals.finished[&0], 180);
    });
}

/// A run that is halted half a second after its start, goes on 0.6 s later and ends when it has gone on for as long. When it was told to.
fn halted(model: Model, steps: Vec<Step>) -> (Totals, u64) {
    runtime().block_on(async {
        let mut coordinator =
            Coordinator::start(options(plan(model, LONG_MS, steps), serve(act), 2)).await.unwrap();
        let (mut totals, mut asked, mut since) = (Totals::default(), 0, 0);
        while let Some(update) = coordinator.next().await {
            match &update {
                LoadUpdate::Amended { at, .. } => since = at.0,
                LoadUpdate::Counters(0, c) if asked < 3 && c.at >= since + [500, 400, 600][asked] * MS => {
                    asked += 1;
                    if asked == 3 { coordinator.stop() } else { coordinator.halt(asked == 1) }
                }
                _ => {}
            }
            totals.take(update);
        }
        let stops = |u: &LoadUpdate| match u {
            LoadUpdate::Amended { at, what: Amendment::Stop } => Some(at.0 / MS),
            _ => None,
        };
        let stopped = totals.updates.iter().find_map(stops).expect("it was stopped");
        (totals, stopped)
    })
}

#[test]
fn nothing_starts_in_a_halt_and_nothing_is_made_up_for_after_it() {
    let paced = (held(4), vec![forever(Some(20), vec![get(0, "/")])]);
    let open = (Model::Arrivals { from: 100.0, to: 100.0 }, vec![get(0, "/"), think(10), get(0, "/")]);
    for (model, steps) in [paced, open] {
        let (totals, ended) = halted(model, steps);
        let mut lanes = Lanes::new(&["a".to_owned()]);
        let readings: Vec<Reading> = totals.updates.iter().flat_map(|u| lanes.read(u)).collect();
        let spans: Vec<_> = readings
            .iter()
            .filter_map(|r| if let Reading::Event(e) = r { Some(e) } else { None })
            .filter(|e| e.kind == timeline::event::kinds::HALT)
            .collect();
        let [halt] = spans[..] else { panic!("one halt is one span: {spans:?}") };
        let lasted = halt.span().length().as_millis() as u64;
        assert!(lasted >= 400, "{halt:?}");
        // Of 200 steps a second; what starts late on a busy machine is not lost, what would have been in the halt is. A word that is
        // heard late is as much too late.
        let (expected, stood) = ((ended - lasted) / 5, totals.stood_ms());
        let finished = totals.finished[&0];
        assert!(finished.abs_diff(expected) < 40 + stood / 5, "{finished} of {expected}, {stood} ms stood");
        assert_eq!(totals.sum(|c| c.offered), totals.sum(|c| c.achieved), "{:?}", totals.counters);
        assert_eq!((totals.sum(|c| c.dropped), totals.errors().len()), (0, 0));
        let worst = totals.response[&0].max() / 1000;
        assert!(worst < lasted / 2 + stood, "{worst} ms of a halt of {lasted} ms, {stood} ms stood still");
        // A step that was under way may finish in it; from then on nothing does.
        let within = |c: &&loadgen::protocol::Counters| {
            (halt.start.0 + (200 + stood) * MS..halt.end.0).contains(&c.at)
        };
        let counters = totals
            .updates
            .iter()
            .filter_map(|u| if let LoadUpdate::Counters(0, c) = u { Some(&**c) } else { None });
        let starts: BTreeSet<u64> = counters.filter(within).map(|c| c.achieved).collect();
        let seen = starts.len() == 1 || (starts.is_empty() && 300 + stood > lasted);
        assert!(seen, "{starts:?}, {stood} ms stood still");
    }
}

#[test]
fn a_halted_load_can_be_ended() {
    runtime().block_on(async {
        let plan = plan(held(3), LONG_MS, vec![forever(Some(10), vec![get(0, "/")])]);
        let mut coordinator = Coordinator::start(options(plan, serve(act), 1)).await.unwrap();
        let (mut totals, mut asked) = (Totals::default(), 0);
        while let Some(update) = coordinator.next().await {
            if let LoadUpdate::Counters(_, c) = &update {
                match asked {
                    0 if c.completed > 0 => (asked, _) = (1, coordinator.halt(true)),
                    // Who has to go may go in a halt, and the others stand.
                    1 if c.at > 600 * MS => (asked, _) = (2, coordinator.scale(0.4)),
                    2 if c.open_sessions == 1 => (asked, _) = (3, coordinator.stop()),
                    _ => {}
                }
            }
            totals.take(update);
        }
        assert_eq!(asked, 3, "two of three go");
        assert_eq!((totals.done[&0].cut, totals.sum(|c| c.open_sessions)), (0, 0));
    });
}

#[test]
fn an_answer_that_came_while_the_worker_stood_still_is_no_timeout() {
    // So long that this server, on a busy machine, is no cause of a timeout itself.
    const LIMIT_MS: u64 = 5_000;
    static ASKED: AtomicU64 = AtomicU64::new(0);
    static ANSWERED: AtomicU64 = AtomicU64::new(0);
    fn act(_: &str, _: &str, s: &mut TcpStream) -> std::io::Result<bool> {
        ASKED.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
        ok(s, "")?;
        ANSWERED.fetch_add(1, Ordering::SeqCst);
        Ok(true)
    }
    let mut plan = plan(held(4), LONG_MS, vec![forever(None, vec![get(0, "/")])]);
    plan.timeout_ns = LIMIT_MS * MS;
    let totals = runtime().block_on(async {
        let mut coordinator = Coordinator::start(options(plan, serve(act), 1)).await.unwrap();
        let (mut totals, mut worker, mut stood) = (Totals::default(), None, None);
        while let Some(update) = coordinator.next().await {
            match &update {
                LoadUpdate::Joined { pid, .. } => worker = rustix::process::Pid::from_raw(*pid as i32),
                LoadUpdate::Counters(_, c) if c.completed >= 4 && stood.is_none() => {
                    let tell = |signal| rustix::process::kill_process(worker.unwrap(), signal).unwrap();
                    tell(rustix::process::Signal::STOP);
                    tokio::time::sleep(Duration::from_millis(LIMIT_MS + 1_000)).await;
                    let all = || ANSWERED.load(Ordering::SeqCst) == ASKED.load(Ordering::SeqCst);
                    assert!(until(all), "all that was asked is answered");
                    tell(rustix::process::Signal::CONT);
                    stood = Some(c.completed);
                }
                LoadUpdate::Counters(_, c) if stood.is_some_and(|before| c.completed >= before + 12) => {
                    coordinator.stop();
                }
                _ => {}
            }
            totals.take(update);
        }
        totals
    });
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    // The time that it lost is in what it measured.
    let worst = totals.service[&0].max();
    assert!(worst > LIMIT_MS * 1000, "{worst} us");
}
