//! The protobuf form of what OpenTelemetry sends: a walk over the bytes, field by field.
//!
//! Owns the numbers of fields of `opentelemetry/proto/metrics/v1` and what comes with it, as far as they are of use. A walk of our own and
//! no generated types (`opentelemetry-proto` brings tonic and the SDK; `prost` is here by way of pprof): those build the whole message
//! first, and an empty point of 2 bytes becomes a struct of 200, so that 8 MiB would grow to 800. Here nothing is kept but one point.

use std::borrow::Cow;

use super::points::{Attribute, Figures, MAX_ATTRIBUTES, MAX_BUCKETS, MAX_POINT, Metric, Point, Taker};

/// Why bytes are no message.
pub(super) type Wrong = &'static str;

const CUT: Wrong = "a field that is cut off";

/// One field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Value<'a> {
    /// A message or a text inside.
    fn bytes(self) -> Result<&'a [u8], Wrong> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err("a number where a message is expected") }
    }

    fn text(self) -> Result<Cow<'a, str>, Wrong> {
        self.bytes().map(String::from_utf8_lossy)
    }

    fn number(self) -> Result<u64, Wrong> {
        match self {
            Self::Varint(n) | Self::Fixed64(n) => Ok(n),
            _ => Err("a message where a number is expected"),
        }
    }

    fn double(self) -> Result<f64, Wrong> {
        if let Self::Fixed64(bits) = self {
            Ok(f64::from_bits(bits))
        } else {
            Err("a value that is no double")
        }
    }
}

/// Fields of one message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64, Wrong> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first().ok_or(CUT)?;
            self.0 = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number of more than 64 bits")
    }

    fn take(&mut self, n: u64) -> Result<&'a [u8], Wrong> {
        let n = usize::try_from(n).map_err(|_| CUT)?;
        let (taken, rest) = self.0.split_at_checked(n).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), Wrong> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(fixed(self.take(8)?)),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed32)?,
            _ => return Err("a field of no known kind"),
        };
        Ok((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Wrong>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

fn fixed(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight were taken"))
}

/// Values of field `number` of a message, in their order.
fn each<'a>(message: &'a [u8], number: u64) -> impl Iterator<Item = Result<Value<'a>, Wrong>> {
    Fields(message).filter_map(move |field| match field {
        Ok((n, value)) => (n == number).then_some(Ok(value)),
        Err(e) => Some(Err(e)),
    })
}

/// The last value of a field, as protobuf has it.
fn last(message: &[u8], number: u64) -> Result<Option<Value<'_>>, Wrong> {
    each(message, number).last().transpose()
}

/// Reads an `ExportMetricsServiceRequest`.
pub(super) fn read(request: &[u8], taker: &mut dyn Taker) -> Result<(), Wrong> {
    for resource_metrics in each(request, 1) {
        let resource_metrics = resource_metrics?.bytes()?;
        let resource = last(resource_metrics, 1)?.map_or(Ok(&[][..]), Value::bytes)?;
        if !taker.resource(&attributes(resource, 1)?) {
            continue;
        }
        for scope_metrics in each(resource_metrics, 2) {
            for metric in each(scope_metrics?.bytes()?, 2) {
                read_metric(metric?.bytes()?, taker)?;
            }
        }
    }
    Ok(())
}

fn read_metric(message: &[u8], taker: &mut dyn Taker) -> Result<(), Wrong> {
    let mut metric = Metric::default();
    let mut data = None;
    for field in Fields(message) {
        match field? {
            (1, name) => metric.name = name.text()?,
            (3, unit) => metric.unit = unit.text()?,
            (number @ (5 | 7 | 9 | 10 | 11), value) => data = Some((number, value.bytes()?)),
            _ => {}
        }
    }
    let Some((kind, data)) = data else { return Ok(()) };
    // A gauge and a summary have neither: they are cumulative.
    let whole = matches!(kind, 5 | 11);
    metric.delta = !whole && last(data, 2)?.map_or(Ok(0), Value::number)? == 1;
    metric.falls = kind == 7 && last(data, 3)?.map_or(Ok(0), Value::number)? == 0;
    if !taker.metric(&metric) {
        return Ok(());
    }
    for point in each(data, 1) {
        let point = point?.bytes()?;
        if point.len() > MAX_POINT {
            taker.refuse("points longer than 16 KiB");
            continue;
        }
        let point = match kind {
            5 | 7 => number_point(point)?,
            9 => histogram_point(point)?,
            10 => exponential_point(point)?,
            _ => summary_point(point)?,
        };
        if let Some(point) = point {
            taker.point(&metric, point);
        }
    }
    Ok(())
}

