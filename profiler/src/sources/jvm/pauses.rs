//! Pauses of a JVM: what its collectors and its safepoints tell of themselves.
//!
//! Owns the step from counters to events. Of a collector's last pause HotSpot tells begin and end to the nanosecond, of
//! those before it since our last look only how many and how long together, and of safepoints nothing else. Its clock is the
//! system's monotonic one since the JVM's start; when that was, [`Origin`] works out.

use timeline::event::kinds;
use timeline::{MonoNs, Unit};

use super::perfdata::Counters;
use crate::sources::{Sink, SourceEvent};

/// HotSpot has at most so many collectors.
const COLLECTORS: usize = 4;
/// Safepoints for other reasons than a collection count from here on, ns: shorter ones nobody notices, and the two clocks
/// that are subtracted from each other begin and end at slightly different instants.
const LEAST_SAFEPOINT_NS: i64 = 5_000_000;

/// The instant on our clock at which the JVM's clock stood at zero.
pub(super) struct Origin {
    guess: i64,
    low: i64,
    high: i64,
}

impl Origin {
    /// From wall clocks: the JVM writes down when it began, in milliseconds since the epoch. Good to some milliseconds, unless a wall
    /// clock was set since.
    pub fn new(counters: &Counters, now: MonoNs, unix_ms: i64) -> Self {
        let began = counters.number("sun.rt.createVmBeginTime").unwrap_or(unix_ms);
        let guess = (now.0 as i64).saturating_sub(unix_ms.saturating_sub(began).saturating_mul(1_000_000));
        Self { guess, low: i64::MIN, high: i64::MAX }
    }

    /// Something that the JVM stamped `at` was not there at `before` and was there at `after`.
    fn learn(&mut self, at: i64, before: Option<MonoNs>, after: MonoNs) {
        let high = (after.0 as i64).saturating_sub(at);
        let low = before.map_or(i64::MIN, |b| (b.0 as i64).saturating_sub(at));
        (self.low, self.high) = (self.low.max(low), self.high.min(high));
        if self.low > self.high {
            (self.low, self.high) = (low, high); // what we knew was wrong
        }
    }

    fn ours(&self, at: i64) -> MonoNs {
        MonoNs(self.guess.clamp(self.low, self.high).saturating_add(at).max(0) as u64)
    }
}

/// What was told already.
pub(super) struct Pauses {
    origin: Origin,
    collectors: [Option<Collector>; COLLECTORS],
    /// Greatest time in safepoints beyond collections so far, ns, and how many had begun by then.
    beyond: Option<(i64, i64)>,
    /// Begin of the last reading.
    before: Option<MonoNs>,
    /// Begin of the last reading at which nobody collected, and the time in collections until then, ns.
    between: Option<(MonoNs, i64)>,
}

/// What pauses come to since the last reading; nothing at the first.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Told {
    /// The longest, ns.
    pub longest: Option<f64>,
    /// Share of the time since it was last told in which a collector stopped the process. None while one does: its time is counted when
    /// it ends.
    pub collecting: Option<f64>,
}

/// Does this JVM count the time in collections?
pub(super) fn counts_collections(c: &Counters) -> bool {
    (0..COLLECTORS).any(|i| c.number(&format!("sun.gc.collector.{i}.time")).is_some())
}

#[derive(Clone, Copy)]
struct Collector {
    kind: &'static str,
    invocations: i64,
    time: i64,
    exit: i64,
}

impl Pauses {
    pub fn new(origin: Origin) -> Self {
        Self { origin, collectors: [None; COLLECTORS], beyond: None, before: None, between: None }
    }

