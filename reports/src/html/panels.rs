//! Which charts the report has, in which order, and how a lane's unit reads on an axis.

use timeline::lane::names;
use timeline::{Quality, Timeline, Unit};

/// Most charts below the fixed ones: a target with hundreds of lanes keeps the rest in the table.
const MAX_OTHERS: usize = 40;

/// A chart to be drawn: lanes of one unit.
pub(super) struct Panel {
    pub title: String,
    /// Canonical name and the word for it in the legend.
    pub lanes: Vec<(String, String)>,
    /// Shown only when asked for.
    pub folded: bool,
    /// Left out while all is zero: that there was no error, the figures say.
    pub quiet: bool,
}

const ERRORS: &str = "Errors";
/// The client's charts: what users feel.
const CLIENT: &[(&str, &[(&str, &str)])] = &[
    ("Load", &[(names::OFFERED, "offered"), (names::ACHIEVED, "achieved"), (names::COMPLETED, "completed")]),
    (ERRORS, &[(names::ERRORS, "errors"), (names::DROPPED, "dropped"), (names::RETRIED, "sent again")]),
    ("Sessions", &[(names::OPEN_SESSIONS, "open"), (names::OPEN_CONNECTIONS, "connections")]),
];
/// What is asked of the database.
const DATABASE: &[(&str, &[(&str, &str)])] = &[
    ("Statements", &[(names::DB_CALLS, "statements"), (names::DB_FAILURES, "failed")]),
    ("Time of statements", &[(names::DB_TIME, "time")]),
    ("Rows", &[(names::DB_ROWS, "given"), (names::DB_SCANNED, "stepped over")]),
];
/// The target's charts that every run may have, after those of its stores and services.
const TARGET: &[(&str, &[(&str, &str)])] = &[
    (
        "Heap",
        &[
            (names::HEAP_YOUNG, "young"),
            (names::HEAP_OLD, "old"),
            (names::HEAP_USED, "used"),
            (names::PROCESS_RESIDENT, "resident"),
        ],
    ),
    ("Pauses", &[(names::PAUSE, "longest")]),
    ("Loop delay", &[(names::LOOP_DELAY, "delay")]),
    (
        "Offload pool",
        &[
            (names::OFFLOAD_CAPACITY, "threads"),
            (names::OFFLOAD_BUSY, "busy"),
            (names::OFFLOAD_QUEUED, "queued"),
        ],
    ),
    (
        "Sockets of the target",
        &[
            (names::SERVER_CONNECTIONS, "HTTP"),
            (names::SERVER_WEBSOCKETS, "WebSocket"),
            (names::PROCESS_LISTEN_QUEUE, "to be accepted"),
            (names::PROCESS_DESCRIPTORS, "descriptors"),
        ],
    ),
    ("Waiting to be sent", &[(names::SERVER_SEND_QUEUE, "all")]),
    ("CPU", &[(names::PROCESS_CPU, "target"), (names::GENERATOR_CPU, "generator")]),
    ("Held back by a CPU quota", &[(names::PROCESS_THROTTLED, "throttled")]),
    (
        "Context switches of the target",
        &[
            (names::PROCESS_VOLUNTARY_SWITCHES, "voluntary"),
            (names::PROCESS_INVOLUNTARY_SWITCHES, "involuntary"),
        ],
    ),
    ("Machine", &[(names::HOST_CPU, "CPU in use"), (names::HOST_STEAL, "stolen")]),
    ("Run queue of the machine", &[(names::HOST_RUN_QUEUE, "threads")]),
    ("Lateness of the generator", &[(names::LATENESS, "lateness"), (names::RELEASE_ERROR, "its timer")]),
    ("Hiccups of the generator", &[(names::GENERATOR_HICCUP, "longest")]),
];

