//! Runs for tests: plausible timelines built entry by entry, without a server or a clock.

use timeline::breakdown::{Breakdown, Law, Part};
use timeline::facts::{Again, EndReason, LoadModel, PhaseFacts, PlanFacts, RunEnd, RunMeta};
use timeline::finding::Evidence;
use timeline::histogram::{self, Sparse};
use timeline::lane::{LaneId, LaneSpec, names};
use timeline::{Entry, Finding, FindingKind, Quality, RunTime, Severity, Span, Status, Timeline, Unit};

use crate::explain::{Explanation, Looked};
use crate::summary::Summary;

/// What a name from outside may hold at worst.
pub(crate) const HOSTILE: &str = "</script><script>alert(1)</script>]]>\"' & ${x} \u{1b}[31m\u{0}\u{202e}, -->\n<img src=x onerror=alert(2)>";

/// A finished run.
pub(crate) struct Run {
    pub meta: RunMeta,
    pub timeline: Timeline,
    pub findings: Vec<Finding>,
    pub end: Option<RunEnd>,
}

impl Run {
    pub(crate) fn summary(&self) -> Summary {
        Summary::new(&self.meta, &self.timeline, &self.findings, self.end.as_ref())
    }

    pub(crate) fn explanation(&self) -> Explanation {
        let breakdowns = self.findings.iter().filter(|f| f.kind == FindingKind::CacheStampede).map(breakdown);
        Explanation::new(&self.summary(), breakdowns.collect(), looked_for())
    }
}

/// A flash sale of a minute: warm-up to 10 s; a key stampedes every 5 s from 20 s to 40 s and fills the pool.
pub(crate) fn flash_sale() -> Run {
    run(&["log in", "browse", "hot product", "check out"], "flash-sale", 60)
}

/// The same for an hour.
pub(crate) fn hour() -> Run {
    run(&["log in", "browse", "hot product", "check out"], "flash-sale", 3_600)
}

/// A run whose every text tries to break out of its format.
pub(crate) fn hostile() -> Run {
    let evil = || HOSTILE.to_owned();
    let mut run = run(&[HOSTILE, "a,b c"], HOSTILE, 30);
    run.meta.about = evil();
    run.meta.target = format!("javascript:{HOSTILE}");
    run.meta.scenario_text = format!("about = '''{HOSTILE}'''");
    run.meta.attached = vec![evil()];
    run.meta.notes = vec![evil()];
    run.meta.host = vec![(evil(), evil())];
    run.meta.run_id = evil();
    run.meta.gates = vec![evil(), "no findings".to_owned()];
    for f in &mut run.findings {
        f.subject = evil();
        f.claim = evil();
        f.advice = vec![evil()];
        f.evidence.iter_mut().for_each(|e| e.text = evil());
        f.caused_by_reason = f.caused_by.as_ref().map(|_| evil());
    }
    let lane = run.timeline.series().len() as u32;
    let specs = [
        LaneSpec::rate(names::ERRORS, "gen-0", Unit::PerSecond).about(evil()),
        LaneSpec::level(format!("pool.{HOSTILE}.waiters"), evil(), Unit::Count),
        LaneSpec::level(evil(), evil(), Unit::Count),
    ];
    for (i, spec) in specs.into_iter().enumerate() {
        let lane = LaneId(lane + i as u32);
        run.timeline.apply(&Entry::Lane(lane, spec));
        run.timeline.apply(&Entry::Sample { lane, at: seconds(15), value: 30.0 });
    }
    run
}

/// A run that ended so, and whose gate holds.
pub(crate) fn ended(reason: EndReason) -> Summary {
    let mut run = flash_sale();
    run.meta.gates = vec!["errors < 1%".to_owned()];
    run.end = run.end.map(|end| RunEnd { reason, ..end });
    run.summary()
}

/// A run whose generator could not keep its schedule.
pub(crate) fn starved() -> Run {
    let mut run = flash_sale();
    let claim = "the load generator could not keep its schedule since 00:15 (lateness p99 up to 299 ms in 5 of 5 s): the run is invalid"
        .to_owned();
    run.findings = vec![Finding { claim, ..finding("F1", FindingKind::GeneratorLimited, "", 15) }];
    run
}

fn seconds(s: u64) -> RunTime {
    RunTime::from_ms(s * 1_000)
}

