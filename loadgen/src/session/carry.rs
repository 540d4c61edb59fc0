//! HTTP steps over HTTP/2: the same request and the same answer, on a stream of a link.
//!
//! Owns the way from a lease to the end of an answer, and the one transparent retry of HTTP/2: what the server says it
//! has not looked at. What it may have done is asked for again only where that may be done twice, as over HTTP/1.1. A step that
//! fails ends its stream, not the link. Boxed: sessions of HTTP/1.1 pay nothing for it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::Response;
use scenarios::plan::HttpVersion;

use super::follow::{Ask, within_leave};
use super::upload::{PORTION, Sending};
use super::{Session, pushed};
use crate::connection::Connection;
use crate::figures;
use crate::http::answer::Answer;
use crate::http2::head;
use crate::http2::hub::{Hub, Lease, Opening, Place};
use crate::http2::link::{Failure, Link};
use crate::kind::ErrorKind;
use crate::shard::Offer;
use crate::tls;
use crate::turn::give_way;

/// What became of a request.
#[derive(Debug)]
pub(super) enum Carried<'p> {
    /// It was answered.
    Answer(Answer<'p>),
    /// The server has chosen HTTP/1.1.
    Http1 {
        /// Was the session's connection opened just now?
        fresh: bool,
    },
}

/// What of an answer is awaited.
#[derive(Debug)]
enum Awaited {
    Head(ResponseFuture),
    Body(RecvStream),
}

