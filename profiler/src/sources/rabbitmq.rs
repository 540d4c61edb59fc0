//! The RabbitMQ source: what a server's management plugin says of queues, connections and alarms.
//!
//! Owns the questions, the lanes of their answers, and when an answer is new: the server's processes tell their figures every five seconds
//! unless told otherwise (`collect_statistics_interval`, `management.sample_retention_policies`), and in between it repeats itself: a counter that stands still says
//! nothing until it has stood for longer than usual. How an answer is fetched is `fetch`'s business. It reads, and changes nothing.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use thiserror::Error;
use timeline::lane::names;
use timeline::text::clean;
use timeline::{LaneId, LaneSpec, MonoNs, Shape, Unit};

use super::age::Age;
use super::counters::{Counters, pace};
use super::fetch::{self, FetchError};
use super::patience::patiently;
use super::place::{Place, deadline, holds_password, shown};
use super::troubles::Troubles;
use super::{AttachError, Attached, Crew, Shared, Sink, Source};

/// Name of the source, and of the server as a whole in its lanes.
const NAME: &str = "rabbitmq";
/// From reading to reading; a new figure is noticed so late.
const PERIOD: Duration = Duration::from_secs(1);
/// Longest time for all questions of a reading but the last one's answer.
const TIMEOUT: Duration = fetch::TIMEOUT;
/// A queue whose figures have not changed for so long still has them: the server tells them so often.
const UNCHANGED: Duration = Duration::from_secs(5);
/// Longest that the server is waited for to count on; who manages many queues has them told once a minute.
const LONGEST: Duration = Duration::from_secs(60);
/// Of how many moves of a counter it is remembered how long it stood before.
const MOVES: usize = 4;
/// Port of the management plugin where none is named.
const PORT: u16 = 15672;
/// Whom a server lets in from its own machine, unless told otherwise.
const USER: &str = "guest";
/// Longest answer, MiB. A hundred queues take 50 KB, 500 connections 10 KB.
const MAX_MIB: u64 = 4;
/// Most queues that have lanes: each costs seven.
const MOST_QUEUES: usize = 64;
/// Most characters of a queue's name.
const NAME_MAX: usize = 60;
/// Most queues, states of connections and nodes that are read of one answer.
const LISTED: usize = 500;

const OVERVIEW: &str = "overview?columns=rabbitmq_version,object_totals";
/// Queues that are read, of any number: those with the most messages, ready or given out ...
const FULLEST: usize = 100;
/// ... or the first by name, where the server cannot sort them: it gives no more at a time.
const BY_NAME: usize = 500;
/// What is asked of a queue.
const COLUMNS: &str = "name,vhost,messages,messages_ready,messages_unacknowledged,consumers,consumer_utilisation,\
    message_stats.publish,message_stats.deliver_get,message_stats.redeliver,message_stats.ack";
const CONNECTIONS: &str = "connections?page=1&page_size=500&columns=state";
const NODES: &str =
    "nodes?columns=name,mem_used,mem_limit,mem_alarm,disk_free,disk_free_limit,disk_free_alarm";

/// Figures of a queue and the last part of the lane `broker.NAME.*` that each becomes.
const PARTS: [(&str, Shape, Unit); 7] = [
    ("depth", Shape::Level, Unit::Count),
    ("unacknowledged", Shape::Level, Unit::Count),
    ("consumers", Shape::Level, Unit::Count),
    ("utilisation", Shape::Level, Unit::Ratio),
    ("published", Shape::Rate, Unit::PerSecond),
    ("consumed", Shape::Rate, Unit::PerSecond),
    ("acknowledged", Shape::Rate, Unit::PerSecond),
];
/// States of a connection that the server holds back: by its flow control, or because an alarm rings.
const HELD_BACK: [&str; 3] = ["flow", "blocking", "blocked"];

