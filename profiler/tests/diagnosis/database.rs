//! Faults of pools and database are found with their figures, and what looks like them stays silent, on made-up requests
//! of two processes.

use crate::world::{Dice, World, find, kinds_of, ms, phase};
use timeline::event::kinds;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, LaneSpec, Severity, Status, Unit};

use dynamometer_profiler::Diagnosis;

/// When what is wrong begins, seconds.
const ONSET: f64 = 12.0;
const LIST: &str = "SELECT product.id, name, cents FROM product JOIN price ON price.product = product.id WHERE product.id > ?";
const PRICE: &str = "SELECT cents FROM price WHERE product = ?";
const ORDERS: &str = "SELECT id, cents FROM purchase WHERE customer = ? ORDER BY id DESC LIMIT ?";
const COUNT: &str = "SELECT count(*) FROM purchase";
const RATED: &str = "SELECT product, avg(stars) FROM review GROUP BY product";

/// A statement: its text, how long it takes (ms), rows given, rows stepped over.
type Ask = (&'static str, f64, f64, f64);

/// One connection out of the pool.
#[derive(Default)]
struct Visit {
    asks: Vec<Ask>,
    /// Until a connection was there, ms.
    wait_ms: f64,
    opened: bool,
    lost: bool,
    /// How much longer the request stays after it, ms.
    after_ms: f64,
}

/// What one request does with the database.
struct Request {
    route: &'static str,
    visits: Vec<Visit>,
    together: bool,
}

fn request(route: &'static str, asks: Vec<Ask>) -> Request {
    Request { route, visits: vec![Visit { asks, ..Visit::default() }], together: false }
}

/// A page: one statement of 11 ms.
fn page(dice: &mut Dice) -> Request {
    request("/products", vec![(LIST, 11.0 + dice.exp(0.5), 20.0, 0.0)])
}

/// What is told of rows that are read and not wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scans {
    ByStatement,
    ByTable,
    /// As fetched by way of the table's indexes.
    ByIndex,
    Untold,
}

#[derive(Clone, Copy)]
struct Shop {
    seed: u64,
    /// Requests per second of both processes.
    rate: f64,
    /// What comes at second `t`.
    comes: fn(f64, &mut Dice) -> Request,
    /// Connections open in each process beyond those in use, by second.
    idle: fn(f64) -> f64,
    /// Of each process; more are never out.
    capacity: f64,
    scans: Scans,
}

impl Default for Shop {
    fn default() -> Self {
        Self {
            seed: 1,
            rate: 120.0,
            comes: |_, d| page(d),
            idle: |_| 8.0,
            capacity: 200.0,
            scans: Scans::ByStatement,
        }
    }
}

/// Things of one lane of one process: instants (ms) with amounts, or ends with durations (us).
type Track = std::collections::BTreeMap<(&'static str, &'static str), Vec<(f64, f64)>>;

/// What happened in one process.
#[derive(Default)]
struct Told {
    counts: Track,
    times: Track,
    /// From, to: requests that wait for a connection, connections out, requests under way.
    waiting: Vec<(f64, f64)>,
    out: Vec<(f64, f64)>,
    under_way: Vec<(f64, f64)>,
}

impl Told {
    fn count(&mut self, lane: &'static str, about: &'static str, at: f64, n: f64) {
        self.counts.entry((lane, about)).or_default().push((at, n));
    }

    fn time(&mut self, lane: &'static str, about: &'static str, at: f64, took_ms: f64) {
        self.times.entry((lane, about)).or_default().push((at, took_ms * 1e3));
    }

    fn take(&mut self, start: f64, request: &Request) {
        let (mut at, mut end, mut sum, mut wall) = (start, start, 0.0, 0.0_f64);
        let mut sent: Vec<&str> = Vec::new();
        for visit in &request.visits {
            let mut t = at + visit.wait_ms;
            let taken = t;
            self.waiting.push((at, taken));
            self.count("pool.db.acquired", "", t, 1.0);
            self.time("pool.db.wait", "", t, visit.wait_ms);
            self.count("pool.db.opened", "", t, f64::from(u8::from(visit.opened)));
            self.count(names::SERVER_DB_CHECKOUTS, request.route, at, 1.0);
            for &(text, took, rows, scanned) in &visit.asks {
                self.count(names::SERVER_DB_STATEMENTS, request.route, t, 1.0);
                if sent.contains(&text) {
                    self.count(names::SERVER_DB_REPEATED, request.route, t, 1.0);
                }
                sent.push(text);
                t += took;
                self.count(names::DB_CALLS, text, t, 1.0);
                self.count(names::DB_ROWS, text, t, rows);
                self.count(names::DB_SCANNED, text, t, scanned);
                self.time(names::DB_TIME, text, t, took);
            }
            if visit.lost {
                self.out.push((taken, f64::MAX));
            } else {
                self.out.push((taken, t));
                self.time("pool.db.hold", "", t, t - taken);
            }
            sum += t - at;
            end = end.max(t + visit.after_ms);
            wall = if request.together { wall.max(t - at) } else { wall + t - at };
            if !request.together {
                at = t;
            }
        }
        self.count(names::SERVER_DB_REPEATED, request.route, start, 0.0);
        self.time(names::SERVER_DB_TIME, request.route, end, sum);
        self.time(names::SERVER_DB_WALL, request.route, end, wall);
        self.under_way.push((start, end));
    }
}

