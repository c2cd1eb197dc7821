//! Real connections against the accept loop: what a client's socket sees.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::domain::tier::Tier;
use crate::runtime::in_flight::InFlight;
use crate::runtime::lifecycle::{Lifecycle, Phase};
use crate::server::access::Access;
use crate::server::crowd::crowded_router;
use crate::server::ingest_router;
use crate::server::limits::Limits;
use crate::server::listen::{CutOff, Door, Routes, serve};
use crate::server::state::Ingest;
use crate::server::testing::{Desk, LIMITS, chunks};

struct Open {
    desk: Desk,
    address: std::net::SocketAddr,
    serving: JoinHandle<()>,
}

async fn open(limits: Limits) -> Open {
    let desk = Desk::usual();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let access = Access::without_keys(true, true);
    let state = Ingest::new(desk.gateway.clone(), limits, access);
    let routes = Routes { usual: ingest_router(Arc::clone(&state)), crowded: crowded_router(state) };
    let count = Arc::clone(&desk.gateway.held.ingest_connections);
    let (lifecycle, in_flight) = (desk.gateway.lifecycle.clone(), desk.gateway.in_flight.clone());
    let serving = tokio::spawn(async move {
        serve(Door { listener, tls: None }, routes, &limits, count, lifecycle, in_flight).await
    });
    Open { desk, address, serving }
}

impl Open {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Reads until the text ends so, or the peer closes.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&text).ends_with(end) {
            match stream.read(&mut buffer).await {
                // A close on bytes that nobody will read is a reset.
                Ok(0) | Err(_) => break,
                Ok(read) => text.extend_from_slice(&buffer[..read]),
            }
        }
    };
    timeout(Duration::from_secs(10), reading).await.expect("an answer");
    String::from_utf8(text).unwrap()
}

const SHUT_JOB: &str = "POST /v1/jobs HTTP/1.1\r\nhost: t\r\ntidegate-type: digest\r\n";

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let open = open(LIMITS).await;
    let mut stream = open.connect().await;
    let job = "POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n{}";
    let last = "POST /v1/jobs HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(format!("{job}{job}{last}").as_bytes()).await.unwrap();
    let answers = read_until(&mut stream, "never").await;
    assert_eq!(answers.matches("HTTP/1.1 202 Accepted").count(), 3, "{answers}");
    assert!(answers.find("\"depth\":1,").unwrap() < answers.find("\"depth\":3,").unwrap());
}

