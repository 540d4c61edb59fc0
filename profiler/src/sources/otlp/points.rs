//! Points: what either form of OpenTelemetry's metrics comes to, and how a point becomes the lines of a page.
//!
//! Owns the translation: names with dots, units beside them, buckets that are not cumulative and exponential ones become what
//! `metrics` reads from a page, so that one table of names serves both.

use std::borrow::Cow;

use crate::sources::metrics::line::Line;
use crate::sources::metrics::rules::{Met, Take};
use crate::sources::metrics::scrape::Scrape;

/// Most attributes of a point, and of a resource: as many as labels of a page's series.
pub(super) const MAX_ATTRIBUTES: usize = 48;
/// Longest point: as long as a page's line.
pub(super) const MAX_POINT: usize = crate::sources::metrics::line::MAX_LINE;
/// Most buckets of a point; an SDK makes 160.
pub(super) const MAX_BUCKETS: usize = 1_024;

/// Exponential buckets are read on a grid of four to the octave (a limit is 19% above the one before): their own is finer, and
/// changes as values come, so that its limits could not be compared from one reading to the next.
const GRID_SCALE: i32 = 2;
/// The grid's octaves in seconds: from a microsecond to an hour.
const GRID_OCTAVES: std::ops::RangeInclusive<i32> = -20..=12;

/// A label.
pub(super) type Attribute<'a> = (Cow<'a, str>, Cow<'a, str>);

/// What is said of all points of a metric.
#[derive(Debug, Default)]
pub(super) struct Metric<'a> {
    pub name: Cow<'a, str>,
    /// As UCUM writes it: `s`, `By`, `{request}`.
    pub unit: Cow<'a, str>,
    /// Points say what has come since the one before.
    pub delta: bool,
    /// A sum that may fall, too: no counter.
    pub falls: bool,
}

/// One point.
#[derive(Debug)]
pub(super) struct Point<'a> {
    pub attributes: Vec<Attribute<'a>>,
    /// By the sender's clock.
    pub time_ns: u64,
    pub figures: Figures,
}

/// What a point says. A summary is a histogram without buckets.
#[derive(Debug)]
pub(super) enum Figures {
    Number(f64),
    Histogram { count: u64, sum: f64, bounds: Vec<f64>, counts: Vec<u64> },
    Exponential { count: u64, sum: f64, scale: i32, zeros: u64, offset: i32, counts: Vec<u64> },
}

