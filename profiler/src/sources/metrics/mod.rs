//! The metrics source: any page in the text formats of Prometheus and OpenMetrics.
//!
//! Owns when the page is read and what is said of it. Its grammar is in `page` and `line`, known names in `dialects` (matched by
//! `rules`), what becomes of values in `scrape` and `buckets`, whether one process answers in `several`. A page is read again and again as
//! often as its server bears it.

mod buckets;
mod dialects;
pub(super) mod line;
mod own;
mod page;
#[cfg(test)]
mod pages_test;
pub(super) mod rules;
pub(super) mod scrape;
mod several;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use timeline::histogram::Sparse;
use timeline::metric::Mapping;
use timeline::text::clean;
use timeline::{LaneId, LaneSpec, MonoNs};

use super::age::Age;
use super::fetch::{self, FetchError, WORDS};
use super::naming;
use super::patience::patiently;
use super::troubles::Troubles;
use super::{About, Agreement, AttachError, Attached, Crew, Shared, Sink, Source, SourceEvent};
pub(super) use own::Own;
use scrape::Scrape;

/// Name of the source.
const NAME: &str = "metrics";
/// Longest page, MiB: 50,000 series.
const MAX_PAGE_MIB: u64 = 8;
/// Where a service has such a page by custom: most libraries, those that are mounted as a whole under that path, and Spring.
const BY_CUSTOM: [&str; 3] = ["/metrics", "/metrics/", "/actuator/prometheus"];
/// Both text formats; the older one is what every library has tested most.
const ACCEPT: &str = "text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.5, */*;q=0.1";
/// The page is read at most so often: as often as an agent ticks.
const LEAST_PERIOD: Duration = Duration::from_millis(100);
/// ... and at least so often, however slow it is.
const LONGEST_PERIOD: Duration = Duration::from_secs(2);
/// Share of the time that its server may spend on answering us: two in a hundred. All of an answer's time counts as its work.
const COST_SHARE: u32 = 50;
/// What is said of a page that several processes answer.
const IN_TURN: &str = "the page is answered by several processes in turn: figures of one after those of \
    another say nothing, and none are told from here on; give each process an address of its own, or all of \
    them one page (a multiprocess folder)";

/// Why a page is no use.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum MetricsError {
    /// The address is none that we ask.
    #[error("`{0}` is not an address of the form http://HOST:PORT/PATH")]
    BadAddress(String),
    /// Its address holds a user or a password.
    #[error("its address holds a user or a password, and a page is read without: leave them out")]
    Credentials,
    /// No answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Something else than metrics.
    #[error("the answer is not a page of metrics: line {line}: {why}")]
    NotMetrics {
        /// Number of the first bad line, from 1.
        line: u64,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Attaches the page at `url` (`http://HOST:PORT/PATH`).
///
/// Reads it before it returns, so a wrong address is known at once; later failures are told to the sink, and
/// reading goes on. `mappings` say of further metrics which lanes they fill. A page without a single known name attaches, too: some appear only under load. With `beside`, another source
/// reads the same process's heap and pauses better; those of the page are left out, because instances add up, and compared.
///
/// # Errors
/// [`AttachError::Metrics`]: nobody answers there, or not with metrics.
pub fn attach(
    url: &str,
    beside: Option<Agreement>,
    mappings: &[Mapping],
    sink: Box<dyn Sink>,
) -> Result<Attached, AttachError> {
    let failed = |why| AttachError::Metrics { url: shown(url), why };
    let mut sink = Shared::new(sink);
    let mut metrics = Metrics::new(url, beside, mappings, &mut sink).map_err(failed)?;
    let late = MetricsError::Fetch(fetch::LATE);
    patiently(&late, || metrics.read(&mut sink)).map_err(failed)?;
    // What is said here is not new at the first turn.
    drop(metrics.scrape.found_more());
    metrics.say_what_is_told(&mut sink);
    let (crew, said) = (Crew::default(), metrics.said.clone());
    crew.run(metrics, sink);
    Ok(Attached::new(said, crew))
}

/// Looks for a page at `base` (`http://HOST:PORT`), where services have theirs by custom. Each place is asked once, and none any more after one
/// that does not answer. Gives the address of the first page that has something on it which fills a lane.
pub fn look_for(base: &str, mappings: &[Mapping]) -> Option<String> {
    for path in BY_CUSTOM {
        let url = format!("{base}{path}");
        let mut metrics = Metrics::new(&url, None, mappings, &mut Nowhere).ok()?;
        match metrics.read(&mut Nowhere) {
            Ok(()) if metrics.scrape.knows_any() => return Some(url),
            Err(MetricsError::Fetch(FetchError::Unreachable(_) | FetchError::TimedOut(_))) => return None,
            _ => {}
        }
    }
    None
}

/// Takes what a page says that is only looked at.
struct Nowhere;

impl Sink for Nowhere {
    fn declare(&mut self, _: LaneSpec) -> Option<LaneId> {
        None
    }

    fn sample(&mut self, _: LaneId, _: MonoNs, _: f64) {}

    fn histogram(&mut self, _: LaneId, _: MonoNs, _: MonoNs, _: Sparse) {}

    fn event(&mut self, _: SourceEvent) {}

    fn note(&mut self, _: &str, _: &str) {}
}

/// An address without what may be secret in it.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, rest)) => clean(&format!("{scheme}://{rest}"), WORDS),
        None => clean(url, WORDS),
    }
}

