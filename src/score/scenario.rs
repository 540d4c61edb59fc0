//! A case as a scenario: the catalogue's sessions under the case's phases, with the case's faults.
//!
//! Works on the text's tables, so that a case is a file that `dyno run` takes and that a person can read and change.

use anyhow::Context as _;
use toml::{Table, Value};

use super::case::{Case, Shape};
use super::draw::LENGTH_MS;

/// Warm-up where a scenario's is longer, ms.
const WARMUP_MS: u64 = 4_500;
/// What is under way at the end may take so long.
const GRACE: &str = "1s";
/// Sessions of the mix, which leaves their number to a variable.
const MIX_SESSIONS: f64 = 200.0;
/// Load with which a warm-up begins, as a share of the load that it leads to.
const FIRST: f64 = 0.07;

/// The text of a case's scenario.
pub fn text(case: &Case) -> anyhow::Result<String> {
    let mut parts = case.scenarios.iter().map(|name| Part::read(name)).collect::<anyhow::Result<Vec<_>>>()?;
    let load: f64 = parts.iter().map(|p| p.level).sum::<f64>() * case.load;
    let sessions = merged(&parts);
    let cache = parts.iter().find_map(|p| p.table.get("target")?.get("cache").cloned());
    let Part { mut table, key, warmup_ms, .. } = parts.swap_remove(0);
    if let (Some(Value::Table(target)), Some(cache)) = (table.get_mut("target"), cache) {
        target.insert("cache".to_owned(), cache);
    }
    let about = format!("Case {}: {}", case.number, case.describe());
    table.insert("about".to_owned(), Value::String(about));
    table.remove("teaches");
    table.remove("needs");
    table.remove("vars");
    table.remove("gate");
    let seed = i64::try_from(case.seed).context("a case's seed has 63 bits")?;
    table.insert("seed".to_owned(), Value::Integer(seed));
    table.insert("grace".to_owned(), Value::String(GRACE.to_owned()));
    table.insert("session".to_owned(), Value::Array(sessions));
    table.insert("phase".to_owned(), Value::Array(phases(case.shape, key, load, warmup_ms)));
    table.insert("fault".to_owned(), Value::Array(faults(case)));
    cut_actions(&mut table);
    Ok(toml::to_string(&table)?)
}

/// One scenario of the catalogue.
struct Part {
    table: Table,
    /// `sessions` or `arrivals`.
    key: &'static str,
    /// So many, in its last phase.
    level: f64,
    warmup_ms: u64,
}

impl Part {
    fn read(name: &str) -> anyhow::Result<Self> {
        let text = scenarios::text_of(name)?;
        let table: Table = text.parse().with_context(|| format!("scenario {name}"))?;
        let phases = table.get("phase").and_then(Value::as_array).context("a scenario has phases")?;
        let (first, last) = (phases.first(), phases.last().context("a scenario has a phase")?);
        let key = if last.get("arrivals").is_some() { "arrivals" } else { "sessions" };
        let level = last.get(key).and_then(level).unwrap_or(MIX_SESSIONS);
        let warmup = first.and_then(|p| p.get("for")?.as_str()).unwrap_or("3s");
        let warmup_ms = scenarios::duration_ns(warmup).map_err(anyhow::Error::msg)? / 1_000_000;
        Ok(Self { table, key, level, warmup_ms: warmup_ms.min(WARMUP_MS) })
    }

    fn sessions(&self) -> &[Value] {
        self.table.get("session").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

/// A number of sessions, or of arrivals as in `260/s`.
fn level(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(n) => Some(*n as f64),
        Value::Float(n) => Some(*n),
        Value::String(text) => text.strip_suffix("/s")?.parse().ok(),
        _ => None,
    }
}

/// Sessions of all parts; a weight becomes what it stands for, so that each part keeps its share.
fn merged(parts: &[Part]) -> Vec<Value> {
    if let [only] = parts {
        return only.sessions().to_vec();
    }
    let mut all = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        let weight = |s: &Value| s.get("weight").and_then(Value::as_integer).unwrap_or(1) as f64;
        let sum: f64 = part.sessions().iter().map(weight).sum();
        for session in part.sessions() {
            let share = (part.level * weight(session) / sum).round().max(1.0);
            let name = session.get("name").and_then(Value::as_str).unwrap_or_default();
            let mut session = session.clone();
            if let Value::Table(table) = &mut session {
                table.insert("name".to_owned(), Value::String(format!("{name} {}", n + 1)));
                table.insert("weight".to_owned(), Value::Integer(share as i64));
            }
            all.push(session);
        }
    }
    all
}

