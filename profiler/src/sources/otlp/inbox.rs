//! The inbox: who sends, and what lanes become of it.
//!
//! Owns the senders (an OpenTelemetry resource each: a process), what tells one from another, their instance names and their clocks. One
//! request after the other is taken, and all that it holds of a sender, in however many blocks, is one reading.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use timeline::MonoNs;
use timeline::text::clean;

use super::http::{Form, Refusal, Request};
use super::points::{Attribute, Metric, Named, Point, Taker};
use super::{NAME, json, wire};
use crate::sources::age::Age;
use crate::sources::metrics::Own;
use crate::sources::metrics::scrape::Scrape;
use crate::sources::troubles::Troubles;
use crate::sources::{Agreement, Sink};

/// Most senders: the workers of a large machine, and some exporters.
const MAX_SENDERS: usize = 16;
/// Longest part of an instance's name.
const PART_MAX: usize = 40;
/// A sender whose clock is further off than it was had it set.
const CLOCK_SET_NS: i128 = 60_000_000_000;
/// A sender is silent when it has not come for so many of its own intervals, and for as long as [`SILENT`]: SDKs send once a minute
/// unless they are told otherwise.
const INTERVALS: u32 = 3;
const SILENT: Duration = Duration::from_secs(5);
/// So often one sends of which only one request has come: what SDKs do unless they are told otherwise.
const USUAL: Duration = Duration::from_secs(60);
/// What is said of a sender for whom there is no room.
const CROWD: &str = "more than 16 senders";
/// What is said of a sender that is several.
const IN_TURN: &str = "several processes send in turn under one name: figures of one after those of \
    another say nothing, and none are told from here on; give each a service.instance.id of its own";

/// What tells processes apart, where they tell their id or that of their process.
const IDENTITY: [&str; 6] =
    ["service.namespace", "service.name", "service.instance.id", "process.pid", "host.name", "container.id"];

/// All that is known of the senders.
pub(super) struct Inbox {
    own: Arc<Own>,
    beside: Option<Agreement>,
    /// By their [`identity`].
    senders: BTreeMap<u64, Sender>,
    pub troubles: Troubles,
}

struct Sender {
    instance: String,
    scrape: Scrape,
    age: Age,
    newest: Option<MonoNs>,
    attached: MonoNs,
    interval: Duration,
    /// Our clock less theirs, when a request was the quickest: nothing tells more of it.
    offset: Option<i128>,
    troubles: Troubles,
    said_refused: usize,
}

impl Inbox {
    pub fn new(own: Arc<Own>, beside: Option<Agreement>) -> Self {
        Self { own, beside, senders: BTreeMap::new(), troubles: Troubles::new(NAME) }
    }

    /// Takes a request in; `received` is when it was complete.
    pub fn take(&mut self, request: &Request, received: MonoNs, sink: &mut dyn Sink) -> Result<(), Refusal> {
        let open = BTreeMap::new();
        let mut delivery =
            Delivery { inbox: self, sink, received, to: None, named: None, open, crowd: false };
        let read = match request.form {
            Form::Protobuf => wire::read(&request.body, &mut delivery)
                .map_err(|why| Refusal::new(400, format!("no metrics in protobuf: {why}"))),
            Form::Json => json::read(&request.body, &mut delivery).map_err(|why| {
                Refusal::new(400, format!("no metrics in JSON: {}", clean(&why.to_string(), 120)))
            }),
        };
        read?; // what came in front of the mistake is no whole reading
        delivery.end()
    }

    /// Tells how old the newest figures of each are, and who has fallen silent.
    pub fn look(&mut self, now: MonoNs, sink: &mut dyn Sink) {
        for sender in self.senders.values_mut() {
            sender.age.tell(sender.newest(), now, sink);
            let usual = sender.usual();
            if sender.interval > Duration::ZERO && sender.is_silent(now) {
                let what = format!("has sent nothing for {} s", usual.as_secs());
                sender.troubles.began(&sender.instance, "silent", &what, sink);
            }
        }
    }

    /// Is anybody there?
    pub fn empty(&self) -> bool {
        self.senders.is_empty()
    }
}

/// One request on its way into the inbox.
struct Delivery<'a> {
    inbox: &'a mut Inbox,
    sink: &'a mut dyn Sink,
    received: MonoNs,
    /// Whose figures come now.
    to: Option<u64>,
    named: Option<Named>,
    /// Whose figures have come so far, and the newest's time by their clock.
    open: BTreeMap<u64, u64>,
    /// A sender came for whom there is no room.
    crowd: bool,
}

