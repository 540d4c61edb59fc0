//! A recording under pseudonyms, so that it can be given to somebody who must not know whose it is.
//!
//! Owns what may stay: figures, times, and words of dyno's own vocabulary. Every other text is replaced, or, where it is prose, left
//! out; nothing stays because it looks harmless. Of a statement its shape stays (which of its tables it looks up by which column),
//! because detectors read it; names in it are pseudonyms.

use timeline::event::Event;
use timeline::facts::{Again, PhaseFacts, PlanFacts, RunEnd, RunMeta};
use timeline::gate::Gate;
use timeline::lane::{LaneSpec, names as lanes};
use timeline::recording::Item;
use timeline::text::plural;
use timeline::{Amendment, Entry};

use super::names::{Names, is_plain};
use crate::addresses;

/// Sort of the pseudonyms of hosts.
const HOST: &str = "host";
/// Sort of the pseudonyms of statements.
const STATEMENT: &str = "statement";
/// Families whose lanes have a name of the target's choice in the middle: `pool.NAME.waiters`.
const FAMILIES: [&str; 4] = [lanes::POOL, lanes::CACHE, lanes::BROKER, lanes::DOWNSTREAM];
/// Last parts of `heap.NAME.*`; other names of three parts are dyno's own.
const HEAP_PARTS: [&str; 3] = ["young", "old", "garbage"];
/// First parts of lanes' names.
const GROUPS: [&str; 15] = [
    "client",
    "generator",
    "server",
    "heap",
    "pause",
    "loop",
    "offload",
    "pool",
    "cache",
    "db",
    "broker",
    "downstream",
    "process",
    "host",
    "runtime",
];
/// Names of labels that are dyno's own words; the target's may be anything.
const LABELS: [&str; 20] = [
    "what",
    "source",
    "worker",
    "process",
    "instance",
    "route",
    STATEMENT,
    "peer",
    "step",
    "pool",
    "cache",
    "broker",
    "downstream",
    "key",
    "function",
    "table",
    "filter",
    "plan",
    "before",
    "stack",
];
/// Names of pools and caches that everybody has.
const COMMON: [&str; 6] = ["db", "cache", "redis", "default", "main", "http"];
/// What `what` says of sources, in dyno's own words, which detectors read.
const STATES: [&str; 7] = ["gone", "restarted", "refused", "silent", "failing", "back", "answers again"];
/// Facts about the machine without which figures say little.
const FACTS: [&str; 2] = ["cores", "memory"];
/// Sources, as the first word of what was attached says, and what they call themselves in lanes and events: of OpenTelemetry that is another.
const SOURCES: [&str; 15] = [
    "agent",
    "host",
    "process",
    "v8",
    "node",
    "deno",
    "bun",
    "jvm",
    "metrics",
    "otlp",
    "OpenTelemetry",
    "postgres",
    "redis",
    "rabbitmq",
    "auto",
];
/// Processes that dyno itself names so, with a number behind.
const PROCESSES: [&str; 3] = ["gen", "shop", "pid"];
/// Words of SQL that stay.
const SQL: [&str; 57] = [
    "ALL",
    "AND",
    "AS",
    "ASC",
    "AVG",
    "BETWEEN",
    "BY",
    "CASE",
    "COALESCE",
    "COUNT",
    "CROSS",
    "DELETE",
    "DESC",
    "DISTINCT",
    "ELSE",
    "END",
    "EXISTS",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INSERT",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOWER",
    "MAX",
    "MIN",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "RETURNING",
    "RIGHT",
    "SELECT",
    "SET",
    "SUM",
    "THEN",
    "UNION",
    "UPDATE",
    "UPPER",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
    "FOR",
    "OVER",
    "CONFLICT",
];
/// Words of plans that stay: how rows are found.
const PLAN: [&str; 26] = [
    "AUTOMATIC",
    "Bitmap",
    "CO",
    "COVERING",
    "Hash",
    "Heap",
    "INDEX",
    "Index",
    "Join",
    "KEY",
    "Limit",
    "Loop",
    "MATERIALIZE",
    "Merge",
    "Nested",
    "Only",
    "PRIMARY",
    "Parallel",
    "ROUTINE",
    "SCAN",
    "SEARCH",
    "Scan",
    "Seq",
    "Sort",
    "on",
    "rowid",
];
/// Sort of the pseudonyms of tables and columns.
const NAME: &str = "name";
/// Words of SQL with which the part begins that is kept.
const KEPT_FROM: [&str; 4] = ["FROM", "JOIN", "INTO", "UPDATE"];