fn phases(shape: Shape, key: &str, load: f64, warmup_ms: u64) -> Vec<Value> {
    let left = LENGTH_MS - warmup_ms;
    let (begin, rest) = match shape {
        Shape::Steady => (load, vec![("steady", left, load, load)]),
        Shape::Ramp => (load / 3.0, vec![("rise", left, load / 3.0, load)]),
        Shape::Spike => (
            load / 2.0,
            vec![
                ("before", left / 3, load / 2.0, load / 2.0),
                ("spike", left / 3, load, load),
                ("after", left - 2 * (left / 3), load / 2.0, load / 2.0),
            ],
        ),
    };
    let mut all = vec![phase("arrive", warmup_ms, key, load * FIRST, begin)];
    all[0].insert("warmup".to_owned(), Value::Boolean(true));
    all.extend(rest.into_iter().map(|(name, ms, from, to)| phase(name, ms, key, from, to)));
    all.into_iter().map(Value::Table).collect()
}

fn phase(name: &str, ms: u64, key: &str, from: f64, to: f64) -> Table {
    let amount = |n: f64| match key {
        "sessions" => Value::Integer(n.round().max(1.0) as i64),
        _ => Value::String(format!("{:.1}/s", n.max(0.1))),
    };
    let load = if (from - to).abs() < 0.5 {
        amount(to)
    } else {
        Value::Table(Table::from_iter([("from".to_owned(), amount(from)), ("to".to_owned(), amount(to))]))
    };
    Table::from_iter([
        ("name".to_owned(), Value::String(name.to_owned())),
        ("for".to_owned(), Value::String(format!("{ms}ms"))),
        (key.to_owned(), load),
    ])
}

fn faults(case: &Case) -> Vec<Value> {
    let one = |f: &super::case::Injected| {
        let mut table = Table::from_iter([
            ("name".to_owned(), Value::String(f.fault.name().to_owned())),
            ("at".to_owned(), Value::String(format!("{}ms", f.at_ms))),
            ("for".to_owned(), Value::String(format!("{}ms", f.for_ms))),
        ]);
        table.extend(f.knobs.iter().map(|(name, value)| (name.clone(), Value::Float(*value))));
        Value::Table(table)
    };
    case.faults.iter().map(one).collect()
}

/// Actions that would come after the end are left out.
fn cut_actions(table: &mut Table) {
    if let Some(Value::Array(actions)) = table.get_mut("action") {
        actions.retain(|a| {
            let at = a.get("at").and_then(Value::as_str).and_then(|t| scenarios::duration_ns(t).ok());
            at.is_some_and(|ns| ns < (LENGTH_MS - 4_000) * 1_000_000)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::case::Sort;
    use crate::score::draw::{Wish, cases, subjects};
    use scenarios::{Origin, Overrides};

    /// Every case that is drawn is a scenario that can be run, of the case's length and with its faults.
    #[test]
    fn every_case_is_a_scenario() {
        let runtimes = vec!["rust".to_owned(), "node".to_owned()];
        let wish = Wish {
            sorts: vec![Sort::Fault, Sort::Composite, Sort::Clean],
            subjects: subjects(&runtimes),
            runtimes,
            stores: Vec::new(),
        };
        for case in cases(300, 5, &wish) {
            let text = text(&case).unwrap();
            let origin = Origin { name: "case".to_owned(), file: None };
            let plan = scenarios::parse(&text, &origin, &Overrides::default())
                .unwrap_or_else(|e| panic!("{}: {e}\n{text}", case.describe()));
            assert_eq!(plan.length_ns(), LENGTH_MS * 1_000_000, "{text}");
            assert_eq!((plan.seed, plan.faults.len()), (case.seed, case.faults.len()));
            for (planned, drawn) in plan.faults.iter().zip(&case.faults) {
                assert_eq!((planned.order.name, planned.at_ns), (drawn.fault, drawn.at_ms * 1_000_000));
                assert_eq!(planned.order.knobs, drawn.knobs);
            }
        }
    }
}