/// Why a server cannot be read.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum RabbitMqError {
    /// The address is none that we ask.
    #[error("`{0}` is not an address of the management plugin, of the form http://[USER@]HOST[:PORT]")]
    BadAddress(String),
    /// Its address holds a password: a command line is no place for one.
    #[error("its address holds a password: leave it out there and give it in DYNO_RABBITMQ_PASSWORD")]
    Password,
    /// It cannot be fetched.
    #[error("{0}")]
    Fetch(FetchError),
    /// Not this user with this password.
    #[error(
        "the server refuses: status {0}; the password is read from DYNO_RABBITMQ_PASSWORD, and the user needs the tag `monitoring`"
    )]
    Refused(u16),
    /// It speaks something else.
    #[error("the answer is not one of RabbitMQ's management plugin")]
    NotRabbitMq,
}

impl RabbitMqError {
    fn state(&self) -> &'static str {
        match self {
            Self::Fetch(e) => e.state(),
            _ => "failing",
        }
    }
}

impl From<FetchError> for RabbitMqError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Status(status @ (401 | 403)) => Self::Refused(status),
            FetchError::Status(404) | FetchError::Protocol(_) => Self::NotRabbitMq,
            e => Self::Fetch(e),
        }
    }
}

/// Attaches the server whose management plugin listens at `url` (`http://[USER@]HOST[:PORT]`).
///
/// Asks before it returns; later failures are told to the sink, and the server is asked again.
///
/// # Errors
/// [`AttachError::RabbitMq`]: nobody answers there, or not as RabbitMQ does, or not us.
pub fn attach(url: &str, password: &str, sink: Box<dyn Sink>) -> Result<Attached, AttachError> {
    let mut sink = Shared::new(sink);
    let failed = |why| AttachError::RabbitMq { url: shown(url), why };
    let mut rabbit = RabbitMq::new(url, password, &mut sink).map_err(failed)?;
    let late = RabbitMqError::Fetch(fetch::LATE);
    patiently(&late, || rabbit.read(&mut sink)).map_err(failed)?;
    let unseen = if rabbit.sees_nodes {
        ""
    } else {
        "; not available: memory, disk and alarms, for which the user needs the tag `monitoring`"
    };
    let about = format!(
        "rabbitmq at {}: version {}: queues, consumers, rates, connections, alarms, as new as the server's own figures (5 s unless told otherwise){unseen}",
        rabbit.address, rabbit.version
    );
    sink.note(NAME, &about);
    let crew = Crew::default();
    crew.run(rabbit, sink);
    Ok(Attached::new(about, crew))
}

struct RabbitMq {
    client: ureq::Agent,
    base: String,
    address: String,
    /// Proves who we are.
    proof: String,
    instance: String,
    version: String,
    sees_nodes: bool,
    /// Can it sort its queues by their messages?
    sorts: bool,
    server: HashMap<&'static str, Option<LaneId>>,
    queues: HashMap<String, Queue>,
    /// When an answer last came; before the first one: when it was attached.
    newest: MonoNs,
    age: Age,
    troubles: Troubles,
}

impl RabbitMq {
    fn new(url: &str, password: &str, sink: &mut dyn Sink) -> Result<Self, RabbitMqError> {
        if holds_password(url) {
            return Err(RabbitMqError::Password);
        }
        let place = Place::read(url, &["http"], PORT, password);
        let place = place.ok_or_else(|| RabbitMqError::BadAddress(shown(url)))?;
        let user = if place.user.is_empty() { USER } else { &place.user };
        let prefix = if place.path.is_empty() { String::new() } else { format!("/{}", place.path) };
        let instance = place.instance(NAME, sink);
        Ok(Self {
            client: fetch::client(),
            base: format!("http://{}{prefix}/api/", place.address()),
            address: place.address(),
            proof: format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
            age: Age::declare(NAME, &instance, sink),
            instance,
            version: String::new(),
            sees_nodes: true,
            sorts: true,
            server: HashMap::new(),
            queues: HashMap::new(),
            newest: MonoNs::now(),
            troubles: Troubles::new(NAME),
        })
    }