fn run(steps: &[&str], scenario: &str, length: u64) -> Run {
    let mut builder = Builder::default();
    let phase = |name: &str, from: u64, to: u64, warmup| PhaseFacts {
        name: name.to_owned(),
        span: Span::new(seconds(from), seconds(to)),
        warmup,
        model: LoadModel::Sessions,
        from: if warmup { 0.0 } else { 5_000.0 },
        to: 5_000.0,
    };
    builder.timeline.apply(&Entry::Plan(PlanFacts {
        phases: vec![phase("arrive", 0, 10, true), phase("sale", 10, length, false)],
        steps: steps.iter().map(|s| (*s).to_owned()).collect(),
        ..PlanFacts::default()
    }));
    builder.client(steps, length);
    builder.target(length);
    Run {
        meta: meta(scenario),
        timeline: builder.timeline,
        findings: findings(),
        end: Some(RunEnd { reason: EndReason::Completed, at: seconds(length), notes: Vec::new() }),
    }
}

/// A stampede is on in the first second of every five from 20 s to 40 s.
fn stampeding(second: u64) -> bool {
    (20..40).contains(&second) && second.is_multiple_of(5)
}

#[derive(Default)]
struct Builder {
    timeline: Timeline,
    lanes: u32,
}

impl Builder {
    fn lane(&mut self, spec: LaneSpec) -> LaneId {
        let id = LaneId(self.lanes);
        self.lanes += 1;
        self.timeline.apply(&Entry::Lane(id, spec));
        id
    }

    /// A level or rate every 100 ms.
    fn fill(&mut self, spec: LaneSpec, length: u64, value: impl Fn(u64) -> f64) {
        let lane = self.lane(spec);
        for tenth in 1..=length * 10 {
            let at = RunTime::from_ms(tenth * 100);
            self.timeline.apply(&Entry::Sample { lane, at, value: value((tenth - 1) / 10) });
        }
    }

    /// A histogram every second.
    fn times(&mut self, spec: LaneSpec, length: u64, cells: impl Fn(u64) -> Vec<(u32, u32)>) {
        let lane = self.lane(spec);
        for s in 0..length {
            // Through a histogram, so that values are those that real cells have.
            let mut h = histogram::new();
            cells(s).into_iter().for_each(|(us, n)| h.record_n(u64::from(us), u64::from(n)).unwrap());
            let span = Span::new(seconds(s), seconds(s + 1));
            self.timeline.apply(&Entry::Histogram { lane, span, cells: Sparse::of(&h) });
        }
    }

    fn client(&mut self, steps: &[&str], length: u64) {
        let rate = |name| LaneSpec::rate(name, "gen-0", Unit::PerSecond);
        let bad = |yes: f64, no: f64| move |s| if stampeding(s) { yes } else { no };
        self.fill(rate(names::OFFERED), length, |_| 800.0);
        self.fill(rate(names::ACHIEVED), length, |_| 800.0);
        self.fill(rate(names::COMPLETED), length, bad(400.0, 850.0));
        self.fill(rate(names::DROPPED), length, |_| 0.0);
        self.fill(rate(names::ERRORS).about("timeout"), length, bad(7.0, 0.0));
        let sessions = LaneSpec::level(names::OPEN_SESSIONS, "gen-0", Unit::Count);
        self.fill(sessions, length, |s| (s.min(10) * 500) as f64);
        self.fill(LaneSpec::level(names::GENERATOR_CPU, "gen-0", Unit::Cores), length, |_| 0.42);
        self.fill(LaneSpec::level(names::GENERATOR_HICCUP, "gen-0", Unit::Ns).worst(), length, |_| 2.1e6);
        self.times(LaneSpec::histogram(names::LATENESS, "gen-0"), length, |_| vec![(600, 700), (1_500, 100)]);
        for (i, step) in steps.iter().enumerate() {
            let base = 900 + 700 * i as u32;
            let slow = move |s: u64| if stampeding(s) { 240_000 } else { base };
            let cells = move |us: u32| vec![(us, 100), (us * 2, 80), (us * 5, 18), (us * 9, 2)];
            let times = |name| LaneSpec::histogram(name, "gen-0").about(*step);
            self.times(times(names::RESPONSE), length, move |s| cells(slow(s)));
            self.times(times(names::SERVICE), length, move |s| cells(slow(s) - 300));
            self.fill(
                rate(names::STEP_ERRORS).about(*step),
                length,
                bad(if i == 0 { 7.0 } else { 0.0 }, 0.0),
            );
        }
    }