const SECONDS: u64 = 26;

fn build(shop: Shop) -> World {
    let phases = vec![phase(0, 3, 20.0, 100.0, true), phase(3, SECONDS, 100.0, 100.0, false)];
    let mut w = World::empty(SECONDS, phases);
    let mut dice = Dice::new(shop.seed);
    for name in ["shop-0", "shop-1"] {
        let mut told = Told::default();
        let mut t = 0.0;
        while t < SECONDS as f64 * 1e3 {
            t += dice.exp(2e3 / shop.rate);
            let came = (shop.comes)(t / 1e3, &mut dice);
            told.take(t, &came);
        }
        tell(&mut w, name, &told, shop);
    }
    w
}

/// Samples of one process at 10 Hz.
fn tell(w: &mut World, name: &str, told: &Told, shop: Shop) {
    let mut level = |lane: &str| w.lane(LaneSpec::level(lane, name, Unit::Count));
    let levels = [level("pool.db.in-use"), level("pool.db.idle"), level("pool.db.waiters")];
    let (capacity, in_flight) = (level("pool.db.capacity"), level(names::SERVER_IN_FLIGHT));
    for i in 1..SECONDS * 10 {
        let t = i as f64 * 100.0;
        let among = |spans: &[(f64, f64)]| spans.iter().filter(|s| s.0 <= t && t < s.1).count() as f64;
        let (out, idle) = (among(&told.out), (shop.idle)(t / 1e3));
        for (lane, value) in levels.into_iter().zip([out.min(shop.capacity), idle, among(&told.waiting)]) {
            w.sample(lane, ms(i * 100), value);
        }
        w.sample(capacity, ms(i * 100), shop.capacity);
        // It is known from the first request on, the pool from the start.
        if i > 10 {
            w.sample(in_flight, ms(i * 100), among(&told.under_way));
        }
    }
    for (&(lane, about), amounts) in &told.counts {
        if lane == names::DB_SCANNED && shop.scans != Scans::ByStatement {
            if shop.scans != Scans::Untold {
                tables(w, name, about, amounts, shop.scans == Scans::ByIndex);
            }
            continue;
        }
        let lane = w.lane(LaneSpec::rate(lane, name, Unit::PerSecond).about(about));
        let cells = cells(amounts, 100.0);
        for i in 1..SECONDS * 10 {
            let n: f64 = cells[i as usize].iter().sum();
            w.sample(lane, ms(i * 100), n * 10.0);
        }
    }
    for (&(lane, about), durations) in &told.times {
        let lane = w.lane(LaneSpec::histogram(lane, name).about(about));
        let cells = cells(durations, 100.0);
        for i in 1..SECONDS * 10 {
            w.histogram(lane, ms(i * 100 - 100), ms(i * 100), &cells[i as usize]);
        }
    }
}

/// Amounts by the interval in which they fall; interval `i` ends at `i * length`.
fn cells(amounts: &[(f64, f64)], length: f64) -> Vec<Vec<f64>> {
    let mut cells = vec![Vec::new(); SECONDS as usize * 10 + 1];
    for &(at, n) in amounts {
        if let Some(cell) = cells.get_mut((at / length) as usize + 1) {
            cell.push(n);
        }
    }
    cells
}

/// What a server says of its tables once a second; both processes hear the same, here each its own half twice.
fn tables(w: &mut World, name: &str, text: &str, amounts: &[(f64, f64)], by_index: bool) {
    let table = if text.contains("purchase") { "purchase" } else { "price" };
    let mut rate = |lane: &str| w.lane(LaneSpec::rate(lane, name, Unit::PerSecond).worst().about(table));
    let (scans, scanned, fetched) =
        (rate(names::DB_TABLE_SCANS), rate(names::DB_TABLE_SCANNED), rate(names::DB_TABLE_FETCHED));
    let cells = cells(amounts, 1_000.0);
    for i in 1..SECONDS * 10 {
        let told = i % 10 == 3 && i > 10;
        let read: Vec<f64> = cells[i as usize / 10].iter().copied().filter(|&n| n > 0.0 && told).collect();
        let (calls, rows) = (read.len() as f64 * 2.0 * 10.0, read.iter().sum::<f64>() * 2.0 * 10.0);
        let (of_scans, of_indexes) = if by_index { ([0.0; 2], rows) } else { ([calls, rows], 0.0) };
        w.sample(scans, ms(i * 100), of_scans[0]);
        w.sample(scanned, ms(i * 100), of_scans[1]);
        // A lane of its own begins when it is first told of.
        if i > 10 {
            w.sample(fetched, ms(i * 100), of_indexes);
        }
    }
}

