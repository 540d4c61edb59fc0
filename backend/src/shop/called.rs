//! E-mail and billing called by the checkout itself, while the customer waits.
//!
//! That is the wrong way: their time becomes the checkout's. The right one is the broker ([`crate::broker`]); which of them
//! is gone says [`Notify`](crate::settings::Notify).

use agent::Agent;

use crate::broker::Placed;
use crate::downstream::{CallError, Downstream};
use crate::wire::WorkerSettings;
use crate::worker::CALL_PATIENCE;

/// Both services.
pub struct CalledServices {
    email: Downstream,
    billing: Downstream,
}

impl CalledServices {
    /// Where the settings say.
    pub fn new(agent: &Agent, settings: &WorkerSettings) -> Self {
        let service =
            |name| Downstream::new(settings.services, &settings.token, agent.downstream(name), CALL_PATIENCE);
        Self { email: service("email"), billing: service("billing") }
    }

    /// Calls one after the other and waits for both. They know an order by its number, so a call that is repeated is
    /// done once.
    ///
    /// # Errors
    /// Which one has not answered well.
    pub async fn tell(&self, placed: &Placed) -> Result<(), (&'static str, CallError)> {
        self.email.post_again("/email", placed).await.map_err(|e| ("e-mail", e))?;
        self.billing.post_again("/billing", placed).await.map_err(|e| ("billing", e))
    }
}