impl Session {
    /// One request and its answer over HTTP/2, unless the server has chosen HTTP/1.1.
    pub(super) async fn carry<'p>(&mut self, ask: &Ask<'p>) -> Result<Carried<'p>, ErrorKind> {
        if self.http.is_some() {
            return Ok(Carried::Http1 { fresh: false });
        }
        let hub = self.hub();
        let mut retried = false;
        loop {
            let (lease, reused) = match self.place(&hub).await? {
                Place::Stream(lease) => (lease, true),
                Place::Http1 => return Ok(Carried::Http1 { fresh: false }),
                Place::Open(opening) => match self.open_link(opening).await? {
                    Some(lease) => (lease, false),
                    None => return Ok(Carried::Http1 { fresh: true }),
                },
            };
            let mut answer = Answer::new(ask.request.want());
            let Err(failure) = self.converse(ask, &mut answer, &lease).await else {
                if !answer.cookies().is_empty() {
                    self.take_cookies(ask, &answer);
                }
                return Ok(Carried::Answer(answer));
            };
            let closed = matches!(failure.kind, ErrorKind::Reset | ErrorKind::ClosedEarly);
            let lost = reused && closed && ask.is_repeatable();
            if retried || answer.touched() || !(failure.untouched || lost) {
                return Err(ask.kind_of(failure.kind, &answer, &self.shard.figures));
            }
            retried = true;
            // The same request again: its random parts too.
            self.stream = ask.before.clone();
            figures::add(&self.shard.figures.retried, 1);
        }
    }

    /// Where this session's links are.
    pub(super) fn hub(&mut self) -> Rc<Hub> {
        if let Some(hub) = self.rare.as_ref().and_then(|rare| rare.hub.as_ref()) {
            return Rc::clone(hub);
        }
        if self.origin.pooled {
            return self.shard.pooled_links();
        }
        Rc::clone(self.rare.get_or_insert_default().hub.insert(Hub::new(false)))
    }

    /// A place for a request; there is none as long as another request opens a link for both.
    async fn place(&self, hub: &Rc<Hub>) -> Result<Place, ErrorKind> {
        let mut place = pin!(hub.place());
        poll_fn(|cx| {
            if self.shard.seats.expired(self.seat) {
                return Poll::Ready(Err(ErrorKind::ConnectTimeout));
            }
            place.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    /// Opens a link; none if the server chose HTTP/1.1, whose connection is then the session's.
    async fn open_link(&mut self, opening: Opening) -> Result<Option<Lease>, ErrorKind> {
        let connection = self.dial(Offer::Chosen).await?;
        if !self.speaks_h2(&connection)? {
            opening.plain();
            self.http = Some(connection);
            return Ok(None);
        }
        let mut opened = pin!(Link::open(connection, |driver| self.shard.drive(driver)));
        let link = poll_fn(|cx| {
            if self.shard.seats.expired(self.seat) {
                return Poll::Ready(Err(ErrorKind::Timeout));
            }
            opened.as_mut().poll(cx)
        });
        Ok(Some(opening.done(link.await?)))
    }

    fn speaks_h2(&self, connection: &Connection) -> Result<bool, ErrorKind> {
        let program = &self.shard.program;
        // In plaintext there is nobody to ask.
        let speaks = !program.url.tls || connection.protocol() == Some(tls::H2);
        if !speaks && program.http == HttpVersion::Http2 {
            return Err(ErrorKind::NoH2);
        }
        Ok(speaks)
    }

    /// Sends the request and reads its answer, on one stream.
    async fn converse(&mut self, ask: &Ask<'_>, answer: &mut Answer<'_>, link: &Link) -> Result<(), Failure> {
        let shard = Rc::clone(&self.shard);
        let (mut upload, mut wire) = (None, Vec::new());
        let (request, body) = if let Some(whole) = ask.upload() {
            upload = Some(self.begin_upload(ask, whole, &mut wire)?);
            let request = head::of_http1(&wire, shard.program.url.tls).ok_or(ErrorKind::Other)?;
            (request, Bytes::new())
        } else {
            let output = &mut *shard.output.borrow_mut();
            self.compose(ask, output);
            let request = head::of_http1(&output.wire, shard.program.url.tls).ok_or(ErrorKind::Other)?;
            (request, Bytes::copy_from_slice(&output.inner))
        };
        let (response, mut sending) = link.send(request, body.is_empty() && upload.is_none())?;
        let mut awaited = Awaited::Head(response);
        if ask.request.expects && upload.is_some() {
            if !self.await_leave(&mut awaited, answer, link).await? {
                upload = None;
            }
        } else if ask.expects() && !body.is_empty() {
            if self.await_leave(&mut awaited, answer, link).await? {
                send(&mut sending, body, link)?;
            }
        } else if !body.is_empty() {
            send(&mut sending, body, link)?;
        }
        let Self { shard, seat, socket, rare, .. } = self;
        poll_fn(|cx| {
            if let Some(rest) = &mut upload
                && pump(&mut sending, rest, link, cx).is_ready()
            {
                upload = None;
            }
            if let Poll::Ready(read) = poll_answer(&mut awaited, answer, link, cx) {
                return Poll::Ready(read);
            }
            pushed::read(cx, shard, *seat, socket, rare);
            shard.seats.pending(*seat).map_err(Failure::from)
        })
        .await
    }

    /// Waits for leave to send the body; says whether it is to go out. An answer that comes instead forbids it.
    async fn await_leave(
        &self,
        awaited: &mut Awaited,
        answer: &mut Answer<'_>,
        link: &Link,
    ) -> Result<bool, Failure> {
        within_leave(&self.shard, self.seat, true, |cx| {
            while let Awaited::Head(response) = awaited {
                match ready!(poll_head(response, answer, link, cx))? {
                    Some(head) => *awaited = take_head(head, answer)?,
                    None if answer.continued() => return Poll::Ready(Ok(true)),
                    // Any other interim answer leaves it open.
                    None => {}
                }
            }
            Poll::Ready(Ok(false))
        })
        .await
    }
}

/// Hands the body over; h2 sends it as the windows allow.
fn send(sending: &mut SendStream<Bytes>, body: Bytes, link: &Link) -> Result<(), Failure> {
    send_part(sending, body, true, link)
}

fn send_part(sending: &mut SendStream<Bytes>, part: Bytes, last: bool, link: &Link) -> Result<(), Failure> {
    // A stream that was reset meanwhile is told of by its answer.
    match sending.send_data(part, last) {
        Err(e) if e.is_reset() || e.is_go_away() || e.is_io() => Err(link.failure(&e)),
        _ => Ok(()),
    }
}

/// Sends what the windows allow of a body; ready when it is through, or the stream is over, which its answer then tells.
fn pump(sending: &mut SendStream<Bytes>, body: &mut Sending, link: &Link, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        sending.reserve_capacity(PORTION);
        // A body without bytes needs no room.
        let room = if body.is_empty() {
            0
        } else {
            match ready!(sending.poll_capacity(cx)) {
                // Taken by another stream meanwhile: the others get their turn.
                Some(Ok(0)) => {
                    give_way(cx);
                    return Poll::Pending;
                }
                Some(Ok(room)) => room,
                Some(Err(_)) | None => return Poll::Ready(()),
            }
        };
        let data = Bytes::from(body.next(room));
        if send_part(sending, data, body.ended(), link).is_err() || body.ended() {
            return Poll::Ready(());
        }
    }
}

/// Reads what is there of an answer; ready when it is whole.
fn poll_answer(
    awaited: &mut Awaited,
    answer: &mut Answer<'_>,
    link: &Link,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Failure>> {
    loop {
        match awaited {
            Awaited::Head(response) => {
                if let Some(head) = ready!(poll_head(response, answer, link, cx))? {
                    *awaited = take_head(head, answer)?;
                }
            }
            Awaited::Body(body) => match ready!(body.poll_data(cx)) {
                Some(Ok(data)) => {
                    link.taken();
                    answer.take_data(&data)?;
                    // An error means that the stream is over, which is told next.
                    let _ = body.flow_control().release_capacity(data.len());
                }
                // A reset behind the end, of who wants no more of the request (RFC 9113, 8.1), is none of these: h2 tells of the
                // end alone. One in front of it has cut the answer off, whatever its reason.
                Some(Err(e)) => return Poll::Ready(Err(link.failure(&e))),
                None => {
                    // Trailers are read and passed over, as those of chunks are.
                    ready!(body.poll_trailers(cx)).map_err(|e| link.failure(&e))?;
                    answer.end();
                    return Poll::Ready(Ok(()));
                }
            },
        }
    }
}

/// Waits for the head, or an interim one (none), which is counted.
fn poll_head(
    response: &mut ResponseFuture,
    answer: &mut Answer<'_>,
    link: &Link,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Response<RecvStream>>, Failure>> {
    if let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
        let interim = interim.map_err(|e| link.failure(&e))?;
        answer.take_interim(interim.status().as_u16())?;
        return Poll::Ready(Ok(None));
    }
    let head = ready!(Pin::new(response).poll(cx)).map_err(|e| link.failure(&e))?;
    link.taken();
    Poll::Ready(Ok(Some(head)))
}

fn take_head(head: Response<RecvStream>, answer: &mut Answer<'_>) -> Result<Awaited, Failure> {
    let fields = || head.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    answer.take_head(head.status().as_u16(), fields)?;
    Ok(Awaited::Body(head.into_body()))
}
