//! What is left out of texts that others read: statements and addresses.
//!
//! Owns the one rule by which text becomes fit for a place that strangers may see (a CI server's pages, its logs, reports that are handed
//! round): a statement becomes `statement 1a2b3c` and a service that is called like its address `service-1a2b3c`, the same everywhere; any other
//! address becomes `address`. Step names, routes and cache keys stay: without them a finding says nothing. What stands where only a statement
//! or a service can stand is one, and is known in prose from there; all else goes by how text looks (`addresses`), so a host's bare name without
//! a port stays, unless it is the target's. What must not even say so much is [`crate::redact`]'s business.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use timeline::event::Event;
use timeline::facts::{PhaseFacts, PlanFacts, RunMeta};
use timeline::lane::{LaneSpec, names as lanes};
use timeline::{Entry, Finding, FindingKind, Timeline};

use crate::addresses;
use crate::redact::Names;
use crate::summary::Summary;
use crate::write::Inputs;

/// Words with which a statement begins.
const VERBS: [&str; 16] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "CREATE", "ALTER", "DROP", "BEGIN", "COPY", "CALL",
    "MERGE", "REPLACE", "TRUNCATE", "LOCK", "SET",
];
/// What stands for an address.
const ADDRESS: &str = "address";
/// Shorter names of targets are words of any sentence, too.
const SHORTEST_HOST: usize = 3;
/// Sorts of what is met; the first is also the label of an event that holds one.
const STATEMENT: &str = "statement";
const SERVICE: &str = "service";

/// A run that may be handed round: its figures are the same.
#[derive(Debug)]
pub struct Discreet {
    /// Every figure.
    pub summary: Summary,
    /// The series behind them.
    pub timeline: Timeline,
    /// About the run.
    pub meta: RunMeta,
}

impl Discreet {
    /// Of a run as it was measured.
    #[must_use]
    pub fn of(inputs: &Inputs<'_>) -> Self {
        let met = met_in(inputs.timeline);
        let hidden = Hidden { host: host_in(&inputs.meta.target), met: &met };
        Self {
            summary: hidden.plain(&value(inputs.summary)),
            timeline: hidden.timeline(inputs.timeline),
            meta: hidden.plain(&value(inputs.meta)),
        }
    }

    /// What reports are made from.
    #[must_use]
    pub fn inputs(&self) -> Inputs<'_> {
        Inputs { summary: &self.summary, timeline: &self.timeline, meta: &self.meta }
    }
}

/// Plain data, such as an explanation, without statements, addresses and the name of the host in `target`; figures are the same.
#[must_use]
pub fn plain<T: Serialize + DeserializeOwned>(data: &T, target: &str) -> T {
    let value = value(data);
    let mut met = Names::default();
    meet(&mut met, &value);
    Hidden { host: host_in(target), met: &met }.plain(&value)
}

fn value<T: Serialize>(data: &T) -> Value {
    let Ok(value) = serde_json::to_value(data) else { unreachable!("it is plain data") };
    value
}

/// Empty for none, and for one that is too short.
fn host_in(target: &str) -> &str {
    let rest = target.split_once("://").map_or("", |(_, rest)| rest);
    let host = addresses::host_of(rest.split(['/', '?', '#']).next().unwrap_or_default());
    if host.len() < SHORTEST_HOST { "" } else { host }
}

/// What is hidden beside what looks like an address or a statement.
#[derive(Clone, Copy)]
struct Hidden<'a> {
    /// The target's host, whose bare name goes, too; empty for none.
    host: &'a str,
    /// Statements and services that stand where nothing else can, with what is said for them.
    met: &'a Names,
}

