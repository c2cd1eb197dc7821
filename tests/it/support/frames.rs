//! HTTP/2 by the frame, for what no well-behaved client would send.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::Request;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::answer::Answer;
use super::certificates::connect;
use super::jobs::NDJSON;

/// A connection whose streams are ours to send and to leave.
pub struct Connection {
    requests: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

/// A request that has begun.
pub struct Stream {
    pub answer: ResponseFuture,
    pub body: SendStream<Bytes>,
}

/// A connection of bytes: its client knows no rules.
pub struct Frames {
    stream: TlsStream<TcpStream>,
    received: BytesMut,
}

/// What came from the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Bytes,
}

impl Connection {
    pub async fn open(address: SocketAddr, trust: ClientConfig) -> Connection {
        Connection::open_as(address, trust, &h2::client::Builder::new()).await
    }

    /// One whose client has room for so many bytes of each answer, until it makes more.
    pub async fn open_narrow(address: SocketAddr, trust: ClientConfig, window: u32) -> Connection {
        let mut settings = h2::client::Builder::new();
        settings.initial_window_size(window);
        Connection::open_as(address, trust, &settings).await
    }

    async fn open_as(address: SocketAddr, trust: ClientConfig, settings: &h2::client::Builder) -> Connection {
        let stream = dial(address, trust).await;
        let (requests, connection) = settings.handshake(stream).await.expect("a connection");
        Connection { requests, driver: tokio::spawn(connection) }
    }

    /// Sends a head; the body may follow.
    pub async fn begin(&mut self, request: Request<()>, ends: bool) -> Stream {
        let ready = timeout(PATIENCE, self.requests.clone().ready()).await.expect("room for a request");
        let (answer, body) = ready.expect("a connection").send_request(request, ends).expect("a stream");
        Stream { answer, body }
    }

    /// Sends a whole request and waits for its answer.
    pub async fn ask(&mut self, request: Request<()>, body: &str) -> Result<Answer, h2::Error> {
        let mut stream = self.begin(request, body.is_empty()).await;
        if !body.is_empty() {
            stream.body.send_data(Bytes::from(body.to_owned()), true)?;
        }
        stream.answer().await
    }

    /// Waits until the gateway has ended the connection, though we would go on.
    pub async fn ended(&mut self) {
        // How is not asked: what we still had to say may find the way closed.
        let _ = timeout(PATIENCE, &mut self.driver).await.expect("the connection ends").expect("no panic");
    }
}

impl Stream {
    /// Waits for the answer.
    pub async fn answer(self) -> Result<Answer, h2::Error> {
        let started = Instant::now();
        let answering = async {
            let (head, body) = self.answer.await?.into_parts();
            let body = read(body).await?;
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, took: started.elapsed() })
        };
        timeout(PATIENCE, answering).await.expect("an answer or an end")
    }
}

async fn read(mut body: RecvStream) -> Result<Bytes, h2::Error> {
    let mut whole = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// The head of a post with these fields.
pub fn post(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let begun = Request::post(format!("https://{address}{path}"));
    let whole = fields.iter().fold(begun, |request, (name, value)| request.header(*name, *value));
    whole.body(()).unwrap()
}

/// A job's head.
pub fn job(address: SocketAddr, job_type: &str) -> Request<()> {
    post(address, "/v1/jobs", &[("tidegate-type", job_type)])
}

/// The head of a batch of lines.
pub fn batch(address: SocketAddr) -> Request<()> {
    post(address, "/v1/jobs/batch", &[("content-type", NDJSON)])
}

impl Frames {
    /// Says what a client says first: the preface, and no settings.
    pub async fn open(address: SocketAddr, trust: ClientConfig) -> Frames {
        let mut frames = Frames { stream: dial(address, trust).await, received: BytesMut::new() };
        assert!(frames.send(PREFACE).await && frames.send(frame(SETTINGS, 0, 0, b"")).await);
        frames
    }

    /// Whether the gateway took it; false once it has closed.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sending = async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        };
        timeout(PATIENCE, sending).await.is_ok_and(|sent| sent.is_ok())
    }

    /// The next frame; `None` at the end of the connection, clean or not.
    pub async fn next(&mut self) -> Option<Frame> {
        let reading = async {
            loop {
                if let Some(frame) = self.take() {
                    return Some(frame);
                }
                if !self.stream.read_buf(&mut self.received).await.is_ok_and(|read| read > 0) {
                    return None;
                }
            }
        };
        timeout(PATIENCE, reading).await.expect("a frame or the end")
    }

    /// Reads to the end of the connection.
    pub async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }

    fn take(&mut self) -> Option<Frame> {
        let head = self.received.get(..9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if self.received.len() < 9 + length {
            return None;
        }
        let mut whole = self.received.split_to(9 + length);
        Some(Frame { kind, flags, stream, payload: whole.split_off(9).freeze() })
    }
}

/// A frame on the wire.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// A job's head as HPACK writes it without tables and without Huffman's code.
pub fn job_block(job_type: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/v1/jobs"),
        ("tidegate-type", job_type),
    ];
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

/// A field that is never indexed.
pub fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text");
        [&[length], text.as_bytes()].concat()
    };
    [vec![0x10], text(name), text(value)].concat()
}

async fn dial(address: SocketAddr, mut trust: ClientConfig) -> TlsStream<TcpStream> {
    trust.alpn_protocols = vec![b"h2".to_vec()];
    let stream = connect(address, trust).await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    stream
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GO_AWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const ACK: u8 = 1;

/// Longer than the gateway may take to answer or close.
const PATIENCE: Duration = Duration::from_secs(15);