/// Replaces what a recording says, item by item.
#[derive(Debug, Default)]
pub struct Redactor {
    names: Names,
}

impl Redactor {
    /// One that has met nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Meets what an item names, so that gates, which stand before everything, can be told in pseudonyms.
    pub fn learn(&mut self, item: &Item) {
        match item {
            Item::Entry(Entry::Lane(_, spec)) => {
                self.spec(spec);
            }
            Item::Entry(Entry::Plan(plan)) => {
                self.plan(plan);
            }
            Item::Meta(meta) => {
                self.address(&meta.target);
            }
            Item::Entry(_) | Item::Log(_) | Item::End(_) => {}
        }
    }

    /// About the run: what figures need, and nothing that people wrote.
    #[must_use]
    pub fn meta(&mut self, meta: &RunMeta) -> RunMeta {
        let word = |line: &String| {
            let first = line.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
            SOURCES.contains(&first).then(|| first.to_owned())
        };
        let mut attached: Vec<String> = meta.attached.iter().filter_map(word).collect();
        attached.dedup();
        let gates: Vec<String> = meta.gates.iter().filter_map(|gate| self.gate(gate)).collect();
        let mut notes = vec!["redacted: names and addresses are pseudonyms, prose is left out".to_owned()];
        if gates.len() < meta.gates.len() {
            notes.push(format!(
                "redacted: {} could not be told in pseudonyms",
                plural(meta.gates.len() - gates.len(), "gate")
            ));
        }
        let fact = |(name, value): &&(String, String)| {
            let number = value.chars().next().is_some_and(|c| c.is_ascii_digit());
            FACTS.contains(&name.as_str()) && number && value.len() < 16
        };
        RunMeta {
            run_id: meta.run_id.chars().filter(|c| c.is_ascii_digit() || *c == '-').collect(),
            dyno_version: meta.dyno_version.clone(),
            started_unix_ms: meta.started_unix_ms,
            command: if meta.command == "watch" { "watch" } else { "run" }.to_owned(),
            scenario: self.chosen("scenario", &meta.scenario),
            about: String::new(),
            scenario_text: String::new(),
            seed: meta.seed,
            target: self.address(&meta.target),
            bundled: meta.bundled,
            attached,
            gates,
            host: meta.host.iter().filter(fact).cloned().collect(),
            workers: meta.workers,
            notes,
            // How it was run names files and variables.
            again: Again::default(),
        }
    }

    /// An entry as it may be given away; none for what has no place there.
    #[must_use]
    pub fn entry(&mut self, entry: Entry) -> Option<Entry> {
        Some(match entry {
            Entry::Plan(plan) => Entry::Plan(self.plan(&plan)),
            Entry::Lane(id, spec) => Entry::Lane(id, self.spec(&spec)),
            Entry::Event(event) => Entry::Event(self.event(event)?),
            // Frames are names of files and functions.
            Entry::Profile(_) => return None,
            entry @ (Entry::Sample { .. } | Entry::Histogram { .. } | Entry::Tick(_)) => entry,
        })
    }

    /// The end without its notes, which are prose.
    #[must_use]
    pub fn end(&self, end: &RunEnd) -> RunEnd {
        let left_out = format!("redacted: left out at the end: {}", plural(end.notes.len(), "note"));
        let notes = if end.notes.is_empty() { Vec::new() } else { vec![left_out] };
        RunEnd { notes, ..end.clone() }
    }

    fn plan(&mut self, plan: &PlanFacts) -> PlanFacts {
        let phase = |p: &PhaseFacts, name| PhaseFacts { name, ..p.clone() };
        PlanFacts {
            phases: plan.phases.iter().map(|p| phase(p, self.chosen("phase", &p.name))).collect(),
            steps: plan.steps.iter().map(|step| self.chosen("step", step)).collect(),
            changes: plan.changes.clone(),
        }
    }

