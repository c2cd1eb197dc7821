//! The counts of TLS handshakes that failed, by listener and by why.

use prometheus::{IntCounterVec, Registry};

use crate::telemetry::families as family;

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFault {
    /// The client showed no certificate where one is asked for.
    NoCertificate,
    /// The client's certificate is of another authority, expired, or none that can be used.
    BadCertificate,
    /// The client refused: most often it does not trust our certificate.
    RefusedByClient,
    /// What came is no TLS: plain HTTP, most often.
    NotTls,
    /// Both speak TLS, and do not come together: an older version, no suite in common, a broken message.
    Protocol,
    /// It took longer than a head may take.
    Timeout,
    /// It gave way, since slots ran out.
    GaveWay,
    /// The client closed the connection.
    Closed,
}

impl HandshakeFault {
    /// All of them.
    pub const ALL: [HandshakeFault; 8] = [
        HandshakeFault::NoCertificate,
        HandshakeFault::BadCertificate,
        HandshakeFault::RefusedByClient,
        HandshakeFault::NotTls,
        HandshakeFault::Protocol,
        HandshakeFault::Timeout,
        HandshakeFault::GaveWay,
        HandshakeFault::Closed,
    ];

    /// What metrics and logs call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            HandshakeFault::NoCertificate => "no_certificate",
            HandshakeFault::BadCertificate => "bad_certificate",
            HandshakeFault::RefusedByClient => "refused_by_client",
            HandshakeFault::NotTls => "not_tls",
            HandshakeFault::Protocol => "protocol",
            HandshakeFault::Timeout => "timeout",
            HandshakeFault::GaveWay => "gave_way",
            HandshakeFault::Closed => "closed",
        }
    }
}

/// How many failed.
#[derive(Debug)]
pub struct HandshakeCounts(IntCounterVec);

impl HandshakeCounts {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<HandshakeCounts> {
        let failed = family::TLS_FAILED.counters(registry)?;
        for listener in ["ingest", "admin"] {
            for fault in HandshakeFault::ALL {
                failed.with_label_values(&[listener, fault.as_str()]);
            }
        }
        Ok(HandshakeCounts(failed))
    }

    /// Counts one more.
    pub fn failed(&self, listener: &'static str, fault: HandshakeFault) {
        self.0.with_label_values(&[listener, fault.as_str()]).inc();
    }
}
