//! The TLS handshakes of a listener: what they are made with, and what is told of those that fail.
//!
//! Each is counted by why. Who fails can fail as often as it likes, so the log has one line in a while, with the number of
//! those since the line before.

use std::io;
use std::sync::Arc;

use rustls::{Error as TlsError, InvalidMessage};
use tokio_rustls::TlsAcceptor;
use tracing::info;

use crate::clock::Clock;
use crate::runtime::tls::Certificate;
use crate::server::listen::peer::Peer;
use crate::telemetry::handshakes::HandshakeFault;
use crate::telemetry::log::sampled::Sampled;
use crate::telemetry::metrics::Metrics;

/// All handshakes of one listener.
#[derive(Debug)]
pub struct Handshakes {
    listener: &'static str,
    certificate: Arc<Certificate>,
    metrics: Arc<Metrics>,
    clock: Clock,
    told: Sampled,
}

/// One handshake.
pub(super) struct Handshake {
    pub(super) acceptor: TlsAcceptor,
    among: Arc<Handshakes>,
}

impl Handshakes {
    /// Those of the listener that metrics and logs call so.
    pub fn of(
        listener: &'static str,
        certificate: Arc<Certificate>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Arc<Handshakes> {
        Arc::new(Handshakes { listener, certificate, metrics, clock, told: Sampled::default() })
    }

    /// One more, with the certificate in force now: a renewed one is for those who come after.
    pub(super) fn begin(self: &Arc<Handshakes>) -> Handshake {
        Handshake { acceptor: TlsAcceptor::from(self.certificate.config()), among: Arc::clone(self) }
    }
}

impl Handshake {
    /// It failed.
    pub(super) fn failed(&self, fault: HandshakeFault, Peer(peer): Peer) {
        let Handshakes { listener, metrics, clock, told, .. } = &*self.among;
        metrics.handshakes.failed(listener, fault);
        if let Some(failed) = told.one_more(clock.now()) {
            info!(listener, failed, %peer, reason = fault.as_str(), "TLS handshakes fail, this one the last of them");
        }
    }
}

/// Why a handshake ended with this error.
pub(super) fn fault(error: &io::Error) -> HandshakeFault {
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    match of_tls {
        None => HandshakeFault::Closed,
        Some(TlsError::NoCertificatesPresented) => HandshakeFault::NoCertificate,
        Some(TlsError::InvalidCertificate(_)) => HandshakeFault::BadCertificate,
        Some(TlsError::AlertReceived(_)) => HandshakeFault::RefusedByClient,
        Some(TlsError::InvalidMessage(InvalidMessage::InvalidContentType)) => HandshakeFault::NotTls,
        Some(_) => HandshakeFault::Protocol,
    }
}