impl Hidden<'_> {
    fn text(&self, said: &str) -> String {
        // No word alone is a statement, and most labels of events are one.
        let phrase = said.contains(char::is_whitespace);
        let told = text(&self.met.replace_if(said, |sort| phrase || sort == SERVICE));
        if self.host.is_empty() {
            return told;
        }
        let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let mut out = String::with_capacity(told.len());
        let mut rest = told.as_str();
        while let Some(at) = rest.find(self.host) {
            let (before, after) = (&rest[..at], &rest[at + self.host.len()..]);
            let inside = before.ends_with(part) || after.starts_with(part);
            out += before;
            out += if inside { self.host } else { ADDRESS };
            rest = after;
        }
        out + rest
    }

    /// A host may be called like a word of ours (`pass`): where one stands alone and nothing else may, it is the word. So it is
    /// with what a target tells as a statement.
    fn plain<T: DeserializeOwned>(&self, value: &Value) -> T {
        let nothing = Names::default();
        let hidden = [*self, Hidden { host: "", met: self.met }, Hidden { host: "", met: &nothing }];
        let told = hidden.into_iter().find_map(|hidden| {
            let mut value = value.clone();
            hidden.walk(&mut value);
            serde_json::from_value(value).ok()
        });
        match told {
            Some(told) => told,
            None => unreachable!("only texts were changed, and figures are finite"),
        }
    }

    fn walk(&self, value: &mut Value) {
        match value {
            Value::String(s) => *s = self.text(s),
            Value::Array(all) => all.iter_mut().for_each(|v| self.walk(v)),
            Value::Object(all) => {
                let told = std::mem::take(all).into_iter().map(|(key, mut value)| {
                    self.walk(&mut value);
                    (self.lane(&key), value)
                });
                *all = told.collect::<Map<_, _>>();
            }
            _ => {}
        }
    }

    fn timeline(&self, timeline: &Timeline) -> Timeline {
        let lane = |spec: &LaneSpec| LaneSpec {
            name: self.lane(&spec.name),
            subject: if is_of_statements(&spec.name) {
                placed(&spec.subject)
            } else {
                self.text(&spec.subject)
            },
            instance: self.text(&spec.instance),
            ..spec.clone()
        };
        let label = |(name, value): &(String, String)| {
            (name.clone(), if name == STATEMENT { placed(value) } else { self.text(value) })
        };
        let event = |event: &Event| {
            let labels = event.labels.iter().map(label).collect();
            Some(Event { instance: self.text(&event.instance), labels, ..event.clone() })
        };
        let mut told = timeline.renamed(lane, event);
        let plan = timeline.plan();
        let phase = |p: &PhaseFacts| PhaseFacts { name: self.text(&p.name), ..p.clone() };
        told.apply(&Entry::Plan(PlanFacts {
            phases: plan.phases.iter().map(phase).collect(),
            steps: plan.steps.iter().map(|s| self.text(s)).collect(),
            ..PlanFacts::default()
        }));
        told
    }

    /// A lane's name; what it has in the middle (`downstream.NAME.time`) may be an address. Each has a name of its own then, since two
    /// lanes of one name would be taken for one.
    fn lane(&self, name: &str) -> String {
        match parts(name) {
            Some((group, member, part)) if is_address(group, member) => {
                lanes::of(group, &service(member), part)
            }
            Some((group, member, part)) => lanes::of(group, &self.text(member), part),
            None => name.to_owned(),
        }
    }
}

/// The statements and services that lanes and events of a run are about.
fn met_in(timeline: &Timeline) -> Names {
    let mut met = Names::default();
    for spec in timeline.series().iter().map(|s| &s.spec) {
        meet_lane(&mut met, &spec.name);
        if is_of_statements(&spec.name) {
            meet_statement(&mut met, &spec.subject);
        }
    }
    let told = timeline.all_events().iter().filter_map(|e| e.label(STATEMENT));
    told.for_each(|text| meet_statement(&mut met, text));
    met
}

/// The same of plain data: names of lanes, labels of events, subjects of findings.
fn meet(met: &mut Names, value: &Value) {
    match value {
        Value::String(s) => meet_lane(met, s.split(addresses::is_border).next().unwrap_or_default()),
        Value::Array(all) => match all.as_slice() {
            [Value::String(name), Value::String(text)] if name == STATEMENT => meet_statement(met, text),
            all => all.iter().for_each(|v| meet(met, v)),
        },
        Value::Object(all) => {
            let word = |key: &str| all.get(key).and_then(Value::as_str);
            let kind = word("kind").and_then(FindingKind::from_name);
            if let (Some(kind), Some(subject)) = (kind, word("subject")) {
                if kind == FindingKind::SlowQuery {
                    meet_statement(met, subject);
                } else if is_of_services(kind) && is_host(subject) {
                    meet_service(met, subject);
                }
            }
            for (key, value) in all {
                meet_lane(met, key);
                meet(met, value);
            }
        }
        _ => {}
    }
}

fn meet_lane(met: &mut Names, lane: &str) {
    if let Some((group, member, _)) = parts(lane)
        && is_address(group, member)
    {
        meet_service(met, member);
    }
}

