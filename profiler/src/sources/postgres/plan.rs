//! Plans: how the server would run the statement that takes most of its time.
//!
//! Owns when a plan is asked for, how, and what of it is kept. A statement is planned, never run: `EXPLAIN` without `ANALYZE`, in a transaction
//! that reads only, is given up after 1.5 s, and is rolled back. Its parameters are unknown, so the plan is the one for any value of them.
//!
//! Planning does run functions that are said not to change anything (`IMMUTABLE`, `STABLE`; operators, for how much they select), and so
//! would run whatever a stranger has put into his statement, with our rights, which may be a superuser's. So a statement is planned only
//! where our own role has sent it, which has run all that already, and names are looked up where that role looks and in schemas of its own. To
//! take on the sender's role first would be no wall: what is run could lay it off again.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use timeline::event::{LABEL_MAX, kinds};
use timeline::fingerprint;
use timeline::text::clean;
use timeline::{MonoNs, Unit};

use super::PostgresError;
use super::link::{Link, number, text};
use super::statements::{OURS, Slowest, own_text};
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
    /// Plans `slowest` if it is new, or has become faster or slower; tells what has changed. A refusal says why there is no plan; false: it
    /// is not ours to plan.
    pub fn look(
        &mut self,
        link: &mut Link,
        schema: &str,
        slowest: &Slowest,
        instance: &str,
        deadline: MonoNs,
        sink: &mut dyn Sink,
    ) -> Result<bool, PostgresError> {
        let now = MonoNs::now();
        let known = self.known.get(&slowest.id);
        let changed = known.is_none_or(|(mean, _)| {
            let growth = slowest.mean_ms / mean.max(1e-6);
            !(CHANGED.recip()..CHANGED).contains(&growth)
        });
        if !changed || self.last.is_some_and(|last| now.since(last) < EVERY) {
            return Ok(true);
        }
        self.last = Some(now);
        let before = known.map(|(_, plan)| plan.clone());
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(slowest.id, (slowest.mean_ms, before.clone().unwrap_or_default()));
        let plan = match explain(link, schema, slowest.id, deadline)? {
            Explained::Plan(plan) => plan,
            Explained::Nothing => return Ok(true),
            Explained::NotOurs => return Ok(false),
        };
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
                    label("before", before.as_deref().unwrap_or_default()),
                    label("table", &plan.table),
                    label("filter", &plan.filter),
                    label("cost", &format!("{:.2}", plan.scan_cost)),
                ],
                value: plan.cost,
                others: 0,
            });
            let cost = Unit::Count.show(plan.cost);
            let line =
                format!("{instance}: `{}` is planned as {} (cost {cost})", slowest.fingerprint, plan.steps);
            sink.note(super::NAME, &line);
        }
        Ok(true)
    }
}

/// What came of asking for a plan.
enum Explained {
    Plan(Plan),
    /// The text is not one statement that has a plan.
    Nothing,
    /// Our role has not sent it.
    NotOurs,
}

/// Asks for the plan of a statement.
fn explain(link: &mut Link, schema: &str, id: i64, deadline: MonoNs) -> Result<Explained, PostgresError> {
    let answer = link.ask(&own_text(schema, id), deadline)?;
    let Some(sql) = answer.first().and_then(|rows| text(rows.first()?, 0)) else {
        return Ok(Explained::NotOurs);
    };
    let verb: String = sql.chars().take_while(char::is_ascii_alphabetic).take(10).collect();
    let planned = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "MERGE", "VALUES"];
    let whole = sql.chars().count() <= TEXT_MAX;
    // It goes back to the server as a part of ours; one statement has no semicolon.
    if !whole || sql.contains(';') || !planned.contains(&verb.to_ascii_uppercase().as_str()) {
        return Ok(Explained::Nothing);
    }
    let asked = plan(link, sql, deadline);
    if matches!(&asked, Ok(_) | Err(PostgresError::Refused(_))) {
        link.ask(&format!("{OURS} ROLLBACK"), deadline)?;
        match link.ask(&format!("{OURS} DEALLOCATE dyno_plan"), deadline) {
            // It was never prepared.
            Ok(_) | Err(PostgresError::Refused(_)) => {}
            Err(e) => return Err(e),
        }
    }
    let plan = asked?.and_then(|answer| Plan::read(&answer));
    Ok(plan.map_or(Explained::Nothing, Explained::Plan))
}

