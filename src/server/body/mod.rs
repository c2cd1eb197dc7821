//! Reading a request's body: frame by frame, under a limit, a memory budget and a deadline; what is coded is decoded
//! on the way, so that nobody above knows.

pub mod coding;
mod decoder;
#[cfg(test)]
mod tests;
mod wire;
mod zstd;

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use tokio::time::{timeout, timeout_at};

use crate::server::body::coding::Coding;
use crate::server::body::decoder::{Decoder, Fault};
use crate::server::budget::{BudgetUsedUp, Reservation};
use crate::server::limits::SizeLimit;

/// A body that has not been read to its end.
#[derive(Debug)]
pub struct Intake {
    source: Source,
    deadline: Instant,
    declared: Option<u64>,
    /// The client sends nothing before it is told to; reading tells it.
    waits_for_leave: bool,
    given_up: bool,
}

/// Where the bytes come from.
#[derive(Debug)]
enum Source {
    /// As they are on the wire.
    Plain(Body),
    /// Coded, and nothing read yet: a request that its head refuses costs no decoder.
    Coded { coding: Coding, body: Body, bound: SizeLimit },
    /// Out of a decoder.
    Decoding(Box<Decoder>),
    /// The decoder came to its end, good or bad.
    Ended(Body),
}

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is longer than it may be, on the wire or decoded.
    #[error("{0}")]
    TooLarge(SizeLimit),
    /// It had not come to its end by the deadline.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The client broke off, or the chunks are not well formed.
    #[error("the body breaks off or its chunks are not well formed")]
    Broken,
    /// It is not what its `Content-Encoding` says.
    #[error("the {0} body {1}")]
    Undecodable(Coding, Fault),
    /// There is no memory for it now.
    #[error("the memory for request bodies is used up")]
    Overloaded,
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

impl From<BudgetUsedUp> for BodyError {
    fn from(BudgetUsedUp: BudgetUsedUp) -> BodyError {
        BodyError::Overloaded
    }
}

impl Intake {
    /// The body of a request with this head, to be read as it is by the deadline.
    pub fn new(headers: &HeaderMap, body: Body, deadline: Instant) -> Intake {
        // hyper has checked the field: where it is there, it is one number.
        let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let waits_for_leave = headers.contains_key(EXPECT);
        Intake { source: Source::Plain(body), deadline, declared, waits_for_leave, given_up: false }
    }

    /// The same, to be decoded as its head says; on the wire too it is no longer than the bound. A head that names
    /// no coding known here must be refused before anything is read.
    #[must_use]
    pub fn decoding(mut self, headers: &HeaderMap, bound: SizeLimit) -> Intake {
        if let (Source::Plain(body), Ok(Some(coding))) = (&mut self.source, Coding::of(headers)) {
            self.source = Source::Coded { coding, body: mem::take(body), bound };
        }
        self
    }

    /// The length that the head declares: on the wire.
    pub const fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// Bytes that decoding the next chunk holds, besides what it gives.
    pub fn held(&self) -> u64 {
        match &self.source {
            Source::Plain(_) | Source::Ended(_) => 0,
            Source::Coded { coding, .. } => coding.least_held(),
            Source::Decoding(decoder) => decoder.held(),
        }
    }