/// Is it wrong at second `t`?
fn wrong(t: f64) -> bool {
    (ONSET..ONSET + 8.0).contains(&t)
}

fn scanning(t: f64, d: &mut Dice) -> Request {
    let (took, scanned) = if wrong(t) { (19.0, 100_000.0) } else { (11.0, 0.0) };
    request("/orders", vec![(ORDERS, took + d.exp(1.0), 20.0, scanned)])
}

fn rows_one_by_one(t: f64, d: &mut Dice) -> Request {
    if !wrong(t) || d.unit() < 0.2 {
        return page(d);
    }
    let mut asks = vec![("SELECT id, name FROM product WHERE id > ?", 11.0, 20.0, 0.0)];
    asks.extend((0..20).map(|_| (PRICE, 11.0 + d.exp(0.3), 1.0, 0.0)));
    request("/products", asks)
}

const SIX: [&str; 6] = ["SELECT 1", "SELECT 2", "SELECT 3", "SELECT 4", "SELECT 5", "SELECT 6"];

fn questions(count: usize, together: bool, d: &mut Dice) -> Request {
    let visit = |text: &&'static str, d: &mut Dice| Visit {
        asks: vec![(*text, 11.0 + d.exp(1.0), 1.0, 0.0)],
        ..Visit::default()
    };
    let visits = SIX[..count].iter().map(|text| visit(text, d)).collect();
    Request { route: "/dashboard", visits, together }
}

fn losing(t: f64, d: &mut Dice, share: f64) -> Request {
    let mut request = page(d);
    request.visits[0].lost = wrong(t) && d.unit() < share;
    request
}

fn opening(t: f64, d: &mut Dice) -> Request {
    let mut request = page(d);
    if wrong(t) {
        request.visits[0].opened = true;
        request.visits[0].wait_ms = 11.0 + d.exp(0.5);
    }
    request
}

const FAULTS: [(FindingKind, Shop, &str); 6] = [
    (FindingKind::SlowQuery, shop(scanning, 100.0), "reads 100k rows to give 20 "),
    (
        FindingKind::QueryFanOut,
        shop(rows_one_by_one, 40.0),
        "repeats `SELECT cents FROM price WHERE product = ?`",
    ),
    (
        FindingKind::SerialAwaits,
        shop(|t, d| questions(6, !wrong(t), d), 20.0),
        "asks the database 6 times in a row",
    ),
    (FindingKind::PoolLeak, shop(|t, d| losing(t, d, 0.02), 120.0), "held by nobody"),
    (FindingKind::ConnectionChurn, shop(opening, 100.0), "% of its uses since"),
    (FindingKind::PoolOversized, large(), "connections open since"),
];

const fn shop(comes: fn(f64, &mut Dice) -> Request, rate: f64) -> Shop {
    Shop { seed: 1, rate, comes, idle: |_| 8.0, capacity: 200.0, scans: Scans::ByStatement }
}

const fn large() -> Shop {
    Shop {
        seed: 1,
        rate: 120.0,
        comes: |_, d| page(d),
        idle: |t| if wrong(t) { 150.0 } else { 8.0 },
        capacity: 200.0,
        scans: Scans::ByStatement,
    }
}

fn diagnose(shop: Shop) -> Diagnosis {
    build(shop).diagnose()
}

#[test]
fn a_statement_of_every_request_is_not_the_one_that_a_list_repeats() {
    fn comes(t: f64, d: &mut Dice) -> Request {
        let list = d.unit() < 0.02;
        if list { rows_one_by_one(t, d) } else { request("/page", vec![(LIST, 0.8, 1.0, 0.0)]) }
    }
    let d = diagnose(shop(comes, 900.0));
    let f = find(&d, FindingKind::QueryFanOut);
    assert!(f.claim.contains("repeats `SELECT cents FROM price WHERE product = ?`"), "{}", f.claim);
}

#[test]
fn a_pool_that_nobody_asks_has_no_peak_to_be_too_large_for() {
    let found = |rate: f64| kinds_of(&diagnose(Shop { rate, ..large() }));
    assert_eq!((found(120.0), found(0.5)), (vec![FindingKind::PoolOversized], vec![]));
}