    fn ask(&self, what: &str, deadline: MonoNs) -> Result<Value, RabbitMqError> {
        if MonoNs::now() >= deadline {
            return Err(fetch::LATE.into());
        }
        let url = format!("{}{what}", self.base);
        let fetched = fetch::get(&self.client, &url, &[("Authorization", &self.proof)], MAX_MIB)?;
        serde_json::from_slice(&fetched.body).map_err(|_| RabbitMqError::NotRabbitMq)
    }

    /// A page of queues. RabbitMQ 3.13, and 4.0 before 4.0.3, fail when they sort queues by messages and one of them is a quorum queue
    /// (rabbitmq-server#12374).
    fn ask_queues(&mut self, deadline: MonoNs) -> Result<Value, RabbitMqError> {
        let page = |size: usize| format!("queues?page=1&page_size={size}&columns={COLUMNS}");
        if self.sorts {
            match self.ask(&(page(FULLEST) + "&sort=messages&sort_reverse=true"), deadline) {
                Err(RabbitMqError::Fetch(FetchError::Status(500))) => {}
                answer => return answer,
            }
        }
        let answer = self.ask(&page(BY_NAME), deadline)?;
        self.sorts = false;
        Ok(answer)
    }

    /// Asks once and hands over.
    fn read(&mut self, sink: &mut dyn Sink) -> Result<(), RabbitMqError> {
        let deadline = deadline(TIMEOUT);
        let overview = self.ask(OVERVIEW, deadline)?;
        let version = overview.get("rabbitmq_version").and_then(Value::as_str);
        self.version = clean(version.ok_or(RabbitMqError::NotRabbitMq)?, 40);
        let sent = MonoNs::now();
        let queues = self.ask_queues(deadline)?;
        let now = MonoNs::now();
        let listed = items(&queues)?;
        let connections = self.ask(CONNECTIONS, deadline)?;
        let nodes = match self.ask(NODES, deadline) {
            Ok(nodes) => Some(nodes),
            // Who may see queues need not be one who may see nodes.
            Err(RabbitMqError::Refused(_)) => None,
            Err(e) => return Err(e),
        };
        self.sees_nodes = nodes.is_some();
        self.queues(listed, &queues, sent, now, sink);
        let totals = overview.get("object_totals").unwrap_or(&Value::Null);
        for name in ["connections", "channels"] {
            self.level(name, Unit::Count, number(totals, name), now, sink);
        }
        let state =
            |c: &&Value| c.get("state").and_then(Value::as_str).is_some_and(|s| HELD_BACK.contains(&s));
        let held_back = items(&connections)?.iter().take(LISTED).filter(state).count();
        self.level("blocked", Unit::Count, Some(held_back as f64), now, sink);
        if let Some(nodes) = nodes {
            self.nodes(nodes.as_array().ok_or(RabbitMqError::NotRabbitMq)?, now, sink);
        }
        self.newest = now;
        Ok(())
    }

