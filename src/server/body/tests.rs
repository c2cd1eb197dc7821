//! Bodies as they come and coded ones: the same bytes however they are cut, bounded steps, and every fault named.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;

use async_compression::tokio::write::GzipEncoder;
use http::HeaderValue;
use http::header::CONTENT_ENCODING;
use hyper::body::Frame;
use tokio::io::AsyncWriteExt;

use super::*;
use crate::clock::Clock;
use crate::server::budget::ByteBudget;

#[tokio::test]
async fn a_coded_body_reads_as_what_it_was_wherever_it_is_cut() {
    let text = text(100_000);
    for coding in [Coding::Gzip, Coding::Zstd] {
        let coded =
            [encode(coding, &text).await, encode(coding, b"").await, encode(coding, b"the end").await];
        let coded = coded.concat();
        for size in [1, 2, 7, 1_000, 100_000] {
            let mut intake = intake(coding, cut(&coded, size));
            let decoded = whole(&mut intake, 200_000).await.unwrap();
            assert_eq!(decoded, [&text[..], b"the end"].concat(), "{coding} in pieces of {size}");
            assert_eq!(intake.chunk().await, Ok(None), "once at its end, it stays there");
        }
        assert_eq!(whole(&mut intake(coding, cut(&encode(coding, b"").await, 5)), 10).await.unwrap(), "");
    }
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_no_byte() {
    let text = text(50_000);
    for coding in [Coding::Gzip, Coding::Zstd] {
        let mut frames = cut(&encode(coding, &text).await, 100);
        frames = frames.into_iter().flat_map(|frame| [None, frame]).collect();
        let mut intake = intake(coding, frames);
        let (mut decoded, mut given_up) = (Vec::new(), 0);
        loop {
            match poll_once(&mut intake).await {
                Poll::Pending => given_up += 1,
                Poll::Ready(Ok(Some(chunk))) => decoded.extend_from_slice(&chunk),
                Poll::Ready(end) => break assert_eq!(end, Ok(None)),
            }
        }
        assert!(given_up > 10, "{given_up}");
        assert_eq!(decoded, text, "{coding}");
    }
}

#[tokio::test]
async fn what_came_is_decoded_before_more_comes() {
    let mut gzip = GzipEncoder::new(Vec::new());
    gzip.write_all(&[0; ZSTD_BLOCK]).await.unwrap();
    gzip.flush().await.unwrap();
    let zstd = zeros_as_zstd(WINDOW_8_MIB, 2);
    for (coding, begins) in
        [(Coding::Gzip, gzip.get_ref().as_slice()), (Coding::Zstd, &zstd[..zstd.len() - 4])]
    {
        let mut intake =
            intake(coding, cut(begins, begins.len()).into_iter().chain((0..50).map(|_| None)).collect());
        let (mut decoded, mut waits) = (0, 0);
        while waits < 10 {
            match poll_once(&mut intake).await {
                Poll::Pending => waits += 1,
                Poll::Ready(chunk) => decoded += chunk.unwrap().unwrap().len(),
            }
        }
        assert_eq!(decoded, ZSTD_BLOCK, "{coding}");
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_coded_body_is_named() {
    let text = text(5_000);
    for coding in [Coding::Gzip, Coding::Zstd] {
        let good = encode(coding, &text).await;
        let fault = async |bytes: &[u8]| match whole(&mut intake(coding, cut(bytes, 1_000)), 10_000).await {
            Err(BodyError::Undecodable(_, fault)) => fault,
            other => panic!("{coding}: {other:?}"),
        };
        assert_eq!(fault(b"").await, Fault::Empty);
        for end in (1..good.len()).step_by(97).chain(good.len() - 9..good.len()) {
            assert_eq!(fault(&good[..end]).await, Fault::Truncated, "{coding} cut at {end}");
        }
        assert_eq!(fault(b"{\"no\": \"coding at all\"}").await, Fault::Corrupt);
        assert_eq!(fault(&[&good[..], b"and then some"].concat()).await, Fault::Corrupt);
        let other = if coding == Coding::Gzip { Coding::Zstd } else { Coding::Gzip };
        assert_eq!(fault(&encode(other, &text).await).await, Fault::Corrupt);
    }
    let mut wrong_sum = encode(Coding::Gzip, &text).await;
    let sum = wrong_sum.len() - 6;
    wrong_sum[sum] ^= 1;
    let read = whole(&mut intake(Coding::Gzip, cut(&wrong_sum, 1_000)), 10_000).await;
    assert_eq!(read, Err(BodyError::Undecodable(Coding::Gzip, Fault::Corrupt)));
}

#[tokio::test]
async fn a_window_beyond_that_of_the_content_coding_is_refused() {
    let mut largest = intake(Coding::Zstd, cut(&zeros_as_zstd(WINDOW_8_MIB, 2), 100));
    assert_eq!(whole(&mut largest, 1 << 20).await.unwrap().len(), 2 * ZSTD_BLOCK);
    let mut larger = intake(Coding::Zstd, cut(&zeros_as_zstd(WINDOW_8_MIB + 1, 2), 100));
    let refused = whole(&mut larger, 1 << 20).await.unwrap_err();
    assert_eq!(refused, BodyError::Undecodable(Coding::Zstd, Fault::Window));
    assert!(refused.to_string().contains("8 MiB"), "{refused}");
}

#[tokio::test]
async fn a_bomb_comes_in_small_chunks_and_ends_at_the_limit() {
    let bomb = zeros_as_zstd(WINDOW_8_MIB, 1_000);
    let mut read = intake(Coding::Zstd, cut(&bomb, bomb.len()));
    assert_eq!(read.held(), Coding::Zstd.least_held());
    let mut decoded = 0;
    while let Some(chunk) = read.chunk().await.unwrap() {
        assert!(chunk.len() <= 16 * 1024, "{}", chunk.len());
        decoded += chunk.len();
        assert!(((8 << 20)..8_900_000).contains(&read.held()), "{} with its window", read.held());
    }
    assert_eq!(decoded, 1_000 * ZSTD_BLOCK);
    assert_eq!(read.held(), 0, "at its end the decoder is gone");
    let refused = whole(&mut intake(Coding::Zstd, cut(&bomb, bomb.len())), 10_000).await;
    assert_eq!(refused, Err(BodyError::TooLarge(SizeLimit::JobBytes(10_000))));
}

#[tokio::test]
async fn what_a_decoder_holds_is_counted_and_given_back() {
    let text = text(3_000);
    let coded = encode(Coding::Gzip, &text).await;
    let read = async |limit| {
        let budget = ByteBudget::new(limit);
        let mut held = budget.reserve(0).unwrap();
        let read = intake(Coding::Gzip, cut(&coded, 100)).whole(SizeLimit::JobBytes(3_000), &mut held).await;
        (read, budget.reserve(limit - 3_000).is_ok())
    };
    assert_eq!(read(60_000).await.0, Err(BodyError::Overloaded));
    assert_eq!(read(70_000).await, (Ok(Bytes::from(text)), true), "only the body itself is held at the end");
}

#[tokio::test]
async fn members_without_content_end_at_the_limit_too() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let nothing = encode(coding, b"").await;
        let nothing = nothing.repeat(usize::try_from(WIRE_LIMIT).unwrap() / nothing.len() + 1);
        let mut read = intake(coding, cut(&nothing, 4_000));
        assert_eq!(whole(&mut read, 8_000).await, Err(BodyError::TooLarge(SizeLimit::JobBytes(WIRE_LIMIT))));
        let at_once = cut(&nothing[..nothing.len() / 2], nothing.len());
        assert!(poll_once(&mut intake(coding, at_once)).await.is_pending(), "others have their turn");
    }
}

#[tokio::test]
async fn others_have_their_turn_while_a_bomb_is_decoded() {
    let bomb = zeros_as_zstd(WINDOW_8_MIB, 100);
    let mut intake = intake(Coding::Zstd, cut(&bomb, bomb.len()));
    let mut turns = 0;
    loop {
        match poll_once(&mut intake).await {
            Poll::Pending => turns += 1,
            Poll::Ready(Ok(None)) => break,
            Poll::Ready(chunk) => assert!(chunk.is_ok()),
        }
    }
    assert!(turns >= 100 * ZSTD_BLOCK / (128 * 1024) - 1, "{turns}");
}

async fn whole(intake: &mut Intake, limit: u64) -> Result<Bytes, BodyError> {
    let budget = ByteBudget::new(u64::MAX);
    intake.whole(SizeLimit::JobBytes(limit), &mut budget.reserve(0).unwrap()).await
}

async fn poll_once(intake: &mut Intake) -> Poll<Result<Option<Bytes>, BodyError>> {
    let mut chunk = pin!(intake.chunk());
    poll_fn(|context| Poll::Ready(chunk.as_mut().poll(context))).await
}

fn intake(coding: Coding, frames: VecDeque<Option<Bytes>>) -> Intake {
    let clock = Clock::start();
    let deadline = clock.instant(clock.now().plus(Duration::from_secs(60)));
    let name = HeaderValue::from_str(&coding.to_string()).unwrap();
    let headers = HeaderMap::from_iter([(CONTENT_ENCODING, name)]);
    Intake::new(&headers, Body::new(Frames(frames)), deadline)
        .decoding(&headers, SizeLimit::JobBytes(WIRE_LIMIT))
}

fn cut(bytes: &[u8], size: usize) -> VecDeque<Option<Bytes>> {
    bytes.chunks(size).map(|piece| Some(Bytes::copy_from_slice(piece))).collect()
}

/// A body of these frames; `None` is a pause.
struct Frames(VecDeque<Option<Bytes>>);

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.pop_front() {
            Some(Some(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Some(None) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(None),
        }
    }
}

async fn encode(coding: Coding, text: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Gzip => {
            let mut encoder = GzipEncoder::new(Vec::new());
            encoder.write_all(text).await.unwrap();
            encoder.shutdown().await.unwrap();
            encoder.into_inner()
        }
        Coding::Zstd => {
            let mut frame = Vec::with_capacity(zstd_safe::compress_bound(text.len()));
            zstd_safe::compress(&mut frame, text, 3).unwrap();
            frame
        }
    }
}

/// Text that does not compress away: numbers in a scrambled order.
fn text(bytes: u64) -> Vec<u8> {
    let numbers = (0..).map(|n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string());
    let mut text = numbers.take(usize::try_from(bytes / 10).unwrap()).collect::<String>().into_bytes();
    text.truncate(usize::try_from(bytes).unwrap());
    text
}

/// A frame of so many blocks of zeros, four bytes each: the densest there is (RFC 8878 3.1.1).
fn zeros_as_zstd(window: u8, blocks: usize) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window];
    for block in 1..=blocks {
        let last = u8::from(block == blocks);
        frame.extend([2 | last, 0, 0x10, 0]);
    }
    frame
}

/// Window descriptor: exponent 13 above 1 KiB, no mantissa.
const WINDOW_8_MIB: u8 = 13 << 3;

/// Room for what the tests send on the wire.
const WIRE_LIMIT: u64 = 300_000;

const ZSTD_BLOCK: usize = 128 * 1024;
