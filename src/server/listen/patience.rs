//! How long a connection may keep us waiting for a head: briefly for the first one and for the rest of one that has
//! begun, a while between two requests.
//!
//! One timer for both, as hyper has it, would either cut off clients that pause between two requests or let a slow
//! head hold its connection for as long as an idle one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A connection that fails with [`io::ErrorKind::TimedOut`] when its client is silent for too long.
#[derive(Debug)]
pub struct Patience<S> {
    stream: S,
    stage: Stage,
    head_time: Duration,
    timer: Pin<Box<Sleep>>,
    /// The stage that the timer was set for, while one waits.
    timed: Option<u8>,
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
    stage: AtomicU8,
    /// How often it was found in this stage.
    rounds: AtomicU32,
}

impl Stage {
    /// A head is complete: from here on the request's own deadline holds.
    pub fn answering(&self) {
        self.enter(ANSWERING);
    }

    /// A handshake is done: the silence in which the head is due begins anew.
    pub fn shaken(&self) {
        self.enter(READING);
    }

    /// The answer is made: what comes next is the next head.
    pub fn answered(&self) {
        self.enter(IDLE);
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

    fn enter(&self, stage: u8) {
        self.0.stage.store(stage, Ordering::Relaxed);
        self.0.rounds.store(0, Ordering::Relaxed);
    }

    fn now(&self) -> u8 {
        self.0.stage.load(Ordering::Relaxed)
    }
}

impl FirstHead {
    /// Begins now; each head may take `head_time`.
    pub fn begin(head_time: Duration) -> FirstHead {
        let standing = Standing { stage: AtomicU8::new(READING), rounds: AtomicU32::new(0) };
        FirstHead { stage: Stage(Arc::new(standing)), head_time, timer: Box::pin(sleep(head_time)) }
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
        Patience { stream, stage, head_time, timer, timed: Some(READING) }
    }

    /// Where the connection stands.
    pub fn stage(&self) -> Stage {
        self.stage.clone()
    }

    /// Fails once the client has been silent for longer than its stage allows.
    fn lose_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stage = self.stage.now();
        if stage == ANSWERING {
            self.timed = None;
            return Poll::Pending;
        }
        if self.timed != Some(stage) {
            let time = if stage == READING { self.head_time } else { IDLE_TIME };
            self.timer.set(sleep(time));
            self.timed = Some(stage);
        }
        ready!(self.timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
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
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.lose_patience(context),
            read => {
                if self.stage.now() == IDLE {
                    self.stage.enter(READING);
                    // The rest is over: if the request is answered before anything is waited for, the next one is new.
                    self.timed = None;
                }
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
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    const HEAD_TIME: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_head_that_has_begun_must_end_in_its_time() {
        let (mut client, server) = duplex(64);
        let mut connection = Patience::new(server, HEAD_TIME);
        client.write_all(b"POST /v1").await.unwrap();
        let mut buffer = [0; 64];
        assert_eq!(connection.read(&mut buffer).await.unwrap(), 8);
        let began = Instant::now();
        assert_eq!(connection.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn who_connects_and_says_nothing_is_not_waited_for_long() {
        let (_client, server) = duplex(64);
        let began = Instant::now();
        assert!(Patience::new(server, HEAD_TIME).read(&mut [0; 1]).await.is_err());
        assert_eq!(began.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn drops_of_a_head_do_not_prolong_its_time() {
        let (mut client, server) = duplex(64);
        let mut connection = Patience::new(server, HEAD_TIME);
        let began = Instant::now();
        let dripping = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(2)).await;
            }
        });
        let mut buffer = [0; 1];
        while connection.read(&mut buffer).await.is_ok() {}
        assert_eq!(began.elapsed().as_secs(), 5);
        drop(connection);
        dripping.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_may_rest_between_two_requests_and_a_request_may_take_its_own_time() {
        let (mut client, server) = duplex(64);
        let mut connection = Patience::new(server, HEAD_TIME);
        let stage = connection.stage();
        let mut buffer = [0; 4];
        for _ in 0..2 {
            client.write_all(b"head").await.unwrap();
            connection.read_exact(&mut buffer).await.unwrap();
            stage.answering();
            let answering =
                tokio::time::timeout(Duration::from_secs(600), connection.read(&mut buffer)).await;
            assert!(answering.is_err(), "a request is not the head's business");
            stage.answered();
            let resting = tokio::time::timeout(Duration::from_secs(70), connection.read(&mut buffer)).await;
            assert!(resting.is_err(), "an idle connection stays");
        }
        assert_eq!(connection.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn each_request_begins_a_new_rest() {
        let (mut client, server) = duplex(64);
        let mut connection = Patience::new(server, HEAD_TIME);
        let stage = connection.stage();
        let mut buffer = [0; 4];
        for round in 0..4 {
            client.write_all(b"head").await.unwrap();
            connection.read_exact(&mut buffer).await.unwrap();
            // At once: nothing is read meanwhile.
            stage.answering();
            stage.answered();
            let resting = tokio::time::timeout(Duration::from_secs(50), connection.read(&mut buffer)).await;
            assert!(resting.is_err(), "cut off in round {round}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_long_answer_slowly_is_not_resting() {
        let (mut client, server) = duplex(4);
        let mut connection = Patience::new(server, HEAD_TIME);
        let stage = connection.stage();
        let mut buffer = [0; 4];
        client.write_all(b"head").await.unwrap();
        connection.read_exact(&mut buffer).await.unwrap();
        stage.answering();
        stage.answered();
        for part in 0..4 {
            connection.write_all(b"part").await.unwrap();
            let sending = tokio::time::timeout(Duration::from_secs(50), connection.read(&mut buffer)).await;
            assert!(sending.is_err(), "cut off after part {part}");
            client.read_exact(&mut buffer).await.unwrap();
        }
        assert_eq!(connection.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_though_nobody_reads_after_the_answer() {
        let (mut client, server) = duplex(64);
        let mut connection = Patience::new(server, HEAD_TIME);
        let stage = connection.stage();
        let mut buffer = [0; 4];
        client.write_all(b"head").await.unwrap();
        connection.read_exact(&mut buffer).await.unwrap();
        stage.answering();
        stage.answered();
        let mut answered = false;
        let served = poll_fn(|context| {
            if !std::mem::replace(&mut answered, true) {
                assert!(Pin::new(&mut connection).poll_write(context, b"answer").is_ready());
                return Poll::Pending;
            }
            Pin::new(&mut connection).poll_read(context, &mut ReadBuf::new(&mut buffer))
        });
        let ended = tokio::time::timeout(Duration::from_secs(100), served).await.expect("it is woken");
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
