//! A run as it may be published: without statement text and addresses.
//!
//! Findings were written by detectors that saw everything, so their sentences are searched for what the lanes name.

use serde_json::Value;
use timeline::Timeline;
use timeline::facts::RunMeta;
use timeline::lane::{LaneSpec, names as lanes};

use super::addresses;
use super::names::Names;
use crate::summary::Summary;
use crate::write::{Inputs, ReportError};

/// Sort of the pseudonyms of statements.
pub(super) const STATEMENT: &str = "statement";
/// Sort of the pseudonyms of their tables and columns.
const NAME: &str = "name";
/// Words of SQL behind which a table or a column is named.
const BEFORE_NAME: [&str; 9] = ["FROM", "JOIN", "INTO", "UPDATE", "TABLE", "WHERE", "AND", "BY", "ON"];
/// What stands under these keys is a word of dyno's own: nothing to hide, and a document without it could not be read.
const OWN_WORDS: [&str; 14] = [
    "kind",
    "unit",
    "shape",
    "quality",
    "severity",
    "status",
    "verdict",
    "reason",
    "model",
    "lane",
    "id",
    "caused_by",
    "run_id",
    "measures",
];
/// What stands under these speaks of statements.
const PROSE: [&str; 8] =
    ["claim", "text", "advice", "subject", "caused_by_reason", "verdict_reason", "notes", "missing"];
/// A scenario's line with one of these in its key holds something that proves who one is.
const SECRET_KEYS: [&str; 8] =
    ["authorization", "cookie", "password", "secret", "token", "api-key", "api_key", "apikey"];

/// What [`publishable`] makes: a run's data under pseudonyms.
#[derive(Debug)]
pub struct Publishable {
    /// Every figure.
    pub summary: Summary,
    /// The series behind them.
    pub timeline: Timeline,
    /// About the run.
    pub meta: RunMeta,
}

impl Publishable {
    /// As reports take it.
    #[must_use]
    pub fn inputs(&self) -> Inputs<'_> {
        Inputs { summary: &self.summary, timeline: &self.timeline, meta: &self.meta }
    }
}

/// The run with `statement-2` for each statement and `host-1` for each address, everywhere that a report shows them.
///
/// # Errors
/// [`ReportError::Form`] if the summary cannot be written and read again: a fault of ours.
pub fn publishable(inputs: &Inputs<'_>) -> Result<Publishable, ReportError> {
    let mut names = Names::default();
    learn(inputs, &mut names);
    let form = |e: serde_json::Error| ReportError::Form { what: "published summary", why: e.to_string() };
    let summary = serde_json::to_value(inputs.summary).map_err(form)?;
    let meta = serde_json::to_value(inputs.meta).map_err(form)?;
    // Twice over: hosts that are met late may stand bare in what comes early.
    scrub(summary.clone(), "", &mut names);
    let meta = scrub(meta, "", &mut names);
    let summary = scrub(summary, "", &mut names);
    let mut meta: RunMeta = serde_json::from_value(meta).map_err(form)?;
    meta.scenario_text = without_secrets(&meta.scenario_text);
    let timeline = inputs.timeline.renamed(
        |spec| {
            let of_database = spec.name.starts_with("db.");
            let known = names.replace_if(&spec.subject, |sort| of_database || sort != NAME);
            LaneSpec { subject: addresses::replace(&known, &mut names), ..spec.clone() }
        },
        // No report shows an event; what they led to is in findings and verdict.
        |_| None,
    );
    Ok(Publishable { summary: serde_json::from_value(summary).map_err(form)?, timeline, meta })
}

/// Statements, their tables and columns.
fn learn(inputs: &Inputs<'_>, names: &mut Names) {
    let of_statement =
        [lanes::DB_CALLS, lanes::DB_TIME, lanes::DB_FAILURES, lanes::DB_ROWS, lanes::DB_SCANNED];
    let of_table = [lanes::DB_TABLE_SCANS, lanes::DB_TABLE_SCANNED];
    for series in inputs.timeline.series() {
        let subject = &series.spec.subject;
        if of_statement.contains(&series.spec.name.as_str()) {
            names.of(STATEMENT, subject);
            identifiers(subject).for_each(|name| {
                names.of(NAME, name);
            });
        } else if of_table.contains(&series.spec.name.as_str()) {
            names.of(NAME, subject);
        }
    }
    let labels = inputs.timeline.all_events().iter().flat_map(|e| e.labels.iter());
    for (_, value) in labels.filter(|(name, _)| name == STATEMENT) {
        names.of(STATEMENT, value);
    }
}

