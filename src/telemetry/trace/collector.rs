//! The collector at the other end: the exporter of OpenTelemetry over hyper, which remembers why a post failed.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use prost::Message;
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
    loss: Arc<ArcSwapOption<Loss>>,
}

/// Spans that a collector did not take.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    /// How many; `None` is all that it was sent.
    pub spans: Option<usize>,
    /// Why.
    pub reason: String,
}

impl Collector {
    /// The collector at this address; nothing is connected yet.
    pub(super) fn at(url: &CollectorUrl, resource: &Resource) -> Result<Collector, CollectorError> {
        let loss = Arc::new(ArcSwapOption::empty());
        let post = HyperClient::new(connector(url)?, ANSWER_TIME, None);
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Post { client: post, loss: Arc::clone(&loss) })
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(url.traces())
            .with_timeout(ANSWER_TIME)
            .build()?;
        exporter.set_resource(resource);
        Ok(Collector { exporter, loss })
    }

    /// Sends spans; after a failure that may pass again for a moment.
    ///
    /// # Errors
    /// Not all of them were taken.
    pub(super) async fn send(&self, spans: Vec<SpanData>) -> Result<(), Loss> {
        let sent = self.exporter.export(spans).await;
        match (sent, self.loss.swap(None).as_deref().cloned()) {
            (Ok(()), None) => Ok(()),
            (_, Some(loss)) => Err(loss),
            (Err(OTelSdkError::InternalFailure(reason)), None) => Err(Loss { spans: None, reason }),
            (Err(error), None) => Err(Loss { spans: None, reason: error.to_string() }),
        }
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

/// hyper's client; what got lost with the last post is kept, which the exporter does not tell.
#[derive(Debug)]
struct Post {
    client: HyperClient<HttpsConnector<HttpConnector>>,
    loss: Arc<ArcSwapOption<Loss>>,
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.client.send_bytes(request).await;
        let loss = match &answer {
            Ok(answer) if answer.status().is_success() => refused(answer),
            Ok(_) => None,
            Err(error) => Some(Loss { spans: None, reason: told(error) }),
        };
        self.loss.store(loss.map(Arc::new));
        answer
    }
}

/// The spans that a collector says it did not take of those it was sent. An answer that says nothing took them all; one that
/// is none of OTLP's, such as a page in HTML, took none: it is somebody else's.
fn refused(answer: &Response<Bytes>) -> Option<Loss> {
    let Ok(said) = ExportTraceServiceResponse::decode(answer.body().clone()) else {
        let media = answer.headers().get(CONTENT_TYPE).and_then(|media| media.to_str().ok());
        let media: String = media.unwrap_or("no media type").chars().take(LONGEST_REASON).collect();
        let reason =
            format!("it answers {} with {media}, which is no answer of OTLP", answer.status().as_u16());
        return Some(Loss { spans: None, reason });
    };
    let partly = said.partial_success?;
    let spans = usize::try_from(partly.rejected_spans).ok().filter(|spans| *spans > 0)?;
    let reason = partly.error_message.chars().take(LONGEST_REASON).collect();
    Some(Loss { spans: Some(spans), reason })
}

/// What a collector says is logged up to here.
const LONGEST_REASON: usize = 200;

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

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;

    #[test]
    fn only_an_answer_of_otlp_or_an_empty_one_took_the_spans() {
        let refused = |body: Vec<u8>| refused(&Response::new(Bytes::from(body)));
        assert!(refused(Vec::new()).is_none());
        let partly = |rejected_spans| {
            let partial_success =
                ExportTracePartialSuccess { rejected_spans, error_message: "too many".to_owned() };
            ExportTraceServiceResponse { partial_success: Some(partial_success) }.encode_to_vec()
        };
        assert!(refused(partly(0)).is_none());
        assert_eq!(
            refused(partly(7)).map(|loss| (loss.spans, loss.reason)),
            Some((Some(7), "too many".to_owned()))
        );
        for other in
            ["<!doctype html>", "<html>", "OK", "ok\n", "{}", "{\"partialSuccess\":{}}", "accepted", "\n"]
        {
            assert_eq!(refused(other.into()).map(|loss| loss.spans), Some(None), "{other}");
        }
    }
}