impl Delivery<'_> {
    /// What came is one reading of each.
    fn end(mut self) -> Result<(), Refusal> {
        let taken = !self.open.is_empty();
        for (who, newest_ns) in std::mem::take(&mut self.open) {
            if let Some(sender) = self.inbox.senders.get_mut(&who) {
                sender.end(newest_ns, self.received, self.sink);
            }
        }
        if self.crowd && !taken {
            return Err(Refusal::new(429, CROWD));
        }
        if self.crowd {
            // Turned away, the request would come again, and what was taken of it count twice.
            self.inbox.troubles.say(NAME, &CROWD, self.sink);
        }
        Ok(())
    }

    /// Is there room for one more sender? Where there is none, the one goes that has been silent for longest, if one is.
    fn has_room(&mut self) -> bool {
        let now = self.received;
        if self.inbox.senders.len() < MAX_SENDERS {
            return true;
        }
        let silent = |(who, sender): &(&u64, &Sender)| sender.is_silent(now) && !self.open.contains_key(*who);
        let longest = self.inbox.senders.iter().filter(silent).min_by_key(|(_, sender)| sender.newest());
        let Some(gone) = longest.map(|(who, _)| *who).and_then(|who| self.inbox.senders.remove(&who)) else {
            return false;
        };
        self.sink.note(NAME, &format!("{} is silent and gives its place to another", gone.instance));
        true
    }

    /// A sender that has not come before.
    fn admit(&mut self, who: u64, attributes: &[Attribute<'_>]) {
        let name = name(attributes);
        let instance = self.sink.instance(&name, &name);
        let sender = Sender {
            scrape: Scrape::new(NAME, &instance, self.inbox.beside.clone(), Arc::clone(&self.inbox.own)),
            age: Age::declare(NAME, &instance, self.sink),
            newest: None,
            attached: self.received,
            interval: Duration::ZERO,
            offset: None,
            troubles: Troubles::new(NAME),
            said_refused: 0,
            instance,
        };
        self.sink.note(NAME, &format!("{} sends metrics", sender.instance));
        self.inbox.senders.insert(who, sender);
    }
}

impl Taker for Delivery<'_> {
    fn resource(&mut self, attributes: &[Attribute<'_>]) -> bool {
        self.to = None;
        let who = identity(attributes);
        if !self.inbox.senders.contains_key(&who) {
            if !self.has_room() {
                self.crowd = true;
                return false;
            }
            self.admit(who, attributes);
        }
        if let (Entry::Vacant(place), Some(sender)) = (self.open.entry(who), self.inbox.senders.get_mut(&who))
        {
            place.insert(0);
            sender.scrape.begin_request(self.received);
        }
        self.to = Some(who);
        true
    }

    fn metric(&mut self, metric: &Metric<'_>) -> bool {
        let sender = self.to.as_ref().and_then(|to| self.inbox.senders.get(to));
        self.named = sender.map(|sender| Named::of(metric, &sender.scrape)).filter(Named::known);
        self.named.is_some()
    }

    fn point(&mut self, metric: &Metric<'_>, point: Point<'_>) {
        let Some(who) = self.to else { return };
        if let (Some(sender), Some(named)) = (self.inbox.senders.get_mut(&who), &self.named) {
            let newest_ns = self.open.entry(who).or_default();
            *newest_ns = point.time_ns.max(*newest_ns);
            named.lines(metric.delta, point, &mut sender.scrape);
        }
    }

    fn refuse(&mut self, why: &'static str) {
        if let Some(sender) = self.to.as_ref().and_then(|to| self.inbox.senders.get_mut(to)) {
            sender.scrape.refuse(why);
        }
    }
}

impl Sender {
    /// When its newest figures were true.
    fn newest(&self) -> MonoNs {
        self.newest.unwrap_or(self.attached)
    }

    /// For how long one that sends so often may be quiet.
    fn usual(&self) -> Duration {
        let interval = if self.interval.is_zero() { USUAL } else { self.interval };
        (interval * INTERVALS).max(SILENT)
    }

    fn is_silent(&self, now: MonoNs) -> bool {
        now.since(self.newest()) > self.usual()
    }

