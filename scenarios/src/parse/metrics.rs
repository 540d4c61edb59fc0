//! `[[target.metric]]`: metrics that dyno does not know by themselves, and the lanes that they fill; of a scenario, or of a file that holds
//! nothing else.

use timeline::metric::{FILLABLE, Fillable, MAX_MAPPINGS, Mapping, MetricUnit, fillable};
use toml::de::DeTable;

use super::keys;
use super::reader::{Fields, Reader, Value};
use crate::mistake::{Wrong, listed, quoted};

/// Longest name of a metric or a label.
const MAX_NAME: usize = 200;
/// Most labels that one mapping asks for.
const MAX_LABELS: usize = 16;

/// Reads a file of them alone. One without any is a mistake: whoever names it means something.
pub(super) fn alone(reader: &Reader<'_>, table: &DeTable<'_>) -> Vec<Mapping> {
    let look = "[[target.metric]] with name and lane";
    let file = reader.root(table, 0..0, keys::MAPPINGS);
    let Some(target) = file.need("target", look).and_then(|v| reader.fields(v, keys::MAPPED)) else {
        return Vec::new();
    };
    target.need("metric", look);
    read(reader, &target)
}

/// Reads all of them.
pub(super) fn read(reader: &Reader<'_>, target: &Fields<'_>) -> Vec<Mapping> {
    let Some(value) = target.get("metric") else { return Vec::new() };
    let all = reader.array(value, "tables, each headed [[target.metric]]", MAX_MAPPINGS).unwrap_or_default();
    all.iter().filter_map(|v| mapping(reader, v)).collect()
}

fn mapping(reader: &Reader<'_>, value: &Value<'_>) -> Option<Mapping> {
    let fields = reader.fields(value, keys::METRIC)?;
    let metric = fields.need("name", "a metric's name, such as name = \"shop_mail_backlog\"");
    let metric = metric.and_then(|v| name(reader, v, "a metric's name"));
    let text = |key: &str, look: &str| fields.get(key).map(|v| name(reader, v, look));
    let (member, subject) = (text("member", "a label's name"), text("subject", "a label's name"));
    let labels = fields.get("labels").map(|v| labels(reader, v));
    let lane = lane(reader, &fields);
    if let (Some((_, lane)), Some(at)) = (&lane, fields.get("lane")) {
        match (lane.contains('*'), fields.get("member")) {
            (true, None) => {
                let wrong = Wrong::new(format!("{} lacks the member that `*` stands for", quoted(lane)));
                reader.wrong(
                    at.span(),
                    wrong.expected("member = the label that names it, or a name in place of `*`"),
                );
                return None;
            }
            (false, Some(member)) => {
                let wrong = Wrong::new(format!("{} has no `*` for a member", quoted(lane)));
                reader.wrong(member.span(), wrong.expected("a lane such as \"pool.*.waiters\""));
                return None;
            }
            _ => {}
        }
    }
    let unit = fields.get("unit").map(|v| unit(reader, v, lane.as_ref().map(|(fills, _)| *fills)));
    // What is there and wrong was noted; what is not there may be missing.
    Some(Mapping {
        metric: metric?,
        labels: labels.map_or(Some(Vec::new()), |l| l)?,
        lane: lane?.1,
        member: member.map_or(Some(None), |m| m.map(Some))?,
        subject: subject.map_or(Some(None), |s| s.map(Some))?,
        unit: unit.map_or(Some(None), |u| u.map(Some))?,
    })
}

fn name(reader: &Reader<'_>, value: &Value<'_>, look: &str) -> Option<String> {
    reader.read(value, look, |text| {
        let fits = (1..=MAX_NAME).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-' | '/'));
        let wrong = || Wrong::new(format!("{} is not {look}", quoted(text)));
        if fits {
            Ok(text.to_owned())
        } else {
            Err(wrong().expected("letters, digits, `_`, `.`, `:`, `-`, `/`"))
        }
    })
}

fn labels(reader: &Reader<'_>, value: &Value<'_>) -> Option<Vec<(String, String)>> {
    let entries = reader.table(value, "labels and their values, such as { queue = \"mail\" }")?;
    if entries.len() > MAX_LABELS {
        let wrong = Wrong::new(format!("{} labels are too many", entries.len()));
        reader.wrong(value.span(), wrong.expected(format!("at most {MAX_LABELS}")));
        return None;
    }
    let one = |(name, _, value): (&str, _, &Value<'_>)| {
        Some((name.to_owned(), reader.text(value, "a label's value in quotes")?.to_owned()))
    };
    entries.into_iter().map(one).collect()
}

fn lane(reader: &Reader<'_>, fields: &Fields<'_>) -> Option<(&'static Fillable, String)> {
    let look = "a lane, such as lane = \"pool.orders.waiters\"";
    fields.need("lane", look).and_then(|v| {
        reader.read(v, look, |text| {
            let known = || FILLABLE.iter().map(|f| f.lane);
            let wrong = || {
                let wrong = Wrong::new(format!("there is no lane {} that a metric can fill", quoted(text)));
                wrong.expected(format!("one of {}", listed(known()))).did_you_mean(text, known())
            };
            let plain = text.len() <= MAX_NAME && !text.contains(char::is_control);
            fillable(text).filter(|_| plain).map(|f| (f, text.to_owned())).ok_or_else(wrong)
        })
    })
}

fn unit(reader: &Reader<'_>, value: &Value<'_>, lane: Option<&Fillable>) -> Option<MetricUnit> {
    // Of a lane that is wrong itself any unit may be meant.
    let fits = |unit: MetricUnit| lane.is_none_or(|l| unit.factor(l.unit).is_some());
    let names = || MetricUnit::NAMES.iter().filter(|(_, u)| fits(*u)).map(|(name, _)| *name);
    let what = lane.map_or(String::new(), |l| format!(" of {}", l.lane));
    reader.read(value, "a unit in quotes", |text| {
        let known = MetricUnit::NAMES.iter().find(|(name, _)| *name == text).map(|(_, unit)| *unit);
        known.filter(|u| fits(*u)).ok_or_else(|| {
            let wrong = Wrong::new(format!("{} is no unit{what}", quoted(text)));
            wrong.expected(format!("one of {}", listed(names())))
        })
    })
}
