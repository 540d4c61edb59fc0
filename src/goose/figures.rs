//! goose's `metrics-json` on the timeline: what came since the last answer.
//!
//! Owns the reading of the page (0.19's microsecond buckets, 0.18's milliseconds), the difference of two pages and which
//! lane takes what. goose's times end at an answer's head, so they are times to first byte, and labelled so.

use std::collections::BTreeMap;

use scenarios::journeys::Inside;
use serde::Deserialize;
use timeline::histogram::{self, Sparse};
use timeline::lane::{LaneSpec, names};
use timeline::recorder::Handle;
use timeline::{LaneId, MonoNs, Unit};

/// goose's instance on the timeline.
const INSTANCE: &str = "goose";
/// Most request names; a binary that puts ids into names has one for each.
const NAMES_MAX: usize = 200;
/// Longest name, characters.
const NAME_MAX: usize = 80;
/// How far back the first page reaches at most, ns: until then nobody listened.
const FIRST_NS: u64 = 1_000_000_000;
/// goose's buckets: 64 for each power of two, so they are exact below 128 us.
const BUCKET_BITS: u32 = 6;
/// Kinds of errors: an answer with a status from 400 on, and all else.
const STATUS: &str = "status";
const OTHER: &str = "other";
/// What is said of the users.
const MOST_USERS: &str =
    "goose tells its highest user count so far and no other: the open sessions do not fall when users leave";

