//! How long a connection may keep us waiting for a head: briefly for the first one and for the rest of one that has
//! begun, a while between two requests.
//!
//! One timer for both, as hyper has it, would either cut off clients that pause between two requests or let a slow
//! head hold its connection for as long as an idle one. Over HTTP/2 many requests are answered at once, and a head is
//! timed beside them ([`heads`]).

pub mod heads;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::server::listen::patience::heads::Heads;

/// A connection that fails with [`io::ErrorKind::TimedOut`] when its client is silent for too long.
#[derive(Debug)]
pub struct Patience<S> {
    stream: S,
    stage: Stage,
    head_time: Duration,
    timer: Pin<Box<Sleep>>,
    /// The stage that the timer was set for, while one waits.
    timed: Option<u8>,
    /// Where HTTP/2 is spoken: whether a head has begun.
    heads: Option<Heads>,
}

/// Where a connection stands, shared with whoever answers its requests.
#[derive(Clone, Debug)]
pub struct Stage(Arc<Standing>);

/// The time for the first head of a connection, which begins when it is accepted: a handshake counts.
#[derive(Debug)]
pub struct FirstHead {
    stage: Stage,
    head_time: Duration,
    timer: Pin<Box<Sleep>>,
}

/// What a connection without a whole request is silent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// No byte of the next head has come.
    Idle,
    /// A head is due or has begun.
    Head,
}

#[derive(Debug)]
struct Standing {
    /// What it is silent in while no request is answered: [`IDLE`] or [`READING`].
    silence: AtomicU8,
    /// Requests being answered.
    answering: AtomicU32,
    /// How often it was found in this silence.
    rounds: AtomicU32,
}

/// A request whose head is complete and whose answer is not made yet.
#[derive(Debug)]
pub struct Answering(Stage);

impl Drop for Answering {
    fn drop(&mut self) {
        if self.0.0.answering.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.0.rounds.store(0, Ordering::Relaxed);
        }
    }
}

impl Stage {
    /// That of a connection whose first head is due.
    fn due() -> Stage {
        Stage(Arc::new(Standing {
            silence: AtomicU8::new(READING),
            answering: AtomicU32::new(0),
            rounds: AtomicU32::new(0),
        }))
    }

    /// That of a request beside others on its connection, which is never silent.
    pub fn of_request() -> Stage {
        let stage = Stage::due();
        stage.0.answering.store(1, Ordering::Relaxed);
        stage
    }

    /// A head is complete: until this is dropped the request's own deadline holds; what comes then is the next head.
    pub fn answering(&self) -> Answering {
        self.0.answering.fetch_add(1, Ordering::Relaxed);
        self.enter(IDLE);
        Answering(self.clone())
    }

    /// A handshake is done: the silence in which the head is due begins anew.
    pub fn shaken(&self) {
        self.enter(READING);
    }

    /// What the connection is silent in; none while a request is answered.
    pub fn silence(&self) -> Option<Silence> {
        match self.now() {
            IDLE => Some(Silence::Idle),
            READING => Some(Silence::Head),
            _ => None,
        }
    }

    /// Counts one more round in which the connection was found silent; gives in what and for how many rounds.
    pub fn one_more_round(&self) -> Option<(Silence, u32)> {
        self.silence().map(|silence| (silence, self.0.rounds.fetch_add(1, Ordering::Relaxed) + 1))
    }

    fn enter(&self, silence: u8) {
        self.0.silence.store(silence, Ordering::Relaxed);
        self.0.rounds.store(0, Ordering::Relaxed);
    }

    fn now(&self) -> u8 {
        if self.0.answering.load(Ordering::Relaxed) > 0 {
            return ANSWERING;
        }
        self.0.silence.load(Ordering::Relaxed)
    }
}

impl FirstHead {
    /// Begins now; each head may take `head_time`.
    pub fn begin(head_time: Duration) -> FirstHead {
        FirstHead { stage: Stage::due(), head_time, timer: Box::pin(sleep(head_time)) }
    }

    /// Where the connection stands.
    pub fn stage(&self) -> Stage {
        self.stage.clone()
    }

    /// Waits until its time is over.
    pub async fn over(&mut self) {
        self.timer.as_mut().await;
    }
}

impl<S> Patience<S> {
    /// A connection whose heads may take `head_time`: the first one from now on, each further one from its first byte.
    #[cfg(test)]
    pub fn new(stream: S, head_time: Duration) -> Patience<S> {
        Patience::with(stream, FirstHead::begin(head_time))
    }

    /// A connection whose first head is due.
    pub fn with(stream: S, due: FirstHead) -> Patience<S> {
        let FirstHead { stage, head_time, timer } = due;
        Patience { stream, stage, head_time, timer, timed: Some(READING), heads: None }
    }

    /// The same where HTTP/2 is spoken.
    pub fn over_http2(self) -> Patience<S> {
        Patience { heads: Some(Heads::default()), ..self }
    }

    /// Where the connection stands.
    pub fn stage(&self) -> Stage {
        self.stage.clone()
    }

    /// Fails once the client has been silent for longer than its stage allows.
    fn lose_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stage = self.awaited();
        if stage == ANSWERING && self.heads.is_none() {
            self.timed = None;
            return Poll::Pending;
        }
        loop {
            if self.timed != Some(stage) {
                let time = if stage == READING { self.head_time } else { IDLE_TIME };
                self.timer.set(sleep(time));
                self.timed = Some(stage);
            }
            ready!(self.timer.as_mut().poll(context));
            if stage != ANSWERING {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            // Over HTTP/2 a request may end without a byte, and nobody would read again to find the connection idle.
            self.timed = None;
        }
    }

    /// What is waited for: over HTTP/2 a head that has begun, also while other requests are answered.
    fn awaited(&self) -> u8 {
        match &self.heads {
            Some(heads) if heads.is_due() => READING,
            _ => self.stage.now(),
        }
    }

    /// Bytes have come; the first of a head begin its time.
    fn note_read(&mut self, bytes: &[u8]) {
        let Some(heads) = &mut self.heads else {
            if self.stage.now() == IDLE {
                self.stage.enter(READING);
                // The rest is over: if the request is answered before anything is waited for, the next one is new.
                self.timed = None;
            }
            return;
        };
        let was_due = heads.is_due();
        if heads.follow(bytes) {
            // Whatever is waited for now is something new.
            self.timed = None;
        }
        if was_due != heads.is_due() {
            self.stage.enter(if was_due { IDLE } else { READING });
        }
    }

    /// The rest begins with the last byte of the answer that the client took. It is timed from here: hyper does not
    /// read again before something wakes it.
    fn rest_after(&mut self, written: &Poll<io::Result<usize>>, context: &mut Context<'_>) {
        if written.is_ready() && self.stage.now() == IDLE {
            self.timer.set(sleep(IDLE_TIME));
            self.timed = Some(IDLE);
            // Only so that it wakes; whoever reads then sees that it is over.
            let _ = self.timer.as_mut().poll(context);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patience<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.lose_patience(context),
            read => {
                self.note_read(buffer.filled().get(before..).unwrap_or_default());
                read
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patience<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.rest_after(&written, context);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.rest_after(&written, context);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Between two requests: no byte of the next head has come.
const IDLE: u8 = 0;
/// A head is due or has begun.
const READING: u8 = 1;
/// A request is being answered.
const ANSWERING: u8 = 2;

/// Longer than balancers and client pools keep an unused connection (60 s is common): it is better that they close
/// it than that we do while a request is on its way.
const IDLE_TIME: Duration = Duration::from_secs(75);

#[cfg(test)]
mod tests;
