//! A collector of traces: takes OTLP over HTTP on loopback, keeps every span it is sent, and can refuse, hang or be away.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::poll::until;

/// A collector; it is gone when it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    book: Arc<Book>,
    task: JoinHandle<()>,
}

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Takes,
    /// It takes its time with each post.
    IsSlow,
    /// 200, and it says that it did not take the first span.
    TakesAllButOne,
    /// 400: it will never take this.
    Refuses,
    /// 200, and a page: it is no collector.
    IsAWebsite,
    /// It reads and does not answer.
    Hangs,
}

#[derive(Debug)]
struct Book {
    mood: Mutex<Mood>,
    connections: AtomicU64,
    posts: AtomicU64,
    heads: Mutex<Vec<BTreeMap<String, String>>>,
    spans: Mutex<Vec<Seen>>,
}

/// A span as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub name: String,
    /// `server`, `internal`, `producer`, `consumer` or `client`.
    pub kind: &'static str,
    pub trace: String,
    pub span: String,
    /// Nothing at the root of a trace.
    pub parent: String,
    pub state: String,
    pub attributes: BTreeMap<String, String>,
    /// Trace and span of each.
    pub links: Vec<(String, String)>,
    pub is_error: bool,
    pub took: Duration,
    pub resource: BTreeMap<String, String>,
}

impl Seen {
    #[track_caller]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or_else(|| panic!("no {name}: {self:#?}"), String::as_str)
    }

    #[track_caller]
    pub fn has(&self, expected: &[(&str, &str)]) {
        for (name, value) in expected {
            assert_eq!(self.attribute(name), *value, "{name} of {}", self.name);
        }
    }

    /// As a child of it is told of it.
    pub fn context(&self) -> String {
        format!("00-{}-{}-01", self.trace, self.span)
    }
}

impl Collector {
    pub async fn start() -> Collector {
        Collector::serve(0, None).await
    }

    /// One that speaks TLS.
    pub async fn secure(tls: ServerConfig) -> Collector {
        Collector::serve(0, Some(tls)).await
    }

    /// One at this port, which was free a moment ago.
    pub async fn at(port: u16) -> Collector {
        Collector::serve(port, None).await
    }

