//! Bodies written by minijinja: what its templates may do, and what is known of them before a run.
//!
//! The reader of scenarios and `loadgen` take their environment from here, so that both mean the same language. It has no loader:
//! no template reads a file, includes another, or runs longer than its fuel lasts.

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};

/// Functions that `loadgen` adds; they draw from the session's random numbers.
pub const FUNCTIONS: [&str; 4] = ["uuid", "int", "float", "pick"];
/// Longest template, bytes.
pub const MAX_SOURCE: usize = 1 << 20;
/// Longest text that one renders, bytes.
pub const MAX_RENDERED: usize = 16 << 20;
/// Instructions that one rendering may take: some ten milliseconds, in which a worker's other sessions wait.
pub const FUEL: u64 = 500_000;

/// The environment of all templates of a run.
#[must_use]
pub fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    // An unset variable may be asked for (`{% if token %}`), but not written.
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment
}

/// A JSON value as templates know it.
#[must_use]
pub fn value_of(value: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::from(()),
        Json::Bool(yes) => Value::from(*yes),
        Json::Number(n) => {
            n.as_i64().map_or_else(|| Value::from(n.as_f64().unwrap_or_default()), Value::from)
        }
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(all) => all.iter().map(value_of).collect(),
        Json::Object(all) => {
            Value::from_pairs(all.iter().map(|(name, value)| (name.clone(), value_of(value))))
        }
    }
}

/// Adds [`FUNCTIONS`] that draw nothing, for a trial.
pub(crate) fn add_samples(environment: &mut Environment<'_>) {
    environment.add_function("uuid", || "00000000-0000-4000-8000-000000000000");
    environment.add_function("int", |low: i64, _high: i64| low);
    environment.add_function("float", |low: f64, _high: f64| low);
    environment.add_function("pick", |all: Value| all.get_item_by_index(0).unwrap_or_default());
}

/// What a template asks for that nobody has: wrong whatever its values.
pub(crate) fn unknown(error: &Error, source: &str) -> Option<(String, Option<std::ops::Range<usize>>)> {
    let always = matches!(
        error.kind(),
        ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::TemplateNotFound
    );
    always.then(|| told(error, source))
}

/// What is wrong with a template, and which bytes of it.
pub(crate) fn told(error: &Error, source: &str) -> (String, Option<std::ops::Range<usize>>) {
    let what = error.detail().map_or_else(|| error.kind().to_string(), |d| format!("{}: {d}", error.kind()));
    let lines = || source.split_inclusive('\n');
    let range = error.range().filter(|r| r.end <= source.len()).or_else(|| {
        let line = error.line()?.checked_sub(1)?;
        let start: usize = lines().take(line).map(str::len).sum();
        Some(start..start + lines().nth(line).map_or(0, |l| l.trim_end().len()))
    });
    (what, range)
}

/// Line and column of a byte, both from 1.
pub(crate) fn position(source: &str, at: usize) -> (usize, usize) {
    let before = source.get(..at).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    (line, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
}