fn meet_service(met: &mut Names, name: &str) {
    met.of_form(SERVICE, name, |_| service(name));
}

/// A single word would be met in any sentence.
fn meet_statement(met: &mut Names, text: &str) {
    if text.trim().contains(char::is_whitespace) {
        met.of_form(STATEMENT, text, |_| placed(text));
    }
}

/// The name of a lane, without what in it is an address.
pub(crate) fn lane(name: &str) -> String {
    Hidden { host: "", met: &Names::default() }.lane(name)
}

/// The subject of a finding, by what findings of its kind are about.
pub(crate) fn subject(finding: &Finding) -> String {
    let said = finding.subject.as_str();
    match finding.kind {
        FindingKind::SlowQuery => placed(said),
        kind if is_of_services(kind) && is_host(said) => service(said),
        _ => text(said),
    }
}

fn is_of_services(kind: FindingKind) -> bool {
    matches!(kind, FindingKind::DownstreamCascade | FindingKind::RetryStorm)
}

/// Lanes of the database are about statements, if they are not about tables.
fn is_of_statements(lane: &str) -> bool {
    lane.starts_with("db.")
        && !matches!(lane, lanes::DB_TABLE_SCANS | lanes::DB_TABLE_SCANNED | lanes::DB_TABLE_FETCHED)
}

/// Group, member and last part of a lane's name.
fn parts(lane: &str) -> Option<(&str, &str, &str)> {
    let (group, rest) = lane.split_once('.')?;
    let (member, part) = rest.rsplit_once('.')?;
    Some((group, member, part))
}

/// Is a family's member called like its address?
fn is_address(group: &str, member: &str) -> bool {
    match group {
        lanes::DOWNSTREAM if is_host(member) => true,
        lanes::DOWNSTREAM | lanes::POOL | lanes::CACHE | lanes::BROKER => {
            addresses::replace(member, |_| ADDRESS.to_owned()) != member
        }
        _ => false,
    }
}

/// `10.0.0.7-8080-users`, as lanes name who is asked, or `mail.internal`; not `email`. It hides rather too much, but no number.
fn is_host(name: &str) -> bool {
    name.len() >= SHORTEST_HOST
        && name.contains(char::is_alphanumeric)
        && name.parse::<f64>().is_err()
        && (name.contains(['.', ':']) || name.split('-').skip(1).any(addresses::is_port))
}

/// The same in prose, where it takes a host and a port.
fn is_asked(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphabetic() || matches!(c, '-' | '_');
    word.match_indices('-').any(|(at, _)| {
        let behind = &word[at + 1..];
        let (port, path) = behind.split_once('-').unwrap_or((behind, ""));
        addresses::is_port(port) && path.chars().all(plain) && addresses::is_host(&word[..at])
    })
}

/// `text` without statements and addresses.
#[must_use]
pub fn text(text: &str) -> String {
    if is_statement(text, false) {
        return statement(text);
    }
    // Statements stand between backticks, the last of them perhaps cut off.
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, quoted)) = rest.split_once('`') {
        out += &unquoted(before);
        out.push('`');
        let end = if is_statement(quoted, true) {
            let end = statement_end(quoted);
            out += &statement(&quoted[..end]);
            end
        } else {
            let end = quoted.find('`').unwrap_or(quoted.len());
            out += &unaddressed(&quoted[..end]);
            end
        };
        rest = &quoted[end..];
        if let Some(after) = rest.strip_prefix('`') {
            out.push('`');
            rest = after;
        }
    }
    out + &unquoted(rest)
}

fn unquoted(part: &str) -> String {
    if is_statement(part, false) { statement(part) } else { unaddressed(part) }
}

fn unaddressed(part: &str) -> String {
    addresses::replace(&unasked(part), |_| ADDRESS.to_owned())
}

/// `text` without services that are called like their address, also in names of lanes.
fn unasked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(addresses::is_border) {
        let name = word.trim_end_matches(addresses::is_border).trim_end_matches(addresses::is_mark);
        match parts(name) {
            Some((group, member, part)) if group == lanes::DOWNSTREAM && is_host(member) => {
                out += &lanes::of(group, &service(member), part);
            }
            _ if is_asked(name) => out += &service(name),
            _ => out += name,
        }
        out += &word[name.len()..];
    }
    out
}