#[test]
fn each_fault_is_found_alone_with_its_figures_soon_after_its_onset_and_ends() {
    for (kind, shop, says) in FAULTS {
        for seed in 0..4 {
            let d = diagnose(Shop { seed, ..shop });
            assert_eq!(kinds_of(&d), [kind], "seed {seed}: {:#?}", d.findings());
            let f = find(&d, kind);
            assert_eq!(f.status, Status::Confirmed, "{f:#?}");
            assert!(f.claim.contains(says), "{}", f.claim);
            let from_onset = f.found_at.as_secs_f64() - ONSET;
            assert!((0.0..=4.0).contains(&from_onset), "{} after {from_onset} s", kind.name());
            let late = f.onset.as_secs_f64() - ONSET;
            // The first connection is lost when chance will have it.
            let room = if kind == FindingKind::PoolLeak { 2.5 } else { 1.0 };
            assert!((-0.3..=room).contains(&late), "{} begins {late} s late", kind.name());
            // Nobody gives back what has leaked.
            assert_eq!(f.ended.is_some(), kind != FindingKind::PoolLeak, "{f:#?}");
        }
    }
}

#[test]
fn a_server_that_counts_scans_by_table_still_leads_to_the_statement() {
    fn comes(t: f64, d: &mut Dice) -> Request {
        // Another statement has to read the whole table all the time.
        if d.unit() < 0.2 {
            return request("/count", vec![(COUNT, 14.0, 1.0, 100_000.0)]);
        }
        scanning(t, d)
    }
    for seed in 0..4 {
        let d = diagnose(Shop { seed, scans: Scans::ByTable, ..shop(comes, 100.0) });
        assert_eq!(kinds_of(&d), [FindingKind::SlowQuery], "{:#?}", d.findings());
        let f = find(&d, FindingKind::SlowQuery);
        assert_eq!((f.subject.as_str(), f.status), (ORDERS, Status::Confirmed));
        assert!(f.advice[0].contains("CREATE INDEX ON purchase (customer)"), "{}", f.advice[0]);
        assert!(f.found_at.as_secs_f64() - ONSET <= 5.0, "{}", f.found_at);
    }
}

#[test]
fn a_look_up_that_walks_an_index_which_does_not_find_its_rows_is_told_by_what_it_fetches() {
    // Too little slower to be told by its time alone.
    const BOTH: (bool, bool) = (true, true);
    fn comes(t: f64, d: &mut Dice, (slower, fetches): (bool, bool)) -> Request {
        let took = if slower && wrong(t) { 19.0 } else { 11.0 };
        let fetched = if fetches && wrong(t) { 100_000.0 } else { 20.0 };
        request("/orders", vec![(ORDERS, took + d.exp(1.0), 20.0, fetched), (PRICE, 11.0, 1.0, 1.0)])
    }
    let told = |comes| diagnose(Shop { scans: Scans::ByIndex, ..shop(comes, 60.0) });
    let d = told(|t, d| comes(t, d, BOTH));
    assert_eq!(kinds_of(&d), [FindingKind::SlowQuery], "{:#?}", d.findings());
    let f = find(&d, FindingKind::SlowQuery);
    assert_eq!((f.subject.as_str(), f.status), (ORDERS, Status::Confirmed), "{f:#?}");
    assert!(f.claim.contains("rows to give 20 since 00:1") && f.claim.contains("along an index"), "{f:#?}");
    assert!(f.evidence.iter().any(|e| e.lane == names::DB_TABLE_FETCHED), "{f:#?}");
    assert!(f.advice[0].contains("CREATE INDEX ON purchase (customer)"), "{}", f.advice[0]);
    assert!((f.onset.as_secs_f64() - ONSET).abs() <= 0.5, "{f:#?}");
    assert!(f.found_at.as_secs_f64() - ONSET <= 3.0 && f.ended.is_some(), "{f:#?}");
    // It takes no longer for it, or is slower and fetches no more.
    for comes in [|t, d: &mut Dice| comes(t, d, (false, true)), |t, d: &mut Dice| comes(t, d, (true, false))]
    {
        assert!(told(comes).findings().is_empty());
    }
    // It is slower because something else is, and both are; or it counts what it fetches.
    let both: fn(f64, &mut Dice) -> Request = |t, d| {
        let mut came = comes(t, d, BOTH);
        came.visits[0].asks.iter_mut().skip(1).for_each(|ask| ask.1 *= if wrong(t) { 1.8 } else { 1.0 });
        came.visits[0].asks.push(("SELECT 1", if wrong(t) { 1.8 } else { 1.0 }, 1.0, 0.0));
        came
    };
    assert_eq!(told(both).findings(), []);
    let counts: fn(f64, &mut Dice) -> Request = |t, d| {
        let mut came = comes(t, d, BOTH);
        came.visits[0].asks[0].0 = "SELECT count(*) FROM purchase WHERE customer = ?";
        came
    };
    assert!(told(counts).findings().is_empty());
    // It has always fetched so many: whether it wants them, nobody knows.
    let always: fn(f64, &mut Dice) -> Request = |t, d| {
        let mut came = comes(t, d, (true, false));
        came.visits[0].asks[0].3 = 100_000.0;
        came
    };
    assert!(told(always).findings().is_empty());
}

