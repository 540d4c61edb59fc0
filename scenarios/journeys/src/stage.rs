//! The stage: what all visitors of a worker share.
//!
//! Owns the one client (a client for each user is what makes goose's users dear; there is one for each address that is
//! connected from), goose's settings and the way that its figures come back.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use goose::GooseError;
use goose::config::GooseConfiguration;
use goose::goose::GooseUser;
use goose::metrics::GooseMetric;
use goose::prelude::Scenario;
use thiserror::Error;

use crate::registry::scenario;
use crate::{Seen, Walk};

/// An idle connection is kept for so long: longer than people pause.
const KEEP: Duration = Duration::from_secs(90);

/// Why journeys cannot be walked.
#[derive(Debug, Error)]
pub enum BadStage {
    /// There is no such journey.
    #[error("there is no journey called {0:?}")]
    Unknown(String),
    /// The address makes no sense to the client.
    #[error("journeys cannot go to {url}: {why}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The client cannot be made.
    #[error("the client of the journeys cannot be made: {0}")]
    Client(#[from] reqwest::Error),
    /// goose refuses.
    #[error("goose refuses the journeys: {0}")]
    Goose(#[from] GooseError),
}

/// What holds for all visitors of a worker.
#[derive(Debug, Clone, Copy)]
pub struct StageOptions<'a> {
    /// Where they go: `http://host:port/prefix/`.
    pub url: &'a str,
    /// The address of that host.
    pub address: SocketAddr,
    /// Local addresses to connect from, each visitor from one of them in turn; empty: the system chooses.
    pub sources: &'a [IpAddr],
    /// Do they ask for compressed answers (gzip)?
    pub compression: bool,
    /// The run's seed.
    pub seed: u64,
}

/// What all visitors of a worker share.
pub struct Stage {
    base: reqwest::Url,
    /// One for each source; at least one.
    clients: Vec<reqwest::Client>,
    seed: u64,
    configuration: GooseConfiguration,
    scenarios: Vec<(String, Arc<Scenario>)>,
    to: flume::Sender<GooseMetric>,
    from: flume::Receiver<GooseMetric>,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Stage {
    /// For visitors on these journeys.
    ///
    /// # Errors
    /// [`BadStage`].
    pub fn new<'a>(
        options: StageOptions<'_>,
        journeys: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, BadStage> {
        let base = reqwest::Url::parse(options.url)
            .map_err(|e| BadStage::Address { url: options.url.to_owned(), why: e.to_string() })?;
        let clients = match options.sources {
            [] => vec![client(&base, &options, None)?],
            sources => sources
                .iter()
                .map(|source| client(&base, &options, Some(*source)))
                .collect::<Result<_, _>>()?,
        };
        let mut scenarios = Vec::new();
        for name in journeys {
            if scenarios.iter().all(|(n, _)| n != name) {
                let code = scenario(name)?.ok_or_else(|| BadStage::Unknown(name.to_owned()))?;
                scenarios.push((name.to_owned(), Arc::new(code)));
            }
        }
        // Not bounded by a number: who reads it is the very thread that fills it, and goose blocks where a channel is
        // full. It is emptied after each step of a visitor's task, so it holds what one such step records.
        let (to, from) = flume::unbounded();
        let configuration = GooseConfiguration::parse_args_default(&["--quiet"])?;
        Ok(Self { base, clients, seed: options.seed, configuration, scenarios, to, from })
    }

    /// A visitor with this number, unique over all workers, who has done nothing yet.
    ///
    /// # Errors
    /// [`BadStage`].
    pub fn visitor(self: &Arc<Self>, journey: &str, number: u64) -> Result<Walk, BadStage> {
        let scenario = self
            .scenarios
            .iter()
            .find(|(n, _)| n == journey)
            .map(|(_, s)| Arc::clone(s))
            .ok_or_else(|| BadStage::Unknown(journey.to_owned()))?;
        let client = &self.clients[(number % self.clients.len() as u64) as usize];
        // What goose calls the hash of the load test is the same for all its users, and nothing else is done with it.
        let mut user = GooseUser::new(
            0,
            Arc::clone(&scenario.name),
            self.base.clone(),
            &self.configuration,
            self.seed,
            Some(client.clone()),
        )?;
        user.is_throttled = false;
        user.metrics_channel = Some(self.to.clone());
        user.weighted_users_index = number as usize;
        Ok(Walk::new(Arc::clone(self), scenario, user))
    }

    /// Everything that goose has recorded since the last call.
    pub(crate) fn drain(&self, seen: &mut dyn FnMut(Seen)) {
        while let Ok(metric) = self.from.try_recv() {
            Seen::of(metric).into_iter().for_each(&mut *seen);
        }
    }
}

/// A client that connects from `source`.
fn client(
    base: &reqwest::Url,
    options: &StageOptions<'_>,
    source: Option<IpAddr>,
) -> Result<reqwest::Client, reqwest::Error> {
    let mut client = reqwest::Client::builder()
        .user_agent(concat!("dyno/", env!("CARGO_PKG_VERSION"), " goose"))
        .no_proxy()
        .local_address(source)
        .pool_idle_timeout(KEEP);
    if !options.compression {
        // goose's own features of reqwest have it ask for gzip.
        client = client.no_gzip();
    }
    if let Some(host) = base.host_str() {
        client = client.resolve(host, options.address);
    }
    client.build()
}