/// Does it begin as a statement? "delete the index" is advice, so outside of backticks it is one only as it is usually written.
fn is_statement(text: &str, quoted: bool) -> bool {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (first, rest) = text.split_at(end);
    let is_verb = VERBS.iter().any(|v| if quoted { first.eq_ignore_ascii_case(v) } else { first == *v });
    is_verb && rest.starts_with(|c: char| c.is_whitespace() || matches!(c, '(' | '*' | '"'))
}

/// Where a statement ends that stands before a backtick: names in it may stand between such, too.
fn statement_end(text: &str) -> usize {
    let (mut named, mut before) = (false, ' ');
    for (at, c) in text.char_indices() {
        if c == '`' {
            let opens = !named && (before.is_whitespace() || matches!(before, '.' | '(' | ',' | '='));
            if !named && !opens {
                return at;
            }
            named = opens;
        }
        before = c;
    }
    text.len()
}

/// What stands where only a statement can, whatever it looks like. A word alone, such as a number of the server's, says nothing.
fn placed(text: &str) -> String {
    if text.chars().all(|c| c.is_alphanumeric() || c == '_') { text.to_owned() } else { statement(text) }
}

/// The same statement has the same name in every text and every run.
fn statement(text: &str) -> String {
    format!("{STATEMENT} {}", digits(text.trim()))
}

/// So has the same service.
fn service(name: &str) -> String {
    format!("{SERVICE}-{}", digits(name))
}

/// Six digits: few enough to say nothing, enough to tell hundreds of texts apart, and too many for a port.
fn digits(text: &str) -> String {
    let hash = text.bytes().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    format!("{:06x}", (hash >> 24) ^ (hash & 0xff_ffff))
}

#[cfg(test)]
mod tests {
    use timeline::{LaneId, RunTime, Unit};

    use super::*;
    use crate::{Format, fixture};

    #[test]
    fn addresses_and_statements_go_and_the_rest_stays() {
        let said = [
            "`SELECT id FROM t WHERE c = ?` reads 100k rows since 00:12, 19.7 ms each",
            "`SELECT id FROM t WHERE c = ?` and `SELECT id FROM u WHERE c =…",
            "SELECT id FROM t WHERE c = ?",
            "DELETE the index",
            "708 loads of key product:7 at 00:20",
            "node at 127.0.0.1:9229, and 10.0.0.7.",
            "target=http://user:pass@shop.internal:8080/products?token=x phase=peak",
        ];
        let read: Vec<String> = said.iter().map(|s| format!("{s}\n  {}", text(s))).collect();
        insta::assert_snapshot!(read.join("\n"));
    }

    #[test]
    fn a_statement_between_backticks_goes_however_it_is_written() {
        for said in [
            "`select id from purchase where customer = ?` waits",
            "`select `id` from `purchase` where `customer` = ?` waits",
            "`SELECT \"id\" FROM (select * from purchase)` waits",
            "`(SELECT id FROM purchase) UNION (SELECT 1)` waits",
            "`truncate purchase` waits",
        ] {
            let told = text(said);
            assert!(told.starts_with("`statement ") && told.ends_with("` waits"), "{told}");
            assert!(!told.contains("purchase"), "{told}");
        }
        for advice in ["delete the index", "hold it in a guard (`with`, `Drop`)", "`lock` and `set`"] {
            assert_eq!(text(advice), advice);
        }
    }

    #[test]
    fn a_service_that_is_called_like_its_address_has_a_name_of_its_own() {
        let said = "10.0.0.7-8080-users, db.internal-5432 and downstream.10.0.0.8:80.calls, not web.js-80";
        let told = text(said);
        assert_eq!(told.matches("service-").count(), 3, "{told}");
        assert!(!told.contains("10.0.0") && !told.contains("internal"), "{told}");
        assert!(told.contains("downstream.service-") && told.ends_with(".calls, not web.js-80"), "{told}");
        assert_ne!(text("10.0.0.7-8080-users"), text("10.0.0.8-8080-users"));
        assert_eq!(text(&told), told, "what is hidden stays as it is");
        for name in ["downstream.email.calls", "downstream.NAME.time", "20261123-081732-7", "shop-0"] {
            assert_eq!(text(name), name);
        }
    }

