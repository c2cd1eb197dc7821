//! The bounds of docs/PROTECTION.md hold for streams as they do for connections.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;

use super::{connections, limited};
use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::frames::{
    CONTINUATION, Connection, END_HEADERS, END_STREAM, Frames, GO_AWAY, HEADERS, PING, Stream, batch, frame,
    job, job_block, post,
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
async fn where_no_slot_is_free_everybody_is_told_at_once_and_nobody_keeps_one() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[("max_connections", "1"), ("request_timeout", "60s")]).await;
    let address = gateway.ingest.address();
    let mut first = Connection::open(address, authority.trusted()).await;
    let served = begin(&mut first, &gateway, 1).await;
    // Who says that it is critical has the slots of those who are heard, for a moment.
    let mut heard = Vec::new();
    for _ in 0..32 {
        let mut stream = first.begin(job(address, "payment"), false).await;
        stream.body.send_data(Bytes::from_static(b"{"), false).unwrap();
        heard.push(stream);
    }
    connections(&gateway, 33).await;
    for job_type in ["order", "payment", "analytics"] {
        let began = Instant::now();
        let answer = first.ask(job(address, job_type), "{}").await.expect("an answer");
        gateway.tally.job(answer.status);
        answer.problem(503, "overloaded");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    assert_eq!(gateway.metrics().await.count("tidegate_overloaded_total", &[("bound", "connections")]), 3);
    for stream in heard {
        let answer = stream.answer().await.expect("an answer");
        gateway.tally.job(answer.status);
        answer.problem(408, "request_timeout");
    }
    let answer = first.ask(job(address, "payment"), "{}").await.expect("an answer");
    gateway.tally.job(answer.status);
    answer.receipt();
    for stream in served {
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
    for (many, length, taken) in [(90, 300, true), (400, 100, false), (1, 40_000, false)] {
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
    let mut stuck = Connection::open_narrow(gateway.ingest.address(), authority.trusted(), 0).await;
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut poll = stuck.begin(post(gateway.ingest.address(), "/v1/leases", &[]), false).await;
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

/// Who takes no byte of its answers, as often as it is there.
async fn takes_nothing(gateway: &Gateway, authority: &Authority, many: usize) -> (Connection, Vec<Stream>) {
    let mut stuck = Connection::open_narrow(gateway.ingest.address(), authority.trusted(), 0).await;
    let mut held = Vec::new();
    for _ in 0..many {
        let get = Request::get(format!("https://{}/nothing", gateway.ingest.address()));
        held.push(stuck.begin(get.body(()).unwrap(), true).await);
    }
    gateway.tally.open(many.try_into().unwrap());
    (stuck, held)
}

#[tokio::test]
async fn answers_that_nobody_takes_lock_nobody_out() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[("max_connections", "8")]).await;
    let (mut stuck, held) = takes_nothing(&gateway, &authority, 60).await;
    connections(&gateway, 8 + 32).await;
    // HTTP/1.1, each on a connection of its own: they cannot even be accepted at first.
    for _ in 0..3 {
        let began = Instant::now();
        let client = Client::secure(gateway.ingest.address(), authority.trusted());
        let answer = client.post("/v1/jobs").header("tidegate-type", "payment").body("{}").send().await;
        gateway.tally.job(answer.status);
        answer.receipt();
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
    stuck.ended().await;
    drop(held);
    gateway.finish().await;
}

#[tokio::test]
async fn an_answer_that_is_taken_byte_by_byte_keeps_its_slot() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[("max_batch_jobs", "20000")]).await;
    let before = gateway.memory().resident;
    let mut slow = Connection::open_narrow(gateway.ingest.address(), authority.trusted(), 1).await;
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut stream = slow.begin(batch(gateway.ingest.address()), false).await;
        stream.body.send_data(Bytes::from("x\n".repeat(10_000)), true).unwrap();
        held.push(stream.answer.await.expect("an answer's head"));
    }
    gateway.tally.open(40 * 10_000);
    connections(&gateway, 40).await;
    // 34 MB of answers, each in the slot that stands for it.
    assert!(gateway.memory().resident < before + 100 * 1024, "{before} KiB, then {:?}", gateway.memory());
    drop((held, slow));
    connections(&gateway, 0).await;
    gateway.finish().await;
}

#[tokio::test]
async fn an_answer_under_way_arrives_whole_though_its_connection_is_to_leave() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[("max_connections", "1")]).await;
    let address = gateway.ingest.address();
    let mut slow = Connection::open(address, authority.trusted()).await;
    let mut stream = slow.begin(batch(address), false).await;
    stream.body.send_data(Bytes::from("1\n".repeat(3_000)), true).unwrap();
    let (head, mut body) = stream.answer.await.expect("an answer").into_parts();
    assert_eq!(head.status, 202);
    // Others ask for its slot meanwhile, and it takes nothing for a while.
    let began = Instant::now();
    let mut waited = 0;
    while began.elapsed() < Duration::from_secs(4) {
        let client = Client::over_http2(address, authority.trusted());
        let answer = client.post("/v1/jobs").body("{}").send().await;
        gateway.tally.job(answer.status);
        waited += 1;
    }
    assert!(waited > 3);
    let mut length = 0;
    while let Some(data) = body.data().await {
        let data = data.expect("the whole answer");
        body.flow_control().release_capacity(data.len()).unwrap();
        length += data.len();
    }
    assert_eq!(length.to_string(), head.headers["content-length"].to_str().unwrap());
    gateway.tally.open(3_000);
    gateway.finish().await;
}

#[tokio::test]
async fn requests_that_are_malformed_now_and_then_cost_nobody_else_the_connection() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[]).await;
    let address = gateway.ingest.address();
    let mut connection = Connection::open(address, authority.trusted()).await;
    let mut waits = connection.begin(job(address, "order"), false).await;
    for _ in 0..60 {
        let wrong = post(address, "/v1/jobs", &[("content-length", "5")]);
        let answered = connection.ask(wrong, "{}").await;
        assert!(answered.as_ref().is_ok_and(|answer| answer.status == 400) || answered.is_err());
        gateway.tally.open(1);
    }
    waits.body.send_data(Bytes::from_static(b"{"), false).unwrap();
    end(&gateway, waits).await;
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
