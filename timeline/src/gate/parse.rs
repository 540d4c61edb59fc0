//! From text to gate: words, in order, each error with its place.

use std::time::Duration;

use super::quantity::{self, Dimension, Quantity};
use super::{Condition, GateError, Op, Scope, Stat, Subject, lanes};
use crate::finding::FindingKind;
use crate::lane::names;
use crate::units::Unit;

/// Client-side times that have a word of their own: words, lane. Response time is meant where nothing is said.
const TIMES: [(&str, &str); 3] =
    [("response", names::RESPONSE), ("service", names::SERVICE), ("lateness", names::LATENESS)];
/// Rates that have a word of their own.
const RATES: [(&str, &str); 3] =
    [("completed", names::COMPLETED), ("achieved", names::ACHIEVED), ("offered", names::OFFERED)];
/// Words that may begin a gate, for suggestions.
const FIRST_WORDS: [&str; 17] = [
    "p50",
    "p90",
    "p95",
    "p99",
    "p99.9",
    "max",
    "mean",
    "median",
    "response",
    "service",
    "lateness",
    "errors",
    "achieved",
    "completed",
    "offered",
    "dropped",
    "no",
];
/// A window shorter than the interval of histograms (one second) would see some of them and not others.
const LEAST_WINDOW: Duration = Duration::from_secs(1);

/// One word of the text.
#[derive(Debug, Clone)]
struct Word {
    /// Without its quotes.
    text: String,
    /// In lower case, empty for a quoted word: it is never a keyword.
    key: String,
    /// Byte range in the text, quotes included.
    start: usize,
    end: usize,
}

struct Words<'a> {
    text: &'a str,
    words: Vec<Word>,
    next: usize,
}

/// Reads a whole expression.
pub(super) fn gate(text: &str) -> Result<Condition, GateError> {
    let mut w = Words::of(text)?;
    let Some(first) = w.peek().map(|word| word.key.clone()) else {
        return Err(w.error_at(0, "it is empty; expected a condition such as `p99 < 250ms`", None));
    };
    if first == "no" {
        w.take();
        return no_finding(w);
    }
    let start = w.at();
    let (draft, bare_is_ms) = subject(&mut w)?;
    let op = w.op()?;
    let (limit_at, limit) = w.limit()?;
    let (subject, limit) = draft.with_limit(&w, limit_at, limit, bare_is_ms)?;
    if subject == Subject::AchievedShare && w.eat("of") {
        w.expect("offered")?;
    }
    let scope = scope(&mut w)?;
    refuse_scope(&w, start, &subject, &scope)?;
    refuse_hopeless(&w, limit_at, &subject, op, limit)?;
    Ok(Condition::Figure { subject, op, limit, scope })
}

fn no_finding(mut w: Words<'_>) -> Result<Condition, GateError> {
    let at = w.at();
    let plural = match w.take().map(|word| word.key).as_deref() {
        Some("findings") => true,
        Some("finding") => false,
        _ => return Err(w.error_at(at, "expected `no findings` or `no finding KIND`", None)),
    };
    let at = w.at();
    let Some(word) = w.take() else {
        return if plural {
            Ok(Condition::NoFinding(None))
        } else {
            Err(w.error_at(
                at,
                "expected a kind of finding such as `cache-stampede`",
                Some("no findings".into()),
            ))
        };
    };
    w.end()?;
    match FindingKind::from_name(&word.key) {
        Some(kind) => Ok(Condition::NoFinding(Some(kind))),
        None => {
            let kinds = FindingKind::ALL.iter().map(|k| k.name());
            Err(w.error_at(at, format!("there is no finding `{}`", word.text), nearest(&word.key, kinds)))
        }
    }
}

