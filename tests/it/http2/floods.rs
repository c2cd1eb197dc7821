//! Frames without end: the gateway's memory stays, and others are served.

use std::time::Duration;

use super::limited;
use crate::support::certificates::Authority;
use crate::support::frames::{
    ACK, CONTINUATION, END_HEADERS, END_STREAM, Frames, GO_AWAY, HEADERS, PING, RESET, SETTINGS, frame,
    job_block, literal,
};
use crate::support::gateway::Gateway;

/// Sends what `frames` gives until the gateway ends the connection or a hundred thousand are sent, beside a client who is
/// to be served; gives whether it was ended.
async fn flood(gateway: &Gateway, authority: &Authority, frames: impl Fn(u32) -> Vec<u8>) -> bool {
    let mut connection = Frames::open(gateway.ingest.address(), authority.trusted()).await;
    let before = gateway.memory().resident;
    let mut alive = true;
    for round in 0..1_000 {
        let some: Vec<u8> = (0..100).flat_map(|n| frames(round * 100 + n)).collect();
        alive = connection.send(some).await;
        if !alive {
            break;
        }
        // What the gateway says is taken: a client that does not read is held up by TCP, and that is no flood.
        while let Ok(told) = tokio::time::timeout(Duration::from_micros(10), connection.next()).await {
            alive &= told.is_some_and(|frame| frame.kind != GO_AWAY);
            if !alive {
                break;
            }
        }
        if !alive {
            break;
        }
        if round % 100 == 0 {
            gateway.accept("p0", "{}").await;
        }
    }
    gateway.accept("p0", "{}").await;
    let after = gateway.memory().resident;
    assert!(after < before + 32 * 1024, "{before} KiB, then {after}");
    !alive
}

/// The stream that a client's n-th request is on.
fn stream(n: u32) -> u32 {
    2 * n + 1
}

#[tokio::test]
async fn requests_that_are_reset_at_once_end_the_connection() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[]).await;
    let block = job_block("order");
    let ended = flood(&gateway, &authority, |n| {
        let cancel = frame(RESET, 0, stream(n), &8_u32.to_be_bytes());
        [frame(HEADERS, END_HEADERS, stream(n), &block), cancel].concat()
    })
    .await;
    assert!(ended, "it is told to calm down");
    gateway.tally.open(100_000);
    gateway.finish().await;
}

#[tokio::test]
async fn requests_that_make_us_reset_them_end_the_connection() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[]).await;
    // A window beyond what can be told is an error of the stream's, again and again.
    let block = job_block("order");
    let ended = flood(&gateway, &authority, |n| {
        let window = frame(8, 0, stream(n), &0x7fff_ffff_u32.to_be_bytes());
        [frame(HEADERS, END_HEADERS, stream(n), &block), window].concat()
    })
    .await;
    assert!(ended);
    gateway.tally.open(100_000);
    gateway.finish().await;
}

#[tokio::test]
async fn a_head_without_end_ends_the_connection() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[]).await;
    for part in [Vec::new(), literal("x-more", &"v".repeat(100))] {
        let ended = flood(&gateway, &authority, |n| match n {
            0 => frame(HEADERS, 0, 1, &job_block("order")),
            _ => frame(CONTINUATION, 0, 1, &part),
        })
        .await;
        assert!(ended, "{part:?}");
        gateway.tally.open(1);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn pings_and_settings_and_windows_and_empty_data_cost_no_memory() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[]).await;
    let begin = frame(HEADERS, END_HEADERS, 1, &job_block("order"));
    let floods: [(&str, Vec<u8>); 6] = [
        ("pings", frame(PING, 0, 0, b"12345678")),
        ("answers to pings", frame(PING, ACK, 0, b"12345678")),
        ("settings", frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
        ("windows", frame(8, 0, 0, &1_u32.to_be_bytes())),
        ("priorities", frame(2, 0, 7, &[0, 0, 0, 0, 16])),
        ("empty data", frame(0, 0, 1, b"")),
    ];
    for (what, bytes) in floods {
        let ended = flood(&gateway, &authority, |n| if n == 0 { begin.clone() } else { bytes.clone() }).await;
        println!("{what}: {}", if ended { "the connection was ended" } else { "taken" });
        gateway.tally.open(1);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_table_of_fields_that_is_blown_up_stays_small() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[]).await;
    // One field enters the table; each further request names it as often as a frame has bytes (CVE-2019-9517's cousin).
    let first = [job_block("order"), vec![0x40, 3], b"x-b".to_vec(), vec![100], vec![b'v'; 100]].concat();
    let bomb = [job_block("order"), vec![0xbe; 10_000]].concat();
    let mut connection = Frames::open(gateway.ingest.address(), authority.trusted()).await;
    let before = gateway.memory().resident;
    let whole = END_HEADERS | END_STREAM;
    assert!(connection.send(frame(HEADERS, whole, 1, &first)).await);
    for n in 1..200 {
        if !connection.send(frame(HEADERS, whole, stream(n), &bomb)).await {
            break;
        }
    }
    gateway.accept("p0", "{}").await;
    gateway.tally.open(200);
    let after = gateway.memory().resident;
    assert!(after < before + 32 * 1024, "{before} KiB, then {after}");
    gateway.finish().await;
}