    async fn serve(port: u16, tls: Option<ServerConfig>) -> Collector {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let book = Arc::new(Book {
            mood: Mutex::new(Mood::Takes),
            connections: AtomicU64::new(0),
            posts: AtomicU64::new(0),
            heads: Mutex::default(),
            spans: Mutex::default(),
        });
        let tls = tls.map(|tls| TlsAcceptor::from(Arc::new(tls)));
        let task = tokio::spawn({
            let book = Arc::clone(&book);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    book.connections.fetch_add(1, Ordering::Relaxed);
                    let (book, tls) = (Arc::clone(&book), tls.clone());
                    tokio::spawn(async move {
                        match tls {
                            None => answer(stream, book).await,
                            Some(tls) => {
                                if let Ok(stream) = tls.accept(stream).await {
                                    answer(stream, book).await;
                                }
                            }
                        }
                    });
                }
            }
        });
        Collector { address, book, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn secure_url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    pub fn mood(&self, mood: Mood) {
        *self.book.mood.lock().unwrap() = mood;
    }

    pub fn connections(&self) -> u64 {
        self.book.connections.load(Ordering::Relaxed)
    }

    /// Posts that it read, whatever it answered.
    pub fn posts(&self) -> u64 {
        self.book.posts.load(Ordering::Relaxed)
    }

    /// The header fields of each post.
    pub fn heads(&self) -> Vec<BTreeMap<String, String>> {
        self.book.heads.lock().unwrap().clone()
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Seen> {
        self.book.spans.lock().unwrap().clone()
    }

    /// Waits for so many spans of a name; there are no more.
    pub async fn named(&self, name: &str, count: usize) -> Vec<Seen> {
        let named = || self.spans().into_iter().filter(|span| span.name == name).collect::<Vec<_>>();
        until(&format!("{count} spans {name}, of {:?}", self.names()), PATIENCE, async || {
            let spans = named();
            (spans.len() >= count).then_some(())
        })
        .await;
        let spans = named();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }

    /// The one span of a name.
    pub async fn one(&self, name: &str) -> Seen {
        self.named(name, 1).await.remove(0)
    }

    fn names(&self) -> Vec<String> {
        self.spans().into_iter().map(|span| span.name).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, book: Arc<Book>) {
    let service = service_fn(move |request| {
        let book = Arc::clone(&book);
        async move { Ok::<_, Infallible>(take(request, &book).await) }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn take(request: Request<Incoming>, book: &Book) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    assert_eq!((parts.method.as_str(), parts.uri.path()), ("POST", "/v1/traces"));
    let Ok(body) = body.collect().await else { return Response::default() };
    book.posts.fetch_add(1, Ordering::Relaxed);
    let head = parts.headers.iter();
    let head = head.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
    book.heads.lock().unwrap().push(head.collect());
    let mood = *book.mood.lock().unwrap();
    match mood {
        Mood::Takes | Mood::IsSlow | Mood::TakesAllButOne => {
            if mood == Mood::IsSlow {
                sleep(SLOW).await;
            }
            let request = ExportTraceServiceRequest::decode(body.to_bytes()).expect("OTLP");
            let refused = usize::from(mood == Mood::TakesAllButOne);
            book.spans.lock().unwrap().extend(read(request).into_iter().skip(refused));
            let partial_success = (refused > 0).then(|| ExportTracePartialSuccess {
                rejected_spans: 1,
                error_message: "one is too many".to_owned(),
            });
            Response::new(Full::from(ExportTraceServiceResponse { partial_success }.encode_to_vec()))
        }
        Mood::Refuses => {
            let mut refusal = Response::default();
            *refusal.status_mut() = http::StatusCode::BAD_REQUEST;
            refusal
        }
        Mood::IsAWebsite => Response::builder()
            .header("content-type", "text/html; charset=utf-8")
            .body(Full::from("<!doctype html><title>Sign in</title>"))
            .expect("an answer"),
        Mood::Hangs => std::future::pending().await,
    }
}

fn read(request: ExportTraceServiceRequest) -> Vec<Seen> {
    let mut seen = Vec::new();
    for group in request.resource_spans {
        let resource = attributes(&group.resource.expect("a resource").attributes);
        for scope in group.scope_spans {
            assert_eq!(scope.scope.expect("a scope").name, "tidegate");
            seen.extend(scope.spans.iter().map(|span| seen_as(span, &resource)));
        }
    }
    seen
}

fn seen_as(span: &Span, resource: &BTreeMap<String, String>) -> Seen {
    Seen {
        name: span.name.clone(),
        kind: ["", "internal", "server", "client", "producer", "consumer"][span.kind as usize],
        trace: hex(&span.trace_id),
        span: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        state: span.trace_state.clone(),
        attributes: attributes(&span.attributes),
        links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
        is_error: span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32),
        took: Duration::from_nanos(span.end_time_unix_nano - span.start_time_unix_nano),
        resource: resource.clone(),
    }
}

fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| text(value.as_ref().and_then(|value| value.value.as_ref()));
    attributes.iter().map(|attribute| (attribute.key.clone(), text(&attribute.value))).collect()
}

fn text(value: Option<&Value>) -> String {
    match value.expect("a value") {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::ArrayValue(list) => {
            let items: Vec<_> = list.values.iter().map(|value| text(value.value.as_ref())).collect();
            items.join(",")
        }
        other => panic!("no attribute is {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Longer than a gateway with nothing in flight needs to stop, and less than half of what it gives the last spans.
const SLOW: Duration = Duration::from_millis(1_300);

const PATIENCE: Duration = Duration::from_secs(20);