    fn spec(&mut self, spec: &LaneSpec) -> LaneSpec {
        let subject = self.subject(&spec.name, &spec.subject);
        let instance = if spec.name == lanes::SOURCE_AGE {
            if SOURCES.contains(&spec.instance.as_str()) {
                spec.instance.clone()
            } else {
                "source".to_owned()
            }
        } else {
            self.instance(&spec.instance)
        };
        LaneSpec { name: self.lane(&spec.name), subject, instance, ..spec.clone() }
    }

    /// A lane's name; of families the name in the middle is the target's.
    fn lane(&mut self, name: &str) -> String {
        if name == lanes::SOURCE_AGE {
            return name.to_owned();
        }
        let (group, rest) = name.split_once('.').unwrap_or((name, ""));
        if let Some((member, part)) = rest.rsplit_once('.')
            && (FAMILIES.contains(&group) || group == lanes::HEAP && HEAP_PARTS.contains(&part))
        {
            return lanes::of(group, &self.member(group, member), part);
        }
        let ours = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
        if GROUPS.contains(&group) && name.chars().all(ours) {
            name.to_owned()
        } else {
            self.names.of("lane", name)
        }
    }

    fn member(&mut self, family: &str, member: &str) -> String {
        let family = FAMILIES.into_iter().find(|f| *f == family).unwrap_or(lanes::HEAP);
        if COMMON.contains(&member) { member.to_owned() } else { self.names.of(family, member) }
    }

    fn subject(&mut self, lane: &str, subject: &str) -> String {
        match lane {
            lanes::SOURCE_AGE => self.instance(subject),
            lanes::ERRORS | lanes::WS_CLOSES => self.chosen("error", subject),
            lanes::DB_TABLE_SCANS | lanes::DB_TABLE_SCANNED | lanes::DB_TABLE_FETCHED => self.name(subject),
            _ if lane.starts_with("client.") => self.chosen("step", subject),
            _ if lane.starts_with("server.") => self.names.of("route", subject),
            _ if lane.starts_with("db.") => self.statement(subject),
            _ => self.names.of("subject", subject),
        }
    }

    /// A name that the scenario's author chose: words stay, everything else may be an address or a path.
    fn chosen(&mut self, sort: &'static str, text: &str) -> String {
        let number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        if is_plain(text) || number { text.to_owned() } else { self.names.of(sort, text) }
    }

    fn instance(&mut self, instance: &str) -> String {
        let plain = instance.split('@').next().unwrap_or_default();
        let ours = plain.rsplit_once('-').is_some_and(|(sort, number)| {
            PROCESSES.contains(&sort) && number.chars().all(|c| c.is_ascii_digit())
        });
        if ours || matches!(plain, "host" | "services") {
            return instance.to_owned();
        }
        self.names.of("process", instance)
    }

    /// A table or column.
    fn name(&mut self, name: &str) -> String {
        if name.is_empty() { String::new() } else { self.names.of_form(NAME, name, |n| format!("name_{n}")) }
    }

    /// `statement-2 FROM name_1 WHERE name_2 = ?`: which one, and its shape.
    fn statement(&mut self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        let shape = self.shape(text);
        self.names.of_form(STATEMENT, text, |n| format!("{STATEMENT}-{n}{shape}"))
    }

    /// The steps of a plan: `Limit > Index Scan using name_1 on name_2`.
    fn steps(&mut self, text: &str) -> String {
        let keyword =
            |token: &str| PLAN.contains(&token) || SQL.iter().any(|k| token.eq_ignore_ascii_case(k));
        tokens(text)
            .map(|token| match token.chars().next() {
                Some(first) if is_word(first) && !keyword(token) => self.name(token),
                Some(first) if is_word(first) || first.is_ascii() => token.to_owned(),
                _ => " ".to_owned(),
            })
            .collect()
    }