    /// What was asked for at `sent` and was there `now`.
    fn queues(&mut self, items: &[Value], answer: &Value, sent: MonoNs, now: MonoNs, sink: &mut dyn Sink) {
        let mut items: Vec<&Value> = items.iter().take(LISTED).collect();
        let messages = |item: &Value| number(item, "messages").unwrap_or(0.0);
        items.sort_by(|a, b| messages(b).total_cmp(&messages(a)));
        let mut seen = HashSet::new();
        for item in items {
            let Some(name) = queue_name(item) else { continue };
            // Names that are alike once they are cleaned are not told apart.
            if !seen.insert(name.clone()) {
                continue;
            }
            if !self.queues.contains_key(&name) && self.queues.len() >= MOST_QUEUES {
                continue;
            }
            let queue = self
                .queues
                .entry(name.clone())
                .or_insert_with(|| Queue::declare(&name, &self.instance, sink));
            queue.take(item, sent, now, sink);
        }
        let all = number(answer, "total_count").unwrap_or(0.0);
        if all > MOST_QUEUES as f64 {
            let what = format!(
                "more than {MOST_QUEUES} queues: those that were fullest when they were first seen have lanes"
            );
            self.troubles.say(&self.instance, &what, sink);
        }
        let (page, which) = if self.sorts {
            (FULLEST, "those with the most messages")
        } else {
            (BY_NAME, "the first by name, since the server fails when it sorts them by messages")
        };
        if all > page as f64 {
            let what =
                format!("more than {page} queues: {page} are read, {which}; of the others nothing is told");
            self.troubles.say(&self.instance, &what, sink);
        }
    }

    fn nodes(&mut self, nodes: &[Value], now: MonoNs, sink: &mut dyn Sink) {
        let nodes = &nodes[..nodes.len().min(LISTED)];
        let sum = |key: &str| nodes.iter().filter_map(|n| number(n, key)).reduce(|a, b| a + b);
        let figures = [
            ("memory", "mem_used"),
            ("memory-limit", "mem_limit"),
            ("disk-free", "disk_free"),
            ("disk-limit", "disk_free_limit"),
        ];
        for (part, key) in figures {
            self.level(part, Unit::Bytes, sum(key), now, sink);
        }
        let mut alarms = 0.0;
        for (key, what) in [("mem_alarm", "memory"), ("disk_free_alarm", "disk")] {
            for node in nodes.iter().filter(|n| n.get(key).and_then(Value::as_bool) == Some(true)) {
                alarms += 1.0;
                let name = clean(node.get("name").and_then(Value::as_str).unwrap_or_default(), NAME_MAX);
                let text = format!("the {what} alarm of {name} rings: whoever publishes is held back");
                self.troubles.say(&self.instance, &text, sink);
            }
        }
        self.level("alarms", Unit::Count, Some(alarms), now, sink);
    }

    /// A figure of the server as a whole.
    fn level(
        &mut self,
        part: &'static str,
        unit: Unit,
        value: Option<f64>,
        now: MonoNs,
        sink: &mut dyn Sink,
    ) {
        let Some(value) = value else { return };
        let spec = || LaneSpec::level(names::of(names::BROKER, NAME, part), self.instance.as_str(), unit);
        if let Some(lane) = *self.server.entry(part).or_insert_with(|| sink.declare(spec())) {
            sink.sample(lane, now, value);
        }
    }
}

impl Source for RabbitMq {
    fn name(&self) -> &str {
        NAME
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        let read = self.read(sink);
        self.age.tell(self.newest, MonoNs::now(), sink);
        self.troubles.after(&self.instance, read, RabbitMqError::state, sink);
    }
}

/// One queue's lanes, and its figures as they were last told.
struct Queue {
    lanes: [Option<LaneId>; PARTS.len()],
    counters: Counters<usize>,
    rates: [Rate; PARTS.len()],
    last: [Option<f64>; PARTS.len()],
    /// When that was.
    told: Option<MonoNs>,
}

/// How one of a queue's counters moves.
#[derive(Clone, Copy, Default)]
struct Rate {
    /// When the figure that was told last had been asked for.
    asked: Option<MonoNs>,
    /// When it moved last; before that: when it was there first.
    moved: Option<MonoNs>,
    /// How long it had stood still each time.
    stood: [Duration; MOVES],
}

impl Rate {
    /// Is it to be told `now`? One that stands still may only not have been told anew by the server: that nothing has come is known when it
    /// has stood for longer than it did of late.
    fn due(&mut self, moves: bool, now: MonoNs) -> bool {
        let stood = now.since(*self.moved.get_or_insert(now));
        if moves {
            self.moved = Some(now);
            self.stood.rotate_right(1);
            self.stood[0] = stood.min(LONGEST);
            return true;
        }
        let usual = self.stood.into_iter().fold(UNCHANGED, Duration::max);
        stood > usual + PERIOD // it is noticed so late
    }
}