/// The page, as far as it is read; whatever else is there, or missing, does not matter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Page {
    requests: BTreeMap<String, Request>,
    /// The most that ran at once so far; how many run now is not in the page.
    maximum_users: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Request {
    path: String,
    custom_method: String,
    raw_data: Timing,
    status_code_counts: BTreeMap<String, u64>,
    fail_count: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Timing {
    /// 0.19: least time of a bucket in microseconds, and how many.
    times_us: BTreeMap<u64, u64>,
    /// 0.18: milliseconds, rounded the more the longer they are.
    times: BTreeMap<u64, u64>,
    counter: u64,
}

/// What came of one request name since the last page.
#[derive(Debug, Default, PartialEq)]
struct Change {
    cells: Sparse,
    count: u64,
    failed: u64,
    failed_by_status: u64,
}

/// Turns pages into readings.
pub struct Figures {
    handle: Handle,
    last: BTreeMap<String, Request>,
    since: Option<MonoNs>,
    lanes: BTreeMap<(&'static str, String), Option<LaneId>>,
    left_out: u64,
    falls: u64,
}

impl Figures {
    /// Nothing read yet.
    pub fn new(handle: Handle) -> Self {
        Self { handle, last: BTreeMap::new(), since: None, lanes: BTreeMap::new(), left_out: 0, falls: 0 }
    }

    /// Takes an answer that came at `now`; says whether it was a page.
    pub fn take(&mut self, answer: &[u8], now: MonoNs) -> bool {
        let Some(page) = page(answer) else { return false };
        // What the first page counts began at an unknown instant since the run's start; most of it lately.
        let before = MonoNs(now.0.saturating_sub(FIRST_NS)).max(self.handle.clock().origin());
        let since = self.since.replace(now).unwrap_or(before);
        self.sample(names::OPEN_SESSIONS, "", Unit::Count, now, page.maximum_users as f64);
        self.differences(page, since, now);
        true
    }

    fn differences(&mut self, page: Page, since: MonoNs, now: MonoNs) {
        let seconds = now.since(since).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let (mut all, mut by_status, mut others) = (0, 0, 0);
        for (key, request) in page.requests {
            if !self.last.contains_key(&key) && self.last.len() >= NAMES_MAX {
                self.left_out += 1;
                continue;
            }
            let last = self.last.get(&key).cloned().unwrap_or_default();
            let fell = request.raw_data.counter < last.raw_data.counter;
            self.falls += u64::from(fell);
            let change = change(&if fell { Request::default() } else { last }, &request);
            let exchange = !request.custom_method.is_empty();
            let inside = if exchange { Inside::Exchange } else { Inside::FirstByte };
            let lane = if exchange { names::EXCHANGE } else { names::FIRST_BYTE };
            let step = format!("{}{}", timeline::text::clean(&key, NAME_MAX), inside.suffix());
            if change.count > 0 {
                self.histogram(lane, &step, since, now, change.cells);
            }
            if change.failed > 0 || self.lanes.contains_key(&(names::STEP_ERRORS, step.clone())) {
                self.rate(names::STEP_ERRORS, &step, since, now, change.failed as f64 / seconds);
            }
            all += change.count;
            by_status += change.failed_by_status;
            others += change.failed - change.failed_by_status;
            self.last.insert(key, request);
        }
        self.rate(names::COMPLETED, "", since, now, all as f64 / seconds);
        for (kind, n) in [(STATUS, by_status), (OTHER, others)] {
            if n > 0 || self.lanes.contains_key(&(names::ERRORS, kind.to_owned())) {
                self.rate(names::ERRORS, kind, since, now, n as f64 / seconds);
            }
        }
    }

    /// What cannot be seen in the figures themselves.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.since.is_some() {
            notes.push(MOST_USERS.to_owned());
        }
        if self.left_out > 0 {
            notes.push(format!("only the first {NAMES_MAX} request names of goose are in the figures"));
        }
        if self.falls > 0 {
            notes.push(
                "goose began to count anew during the run; what it had not told by then is lost".to_owned(),
            );
        }
        notes
    }

    fn lane(&mut self, name: &'static str, subject: &str, spec: impl FnOnce() -> LaneSpec) -> Option<LaneId> {
        let handle = &self.handle;
        let about = |spec: LaneSpec| if subject.is_empty() { spec } else { spec.about(subject) };
        *self.lanes.entry((name, subject.to_owned())).or_insert_with(|| handle.declare(about(spec())))
    }

    fn sample(&mut self, name: &'static str, subject: &str, unit: Unit, at: MonoNs, value: f64) {
        if let Some(id) = self.lane(name, subject, || LaneSpec::level(name, INSTANCE, unit)) {
            self.handle.sample(id, at, value);
        }
    }

    /// A rate since `since`; where the lane begins late, it was zero until then.
    fn rate(&mut self, name: &'static str, subject: &str, since: MonoNs, at: MonoNs, value: f64) {
        let fresh = !self.lanes.contains_key(&(name, subject.to_owned()));
        if let Some(id) = self.lane(name, subject, || LaneSpec::rate(name, INSTANCE, Unit::PerSecond)) {
            if fresh {
                self.handle.sample(id, since, 0.0);
            }
            self.handle.sample(id, at, value);
        }
    }

    fn histogram(&mut self, name: &'static str, subject: &str, from: MonoNs, to: MonoNs, cells: Sparse) {
        if let Some(id) = self.lane(name, subject, || LaneSpec::histogram(name, INSTANCE)) {
            self.handle.histogram(id, from, to, cells);
        }
    }
}

/// The page in an answer; none where it is words.
fn page(answer: &[u8]) -> Option<Page> {
    // An array would be taken for a page whose fields are all missing.
    let is_object = answer.trim_ascii_start().starts_with(b"{");
    serde_json::from_slice(answer).ok().filter(|_| is_object)
}

fn change(last: &Request, now: &Request) -> Change {
    let mut all = histogram::new();
    let mut count = 0;
    let newer = |now: &BTreeMap<u64, u64>, last: &BTreeMap<u64, u64>| -> Vec<(u64, u64)> {
        // More than that in a second is a lie, and would only make sums overflow.
        let more =
            |(t, n): (&u64, &u64)| (*t, n.saturating_sub(last.get(t).copied().unwrap_or(0)).min(1 << 32));
        now.iter().map(more).filter(|(_, n)| *n > 0).collect()
    };
    for (us, n) in newer(&now.raw_data.times_us, &last.raw_data.times_us) {
        all.saturating_record_n(middle_us(us), n);
        count += n;
    }
    for (ms, n) in newer(&now.raw_data.times, &last.raw_data.times) {
        all.saturating_record_n(ms.saturating_mul(1_000), n);
        count += n;
    }
    let failed = now.fail_count.saturating_sub(last.fail_count);
    let by_status: u64 = now
        .status_code_counts
        .iter()
        .filter(|(code, _)| code.parse::<u16>().is_ok_and(|c| c >= 400))
        .map(|(code, n)| n.saturating_sub(last.status_code_counts.get(code).copied().unwrap_or(0)))
        .fold(0, u64::saturating_add);
    Change { cells: Sparse::of(&all), count, failed, failed_by_status: by_status.min(failed) }
}