#[tokio::test]
async fn an_old_client_gets_one_answer_and_a_close() {
    let open = open(LIMITS).await;
    let mut stream = open.connect().await;
    stream.write_all(b"POST /v1/jobs HTTP/1.0\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    assert!(read_until(&mut stream, "never").await.contains("202 Accepted"));
}

#[tokio::test]
async fn a_length_beside_chunks_is_one_answer_and_a_close() {
    let open = open(LIMITS).await;
    let mut stream = open.connect().await;
    let hidden = "POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 6\r\n\r\nhidden";
    let request = "POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    stream.write_all(format!("{request}{hidden}").as_bytes()).await.unwrap();
    let answers = read_until(&mut stream, "never").await;
    assert!(answers.matches("HTTP/1.1").count() <= 1, "{answers}");
    assert!(open.desk.leased().await.iter().all(|lease| lease.job.payload != "hidden"));
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending_and_the_connection_lives_on() {
    let open = open(LIMITS).await;
    open.desk.sees_depth(Tier::P2, 600_000);
    let mut stream = open.connect().await;
    stream.write_all(format!("{SHUT_JOB}content-length: 900\r\n\r\n").as_bytes()).await.unwrap();
    let refusal = read_until(&mut stream, "}").await;
    assert!(refusal.starts_with("HTTP/1.1 429"), "{refusal}");
    stream.write_all(&[b'x'; 900]).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    assert!(read_until(&mut stream, "ok\n").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_refused_without_leave() {
    let open = open(LIMITS).await;
    open.desk.sees_depth(Tier::P2, 600_000);
    let mut stream = open.connect().await;
    let head = format!("{SHUT_JOB}expect: 100-continue\r\ncontent-length: 900\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let refusal = read_until(&mut stream, "never").await;
    assert!(refusal.starts_with("HTTP/1.1 429"), "{refusal}");

    let mut stream = open.connect().await;
    let head = "POST /v1/jobs HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut stream, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{}").await.unwrap();
    assert!(read_until(&mut stream, "}").await.starts_with("HTTP/1.1 202"));
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let open = open(Limits { header_timeout: Duration::from_millis(100), ..LIMITS }).await;
    let mut stream = open.connect().await;
    stream.write_all(b"POST /v1/jobs HTTP/1.1\r\nhost").await.unwrap();
    let answer = read_until(&mut stream, "never").await;
    assert!(answer.is_empty() || answer.contains(" 408 "), "{answer}");
}

#[tokio::test]
async fn beyond_the_bound_each_connection_gets_one_answer() {
    let open = open(Limits { max_connections: 1, request_timeout: Duration::from_secs(10), ..LIMITS }).await;
    let mut busy = open.connect().await;
    busy.write_all(b"POST /v1/jobs HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut busy, "\r\n\r\n").await;
    let asked = async |head: &str, body: &str| {
        let mut stream = open.connect().await;
        let length = body.len();
        let request = format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, "never").await;
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        answer.get(9..12).unwrap_or_default().to_owned()
    };
    let usual = " HTTP/1.1\r\nhost: t";
    for (request, body, status) in [
        (format!("GET /healthz{usual}"), "", "200"),
        (format!("GET /readyz{usual}"), "", "200"),
        (format!("GET /v1/jobs{usual}"), "", "405"),
        (format!("POST /v1/jobs{usual}\r\ntidegate-type: payment"), "{}", "202"),
        (format!("POST /v1/jobs{usual}\r\ntidegate-type: digest"), "{}", "503"),
        (format!("POST /v1/jobs{usual}"), "{\"type\":\"payment\"}", "503"),
        (format!("POST /v1/jobs/batch{usual}\r\ncontent-type: application/json"), "[1]", "503"),
        (format!("POST /v1/leases/ack{usual}"), "{\"leases\":[]}", "200"),
        (format!("POST /v1/leases{usual}"), "{\"wait_seconds\":30}", "200"),
        (format!("POST /v1/leases{usual}"), "{\"wait_seconds\":30}", "503"),
        (format!("POST /v1/leases{usual}"), "{}", "200"),
    ] {
        assert_eq!(asked(&request, body).await, status, "{request}: {body}");
    }
    let desk = &open.desk;
    assert_eq!(desk.metric("tidegate_overloaded_total", "connections"), 4.0);
    assert_eq!(desk.metric("tidegate_jobs_refused_total", "code=\"overloaded\",tier=\"none\""), 3.0);
    assert_eq!(desk.metric("tidegate_connections", "ingest"), 1.0);
    assert_eq!(desk.metric("tidegate_limit", "connections"), 1.0);
    assert_eq!(desk.counts(), [5.0, 1.0, 3.0, 1.0]);
}

#[tokio::test]
async fn an_idle_connection_gives_way_to_one_that_asks() {
    let open = open(Limits { max_connections: 1, ..LIMITS }).await;
    let job = b"POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n{}";
    let mut idle = open.connect().await;
    idle.write_all(job).await.unwrap();
    read_until(&mut idle, "}").await;
    let mut next = open.connect().await;
    for _ in 0..2 {
        next.write_all(job).await.unwrap();
        let answer = read_until(&mut next, "}").await;
        assert!(answer.starts_with("HTTP/1.1 202") && !answer.contains("connection: close"), "{answer}");
    }
    assert_eq!(read_until(&mut idle, "never").await, "", "closed");
}

#[tokio::test]
async fn stopping_answers_what_is_under_way_and_closes_the_idle() {
    let open = open(Limits { request_timeout: Duration::from_secs(10), ..LIMITS }).await;
    let mut idle = open.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    read_until(&mut idle, "ok\n").await;
    let mut busy = open.connect().await;
    busy.write_all(b"POST /v1/jobs HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut busy, "\r\n\r\n").await;

    open.desk.gateway.lifecycle.advance(Phase::Draining);
    idle.write_all(b"POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    let refused = read_until(&mut idle, "never").await;
    assert!(
        refused.starts_with("HTTP/1.1 503") && refused.contains("\r\nconnection: close\r\n"),
        "{refused}"
    );
    let mut late = open.connect().await;
    late.write_all(b"GET /readyz HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    assert!(read_until(&mut late, "}").await.starts_with("HTTP/1.1 503"), "the door is open to say so");

    busy.write_all(b"last").await.unwrap();
    assert!(read_until(&mut busy, "}").await.starts_with("HTTP/1.1 202"));
    open.desk.gateway.in_flight.all_answered().await;
    open.desk.gateway.lifecycle.advance(Phase::Stopped);
    assert_eq!(read_until(&mut busy, "never").await, "", "closed");
    timeout(Duration::from_secs(5), open.serving).await.expect("every connection is closed").unwrap();
    assert!(TcpStream::connect(open.address).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn a_connection_that_never_ends_is_cut_off_at_the_end() {
    let open = open(Limits { request_timeout: Duration::from_secs(60), ..LIMITS }).await;
    let mut stuck = open.connect().await;
    stuck.write_all(b"POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\n\r\n12").await.unwrap();
    let mut idle = open.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    read_until(&mut idle, "ok\n").await;
    open.desk.gateway.lifecycle.advance(Phase::Stopped);
    timeout(Duration::from_secs(5), open.serving).await.expect("every connection is closed").unwrap();
    assert_eq!(read_until(&mut stuck, "never").await, "");
    assert_eq!(open.desk.gateway.in_flight.count(), 0);
}

#[tokio::test]
async fn a_request_names_its_host_once() {
    let open = open(LIMITS).await;
    let cases = [
        ("HTTP/1.1", "", 400),
        ("HTTP/1.1", "host: a\r\nhost: a\r\n", 400),
        ("HTTP/1.0", "host: a\r\nhost: b\r\n", 400),
        ("HTTP/1.1", "host: a b\r\n", 400),
        ("HTTP/1.1", "host: user@a\r\n", 400),
        ("HTTP/1.1", "host: a:b\r\n", 400),
        ("HTTP/1.1", "host: a:65536\r\n", 400),
        ("HTTP/1.1", "host: a:\r\n", 200),
        ("HTTP/1.1", "host: a\r\nexpect: more\r\n", 400),
        ("HTTP/1.1", "host: \r\n", 200),
        ("HTTP/1.1", "host: [::1]:8080\r\n", 200),
        ("HTTP/1.0", "", 200),
    ];
    for path in ["/v1/jobs", "/v1/jobs/batch", "/v1/leases", "/v1/leases/ack"] {
        for (version, host, status) in cases {
            let status = if status == 200 && path.starts_with("/v1/jobs") { 202 } else { status };
            let body = if path.ends_with("ack") { "{\"leases\":[]}" } else { "{}" };
            let fields = format!("content-type: application/x-ndjson\r\ncontent-length: {}", body.len());
            let mut stream = open.connect().await;
            let head = format!("POST {path} {version}\r\n{host}{fields}\r\nconnection: close\r\n\r\n");
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            let answer = read_until(&mut stream, "never").await;
            let told = answer.get(9..12).unwrap_or_default();
            assert_eq!(told, status.to_string(), "{path} {version} {host:?}: {answer}");
            assert_eq!(answer.contains("malformed_request"), status == 400, "{answer}");
        }
    }
}

#[tokio::test]
async fn a_body_is_chunked_and_nothing_else() {
    let open = open(LIMITS).await;
    for (path, codings, taken) in [
        ("/v1/jobs", "gzip, chunked", false),
        ("/v1/jobs", "identity, chunked", false),
        ("/v1/jobs", "chunked, chunked", false),
        ("/v1/jobs", "chunked\r\ntransfer-encoding: chunked", false),
        ("/v1/jobs/batch", "deflate, chunked", false),
        ("/v1/leases", "gzip, chunked", false),
        ("/v1/jobs", " Chunked ", true),
    ] {
        let mut stream = open.connect().await;
        let fields = "host: t\r\ncontent-type: application/x-ndjson\r\nconnection: close";
        let head = format!("POST {path} HTTP/1.1\r\n{fields}\r\ntransfer-encoding: {codings}\r\n\r\n");
        stream.write_all(format!("{head}2\r\n{{}}\r\n0\r\n\r\n").as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, "never").await;
        let status = if taken { "HTTP/1.1 202" } else { "HTTP/1.1 400" };
        assert!(answer.starts_with(status), "{path} {codings:?}: {answer}");
    }
    assert_eq!(open.desk.leased().await.len(), 1, "coded bytes are not stored");
}

#[tokio::test]
async fn an_answer_that_its_client_does_not_take_can_be_cut_off() {
    let cut_off = CutOff::default();
    let endless = cut_off.clone();
    let route = move || async move {
        let mut response = Response::new(chunks(&["begun"], false));
        response.extensions_mut().insert(endless);
        response
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/endless", get(route));
    let routes = Routes { usual: router.clone(), crowded: router };
    let (lifecycle, in_flight) = (Lifecycle::starting(), InFlight::none());
    let counted = in_flight.clone();
    tokio::spawn(async move {
        serve(Door { listener, tls: None }, routes, &LIMITS, Arc::default(), lifecycle, in_flight).await
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    assert!(read_until(&mut stream, "begun\r\n").await.contains("200 OK"));
    assert_eq!(counted.count(), 0, "a stream is no request in flight");
    cut_off.now();
    assert_eq!(read_until(&mut stream, "never").await, "");
}
