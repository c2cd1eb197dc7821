//! One question to an admin listener, on a connection of its own: what it says, or in one line why there is no answer.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::AlertDescription;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::cli::status::Past;
use crate::cli::status::document::{DocumentError, Status};
use crate::cli::status::target::{KeptToken, Target};

/// Asks one admin listener.
#[derive(Debug)]
pub(super) struct Asker {
    target: Target,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("the runtime cannot be started: {0}")]
    Runtime(io::Error),
    #[error("standard output cannot be written: {0}")]
    Untold(io::Error),
    #[error("{url} does not answer: {source}; does the gateway run, and is this its admin listener (--url)?")]
    Unreachable { url: String, source: io::Error },
    #[error("{url} gave no answer within {} s", BOUND.as_secs())]
    Late { url: String },
    #[error("{url}: TLS fails: {source}{}", hint(source))]
    Tls { url: String, source: io::Error },
    #[error("{url} ended the connection before the end of its answer: {why}")]
    Broken { url: String, why: String },
    #[error("{url} does not answer in HTTP{}", if *plain { ": does it speak TLS (https)?" } else { "" })]
    NotHttp { url: String, plain: bool },
    #[error(
        "{url} asks for its admin token: name the file that holds it with --token-file{}",
        kept.as_ref().map_or_else(|| ", or without --url by admin.token_file".to_owned(), |kept| format!("; {kept}"))
    )]
    TokenMissing { url: String, kept: Option<KeptToken> },
    #[error("{url} does not take the token of `{}`: it has another one", file.display())]
    TokenWrong { url: String, file: PathBuf },
    #[error("{url} refuses this request: {detail}; a name of the gateway's belongs into its admin.hosts")]
    Forbidden { url: String, detail: String },
    #[error("{url} is a tidegate that has no status there: is it the ingest listener? admin is another one")]
    OtherListener { url: String },
    #[error("{url} answers {status}: {detail}")]
    Refused { url: String, status: u16, detail: String },
    #[error("{url} is no admin listener of a tidegate: {why}")]
    NoGateway { url: String, why: String },
    #[error("{url}: {source}; --json gives its document as it is")]
    Unreadable { url: String, source: DocumentError },
}

impl AskError {
    /// Whether it may pass by itself: nobody is there, or the gateway has no room. Else somebody must mend the question.
    pub(super) const fn may_pass(&self) -> bool {
        match self {
            AskError::Unreachable { .. } | AskError::Late { .. } | AskError::Broken { .. } => true,
            AskError::Refused { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }
}

/// What a refusal says of itself.
#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    detail: String,
}

impl Asker {
    pub(super) const fn new(target: Target) -> Asker {
        Asker { target }
    }

    /// Whom it asks.
    pub(super) fn url(&self) -> String {
        self.target.address.to_string()
    }

    /// The document of `/v1/status`, as the gateway gave it.
    ///
    /// # Errors
    /// There is no answer, or it is no gateway's.
    pub(super) async fn status(&self) -> Result<String, AskError> {
        let answer = timeout(BOUND, self.exchange("/v1/status")).await;
        let text = answer.unwrap_or_else(|_| Err(AskError::Late { url: self.url() }))?;
        if !document_of_a_gateway(&text) {
            let why = "what it says to /v1/status is no status".to_owned();
            return Err(AskError::NoGateway { url: self.url(), why });
        }
        Ok(text)
    }

    /// What a document says.
    ///
    /// # Errors
    /// The gateway is older, or much newer, than this programme.
    pub(super) fn read(&self, document: &str) -> Result<Status, AskError> {
        Status::read(document).map_err(|source| AskError::Unreadable { url: self.url(), source })
    }

    /// The last hour; nothing where the gateway tells none soon. It is an extra: without it the state is shown all the same.
    pub(super) async fn history(&self) -> Past {
        let answer = timeout(HISTORY_BOUND, self.exchange("/v1/history")).await;
        serde_json::from_str(&answer.ok()?.ok()?).ok()
    }