/// The middle of a bucket of goose's, whose least time is `us`.
fn middle_us(us: u64) -> u64 {
    let width = 1u64 << us.max(1).ilog2().saturating_sub(BUCKET_BITS);
    us.saturating_add(width / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::testing::recorder;

    const NEW: &str = r#"{"hash":1,"duration":3,"maximum_users":4,"requests":{
        "GET /":{"path":"/","method":"Get","raw_data":{"times_us":{"100":2,"20480":1},"minimum_time_us":100,"counter":3},
                 "status_code_counts":{"200":2,"500":1},"success_count":2,"fail_count":1},
        "WS say":{"path":"say","method":"Custom","custom_method":"WS","raw_data":{"times_us":{"64":5},"counter":5},
                 "status_code_counts":{},"success_count":5,"fail_count":0}}}"#;
    const OLD: &str = r#"{"hash":1,"history":[],"requests":{
        "GET /":{"path":"/","method":"Get","raw_data":{"times":{"7":2,"120":1},"counter":3},
                 "status_code_counts":{"200":3},"success_count":3,"fail_count":0}}}"#;

    fn read(text: &str) -> Page {
        page(text.as_bytes()).unwrap()
    }

    #[test]
    fn both_versions_are_read() {
        let new = read(NEW);
        let c = change(&Request::default(), &new.requests["GET /"]);
        assert_eq!((c.count, c.failed, c.failed_by_status), (3, 1, 1));
        // The bucket from 20480 us on is 256 us wide.
        let max = c.cells.max_ns().unwrap() / 1e3;
        assert!((20_480.0..20_736.0).contains(&max), "{max}");
        let old = read(OLD);
        let c = change(&Request::default(), &old.requests["GET /"]);
        assert_eq!((c.count, c.failed), (3, 0));
        assert!((c.cells.max_ns().unwrap() / 120e6 - 1.0).abs() < 0.01);
    }

    #[test]
    fn only_what_is_new_counts() {
        let request = &read(NEW).requests["GET /"];
        let c = change(request, request);
        assert_eq!((c.count, c.failed), (0, 0));
        let mut later = request.clone();
        later.raw_data.times_us.insert(100, 12);
        assert_eq!(change(request, &later).count, 10);
    }

    #[test]
    fn what_the_user_count_means_is_said_of_a_run_that_has_one() {
        let recorder = recorder();
        let mut figures = Figures::new(recorder.handle());
        assert!(!figures.take(b"no metrics yet", MonoNs::now()) && figures.notes().is_empty());
        assert!(figures.take(NEW.as_bytes(), MonoNs::now()));
        assert_eq!(figures.notes(), [MOST_USERS]);
    }

    #[test]
    fn hostile_pages_do_no_harm() {
        let huge = format!(
            r#"{{"requests":{{"x":{{"raw_data":{{"times_us":{{"{m}":{m}}},"counter":{m}}},"fail_count":{m}}}}}}}"#,
            m = u64::MAX
        );
        let page = read(&huge);
        let c = change(&Request::default(), &page.requests["x"]);
        assert_eq!((c.count, c.failed), (1 << 32, u64::MAX));
        for text in
            ["", "[]", "{\"requests\":3}", "no metrics yet", "{\"requests\":{\"a\":{\"fail_count\":-1}}}"]
        {
            assert!(super::page(text.as_bytes()).is_none(), "{text}");
        }
    }
}
