//! `GET /v1/events`: the status as a stream, for those who read it and those who do not.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::gateway::{Gateway, Setup};
use crate::support::policy::Policy;
use crate::support::poll::until;

#[tokio::test]
async fn who_follows_gets_the_status_each_second_and_so_does_another() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    gateway.accept("p1", "{}").await;
    let mut one = Following::connect(gateway.admin.address(), None).await;
    let asked = Instant::now();
    let first = one.status().await;
    assert!(asked.elapsed() < Duration::from_millis(900), "the first event comes at once");
    let head = one.text.split("\r\n\r\n").next().unwrap().to_lowercase();
    for field in [
        "http/1.1 200",
        "content-type: text/event-stream",
        "cache-control: no-store",
        "x-accel-buffering: no",
    ] {
        assert!(head.contains(field), "{head}");
    }
    assert!(one.text.contains("retry: 2000\n"), "{}", one.text);
    let mut other = Following::connect(gateway.admin.address(), None).await;
    other.status().await;
    let mut last = first.0;
    for _ in 0..3 {
        let (id, status) = one.status().await;
        assert!(id > last, "{id} after {last}");
        last = id;
        assert_eq!(status["event_listeners"], 2, "{status}");
        while other.status().await.0 < id {}
        let tier = &status["tiers"]["p1"];
        assert_eq!((&tier["depth"], &tier["signal"]), (&Value::from(1), &Value::from("fresh")), "{status}");
    }
    assert!(asked.elapsed() >= Duration::from_millis(1_900), "once a second: {:?}", asked.elapsed());
    let plain = gateway.status().await;
    let members = |status: &Value| status.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&plain), members(&one.status().await.1));
    drop((one, other));
    until("the places are free again", PATIENCE, async || {
        (gateway.status().await["event_listeners"] == 0).then_some(())
    })
    .await;
    gateway.finish().await;
}

#[tokio::test]
async fn who_does_not_read_is_dropped_with_a_last_word_and_the_others_go_on() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let address = gateway.admin.address();
    let mut quick = Following::connect(address, None).await;
    let mut slow = Following::connect(address, Some(SMALLEST)).await;
    let mut deaf = Following::connect(address, Some(SMALLEST)).await;
    quick.until_status("event_listeners_dropped", 2).await;
    let rest = slow.rest().await;
    assert!(rest.contains("event: status\n"), "{rest}");
    assert!(last_word(&rest).contains(r#"{"reason":"slow"}"#), "{rest}");
    // The other one does not read even its last word: its place is free all the same.
    quick.until_status("event_listeners", 1).await;
    let rest = deaf.rest().await;
    assert!(!rest.contains("event: dropped"), "it was cut off: {rest}");
    quick.status().await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_stop_ends_the_stream_and_does_not_wait_for_it() {
    let mut gateway = Setup::with(&Policy::calm()).set("shutdown.grace", "20s").start().await;
    let mut following = Following::connect(gateway.admin.address(), None).await;
    following.status().await;
    let (_, status) = following.status().await;
    assert_eq!(status["in_flight_requests"], 0, "a stream is no request in flight: {status}");
    let asked = Instant::now();
    gateway.signal("TERM");
    let rest = following.rest().await;
    assert!(last_word(&rest).contains(r#"{"reason":"draining"}"#), "{rest}");
    assert_eq!(gateway.ended(PATIENCE).await.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(8), "it took {:?}", asked.elapsed());
    gateway.restart().await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_foreign_origin_may_not_follow_and_a_token_is_asked_for() {
    let token = "a-long-enough-token-for-a-test-0123456789";
    let gateway = Setup::with(&Policy::calm()).admin_token(token).start().await;
    let foreign = gateway.admin.get("/v1/events").header("origin", "http://evil.example");
    foreign.send().await.problem(403, "origin_not_allowed");
    let without = crate::support::client::Client::new(gateway.admin.address());
    without.get("/v1/events").send().await.problem(401, "unauthenticated");
    gateway.finish().await;
}

#[tokio::test]
async fn only_so_many_may_follow() {
    let gateway: Gateway = Setup::with(&Policy::calm()).start().await;
    let mut all = Vec::new();
    for _ in 0..32 {
        let mut following = Following::connect(gateway.admin.address(), None).await;
        following.status().await;
        all.push(following);
    }
    gateway.admin.get("/v1/events").send().await.problem(503, "overloaded");
    drop(all);
    until("there is room again", PATIENCE, async || {
        (gateway.status().await["event_listeners"] == 0).then_some(())
    })
    .await;
    Following::connect(gateway.admin.address(), None).await.status().await;
    gateway.finish().await;
}

/// One who follows the events on a connection of its own.
struct Following {
    stream: TcpStream,
    /// All that came.
    text: String,
    /// How much of it was looked at.
    seen: usize,
}

impl Following {
    async fn connect(address: SocketAddr, receive_buffer: Option<u32>) -> Following {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let mut stream = socket.connect(address).await.expect("a connection");
        let request = format!("GET /v1/events HTTP/1.1\r\nhost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Following { stream, text: String::new(), seen: 0 }
    }

    /// The next status, with its id.
    async fn status(&mut self) -> (u64, Value) {
        loop {
            if let Some((start, end)) = self.next_event() {
                self.seen = end;
                let event = &self.text[start..end];
                let rest = event.strip_prefix("event: status\nid: ").unwrap_or_else(|| panic!("{event}"));
                let (id, data) = rest.split_once("\ndata: ").expect("data");
                return (id.parse().unwrap(), serde_json::from_str(data.trim_end()).unwrap());
            }
            assert!(self.read().await, "the stream ended: {}", self.text);
        }
    }

    /// Takes events until one has this number.
    async fn until_status(&mut self, member: &str, number: u64) {
        let asked = Instant::now();
        loop {
            let (_, status) = self.status().await;
            if status[member] == number {
                return;
            }
            assert!(asked.elapsed() < PATIENCE, "{member} is {}, not {number}", status[member]);
        }
    }

    /// Everything up to the end of the stream.
    async fn rest(&mut self) -> String {
        while self.read().await {}
        self.text[self.seen..].to_owned()
    }

    /// An event is in one chunk: its text is whole between two blank lines.
    fn next_event(&self) -> Option<(usize, usize)> {
        let start = self.seen + self.text[self.seen..].find("event: ")?;
        Some((start, start + self.text[start..].find("\n\n")? + 2))
    }

    /// False at the end of the connection, clean or not.
    async fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let read = timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("events or the end");
        let read = read.unwrap_or(0);
        self.text.push_str(str::from_utf8(&buffer[..read]).unwrap());
        read > 0
    }
}

#[track_caller]
fn last_word(text: &str) -> &str {
    let start = text.rfind("event: ").unwrap_or_else(|| panic!("no event: {text}"));
    let word = &text[start..];
    assert!(word.starts_with("event: dropped\n"), "{word}");
    assert!(word.ends_with("0\r\n\r\n"), "the answer is whole: {word:?}");
    word
}

/// The kernel gives at least so many bytes of buffer.
const SMALLEST: u32 = 2_048;

const PATIENCE: Duration = Duration::from_secs(60);
