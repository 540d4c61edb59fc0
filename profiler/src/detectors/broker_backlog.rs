//! Broker backlog: messages come faster than their consumers take them.
//!
//! **Claim.** A topic's queue grows and goes on growing, and messages get older, while nobody upstream notices. **Reads**
//! `broker.NAME.{depth,published,consumed,consumers,age,refused}`. **Statistic.** The depth, every 250 ms over up to the last 15 s: since the knot of its
//! flat-then-rising line it rises (Mann and Kendall's z), by ten messages or more, and is above all that it was in the minute before. **Needs**
//! 5 s of growth; a slow one needs as long as ten messages take. Of a broker that tells its depth every few seconds: its last twenty
//! answers, of which fifteen rise. **Law.** Messages are kept: what is consumed and what the queue grew by is
//! a whole multiple of what was published (one for each queue that gets a copy), and by Little's law the old ones are depth / rate old. Where
//! both hold, it is confirmed.
//!
//! A burst that drains again turns before the 5 s are over, and batches that are taken now and then make a saw whose earlier teeth were as
//! high. A warm-up is left out; a ramp of the load is not: a queue that grows under it is what it says.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::{Answer, Claim, ONSET, evidence, plural, they};
use crate::stats::{Trend, knot, trend};
use crate::window;

/// How far back, seconds.
const WINDOW_S: f64 = 15.0;
/// Points in it: four a second.
const POINTS: u32 = 60;
/// A broker elsewhere is asked for its depth every second or two.
const CARRY: Duration = Duration::from_secs(3);
/// One that tells it more seldom than this (RabbitMQ's own figures are of every five seconds) would repeat itself at those points, which rise
/// in steps then: its answers are looked at instead, so many of them, each good until the next one is overdue.
const SELDOM: Duration = Duration::from_millis(2_500);
const ANSWERS: u32 = 20;
const OVERDUE: f64 = 1.5;
/// Least data: growth of so long, and of so many messages.
const LEAST_GROWTH_S: f64 = 5.0;
const LEAST_GROWTH: f64 = 10.0;
/// Mann and Kendall's z of the growth. Chance reaches 4 once in 30,000; neighbouring points hang together, so more is asked.
const LEAST_Z: f64 = 5.0;
/// Share of pairs of points that rise. Sawteeth with four teeth reach 0.65.
const RISING: f64 = 0.85;
/// The floor ends where so much of the growth lies below.
const FLOOR: f64 = 0.05;
/// Against what it was in the minute before: a queue that has been so deep before comes down by itself.
const EARLIER: Duration = Duration::from_secs(60);
const ABOVE_EARLIER: f64 = 1.3;
/// Where several tell their part of it, what they held together then is looked at four times a second.
const EARLIER_POINTS: u32 = 240;
/// Law of kept messages: the multiple may miss a whole number by so much of it.
const COPIES_TOLERANCE: f64 = 0.2;
/// Little's law: factor within which the age and depth / rate agree.
const AGE_FACTOR: f64 = 2.0;
/// Age at which whoever waits for the message calls it lost.
const CRITICAL_AGE_NS: f64 = 60e9;
/// How much more than needed consumers should be able to take: at 80% of it queues stay short.
const ROOM: f64 = 0.8;
/// Silence after which it has ended.
const QUIET: Duration = Duration::from_secs(6);

/// Looks at every topic.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    let mut topics = timeline.members(names::BROKER);
    topics.retain(|t| timeline.named(&lane(t, "depth")).any(|s| !s.points.is_empty()));
    if topics.is_empty() {
        return Answer::CannotTell(vec!["broker.NAME.depth".to_owned()]);
    }
    Answer::Looked(topics.iter().filter_map(|t| look_at(timeline, at, t)).collect())
}

fn lane(topic: &str, part: &str) -> String {
    names::of(names::BROKER, topic, part)
}