/// A subject before its limit is known, which decides between shares, counts and rates.
enum Draft {
    Time(&'static str, Stat),
    Errors,
    Rate(&'static str),
    Dropped,
    Lane(String, Option<Stat>, Option<Unit>),
    Growth(String, Option<Unit>),
}

/// Reads up to the comparison; also says whether a bare limit means milliseconds, as in k6.
fn subject(w: &mut Words<'_>) -> Result<(Draft, bool), GateError> {
    let at = w.at();
    let word = w.take().expect("the caller has looked").key;
    let word = word.trim_end_matches(':');
    if word == "http_req_duration" {
        let stat = w.stat()?.ok_or_else(|| w.expected("a figure such as `p(95)` or `max`"))?;
        return Ok((Draft::Time(names::RESPONSE, stat.0), true));
    }
    if word == "http_req_failed" {
        w.eat("rate");
        return Ok((Draft::Errors, false));
    }
    if let Some((_, lane)) = TIMES.iter().find(|(name, _)| *name == word) {
        w.eat("time");
        let stat = w.stat()?.ok_or_else(|| w.expected("a figure such as `p99` or `max`"))?;
        return Ok((Draft::Time(lane, stat.0), stat.1));
    }
    if let Some((_, lane)) = RATES.iter().find(|(name, _)| *name == word) {
        return Ok((Draft::Rate(lane), false));
    }
    match word {
        "errors" => Ok((Draft::Errors, false)),
        "dropped" => Ok((Draft::Dropped, false)),
        _ => {
            if let Some((stat, k6)) = stat(word).map_err(|s| w.error_at(at, no_percentile(word), s))? {
                return Ok((Draft::Time(names::RESPONSE, stat), k6));
            }
            lane(w, at, word).map(|draft| (draft, false))
        }
    }
}

fn lane(w: &mut Words<'_>, at: usize, word: &str) -> Result<Draft, GateError> {
    // The generations' lanes are spoken of by their generation.
    let name = match word {
        "heap.old" => names::HEAP_OLD,
        "heap.young" => names::HEAP_YOUNG,
        other => other,
    };
    if !name.contains('.') {
        let problem =
            format!("`{word}` is no figure; expected p99, errors, achieved, a lane such as `pool.db.wait`");
        return Err(w.error_at(at, problem, nearest(word, FIRST_WORDS)));
    }
    let unit = match lanes::known(name) {
        Ok(unit) => unit,
        Err(meant) => return Err(w.error_at(at, format!("there is no lane `{name}`"), Some(meant))),
    };
    if w.eat("growth") {
        return Ok(Draft::Growth(name.to_owned(), unit));
    }
    let stat = w.stat()?.map(|(stat, _)| stat);
    Ok(Draft::Lane(name.to_owned(), stat, unit))
}

impl Draft {
    fn with_limit(
        self,
        w: &Words<'_>,
        at: usize,
        limit: Quantity,
        bare_is_ms: bool,
    ) -> Result<(Subject, f64), GateError> {
        let wrong = |wanted: &str| {
            let text = w.text[at..].split_whitespace().next().unwrap_or_default();
            w.error_at(at, format!("`{text}` does not fit here; expected {wanted}"), None)
        };
        let of = |unit: Unit| limit.as_unit(unit).ok_or_else(|| wrong(quantity::example(unit)));
        match self {
            Self::Time(lane, stat) if bare_is_ms && limit.dimension == Dimension::Bare => {
                Ok((Subject::Time(lane, stat), limit.value * 1e6))
            }
            Self::Time(lane, stat) => Ok((Subject::Time(lane, stat), of(Unit::Ns)?)),
            Self::Errors if limit.dimension == Dimension::Share => Ok((Subject::ErrorShare, limit.value)),
            // k6 writes shares as fractions; a fraction of an error does not exist.
            Self::Errors if limit.dimension == Dimension::Bare && limit.value > 0.0 && limit.value < 1.0 => {
                Ok((Subject::ErrorShare, limit.value))
            }
            Self::Errors if limit.dimension == Dimension::Bare => Ok((Subject::ErrorCount, limit.value)),
            Self::Errors => Err(wrong("a share such as 0.1% or a number such as 5")),
            Self::Rate(names::ACHIEVED) if limit.dimension == Dimension::Share => {
                Ok((Subject::AchievedShare, limit.value))
            }
            Self::Rate(names::ACHIEVED) if limit.dimension != Dimension::Rate => {
                Err(wrong("`99% of offered` or a rate such as 500/s"))
            }
            Self::Rate(lane) => Ok((Subject::Rate(lane), of(Unit::PerSecond)?)),
            Self::Dropped => Ok((Subject::Dropped, of(Unit::Count)?)),
            Self::Lane(name, stat, unit) => {
                let unit = unit.or(limit.unit()).ok_or_else(|| wrong("a value with its unit"))?;
                let value = of(unit)?;
                Ok((Subject::Lane(name, stat, unit), value))
            }
            Self::Growth(name, known) => {
                let unit = limit.slope_unit().filter(|u| known.is_none_or(|k| k == *u));
                let wanted = if known == Some(Unit::Bytes) {
                    "a slope such as 1MiB/min"
                } else {
                    "a slope such as 5/min"
                };
                Ok((Subject::Growth(name, unit.ok_or_else(|| wrong(wanted))?), limit.value))
            }
        }
    }
}

fn scope(w: &mut Words<'_>) -> Result<Scope, GateError> {
    let mut scope = Scope::default();
    while let Some(word) = w.peek().cloned() {
        let twice = || w.error_at(word.start, format!("`{}` is said twice", word.text), None);
        match word.key.as_str() {
            "for" if scope.step.is_some() => return Err(twice()),
            "in" if scope.phase.is_some() => return Err(twice()),
            "over" if scope.over.is_some() => return Err(twice()),
            "for" => {
                w.take();
                scope.step = Some(w.name("a step")?);
            }
            "in" => {
                w.take();
                w.expect("phase")?;
                scope.phase = Some(w.name("a phase")?);
            }
            "over" => {
                w.take();
                scope.over = Some(w.window()?);
            }
            _ => return Err(w.expected("`for STEP`, `in phase NAME`, `over 30s` or the end")),
        }
    }
    Ok(scope)
}

/// Refuses scopes that the figure cannot be read over.
fn refuse_scope(w: &Words<'_>, at: usize, subject: &Subject, scope: &Scope) -> Result<(), GateError> {
    let by_step = match subject {
        Subject::Time(lane, _) => *lane != names::LATENESS,
        Subject::ErrorShare | Subject::ErrorCount | Subject::Lane(..) | Subject::Growth(..) => true,
        Subject::AchievedShare | Subject::Rate(_) | Subject::Dropped => false,
    };
    if scope.step.is_some() && !by_step {
        return Err(w.error_at(at, "this figure is not kept by step; leave `for ...` out", None));
    }
    if scope.over.is_some() && matches!(subject, Subject::Growth(..)) {
        return Err(w.error_at(at, "growth is read over a whole phase or run; leave `over ...` out", None));
    }
    Ok(())
}

/// Refuses what can never hold, and shares that no share can reach.
fn refuse_hopeless(w: &Words<'_>, at: usize, subject: &Subject, op: Op, limit: f64) -> Result<(), GateError> {
    if matches!(subject, Subject::Growth(..)) {
        return Ok(());
    }
    let unit = subject.unit();
    let never = |why: &str| Err(w.error_at(at, format!("this gate can never hold: {why}"), None));
    // The least time that is told apart is a microsecond, so even "at most nothing" is out of reach.
    let nothing = limit < 0.0
        || limit == 0.0 && (op == Op::Less || op == Op::AtMost && matches!(subject, Subject::Time(..)));
    if op.is_upper() && nothing {
        return never("the figure is never below nothing");
    }
    if unit == Unit::Ratio && op == Op::More && limit >= 1.0 {
        return never("a share is never above 100%");
    }
    if unit == Unit::Ratio && limit > 1.0 {
        return Err(w.error_at(at, "a share is at most 100%", None));
    }
    Ok(())
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Result<Self, GateError> {
        let mut all = Self { text, words: Vec::new(), next: 0 };
        let mut rest = 0;
        while let Some(c) = text[rest..].chars().next() {
            let tail = &text[rest..];
            let len = match c {
                _ if c.is_whitespace() => {
                    rest += c.len_utf8();
                    continue;
                }
                '<' | '>' => 1 + usize::from(tail[1..].starts_with('=')),
                '"' | '\'' => match tail[1..].find(c) {
                    Some(n) => n + 2,
                    None => return Err(all.error_at(rest, "this quote is not closed", None)),
                },
                _ => tail.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>')).unwrap_or(tail.len()),
            };
            let quoted = matches!(c, '"' | '\'');
            let raw = if quoted { &tail[1..len - 1] } else { &tail[..len] };
            let key = if quoted { String::new() } else { raw.to_lowercase() };
            all.words.push(Word { text: raw.to_owned(), key, start: rest, end: rest + len });
            rest += len;
        }
        Ok(all)
    }

    fn peek(&self) -> Option<&Word> {
        self.words.get(self.next)
    }

    fn take(&mut self) -> Option<Word> {
        let word = self.words.get(self.next).cloned();
        self.next += usize::from(word.is_some());
        word
    }

    /// Byte at which the next word begins; the end of the text when there is none.
    fn at(&self) -> usize {
        self.peek().map_or(self.text.len(), |w| w.start)
    }

    fn eat(&mut self, key: &str) -> bool {
        let hit = self.peek().is_some_and(|w| w.key == key);
        self.next += usize::from(hit);
        hit
    }

    fn expect(&mut self, key: &str) -> Result<(), GateError> {
        if self.eat(key) { Ok(()) } else { Err(self.expected(&format!("`{key}`"))) }
    }

    fn end(&self) -> Result<(), GateError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.expected("the end")) }
    }

    fn stat(&mut self) -> Result<Option<(Stat, bool)>, GateError> {
        let at = self.at();
        let Some(key) = self.peek().map(|w| w.key.clone()) else { return Ok(None) };
        let found = stat(&key).map_err(|s| self.error_at(at, no_percentile(&key), s))?;
        self.next += usize::from(found.is_some());
        Ok(found)
    }

    fn op(&mut self) -> Result<Op, GateError> {
        let op = match self.peek().map(|w| w.key.as_str()) {
            Some("<") => Op::Less,
            Some("<=") => Op::AtMost,
            Some(">") => Op::More,
            Some(">=") => Op::AtLeast,
            _ => return Err(self.expected("`<`, `<=`, `>` or `>=`")),
        };
        self.next += 1;
        Ok(op)
    }

    fn is_keyword(&self, i: usize) -> bool {
        let key = |i: usize| self.words.get(i).map_or("", |w| w.key.as_str());
        match key(i) {
            "in" => key(i + 1) == "phase",
            "over" => quantity::read(key(i + 1)).is_some_and(|q| q.dimension == Dimension::Time),
            _ => false,
        }
    }

    fn limit(&mut self) -> Result<(usize, Quantity), GateError> {
        let start = self.at();
        let first = self.next;
        while self
            .peek()
            .is_some_and(|w| !matches!(w.key.as_str(), "" | "for" | "in" | "over" | "of" | "<" | ">"))
        {
            self.next += 1;
        }
        if self.next == first {
            return Err(self.expected("a limit such as 250ms, 0.1% or 300MiB"));
        }
        let raw = &self.text[start..self.words[self.next - 1].end];
        match quantity::read(raw).filter(|q| q.value.is_finite()) {
            Some(quantity) => Ok((start, quantity)),
            None => {
                let problem =
                    format!("`{raw}` is no limit; expected one such as 250ms, 0.1%, 300MiB or 500/s");
                Err(self.error_at(start, problem, None))
            }
        }
    }

    /// A name: one quoted word, or all words up to the next keyword.
    fn name(&mut self, what: &str) -> Result<String, GateError> {
        let Some(first) = self.peek().cloned() else {
            return Err(self.expected(&format!("the name of {what}")));
        };
        if first.key.is_empty() {
            self.next += 1;
            return Ok(first.text);
        }
        let mut end = first.end;
        while let Some(word) = self.peek() {
            let begins_scope = self.is_keyword(self.next) || what == "a phase" && word.key == "for";
            if begins_scope && word.start > first.start {
                break;
            }
            end = word.end;
            self.next += 1;
        }
        Ok(self.text[first.start..end].to_owned())
    }

    fn window(&mut self) -> Result<Duration, GateError> {
        let at = self.at();
        let word = self.take().map(|w| w.text).unwrap_or_default();
        let window = quantity::read(&word)
            .filter(|q| q.dimension == Dimension::Time && q.value > 0.0)
            .map(|q| Duration::from_nanos(q.value as u64));
        match window {
            Some(window) if window >= LEAST_WINDOW => Ok(window),
            Some(_) => Err(self.error_at(at, "the shortest window is 1s", Some("over 1s".into()))),
            None => Err(self.error_at(at, "expected a duration such as 30s", None)),
        }
    }

    fn expected(&self, what: &str) -> GateError {
        match self.peek() {
            Some(word) => self.error_at(word.start, format!("found `{}`, expected {what}", word.text), None),
            None => self.error_at(self.text.len(), format!("it ends here, expected {what}"), None),
        }
    }

    fn error_at(&self, byte: usize, problem: impl Into<String>, suggestion: Option<String>) -> GateError {
        let at = self.text[..byte].chars().count() + 1;
        GateError { text: self.text.to_owned(), at, problem: problem.into(), suggestion }
    }
}

