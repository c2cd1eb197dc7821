//! The bounds of docs/PROTECTION.md hold for streams as they do for connections.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::Builder;
use http::Request;

use super::{connections, limited};
use crate::support::certificates::Authority;
use crate::support::frames::{
    CONTINUATION, Connection, END_HEADERS, END_STREAM, Frames, GO_AWAY, HEADERS, PING, Stream, frame, job,
    job_block,
};
use crate::support::gateway::Gateway;
use crate::support::poll::until;

/// Jobs of one connection whose bodies have not come.
async fn begin(connection: &mut Connection, gateway: &Gateway, many: usize) -> Vec<Stream> {
    let mut begun = Vec::new();
    for _ in 0..many {
        let mut stream = connection.begin(job(gateway.ingest.address(), "order"), false).await;
        stream.body.send_data(Bytes::from_static(b"{"), false).unwrap();
        begun.push(stream);
    }
    begun
}

async fn end(gateway: &Gateway, mut stream: Stream) {
    stream.body.send_data(Bytes::from_static(b"}"), true).unwrap();
    let answer = stream.answer().await.expect("an answer");
    gateway.tally.job(answer.status);
    answer.receipt();
}

#[tokio::test]
async fn requests_on_one_connection_count_as_connections() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[("max_connections", "4"), ("request_timeout", "60s")]).await;
    let address = gateway.ingest.address();
    let mut connection = Connection::open(address, authority.trusted()).await;
    let served = begin(&mut connection, &gateway, 4).await;
    connections(&gateway, 4).await;
    for (job_type, status) in [("order", 503), ("payment", 202), ("analytics", 503), ("payment", 202)] {
        let answer = connection.ask(job(address, job_type), "{}").await.expect("an answer");
        gateway.tally.job(answer.status);
        assert_eq!(answer.status, status, "{job_type}: {answer:?}");
        if status == 503 {
            assert!(answer.problem(503, "overloaded").retry_after.is_some());
        }
    }
    for stream in served {
        end(&gateway, stream).await;
    }
    connections(&gateway, 1).await;
    gateway.accept("p1", "the slots are free again").await;
    gateway.finish().await;
}

#[tokio::test]
async fn where_no_slot_is_free_critical_jobs_are_taken_and_others_told_at_once() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[("max_connections", "1"), ("request_timeout", "60s")]).await;
    let address = gateway.ingest.address();
    let mut first = Connection::open(address, authority.trusted()).await;
    let mut held = begin(&mut first, &gateway, 1).await;
    // Critical ones are not refused: theirs are the slots of those who are heard.
    for _ in 0..32 {
        let mut stream = first.begin(job(address, "payment"), false).await;
        stream.body.send_data(Bytes::from_static(b"{"), false).unwrap();
        held.push(stream);
    }
    connections(&gateway, 33).await;
    for (job_type, status) in [("order", 503), ("payment", 202), ("analytics", 503)] {
        let began = Instant::now();
        let answer = first.ask(job(address, job_type), "{}").await.expect("an answer");
        gateway.tally.job(answer.status);
        assert_eq!(answer.status, status, "{job_type}: {answer:?}");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    assert!(gateway.metrics().await.count("tidegate_overloaded_total", &[("bound", "connections")]) >= 2);
    for stream in held {
        end(&gateway, stream).await;
    }
    gateway.finish().await;
}