fn look_at(timeline: &Timeline, at: RunTime, topic: &str) -> Option<Claim> {
    let name = lane(topic, "depth");
    let warm = timeline.plan().warm_from().min(at);
    let grid = Grid::of(timeline, &name, at, warm);
    let points = depths(timeline, &name, &grid);
    let from = knot(&points)?;
    let rising: Vec<(f64, f64)> = points.iter().copied().filter(|p| p.0 >= from).collect();
    let (first, last) = (*rising.first()?, *rising.last()?);
    let trend = trend(&rising)?;
    let onset = RunTime::from_secs_f64(left_floor(&rising));
    let grows = last.0 - first.0 >= LEAST_GROWTH_S
        && last.1 - first.1 >= LEAST_GROWTH
        && trend.z >= LEAST_Z
        && trend.rising >= RISING
        && last.1 >= ABOVE_EARLIER * highest_before(timeline, &name, onset, grid.carry);
    grows.then(|| Seen::read(timeline, topic, Span::new(onset, at), &grid, last.1, trend).claim(topic))
}

/// When the depth last was at its floor: the knot of a noisy line lies up to a second or two before it.
fn left_floor(rising: &[(f64, f64)]) -> f64 {
    let (floor, top) = rising.first().zip(rising.last()).map_or((0.0, 0.0), |(a, b)| (a.1, b.1));
    let low = floor + FLOOR * (top - floor);
    rising.iter().rev().find(|p| p.1 <= low).or(rising.first()).map_or(0.0, |p| p.0)
}

/// The instants at which a depth is looked at.
struct Grid {
    span: Span,
    points: u32,
    /// For how long a value is good.
    carry: Duration,
}

impl Grid {
    /// As fine as the topic tells its depth, up to `at` and not before `warm`.
    fn of(timeline: &Timeline, name: &str, at: RunTime, warm: RunTime) -> Self {
        let paces =
            timeline.named(name).filter_map(|s| window::typical_gap(window::until(s, at), ANSWERS as usize));
        let pace = paces.max().unwrap_or_default();
        let (length, points, carry) = if pace > SELDOM {
            (pace * ANSWERS, ANSWERS, pace.mul_f64(OVERDUE))
        } else {
            (Duration::from_secs_f64(WINDOW_S), POINTS, CARRY)
        };
        let span = Span::new(at.back(length).max(warm), at);
        // In a run that is younger than that, closer points would say one thing twice.
        let fit = if pace > SELDOM { span.length().div_duration_f64(pace) as u32 } else { points };
        Self { span, points: fit.clamp(1, points), carry }
    }
}

/// The depth over time, summed over the processes that tell it.
fn depths(timeline: &Timeline, name: &str, grid: &Grid) -> Vec<(f64, f64)> {
    window::summed_of_any(timeline, name, grid.span, grid.points, grid.carry)
}

/// The same in the minute before, at its highest. What one process tells alone is looked at value by value: a tooth may be short.
fn highest_before(timeline: &Timeline, name: &str, onset: RunTime, carry: Duration) -> f64 {
    let before = Span::new(onset.back(EARLIER), onset);
    let together = depths(timeline, name, &Grid { span: before, points: EARLIER_POINTS, carry });
    together.iter().map(|p| p.1).fold(window::highest(timeline, name, before), f64::max)
}

struct Seen {
    span: Span,
    depth: f64,
    /// Messages per second.
    growth: f64,
    published: Option<f64>,
    consumed: Option<f64>,
    refused: f64,
    consumers: Option<f64>,
    /// Age of the oldest twentieth that was taken lately, ns.
    age: Option<f64>,
}

