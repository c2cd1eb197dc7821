//! A lean HTTP client: what the demo's clients, workers and commentary speak to the gateway with.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// Calls one listener; clones share its connections.
#[derive(Clone, Debug)]
pub struct Caller {
    pool: Client<HttpConnector, Full<Bytes>>,
    listener: SocketAddr,
    token: Option<String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whether it went well.
    pub good: bool,
    /// When to come back, where the answer says so.
    pub retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The request could not be made.
    #[error("not a request")]
    Request(#[from] http::Error),
    /// There was no connection, or it broke.
    #[error("no answer")]
    Connection(#[from] hyper_util::client::legacy::Error),
    /// The answer broke off.
    #[error("half an answer")]
    Body(#[from] hyper::Error),
    /// It took too long.
    #[error("no answer in time")]
    Late,
    /// The answer is not what was expected.
    #[error("an unexpected answer")]
    Unexpected(#[from] serde_json::Error),
}

impl Caller {
    /// A caller of this listener, who bears this token.
    pub fn new(listener: SocketAddr, token: Option<String>) -> Caller {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut pool = Client::builder(TokioExecutor::new());
        pool.pool_idle_timeout(IDLE).pool_timer(hyper_util::rt::TokioTimer::new());
        Caller { pool: pool.build(connector), listener, token }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// There is no answer, or it is not the document.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(Method::GET, path, &[], Bytes::new()).await?.read()
    }

    /// Posts JSON and reads the answer.
    ///
    /// # Errors
    /// As [`read`](Caller::read).
    pub async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<T, CallError> {
        self.post(path, &[(CONTENT_TYPE.as_str(), "application/json")], body.to_string()).await?.read()
    }

    /// Posts.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Answer, CallError> {
        self.call(Method::POST, path, headers, body.into()).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, CallError> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.listener));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body))?;
        timeout(PATIENCE, self.exchange(request)).await.map_err(|_| CallError::Late)?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, CallError> {
        let (head, body) = self.pool.request(request).await?.into_parts();
        let seconds = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Answer {
            good: head.status.is_success(),
            retry_after: seconds.map(Duration::from_secs),
            body: body.collect().await?.to_bytes(),
        })
    }
}

impl Answer {
    /// The answer's document.
    ///
    /// # Errors
    /// It is not of this form.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// The gateway closes connections that are idle for `limits.header_timeout`; one that is used no more by then is not met
/// by its closing.
const IDLE: Duration = Duration::from_secs(2);

/// Longer than a long poll and a slow disk.
const PATIENCE: Duration = Duration::from_secs(20);