impl Queue {
    fn declare(name: &str, instance: &str, sink: &mut dyn Sink) -> Self {
        let lanes = PARTS.map(|(part, shape, unit)| {
            let spec = LaneSpec::level(names::of(names::BROKER, name, part), instance, unit);
            sink.declare(LaneSpec { shape, ..spec })
        });
        let rates = [Rate::default(); PARTS.len()];
        Self { lanes, counters: Counters::default(), rates, last: [None; PARTS.len()], told: None }
    }

    /// What a counter has grown by is told over the time since the figure was asked for that was told last.
    fn take(&mut self, item: &Value, sent: MonoNs, now: MonoNs, sink: &mut dyn Sink) {
        let figures = figures(item);
        let fresh = self.told.is_none_or(|told| now.since(told) >= UNCHANGED) || figures != self.last;
        if !fresh {
            return;
        }
        let before = std::mem::replace(&mut self.last, figures);
        self.told = Some(now);
        for (i, figure) in figures.into_iter().enumerate() {
            let (Some(figure), Some(lane)) = (figure, self.lanes[i]) else { continue };
            match PARTS[i].1 {
                Shape::Level => sink.sample(lane, now, figure),
                _ if !self.rates[i].due(before[i] != Some(figure), now) => {}
                _ => {
                    let asked = self.rates[i].asked.replace(sent);
                    if let Some((more, asked)) = self.counters.grown(i, figure).zip(asked) {
                        sink.sample(lane, now, pace(more, asked, now));
                    }
                }
            }
        }
    }
}

/// In the order of [`PARTS`]. What was given back and given out again is consumed once.
fn figures(item: &Value) -> [Option<f64>; PARTS.len()] {
    let counted = item.get("message_stats").unwrap_or(&Value::Null);
    let given = number(counted, "deliver_get").map(|n| n - number(counted, "redeliver").unwrap_or(0.0));
    [
        number(item, "messages_ready"),
        number(item, "messages_unacknowledged"),
        number(item, "consumers"),
        number(item, "consumer_utilisation"),
        number(counted, "publish"),
        given,
        number(counted, "ack"),
    ]
}

/// Its own name, behind that of its virtual host where that is not the usual one.
fn queue_name(item: &Value) -> Option<String> {
    let said = |key: &str| item.get(key).and_then(Value::as_str);
    let name = said("name").filter(|n| !n.is_empty())?;
    Some(match said("vhost") {
        None | Some("/") => clean(name, NAME_MAX),
        Some(host) => clean(&format!("{host}/{name}"), NAME_MAX),
    })
}

/// What a paged answer lists.
fn items(answer: &Value) -> Result<&[Value], RabbitMqError> {
    answer.get("items").and_then(Value::as_array).map(Vec::as_slice).ok_or(RabbitMqError::NotRabbitMq)
}