    fn target(&mut self, length: u64) {
        let bad = |yes: f64, no: f64| move |s| if stampeding(s) { yes } else { no };
        for shop in ["shop-0", "shop-1"] {
            let level = |name: &str, unit| LaneSpec::level(name, shop, unit);
            let rate = |name: &str| LaneSpec::rate(name, shop, Unit::PerSecond);
            let sampled = |name, unit| level(name, unit).quality(Quality::Sampled);
            self.fill(level("pool.db.capacity", Unit::Count), length, |_| 8.0);
            self.fill(level("pool.db.in-use", Unit::Count), length, bad(8.0, 2.0));
            self.fill(level("pool.db.waiters", Unit::Count), length, bad(59.0, 0.0));
            self.times(LaneSpec::histogram("pool.db.wait", shop), length, |s| {
                if stampeding(s) { vec![(180_000, 60), (410_000, 3)] } else { vec![(20, 90)] }
            });
            self.fill(rate("cache.products.hits"), length, bad(90.0, 400.0));
            self.fill(rate("cache.products.misses"), length, bad(61.0, 0.2));
            self.fill(rate("cache.products.duplicate-loads"), length, bad(59.0, 0.0));
            self.fill(sampled(names::HEAP_YOUNG, Unit::Bytes), length, |s| 9e6 + 1e6 * (s % 4) as f64);
            self.fill(sampled(names::HEAP_OLD, Unit::Bytes), length, |_| 31e6);
            self.fill(level(names::PAUSE, Unit::Ns).worst(), length, |s| 4e5 + 1e5 * (s % 7) as f64);
            self.fill(level(names::PROCESS_CPU, Unit::Cores), length, bad(0.9, 0.4));
            self.fill(level(names::PROCESS_RESIDENT, Unit::Bytes), length, |_| 96e6);
        }
        self.fill(LaneSpec::level(names::HOST_STEAL, "host", Unit::Ratio), length, |_| 0.002);
        // Declared and never heard of.
        self.lane(LaneSpec::level(names::LOOP_UTILISATION, "shop-0", Unit::Ratio));
    }
}

fn meta(scenario: &str) -> RunMeta {
    let texts = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    RunMeta {
        run_id: "20261123-081732-7".to_owned(),
        dyno_version: "0.1.0".to_owned(),
        started_unix_ms: 1_795_421_852_592,
        command: "run".to_owned(),
        scenario: scenario.to_owned(),
        about: "A product goes on sale: five thousand shoppers, one hot key".to_owned(),
        scenario_text: "about = \"A product goes on sale\"\n\n[[phase]]\nname = \"sale\"\nsessions = 5000\n"
            .to_owned(),
        seed: 7,
        target: "http://127.0.0.1:8080".to_owned(),
        bundled: true,
        attached: texts(&[
            "agent of shop at http://127.0.0.1:9090: 2 processes",
            "host: CPU in use and stolen",
        ]),
        gates: texts(&[
            "errors < 1%",
            "p99 < 250ms for hot product",
            "p99.99 < 500ms for log in in phase arrive",
            "pool.db.waiters max < 200",
        ]),
        host: vec![("cores".to_owned(), "2".to_owned()), ("kernel".to_owned(), "Linux 6.1".to_owned())],
        workers: 1,
        notes: texts(&["target on core 0, generator on core 1"]),
        again: Again::default(),
    }
}

fn evidence(text: &str, lane: &str, value: f64, unit: Unit) -> Evidence {
    let span = Span::new(seconds(20), seconds(36));
    Evidence { text: text.to_owned(), lane: lane.to_owned(), span, value, unit }
}

