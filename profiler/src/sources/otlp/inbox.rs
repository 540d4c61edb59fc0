//! The inbox: who sends, and what lanes become of it.
//!
//! Owns the senders (an OpenTelemetry resource each: a process), their instance names and their clocks. One request after the other is taken.

use std::collections::BTreeMap;
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

/// All that is known of the senders.
pub(super) struct Inbox {
    own: Arc<Own>,
    beside: Option<Agreement>,
    senders: BTreeMap<String, Sender>,
    pub troubles: Troubles,
}

struct Sender {
    scrape: Scrape,
    age: Age,
    newest: Option<MonoNs>,
    attached: MonoNs,
    interval: Duration,
    /// Our clock less theirs, when a request was the quickest: nothing tells more of it.
    offset: Option<i128>,
    troubles: Troubles,
    said_refused: usize,
    said_dialects: usize,
}

impl Inbox {
    pub fn new(own: Arc<Own>, beside: Option<Agreement>) -> Self {
        Self { own, beside, senders: BTreeMap::new(), troubles: Troubles::new(NAME) }
    }

    /// Takes a request in; `received` is when it was complete.
    pub fn take(&mut self, request: &Request, received: MonoNs, sink: &mut dyn Sink) -> Result<(), Refusal> {
        let mut delivery =
            Delivery { inbox: self, sink, received, to: None, named: None, newest_ns: 0, crowd: false };
        let read = match request.form {
            Form::Protobuf => wire::read(&request.body, &mut delivery)
                .map_err(|why| Refusal::new(400, format!("no metrics in protobuf: {why}"))),
            Form::Json => json::read(&request.body, &mut delivery).map_err(|why| {
                Refusal::new(400, format!("no metrics in JSON: {}", clean(&why.to_string(), 120)))
            }),
        };
        read?; // what came of a resource in front of the mistake is no whole reading
        delivery.end();
        let crowd = delivery.crowd;
        if crowd { Err(Refusal::new(429, "more than 16 senders")) } else { Ok(()) }
    }

    /// Tells how old the newest figures of each are, and who has fallen silent.
    pub fn look(&mut self, now: MonoNs, sink: &mut dyn Sink) {
        for (instance, sender) in &mut self.senders {
            let newest = sender.newest.unwrap_or(sender.attached);
            sender.age.tell(newest, now, sink);
            let usual = (sender.interval * INTERVALS).max(SILENT);
            if sender.interval > Duration::ZERO && now.since(newest) > usual {
                let what = format!("has sent nothing for {} s", usual.as_secs());
                sender.troubles.began(instance, "silent", &what, sink);
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
    to: Option<String>,
    named: Option<Named>,
    /// By the sender's clock.
    newest_ns: u64,
    /// A sender came for whom there is no room.
    crowd: bool,
}

impl Delivery<'_> {
    /// What came so far was one sender's reading.
    fn end(&mut self) {
        let Some(instance) = self.to.take() else { return };
        let newest_ns = std::mem::take(&mut self.newest_ns);
        if let Some(sender) = self.inbox.senders.get_mut(&instance) {
            sender.end(&instance, newest_ns, self.received, self.sink);
        }
    }
}

impl Taker for Delivery<'_> {
    fn resource(&mut self, attributes: &[Attribute<'_>]) -> bool {
        self.end();
        let instance = instance(attributes);
        if !self.inbox.senders.contains_key(&instance) {
            if self.inbox.senders.len() >= MAX_SENDERS {
                self.crowd = true;
                return false;
            }
            let sender = Sender {
                scrape: Scrape::new(NAME, &instance, self.inbox.beside.clone(), Arc::clone(&self.inbox.own)),
                age: Age::declare(NAME, &instance, self.sink),
                newest: None,
                attached: self.received,
                interval: Duration::ZERO,
                offset: None,
                troubles: Troubles::new(NAME),
                said_refused: 0,
                said_dialects: 0,
            };
            self.inbox.senders.insert(instance.clone(), sender);
            self.sink.note(NAME, &format!("{instance} sends metrics"));
        }
        if let Some(sender) = self.inbox.senders.get_mut(&instance) {
            sender.scrape.begin();
        }
        self.to = Some(instance);
        true
    }

    fn metric(&mut self, metric: &Metric<'_>) -> bool {
        let sender = self.to.as_ref().and_then(|to| self.inbox.senders.get(to));
        self.named = sender.map(|sender| Named::of(metric, &sender.scrape)).filter(Named::known);
        self.named.is_some()
    }

    fn point(&mut self, metric: &Metric<'_>, point: Point<'_>) {
        let sender = self.to.as_ref().and_then(|to| self.inbox.senders.get_mut(to));
        if let (Some(sender), Some(named)) = (sender, &self.named) {
            self.newest_ns = self.newest_ns.max(point.time_ns);
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
    fn end(&mut self, instance: &str, newest_ns: u64, received: MonoNs, sink: &mut dyn Sink) {
        let at = self.ours(newest_ns, received);
        if let Some(before) = self.newest {
            self.interval = at.since(before);
        }
        self.scrape.end(self.newest, at, sink);
        self.newest = Some(at);
        self.troubles.over(instance, sink);
        let known = self.scrape.dialects();
        if known.len() > self.said_dialects {
            self.said_dialects = known.len();
            sink.note(NAME, &format!("{instance}: {} lane(s) of {}", self.scrape.lanes(), known.join(", ")));
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

/// `otlp-shop-4711`: the service, and which of its processes.
fn instance(attributes: &[Attribute<'_>]) -> String {
    let of = |name: &str| {
        let found = attributes.iter().find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| clean(value, PART_MAX).replace(' ', "-"))
    };
    let which = of("process.pid").or_else(|| {
        // Mostly a random one of 36 characters, of which eight tell apart.
        of("service.instance.id").map(|id| id.chars().take(8).collect())
    });
    let parts = [Some(NAME.to_owned()), of("service.name"), which];
    parts.into_iter().flatten().collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_named_after_its_service_and_process() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let attributes: Vec<Attribute<'_>> = pairs.iter().map(|&(k, v)| (k.into(), v.into())).collect();
            instance(&attributes)
        };
        assert_eq!(of(&[]), "otlp");
        assert_eq!(of(&[("service.name", "my shop"), ("process.pid", "7")]), "otlp-my-shop-7");
        assert_eq!(of(&[("service.name", "s"), ("service.instance.id", "0123456789")]), "otlp-s-01234567");
        assert!(of(&[("service.name", "\u{1b}[2J")]).chars().all(|c| !c.is_control()));
    }
}
