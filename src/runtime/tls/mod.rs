//! What a listener shows its clients: the certificate in force, until when it is valid, and how the last change went.

pub mod material;
pub mod reload;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;

use crate::domain::time::Timestamp;
use crate::runtime::tls::material::{Contents, Material, MaterialError};

/// The files of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those of its chain, PEM.
    pub certificate: PathBuf,
    /// The certificate's private key, PEM.
    pub key: PathBuf,
    /// The authorities whose client certificates are let in, PEM; none: clients show no certificate.
    pub client_ca: Option<PathBuf>,
}

/// The certificate in force of one listener; new connections are shown it, existing ones go on with theirs.
#[derive(Debug)]
pub struct Certificate {
    in_force: ArcSwap<Material>,
    last_change: Mutex<Option<Change>>,
}

/// How the last change of the files went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// Why the files were not taken over; `None` where they were.
    pub fault: Option<Arc<str>>,
}

/// The listeners that speak TLS.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    /// That of clients and workers.
    pub ingest: Option<Arc<Certificate>>,
    /// That of operators.
    pub admin: Option<Arc<Certificate>>,
}

impl Certificate {
    /// Reads a listener's files; gives what was read too, to tell changes by.
    ///
    /// # Errors
    /// A file is missing, or they do not make a certificate with its key.
    pub fn read(files: &TlsFiles) -> Result<(Arc<Certificate>, Contents), MaterialError> {
        let contents = Contents::read(files)?;
        let in_force = ArcSwap::from_pointee(Material::of(files, &contents)?);
        Ok((Arc::new(Certificate { in_force, last_change: Mutex::default() }), contents))
    }

    /// What the next connection is spoken to with.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.in_force.load().config)
    }

    /// Until when the certificate in force and its chain are valid; `None` where that cannot be read.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.in_force.load().not_after
    }

    /// Whether clients must show a certificate.
    pub fn asks_clients(&self) -> bool {
        self.in_force.load().asks_clients
    }

    /// How the last change went; `None` while the files are as at the start.
    pub fn last_change(&self) -> Option<Change> {
        self.last_change.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take_over(&self, material: Material, at: Timestamp) {
        self.in_force.store(Arc::new(material));
        self.note(Change { at, fault: None });
    }

    fn note(&self, change: Change) {
        *self.last_change.lock().unwrap_or_else(PoisonError::into_inner) = Some(change);
    }
}
