//! Who is waited for how long, on a clock that stands still otherwise.

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
        let answering = stage.answering();
        let read = tokio::time::timeout(Duration::from_secs(600), connection.read(&mut buffer)).await;
        assert!(read.is_err(), "a request is not the head's business");
        drop(answering);
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
        drop(stage.answering());
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
    drop(stage.answering());
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
    drop(stage.answering());
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

/// A frame of HTTP/2 without a payload, or with eight bytes of one.
fn frame(kind: u8, flags: u8) -> Vec<u8> {
    let length = if kind == PING { 8 } else { 0 };
    [0, 0, length, kind, flags, 0, 0, 0, 1].into_iter().chain(vec![0; length.into()]).collect()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const PING: u8 = 6;
const END_HEADERS: u8 = 4;

/// What a client sends over HTTP/2, and the connection that hears it.
async fn over_http2() -> (tokio::io::DuplexStream, Patience<tokio::io::DuplexStream>) {
    let (mut client, server) = duplex(256);
    let mut connection = Patience::new(server, HEAD_TIME).over_http2();
    client.write_all(PREFACE).await.unwrap();
    client.write_all(&frame(HEADERS, END_HEADERS)).await.unwrap();
    connection.read_exact(&mut [0; PREFACE.len() + 9]).await.unwrap();
    (client, connection)
}

async fn seconds_until_cut_off(connection: &mut Patience<tokio::io::DuplexStream>) -> u64 {
    let began = Instant::now();
    let mut buffer = [0; 64];
    while connection.read(&mut buffer).await.is_ok() {}
    began.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn over_http2_the_first_head_is_due_and_pings_are_none() {
    let (mut client, server) = duplex(256);
    let mut connection = Patience::new(server, HEAD_TIME).over_http2();
    client.write_all(PREFACE).await.unwrap();
    client.write_all(&frame(PING, 0)).await.unwrap();
    assert_eq!(seconds_until_cut_off(&mut connection).await, 5);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn over_http2_an_idle_connection_may_ping_and_rest() {
    let (mut client, mut connection) = over_http2().await;
    drop(connection.stage().answering());
    for _ in 0..3 {
        client.write_all(&frame(PING, 0)).await.unwrap();
        connection.read_exact(&mut [0; 17]).await.unwrap();
        assert_eq!(connection.stage().silence(), Some(Silence::Idle));
    }
    assert_eq!(seconds_until_cut_off(&mut connection).await, 75);
}

#[tokio::test(start_paused = true)]
async fn over_http2_a_head_that_has_begun_is_timed_beside_other_requests() {
    let (mut client, mut connection) = over_http2().await;
    let _answering = connection.stage().answering();
    let other = tokio::time::timeout(Duration::from_secs(600), connection.read(&mut [0; 64])).await;
    assert!(other.is_err(), "a request is not the head's business");
    for _ in 0..2 {
        client.write_all(&frame(HEADERS, 0)).await.unwrap();
        connection.read_exact(&mut [0; 9]).await.unwrap();
        let open = tokio::time::timeout(Duration::from_secs(3), connection.read(&mut [0; 64])).await;
        assert!(open.is_err());
        client.write_all(&frame(9, END_HEADERS)).await.unwrap();
        connection.read_exact(&mut [0; 9]).await.unwrap();
    }
    client.write_all(&frame(HEADERS, 0)).await.unwrap();
    assert_eq!(seconds_until_cut_off(&mut connection).await, 5);
}

#[tokio::test(start_paused = true)]
async fn over_http2_a_connection_whose_requests_end_without_a_byte_ends_too() {
    let (_client, mut connection) = over_http2().await;
    let answering = connection.stage().answering();
    tokio::spawn(async move {
        sleep(Duration::from_secs(10)).await;
        drop(answering);
    });
    assert_eq!(seconds_until_cut_off(&mut connection).await, 150);
}