/// Attributes in field `number`; beyond the most they are left out. Lists and maps are no labels.
fn attributes(message: &[u8], number: u64) -> Result<Vec<Attribute<'_>>, Wrong> {
    let mut all = Vec::new();
    for pair in each(message, number).take(MAX_ATTRIBUTES) {
        let pair = pair?.bytes()?;
        let key = last(pair, 1)?.map_or(Ok(Cow::Borrowed("")), Value::text)?;
        let value = last(pair, 2)?.map_or(Ok(&[][..]), Value::bytes)?;
        let value = match Fields(value).last().transpose()? {
            Some((1, text)) => text.text()?,
            Some((2, Value::Varint(n))) => Cow::Borrowed(if n == 0 { "false" } else { "true" }),
            Some((3, Value::Varint(n))) => Cow::Owned((n as i64).to_string()),
            Some((4, double)) => Cow::Owned(double.double()?.to_string()),
            _ => continue,
        };
        all.push((key, value));
    }
    Ok(all)
}

/// A point says that there is no value.
fn absent(flags: u64) -> bool {
    flags & 1 == 1
}

fn number_point(message: &[u8]) -> Result<Option<Point<'_>>, Wrong> {
    let (mut time_ns, mut value) = (0, None);
    for field in Fields(message) {
        match field? {
            (3, time) => time_ns = time.number()?,
            (4, double) => value = Some(double.double()?),
            (6, int) => value = Some(int.number()? as i64 as f64),
            (8, flags) if absent(flags.number()?) => return Ok(None),
            _ => {}
        }
    }
    let attributes = attributes(message, 7)?;
    Ok(value.map(|value| Point { attributes, time_ns, figures: Figures::Number(value) }))
}

fn histogram_point(message: &[u8]) -> Result<Option<Point<'_>>, Wrong> {
    let (mut time_ns, mut count, mut sum) = (0, 0, 0.0);
    let (mut counts, mut bounds) = (Vec::new(), Vec::new());
    for field in Fields(message) {
        match field? {
            (3, time) => time_ns = time.number()?,
            (4, n) => count = n.number()?,
            (5, s) => sum = s.double()?,
            (6, some) => fixed_list(some, &mut counts)?,
            (7, some) => fixed_list(some, &mut bounds)?,
            (10, flags) if absent(flags.number()?) => return Ok(None),
            _ => {}
        }
    }
    let bounds = bounds.into_iter().map(f64::from_bits).collect();
    let figures = Figures::Histogram { count, sum, bounds, counts };
    Ok(Some(Point { attributes: attributes(message, 9)?, time_ns, figures }))
}

fn exponential_point(message: &[u8]) -> Result<Option<Point<'_>>, Wrong> {
    let (mut time_ns, mut count, mut sum, mut scale, mut zeros) = (0, 0, 0.0, 0, 0);
    let (mut offset, mut counts) = (0, Vec::new());
    for field in Fields(message) {
        match field? {
            (3, time) => time_ns = time.number()?,
            (4, n) => count = n.number()?,
            (5, s) => sum = s.double()?,
            (6, n) => scale = zigzag(n.number()?),
            (7, n) => zeros = n.number()?,
            (8, buckets) => {
                for field in Fields(buckets.bytes()?) {
                    match field? {
                        (1, n) => offset = zigzag(n.number()?),
                        (2, some) => varint_list(some, &mut counts)?,
                        _ => {}
                    }
                }
            }
            (10, flags) if absent(flags.number()?) => return Ok(None),
            _ => {}
        }
    }
    let figures = Figures::Exponential { count, sum, scale, zeros, offset, counts };
    Ok(Some(Point { attributes: attributes(message, 1)?, time_ns, figures }))
}

fn summary_point(message: &[u8]) -> Result<Option<Point<'_>>, Wrong> {
    let (mut time_ns, mut count, mut sum) = (0, 0, 0.0);
    for field in Fields(message) {
        match field? {
            (3, time) => time_ns = time.number()?,
            (4, n) => count = n.number()?,
            (5, s) => sum = s.double()?,
            (8, flags) if absent(flags.number()?) => return Ok(None),
            _ => {}
        }
    }
    let figures = Figures::Histogram { count, sum, bounds: Vec::new(), counts: Vec::new() };
    Ok(Some(Point { attributes: attributes(message, 7)?, time_ns, figures }))
}

fn zigzag(n: u64) -> i32 {
    let n = n as u32;
    (n >> 1) as i32 ^ -((n & 1) as i32)
}

/// Numbers of eight bytes, packed or one by one.
fn fixed_list(value: Value<'_>, into: &mut Vec<u64>) -> Result<(), Wrong> {
    match value {
        Value::Fixed64(n) => into.push(n),
        Value::Bytes(packed) if packed.len() % 8 == 0 => into.extend(packed.chunks_exact(8).map(fixed)),
        _ => return Err("buckets that are no list of numbers"),
    }
    few(into)
}

fn varint_list(value: Value<'_>, into: &mut Vec<u64>) -> Result<(), Wrong> {
    match value {
        Value::Varint(n) => into.push(n),
        Value::Bytes(packed) => {
            let mut rest = Fields(packed);
            while !rest.0.is_empty() {
                into.push(rest.varint()?);
            }
        }
        _ => return Err("buckets that are no list of numbers"),
    }
    few(into)
}

fn few(list: &[u64]) -> Result<(), Wrong> {
    if list.len() > MAX_BUCKETS { Err("more than 1024 buckets") } else { Ok(()) }
}