    fn end(&mut self, newest_ns: u64, received: MonoNs, sink: &mut dyn Sink) {
        let at = self.ours(newest_ns, received);
        if let Some(before) = self.newest {
            // One reading in several requests comes at once: that is not how often it comes.
            self.interval = at.since(before).max(self.interval / 2);
        }
        self.scrape.end(self.newest, at, sink);
        self.newest = Some(at);
        let instance = &self.instance;
        self.troubles.over(instance, sink);
        if let Some(found) = self.scrape.found_more() {
            sink.note(NAME, &format!("{instance}: {found}"));
        }
        if self.scrape.several() {
            self.troubles.say(instance, &IN_TURN, sink);
        }
        if self.scrape.refused.len() > self.said_refused {
            self.said_refused = self.scrape.refused.len();
            let reasons: Vec<&str> = self.scrape.refused.keys().copied().collect();
            sink.note(NAME, &format!("{instance}: not taken: {}", reasons.join("; ")));
        }
    }

    /// When figures were true by our clock: their time and the least delay that was seen. They were never later than they came; figures
    /// without a time of their own, or with one that does not go on, were true then.
    fn ours(&mut self, theirs_ns: u64, received: MonoNs) -> MonoNs {
        if theirs_ns == 0 {
            return received;
        }
        let delayed = i128::from(received.0) - i128::from(theirs_ns);
        let offset = match self.offset {
            Some(known) if (delayed - known).abs() < CLOCK_SET_NS => known.min(delayed),
            _ => delayed,
        };
        self.offset = Some(offset);
        let at = u64::try_from(i128::from(theirs_ns) + offset).ok().map(MonoNs);
        at.filter(|at| *at <= received && self.newest.is_none_or(|newest| *at > newest)).unwrap_or(received)
    }
}

/// Who sends: by its whole id, and its process id; where it tells neither, by all that it tells of itself. Two with one number of 64 bits
/// among 16 do not come.
fn identity(attributes: &[Attribute<'_>]) -> u64 {
    let told = |name: &str| attributes.iter().any(|(key, value)| key == name && !value.is_empty());
    let has_id = told("service.instance.id") || told("process.pid");
    let mut of: Vec<&Attribute<'_>> =
        attributes.iter().filter(|(key, _)| !has_id || IDENTITY.contains(&&**key)).collect();
    of.sort();
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// `otlp-shop-4711`: the service, and which of its processes. Others may be called so, too.
fn name(attributes: &[Attribute<'_>]) -> String {
    let of = |name: &str| {
        let found = attributes.iter().find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| clean(value, PART_MAX).replace(' ', "-"))
    };
    let which = of("process.pid").or_else(|| of("service.instance.id").map(short));
    let parts = [Some(NAME.to_owned()), of("service.name"), which];
    parts.into_iter().flatten().collect::<Vec<_>>().join("-")
}

/// An id is mostly a random one of 36 characters, of which eight are enough to be shown.
fn short(id: String) -> String {
    let random = id.len() == 36 && id.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if random { id.chars().take(8).collect() } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&'static str, &'static str)]) -> Vec<Attribute<'static>> {
        pairs.iter().map(|&(k, v)| (k.into(), v.into())).collect()
    }

    #[test]
    fn a_sender_is_named_after_its_service_and_process() {
        let of = |pairs: &[(&'static str, &'static str)]| name(&attributes(pairs));
        assert_eq!(of(&[]), "otlp");
        assert_eq!(of(&[("service.name", "my shop"), ("process.pid", "7")]), "otlp-my-shop-7");
        let random = "01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(of(&[("service.name", "s"), ("service.instance.id", random)]), "otlp-s-01234567");
        let chosen = [("service.name", "s"), ("service.instance.id", "shop-worker-1")];
        assert_eq!(of(&chosen), "otlp-s-shop-worker-1");
        assert!(of(&[("service.name", "\u{1b}[2J")]).chars().all(|c| !c.is_control()));
    }

    #[test]
    fn processes_are_told_apart_by_their_whole_id_or_else_by_all_that_they_tell() {
        let of = |pairs: &[(&'static str, &'static str)]| identity(&attributes(pairs));
        let id = "service.instance.id";
        assert_ne!(of(&[(id, "shop-worker-1")]), of(&[(id, "shop-worker-2")]));
        assert_ne!(
            of(&[("process.pid", "1"), ("host.name", "a")]),
            of(&[("process.pid", "1"), ("host.name", "b")])
        );
        assert_ne!(of(&[("service.name", "s"), ("cell", "1")]), of(&[("service.name", "s"), ("cell", "2")]));
        // Blocks of one process may be told under other words beside.
        assert_eq!(of(&[(id, "x"), ("cell", "1")]), of(&[("cell", "2"), (id, "x")]));
        assert_eq!(of(&[("a", "1"), ("b", "2")]), of(&[("b", "2"), ("a", "1")]));
    }
}