#[test]
fn a_look_up_that_has_always_scanned_a_table_goes_on_and_its_own_past_confirms_nothing() {
    let always: fn(f64, &mut Dice) -> Request = |_, d| scanning(ONSET, d);
    // A busy machine makes it slower for a while: it scanned before that, too.
    let slowed: fn(f64, &mut Dice) -> Request = |t, d| {
        let took = if wrong(t) { 40.0 } else { 19.0 };
        request("/orders", vec![(ORDERS, took + d.exp(1.0), 20.0, 100_000.0)])
    };
    for comes in [always, slowed] {
        for seed in 0..4 {
            let d = diagnose(Shop { seed, scans: Scans::ByTable, ..shop(comes, 100.0) });
            assert_eq!(kinds_of(&d), [FindingKind::SlowQuery], "{:#?}", d.findings());
            let f = find(&d, FindingKind::SlowQuery);
            assert_eq!((f.subject.as_str(), f.status, f.ended), (ORDERS, Status::Likely, None), "{f:#?}");
            assert!(f.onset <= ms(3_000), "{}", f.onset);
        }
    }
}

#[test]
fn a_plan_is_evidence_only_where_it_scans_much_of_the_table_of_the_look_up() {
    let told = |plan: &str, table: &str, cost: &str| {
        let mut w = build(shop(scanning, 100.0));
        let labels =
            [("statement", ORDERS), ("plan", plan), ("table", table), ("filter", ""), ("cost", cost)];
        w.event(kinds::DB_PLAN, "postgres-1", ms(5_000), ms(5_000), &labels, 2_300.0);
        let d = w.diagnose();
        let f = find(&d, FindingKind::SlowQuery);
        let has = |list: &[Evidence]| list.iter().any(|e| e.lane == kinds::DB_PLAN);
        (has(&f.evidence), has(&f.contradicting))
    };
    assert_eq!(told("Limit > Sort > Seq Scan on purchase", "purchase", "2041.00"), (true, false));
    // Older recordings do not say what the scan costs.
    assert_eq!(told("Gather > Parallel Seq Scan on purchase", "purchase", ""), (true, false));
    assert_eq!(told("Hash Join > Hash > Seq Scan on state", "state", "1.05"), (false, false));
    assert_eq!(told("Seq Scan on purchase", "purchase", "1.05"), (false, false));
    // It was planned before the statement was slow.
    assert_eq!(told("Index Scan using orders on purchase", "purchase", "8.30"), (false, false));
}

