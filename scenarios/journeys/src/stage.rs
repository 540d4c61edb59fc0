//! The stage: what all visitors of a worker share.
//!
//! Owns the one client (a client for each user is what makes goose's users dear), goose's settings and the way that
//! its figures come back.

use std::net::SocketAddr;
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

/// What all visitors of a worker share.
pub struct Stage {
    base: reqwest::Url,
    client: reqwest::Client,
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
    /// For visitors of `url` (`http://host:port/prefix/`), whose host is at `address`, on these journeys.
    ///
    /// # Errors
    /// [`BadStage`].
    pub fn new<'a>(
        url: &str,
        address: SocketAddr,
        journeys: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, BadStage> {
        let base = reqwest::Url::parse(url)
            .map_err(|e| BadStage::Address { url: url.to_owned(), why: e.to_string() })?;
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("dyno/", env!("CARGO_PKG_VERSION"), " goose"))
            .no_proxy()
            .pool_idle_timeout(KEEP);
        if let Some(host) = base.host_str() {
            client = client.resolve(host, address);
        }
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
        Ok(Self { base, client: client.build()?, configuration, scenarios, to, from })
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
        let mut user = GooseUser::new(
            0,
            Arc::clone(&scenario.name),
            self.base.clone(),
            &self.configuration,
            0,
            Some(self.client.clone()),
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
