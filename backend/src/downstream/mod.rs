//! Calling another service over HTTP, with a time limit, metered.
//!
//! Connections are kept and reused. Dropping a call's future closes its connection; what the service does with the
//! request then is its own matter.

mod retry;

use std::net::SocketAddr;
use std::time::Duration;

use agent::DownstreamMeter;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rand::RngExt;
use retry::{Budget, RETRIES};
use serde::Serialize;

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer in time.
    #[error("it does not answer")]
    TooSlow,
    /// An answer that is no success.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// No answer at all.
    #[error("{0}")]
    Broken(String),
}

/// A service that can be called.
pub struct Downstream {
    client: Client<HttpConnector, Body>,
    address: SocketAddr,
    bearer: String,
    meter: DownstreamMeter,
    patience: Duration,
    budget: Budget,
}

impl Downstream {
    /// At `address`; it wants `token`.
    pub fn new(address: SocketAddr, token: &str, meter: DownstreamMeter, patience: Duration) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            client,
            address,
            bearer: format!("Bearer {token}"),
            meter,
            patience,
            budget: Budget::default(),
        }
    }

    /// Posts as [`Self::post`] does, and again after a pause while the budget allows it. A service that has not
    /// answered in time is not asked again: the caller has waited long enough, and the service has enough to do.
    ///
    /// # Errors
    /// What the last try came to.
    pub async fn post_again(&self, path: &str, body: &impl Serialize) -> Result<(), CallError> {
        self.budget.earn();
        let mut retry = 0;
        loop {
            match self.post(path, body).await {
                Err(CallError::Status(_) | CallError::Broken(_))
                    if retry < RETRIES && self.budget.spend() =>
                {
                    let pause = retry::pause(retry, rand::rng().random());
                    tokio::time::sleep(pause).await;
                    self.meter.retried();
                    retry += 1;
                }
                done => return done,
            }
        }
    }

    /// Posts `body` to `path` and waits for a success.
    ///
    /// # Errors
    /// When there is none in time. It may have done its work all the same.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<(), CallError> {
        let broken = |e: &dyn std::fmt::Display| CallError::Broken(e.to_string());
        let body = serde_json::to_vec(body).map_err(|e| broken(&e))?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}{path}", self.address))
            .header(AUTHORIZATION, &self.bearer)
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(|e| broken(&e))?;
        let calling = self.meter.call();
        let answered = tokio::time::timeout(self.patience, self.client.request(request)).await;
        let answer = answered.map_err(|_| CallError::TooSlow)?.map_err(|e| broken(&e))?;
        if !answer.status().is_success() {
            return Err(CallError::Status(answer.status()));
        }
        calling.answered();
        Ok(())
    }
}