/// What is no number of things is taken for nothing.
fn number(of: &Value, key: &str) -> Option<f64> {
    of.get(key)?.as_f64().filter(|n| n.is_finite() && *n >= 0.0)
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use serde_json::json;

    use super::*;
    use crate::sources::testing::{FIRST_LATE, Keeping};

    #[test]
    fn what_came_late_is_not_told_as_if_it_had_come_at_once() {
        let mut told = Keeping::default();
        let mut queue = Queue::declare("orders", "rabbitmq-1", &mut told);
        for (published, sent, received) in FIRST_LATE {
            let item = json!({ "message_stats": { "publish": published } });
            queue.take(&item, sent, received, &mut told);
        }
        assert_eq!(told.values, [1_000.0, 500.0]);
    }

    #[test]
    fn a_server_that_seldom_tells_its_figures_is_not_idle_in_between() {
        let mut told = Keeping::default();
        let mut queue = Queue::declare("orders", "rabbitmq-1", &mut told);
        // Ten a second, told every twenty seconds; none from the hundredth second on.
        for s in 1..=130_u64 {
            let published = 200 * (s.min(100) / 20);
            let at = MonoNs(s * 1_000_000_000);
            queue.take(&json!({ "message_stats": { "publish": published } }), at, at, &mut told);
        }
        // How seldom that is must be seen once.
        assert_eq!(told.values[..3], [0.0, 0.0, 50.0]);
        assert_eq!(told.values[3..7], [10.0; 4]);
        assert_eq!(told.values[7..], [0.0; 2], "it is idle");
    }

    /// So many queues with a message each, and one behind them by name with many, all of them given out.
    fn queues(n: usize) -> Vec<Value> {
        let queue = |name: String, ready: u32, given_out: u32| {
            json!({
                "name": name, "messages": ready + given_out, "messages_ready": ready,
                "messages_unacknowledged": given_out,
            })
        };
        let small = (0..n).map(|i| queue(format!("small-{i:03}"), 1, 0));
        small.chain([queue("stuck".to_owned(), 0, 5_000)]).collect()
    }

    /// What a server with these queues answers; nothing where it fails.
    fn answer(asked: &str, queues: &[Value], sorts: bool) -> Option<Value> {
        let (what, query) = asked.split_once('?').unwrap_or((asked, ""));
        let pairs: HashMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        match what {
            "/api/overview" => Some(json!({ "rabbitmq_version": "4.0.2" })),
            "/api/nodes" => Some(json!([])),
            "/api/connections" => Some(json!({ "items": [] })),
            _ if pairs.contains_key("sort") && !sorts => None,
            _ => {
                let mut page = queues.to_vec();
                if let Some(column) = pairs.get("sort") {
                    assert_eq!(pairs["sort_reverse"], "true");
                    page.sort_by_key(|queue| Reverse(queue[column].as_u64()));
                }
                page.truncate(pairs["page_size"].parse().unwrap());
                Some(json!({ "total_count": queues.len(), "items": page }))
            }
        }
    }

    /// What is told of a server with so many small queues, and one that is not.
    fn told_of(small: usize, sorts: bool) -> Keeping {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while reader.read_line(&mut head).is_ok_and(|n| n > 2) {}
                let asked = head.split(' ').nth(1).unwrap_or_default();
                let (status, body) = match answer(asked, &queues(small), sorts) {
                    Some(answer) => ("200 OK", answer.to_string()),
                    None => ("500 Internal Server Error", String::new()),
                };
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
                drop(stream.write_all((head + &body).as_bytes()));
            }
        });
        let mut told = Keeping::default();
        let mut rabbit = RabbitMq::new(&url, "", &mut told).unwrap();
        rabbit.read(&mut told).unwrap();
        told
    }

    #[test]
    fn of_many_queues_those_with_the_most_messages_are_read_also_if_none_is_ready() {
        let is_seen =
            |told: &Keeping| told.lanes.iter().any(|lane| lane.name == "broker.stuck.unacknowledged");
        let says = |told: &Keeping, what: &str| told.remarks.iter().any(|remark| remark.contains(what));
        let told = told_of(150, true);
        assert!(is_seen(&told));
        assert!(
            says(&told, "more than 100 queues: 100 are read, those with the most messages"),
            "{:?}",
            told.remarks
        );
        let told = told_of(150, false);
        assert!(is_seen(&told), "a server that fails when it sorts is asked for more, unsorted");
        assert!(!says(&told, "are read"), "{:?}", told.remarks);
        let told = told_of(600, false);
        assert!(!is_seen(&told));
        assert!(says(&told, "more than 500 queues: 500 are read, the first by name"), "{:?}", told.remarks);
    }
}
