//! WebSocket steps: the handshake, a message and its answer, the closing handshake.

use std::future::poll_fn;
use std::task::Poll;

use scenarios::plan::Close;
use serde_json::Value;

use super::socket::Socket;
use super::{BRAKE_NS, Flow, GOODBYE_NS, Session, pushed, stream_of};
use crate::cookies::path_of;
use crate::http::answer::{Answer, Want};
use crate::kind::ErrorKind;
use crate::program::{Await, Awaited, Connect, Payload, Send};
use crate::random::Masks;
use crate::scan::{self, Finder, contains};
use crate::shard::Offer;
use crate::template::{self, Values};
use crate::ws::decode::Message;
use crate::ws::{handshake, opcode};

impl Session {
    /// Opens the WebSocket. Without it nothing that follows makes sense: if it fails the session ends.
    pub(super) async fn connect(&mut self, connect: &Connect) -> Flow {
        if self.socket.is_some() {
            self.say_goodbye().await;
            // How long the other side takes to close is nothing that the generator is late by.
            self.due = self.due.max(self.shard.now());
        }
        let started = self.begin(self.shard.program.timeout_ns);
        let opened = self.handshake(connect).await;
        let finished = self.shard.now();
        let outcome = opened.map(|socket| self.socket = Some(Box::new(socket)));
        self.finish(connect.id, started, finished, outcome);
        if self.state.unreached {
            self.rest(BRAKE_NS).await;
        }
        if outcome.is_ok() { Flow::On } else { Flow::End }
    }

    async fn handshake(&mut self, connect: &Connect) -> Result<Socket, ErrorKind> {
        let key = {
            let (a, b) = (self.stream.bits(), self.stream.bits());
            handshake::key(((u128::from(a) << 64) | u128::from(b)).to_be_bytes())
        };
        let masks = Masks::of(self.stream.bits());
        let mut wire = Vec::new();
        connect.head.write(&mut wire, &mut self.values());
        wire.extend_from_slice(key.as_bytes());
        wire.extend_from_slice(b"\r\n\r\n");
        if let Some(rare) = &self.rare {
            rare.cookies.borrow().put_into(&mut wire);
        }
        let mut connection = self.dial(Offer::Http1).await?;
        let mut rest = &wire[..];
        let cookies = self.shard.program.cookies;
        let mut answer = Answer::to_upgrade(Want { cookies, fields: &connect.fields, ..Want::default() });
        // Frames that came in one portion with the answer.
        let mut early = Vec::new();
        poll_fn(|cx| {
            loop {
                if self.shard.seats.expired(self.seat) {
                    return Poll::Ready(Err(ErrorKind::Timeout));
                }
                if !rest.is_empty() {
                    std::task::ready!(connection.poll_writable(cx))?;
                    rest = connection.write_now(rest)?;
                    continue;
                }
                let read = connection.poll_portion(cx, &self.shard.input, |portion| {
                    if portion.is_empty() {
                        return answer.closed();
                    }
                    let taken = answer.feed(portion)?;
                    early.extend_from_slice(&portion[taken..]);
                    Ok(())
                });
                std::task::ready!(read)??;
                // The status is enough to refuse: the body of an error page is not waited for.
                if answer.done() || !matches!(answer.status(), 0 | 101) {
                    return Poll::Ready(Ok(()));
                }
            }
        })
        .await?;
        let agreed =
            handshake::check(&answer, &key, connect.subprotocol.as_deref(), connect.deflate.as_ref())?;
        if !answer.cookies().is_empty() {
            self.keep_cookies(path_of(&wire), &answer);
        }
        Ok(Socket::new(connection, connect, agreed.as_ref(), early, masks, &self.shard))
    }

    /// Sends a message and awaits its answer if it has one; or awaits a message alone, and then one that came before will do.
    pub(super) async fn send(&mut self, send: &Send) -> Flow {
        let limit = send.wait.as_ref().map_or(self.shard.program.timeout_ns, |w| w.within_ns);
        let started = self.begin(limit);
        let said = self.say(send).await;
        let finished = self.shard.now();
        let lost = self.socket.as_ref().is_none_or(|s| s.ended().is_some());
        if lost && send.wait.as_ref().is_some_and(|w| matches!(w.what, Awaited::Closed)) {
            // As it should be; had there been none before, it would be an error.
            let outcome = if self.socket.take().is_some() { Ok(()) } else { said.map(drop) };
            self.finish(send.id, started, finished, outcome);
            return if outcome.is_ok() { Flow::On } else { Flow::End };
        }
        let broken = said.is_err();
        let outcome = said.and_then(|text| {
            let judging = send.wait.as_ref().and_then(|w| w.judging.as_deref());
            self.judge_message(send.id, judging, text.as_deref(), finished.saturating_sub(started))
        });
        self.finish(send.id, started, finished, outcome);
        if broken && lost {
            // The step's error says it all: it is not counted a second time.
            self.socket = None;
            return Flow::End;
        }
        Flow::On
    }