    fn shape(&mut self, text: &str) -> String {
        let mut out = String::new();
        for token in tokens(text) {
            let Some(first) = token.chars().next() else { continue };
            let keyword = SQL.iter().any(|k| token.eq_ignore_ascii_case(k));
            let begins = KEPT_FROM.iter().any(|k| token.eq_ignore_ascii_case(k));
            if out.is_empty() {
                if begins {
                    out = format!(" {token}");
                }
            } else if !is_word(first) {
                let mark = first.is_ascii() && !matches!(first, '\'' | '"' | '`');
                out.push(if mark { first } else { ' ' });
            } else if keyword {
                out += token;
            } else if first.is_ascii_digit() {
                out.push('?');
            } else {
                out += &self.name(token);
            }
        }
        out
    }

    fn event(&mut self, event: Event) -> Option<Event> {
        if let Some(amendment) = Amendment::of(&event) {
            return Some(amendment.event(event.start));
        }
        let ours = |c: char| c.is_ascii_lowercase() || matches!(c, '.' | '-');
        if !event.kind.chars().all(ours) {
            return None;
        }
        let instance = self.instance(&event.instance);
        let labels = event.labels.iter().map(|(name, value)| self.label(name, value)).collect();
        Some(Event { instance, labels, ..event })
    }

    fn label(&mut self, name: &str, value: &str) -> (String, String) {
        if !LABELS.contains(&name) {
            return ("label".to_owned(), self.names.of("label", value));
        }
        let number = value.parse::<f64>().is_ok();
        let told = match name {
            _ if number => value.to_owned(),
            "what" if STATES.contains(&value) => value.to_owned(),
            "source" if SOURCES.contains(&value) => value.to_owned(),
            "worker" | "process" | "instance" => self.instance(value),
            "route" => self.names.of("route", value),
            STATEMENT => self.statement(value),
            "peer" => self.names.of(HOST, value),
            "step" => self.chosen("step", value),
            family if FAMILIES.contains(&family) => self.member(family, value),
            "key" => self.names.of("key", value),
            "table" => self.name(value),
            "plan" | "before" => self.steps(value),
            _ => self.names.of("label", value),
        };
        (name.to_owned(), told)
    }

    /// A gate whose names are pseudonyms; none if it says nothing then.
    fn gate(&mut self, gate: &str) -> Option<String> {
        let lane = |word: &str| word.split_once('.').is_some_and(|(group, _)| GROUPS.contains(&group));
        let words: Vec<String> =
            gate.split(' ').map(|w| if lane(w) { self.lane(w) } else { w.to_owned() }).collect();
        // Of the names of this run gates name steps and phases; a column may be called `max`.
        let told = self.names.replace_if(&words.join(" "), |sort| matches!(sort, "step" | "phase" | HOST));
        let told = addresses::replace(&told, |host| self.names.of(HOST, host));
        Gate::parse(&told).is_ok().then_some(told)
    }

    fn address(&mut self, target: &str) -> String {
        let scheme = target.split_once("://").map_or("", |(scheme, _)| scheme);
        let told = addresses::replace(target, |host| self.names.of(HOST, host));
        // Of what is behind the host, a path, nothing stays.
        let host = told.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
        if host.is_empty() { self.names.of("target", target) } else { format!("{scheme}://{host}") }
    }
}

/// Words, and what stands between them, one by one.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let word = is_word(first).then(|| rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
        let (token, after) = rest.split_at(word.unwrap_or(first.len_utf8()));
        rest = after;
        Some(token)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_keeps_how_rows_are_found_and_hides_where() {
        let mut redactor = Redactor::new();
        let statement = redactor.statement("SELECT cents FROM purchase WHERE customer = ?");
        let plan = redactor.label("plan", "CO-ROUTINE secret > SCAN purchase");
        let before = redactor
            .label("before", "Limit > Index Scan using purchase_by_customer on purchase (customer=?)");
        let table = redactor.label("table", "purchase");
        assert_eq!(statement, "statement-1 FROM name_1 WHERE name_2 = ?");
        assert_eq!(plan.1, "CO-ROUTINE name_3 > SCAN name_1");
        assert_eq!(before.1, "Limit > Index Scan using name_4 on name_1 (name_2=?)");
        assert_eq!(table.1, "name_1");
    }
}
