//! The JSON form of what OpenTelemetry sends: protobuf's, with its own rules (integers of 64 bits are texts).
//!
//! Owns the types of that form. They are built whole, so a request in JSON may be no longer than [`MAX_BYTES`].

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

use super::points::{Attribute, Figures, MAX_ATTRIBUTES, MAX_BUCKETS, Metric, Point, Taker};

/// Longest request in JSON: a thousand points. An empty point, `{},`, becomes 250 bytes, so this may grow to 90 MB while it is read, one
/// request at a time.
pub(super) const MAX_BYTES: usize = 1 << 20;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Request<'a> {
    #[serde(borrow)]
    resource_metrics: Vec<ResourceMetrics<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ResourceMetrics<'a> {
    #[serde(borrow)]
    resource: Resource<'a>,
    #[serde(borrow)]
    scope_metrics: Vec<ScopeMetrics<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Resource<'a> {
    #[serde(borrow)]
    attributes: Vec<KeyValue<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ScopeMetrics<'a> {
    #[serde(borrow)]
    metrics: Vec<MetricData<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct MetricData<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    unit: Cow<'a, str>,
    #[serde(borrow)]
    gauge: Option<Box<Data<'a>>>,
    #[serde(borrow)]
    sum: Option<Box<Data<'a>>>,
    #[serde(borrow)]
    histogram: Option<Box<Data<'a>>>,
    #[serde(borrow)]
    exponential_histogram: Option<Box<Data<'a>>>,
    #[serde(borrow)]
    summary: Option<Box<Data<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Data<'a> {
    #[serde(borrow)]
    data_points: Vec<DataPoint<'a>>,
    aggregation_temporality: Temporality,
    is_monotonic: bool,
}

/// A number by the specification; some write its name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Temporality {
    Number(u64),
    Name(String),
}

impl Default for Temporality {
    fn default() -> Self {
        Self::Number(0)
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DataPoint<'a> {
    #[serde(borrow)]
    attributes: Vec<KeyValue<'a>>,
    #[serde(deserialize_with = "integer")]
    time_unix_nano: u64,
    as_double: Option<Double>,
    as_int: Option<Signed>,
    #[serde(deserialize_with = "integer")]
    count: u64,
    sum: Option<Double>,
    bucket_counts: Vec<Integer>,
    explicit_bounds: Vec<f64>,
    scale: i32,
    #[serde(deserialize_with = "integer")]
    zero_count: u64,
    positive: Option<Buckets>,
    flags: u32,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Buckets {
    offset: i32,
    bucket_counts: Vec<Integer>,
}

#[derive(Deserialize)]
struct KeyValue<'a> {
    #[serde(borrow, default)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    value: AnyValue<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct AnyValue<'a> {
    #[serde(borrow)]
    string_value: Option<Cow<'a, str>>,
    bool_value: Option<bool>,
    int_value: Option<Signed>,
    double_value: Option<Double>,
}

/// Digits in quotes, or a number.
struct Integer(u64);

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        integer(deserializer).map(Self)
    }
}

fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let Signed(n) = Signed::deserialize(deserializer)?;
    u64::try_from(n).map_err(|_| serde::de::Error::custom("a count below zero"))
}

/// The same, below zero too.
struct Signed(i128);

impl<'de> Deserialize<'de> for Signed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form<'a> {
            Small(i64),
            Large(u64),
            Text(#[serde(borrow)] Cow<'a, str>),
        }
        match Form::deserialize(deserializer)? {
            Form::Small(n) => Ok(Self(n.into())),
            Form::Large(n) => Ok(Self(n.into())),
            Form::Text(text) => text.parse().map(Self).map_err(|_| serde::de::Error::custom("no integer")),
        }
    }
}

/// A number, or the name of one that JSON cannot write.
struct Double(f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form<'a> {
            Number(f64),
            Text(#[serde(borrow)] Cow<'a, str>),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(n) => Ok(Self(n)),
            // `NaN`, `Infinity`, `-Infinity`, as Rust reads them too.
            Form::Text(text) => text.parse().map(Self).map_err(|_| serde::de::Error::custom("no number")),
        }
    }
}

/// Reads an `ExportMetricsServiceRequest`.
///
/// # Errors
/// Where it is none, as `serde_json` says it.
pub(super) fn read(request: &[u8], taker: &mut dyn Taker) -> Result<(), serde_json::Error> {
    let request: Request<'_> = serde_json::from_slice(request)?;
    for one in request.resource_metrics {
        if !taker.resource(&labels(one.resource.attributes)) {
            continue;
        }
        for metric in one.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
            read_metric(metric, taker);
        }
    }
    Ok(())
}

fn read_metric(data: MetricData<'_>, taker: &mut dyn Taker) {
    let kinds = [data.gauge, data.sum, data.histogram, data.exponential_histogram, data.summary];
    let Some((kind, points)) = kinds.into_iter().enumerate().find_map(|(i, d)| Some((i, d?))) else { return };
    let delta = match &points.aggregation_temporality {
        Temporality::Number(n) => *n == 1,
        Temporality::Name(name) => name.ends_with("DELTA"),
    };
    let metric = Metric {
        name: data.name,
        unit: data.unit,
        delta: delta && matches!(kind, 1..=3),
        falls: kind == 1 && !points.is_monotonic,
    };
    if !taker.metric(&metric) {
        return;
    }
    for point in points.data_points {
        if point.flags & 1 == 1 {
            continue;
        }
        if point.bucket_counts.len() > MAX_BUCKETS || point.explicit_bounds.len() > MAX_BUCKETS {
            taker.refuse("points with more than 1024 buckets");
            continue;
        }
        let time_ns = point.time_unix_nano;
        let sum = point.sum.map_or(0.0, |s| s.0);
        let figures = match kind {
            0 | 1 => {
                let number = point.as_double.map(|d| d.0).or(point.as_int.map(|i| i.0 as f64));
                let Some(number) = number else { continue };
                Figures::Number(number)
            }
            3 => {
                let positive = point.positive.unwrap_or_default();
                Figures::Exponential {
                    count: point.count,
                    sum,
                    scale: point.scale,
                    zeros: point.zero_count,
                    offset: positive.offset,
                    counts: numbers(positive.bucket_counts),
                }
            }
            _ => Figures::Histogram {
                count: point.count,
                sum,
                bounds: point.explicit_bounds,
                counts: numbers(point.bucket_counts),
            },
        };
        taker.point(&metric, Point { attributes: labels(point.attributes), time_ns, figures });
    }
}

fn numbers(list: Vec<Integer>) -> Vec<u64> {
    list.into_iter().take(MAX_BUCKETS).map(|n| n.0).collect()
}

fn labels(pairs: Vec<KeyValue<'_>>) -> Vec<Attribute<'_>> {
    let text = |value: AnyValue<'_>| {
        let AnyValue { string_value, bool_value, int_value, double_value } = value;
        let string = string_value.map(|s| Cow::Owned(s.into_owned()));
        string
            .or_else(|| bool_value.map(|b| Cow::Borrowed(if b { "true" } else { "false" })))
            .or_else(|| int_value.map(|i| Cow::Owned(i.0.to_string())))
            .or_else(|| double_value.map(|d| Cow::Owned(d.0.to_string())))
    };
    pairs.into_iter().take(MAX_ATTRIBUTES).filter_map(|p| Some((p.key, text(p.value)?))).collect()
}