    /// Gives back the awaited message's text where it is looked into.
    async fn say(&mut self, send: &Send) -> Result<Option<Box<str>>, ErrorKind> {
        let now = self.shard.now();
        if let Some(socket) = &mut self.socket {
            socket.ping(now);
        }
        let speaks = !matches!(send.payload, Payload::Nothing);
        if speaks && (send.wait.is_some() || self.socket.as_ref().is_some_and(|s| !s.has_room())) {
            self.clear_way().await?;
        }
        let expected = self.write_message(send)?;
        let Self { shard, seat, socket, rare, .. } = self;
        let Some(socket) = socket else { return Err(ErrorKind::WsClosed) };
        let mut text = None;
        let mut is_it = |message: &Message<'_>| {
            let Some(wait) = &send.wait else { return false };
            let matches = answers(wait, &expected, message);
            if let (true, Some(_), Message::Text(found)) = (matches, &wait.judging, message) {
                text = Some(Box::from(*found));
            }
            matches
        };
        let answered = match &send.wait {
            None => socket.flushed(),
            Some(_) => !speaks && socket.take_kept(&mut is_it),
        };
        if answered {
            return Ok(text);
        }
        poll_fn(|cx| {
            if let Some(events) = stream_of(rare) {
                events.read_on(cx, shard);
            }
            let _ = pushed::poll_due(shard, *seat, Some(&mut **socket), None);
            match socket.poll_messages(cx, shard, &mut is_it) {
                Poll::Ready(true) => Poll::Ready(Ok(())),
                Poll::Ready(false) => Poll::Ready(Err(socket.ended().unwrap_or(ErrorKind::WsClosed))),
                Poll::Pending if send.wait.is_none() && socket.flushed() => Poll::Ready(Ok(())),
                Poll::Pending => shard.seats.pending(*seat),
            }
        })
        .await?;
        Ok(text)
    }

    /// Before a message is written: reads what has come until now, for that is no answer to it, and waits until there is room.
    async fn clear_way(&mut self) -> Result<(), ErrorKind> {
        let Self { shard, seat, socket, rare, .. } = self;
        poll_fn(|cx| {
            pushed::read(cx, shard, *seat, socket, rare);
            // One that has ended says so when it is written to.
            let full = socket.as_ref().is_some_and(|s| s.ended().is_none() && !s.has_room());
            let behind = socket.as_ref().is_some_and(|s| s.is_behind());
            if !full && !behind {
                return Poll::Ready(Ok(()));
            }
            shard.seats.pending(*seat)
        })
        .await
    }

    /// Writes the message; gives back what its answer must hold.
    fn write_message(&mut self, send: &Send) -> Result<String, ErrorKind> {
        let Self { shard, socket, vars, rows, origin, stream, rare, .. } = self;
        let Some(socket) = socket else { return Err(ErrorKind::WsClosed) };
        let output = &mut *shard.output.borrow_mut();
        let feeders = &shard.program.feeders;
        let signers = &shard.program.signers;
        let tokens = rare.as_ref().map(|rare| &*rare.tokens);
        let mut values =
            Values { vars, feeders, rows, number: origin.number, stream, sent: None, signers, tokens };
        output.inner.clear();
        match &send.payload {
            Payload::Text(text) => {
                text.write(&mut output.inner, &mut values);
                socket.send(&mut output.wire, opcode::TEXT, &output.inner)?;
            }
            Payload::Binary(bytes) => socket.send(&mut output.wire, opcode::BINARY, bytes)?,
            Payload::Nothing => {}
        }
        let Some(wait) = &send.wait else { return Ok(String::new()) };
        output.wire.clear();
        let sent;
        if let Some(text) = wait.what.text() {
            if wait.uses_sent {
                sent = scan::fields(&output.inner, |name| text.mentions_sent(name));
                values.sent = sent.as_ref();
            }
            text.write(&mut output.wire, &mut values);
        }
        Ok(String::from_utf8_lossy(&output.wire).into_owned())
    }

    /// Closes the WebSocket with `code` as a step of its own.
    pub(super) async fn close(&mut self, id: usize, code: u16) -> Flow {
        let started = self.begin(self.shard.program.timeout_ns);
        let outcome = if self.socket.is_some() { self.closing(code).await } else { Err(ErrorKind::WsClosed) };
        self.socket = None;
        let finished = self.shard.now();
        self.finish(id, started, finished, outcome);
        Flow::On
    }

    /// Closes the WebSocket without a step, waiting a moment for the other side to agree.
    pub(super) async fn say_goodbye(&mut self) {
        self.shard.seats.limit(self.seat, self.shard.now() + GOODBYE_NS);
        let _ = self.closing(Close::NORMAL).await;
        self.shard.seats.unlimit(self.seat);
        self.socket = None;
    }

    async fn closing(&mut self, code: u16) -> Result<(), ErrorKind> {
        let Self { shard, seat, socket, .. } = self;
        let Some(socket) = socket else { return Ok(()) };
        socket.say_close(code);
        poll_fn(|cx| {
            if socket.poll_messages(cx, shard, &mut |_| false).is_pending() {
                return shard.seats.pending(*seat);
            }
            Poll::Ready(match socket.ended() {
                // Some servers just hang up after a close frame.
                None | Some(ErrorKind::WsClosed | ErrorKind::ClosedEarly) => Ok(()),
                Some(kind) => Err(kind),
            })
        })
        .await
    }
}

