//! Those who follow the events: what they get, how many they may be, and how a stream ends.

use axum::Router;
use http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::task::yield_now;
use tokio::time::{advance, sleep};
use tower::ServiceExt;

use super::*;
use crate::domain::tier::Tier;
use crate::server::admin::admin_router;
use crate::server::admin::guard::Guard;
use crate::server::testing::{Desk, LIMITS, send};

struct Feed {
    desk: Desk,
    state: Arc<Admin>,
    router: Router,
}

fn feed() -> Feed {
    let desk = Desk::usual();
    let guard = Guard::new("127.0.0.1:9090".parse().unwrap(), None, Vec::new(), false);
    let state = Admin::new(desk.gateway.clone(), desk.policy.clone(), LIMITS, guard, None, None);
    tokio::spawn(publish(Arc::clone(&state)));
    Feed { desk, router: admin_router(Arc::clone(&state)), state }
}

impl Feed {
    async fn follow(&self) -> Following {
        let request = Request::builder().uri("/v1/events").header("host", "localhost").body(Body::empty());
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-store"),
            ("x-accel-buffering", "no"),
        ] {
            assert_eq!(response.headers()[name], value);
        }
        Following(response.into_body())
    }

    /// Waits until so many follow, those who left gone.
    async fn has_listeners(&self, count: usize) {
        for _ in 0..1_000 {
            if self.state.events.listeners() == count {
                return;
            }
            yield_now().await;
        }
        panic!("{} follow, not {count}", self.state.events.listeners());
    }

    async fn refused(&self) -> (u16, String) {
        send(&self.router, "GET", "/v1/events", &[("host", "localhost")], Body::empty()).await.code()
    }
}

struct Following(Body);

impl Following {
    /// The next frame; `None` at the end of the stream.
    async fn frame(&mut self) -> Option<String> {
        let frame = timeout(Duration::from_secs(60), self.0.frame()).await.expect("a frame or the end")?;
        Some(String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap())
    }

    /// The next status, with its id.
    async fn status(&mut self) -> (u64, Value) {
        let frame = self.frame().await.expect("an event");
        let rest = frame.strip_prefix("event: status\nid: ").unwrap_or_else(|| panic!("{frame}"));
        let (id, rest) = rest.split_once("\ndata: ").unwrap();
        (id.parse().unwrap(), serde_json::from_str(rest.strip_suffix("\n\n").unwrap()).unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn all_who_follow_get_one_and_the_same_status_each_second() {
    let feed = feed();
    feed.desk.sees_depth(Tier::P0, 7);
    let (mut one, mut other) = (feed.follow().await, feed.follow().await);
    for following in [&mut one, &mut other] {
        assert_eq!(following.frame().await.unwrap(), "retry: 2000\n\n");
    }
    let mut last = 0;
    for _ in 0..5 {
        let (one, other) = (one.status().await, other.status().await);
        assert!(one.0 > last, "{} after {last}", one.0);
        assert_eq!(one, other, "made once for both");
        assert_eq!(one.1["tiers"]["p0"]["depth"], 7);
        last = one.0;
    }
    assert!(last <= 6, "each status was made once, not once for each listener: {last}");
    let document = feed.desk.admin("GET", "/v1/status", "").await.json();
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&one.status().await.1), members(&document));
}

#[tokio::test(start_paused = true)]
async fn the_first_event_does_not_wait_for_the_next_second() {
    let feed = feed();
    let began = tokio::time::Instant::now();
    let mut following = feed.follow().await;
    following.frame().await;
    assert_eq!(following.status().await.1["event_listeners"], 1);
    assert!(began.elapsed() < Duration::from_millis(10));
    following.status().await;
    assert!(began.elapsed() <= PERIOD);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_take_events_is_dropped_with_a_last_word() {
    let feed = feed();
    let (mut quick, mut slow) = (feed.follow().await, feed.follow().await);
    quick.frame().await;
    let began = tokio::time::Instant::now();
    while feed.state.events.dropped() == 0 {
        quick.status().await;
        assert!(began.elapsed() <= SLOW_AFTER + 4 * PERIOD, "not dropped after {:?}", began.elapsed());
    }
    // The quick one goes on; the slow one finds what waited for it, and why there is no more.
    quick.status().await;
    assert_eq!(slow.frame().await.unwrap(), "retry: 2000\n\n");
    for _ in 0..ROOM {
        slow.status().await;
    }
    assert_eq!(slow.frame().await.unwrap(), "event: dropped\ndata: {\"reason\":\"slow\"}\n\n");
    assert_eq!(slow.frame().await, None);
    feed.has_listeners(1).await;
    assert_eq!(feed.state.events.dropped(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_takes_each_event_late_falls_behind_and_is_dropped() {
    let feed = feed();
    let mut slow = feed.follow().await;
    let mut taken = 0;
    let last = loop {
        let frame = slow.frame().await.expect("a last word");
        if frame.starts_with("event: dropped") {
            break frame;
        }
        taken += 1;
        assert!(taken < 60, "never dropped");
        sleep(SLOW_AFTER / 2).await;
    };
    assert!(last.contains("slow") && taken > ROOM, "{taken}: {last}");
}

#[tokio::test(start_paused = true)]
async fn only_so_many_may_follow_and_who_leaves_makes_room() {
    let feed = feed();
    let mut all = Vec::new();
    for _ in 0..MOST_LISTENERS {
        all.push(feed.follow().await);
    }
    assert_eq!(feed.refused().await, (503, "overloaded".to_owned()));
    assert_eq!(feed.state.events.listeners(), MOST_LISTENERS);
    all.pop();
    feed.has_listeners(MOST_LISTENERS - 1).await;
    feed.follow().await.frame().await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_drains_ends_every_stream_at_once() {
    let feed = feed();
    let (mut reading, mut idle) = (feed.follow().await, feed.follow().await);
    reading.frame().await;
    reading.status().await;
    let began = tokio::time::Instant::now();
    feed.desk.gateway.lifecycle.advance(Phase::Leaving);
    reading.status().await;
    feed.desk.gateway.lifecycle.advance(Phase::Draining);
    assert_eq!(reading.frame().await.unwrap(), "event: dropped\ndata: {\"reason\":\"draining\"}\n\n");
    assert_eq!(reading.frame().await, None);
    while idle.frame().await.is_some() {}
    assert!(began.elapsed() <= 2 * PERIOD, "{:?}", began.elapsed());
    assert_eq!(feed.refused().await, (503, "draining".to_owned()));
    assert_eq!(feed.desk.gateway.in_flight.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_served_nothing_is_made() {
    let feed = feed();
    advance(Duration::from_secs(30)).await;
    yield_now().await;
    let mut following = feed.follow().await;
    following.frame().await;
    assert_eq!(following.status().await.0, 1);
}

#[tokio::test]
async fn a_page_of_another_origin_may_not_follow() {
    let feed = feed();
    let foreign = [("host", "localhost"), ("origin", "http://evil.example")];
    let answer = send(&feed.router, "GET", "/v1/events", &foreign, Body::empty()).await;
    assert_eq!(answer.code(), (403, "origin_not_allowed".to_owned()));
    assert_eq!(feed.state.events.listeners(), 0);
    let put = send(&feed.router, "PUT", "/v1/events", &[("host", "localhost")], Body::empty()).await;
    assert_eq!(put.code(), (405, "method_not_allowed".to_owned()));
}