/// All charts under the response time, those of lanes that the run has.
pub(super) fn of(timeline: &Timeline) -> Vec<Panel> {
    let mut panels: Vec<Panel> = CLIENT.iter().map(fixed).collect();
    for pool in timeline.members(names::POOL) {
        let of = |parts: &[&str]| family(names::POOL, &pool, parts);
        panels.push(panel(format!("Pool {pool}"), of(&["capacity", "in-use", "waiters"])));
        panels.push(panel(format!("Wait for pool {pool}"), of(&["wait"])));
    }
    for cache in timeline.members(names::CACHE) {
        let of = |parts: &[&str]| family(names::CACHE, &cache, parts);
        panels
            .push(panel(format!("Cache {cache}"), of(&["misses", "loads", "duplicate-loads", "coalesced"])));
        panels.push(panel(format!("Hits of cache {cache}"), of(&["hits"])));
    }
    panels.extend(DATABASE.iter().map(fixed));
    for service in timeline.members(names::DOWNSTREAM) {
        let of = |parts: &[&str]| family(names::DOWNSTREAM, &service, parts);
        panels.push(panel(format!("Service {service}"), of(&["calls", "failures", "retries"])));
        panels.push(panel(format!("Time of service {service}"), of(&["time"])));
    }
    for broker in timeline.members(names::BROKER) {
        panels
            .push(panel(format!("Queue {broker}"), family(names::BROKER, &broker, &["depth", "consumers"])));
    }
    panels.extend(TARGET.iter().map(fixed));
    for p in &mut panels {
        p.lanes.retain(|(name, _)| timeline.has(name));
    }
    panels.retain(|p| !p.lanes.is_empty());
    let others = others(timeline, &panels);
    panels.extend(others);
    panels
}

fn panel(title: String, lanes: Vec<(String, String)>) -> Panel {
    let quiet = title == ERRORS;
    Panel { title, lanes, folded: false, quiet }
}

fn fixed((title, lanes): &(&str, &[(&str, &str)])) -> Panel {
    let lanes = lanes.iter().map(|(name, word)| ((*name).to_owned(), (*word).to_owned())).collect();
    panel((*title).to_owned(), lanes)
}

fn family(family: &str, member: &str, parts: &[&str]) -> Vec<(String, String)> {
    parts.iter().map(|part| (names::of(family, member, part), part.replace('-', " "))).collect()
}

/// A chart for each lane that no other chart shows.
fn others(timeline: &Timeline, panels: &[Panel]) -> Vec<Panel> {
    // Response time is the heatmap's; errors by step are the table's, and those without a time are among them.
    // The most sessions at once are a figure.
    let mut shown = vec![
        names::RESPONSE,
        names::SERVICE,
        names::STEP_ERRORS,
        names::STEP_UNTIMED,
        names::SOURCE_AGE,
        names::MOST_SESSIONS,
    ];
    shown.extend(panels.iter().flat_map(|p| p.lanes.iter().map(|(name, _)| name.as_str())));
    let mut rest: Vec<&str> =
        timeline.series().iter().map(|s| s.spec.name.as_str()).filter(|name| !shown.contains(name)).collect();
    rest.sort_unstable();
    rest.dedup();
    rest.truncate(MAX_OTHERS);
    rest.into_iter()
        .map(|name| Panel { folded: true, ..panel(name.to_owned(), vec![(name.to_owned(), String::new())]) })
        .collect()
}

/// How far a lane's figures can be trusted, as a word; nothing for exact ones.
pub(super) fn quality(q: Quality) -> &'static str {
    match q {
        Quality::Exact => "",
        Quality::Sampled => "sampled",
        Quality::Inferred => "inferred",
    }
}

/// Unit on an axis, and what a base unit is multiplied with: milliseconds and mebibytes read better
/// than nanoseconds and bytes.
pub(super) fn axis(unit: Unit) -> (&'static str, f64) {
    match unit {
        Unit::Count => ("", 1.0),
        Unit::PerSecond => ("/s", 1.0),
        Unit::Bytes => ("MiB", 1.0 / 1_048_576.0),
        Unit::BytesPerSecond => ("MiB/s", 1.0 / 1_048_576.0),
        Unit::Ns => ("ms", 1e-6),
        Unit::Ratio => ("%", 100.0),
        Unit::Cores => ("cores", 1.0),
    }
}