    /// Tells the pauses since the last reading; this one was made from `begin` to `end`.
    pub fn tell(
        &mut self,
        c: &Counters,
        instance: &str,
        begin: MonoNs,
        end: MonoNs,
        sink: &mut dyn Sink,
    ) -> Told {
        let ns = |name: &str| c.number(name).map(|ticks| to_ns(ticks, c));
        if let Some(ticks) = ns("sun.os.hrt.ticks") {
            self.origin.learn(ticks, None, end); // a sampler writes it each 50 ms, up to Java 23
        }
        let first = self.before.is_none();
        let mut longest = 0_i64;
        let (mut collections, mut collecting, mut under_way) = (0_i64, 0_i64, false);
        for i in 0..COLLECTORS {
            let of = |what: &str| format!("sun.gc.collector.{i}.{what}");
            let (Some(invocations), Some(time)) = (c.number(&of("invocations")), ns(&of("time"))) else {
                continue;
            };
            collections = collections.saturating_add(invocations);
            collecting = collecting.saturating_add(time);
            let (entry, exit) = (ns(&of("lastEntryTime")).unwrap_or(0), ns(&of("lastExitTime")).unwrap_or(0));
            under_way |= exit < entry;
            let kind = kind(i, c.text(&of("name")).unwrap_or_default());
            let now = Collector { kind, invocations, time, exit };
            match &mut self.collectors[i] {
                known @ None => *known = Some(now),
                // An exit before its entry: the pause is not over.
                Some(known) if exit > known.exit && exit >= entry => {
                    self.origin.learn(exit, self.before, end);
                    let pause = Pause::of(known, &now, entry);
                    pause.tell(&self.origin, c.text("sun.gc.lastCause"), instance, sink);
                    longest = longest.max(pause.length).max(pause.mean_of_others);
                    *known = now;
                }
                Some(_) => {}
            }
        }
        if let Some(time) = ns("sun.rt.safepointTime") {
            let begun = c.number("sun.rt.safepoints").unwrap_or(0).saturating_sub(collections);
            if let Some((length, others)) = self.safepoints(time.saturating_sub(collecting), begun, end) {
                let place = placed(self.before, end);
                stop(kinds::PAUSE_STOP_THE_WORLD, instance, (end, length), others, place, sink);
                longest = longest.max(length);
            }
        }
        self.before = Some(begin);
        let share = if under_way { None } else { self.share(collecting, begin) };
        Told { longest: (!first).then_some(longest as f64), collecting: share }
    }

    /// Share of the time in collections until `begin`, since nobody collected last: then each of them lies whole within that time.
    fn share(&mut self, collecting: i64, begin: MonoNs) -> Option<f64> {
        let (since, before) = self.between.replace((begin, collecting))?;
        let elapsed = begin.since(since).as_nanos() as f64;
        let spent = collecting.saturating_sub(before).max(0) as f64;
        (elapsed > 0.0).then(|| (spent / elapsed).min(1.0))
    }

    /// How long a safepoint beyond collections was since the last reading, if long enough, and how many others there were: the mean of all, ns,
    /// since they are told together. The collector's time is added before the safepoint's, so the difference falls and comes back: only a new
    /// greatest is news. A safepoint is counted as it begins, and its time as it ends: until then its count is kept for it.
    fn safepoints(&mut self, time: i64, begun: i64, end: MonoNs) -> Option<(i64, u64)> {
        let Some((before, known)) = self.beyond else {
            self.beyond = Some((time, begun));
            return None;
        };
        let more = time.saturating_sub(before);
        if more <= 0 {
            return None;
        }
        self.beyond = Some((time, begun));
        let count = begun.saturating_sub(known).max(1);
        // What does not fit between two readings is of one that had begun before.
        let between = self.before.map_or(0, |before| end.since(before).as_nanos() as i64);
        let length = (more / count).max(more.saturating_sub(between));
        (length >= LEAST_SAFEPOINT_NS).then_some((length, (count - 1) as u64))
    }
}

/// A collector's last pause, and those before it since the last reading.
struct Pause {
    kind: &'static str,
    exit: i64,
    length: i64,
    others: u64,
    mean_of_others: i64,
}

impl Pause {
    fn of(known: &Collector, now: &Collector, entry: i64) -> Self {
        let time = now.time.saturating_sub(known.time).max(0);
        let others = now.invocations.saturating_sub(known.invocations).saturating_sub(1).max(0);
        let mut length = now.exit.saturating_sub(entry).max(0);
        if time > 0 && others == 0 {
            // Entry and exit are not read in one moment; no pause is longer than all of them together.
            length = length.min(time);
        }
        let mean_of_others = if others > 0 { time.saturating_sub(length).max(0) / others } else { 0 };
        Self { kind: now.kind, exit: now.exit, length, others: others as u64, mean_of_others }
    }

