//! Calling another service over HTTP, with a time limit, metered.
//!
//! Connections are kept and reused. Dropping a call's future closes its connection; what the service does with the
//! request then is its own matter.

pub mod retry;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agent::DownstreamMeter;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use retry::Budget;
use serde::Serialize;
use timeline::fault::FaultKind;

use crate::faults::{Faults, retry_storm, whole};

/// No answer of a service is longer.
const MAX_ANSWER: usize = 256 * 1024;

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
    faults: Arc<Faults>,
}

impl Downstream {
    /// At `address`; it wants `token`.
    pub fn new(
        address: SocketAddr,
        token: &str,
        meter: DownstreamMeter,
        patience: Duration,
        faults: Arc<Faults>,
    ) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            client,
            address,
            bearer: format!("Bearer {token}"),
            meter,
            patience,
            budget: Budget::default(),
            faults,
        }
    }

    /// Posts as [`Self::post`] does, and again when it came to nothing: after a pause and as long as the budget allows,
    /// unless the fault `retry-storm` is on.
    ///
    /// # Errors
    /// What the last try came to.
    pub async fn post_again(&self, path: &str, body: &impl Serialize) -> Result<Bytes, CallError> {
        let call = || self.post(path, body);
        let switch = &self.faults[FaultKind::RetryStorm];
        match switch.order() {
            Some(order) => retry_storm::at_once(switch, whole(&order, "tries"), &self.meter, call).await,
            None => self.budget.spaced(&self.meter, call).await,
        }
    }

    /// Posts `body` to `path` and waits for a success; gives what came with it.
    ///
    /// # Errors
    /// When there is none in time. It may have done its work all the same.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<Bytes, CallError> {
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
        let answer = async {
            let answer = self.client.request(request).await.map_err(|e| broken(&e))?;
            let status = answer.status();
            // Read in any case, so that the connection can be used again.
            let text = to_bytes(Body::new(answer.into_body()), MAX_ANSWER).await.map_err(|e| broken(&e))?;
            if status.is_success() { Ok(text) } else { Err(CallError::Status(status)) }
        };
        let text = tokio::time::timeout(self.patience, answer).await.unwrap_or(Err(CallError::TooSlow))?;
        calling.answered();
        Ok(text)
    }
}