#[test]
fn a_plan_that_turns_from_an_index_to_a_scan_is_enough_where_nobody_counts_rows() {
    const SEEKS: &str = "CO-ROUTINE p > SEARCH purchase USING INDEX purchase_by_customer (customer=?)";
    const SCANS: &str = "CO-ROUTINE p > SCAN purchase";
    // A round trip hides most of what the scan takes.
    fn slower(t: f64, d: &mut Dice) -> Request {
        request("/orders", vec![(ORDERS, if wrong(t) { 5.7 } else { 3.0 } + d.exp(0.3), 20.0, 0.0)])
    }
    fn as_ever(_: f64, d: &mut Dice) -> Request {
        request("/orders", vec![(ORDERS, 3.2 + d.exp(0.3), 20.0, 0.0)])
    }
    // Slow from 15 s on; and from 4 s on.
    fn later(t: f64, d: &mut Dice) -> Request {
        slower(if t > 15.0 { 12.5 } else { 0.0 }, d)
    }
    fn before(t: f64, d: &mut Dice) -> Request {
        slower(if t > 4.0 { 12.5 } else { 0.0 }, d)
    }
    fn for_a_while(t: f64, d: &mut Dice) -> Request {
        slower(if t < 18.0 { t } else { 0.0 }, d)
    }
    let told = |comes, turns: &[(u64, &str, &str, &str)]| {
        let mut w = build(Shop { scans: Scans::Untold, ..shop(comes, 60.0) });
        for &(at, plan, before, more) in [(400, SEEKS, "", "")].iter().chain(turns) {
            for (instance, at) in [("shop-0", at), ("shop-1", at + 200)] {
                let (table, cost) = more.split_once(' ').unwrap_or(("purchase", ""));
                let cost = (!cost.is_empty()).then_some(("cost", cost));
                let labels = [("statement", ORDERS), ("plan", plan), ("before", before), ("table", table)];
                let labels: Vec<(&str, &str)> = labels.into_iter().chain(cost).collect();
                w.event(kinds::DB_PLAN, instance, ms(at), ms(at), &labels, 0.0);
            }
        }
        w.diagnose()
    };
    let turn = (12_300, SCANS, SEEKS, "");
    let d = told(slower, &[turn]);
    assert_eq!(kinds_of(&d), [FindingKind::SlowQuery], "{:#?}", d.findings());
    let f = find(&d, FindingKind::SlowQuery);
    assert_eq!((f.subject.as_str(), f.status, f.missing.len()), (ORDERS, Status::Confirmed, 0), "{f:#?}");
    assert!(
        f.claim.contains("reads a whole table since 00:1") && f.claim.contains("instead of"),
        "{}",
        f.claim
    );
    assert!(
        (f.onset.as_secs_f64() - ONSET).abs() <= 0.5 && f.found_at.as_secs_f64() - ONSET <= 2.0,
        "{f:#?}"
    );
    let plan = f.evidence.iter().find(|e| e.lane == kinds::DB_PLAN).unwrap();
    assert!(plan.text.contains(&format!("{SCANS} instead of {SEEKS} (estimated")), "{}", plan.text);
    assert!(f.advice[0].contains("CREATE INDEX ON purchase (customer)"), "{}", f.advice[0]);
    // The index comes back.
    let d = told(for_a_while, &[turn, (18_300, SEEKS, SCANS, "")]);
    let ended = find(&d, FindingKind::SlowQuery).ended.unwrap().as_secs_f64();
    assert!((17.5..19.5).contains(&ended), "{ended}");
    // One that has not turned, one that takes no longer, or that does so later, or did before.
    let silent = |comes, turn| assert!(told(comes, &[turn]).findings().is_empty(), "{turn:?}");
    silent(slower, (12_300, SCANS, "", ""));
    silent(as_ever, turn);
    silent(later, turn);
    silent(before, turn);
    // One that walks another index, or walked one before; that scans another table, or a small one.
    silent(slower, (12_300, "SCAN purchase USING COVERING INDEX other", SEEKS, ""));
    silent(slower, (12_300, SCANS, "SCAN purchase USING COVERING INDEX other", ""));
    silent(slower, (12_300, "Hash > Seq Scan on state", "Index Scan using orders on purchase", "state 900"));
    silent(slower, (12_300, "Seq Scan on purchase", "Index Scan using orders on purchase", "purchase 1.05"));
}

#[test]
fn a_statement_that_waits_for_locks_lacks_no_index() {
    // Somebody keeps the row: 20 a second wait 400 ms for it, so that 8 are inside.
    fn comes(t: f64, _: &mut Dice) -> Request {
        let took = if wrong(t) { 400.0 } else { 1.0 };
        request("/orders", vec![(PRICE, 0.5, 1.0, 0.0), (LIST, 0.5, 20.0, 0.0), (ORDERS, took, 5.0, 0.0)])
    }
    let told = |waiting: f64| {
        let mut w = build(Shop { scans: Scans::ByTable, ..shop(comes, 20.0) });
        let lane = w.lane(LaneSpec::level(names::DB_WAITING, "postgres-1", Unit::Count));
        for s in 1..SECONDS {
            w.sample(lane, ms(s * 1_000), if wrong(s as f64 - 0.5) { waiting } else { 0.0 });
        }
        find(&w.diagnose(), FindingKind::SlowQuery).clone()
    };
    let f = told(8.0);
    assert!(f.claim.contains("it waits for locks, 8 connections at a time"), "{}", f.claim);
    assert!(f.advice[0].contains("pg_blocking_pids") && f.remedies.is_empty(), "{f:#?}");
    assert!(f.evidence.iter().any(|e| e.lane == names::DB_WAITING) && f.status == Status::Likely, "{f:#?}");
    // One that waits does not explain eight.
    let f = told(1.0);
    assert!(f.advice[0].contains("CREATE INDEX ON purchase (customer)") && f.remedies.len() == 1, "{f:#?}");
}