impl Seen {
    fn read(timeline: &Timeline, topic: &str, span: Span, grid: &Grid, depth: f64, trend: Trend) -> Self {
        let seconds = window::seconds(span).max(0.1);
        let rate = |part: &str| window::counted(timeline, &lane(topic, part), span).map(|n| n / seconds);
        let consumers = lane(topic, "consumers");
        let lately = Span::new(span.end.back(Duration::from_secs(3)).max(span.start), span.end);
        let ages = window::durations(timeline, &lane(topic, "age"), lately);
        Self {
            span,
            depth,
            growth: trend.slope,
            published: rate("published").filter(|&r| r > 0.0),
            consumed: rate("consumed"),
            refused: rate("refused").unwrap_or(0.0) * seconds,
            consumers: timeline
                .named(&consumers)
                .filter_map(|s| s.at(span.end, grid.carry))
                .reduce(|a, b| a + b)
                .filter(|&n| n > 0.0),
            age: ages.quantile_ns(0.95),
        }
    }

    /// Copies of each message, by what became of them: one for each queue.
    fn copies(&self) -> Option<f64> {
        Some((self.consumed? + self.growth) / self.published?)
    }

    fn whole_copies(&self) -> f64 {
        self.copies().map_or(1.0, |c| c.round().max(1.0))
    }

    /// What the consumers of the queue that grows take, per second.
    fn taken(&self) -> Option<f64> {
        Some((self.published? - self.growth).max(0.0))
    }

    /// Consumers that the growing queue has: an equal part of all.
    fn consumers_each(&self) -> Option<f64> {
        Some((self.consumers? / self.whole_copies()).max(1.0))
    }

    /// By Little's law: consumers busy = rate x time for one, and the time is consumers / rate while none is idle.
    fn needed(&self) -> Option<f64> {
        let busy = self.published? * self.consumers_each()? / self.taken().filter(|&t| t > 0.0)?;
        Some((busy / ROOM).ceil())
    }

    fn predicted_age(&self) -> Option<f64> {
        Some(self.depth / self.published? * 1e9)
    }

    /// Does the law of kept messages hold? None where it cannot be told.
    fn kept(&self) -> Option<bool> {
        let whole = self.whole_copies();
        self.copies().map(|c| (c - whole).abs() <= COPIES_TOLERANCE * whole)
    }

    /// Does Little's law hold? None where it cannot be told.
    fn aged(&self) -> Option<bool> {
        let (seen, law) = (self.age?, self.predicted_age()?);
        Some(seen >= law / AGE_FACTOR && seen <= law * AGE_FACTOR)
    }

    fn law_agrees(&self) -> bool {
        self.kept() == Some(true) && self.aged() == Some(true)
    }

    fn claim(&self, topic: &str) -> Claim {
        let critical = self.refused >= 1.0 || self.age.is_some_and(|a| a >= CRITICAL_AGE_NS);
        Claim {
            kind: FindingKind::BrokerBacklog,
            identity: topic.to_owned(),
            subject: topic.to_owned(),
            severity: if critical { Severity::Critical } else { Severity::Warning },
            status: if self.law_agrees() { Status::Confirmed } else { Status::Likely },
            onset: self.span.start,
            last: self.span.end,
            quiet: QUIET,
            weight: self.depth,
            claim: self.sentence(topic),
            evidence: self.supporting(topic),
            contradicting: self.laws(topic, false),
            advice: self.advice(topic),
            missing: self.missing(topic),
            episodes: vec![self.span],
            remedies: Vec::new(),
            sort: "",
        }
    }

    fn missing(&self, topic: &str) -> Vec<String> {
        let parts = [
            ("published", self.published.is_none()),
            ("consumed", self.consumed.is_none()),
            ("consumers", self.consumers.is_none()),
            ("age", self.age.is_none()),
        ];
        parts.iter().filter(|p| p.1).map(|p| lane(topic, p.0)).collect()
    }

    fn sentence(&self, topic: &str) -> String {
        let mut text = format!(
            "topic {topic} fills up since {ONSET}: {} wait, {} more",
            plural(self.depth, "message"),
            per_s(self.growth)
        );
        if let (Some(published), Some(taken)) = (self.published, self.taken()) {
            text += &format!("; {} come and {} are taken", per_s(published), per_s(taken));
        }
        if let Some(age) = self.age {
            text += &format!(", the oldest {} late", Unit::Ns.show(age));
        }
        text
    }