    fn tell(&self, origin: &Origin, cause: Option<&str>, instance: &str, sink: &mut dyn Sink) {
        let cause = cause.map(|c| ("cause".to_owned(), timeline::text::clean(c, timeline::event::LABEL_MAX)));
        stop(self.kind, instance, (origin.ours(self.exit), self.length), self.others, cause, sink);
    }
}

fn stop(
    kind: &str,
    instance: &str,
    (end, length): (MonoNs, i64),
    others: u64,
    label: Option<(String, String)>,
    sink: &mut dyn Sink,
) {
    sink.event(SourceEvent {
        kind: kind.to_owned(),
        instance: instance.to_owned(),
        start: MonoNs(end.0.saturating_sub(length.unsigned_abs())),
        end,
        labels: label.into_iter().collect(),
        value: 0.0,
        others,
    });
}

fn placed(before: Option<MonoNs>, end: MonoNs) -> Option<(String, String)> {
    let within = Unit::Ns.show(end.since(before?).as_nanos() as f64);
    Some(("placed".to_owned(), format!("anywhere within {within}")))
}

/// Names as of JDK 17 to 25: `G1 young collection pauses`, `Serial full collection pauses`, `ZGC major collection pauses`,
/// `G1 concurrent cycle pauses`, `Shenandoah full`. By the number where the name says nothing: 0 is the young generation's.
fn kind(number: usize, name: &str) -> &'static str {
    let has = |word: &str| name.contains(word);
    match number {
        _ if has("concurrent") || has("Shenandoah") => kinds::PAUSE_STOP_THE_WORLD,
        _ if has("young") || has("minor") => kinds::PAUSE_MINOR,
        _ if has("full") || has("major") => kinds::PAUSE_MAJOR,
        0 => kinds::PAUSE_MINOR,
        1 => kinds::PAUSE_MAJOR,
        _ => kinds::PAUSE_STOP_THE_WORLD,
    }
}