#[test]
fn a_look_up_that_alone_becomes_slow_is_told_where_nobody_counts_scans() {
    fn comes(t: f64, d: &mut Dice) -> Request {
        let took = if wrong(t) { 90.0 } else { 11.0 };
        request(
            "/orders",
            vec![(PRICE, 11.0, 1.0, 0.0), (LIST, 11.0, 20.0, 0.0), (ORDERS, took + d.exp(1.0), 20.0, 0.0)],
        )
    }
    // All are slow together: the machine is, or the way there.
    fn slowed(t: f64, d: &mut Dice) -> Request {
        let took = if wrong(t) { 90.0 } else { 11.0 };
        let asks = [PRICE, LIST, ORDERS].map(|text| (text, took + d.exp(1.0), 20.0, 0.0));
        request("/orders", asks.to_vec())
    }
    let told = |comes| diagnose(Shop { scans: Scans::Untold, ..shop(comes, 30.0) });
    let d = told(comes);
    let f = find(&d, FindingKind::SlowQuery);
    assert_eq!((f.subject.as_str(), f.status), (ORDERS, Status::Likely), "{f:#?}");
    assert!(
        f.claim.contains("has become slow") && f.missing.contains(&names::DB_TABLE_SCANNED.to_owned()),
        "{f:#?}"
    );
    let missing = |d: &Diagnosis| d.states().into_iter().find(|a| a.0 == FindingKind::SlowQuery).map(|a| a.1);
    assert_eq!(missing(&told(slowed)), Some(Status::CannotTell));
}

#[test]
fn what_has_always_been_so_is_found_but_not_confirmed() {
    for (kind, shop) in [
        (FindingKind::SlowQuery, shop(|_, d| scanning(ONSET, d), 100.0)),
        (FindingKind::SerialAwaits, shop(|_, d| questions(6, false, d), 20.0)),
    ] {
        let d = diagnose(shop);
        assert_eq!(kinds_of(&d), [kind]);
        assert_eq!(find(&d, kind).status, Status::Likely);
    }
}

/// Loads that look like a fault and are none.
const HEALTHY: [(&str, Shop); 11] = [
    ("pages", shop(|_, d| page(d), 300.0)),
    ("six questions awaited together", shop(|_, d| questions(6, true, d), 60.0)),
    ("three steps in a row, each of which needs the one before", shop(|_, d| questions(3, false, d), 60.0)),
    (
        "one connection for many different statements",
        shop(
            |_, _| {
                request(
                    "/product",
                    SIX.iter().chain(&[PRICE, ORDERS]).map(|s| (*s, 11.0, 1.0, 0.0)).collect(),
                )
            },
            60.0,
        ),
    ),
    ("a statement repeated thrice", shop(|_, _| request("/cart", vec![(PRICE, 11.0, 1.0, 0.0); 4]), 60.0)),
    (
        "reports that read all there is",
        shop(
            |_, d| {
                request(
                    "/report",
                    vec![(COUNT, 14.0 + d.exp(1.0), 1.0, 100_000.0), (RATED, 14.0, 5.0, 4_000.0)],
                )
            },
            40.0,
        ),
    ),
    (
        "a look-up in a small table, which is rightly scanned",
        shop(|_, _| request("/price", vec![(PRICE, 11.0, 1.0, 500.0)]), 60.0),
    ),
    (
        "a scan that gives much of what it reads",
        shop(|_, _| request("/export", vec![(LIST, 30.0, 900.0, 5_000.0)]), 20.0),
    ),
    (
        "holds that become ten times as long",
        shop(
            |t, d| {
                request(
                    "/products",
                    vec![(LIST, if wrong(t) { 110.0 } else { 11.0 } + d.exp(3.0), 20.0, 0.0)],
                )
            },
            120.0,
        ),
    ),
    (
        "many that come at once and wait for each other, for a moment",
        shop(
            |t, d| {
                let crowd = (ONSET..ONSET + 0.15).contains(&t);
                if !crowd && d.unit() > 0.05 {
                    return Request { route: "/", visits: Vec::new(), together: false };
                }
                let took = if crowd { 12.0 } else { 0.6 };
                request(
                    "/orders",
                    vec![(PRICE, 0.5, 1.0, 0.0), (LIST, 0.5, 20.0, 0.0), (ORDERS, took, 5.0, 0.0)],
                )
            },
            300.0,
        ),
    ),
    (
        "a large pool that a peak has used",
        Shop {
            seed: 1,
            rate: 300.0,
            comes: |_, d| request("/products", vec![(LIST, 150.0 + d.exp(20.0), 20.0, 0.0)]),
            idle: |_| 30.0,
            capacity: 200.0,
            scans: Scans::ByStatement,
        },
    ),
];