/// Tables and columns of a statement, as far as findings name them.
fn identifiers(statement: &str) -> impl Iterator<Item = &str> {
    let words: Vec<&str> = statement
        .split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.')))
        .filter(|w| !w.is_empty())
        .collect();
    let behind = |pair: &&[&str]| BEFORE_NAME.iter().any(|w| pair[0].eq_ignore_ascii_case(w));
    let found: Vec<&str> = words.windows(2).filter(behind).flat_map(|pair| pair[1].split('.')).collect();
    // `a` and `p` are second names of tables, and words of every sentence.
    found.into_iter().filter(|name| name.len() > 2)
}

/// Every text of a document that is not a word of dyno's own; `key` is what it stands under.
fn scrub(value: Value, key: &str, names: &mut Names) -> Value {
    match value {
        Value::String(s) if OWN_WORDS.contains(&key) => Value::String(s),
        Value::String(s) if PROSE.contains(&key) => Value::String(text(&s, names)),
        // A column may be called as a step is: names of columns are looked for where somebody speaks of a statement.
        Value::String(s) => {
            Value::String(addresses::replace(&names.replace_if(&s, |sort| sort != NAME), names))
        }
        Value::Array(list) => list.into_iter().map(|v| scrub(v, key, names)).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(k, v)| {
                let told = scrub(v, &k, names);
                (k, told)
            })
            .collect(),
        other => other,
    }
}

fn text(text: &str, names: &mut Names) -> String {
    addresses::replace(&names.replace(text), names)
}

/// A scenario's text without the values of its secrets; hosts have gone already.
fn without_secrets(text: &str) -> String {
    let keep = |line: &str| {
        let lower = line.to_lowercase();
        if SECRET_KEYS.iter().any(|key| lower.contains(key)) {
            let key = line.split(['=', ':']).next().unwrap_or_default();
            format!("{key}= \"(removed)\"\n")
        } else {
            format!("{line}\n")
        }
    };
    text.lines().map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::{Format, write};
    use timeline::{Entry, LaneId, RunTime, Unit};

    const SQL: &str = "SELECT id FROM purchase_ledger WHERE customer_number = ?";

    #[test]
    fn no_published_report_has_a_statement_or_an_address() {
        let mut run = fixture::flash_sale();
        let id = LaneId(run.timeline.series().len() as u32);
        // A column that is called as a word of ours must not make the document unreadable.
        let sql = format!("{SQL} AND level = ? AND critical = ?");
        let spec = LaneSpec::rate(lanes::DB_CALLS, "shop-0", Unit::Count).about(&sql);
        run.timeline.apply(&Entry::Lane(id, spec));
        run.timeline.apply(&Entry::Sample { lane: id, at: RunTime::from_ms(30_000), value: 7.0 });
        run.meta.target = "http://shop.corp.example:8080".to_owned();
        run.meta.scenario_text =
            "url = \"http://shop.corp.example/\"\nheaders = { Authorization = \"Bearer s3cr3t\" }\n"
                .to_owned();
        run.findings[0].claim =
            format!("statement `{SQL}` reads all of purchase_ledger on shop.corp.example");
        run.findings[0].advice = vec!["CREATE INDEX ON purchase_ledger (customer_number)".to_owned()];
        let summary = run.summary();
        let inputs = Inputs { summary: &summary, timeline: &run.timeline, meta: &run.meta };
        let published = publishable(&inputs).unwrap();
        let claim = &published.summary.findings[0].finding.claim;
        assert_eq!(claim, "statement `statement-1` reads all of name-1 on host-2");
        assert_eq!(published.summary.total, summary.total);

        let folder = tempfile::tempdir().unwrap();
        for path in write(folder.path(), &published.inputs(), &Format::ALL).unwrap() {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            for secret in ["purchase_ledger", "customer_number", "corp.example", "127.0.0.1", "s3cr3t"] {
                assert!(!text.contains(secret), "{secret} in {}", path.display());
            }
        }
    }
}