/// Our role may have had another search path when it sent the statement: its own schemas are looked through, behind the usual ones. A
/// stranger's are not, where a name may mean what he wants.
fn plan(link: &mut Link, sql: &str, deadline: MonoNs) -> Result<Option<String>, PostgresError> {
    link.ask(&begin(), deadline)?;
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

/// The server counts each of these statements by itself, and each must be known for ours.
fn begin() -> String {
    format!(
        "{OURS} BEGIN READ ONLY; {OURS} SET LOCAL plan_cache_mode = force_generic_plan; \
         {OURS} SELECT set_config('search_path', concat_ws(', ', nullif(current_setting('search_path'), ''), string_agg(quote_ident(nspname), ', ')), true) \
         FROM pg_namespace WHERE nspowner = (SELECT oid FROM pg_roles WHERE rolname = current_user) \
         AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
    )
}

/// What is kept of a plan.
#[derive(Debug, PartialEq)]
struct Plan {
    /// From the top to the scan that costs most.
    steps: String,
    table: String,
    filter: String,
    /// What that scan costs by itself, and all of the statement.
    scan_cost: f64,
    cost: f64,
}

impl Plan {
    /// From the server's JSON.
    fn read(json: &str) -> Option<Self> {
        let said: Value = serde_json::from_str(json).ok()?;
        let top = said.get(0)?.get("Plan")?;
        let mut ways = Vec::new();
        walk(top, 1.0, &mut Vec::new(), &mut ways);
        let (scan_cost, way) = ways.into_iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
        let last = way.last()?;
        let said = |key: &str| last.get(key).and_then(Value::as_str).unwrap_or_default();
        let steps: Vec<String> = way.iter().map(|node| step(node)).collect();
        Some(Self {
            steps: shortened(&steps),
            table: clean(said("Relation Name"), LABEL_MAX),
            filter: fingerprint::of(said("Filter")),
            scan_cost,
            cost: cost(top),
        })
    }
}

/// The ways from the top to each scan and to each other end, and what that costs by itself, as often as it is run.
fn walk<'a>(node: &'a Value, runs: f64, way: &mut Vec<&'a Value>, ways: &mut Vec<(f64, Vec<&'a Value>)>) {
    way.push(node);
    let parts = parts(node);
    if parts.is_empty() || kind(node).ends_with("Scan") {
        // A scan may have parts of its own: the index that finds its pages, a query within its filter.
        let own = cost(node) - parts.iter().map(cost).sum::<f64>();
        ways.push((runs * own.max(0.0), way.clone()));
    }
    for part in parts {
        walk(part, runs * runs_of(part, node), way, ways);
    }
    way.pop();
}

/// How often `part` is run in one run of `node`: a nested loop runs its inner side once for each row of the outer one, unless it
/// keeps what that gave.
fn runs_of(part: &Value, node: &Value) -> f64 {
    if kind(node) != "Nested Loop" || side(part) != "Inner" || kind(part) == "Materialize" {
        return 1.0;
    }
    let outer = parts(node).iter().find(|p| side(p) == "Outer");
    outer.map_or(1.0, |p| figure(p, "Plan Rows")).max(1.0)
}

/// Of what is joined, which it is.
fn side(node: &Value) -> &str {
    node.get("Parent Relationship").and_then(Value::as_str).unwrap_or_default()
}

