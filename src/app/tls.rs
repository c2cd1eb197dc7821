//! The certificates of both listeners, read at the start and watched from then on.

use std::sync::Arc;

use crate::app::StartError;
use crate::clock::Clock;
use crate::config::Settings;
use crate::runtime::tls::reload::Renewal;
use crate::runtime::tls::{Certificate, Certificates, TlsFiles};

/// Reads the certificates of the listeners that speak TLS; each renewal is to be run.
///
/// # Errors
/// Files that cannot be used, or no thread to watch them with.
pub(super) fn open(settings: &Settings, clock: Clock) -> Result<(Certificates, Vec<Renewal>), StartError> {
    let mut renewals = Vec::new();
    let mut opened = |listener, files: &Option<TlsFiles>| -> Result<Option<Arc<Certificate>>, StartError> {
        let Some(files) = files else { return Ok(None) };
        let read = Certificate::read(files).map_err(|source| StartError::Tls { listener, source })?;
        let certificate = Arc::clone(&read.0);
        renewals.push(Renewal::watch(listener, files.clone(), read, clock).map_err(StartError::Watch)?);
        Ok(Some(certificate))
    };
    let ingest = opened("ingest", &settings.ingest.tls)?;
    let admin = opened("admin", &settings.admin.tls)?;
    Ok((Certificates { ingest, admin }, renewals))
}