fn findings() -> Vec<Finding> {
    let stampede = Finding {
        ended: Some(seconds(36)),
        claim: "key product:7 of cache products is loaded 59 times per expiry since 00:20 in 2 processes, \
                each load taking 222 ms"
            .to_owned(),
        evidence: vec![
            evidence(
                "236 loads of key product:7 at 4 expiries, where one per process (2) would do",
                "cache.refresh",
                236.0,
                Unit::Count,
            ),
            evidence(
                "law: 1 + rate x load time allows up to 140 per expiry, seen 59: it agrees",
                "cache.products.load",
                59.0,
                Unit::Count,
            ),
        ],
        contradicting: vec![evidence(
            "the hit ratio is 98 % between expiries",
            "cache.products.hits",
            0.98,
            Unit::Ratio,
        )],
        advice: vec![
            "Let one request load a key while the others wait for it (single flight): 59 loads per expiry become 2."
                .to_owned(),
            "Refresh early at random (XFetch): about 2.7 loads per refresh whatever the load.".to_owned(),
        ],
        ..finding("F1", FindingKind::CacheStampede, "product:7", 20)
    };
    let pool = Finding {
        severity: Severity::Warning,
        status: Status::Likely,
        ended: Some(seconds(36)),
        claim: "pool db is full from 00:20: up to 118 waiters on 16 connections".to_owned(),
        evidence: vec![evidence("118 waiters on 16 connections", "pool.db.waiters", 118.0, Unit::Count)],
        advice: vec!["Cure the cause first; 16 connections are enough for the load without it.".to_owned()],
        caused_by: Some("F1".to_owned()),
        caused_by_reason: Some("precedes by 240 ms; a stampede's loads fill the pool".to_owned()),
        missing: vec!["db.active".to_owned()],
        ..finding("F2", FindingKind::PoolSaturated, "db", 20)
    };
    vec![stampede, pool]
}

fn finding(id: &str, kind: FindingKind, subject: &str, onset: u64) -> Finding {
    Finding {
        subject: subject.to_owned(),
        severity: Severity::Critical,
        status: Status::Confirmed,
        found_at: RunTime::from_ms(onset * 1_000 + 1_400),
        ..Finding::bare(id, kind, seconds(onset))
    }
}

fn looked_for() -> Vec<Looked> {
    let looked = |kind, status, text: &str| Looked { kind, status, text: text.to_owned() };
    vec![
        looked(FindingKind::CacheStampede, Status::Confirmed, "key product:7 is loaded 59 times per expiry"),
        looked(FindingKind::HeapLeak, Status::NotSeen, "looked for and not seen"),
        looked(FindingKind::OffloadSaturated, Status::CannotTell, "missing: offload.wait, offload.queued"),
    ]
}

fn breakdown(f: &Finding) -> Breakdown {
    let span = |a, b| Span::new(seconds(a), seconds(b));
    let part = |what: &str, lane: &str, before: f64, after: f64, own| Part {
        what: if f.claim == HOSTILE { HOSTILE.to_owned() } else { what.to_owned() },
        lane: lane.to_owned(),
        before,
        after,
        own,
        inferred: !own,
    };
    Breakdown {
        finding: f.id.clone(),
        before: span(12, 19),
        after: span(20, 36),
        requests_before: 5_600,
        requests_after: 11_200,
        handled_before: 5_600,
        handled_after: 11_180,
        response_before: 2.4e6,
        response_after: 62.4e6,
        service_before: 2.1e6,
        service_after: 52.1e6,
        parts: vec![
            part(
                "due but not sent: its session waits for the answer before",
                "client.response",
                0.3e6,
                10.3e6,
                false,
            ),
            part("waiting for a connection of a pool", "pool.*.wait", 0.02e6, 31e6, false),
            part("the rest of the handler", "server.handler", 1.1e6, 1.0e6, false),
        ],
        inside: vec![part("loading what a cache did not hold", "cache.*.load", 0.2e6, 48e6, true)],
        laws: vec![
            law("requests inside handlers: 700/s x 52.1 ms = 36.5 by Little's law, 36.1 counted", 36.5, 36.1),
            law("waiters for pool db: 90/s x 180 ms = 16.2 by Little's law, 59.0 counted", 16.2, 59.0),
        ],
        missing: Vec::new(),
    }
}

fn law(text: &str, expected: f64, seen: f64) -> Law {
    Law {
        text: text.to_owned(),
        lane: "pool.db.waiters".to_owned(),
        span: Span::new(seconds(20), seconds(36)),
        expected,
        seen,
        unit: Unit::Count,
        closes: (expected - seen).abs() < 1.0,
    }
}