fn parts(node: &Value) -> &[Value] {
    node.get("Plans").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn kind(node: &Value) -> &str {
    node.get("Node Type").and_then(Value::as_str).unwrap_or_default()
}

/// With all parts below it, once.
fn cost(node: &Value) -> f64 {
    figure(node, "Total Cost")
}

fn figure(node: &Value, key: &str) -> f64 {
    node.get(key).and_then(Value::as_f64).unwrap_or(0.0)
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
    use serde_json::json;

    #[test]
    fn each_statement_around_a_plan_is_marked_as_ours() {
        let begin = begin();
        let statements: Vec<&str> = begin.split("; ").collect();
        assert_eq!(statements.len(), 3);
        assert!(statements.iter().all(|statement| statement.starts_with(OURS)), "{begin}");
    }

    #[test]
    fn the_way_leads_to_the_scan_that_costs_most() {
        let json = r#"[{"Plan": {"Node Type": "Hash Join", "Total Cost": 90.5, "Plans": [
            {"Node Type": "Index Scan", "Index Name": "a_pkey", "Relation Name": "a", "Total Cost": 30.0},
            {"Node Type": "Gather", "Total Cost": 60.0, "Plans": [{"Node Type": "Seq Scan", "Parallel Aware": true,
              "Relation Name": "b", "Total Cost": 50.0, "Filter": "((name = 'secret'::text) AND (id = $1))"}]},
            {"Node Type": "Seq Scan", "Relation Name": "c", "Total Cost": 5.0}]}}]"#;
        let plan = Plan::read(json).unwrap();
        assert_eq!(plan.steps, "Hash Join > Gather > Parallel Seq Scan on b");
        assert_eq!((plan.table.as_str(), plan.scan_cost, plan.cost), ("b", 50.0, 90.5));
        assert_eq!(plan.filter, "((name = ?::text) AND (id = ?))");
        for none in ["", "[]", "{}", "[{\"Plan\": 3}", &"[".repeat(1000)] {
            assert_eq!(Plan::read(none), None);
        }
    }

    /// A step with its cost; `more` are its other properties.
    fn step_of(kind: &str, table: &str, cost: f64, more: &[(&str, Value)]) -> Value {
        let mut node = json!({"Node Type": kind, "Relation Name": table, "Total Cost": cost});
        more.iter().for_each(|(key, value)| node[*key] = value.clone());
        node
    }

    #[test]
    fn a_small_table_beside_a_costly_index_is_not_what_costs() {
        let told =
            |top: Value| Plan::read(&json!([{"Plan": top}]).to_string()).map(|p| (p.steps, p.scan_cost));
        let on = |side: &str| ("Parent Relationship", json!(side));
        let small = step_of("Seq Scan", "state", 1.05, &[]);
        let index = step_of("Index Scan", "o", 80.0, &[]);
        let hash = step_of("Hash", "", 1.05, &[("Plans", json!([small]))]);
        let joined = step_of("Hash Join", "", 82.0, &[("Plans", json!([index, hash]))]);
        assert_eq!(told(joined), Some(("Hash Join > Index Scan on o".to_owned(), 80.0)));
        // Cheap each time, but once for each row of the other.
        let rows = step_of("Seq Scan", "state", 1.05, &[on("Outer"), ("Plan Rows", json!(5))]);
        let each = step_of("Index Scan", "o", 0.5, &[on("Inner")]);
        let looped = step_of("Nested Loop", "", 5.0, &[("Plans", json!([rows, each]))]);
        assert_eq!(told(looped), Some(("Nested Loop > Index Scan on o".to_owned(), 2.5)));
        // What is kept is read once.
        let rows = step_of("Index Scan", "o", 80.0, &[on("Outer"), ("Plan Rows", json!(900))]);
        let kept = step_of("Materialize", "", 1.1, &[on("Inner"), ("Plans", json!([small]))]);
        let looped = step_of("Nested Loop", "", 90.0, &[("Plans", json!([rows, kept]))]);
        assert_eq!(told(looped), Some(("Nested Loop > Index Scan on o".to_owned(), 80.0)));
        // A query within the filter is a part of the scan.
        let within = step_of("Index Scan", "b", 8.0, &[on("SubPlan")]);
        let filtered = step_of("Seq Scan", "a", 900.0, &[("Plans", json!([within]))]);
        assert_eq!(told(filtered), Some(("Seq Scan on a".to_owned(), 892.0)));
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