/// `p99`, `p(95)`, `max`, `avg`; the flag says that the spelling is k6's. An error carries what was meant.
fn stat(word: &str) -> Result<Option<(Stat, bool)>, Option<String>> {
    let named = match word {
        "min" => Some((Stat::Min, false)),
        "max" => Some((Stat::Max, false)),
        "mean" => Some((Stat::Mean, false)),
        "median" => Some((Stat::Quantile(0.5), false)),
        "last" => Some((Stat::Last, false)),
        "avg" => Some((Stat::Mean, true)),
        "med" => Some((Stat::Quantile(0.5), true)),
        _ => None,
    };
    let Some(tail) = word.strip_prefix('p').filter(|_| named.is_none()) else { return Ok(named) };
    let k6 = tail.strip_prefix('(').and_then(|t| t.strip_suffix(')'));
    let digits = k6.unwrap_or(tail);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(None);
    }
    match digits.parse::<f64>() {
        Ok(p) if p > 0.0 && p < 100.0 => Ok(Some((Stat::Quantile(p / 100.0), k6.is_some()))),
        // p999 is how some tools write p99.9.
        Ok(p) if digits.len() > 2 && digits.starts_with("99") && p.fract() == 0.0 => {
            Err(Some(format!("p99.{}", &digits[2..])))
        }
        Ok(100.0) => Err(Some("max".to_owned())),
        _ => Err(None),
    }
}

