//! `GET /v1/events`: the document of `/v1/status` once a second, as server-sent events.
//!
//! Each status is serialised once for all listeners. One that does not take its events is dropped with a last word; so
//! are all when the gateway begins to drain. axum's `Sse` is not used: it copies each event for each listener and
//! cannot tell how many of them wait to be written.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName};
use hyper::body::Frame;
use tokio::select;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::info;

use crate::domain::code::Code;
use crate::domain::time::Moment;
use crate::runtime::lifecycle::{Lifecycle, Phase};
use crate::server::admin::{Admin, status};
use crate::server::listen::CutOff;
use crate::server::problem::Problem;

/// The events of one admin listener and all who follow them.
#[derive(Debug)]
pub struct Events {
    latest: Mutex<Latest>,
    sender: broadcast::Sender<Bytes>,
    places: Arc<Semaphore>,
    dropped: AtomicU64,
}

/// The last event made.
#[derive(Debug, Default)]
struct Latest {
    id: u64,
    made: Option<Moment>,
    event: Bytes,
}

impl Events {
    /// Nobody follows yet.
    pub fn new() -> Events {
        Events {
            latest: Mutex::default(),
            sender: broadcast::Sender::new(MOST_WAITING),
            places: Arc::new(Semaphore::new(MOST_LISTENERS)),
            dropped: AtomicU64::new(0),
        }
    }

    /// Those who follow now.
    pub fn listeners(&self) -> usize {
        MOST_LISTENERS - self.places.available_permits()
    }

    /// Those who were dropped because they were too slow, since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Makes the next event and hands it to all who follow.
    fn publish(&self, admin: &Admin) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.renew(admin);
        // Fails where the last listener has just left.
        let _ = self.sender.send(latest.event.clone());
    }

    /// The event of this second and all that come after it.
    fn follow(&self, admin: &Admin) -> (Bytes, broadcast::Receiver<Bytes>) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let now = admin.gateway.clock.now();
        if latest.made.is_none_or(|made| now.since(made) >= PERIOD) {
            latest.renew(admin);
        }
        // Under the lock, so that no event is missed and none comes twice.
        (latest.event.clone(), self.sender.subscribe())
    }
}

impl Default for Events {
    fn default() -> Events {
        Events::new()
    }
}

impl Latest {
    fn renew(&mut self, admin: &Admin) {
        self.id += 1;
        self.made = Some(admin.gateway.clock.now());
        let mut event = format!("event: status\nid: {}\ndata: ", self.id).into_bytes();
        event.extend(status::document(admin));
        event.extend(b"\n\n");
        self.event = event.into();
    }
}

/// Makes an event each second in which somebody follows; runs until dropped.
pub async fn publish(admin: Arc<Admin>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if admin.events.sender.receiver_count() > 0 {
            admin.events.publish(&admin);
        }
    }
}

/// Follows the events.
pub async fn show(State(admin): State<Arc<Admin>>) -> Response {
    let lifecycle = &admin.gateway.lifecycle;
    if lifecycle.phase() >= Phase::Draining {
        return Problem::draining().into_response();
    }
    let Ok(place) = Arc::clone(&admin.events.places).try_acquire_owned() else {
        let detail = format!("{MOST_LISTENERS} listeners follow the events, as many as may");
        return Problem::new(Code::Overloaded, detail).into_response();
    };
    let (first, events) = admin.events.follow(&admin);
    // Room for the events that wait, the retry line and the last word.
    let (out, frames) = mpsc::channel(ROOM + 2);
    let cut_off = CutOff::default();
    let listener = Listener { events, out, lifecycle: lifecycle.clone(), _place: place };
    tokio::spawn(listener.serve(first, Arc::clone(&admin), cut_off.clone()));
    let mut response = Response::new(Body::new(EventBody(frames)));
    response.extensions_mut().insert(cut_off);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// One who follows.
struct Listener {
    events: broadcast::Receiver<Bytes>,
    out: mpsc::Sender<Bytes>,
    lifecycle: Lifecycle,
    /// Free again when the listener is gone.
    _place: OwnedSemaphorePermit,
}

/// Why a stream of events ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The client has left.
    Gone,
    /// The gateway drains.
    Draining,
    /// The client does not take its events.
    Slow,
}

