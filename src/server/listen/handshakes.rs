//! The TLS handshakes of a listener: what they are made with, and what is told of those that fail.
//!
//! Each is counted by why. Who fails can fail as often as it likes, so the log has one line in a while, with the number of
//! those since the line before.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::{Error as TlsError, InvalidMessage};
use tokio_rustls::TlsAcceptor;
use tracing::info;

use crate::clock::Clock;
use crate::domain::time::Moment;
use crate::runtime::tls::Certificate;
use crate::server::listen::peer::Peer;
use crate::telemetry::handshakes::HandshakeFault;
use crate::telemetry::metrics::Metrics;

/// All handshakes of one listener.
#[derive(Debug)]
pub struct Handshakes {
    listener: &'static str,
    certificate: Arc<Certificate>,
    metrics: Arc<Metrics>,
    clock: Clock,
    told: Mutex<Told>,
}

/// One handshake.
pub(super) struct Handshake {
    pub(super) acceptor: TlsAcceptor,
    among: Arc<Handshakes>,
}

/// What the log was told.
#[derive(Debug, Default)]
struct Told {
    last: Option<Moment>,
    since: u64,
}

impl Handshakes {
    /// Those of the listener that metrics and logs call so.
    pub fn of(
        listener: &'static str,
        certificate: Arc<Certificate>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Arc<Handshakes> {
        Arc::new(Handshakes { listener, certificate, metrics, clock, told: Mutex::default() })
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
        let failed = told.lock().unwrap_or_else(PoisonError::into_inner).one_more(clock.now());
        if let Some(failed) = failed {
            info!(listener, failed, %peer, reason = fault.as_str(), "TLS handshakes fail, this one the last of them");
        }
    }
}

impl Told {
    /// Counts one more; the number of those to tell of, if it is time to tell.
    fn one_more(&mut self, now: Moment) -> Option<u64> {
        self.since += 1;
        if self.last.is_some_and(|last| now.since(last) < TELL_EVERY) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.since))
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

/// Between two lines of the log.
const TELL_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_one_line_in_a_while_with_all_that_failed_since() {
        let at = |seconds| Moment::after_origin(Duration::from_secs(seconds));
        let mut told = Told::default();
        assert_eq!(told.one_more(at(100)), Some(1), "the first at once");
        for second in [100, 101, 104] {
            assert_eq!(told.one_more(at(second)), None);
        }
        assert_eq!(told.one_more(at(105)), Some(4));
        assert_eq!(told.one_more(at(109)), None);
        assert_eq!(told.one_more(at(500)), Some(2));
    }
}
