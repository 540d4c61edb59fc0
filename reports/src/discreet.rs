//! What is left out of texts that others read: statements and addresses.
//!
//! Owns the one rule by which text becomes fit for a place that strangers may see (a CI server's pages, its logs, reports that are handed
//! round): a statement becomes `statement 1a2b`, the same everywhere, and an address becomes `address`. Step names, routes
//! and cache keys stay: without them a finding says nothing. It goes by how text looks (`addresses`), so a host's bare name without
//! a port stays, unless it is the target's. What must not even say so much is [`crate::redact`]'s business.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use timeline::event::Event;
use timeline::facts::{PhaseFacts, PlanFacts, RunMeta};
use timeline::lane::LaneSpec;
use timeline::{Entry, Timeline};

use crate::addresses;
use crate::summary::Summary;
use crate::write::Inputs;

/// Words with which a statement begins.
const VERBS: [&str; 12] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "CREATE", "ALTER", "DROP", "BEGIN", "COPY", "CALL",
    "MERGE",
];
/// What stands for an address.
const ADDRESS: &str = "address";
/// Shorter names of targets are words of any sentence, too.
const SHORTEST_HOST: usize = 3;

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
        let target = Host::of(&inputs.meta.target);
        Self {
            summary: target.plain(inputs.summary),
            timeline: target.timeline(inputs.timeline),
            meta: target.plain(inputs.meta),
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
    Host::of(target).plain(data)
}

/// The target's host, whose bare name goes, too; empty for none.
struct Host<'a>(&'a str);

impl<'a> Host<'a> {
    fn of(target: &'a str) -> Self {
        let rest = target.split_once("://").map_or("", |(_, rest)| rest);
        let host = addresses::host_of(rest.split(['/', '?', '#']).next().unwrap_or_default());
        Self(if host.len() < SHORTEST_HOST { "" } else { host })
    }

    fn text(&self, said: &str) -> String {
        let told = text(said);
        if self.0.is_empty() {
            return told;
        }
        let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let mut out = String::with_capacity(told.len());
        let mut rest = told.as_str();
        while let Some(at) = rest.find(self.0) {
            let (before, after) = (&rest[..at], &rest[at + self.0.len()..]);
            let inside = before.ends_with(part) || after.starts_with(part);
            out += before;
            out += if inside { self.0 } else { ADDRESS };
            rest = after;
        }
        out + rest
    }

    /// A host may be called like a word of ours (`pass`): where one stands alone and nothing else may, it is the word.
    fn plain<T: Serialize + DeserializeOwned>(&self, data: &T) -> T {
        let Ok(value) = serde_json::to_value(data) else { unreachable!("it is plain data") };
        let told = [self, &Host("")].into_iter().find_map(|host| {
            let mut value = value.clone();
            host.walk(&mut value);
            serde_json::from_value(value).ok()
        });
        match told {
            Some(told) => told,
            None => unreachable!("only texts were changed"),
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
            subject: self.text(&spec.subject),
            instance: self.text(&spec.instance),
            ..spec.clone()
        };
        let event = |event: &Event| {
            let labels = event.labels.iter().map(|(name, value)| (name.clone(), self.text(value))).collect();
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

    /// A lane's name; what it has in the middle (`downstream.NAME.time`) may be an address.
    fn lane(&self, name: &str) -> String {
        let parts = name.split_once('.').and_then(|(group, rest)| Some((group, rest.rsplit_once('.')?)));
        match parts {
            Some((group, (member, part))) => format!("{group}.{}.{part}", self.text(member)),
            None => name.to_owned(),
        }
    }
}

/// `text` without statements and addresses.
#[must_use]
pub fn text(text: &str) -> String {
    if is_statement(text) {
        return statement(text);
    }
    // Statements stand between backticks, the last of them perhaps cut off.
    let mut out = String::with_capacity(text.len());
    for (i, part) in text.split('`').enumerate() {
        if i > 0 {
            out.push('`');
        }
        match is_statement(part) {
            true => out += &statement(part),
            false => out += &addresses::replace(part, |_| ADDRESS.to_owned()),
        }
    }
    out
}

fn is_statement(text: &str) -> bool {
    let mut words = text.trim_start().splitn(2, char::is_whitespace);
    let first = words.next().unwrap_or_default();
    // Written as fingerprints are; "delete the index" is advice.
    VERBS.contains(&first) && words.next().is_some()
}

/// The same statement has the same name in every text and every run.
fn statement(text: &str) -> String {
    let hash = text.trim().bytes().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    format!("statement {:04x}", (hash >> 16) ^ (hash & 0xffff))
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
    fn figures_are_the_same_and_neither_target_nor_statement_is_in_any_report() {
        const STATEMENT: &str = "SELECT id FROM purchase WHERE customer = ?";
        let mut run = fixture::flash_sale();
        run.meta.target = "http://shop.internal:8080/v1".to_owned();
        run.meta.scenario_text =
            "[target]\nurl = \"http://shop.internal:8080/v1\" # and shop.internal".to_owned();
        run.meta
            .notes
            .push("the resolver of shop.internal was slow, and flash-shop.internal-x was not".to_owned());
        run.findings[0].claim = format!("`{STATEMENT}` waits for 10.0.0.7:5432");
        run.findings[0].subject = STATEMENT.to_owned();
        let id = run.timeline.series().len() as u32;
        let specs = [
            LaneSpec::level("db.calls", "shop.internal:8080", Unit::PerSecond).about(STATEMENT),
            LaneSpec::level("downstream.10.0.0.7:443.calls", "shop-0", Unit::PerSecond),
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
        assert!(
            s.notes.iter().any(|n| n.contains("of address was slow, and flash-shop.internal-x")),
            "{:?}",
            s.notes
        );
        let folder = tempfile::tempdir().unwrap();
        for path in crate::write(folder.path(), &told.inputs(), &Format::ALL).unwrap() {
            let text =
                String::from_utf8_lossy(&std::fs::read(&path).unwrap()).replace("flash-shop.internal-x", "");
            for hidden in ["shop.internal", "10.0.0.7", "127.0.0.1", "purchase"] {
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