impl Listener {
    async fn serve(mut self, first: Bytes, admin: Arc<Admin>, cut_off: CutOff) {
        let last_word = match self.deliver(first).await {
            Ended::Gone => return,
            Ended::Draining => LAST_WORD_DRAINING,
            Ended::Slow => {
                admin.events.dropped.fetch_add(1, Ordering::Relaxed);
                info!("a listener does not take its events and is dropped");
                LAST_WORD_SLOW
            }
        };
        let (written, left) = oneshot::channel::<()>();
        let word = InFlight { bytes: Bytes::from_static(last_word), _end: written };
        // There is room; if the client has left it is dropped, and so is the wait below.
        let _ = self.out.try_send(Bytes::from_owner(word));
        let Listener { out, _place, .. } = self;
        drop(out);
        if timeout(LAST_WORD_TIME, left).await.is_err() {
            cut_off.now();
        }
    }

    /// Hands over events until the stream must end.
    async fn deliver(&mut self, first: Bytes) -> Ended {
        let room = Arc::new(Semaphore::new(ROOM));
        let draining = self.lifecycle.clone();
        let mut draining = std::pin::pin!(draining.reached(Phase::Draining));
        let _ = self.out.try_send(Bytes::from_static(RETRY));
        let mut next = first;
        loop {
            let place = select! {
                biased;
                () = &mut draining => return Ended::Draining,
                () = self.out.closed() => return Ended::Gone,
                place = timeout(SLOW_AFTER, Arc::clone(&room).acquire_owned()) => place,
            };
            let Ok(Ok(place)) = place else { return Ended::Slow };
            // Fails where the client has left, which the next look tells.
            let _ = self.out.try_send(Bytes::from_owner(InFlight { bytes: next, _end: place }));
            next = select! {
                biased;
                () = &mut draining => return Ended::Draining,
                () = self.out.closed() => return Ended::Gone,
                event = self.events.recv() => match event {
                    Ok(event) => event,
                    Err(broadcast::error::RecvError::Lagged(_)) => return Ended::Slow,
                    Err(broadcast::error::RecvError::Closed) => return Ended::Draining,
                },
            };
        }
    }
}

/// Bytes on their way to one client; when they are written to its socket they are dropped, and with them what marks
/// their end.
struct InFlight<T> {
    bytes: Bytes,
    _end: T,
}

impl<T> AsRef<[u8]> for InFlight<T> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The frames of one answer, as they come.
struct EventBody(mpsc::Receiver<Bytes>);

impl hyper::body::Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Time between two events.
const PERIOD: Duration = Duration::from_secs(1);

/// Dashboards and scripts at once; each holds a connection and a task.
pub const MOST_LISTENERS: usize = 32;

/// Events that may wait to be written to one client's socket. The kernel's buffers come on top.
const ROOM: usize = 2;

/// Events kept for those who are behind; shared by all.
const MOST_WAITING: usize = 8;

/// A client whose socket took nothing for so long is not reading.
const SLOW_AFTER: Duration = Duration::from_secs(5);

/// For so long the last word may wait in front of a socket before it is closed as it is.
const LAST_WORD_TIME: Duration = Duration::from_secs(5);

/// Browsers come back after this many milliseconds when a stream ends.
const RETRY: &[u8] = b"retry: 2000\n\n";

const LAST_WORD_SLOW: &[u8] = b"event: dropped\ndata: {\"reason\":\"slow\"}\n\n";
const LAST_WORD_DRAINING: &[u8] = b"event: dropped\ndata: {\"reason\":\"draining\"}\n\n";

/// Tells nginx and its like to pass each event on at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

#[cfg(test)]
mod tests;