/// Ticks are nanoseconds on Linux and macOS; a file may say otherwise.
fn to_ns(ticks: i64, c: &Counters) -> i64 {
    match c.number("sun.os.hrt.frequency") {
        Some(hz) if hz > 0 && hz != 1_000_000_000 => {
            (i128::from(ticks) * 1_000_000_000 / i128::from(hz)) as i64
        }
        _ => ticks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::testing::Keeping;

    const MS: i64 = 1_000_000;

    /// A collector's counters: collections, their time, and when the last one began and ended, ms.
    fn counters(young: [i64; 4], full: [i64; 4]) -> Counters {
        let mut numbers = Vec::new();
        for (i, [invocations, time, entry, exit]) in [young, full].into_iter().enumerate() {
            let of = |what: &str| format!("sun.gc.collector.{i}.{what}");
            numbers.push((of("invocations"), invocations));
            let times = [("time", time), ("lastEntryTime", entry), ("lastExitTime", exit)];
            numbers.extend(times.map(|(what, ms)| (of(what), ms.saturating_mul(MS))));
        }
        Counters::of(&numbers.iter().map(|(name, n)| (name.as_str(), *n)).collect::<Vec<_>>())
    }

    fn pauses() -> Pauses {
        Pauses::new(Origin::new(&Counters::default(), MonoNs(0), 0))
    }

    fn tell(pauses: &mut Pauses, at_ms: u64, c: &Counters) -> Told {
        let at = MonoNs(at_ms * 1_000_000);
        pauses.tell(c, "pid-1", at, at, &mut Keeping::default())
    }

    #[test]
    fn time_in_collections_is_a_share_and_a_long_one_counts_when_it_is_over() {
        let mut pauses = pauses();
        assert_eq!(tell(&mut pauses, 1_000, &counters([5, 900, 980, 990], [0; 4])), Told::default());
        // Two of 10 ms within 100 ms.
        let told = tell(&mut pauses, 1_100, &counters([7, 920, 1_080, 1_090], [0; 4]));
        assert_eq!((told.longest, told.collecting), (Some(10e6), Some(0.2)));
        // A full one of 300 ms has begun, ...
        for at_ms in [1_200, 1_300, 1_400] {
            let told = tell(&mut pauses, at_ms, &counters([7, 920, 1_080, 1_090], [1, 0, 1_150, 0]));
            assert_eq!((told.longest, told.collecting), (Some(0.0), None));
        }
        // ... and is over: three quarters of the time since.
        let told = tell(&mut pauses, 1_500, &counters([7, 920, 1_080, 1_090], [1, 300, 1_150, 1_450]));
        assert_eq!((told.longest, told.collecting), (Some(300e6), Some(0.75)));
        let told = tell(&mut pauses, 1_600, &counters([7, 920, 1_080, 1_090], [1, 300, 1_150, 1_450]));
        assert_eq!((told.longest, told.collecting), (Some(0.0), Some(0.0)));
    }

    /// Length, ms, of the pauses that are told of counters read ten times a second, and how many others each stands for. They are safepoints and
    /// their time, ms, then collections and theirs.
    fn stops(readings: &[[i64; 4]]) -> Vec<(u64, u64)> {
        let (mut pauses, mut sink) = (pauses(), Keeping::default());
        for (n, [safepoints, time, collections, collecting]) in (100_u64..).zip(readings.iter().copied()) {
            let c = Counters::of(&[
                ("sun.rt.safepoints", safepoints),
                ("sun.rt.safepointTime", time * MS),
                ("sun.gc.collector.0.invocations", collections),
                ("sun.gc.collector.0.time", collecting * MS),
            ]);
            let at = MonoNs(n * 100_000_000);
            pauses.tell(&c, "pid-1", at, at, &mut sink);
        }
        assert!(sink.events.iter().all(|e| e.kind == kinds::PAUSE_STOP_THE_WORLD));
        sink.events.iter().map(|e| ((e.end.0 - e.start.0) / 1_000_000, e.others)).collect()
    }

    #[test]
    fn many_safepoints_between_two_readings_are_no_long_one() {
        let before = [100, 500, 40, 200];
        // Ten thread dumps of 9 ms; the same with three collections of 5 ms among them.
        assert_eq!(stops(&[before, [110, 590, 40, 200]]), [(9, 9)]);
        assert_eq!(stops(&[before, [113, 605, 43, 215]]), [(9, 9)]);
        // Ten of 1 ms are too short, collections are told elsewhere.
        assert!(stops(&[before, [110, 510, 40, 200], [120, 600, 50, 290]]).is_empty());
        // One alone; one of a JVM that does not count them.
        assert_eq!(stops(&[before, [101, 590, 40, 200]]), [(90, 0)]);
        assert_eq!(stops(&[[0, 500, 0, 0], [0, 590, 0, 0]]), [(90, 0)]);
    }

    #[test]
    fn a_safepoint_that_outlasts_readings_is_one_whatever_comes_with_it() {
        let before = [100, 500, 0, 0];
        let under_way = [101, 500, 0, 0];
        assert_eq!(stops(&[before, under_way, under_way, [101, 750, 0, 0]]), [(250, 0)]);
        // A short one before it; two after it.
        assert_eq!(stops(&[before, [102, 501, 0, 0], [102, 501, 0, 0], [102, 751, 0, 0]]), [(250, 0)]);
        assert_eq!(stops(&[before, under_way, under_way, [103, 2_502, 0, 0]]), [(1_902, 2)]);
    }

    #[test]
    fn counters_that_lie_give_a_share_or_none() {
        let mut pauses = pauses();
        let most = i64::MAX / MS;
        for (at_ms, young) in [
            (1, [0, most, 1, 2]),
            (2, [most, -most, -most, most]),
            (2, [1, most, 0, 0]),
            (3, [-1, -most, most, -most]),
        ] {
            let told = tell(&mut pauses, at_ms, &counters(young, [1, most, 0, 0]));
            assert!(told.collecting.is_none_or(|share| (0.0..=1.0).contains(&share)), "{told:?}");
        }
        let most = [i64::MAX, most, i64::MAX, most];
        let least = most.map(|n| -n);
        for (length, _) in stops(&[most, least, most, [i64::MAX, most[1], -i64::MAX, 0], [0; 4]]) {
            assert!(length >= LEAST_SAFEPOINT_NS as u64 / 1_000_000, "{length}");
        }
        assert!(!counts_collections(&Counters::default()));
        assert!(counts_collections(&counters([0; 4], [0; 4])));
    }
}
