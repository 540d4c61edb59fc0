//! Plans: how the server would run the statement that takes most of its time.
//!
//! Owns when a plan is asked for, how, and what of it is kept. A statement is planned, never run: `EXPLAIN` without `ANALYZE`, in a transaction
//! that reads only and is rolled back. Its parameters are unknown, so the plan is the one for any value of them.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use timeline::event::{LABEL_MAX, kinds};
use timeline::fingerprint;
use timeline::text::clean;
use timeline::{MonoNs, Unit};

use super::PostgresError;
use super::link::{Link, number, text};
use super::statements::{OURS, Slowest, texts};
use crate::sources::{Sink, SourceEvent};

/// At most one plan in so long: planning takes the server milliseconds.
const EVERY: Duration = Duration::from_secs(2);
/// A mean time that has changed by such a factor may come from another plan.
const CHANGED: f64 = 2.0;
/// Statements whose plan is remembered; with more it begins anew.
const REMEMBERED: usize = 256;
/// Most parameters of a statement that is planned.
const PARAMETERS: f64 = 1_000.0;
/// Longest text that is planned, characters: longer ones come cut.
const TEXT_MAX: usize = 16 * 1024 - 1;

/// What was planned so far.
#[derive(Default)]
pub(super) struct Plans {
    last: Option<MonoNs>,
    /// By statement: its mean time when it was planned, and the plan.
    known: HashMap<i64, (f64, String)>,
}

impl Plans {
    /// Plans `slowest` if it is new, or has become faster or slower; tells what has changed. A refusal says why there is no plan.
    pub fn look(
        &mut self,
        link: &mut Link,
        schema: &str,
        slowest: &Slowest,
        instance: &str,
        deadline: MonoNs,
        sink: &mut dyn Sink,
    ) -> Result<(), PostgresError> {
        let now = MonoNs::now();
        let known = self.known.get(&slowest.id);
        let changed = known.is_none_or(|(mean, _)| {
            let growth = slowest.mean_ms / mean.max(1e-6);
            !(CHANGED.recip()..CHANGED).contains(&growth)
        });
        if !changed || self.last.is_some_and(|last| now.since(last) < EVERY) {
            return Ok(());
        }
        self.last = Some(now);
        let before = known.map(|(_, plan)| plan.clone());
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(slowest.id, (slowest.mean_ms, before.clone().unwrap_or_default()));
        let Some(plan) = explain(link, schema, slowest, deadline)? else { return Ok(()) };
        self.known.insert(slowest.id, (slowest.mean_ms, plan.steps.clone()));
        if before.as_ref() != Some(&plan.steps) {
            let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            sink.event(SourceEvent {
                kind: kinds::DB_PLAN.to_owned(),
                instance: instance.to_owned(),
                start: now,
                end: now,
                labels: vec![
                    label("statement", &slowest.fingerprint),
                    label("plan", &plan.steps),
                    label("table", &plan.table),
                    label("filter", &plan.filter),
                ],
                value: plan.cost,
                others: 0,
            });
            let cost = Unit::Count.show(plan.cost);
            let line =
                format!("{instance}: `{}` is planned as {} (cost {cost})", slowest.fingerprint, plan.steps);
            sink.note(super::NAME, &line);
        }
        Ok(())
    }
}

/// Asks for the plan; none where the text is not one statement that has a plan.
fn explain(
    link: &mut Link,
    schema: &str,
    slowest: &Slowest,
    deadline: MonoNs,
) -> Result<Option<Plan>, PostgresError> {
    let answer = link.ask(&texts(schema, &[slowest.id]), deadline)?;
    let sql = answer.first().and_then(|rows| text(rows.first()?, 1)).unwrap_or_default();
    let verb: String = sql.chars().take_while(char::is_ascii_alphabetic).take(10).collect();
    let planned = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "MERGE", "VALUES"];
    let whole = sql.chars().count() <= TEXT_MAX;
    // It goes back to the server as a part of ours; one statement has no semicolon.
    if !whole || sql.contains(';') || !planned.contains(&verb.to_ascii_uppercase().as_str()) {
        return Ok(None);
    }
    let asked = plan(link, sql, deadline);
    if matches!(&asked, Ok(_) | Err(PostgresError::Refused(_))) {
        link.ask("ROLLBACK", deadline)?;
        match link.ask(&format!("{OURS} DEALLOCATE dyno_plan"), deadline) {
            // It was never prepared.
            Ok(_) | Err(PostgresError::Refused(_)) => {}
            Err(e) => return Err(e),
        }
    }
    let Some(answer) = asked? else { return Ok(None) };
    Ok(Plan::read(&answer))
}

/// Whoever sent the statement may have had another search path: every schema is looked through, ours first.
fn plan(link: &mut Link, sql: &str, deadline: MonoNs) -> Result<Option<String>, PostgresError> {
    let begin = format!(
        "{OURS} BEGIN READ ONLY; SET LOCAL plan_cache_mode = force_generic_plan; \
         SELECT set_config('search_path', concat_ws(', ', nullif(current_setting('search_path'), ''), string_agg(quote_ident(nspname), ', ')), true) \
         FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
    );
    link.ask(&begin, deadline)?;
    link.ask(&format!("{OURS} PREPARE dyno_plan AS {sql}"), deadline)?;
    let count = format!(
        "{OURS} SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'dyno_plan'"
    );
    let answer = link.ask(&count, deadline)?;
    let parameters = answer.first().and_then(|rows| number(rows.first()?, 0)).unwrap_or(0.0);
    if !(0.0..=PARAMETERS).contains(&parameters) {
        return Ok(None);
    }
    let values = match parameters as usize {
        0 => String::new(),
        n => format!("({})", vec!["NULL"; n].join(", ")),
    };
    let answer = link.ask(&format!("{OURS} EXPLAIN (FORMAT JSON) EXECUTE dyno_plan{values}"), deadline)?;
    Ok(answer.first().and_then(|rows| text(rows.first()?, 0)).map(str::to_owned))
}

