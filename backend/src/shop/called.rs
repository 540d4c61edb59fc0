//! E-mail and billing, called while the customer waits.
//!
//! For a checkout that is the wrong way: their time becomes its own. The right one is the broker ([`crate::broker`]); which of
//! them is gone says [`Notify`](crate::settings::Notify). Who wants to see an invoice has to wait for it.

use std::sync::Arc;

use agent::Agent;
use axum::body::Bytes;

use crate::broker::Placed;
use crate::downstream::{CallError, Downstream};
use crate::faults::Faults;
use crate::wire::WorkerSettings;
use crate::worker::CALL_PATIENCE;

/// Both services.
pub struct CalledServices {
    email: Downstream,
    billing: Downstream,
}

impl CalledServices {
    /// Where the settings say.
    pub fn new(agent: &Agent, settings: &WorkerSettings, faults: &Arc<Faults>) -> Self {
        let service = |name| {
            let (meter, faults) = (agent.downstream(name), faults.clone());
            Downstream::new(settings.services, &settings.token, meter, CALL_PATIENCE, faults)
        };
        Self { email: service("email"), billing: service("billing") }
    }

    /// Calls one after the other and waits for both. They know an order by its number, so a call that is repeated is
    /// done once.
    ///
    /// # Errors
    /// Which one has not answered well.
    pub async fn tell(&self, placed: &Placed) -> Result<(), (&'static str, CallError)> {
        self.email.post_again("/email", placed).await.map_err(|e| ("e-mail", e))?;
        self.billing.post_again("/billing", placed).await.map(drop).map_err(|e| ("billing", e))
    }

    /// The invoice of an order.
    ///
    /// # Errors
    /// When billing does not make it in time.
    pub async fn invoice(&self, placed: &Placed) -> Result<Bytes, CallError> {
        self.billing.post_again("/invoice", placed).await
    }
}