fn no_percentile(word: &str) -> String {
    format!("`{word}` is no percentile; expected one between p0 and p100 such as p99 or p99.9")
}

/// `service ` for the lane of service times; nothing for response time, which is meant anyway.
pub(super) fn time_word(lane: &str) -> &'static str {
    match lane {
        names::SERVICE => "service ",
        names::LATENESS => "lateness ",
        _ => "",
    }
}

/// The name as it must be written to be read back.
pub(super) fn quoted(name: &str) -> String {
    let words = Words::of(name);
    let plain = words.as_ref().is_ok_and(|w| {
        !w.words.is_empty()
            && w.words.iter().enumerate().all(|(i, word)| {
                !matches!(word.key.as_str(), "" | "for" | "in" | "over")
                    && !word.text.contains(['<', '>'])
                    && !w.is_keyword(i)
            })
    });
    match (plain && name.trim() == name, name.contains('"')) {
        (true, _) => name.to_owned(),
        (false, false) => format!("\"{name}\""),
        (false, true) => format!("'{name}'"),
    }
}

/// The candidate that was probably meant: within a third of its letters.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(word, c), c))
        .filter(|(distance, c)| *distance <= c.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Gate;
    use proptest::prelude::*;

    fn spelled(text: &str) -> String {
        Gate::parse(text).map(|g| g.expression()).unwrap_or_else(|e| format!("REFUSED {e}"))
    }

    #[test]
    fn gates_are_read_as_people_write_them() {
        let said = [
            "p99 < 250ms for say in phase steady",
            "P99<250ms FOR checkout",
            "response p99.9 <= 1.5s over 30s",
            "service  max < 2 s for check out in phase peak over 10s",
            "mean < 100us for \"in phase\"",
            "errors < 0.1% over 30s",
            "errors < 5 for log in",
            "achieved >= 99% of offered in phase peak",
            "completed >= 500/s",
            "lateness p99 < 20ms",
            "dropped < 1",
            "pool.db.wait p99 < 5ms",
            "heap.old.used max < 300 MiB",
            "pool.db.waiters < 10",
            "heap.old growth < 1MiB/min",
            "host.cpu p99 < 80%",
            "process.cpu mean < 1.5 cores",
            "myapp.queue.depth last <= 3",
            "no findings",
            "No Finding cache-stampede",
            "http_req_duration: p(95)<500",
            "http_req_failed rate<0.01",
            "avg<200",
        ];
        let read: Vec<String> = said.iter().map(|s| format!("{s:55} -> {}", spelled(s))).collect();
        insta::assert_snapshot!(read.join("\n"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let said = [
            "",
            "p99",
            "p99 250ms",
            "p99 < ",
            "p99 < 250",
            "p99 < 250mss",
            "p99 < 0ms",
            "p999 < 1s",
            "p100 < 1s",
            "p0 < 1s",
            "errors < 0%",
            "errors < 120%",
            "errors < 5ms",
            "achieved > 100% of offered",
            "achieved >= 99% of planned",
            "eror < 1%",
            "pool.db.wiat p99 < 5ms",
            "pol.db.wait p99 < 5ms",
            "heap.old.usde max < 5MiB",
            "heap.old.used max < 5ms",
            "heap.old growth < 5ms",
            "heap.old growth < 1MiB/min over 30s",
            "p99 < 1s over 100ms",
            "p99 < 1s over soon",
            "p99 < 1s for ",
            "p99 < 1s in steady",
            "p99 < 1s over 30s over 40s",
            "p99 < 1s for 'say",
            "lateness p99 < 1s for say",
            "no finding cache-stampeed",
            "no finding",
            "no problems",
        ];
        let read: Vec<String> = said.iter().map(|s| format!("{s:40} -> {}", spelled(s))).collect();
        insta::assert_snapshot!(read.join("\n"));
    }

    #[test]
    fn names_are_checked_against_the_plan() {
        let (steps, phases) = (["say".to_owned(), "log in".to_owned()], ["peak".to_owned()]);
        let check =
            |text: &str| Gate::parse(text).unwrap().check_names(&steps, &phases).map_err(|e| e.to_string());
        assert_eq!(check("p99 < 1s for log in in phase peak"), Ok(()));
        assert_eq!(check("server.handler p99 < 1s for /products"), Ok(()));
        insta::assert_snapshot!(check("p99 < 1s for log on").unwrap_err());
        insta::assert_snapshot!(check("p99 < 1s in phase steady").unwrap_err());
    }

    proptest! {
        #[test]
        fn the_canonical_spelling_is_read_back(
            figure in prop::sample::select(vec!["p50", "p99.99", "service max", "mean", "lateness p90"]),
            op in prop::sample::select(vec!["<", "<=", ">", ">="]),
            us in 1..10_000_000_u32,
            step in proptest::option::of("[a-z<'/]{1,8}( (in|over|for|phase|x)){0,2}"),
            over in proptest::option::of(1..100_u32),
        ) {
            let mut text = format!("{figure} {op} {us}us");
            if let Some(step) = step.filter(|_| !figure.starts_with("lateness")) {
                text += &format!(" for \"{step}\"");
            }
            if let Some(over) = over {
                text += &format!(" over {over}s");
            }
            let gate = Gate::parse(&text).unwrap();
            prop_assert_eq!(Gate::parse(&gate.expression()), Ok(gate));
        }

        #[test]
        fn nothing_makes_the_parser_panic(text in "\\PC{0,40}") {
            let _ = Gate::parse(&text);
        }
    }
}