/// What is kept of a plan.
#[derive(Debug, PartialEq)]
struct Plan {
    /// From the top to the scan that costs most.
    steps: String,
    table: String,
    filter: String,
    cost: f64,
}

impl Plan {
    /// From the server's JSON. The way leads to the scan of a whole table that costs most, else to the costliest step.
    fn read(json: &str) -> Option<Self> {
        let said: Value = serde_json::from_str(json).ok()?;
        let top = said.get(0)?.get("Plan")?;
        let mut ways = Vec::new();
        walk(top, &mut Vec::new(), &mut ways);
        let cost = |node: &Value| node.get("Total Cost").and_then(Value::as_f64).unwrap_or(0.0);
        let rank = |way: &&Vec<&Value>| way.last().map(|n| (kind(n) == "Seq Scan", cost(n)));
        let way = ways.iter().max_by(|a, b| {
            let (a, b) = (rank(a).unwrap_or_default(), rank(b).unwrap_or_default());
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        })?;
        let last = way.last()?;
        let said = |key: &str| last.get(key).and_then(Value::as_str).unwrap_or_default();
        let steps: Vec<String> = way.iter().map(|node| step(node)).collect();
        Some(Self {
            steps: shortened(&steps),
            table: clean(said("Relation Name"), LABEL_MAX),
            filter: fingerprint::of(said("Filter")),
            cost: cost(top),
        })
    }
}

/// The ways from the top to each end.
fn walk<'a>(node: &'a Value, way: &mut Vec<&'a Value>, ways: &mut Vec<Vec<&'a Value>>) {
    way.push(node);
    match node.get("Plans").and_then(Value::as_array) {
        Some(parts) if !parts.is_empty() => parts.iter().for_each(|part| walk(part, way, ways)),
        _ => ways.push(way.clone()),
    }
    way.pop();
}

fn kind(node: &Value) -> &str {
    node.get("Node Type").and_then(Value::as_str).unwrap_or_default()
}

/// `Parallel Seq Scan on purchase`, `Index Scan using purchase_pkey on purchase`.
fn step(node: &Value) -> String {
    let said = |key: &str| node.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut text = match (kind(node), node.get("Parallel Aware").and_then(Value::as_bool)) {
        ("ModifyTable", _) => said("Operation").to_owned(),
        (kind, Some(true)) => format!("Parallel {kind}"),
        (kind, _) => kind.to_owned(),
    };
    for (word, key) in [("using", "Index Name"), ("on", "Relation Name")] {
        if !said(key).is_empty() {
            text += &format!(" {word} {}", said(key));
        }
    }
    text
}

/// The last steps matter most.
fn shortened(steps: &[String]) -> String {
    (0..steps.len())
        .map(|from| format!("{}{}", if from > 0 { "… > " } else { "" }, steps[from..].join(" > ")))
        .find(|text| text.chars().count() <= LABEL_MAX)
        .map_or_else(
            || clean(steps.last().map_or("", String::as_str), LABEL_MAX),
            |text| clean(&text, LABEL_MAX),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_leads_to_the_scan_that_costs_most() {
        let json = r#"[{"Plan": {"Node Type": "Hash Join", "Total Cost": 90.5, "Plans": [
            {"Node Type": "Index Scan", "Index Name": "a_pkey", "Relation Name": "a", "Total Cost": 80.0},
            {"Node Type": "Gather", "Total Cost": 60.0, "Plans": [{"Node Type": "Seq Scan", "Parallel Aware": true,
              "Relation Name": "b", "Total Cost": 50.0, "Filter": "((name = 'secret'::text) AND (id = $1))"}]},
            {"Node Type": "Seq Scan", "Relation Name": "c", "Total Cost": 5.0}]}}]"#;
        let plan = Plan::read(json).unwrap();
        assert_eq!(plan.steps, "Hash Join > Gather > Parallel Seq Scan on b");
        assert_eq!((plan.table.as_str(), plan.cost), ("b", 90.5));
        assert_eq!(plan.filter, "((name = ?::text) AND (id = ?))");
        for none in ["", "[]", "{}", "[{\"Plan\": 3}", &"[".repeat(1000)] {
            assert_eq!(Plan::read(none), None);
        }
    }

    #[test]
    fn long_ways_keep_their_end() {
        let steps: Vec<String> = (0..30).map(|n| format!("Nested Loop {n}")).collect();
        let text = shortened(&steps);
        assert!(
            text.starts_with("… > ") && text.ends_with("Nested Loop 29") && text.chars().count() <= LABEL_MAX
        );
        assert_eq!(shortened(&["x".repeat(500)]).chars().count(), LABEL_MAX);
    }
}
