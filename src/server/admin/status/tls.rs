//! What each listener's TLS is at this moment, as operators see it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::time::Timestamp;
use crate::runtime::tls::{Certificate, Certificates, Change};
use crate::server::fields::Text;

/// The TLS of both listeners; null where plain HTTP is spoken.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Tls")]
pub(super) struct TlsStatus {
    ingest: Option<ListenerTls>,
    admin: Option<ListenerTls>,
}

/// One listener's TLS.
#[derive(Serialize, JsonSchema)]
struct ListenerTls {
    /// When the certificate in force, or one of its chain, expires; null where that cannot be read.
    not_after: Option<Text<Timestamp>>,
    /// Whether clients must show a certificate.
    client_certificates: bool,
    /// How the last change of the files went; null while they are as at the start.
    last_reload: Option<Reload>,
}

/// How a change of the files went.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TlsReload")]
struct Reload {
    at: Text<Timestamp>,
    /// Whether the files were taken over.
    taken: bool,
    /// Why not, where they were not.
    fault: Option<String>,
}

impl TlsStatus {
    pub(super) fn of(certificates: &Certificates) -> TlsStatus {
        TlsStatus {
            ingest: certificates.ingest.as_deref().map(ListenerTls::of),
            admin: certificates.admin.as_deref().map(ListenerTls::of),
        }
    }
}

impl ListenerTls {
    fn of(certificate: &Certificate) -> ListenerTls {
        ListenerTls {
            not_after: certificate.not_after().map(Text),
            client_certificates: certificate.asks_clients(),
            last_reload: certificate.last_change().map(Reload::of),
        }
    }
}

impl Reload {
    fn of(Change { at, fault }: Change) -> Reload {
        Reload { at: Text(at), taken: fault.is_none(), fault: fault.map(|fault| fault.to_string()) }
    }
}
