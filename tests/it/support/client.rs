//! A well-behaved HTTP client that keeps its connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use super::answer::Answer;

/// A client of one listener; clones share its connections.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    scheme: &'static str,
    address: SocketAddr,
    bearer: Option<String>,
}

/// One request, being put together.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        // Not used over plain TCP.
        let nobody = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let nobody = nobody.with_safe_default_protocol_versions().unwrap();
        let tls = nobody.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        Client::by(connector.wrap_connector(tcp()), "http", address)
    }

    /// A client over TLS, HTTP/1.1.
    pub fn secure(address: SocketAddr, tls: ClientConfig) -> Client {
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1();
        Client::by(connector.wrap_connector(tcp()), "https", address)
    }

    /// A client over TLS, HTTP/2.
    pub fn over_http2(address: SocketAddr, tls: ClientConfig) -> Client {
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http2();
        let pool =
            Pool::builder(TokioExecutor::new()).http2_only(true).build(connector.wrap_connector(tcp()));
        Client { pool, scheme: "https", address, bearer: None }
    }

    fn by(connector: HttpsConnector<HttpConnector>, scheme: &'static str, address: SocketAddr) -> Client {
        Client { pool: Pool::builder(TokioExecutor::new()).build(connector), scheme, address, bearer: None }
    }

    /// A client that shows this token with every request.
    pub fn with_bearer(mut self, token: Option<String>) -> Client {
        self.bearer = token;
        self
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn ask(&self, method: Method, path: &str) -> Ask<'_> {
        let ask = Ask { client: self, method, path: path.into(), headers: Vec::new(), body: Bytes::new() };
        match &self.bearer {
            Some(token) => ask.header("authorization", &format!("Bearer {token}")),
            None => ask,
        }
    }

    pub fn get(&self, path: &str) -> Ask<'_> {
        self.ask(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> Ask<'_> {
        self.ask(Method::POST, path)
    }

    pub async fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post(path).json(body).send().await
    }
}

impl Ask<'_> {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.parse().unwrap(), value.parse().unwrap()));
        self
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// The answer; fails the test if there is none.
    pub async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        self.try_send().await.unwrap_or_else(|why| panic!("{what}: {why}"))
    }

    /// The answer, if the gateway gives one.
    pub async fn try_send(self) -> Result<Answer, String> {
        tokio::time::timeout(PATIENCE, self.exchange())
            .await
            .map_err(|_| format!("no answer in {PATIENCE:?}"))?
    }

    async fn exchange(self) -> Result<Answer, String> {
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() =
            format!("{}://{}{}", self.client.scheme, self.client.address, self.path).parse().unwrap();
        for (name, value) in self.headers {
            request.headers_mut().append(name, value);
        }
        let started = Instant::now();
        let response = self.client.pool.request(request).await.map_err(|why| format!("{why:?}"))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|why| format!("{why:?}"))?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, took: started.elapsed() })
    }
}

fn tcp() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.enforce_http(false);
    connector
}

/// Longer than any answer may take, long polls included.
const PATIENCE: Duration = Duration::from_secs(45);
