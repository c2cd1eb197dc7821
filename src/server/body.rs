//! Reading a request's body: frame by frame, under a limit, a memory budget and a deadline.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt;
use tokio::time::{timeout, timeout_at};

use crate::server::budget::{BudgetUsedUp, Reservation};

/// A body that has not been read to its end.
#[derive(Debug)]
pub struct Intake {
    body: Body,
    deadline: Instant,
    declared: Option<u64>,
    waits_for_leave: bool,
    given_up: bool,
}

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is longer than the limit.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// It had not come to its end by the deadline.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The client broke off, or the chunks are not well formed.
    #[error("the body breaks off or its chunks are not well formed")]
    Broken,
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
    /// The body of a request with this head, to be read by the deadline.
    pub fn new(headers: &HeaderMap, body: Body, deadline: Instant) -> Intake {
        // hyper has checked the field: where it is there, it is one number.
        let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let waits_for_leave = headers.contains_key(EXPECT);
        Intake { body, deadline, declared, waits_for_leave, given_up: false }
    }

    /// The length that the head declares.
    pub const fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// The client was too slow or broke off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let frame = match timeout_at(self.deadline.into(), self.body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(_))) => return Err(self.give_up(BodyError::Broken)),
                Ok(None) => return Ok(None),
                Err(_) => return Err(self.give_up(BodyError::TooSlow)),
            };
            // Trailers carry nothing for us.
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// The next bytes if they come within `patience`, else `None`: the client pauses.
    ///
    /// # Errors
    /// As [`Intake::chunk`].
    pub async fn chunk_within(&mut self, patience: Duration) -> Result<Option<Option<Bytes>>, BodyError> {
        timeout(patience, self.chunk()).await.map_or(Ok(None), |chunk| chunk.map(Some))
    }

    /// The whole body of at most `limit` bytes. `held` grows as bytes arrive beyond what it holds already.
    ///
    /// # Errors
    /// The body is too long, too slow, broken, or there is no memory for it.
    pub async fn whole(&mut self, limit: u64, held: &mut Reservation<'_>) -> Result<Bytes, BodyError> {
        if self.declared.is_some_and(|declared| declared > limit) {
            return Err(BodyError::TooLarge { limit });
        }
        let declared = self.declared.unwrap_or(0);
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let mut length = length_of(&first);
        // Nearly always the whole body comes with the head: then its bytes are not copied.
        if length == declared {
            return Ok(first);
        }
        let mut whole = BytesMut::with_capacity(usize::try_from(declared).unwrap_or(0).max(first.len()));
        let mut next = Some(first);
        while let Some(chunk) = next {
            if length > limit {
                return Err(BodyError::TooLarge { limit });
            }
            held.resize(length.max(declared))?;
            whole.extend_from_slice(&chunk);
            next = self.chunk().await?;
            length += next.as_ref().map_or(0, length_of);
        }
        Ok(whole.freeze())
    }

    /// Takes what is left of the body out of the way, so that the client can read the answer: a connection that
    /// is closed on unread bytes is reset, and the answer with it. Bounded: what does not come to its end soon
    /// is cut off.
    pub async fn discard_rest(mut self) {
        // A client that waits for leave to send has not sent, and one that was given up is not worth waiting for.
        if self.given_up || self.waits_for_leave || self.body.is_end_stream() {
            return;
        }
        let ended =
            poll_fn(|context| Poll::Ready(matches!(self.poll_discard(context, &mut 0), Poll::Ready(()))))
                .await;
        if !ended {
            tokio::spawn(async move {
                let mut discarded = 0;
                let _ = timeout(DISCARD_TIME, poll_fn(|context| self.poll_discard(context, &mut discarded)))
                    .await;
            });
        }
    }

    fn poll_discard(&mut self, context: &mut Context<'_>, discarded: &mut usize) -> Poll<()> {
        while let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let Some(Ok(frame)) = frame else { return Poll::Ready(()) };
            *discarded += frame.data_ref().map_or(0, Bytes::len);
            if *discarded > DISCARD_BYTES || self.body.is_end_stream() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    fn give_up(&mut self, error: BodyError) -> BodyError {
        self.given_up = true;
        error
    }
}

fn length_of(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// How long the rest of a refused body is read for: enough for a client to notice the answer.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// How much of it: many clients send all they have before they read, and the largest batch is 16 MiB unless set
/// otherwise. None of it is held.
const DISCARD_BYTES: usize = 32 * 1024 * 1024;
