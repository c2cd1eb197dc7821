//! The collector at the other end: the exporter of OpenTelemetry over hyper, which remembers why a post failed.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use rustls::{ClientConfig, RootCertStore};

use crate::telemetry::trace::delivery::ANSWER_TIME;
use crate::telemetry::trace::settings::CollectorUrl;

/// Why a collector cannot be spoken to at all.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// TLS.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// There are no authorities to trust.
    #[error("this machine trusts no certificates: name a file of authorities by SSL_CERT_FILE")]
    NoAuthorities(#[source] io::Error),
    /// The exporter refuses its settings, of which some come from OpenTelemetry's environment variables.
    #[error("the exporter cannot be made")]
    Exporter(#[from] ExporterBuildError),
}

/// A collector.
#[derive(Debug)]
pub(super) struct Collector {
    exporter: SpanExporter,
    failure: Arc<ArcSwapOption<String>>,
}

impl Collector {
    /// The collector at this address; nothing is connected yet.
    pub(super) fn at(url: &CollectorUrl, resource: &Resource) -> Result<Collector, CollectorError> {
        let failure = Arc::new(ArcSwapOption::empty());
        let post = HyperClient::new(connector(url)?, ANSWER_TIME, None);
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Post { client: post, failure: Arc::clone(&failure) })
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(url.traces())
            .with_timeout(ANSWER_TIME)
            .build()?;
        exporter.set_resource(resource);
        Ok(Collector { exporter, failure })
    }

    /// Sends spans; a failure that may pass is tried again for a moment.
    ///
    /// # Errors
    /// Why they were not taken.
    pub(super) async fn send(&self, spans: Vec<SpanData>) -> Result<(), String> {
        self.failure.store(None);
        self.exporter.export(spans).await.map_err(|error| match (self.failure.swap(None), error) {
            (Some(failure), _) => failure.to_string(),
            (None, OTelSdkError::InternalFailure(reason)) => reason,
            (None, error) => error.to_string(),
        })
    }
}

/// HTTP or TLS as the address says. What a certificate is trusted by is the machine's to say, and `SSL_CERT_FILE`'s.
fn connector(url: &CollectorUrl) -> Result<HttpsConnector<HttpConnector>, CollectorError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let tls = if url.is_secure() {
        tls.with_native_roots().map_err(CollectorError::NoAuthorities)?
    } else {
        tls.with_root_certificates(RootCertStore::empty())
    };
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls.with_no_client_auth());
    Ok(connector.https_or_http().enable_http1().build())
}

/// hyper's client; why it failed is kept, which the exporter does not tell.
#[derive(Debug)]
struct Post {
    client: HyperClient<HttpsConnector<HttpConnector>>,
    failure: Arc<ArcSwapOption<String>>,
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.client.send_bytes(request).await;
        let failure = answer.as_ref().err().map(|error| Arc::new(told(error)));
        self.failure.store(failure);
        answer
    }
}

/// An error with its causes.
fn told(error: &HttpError) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}