    fn supporting(&self, topic: &str) -> Vec<Evidence> {
        let text = format!(
            "{} in {} and still rising, {} now",
            plural(self.growth * window::seconds(self.span), "message"),
            Unit::Ns.show(self.span.length().as_nanos() as f64),
            Unit::Count.show(self.depth)
        );
        let mut list = vec![evidence(text, lane(topic, "depth"), self.span, self.growth, Unit::PerSecond)];
        list.extend(self.laws(topic, true));
        if self.refused >= 1.0 {
            let text = format!("{} refused: the queue is full", plural(self.refused, "message"));
            list.push(evidence(text, lane(topic, "refused"), self.span, self.refused, Unit::Count));
        }
        list
    }

    /// Lines of the laws that hold, or of those that do not.
    fn laws(&self, topic: &str, hold: bool) -> Vec<Evidence> {
        let mut list = Vec::new();
        if let (Some(copies), Some(published), Some(consumed)) =
            (self.copies(), self.published, self.consumed)
            && self.kept() == Some(hold)
        {
            let text = format!(
                "law: {} consumed and {} of growth are {copies:.1} times the {} published, {}",
                per_s(consumed),
                per_s(self.growth),
                per_s(published),
                match self.whole_copies() as u64 {
                    _ if !hold => "which is no whole number of queues to a message".to_owned(),
                    1 => "one queue to a message".to_owned(),
                    n => format!("{n} queues to a message"),
                }
            );
            list.push(evidence(text, lane(topic, "consumed"), self.span, consumed, Unit::PerSecond));
        }
        if let (Some(age), Some(law)) = (self.age, self.predicted_age())
            && self.aged() == Some(hold)
        {
            let text = format!(
                "Little's law: {} at {} are {} old, seen {} (p95): they {}",
                plural(self.depth, "message"),
                per_s(self.published.unwrap_or(0.0)),
                Unit::Ns.show(law),
                Unit::Ns.show(age),
                they(hold, true)
            );
            list.push(evidence(text, lane(topic, "age"), self.span, age, Unit::Ns));
        }
        list
    }

    fn advice(&self, topic: &str) -> Vec<String> {
        let mut list = Vec::new();
        match (self.needed(), self.consumers_each(), self.taken()) {
            (Some(needed), Some(now), Some(taken)) if needed > now => {
                list.push(format!(
                    "Give the queue of topic {topic} that grows {needed} consumers instead of {}: each takes {}, and {} come (Little's law, at 80% of what they can).",
                    Unit::Count.show(now),
                    per_s(taken / now),
                    per_s(self.published.unwrap_or(0.0))
                ));
                list.push(format!(
                    "Let one message take {} instead of {}.",
                    Unit::Ns.show(now * ROOM / self.published.unwrap_or(1.0) * 1e9),
                    Unit::Ns.show(now / taken.max(0.01) * 1e9)
                ));
            }
            _ => {
                list.push(format!("Give topic {topic} more consumers, or messages that take them less time."))
            }
        }
        let per_minute = Unit::Count.show((self.growth * 60.0).round());
        let drain = self.taken().filter(|&t| t > 0.0).map(|t| Unit::Ns.show(self.depth / t * 1e9));
        list.push(match drain {
            Some(drain) => format!(
                "Bound the queue: it grows by {per_minute} messages a minute, and what waits now takes {drain} to drain once nothing more comes."
            ),
            None => format!("Bound the queue: it grows by {per_minute} messages a minute, and nothing is taken."),
        });
        list
    }
}

/// `4.3/s`.
fn per_s(rate: f64) -> String {
    Unit::PerSecond.show(if rate >= 10.0 { rate.round() } else { (rate * 10.0).round() / 10.0 })
}