/// Takes what a request holds, in its order.
pub(super) trait Taker {
    /// What follows is of this resource. False: it is left out.
    fn resource(&mut self, attributes: &[Attribute<'_>]) -> bool;
    /// What follows is of this metric. False: it is left out.
    fn metric(&mut self, metric: &Metric<'_>) -> bool;
    fn point(&mut self, metric: &Metric<'_>, point: Point<'_>);
    /// Something was turned away.
    fn refuse(&mut self, why: &'static str);
}

/// A metric as a page would name it, and what its lines meet.
#[derive(Default)]
pub(super) struct Named {
    whole: (String, Vec<Met>),
    bucket: (String, Vec<Met>),
    sum: (String, Vec<Met>),
    count: (String, Vec<Met>),
    octaves: i32,
}

impl Named {
    pub fn of(metric: &Metric<'_>, scrape: &Scrape) -> Self {
        let suffix = suffix(&metric.unit);
        let mut base = metric.name.replace(['.', ':'], "_");
        if !base.ends_with(suffix) {
            base += suffix;
        }
        let looked = |part: &str| {
            let name = format!("{base}{part}");
            let mut met = scrape.lookup(&name);
            met.retain(|m| !(metric.falls && matches!(m.rule.take, Take::Rate(_))));
            (name, met)
        };
        let octaves = match suffix {
            "_milliseconds" => 10,
            "_microseconds" => 20,
            "_nanoseconds" => 30,
            _ => 0,
        };
        Self {
            whole: looked(""),
            bucket: looked("_bucket"),
            sum: looked("_sum"),
            count: looked("_count"),
            octaves,
        }
    }

    /// Is it of any use?
    pub fn known(&self) -> bool {
        [&self.whole, &self.bucket, &self.sum, &self.count].iter().any(|part| !part.1.is_empty())
    }

    /// Gives a point's lines to `scrape`.
    pub fn lines(&self, delta: bool, point: Point<'_>, scrape: &mut Scrape) {
        let dots =
            |(key, value): Attribute<'_>| (Cow::Owned(key.replace('.', "_")), value.into_owned().into());
        let labels = point.attributes.into_iter().map(dots).collect();
        let mut line = Line { name: Cow::Borrowed(""), labels, value: 0.0, grown: delta };
        let mut give = |part: &(String, Vec<Met>), le: Option<f64>, value: f64| {
            if part.1.is_empty() {
                return;
            }
            line.name = Cow::Owned(part.0.clone());
            line.value = value;
            line.labels.extend(le.map(|le| (Cow::Borrowed("le"), Cow::Owned(le.to_string()))));
            scrape.take(&part.1, &line);
            if le.is_some() {
                line.labels.pop();
            }
        };
        let (limits, count, sum) = match point.figures {
            Figures::Number(value) => return give(&self.whole, None, value),
            Figures::Histogram { count, sum, bounds, counts } => (cumulative(&bounds, &counts), count, sum),
            Figures::Exponential { count, sum, scale, zeros, offset, counts } => {
                (self.on_grid(scale, zeros, offset, &counts), count, sum)
            }
        };
        let buckets = !limits.is_empty();
        for (limit, at_most) in limits {
            give(&self.bucket, Some(limit), at_most as f64);
        }
        if buckets {
            give(&self.bucket, Some(f64::INFINITY), count as f64);
        }
        give(&self.sum, None, sum);
        give(&self.count, None, count as f64);
    }

    /// How many values lie at or below each limit of the grid. A bucket `i` holds values up to `2^((i + 1) / 2^scale)`; of a grid coarser
    /// than ours only every so many limits are known.
    fn on_grid(&self, scale: i32, zeros: u64, offset: i32, counts: &[u64]) -> Vec<(f64, u64)> {
        // Beyond these one bucket is wider or narrower than any double.
        let scale = scale.clamp(-10, 20);
        let step = 1_i64 << (GRID_SCALE - scale).max(0);
        let fine = (scale - GRID_SCALE).max(0);
        let (low, high) = (GRID_OCTAVES.start() + self.octaves, GRID_OCTAVES.end() + self.octaves);
        let (low, high) = (i64::from(low) << GRID_SCALE, i64::from(high) << GRID_SCALE);
        let mut buckets = (i64::from(offset)..).zip(counts).peekable();
        let mut at_most = zeros;
        let mut limits = Vec::new();
        for grid in (low..=high).filter(|g| g % step == 0) {
            // The last bucket of theirs that lies at or below this limit.
            let last = if fine > 0 { (grid << fine) - 1 } else { grid / step - 1 };
            while let Some((_, n)) = buckets.next_if(|(i, _)| *i <= last) {
                at_most = at_most.saturating_add(*n);
            }
            limits.push((2f64.powf(grid as f64 / f64::from(1 << GRID_SCALE)), at_most));
        }
        limits
    }
}

/// Limits with the counts of all buckets up to them; the last bucket has none.
fn cumulative(bounds: &[f64], counts: &[u64]) -> Vec<(f64, u64)> {
    let mut at_most = 0_u64;
    let add = |(limit, n): (&f64, &u64)| {
        at_most = at_most.saturating_add(*n);
        (*limit, at_most)
    };
    bounds.iter().zip(counts).map(add).collect()
}

/// A unit as a page's names end in it. What is in braces is a note; others have no lane.
fn suffix(unit: &str) -> &'static str {
    match unit {
        "s" => "_seconds",
        "ms" => "_milliseconds",
        "us" => "_microseconds",
        "ns" => "_nanoseconds",
        "By" => "_bytes",
        "KiBy" => "_kibibytes",
        "MiBy" => "_mebibytes",
        "%" => "_percent",
        _ => "",
    }
}
