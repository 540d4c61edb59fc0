//! `shop-live`: a WebSocket, each exchange timed by the code itself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use goose::GooseError;
use goose::goose::GooseUser;
use goose::prelude::{Scenario, Transaction, TransactionError, TransactionResult, scenario, transaction};
use timeline::MonoNs;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::shopper::{self, Feed};
use super::wrong;

/// Label of the exchanges in goose's tables, where a method stands.
const LABEL: &str = "WS";
/// A transaction cannot see that the load ends, so nothing in it may wait for ever.
const PATIENCE: Duration = Duration::from_secs(5);

/// The journey.
///
/// # Errors
/// If goose takes the pause for none.
pub fn scenario() -> Result<Scenario, GooseError> {
    Ok(scenario!("shop-live")
        .set_wait_time(Duration::from_millis(200), Duration::from_millis(800))?
        .register_transaction(transaction!(open).set_name("open feed").set_on_start())
        .register_transaction(transaction!(say).set_name("say").set_weight(4)?)
        .register_transaction(transaction!(leave).set_name("leave feed").set_on_stop()))
}

async fn open(user: &mut GooseUser) -> TransactionResult {
    let mut url = user.base_url.join("ws").map_err(|e| Box::new(TransactionError::Url(e)))?;
    let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
    url.set_scheme(scheme).map_err(|()| wrong("the address has no WebSocket form"))?;
    let started = MonoNs::now();
    let opened = timeout(PATIENCE, tokio_tungstenite::connect_async(url.as_str())).await;
    let (feed, status) = match opened {
        Ok(Ok((feed, answer))) => (Some(feed), Some(answer.status().as_u16())),
        _ => (None, None),
    };
    record(user, "open", started, feed.is_some(), status).await?;
    let feed = feed.ok_or_else(|| wrong("the WebSocket was not opened"))?;
    shopper::of(user).feed = Some(Arc::new(Mutex::new(feed)));
    Ok(())
}

async fn say(user: &mut GooseUser) -> TransactionResult {
    let (feed, id) = {
        let visitor = user.weighted_users_index;
        let shopper = shopper::of(user);
        shopper.said += 1;
        let id = format!("{visitor}-{}", shopper.said);
        (shopper.feed.clone().ok_or_else(|| wrong("the WebSocket is not open"))?, id)
    };
    let started = MonoNs::now();
    let well = matches!(timeout(PATIENCE, exchange(&feed, &id)).await, Ok(true));
    record(user, "say", started, well, None).await?;
    if well { Ok(()) } else { Err(wrong("what was said did not come back")) }
}

/// Says something and reads until it comes back; what others say meanwhile passes by.
async fn exchange(feed: &Feed, id: &str) -> bool {
    let mut feed = feed.lock().await;
    let text = serde_json::json!({ "op": "say", "id": id, "text": "still there?" }).to_string();
    if feed.send(Message::text(text)).await.is_err() {
        return false;
    }
    while let Some(Ok(message)) = feed.next().await {
        let Message::Text(text) = message else { continue };
        let heard: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if heard["id"] == id {
            return true;
        }
    }
    false
}

async fn leave(user: &mut GooseUser) -> TransactionResult {
    let Some(feed) = shopper::of(user).feed.take() else { return Ok(()) };
    let started = MonoNs::now();
    let well = matches!(timeout(PATIENCE, goodbye(&feed)).await, Ok(true));
    record(user, "leave", started, well, None).await
}

/// The closing handshake.
async fn goodbye(feed: &Feed) -> bool {
    let mut feed = feed.lock().await;
    if feed.close(None).await.is_err() {
        return false;
    }
    while let Some(Ok(_)) = feed.next().await {}
    true
}

async fn record(
    user: &mut GooseUser,
    what: &str,
    started: MonoNs,
    well: bool,
    status: Option<u16>,
) -> TransactionResult {
    let took = MonoNs::now().since(started);
    user.record_custom_request_duration(LABEL, what, took, well, status, None).await
}
