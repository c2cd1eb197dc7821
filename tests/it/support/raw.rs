//! A client of bytes, for what no well-behaved client would send.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::answer::Answer;

/// One connection.
#[derive(Debug)]
pub struct Raw<S = TcpStream> {
    stream: S,
    received: BytesMut,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).unwrap();
        Raw::over(stream)
    }

    /// Waits for the first byte of an answer, and leaves it unread.
    pub async fn readable(&mut self) {
        timeout(PATIENCE, self.stream.readable()).await.expect("an answer or a close").unwrap();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// On a connection that is there.
    pub fn over(stream: S) -> Raw<S> {
        Raw { stream, received: BytesMut::new() }
    }

    /// Sends as much as the gateway takes: it may have answered and closed before the end.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = timeout(PATIENCE, self.stream.write_all(bytes.as_ref()))
            .await
            .expect("the gateway reads or closes");
    }

    /// As [`Raw::send`]; whether the gateway took all of it.
    pub async fn send_whole(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sent = timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await;
        sent.expect("the gateway reads or closes").is_ok()
    }

    /// The next answer, `100 Continue` included; `None` when the gateway closes without one.
    pub async fn answer(&mut self) -> Option<Answer> {
        self.answer_within(PATIENCE).await
    }

    /// As [`Raw::answer`]; fails the test if there is neither answer nor close in this time.
    pub async fn answer_within(&mut self, patience: Duration) -> Option<Answer> {
        timeout(patience, self.read_answer()).await.unwrap_or_else(|_| {
            panic!("neither an answer nor a close in {patience:?}; so far {:?}", self.received);
        })
    }

    /// What there is in this time: an answer, or `None` within for a close; else nothing.
    pub async fn heard_within(&mut self, patience: Duration) -> Option<Option<Answer>> {
        timeout(patience, self.read_answer()).await.ok()
    }

    /// As [`Raw::answer_within`], for a `HEAD`: its answer says a length and has no body.
    pub async fn answer_to_head(&mut self, patience: Duration) -> Option<Answer> {
        let head = timeout(patience, self.read_head()).await.expect("an answer or a close");
        head.map(|(status, headers)| Answer { status, headers, body: Bytes::new(), took: Duration::ZERO })
    }

    /// Says that nothing more will come, and still listens.
    pub async fn close_our_side(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    async fn read_answer(&mut self) -> Option<Answer> {
        let started = Instant::now();
        let (status, headers) = self.read_head().await?;
        let body = self.read_body(status, &headers).await;
        Some(Answer { status, headers, body, took: started.elapsed() })
    }

    async fn read_head(&mut self) -> Option<(u16, HeaderMap)> {
        let head_end = loop {
            if let Some(at) = find(&self.received, b"\r\n\r\n") {
                break at + 4;
            }
            if !self.read_more().await {
                assert!(self.received.is_empty(), "closed within a head: {:?}", self.received);
                return None;
            }
        };
        let head = self.received.split_to(head_end);
        Some(parse_head(str::from_utf8(&head).expect("a head of text")))
    }

    async fn read_body(&mut self, status: u16, headers: &HeaderMap) -> Bytes {
        if status < 200 || status == 204 || status == 304 {
            return Bytes::new();
        }
        if let Some(length) = headers.get("content-length") {
            let length = length.to_str().unwrap().parse().expect("a length");
            return self.read_exactly(length).await;
        }
        let coding = headers.get("transfer-encoding").expect("an answer with a length or chunks");
        assert_eq!(coding, "chunked");
        let mut body = BytesMut::new();
        loop {
            let size = self.read_line().await;
            let size = usize::from_str_radix(&size, 16).expect("a chunk size");
            body.extend_from_slice(&self.read_exactly(size).await);
            assert_eq!(self.read_line().await, "", "a chunk's end");
            if size == 0 {
                return body.freeze();
            }
        }
    }

    async fn read_line(&mut self) -> String {
        loop {
            if let Some(at) = find(&self.received, b"\r\n") {
                let line = self.received.split_to(at);
                self.received.advance(2);
                return String::from_utf8(line.to_vec()).expect("a line of text");
            }
            assert!(self.read_more().await, "closed within a body");
        }
    }

    async fn read_exactly(&mut self, length: usize) -> Bytes {
        while self.received.len() < length {
            assert!(self.read_more().await, "closed within a body");
        }
        self.received.split_to(length).freeze()
    }

    /// False at the end of the connection, clean or not.
    async fn read_more(&mut self) -> bool {
        self.stream.read_buf(&mut self.received).await.is_ok_and(|read| read > 0)
    }
}

fn parse_head(head: &str) -> (u16, HeaderMap) {
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.strip_prefix("HTTP/1.1 ").or(status_line.strip_prefix("HTTP/1.0 "));
    let status = status.and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.unwrap_or_else(|| panic!("not a status line: {status_line}"));
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a header: {line}"));
        let name: HeaderName = name.parse().unwrap_or_else(|_| panic!("not a header: {line}"));
        let value: HeaderValue = value.trim().parse().unwrap_or_else(|_| panic!("not a header: {line}"));
        (name, value)
    });
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name, value);
    }
    (status, map)
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// Longer than the gateway may take to answer or close.
const PATIENCE: Duration = Duration::from_secs(15);