    async fn exchange(&self, path: &str) -> Result<String, AskError> {
        let Target { address, tls, .. } = &self.target;
        let stream = TcpStream::connect((address.host(), address.port()))
            .await
            .map_err(|source| AskError::Unreachable { url: self.url(), source })?;
        let Some(tls) = tls else { return self.request(stream, path).await };
        let failed = |source| AskError::Tls { url: self.url(), source };
        let name = ServerName::try_from(address.host().to_owned());
        let name = name.map_err(|error| failed(io::Error::other(error)))?;
        let stream = TlsConnector::from(tls.clone()).connect(name, stream).await.map_err(failed)?;
        self.request(stream, path).await
    }

    async fn request(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        path: &str,
    ) -> Result<String, AskError> {
        let broken = |source: hyper::Error| {
            let (url, plain) = (self.url(), self.target.tls.is_none());
            if source.is_parse() {
                AskError::NotHttp { url, plain }
            } else {
                AskError::Broken { url, why: causes(&source) }
            }
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends with the sender; what went wrong is told there.
        tokio::spawn(connection);
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = path.parse().unwrap_or_default();
        let host = HeaderValue::from_str(self.target.address.authority().as_str());
        request.headers_mut().extend(host.map(|host| (HOST, host)));
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(token) = &self.target.token
            && let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
        {
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        self.text(sender.send_request(request).await.map_err(broken)?).await
    }

    /// What an answer says, where it is a good one.
    async fn text(&self, answer: Response<hyper::body::Incoming>) -> Result<String, AskError> {
        let (url, status) = (self.url(), answer.status().as_u16());
        let no_gateway = |why: &str| AskError::NoGateway { url: self.url(), why: why.to_owned() };
        let body = match Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(no_gateway("its answer does not end"));
            }
            Err(error) => return Err(AskError::Broken { url, why: causes(&*error) }),
        };
        let text = String::from_utf8(body.to_vec()).map_err(|_| no_gateway("its answer is no text"))?;
        if status == 200 {
            return Ok(text);
        }
        let problem = serde_json::from_str::<Problem>(&text).ok();
        let Some(Problem { detail, .. }) = problem.filter(|problem| problem.kind.starts_with(OUR_PROBLEMS))
        else {
            return Err(no_gateway(&format!("it answers {status}")));
        };
        Err(match status {
            401 => match &self.target.token {
                Some(token) => AskError::TokenWrong { url, file: token.file().to_owned() },
                None => AskError::TokenMissing { url, kept: self.target.kept.clone() },
            },
            403 => AskError::Forbidden { url, detail },
            404 => AskError::OtherListener { url },
            _ => AskError::Refused { url, status, detail },
        })
    }
}

/// Whether a document is a gateway's, of whatever version.
fn document_of_a_gateway(text: &str) -> bool {
    let document = serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    document.get("version").is_some_and(serde_json::Value::is_string)
        && document.get("tiers").is_some_and(serde_json::Value::is_object)
}

/// An error and what is behind it, in one line; with what helps, where TLS is behind it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> String {
    let behind = |error: &&'a (dyn Error + 'static)| <dyn Error + 'static>::source(*error);
    let all = || successors(Some(error), behind);
    let mut texts: Vec<String> = all().map(ToString::to_string).collect();
    // Some say what is behind them themselves.
    texts.dedup_by(|inner, outer| outer.ends_with(&**inner));
    let tls = all().filter_map(|error| error.downcast_ref::<io::Error>()).map(hint).collect::<String>();
    texts.join(": ") + &tls
}

/// What helps where a handshake fails, as far as that can be told.
fn hint(error: &io::Error) -> &'static str {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            "; it asks for a certificate: --cert and --key"
        }
        Some(rustls::Error::InvalidMessage(_)) => "; does it speak plain HTTP (http)?",
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
            "; --ca FILE names the authority that vouches for it"
        }
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::ApplicationVerificationFailure)) => {
            "; it shows another certificate than that of admin.tls: is it this configuration's gateway?"
        }
        _ => "",
    }
}

/// From the connection to the last byte: a gateway that is slower is in trouble itself.
const BOUND: Duration = Duration::from_secs(5);

/// The state is waited for, what was before it only so long.
const HISTORY_BOUND: Duration = Duration::from_secs(1);

/// A status with very many groups has some hundred kilobytes.
const LONGEST_ANSWER: usize = 16 << 20;

/// How the types of the gateway's refusals begin.
const OUR_PROBLEMS: &str = "urn:tidegate:problem";