    /// The next bytes, decoded; `None` at the end. Dropped before it is ready it loses none.
    ///
    /// # Errors
    /// The client was too slow or broke off, or the bytes are not what their coding says.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        self.waits_for_leave = false;
        if let Source::Coded { coding, body, bound } = &mut self.source {
            let decoder = Decoder::new(*coding, mem::take(body), *bound)?;
            self.source = Source::Decoding(Box::new(decoder));
        }
        let read = match &mut self.source {
            Source::Plain(body) => timeout_at(self.deadline.into(), next_data(body)).await,
            Source::Decoding(decoder) => timeout_at(self.deadline.into(), decoder.next()).await,
            Source::Coded { .. } | Source::Ended(_) => return Ok(None),
        };
        let read = read.unwrap_or(Err(BodyError::TooSlow));
        if let (Source::Decoding(decoder), Ok(None) | Err(_)) = (&mut self.source, &read) {
            self.source = Source::Ended(mem::take(decoder.body_mut()));
        }
        if matches!(read, Err(BodyError::TooSlow | BodyError::Broken)) {
            self.given_up = true;
        }
        read
    }

    /// The next bytes if they come within `patience`, else `None`: the client pauses.
    ///
    /// # Errors
    /// As [`Intake::chunk`].
    pub async fn chunk_within(&mut self, patience: Duration) -> Result<Option<Option<Bytes>>, BodyError> {
        timeout(patience, self.chunk()).await.map_or(Ok(None), |chunk| chunk.map(Some))
    }

    /// The whole body, within the bound. `held` grows as bytes arrive beyond what it holds already.
    ///
    /// # Errors
    /// The body is too long, too slow, broken, not what its coding says, or there is no memory for it.
    pub async fn whole(&mut self, bound: SizeLimit, held: &mut Reservation<'_>) -> Result<Bytes, BodyError> {
        let limit = bound.most();
        if self.declared.is_some_and(|declared| declared > limit) {
            return Err(BodyError::TooLarge(bound));
        }
        let plain = matches!(self.source, Source::Plain(_));
        let expected = self.declared.filter(|_| plain).unwrap_or(0);
        held.resize(expected + self.held())?;
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let mut length = length_of(&first);
        // Nearly always the whole body comes with the head: then its bytes are not copied.
        if plain && length == expected {
            return Ok(first);
        }
        let mut whole = BytesMut::with_capacity(usize::try_from(expected).unwrap_or(0).max(first.len()));
        let mut next = Some(first);
        while let Some(chunk) = next {
            if length > limit {
                return Err(BodyError::TooLarge(bound));
            }
            held.resize(length.max(expected) + self.held())?;
            whole.extend_from_slice(&chunk);
            next = self.chunk().await?;
            length += next.as_ref().map_or(0, length_of);
        }
        held.resize(length)?;
        Ok(whole.freeze())
    }

    /// The answer, once what is left of the body is out of its way as [`Intake::discard_rest`] does it; it says so
    /// where the connection ends with it.
    pub async fn answered(self, answer: Response) -> Response {
        let ends_connection = self.ends_connection();
        answered(ends_connection, self.source.into_body(), answer).await
    }

    /// Takes what is left of the body out of the way, so that the client can read the answer: a connection that
    /// is closed on unread bytes is reset, and the answer with it. Bounded: what does not come to its end soon
    /// is cut off.
    pub async fn discard_rest(self) {
        // A client that waits for leave to send has not sent, and one that was given up is not worth waiting for.
        if !self.ends_connection() {
            discard(self.source.into_body()).await;
        }
    }

    /// Whether nothing more of the body is read: no further request can follow it.
    const fn ends_connection(&self) -> bool {
        self.given_up || self.waits_for_leave
    }
}

/// As [`Intake::answered`], for a request that is refused whatever its body may be.
pub async fn answered_unread(headers: &HeaderMap, body: Body, answer: Response) -> Response {
    answered(headers.contains_key(EXPECT), body, answer).await
}

async fn answered(ends_connection: bool, body: Body, mut answer: Response) -> Response {
    if ends_connection {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    } else {
        discard(body).await;
    }
    answer
}

impl Source {
    /// What has not been read; a decoder is let go.
    fn into_body(self) -> Body {
        match self {
            Source::Plain(body) | Source::Coded { body, .. } | Source::Ended(body) => body,
            Source::Decoding(mut decoder) => mem::take(decoder.body_mut()),
        }
    }
}

/// The next bytes on the wire. Trailers carry nothing for us.
async fn next_data(body: &mut Body) -> Result<Option<Bytes>, BodyError> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

async fn discard(mut body: Body) {
    if body.is_end_stream() {
        return;
    }
    let ended =
        poll_fn(|context| Poll::Ready(matches!(poll_discard(&mut body, context, &mut 0), Poll::Ready(()))));
    if !ended.await {
        tokio::spawn(async move {
            let mut discarded = 0;
            let rest = poll_fn(|context| poll_discard(&mut body, context, &mut discarded));
            let _ = timeout(DISCARD_TIME, rest).await;
        });
    }
}

fn poll_discard(body: &mut Body, context: &mut Context<'_>, discarded: &mut usize) -> Poll<()> {
    while let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context) {
        let Some(Ok(frame)) = frame else { return Poll::Ready(()) };
        *discarded += frame.data_ref().map_or(0, Bytes::len);
        if *discarded > DISCARD_BYTES || body.is_end_stream() {
            return Poll::Ready(());
        }
    }
    Poll::Pending
}

fn length_of(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// How long the rest of a refused body is read for: enough for a client to notice the answer.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// How much of it: many clients send all they have before they read, and the largest batch is 16 MiB unless set
/// otherwise. None of it is held.
const DISCARD_BYTES: usize = 32 * 1024 * 1024;