struct Metrics {
    url: String,
    instance: String,
    http: ureq::Agent,
    scrape: Scrape,
    age: Age,
    /// When the page was last read.
    newest: Option<MonoNs>,
    attached: MonoNs,
    period: Duration,
    troubles: Troubles,
    said_refused: usize,
    /// What was said of it last.
    said: About,
}

impl Metrics {
    fn new(
        url: &str,
        beside: Option<Agreement>,
        mappings: &[Mapping],
        sink: &mut dyn Sink,
    ) -> Result<Self, MetricsError> {
        let authority =
            url.strip_prefix("http://").and_then(|r| r.split(['/', '?', '#']).next()).unwrap_or("");
        if authority.contains('@') {
            return Err(MetricsError::Credentials);
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        if authority.is_empty() || !authority.chars().all(plain) || url.contains(char::is_whitespace) {
            return Err(MetricsError::BadAddress(shown(url)));
        }
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
        let path =
            url.split(['?', '#']).next().and_then(|u| u.split_once(authority)).map_or("", |(_, path)| path);
        let instance = naming::server(NAME, host, &clean(port, 60), path, sink);
        Ok(Self {
            url: url.to_owned(),
            http: fetch::client(),
            scrape: Scrape::new(NAME, &instance, beside, Arc::new(Own::new(mappings))),
            age: Age::declare(NAME, &instance, sink),
            instance,
            newest: None,
            attached: MonoNs::now(),
            period: LEAST_PERIOD,
            troubles: Troubles::new(NAME),
            said_refused: 0,
            said: About::default(),
        })
    }

    fn about(&self) -> String {
        let found = self.scrape.found().unwrap_or_else(|| "no known names yet".to_owned());
        format!("metrics at {} as {}: {found}", shown(&self.url), self.instance)
    }

    /// Reads once and hands over.
    fn read(&mut self, sink: &mut dyn Sink) -> Result<(), MetricsError> {
        let fetched = fetch::get(&self.http, &self.url, &[("Accept", ACCEPT)], MAX_PAGE_MIB)?;
        let took = MonoNs::now().since(fetched.sent);
        self.period = (took * COST_SHARE).clamp(LEAST_PERIOD, LONGEST_PERIOD);
        self.scrape.begin();
        page::read(&String::from_utf8_lossy(&fetched.body), &mut self.scrape)?;
        // Values are as old as the page, which was made before its first byte came.
        self.scrape.end(self.newest, fetched.received, sink);
        self.newest = Some(fetched.received);
        Ok(())
    }

    fn say_what_is_told(&self, sink: &mut dyn Sink) {
        let about = self.about();
        sink.note(NAME, &about);
        self.said.set(about);
    }

    fn say_what_is_new(&mut self, sink: &mut dyn Sink) {
        if self.scrape.found_more().is_some() {
            self.say_what_is_told(sink);
        }
        if self.scrape.several() {
            self.troubles.say(&self.instance, &IN_TURN, sink);
        }
        if self.scrape.refused.len() > self.said_refused {
            self.said_refused = self.scrape.refused.len();
            let reasons: Vec<&str> = self.scrape.refused.keys().copied().collect();
            sink.note(NAME, &format!("{}: not taken: {}", self.instance, reasons.join("; ")));
        }
    }
}

impl Source for Metrics {
    fn name(&self) -> &str {
        &self.instance
    }

    fn period(&self) -> Duration {
        if self.troubles.lasting() { LONGEST_PERIOD } else { self.period }
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        let read = self.read(sink);
        self.age.tell(self.newest.unwrap_or(self.attached), MonoNs::now(), sink);
        match read {
            Ok(()) => {
                self.say_what_is_new(sink);
                self.troubles.over(&self.instance, sink);
            }
            Err(e) => {
                self.scrape.interrupted();
                let state = if let MetricsError::Fetch(e) = &e { e.state() } else { "failing" };
                self.troubles.began(&self.instance, state, &e, sink);
            }
        }
    }
}