#[test]
fn healthy_loads_that_look_like_a_fault_stay_silent() {
    for (name, shop) in HEALTHY {
        for seed in 0..4 {
            let d = diagnose(Shop { seed, ..shop });
            assert!(d.findings().is_empty(), "{name}, seed {seed}: {:#?}", d.findings());
            let server = diagnose(Shop { seed, scans: Scans::ByTable, ..shop });
            assert!(server.findings().is_empty(), "{name}, seed {seed}: {:#?}", server.findings());
        }
    }
}

#[test]
fn the_pool_that_it_empties_is_told_under_the_leak() {
    fn comes(t: f64, d: &mut Dice) -> Request {
        let mut request = losing(t, d, 0.1);
        if (14.5..ONSET + 8.0).contains(&t) {
            request.visits[0].wait_ms = 400.0;
        }
        request
    }
    for seed in 0..4 {
        let d = diagnose(Shop { seed, capacity: 12.0, ..shop(comes, 120.0) });
        assert_eq!(kinds_of(&d), [FindingKind::PoolLeak, FindingKind::PoolSaturated], "{:#?}", d.findings());
        assert_eq!(d.findings()[1].caused_by.as_ref(), Some(&d.findings()[0].id));
        assert_eq!(d.findings()[0].severity, Severity::Critical);
        // More connections run empty later, so none are advised.
        let (leak, effect) = (&d.findings()[0].id, &d.findings()[1]);
        assert!(
            effect.advice[0].starts_with(&format!("First cure {leak} (pool leak of db): ")),
            "{effect:#?}"
        );
        assert!(!effect.claim.contains("needs") && effect.remedies.is_empty(), "{effect:#?}");
        assert!(effect.advice.iter().all(|a| !a.contains("Raise")), "{effect:#?}");
    }
}

#[test]
fn jobs_that_keep_a_few_connections_for_good_are_no_leak() {
    fn comes(t: f64, d: &mut Dice) -> Request {
        // One of each process begins at 6 s: nobody asked for it in a request.
        losing(ONSET, d, if (6.0..6.02).contains(&t) { 1.0 } else { 0.0 })
    }
    for seed in 0..4 {
        let d = diagnose(Shop { seed, ..shop(comes, 60.0) });
        assert!(d.findings().iter().all(|f| f.kind != FindingKind::PoolLeak), "{:#?}", d.findings());
    }
}

#[test]
fn a_pool_that_fills_is_no_churn() {
    let mut w = build(Shop::default());
    for name in ["new-0", "new-1"] {
        // A new process opens sixteen connections, one in each sample, while it serves.
        let mut lane = |lane: &str, rate: bool| {
            let spec = if rate { LaneSpec::rate } else { LaneSpec::level };
            w.lane(spec(lane, name, Unit::Count))
        };
        let (opened, acquired) = (lane("pool.db.opened", true), lane("pool.db.acquired", true));
        let (in_use, idle) = (lane("pool.db.in-use", false), lane("pool.db.idle", false));
        for i in 80..SECONDS * 10 {
            let filled = (i - 79).min(16) as f64;
            w.sample(opened, ms(i * 100), if filled < 16.0 { 10.0 } else { 0.0 });
            w.sample(acquired, ms(i * 100), 20.0);
            w.sample(in_use, ms(i * 100), 1.0);
            w.sample(idle, ms(i * 100), filled - 1.0);
        }
    }
    let d = w.diagnose();
    assert!(d.findings().is_empty(), "{:#?}", d.findings());
}

#[test]
fn without_a_lane_each_says_which() {
    let states = World::empty(5, vec![phase(0, 5, 10.0, 10.0, false)]).diagnose().states();
    for (kind, lane) in [
        (FindingKind::SlowQuery, "db.calls"),
        (FindingKind::QueryFanOut, "server.db.repeated"),
        (FindingKind::SerialAwaits, "server.db.wall"),
        (FindingKind::PoolLeak, "pool.NAME.in-use"),
        (FindingKind::PoolOversized, "pool.NAME.idle"),
        (FindingKind::ConnectionChurn, "pool.NAME.opened"),
    ] {
        let (_, status, says) = states.iter().find(|s| s.0 == kind).unwrap();
        assert_eq!(*status, Status::CannotTell, "{}", kind.name());
        assert!(says.contains(lane), "{says}");
    }
}

#[test]
fn claims_and_advice_read_well() {
    let mut text = String::new();
    for (kind, shop, _) in FAULTS {
        let d = diagnose(shop);
        let f = find(&d, kind);
        text += &format!("{} {}: {}\n", f.severity.name(), kind.name(), f.claim);
        for e in f.evidence.iter().chain(&f.contradicting) {
            text += &format!("    {} | {}\n", e.lane, e.text);
        }
        f.advice.iter().for_each(|a| text += &format!("  > {a}\n"));
    }
    insta::assert_snapshot!("claims", text);
}