#[tokio::test]
async fn so_many_requests_at_once_and_no_more() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[("request_timeout", "60s")]).await;
    let mut connection = Connection::open(gateway.ingest.address(), authority.trusted()).await;
    let mut open = begin(&mut connection, &gateway, 100).await;
    connections(&gateway, 100).await;
    let address = gateway.ingest.address();
    // The client knows the bound, and keeps the next one to itself.
    let next = connection.begin(job(address, "order"), false).await;
    gateway.accept("p0", "{}").await;
    connections(&gateway, 101).await;
    for stream in open.drain(..).chain([next]) {
        end(&gateway, stream).await;
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_head_has_its_time_beside_requests_that_are_answered() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[("header_timeout", "1s"), ("request_timeout", "30s")]).await;
    let trusted = || authority.trusted();
    for begun in [
        frame(HEADERS, 0, 3, &job_block("order")),
        [frame(HEADERS, 0, 3, &job_block("order")), frame(CONTINUATION, 0, 3, b"")].concat(),
        frame(HEADERS, END_HEADERS, 3, &job_block("order"))[..20].to_vec(),
    ] {
        let mut frames = Frames::open(gateway.ingest.address(), trusted()).await;
        assert!(frames.send(frame(HEADERS, END_HEADERS, 1, &job_block("order"))).await);
        connections(&gateway, 1).await;
        let began = Instant::now();
        assert!(frames.send(begun).await);
        frames.rest().await;
        assert!((0.5..4.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
        gateway.tally.open(1);
        connections(&gateway, 0).await;
    }
    // Who says hello and no more has the same time; who asks whether we are there has begun nothing.
    let began = Instant::now();
    let mut frames = Frames::open(gateway.ingest.address(), trusted()).await;
    frames.rest().await;
    assert!((0.5..4.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    let mut frames = Frames::open(gateway.ingest.address(), trusted()).await;
    assert!(frames.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &job_block("order"))).await);
    gateway.tally.open(1);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        assert!(frames.send(frame(PING, 0, 0, b"are you?")).await);
        let answer = tokio::time::timeout(Duration::from_millis(100), frames.next()).await;
        assert!(!matches!(answer, Ok(None)), "it was closed after {:?}", began.elapsed());
    }
    gateway.finish().await;
}

#[tokio::test]
async fn long_heads_are_refused_and_the_connection_lives_on() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[]).await;
    let address = gateway.ingest.address();
    let mut connection = Connection::open(address, authority.trusted()).await;
    for (many, length, taken) in [(90, 500, true), (700, 100, false), (2, 40_000, false)] {
        let mut request = Request::post(format!("https://{address}/v1/jobs"));
        for n in 0..many {
            request = request.header(format!("x-{n}"), "v".repeat(length));
        }
        match connection.ask(request.body(()).unwrap(), "").await {
            Ok(answer) => assert_eq!(answer.status == 202, taken, "{many} of {length}: {answer:?}"),
            Err(error) => assert!(!taken && error.is_reset(), "{many} of {length}: {error}"),
        }
        gateway.tally.open(1);
    }
    let answer = connection.ask(job(address, "order"), "{}").await.expect("the connection lives on");
    gateway.tally.job(answer.status);
    answer.receipt();
    gateway.finish().await;
}

#[tokio::test]
async fn who_does_not_take_its_answers_holds_a_slot_for_each() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[]).await;
    let payload = "x".repeat(900_000);
    for _ in 0..40 {
        gateway.accept("p1", &payload).await;
    }
    // No window at all: nothing of an answer's body may be sent.
    let mut settings = Builder::new();
    settings.initial_window_size(0);
    let mut stuck = Connection::open_as(gateway.ingest.address(), authority.trusted(), &settings).await;
    let mut held = Vec::new();
    for _ in 0..40 {
        let poll = Request::post(format!("https://{}/v1/leases", gateway.ingest.address()));
        let mut poll = stuck.begin(poll.body(()).unwrap(), false).await;
        poll.body.send_data(Bytes::from_static(b"{\"max\":1}"), true).unwrap();
        held.push(poll.answer.await.expect("an answer's head"));
    }
    // Each has a slot for as long as its answer is here.
    connections(&gateway, 41).await;
    gateway.accept("p0", "others are served").await;
    drop((held, stuck));
    connections(&gateway, 1).await;
    gateway.finish().await;
}

#[tokio::test]
async fn an_idle_connection_gives_way_though_its_client_never_says_it_heard() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[("max_connections", "1")]).await;
    let mut deaf = Frames::open(gateway.ingest.address(), authority.trusted()).await;
    assert!(deaf.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &job_block("order"))).await);
    gateway.tally.open(1);
    let mut refused = 0;
    until("somebody else is served", Duration::from_secs(10), async || {
        let answer = gateway.post("{}", &[]).await;
        refused += u64::from(answer.status == 503);
        (answer.status == 202).then_some(())
    })
    .await;
    let told = deaf.rest().await;
    assert!(told.iter().any(|frame| frame.kind == GO_AWAY), "{told:?}");
    gateway.finish().await;
}