/// Is `message` the one waited for?
fn answers(wait: &Await, expected: &str, message: &Message<'_>) -> bool {
    match message {
        Message::Binary(_) => matches!(wait.what, Awaited::Binary),
        Message::Text(text) => answers_text(&wait.what, expected, text),
        _ => false,
    }
}

/// Is this text the one waited for?
pub(super) fn answers_text(what: &Awaited, expected: &str, text: &str) -> bool {
    match what {
        Awaited::Binary | Awaited::Closed => false,
        Awaited::Contains(_) => contains(text.as_bytes(), expected.as_bytes()),
        Awaited::Regex(regex) => regex.is_match(text.as_bytes()),
        Awaited::JsonAny(path) => {
            serde_json::from_str::<Value>(text).is_ok_and(|m| !path.query(&m).is_empty())
        }
        Awaited::JsonEquals(path, _) => equals(path, expected, text),
    }
}

fn equals(path: &Finder, expected: &str, text: &str) -> bool {
    // Parsing every pushed message would cost more than all the rest: most are told apart by not even holding
    // the value. One with escapes may hold it in another spelling.
    let told_apart = !contains(text.as_bytes(), expected.as_bytes()) && !text.contains('\\');
    if told_apart && has_one_spelling(expected) {
        return false;
    }
    path.first(text).is_some_and(|v| template::as_text(&v) == expected)
}

/// Is this the only way, escapes aside, in which JSON spells such a value? Arrays and objects may hold spaces,
/// and `1e2` is `100.0`.
fn has_one_spelling(expected: &str) -> bool {
    let whole = expected.strip_prefix('-').unwrap_or(expected).bytes().all(|b| b.is_ascii_digit());
    !expected.starts_with(['{', '[']) && (whole || expected.parse::<f64>().is_err())
}

#[cfg(test)]
mod tests {
    use serde_json_path::JsonPath;

    use super::*;

    #[test]
    fn a_value_is_found_in_each_of_its_spellings() {
        let path = Finder::new(JsonPath::parse("$.v").unwrap());
        for (expected, text, wanted) in [
            ("x y", r#"{"v": "x y"}"#, true),
            ("x y", r#"{"v": "x"}"#, false),
            ("\u{e4}", r#"{"v": "\u00e4"}"#, true),
            ("7", r#"{"v": 7}"#, true),
            ("7", r#"{"v": 8}"#, false),
            ("-7", r#"{"v": "-7"}"#, true),
            ("true", r#"{"v": true}"#, true),
            ("1.5", r#"{"v": 1.50}"#, true),
            ("1.5", r#"{"v": 15e-1}"#, true),
            ("100.0", r#"{"v": 1e2}"#, true),
            ("100.0", r#"{"v": 1e3}"#, false),
            (r#"{"a":[1,2]}"#, r#"{"v": {"a": [1, 2]}}"#, true),
            ("[1,2]", r#"{"v": [ 1,2 ]}"#, true),
            ("[1,2]", r#"{"v": [1, 3]}"#, false),
        ] {
            assert_eq!(equals(&path, expected, text), wanted, "{expected} in {text}");
        }
    }
}