    #[test]
    fn what_stands_where_only_a_statement_or_a_service_can_is_known_in_prose() {
        let said = serde_json::json!([
            { "kind": "slow-query", "subject": "exec dear_customers ?" },
            { "kind": "retry-storm", "subject": "pay.internal-charge" },
            "slow query of exec dear_customers ?, exec dear_custome…, and pay.internal-charge fails",
        ]);
        let told = plain(&said, "");
        let text = told.to_string();
        assert!(!text.contains("dear") && !text.contains("internal"), "{text}");
        assert_eq!(text.matches("statement ").count(), 3, "{text}");
        assert_eq!(text.matches(told[1]["subject"].as_str().unwrap()).count(), 2, "{text}");
    }

    #[test]
    fn figures_are_the_same_and_neither_target_nor_statement_is_in_any_report() {
        const STATEMENT: &str = "SELECT id FROM purchase WHERE customer = ?";
        const LOWER: &str = "select id from purchase where customer = ?";
        let mut run = fixture::flash_sale();
        run.meta.target = "http://shop.internal:8080/v1".to_owned();
        run.meta.scenario_text =
            "[target]\nurl = \"http://shop.internal:8080/v1\" # and shop.internal".to_owned();
        run.meta
            .notes
            .push("the resolver of shop.internal was slow, and flash-shop.internal-x was not".to_owned());
        run.findings[0].claim = format!("`{STATEMENT}` waits for 10.0.0.7:5432");
        run.findings[0].subject = STATEMENT.to_owned();
        run.findings[1].claim = format!("`{LOWER}` waits for 10.0.0.8-8080-users, payments.internal-charge");
        run.findings[1].subject = "payments.internal-charge".to_owned();
        run.findings[1].evidence[0].lane = "downstream.payments.internal-8080-charge.calls".to_owned();
        let id = run.timeline.series().len() as u32;
        let specs = [
            LaneSpec::level("db.calls", "shop.internal:8080", Unit::PerSecond).about(STATEMENT),
            LaneSpec::level("db.calls", "shop-0", Unit::PerSecond).about(LOWER),
            LaneSpec::level("downstream.10.0.0.7:443.calls", "shop-0", Unit::PerSecond),
            LaneSpec::level("downstream.10.0.0.7-8080-users.calls", "shop-0", Unit::PerSecond),
            LaneSpec::level("downstream.10.0.0.8-8080-users.calls", "shop-0", Unit::PerSecond),
            LaneSpec::level("downstream.payments.internal-8080-charge.calls", "shop-0", Unit::PerSecond),
            LaneSpec::level("downstream.payments.internal-charge.calls", "shop-0", Unit::PerSecond),
            LaneSpec::level("downstream.email.calls", "shop-0", Unit::PerSecond),
        ];
        for (i, spec) in specs.into_iter().enumerate() {
            let lane = LaneId(id + i as u32);
            run.timeline.apply(&Entry::Lane(lane, spec));
            run.timeline.apply(&Entry::Sample { lane, at: RunTime::from_ms(20_000), value: 30.0 });
        }
        let open = run.summary();
        let told = Discreet::of(&Inputs { summary: &open, timeline: &run.timeline, meta: &run.meta });
        let s = &told.summary;
        assert_eq!(
            (&s.total, s.gates.len(), s.lanes.len()),
            (&open.total, open.gates.len(), open.lanes.len())
        );
        assert_eq!(s.target.url, "http://address/v1");
        assert!(s.lanes.contains_key("downstream.email.calls"), "{:?}", s.lanes.keys());
        assert!(s.lanes.contains_key(&s.findings[1].finding.evidence[0].lane), "{:?}", s.lanes.keys());
        assert!(
            s.notes.iter().any(|n| n.contains("of address was slow, and flash-shop.internal-x")),
            "{:?}",
            s.notes
        );
        let folder = tempfile::tempdir().unwrap();
        for path in crate::write(folder.path(), &told.inputs(), &Format::ALL).unwrap() {
            let text =
                String::from_utf8_lossy(&std::fs::read(&path).unwrap()).replace("flash-shop.internal-x", "");
            for hidden in ["shop.internal", "payments.internal", "10.0.0.", "127.0.0.1", "purchase"] {
                assert!(!text.contains(hidden), "{hidden} is in {}", path.display());
            }
        }
    }

    #[test]
    fn a_host_that_is_called_like_a_verdict_takes_no_word_of_ours() {
        let mut run = fixture::flash_sale();
        run.meta.target = "http://fail:8080".to_owned();
        let open = run.summary();
        assert_eq!(plain(&open, &run.meta.target).verdict, open.verdict);
    }
}
