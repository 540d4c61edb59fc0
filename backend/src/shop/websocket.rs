//! `GET /ws`, or `GET /ws?token=`: the live feed and a say, over one WebSocket.
//!
//! The client sends `{"op":"say","id":ID,"text":..}` and gets `{"op":"said","id":ID,"text":..,"at":MS}`, or
//! `{"op":"watch","product":N}` or `{"op":"follow"}` and gets one price or all of them from then on. One task per connection; its future is
//! what an idle one costs, so nothing large may live across an await in it.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use timeline::clock::unix_ms;

use super::Shop;
use super::answer::{Object, Query, Refusal};
use super::feed::{End, MAX_WATCHED, Membership, News};
use crate::faults::{Faults, slow_consumer};
use crate::store::PRODUCTS;

/// tungstenite takes a read buffer of 128 KiB for each connection unless told otherwise.
const READ_BUFFER: usize = 512;
/// Frames are written at once.
const WRITE_BUFFER: usize = 0;
/// What may wait to be written before a write fails: a few messages of the greatest size.
const MAX_WRITE_BUFFER: usize = 256 * 1024;
/// Longest message, bytes.
const MAX_MESSAGE: usize = 64 * 1024;
/// Longest `id`, bytes.
const MAX_ID: usize = 128;

#[derive(Deserialize)]
pub struct Ticket {
    /// The feed is open to everybody; a token that is given must be of a session.
    token: Option<String>,
}

pub async fn open(
    State(shop): State<Arc<Shop>>,
    Query(ticket): Query<Ticket>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let upgrade = upgrade.map_err(|e| Refusal::new(e.status(), e.body_text()))?;
    if let Some(token) = ticket.token {
        shop.sessions.find(&token).await?;
    }
    Ok(upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        // In a box: a future keeps what it is given once for each that passes it on, and this one is passed on thrice.
        .on_upgrade(move |socket| converse(Box::new(socket), shop)))
}

/// Until either side ends it.
async fn converse(mut socket: Box<WebSocket>, shop: Arc<Shop>) {
    let member = shop.feed.join();
    shop.websockets.add(1.0);
    let _open = Open(&shop);
    loop {
        let goes_on = tokio::select! {
            incoming = socket.recv() => match incoming {
                Some(Ok(Message::Text(text))) => {
                    send(&mut socket, &shop.faults, Message::Text(answer(&member, &text))).await
                }
                Some(Ok(Message::Binary(_))) => send(&mut socket, &shop.faults, Message::Text(error("send text"))).await,
                // tungstenite answers pings and the closing handshake itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_))) => true,
                Some(Err(e)) if is_too_long(&e) => {
                    // Boxed like news: it costs memory only when it comes to that.
                    let farewell = close(close_code::SIZE, "too long a message");
                    Box::pin(send(&mut socket, &shop.faults, farewell)).await;
                    false
                }
                Some(Err(_)) | None => false,
            },
            // Boxed, so that it costs memory only while there is news.
            () = member.woken() => Box::pin(pass_on(&mut socket, &shop.faults, &member)).await,
        };
        if !goes_on {
            return;
        }
    }
}

/// Sends what the feed has. False when the conversation is over.
async fn pass_on(socket: &mut WebSocket, faults: &Faults, member: &Membership) -> bool {
    while let Some(news) = member.news() {
        let (message, last) = match news {
            News::Message(text) => (Message::Text(text), false),
            News::End(End::Closing) => (close(close_code::AWAY, "the server ends"), true),
            News::End(End::TooSlow) => (close(close_code::POLICY, "too slow"), true),
        };
        let sent = tokio::select! {
            sent = send(socket, faults, message) => sent,
            // What is under way can only be broken off: the client takes no more of it.
            () = member.fell_behind() => false,
        };
        if !sent || last {
            return false;
        }
    }
    true
}

fn close(code: u16, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }))
}

/// Has the client sent a message that is longer than any may be? axum hides the type of its WebSockets' errors, which is
/// tungstenite's, so it is known by its text.
fn is_too_long(error: &axum::Error) -> bool {
    error.to_string().contains("Message too long")
}

/// False when the client is gone.
async fn send(socket: &mut WebSocket, faults: &Faults, message: Message) -> bool {
    matches!(slow_consumer::patiently(faults, socket.send(message)).await, Some(Ok(())))
}

/// Counts the connection out, however it ends.
struct Open<'a>(&'a Shop);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.websockets.add(-1.0);
    }
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
enum Said {
    Say { id: Value, text: String },
    Watch { product: u32 },
    Follow,
}

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
enum Answered {
    Said { id: Value, text: String, at: u64 },
    Watching { product: u32 },
    Following,
}

fn answer(member: &Membership, text: &str) -> Utf8Bytes {
    match understand(member, text) {
        Ok(answered) => serde_json::to_string(&answered).map_or_else(error, Utf8Bytes::from),
        Err(why) => error(why),
    }
}

fn understand(member: &Membership, text: &str) -> Result<Answered, String> {
    let Object(said): Object<Said> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    match said {
        Said::Say { id, text } => {
            let fits = match &id {
                Value::String(id) => id.len() <= MAX_ID,
                other => other.is_number(),
            };
            if !fits {
                return Err(format!("id must be a number or a string of at most {MAX_ID} bytes"));
            }
            Ok(Answered::Said { id, text, at: unix_ms() })
        }
        Said::Watch { product } if !(1..=PRODUCTS).contains(&product) => {
            Err("there is no such product".to_owned())
        }
        Said::Watch { product } if !member.watch(product) => {
            Err(format!("one connection watches at most {MAX_WATCHED} products"))
        }
        Said::Watch { product } => Ok(Answered::Watching { product }),
        Said::Follow => {
            member.follow();
            Ok(Answered::Following)
        }
    }
}

fn error(why: impl std::fmt::Display) -> Utf8Bytes {
    serde_json::json!({ "error": why.to_string() }).to_string().into()
}
