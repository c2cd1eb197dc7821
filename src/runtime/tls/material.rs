//! From files to what TLS is spoken with: a certificate with its chain and key, and the authorities of clients.
//!
//! Errors name files and never say what is in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use x509_cert::Certificate as Parsed;
use x509_cert::der::Decode;

use crate::domain::time::Timestamp;
use crate::runtime::tls::TlsFiles;

/// What new connections are spoken to with.
#[derive(Debug)]
pub struct Material {
    pub(super) config: Arc<ServerConfig>,
    pub(super) not_after: Option<Timestamp>,
    pub(super) asks_clients: bool,
}

/// The bytes of a listener's files. Their debug form hides them.
#[derive(Clone, PartialEq, Eq)]
pub struct Contents {
    pub(super) certificate: Arc<[u8]>,
    pub(super) key: Arc<[u8]>,
    pub(super) client_ca: Option<Arc<[u8]>>,
}

/// Which of a listener's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `certificate`.
    Certificate,
    /// `key`.
    Key,
    /// `client_ca`.
    ClientCa,
}

/// Why files cannot be used; says which and never what is in them.
#[derive(Debug, thiserror::Error)]
#[error("the file `{}` {fault}", path.display())]
pub struct MaterialError {
    /// Which of the listener's files.
    pub part: Part,
    path: PathBuf,
    fault: Fault,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("cannot be read: {0}")]
    Unreadable(Arc<io::Error>),
    #[error("is not PEM from its begin lines to its end lines")]
    NotPem,
    #[error("holds no certificate (PEM, `BEGIN CERTIFICATE`)")]
    NoCertificate,
    #[error("holds a certificate that cannot be used: {0}")]
    BadCertificate(rustls::Error),
    #[error("holds no private key (PEM: PKCS#8, PKCS#1 or SEC1)")]
    NoKey,
    #[error("holds a private key under a password: keep it without one, readable for the gateway alone")]
    Encrypted,
    #[error(
        "holds a private key that cannot be used: RSA of 2048 bits or more, ECDSA P-256 or P-384, or Ed25519"
    )]
    BadKey,
    #[error("holds the key of another certificate than the one in `{}`", certificate.display())]
    OtherKey { certificate: PathBuf },
    #[error("holds no authority that client certificates could be checked with: {0}")]
    BadAuthority(String),
    #[error("makes no TLS: {0}")]
    Refused(rustls::Error),
}

impl MaterialError {
    /// Whether another file may follow that mends it: a pair that does not match, or one that is not there.
    pub(super) const fn may_be_half_written(&self) -> bool {
        matches!(self.fault, Fault::OtherKey { .. } | Fault::Unreadable(_))
    }
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Contents(..)")
    }
}

impl Contents {
    /// Reads the files.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn read(files: &TlsFiles) -> Result<Contents, MaterialError> {
        let read = |part, path: &Path| {
            fs::read(path).map(Arc::from).map_err(|error| unreadable(part, path, Arc::new(error)))
        };
        let client_ca = files.client_ca.as_deref().map(|path| read(Part::ClientCa, path)).transpose()?;
        Ok(Contents {
            certificate: read(Part::Certificate, &files.certificate)?,
            key: read(Part::Key, &files.key)?,
            client_ca,
        })
    }
}

pub(super) fn unreadable(part: Part, path: &Path, error: Arc<io::Error>) -> MaterialError {
    MaterialError { part, path: path.to_owned(), fault: Fault::Unreadable(error) }
}

impl Material {
    /// What the files make.
    ///
    /// # Errors
    /// They are not PEM, hold something else, or do not belong together.
    pub fn of(files: &TlsFiles, contents: &Contents) -> Result<Material, MaterialError> {
        let of = |part, path: &Path| {
            let path = path.to_owned();
            move |fault| MaterialError { part, path, fault }
        };
        let chain = certificates(&contents.certificate).map_err(of(Part::Certificate, &files.certificate))?;
        let key = private_key(&contents.key).map_err(of(Part::Key, &files.key))?;
        let not_after = chain.iter().map(not_after).min().flatten();
        let key = ring::default_provider().key_provider.load_private_key(key);
        let key = key.map_err(|_| Fault::BadKey).map_err(of(Part::Key, &files.key))?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // Unknown where a kind of key does not tell its public half; then clients find out.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                let fault = Fault::OtherKey { certificate: files.certificate.clone() };
                return Err(of(Part::Key, &files.key)(fault));
            }
            Err(error) => {
                return Err(of(Part::Certificate, &files.certificate)(Fault::BadCertificate(error)));
            }
        }
        let authorities = match (&files.client_ca, &contents.client_ca) {
            (Some(path), Some(bytes)) => Some(authorities(bytes).map_err(of(Part::ClientCa, path))?),
            _ => None,
        };
        let asks_clients = authorities.is_some();
        let config =
            server_config(certified, authorities).map_err(of(Part::Certificate, &files.certificate))?;
        Ok(Material { config: Arc::new(config), not_after, asks_clients })
    }
}

fn server_config(certified: CertifiedKey, authorities: Option<RootCertStore>) -> Result<ServerConfig, Fault> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(Fault::Refused)?;
    let builder = match authorities {
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder
                .with_client_cert_verifier(verifier.map_err(|error| Fault::BadAuthority(error.to_string()))?)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_11.to_vec()];
    Ok(config)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| Fault::NotPem)?;
    if found.is_empty() { Err(Fault::NoCertificate) } else { Ok(found) }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    let has = |words: &[u8]| pem.windows(words.len()).any(|window| window == words);
    if has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED") {
        return Err(Fault::Encrypted);
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => Fault::NoKey,
        _ => Fault::NotPem,
    })
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| Fault::BadAuthority(error.to_string()))?;
    }
    Ok(roots)
}

/// Until when a certificate is valid; `None` where that cannot be read.
fn not_after(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let parsed = Parsed::from_der(certificate).ok()?;
    let since_epoch = parsed.tbs_certificate.validity.not_after.to_unix_duration();
    Some(Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)))
}

/// HTTP/2, as clients choose it in the handshake (ALPN).
pub const HTTP_2: &[u8] = b"h2";

/// HTTP/1.1's name there: who only speaks another protocol is told so.
const HTTP_11: &[u8] = b"http/1.1";

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// A certificate that ends then, PEM, and its key.
    fn issued(year: i32) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn made(certificate: &str, key: &str) -> Result<Material, MaterialError> {
        let bytes = |text: &str| Arc::from(text.as_bytes());
        let files = TlsFiles { certificate: "a.pem".into(), key: "a.key".into(), client_ca: None };
        Material::of(&files, &Contents { certificate: bytes(certificate), key: bytes(key), client_ca: None })
    }

    #[test]
    fn a_chain_is_valid_until_its_first_certificate_expires() {
        let ((leaf, key), (above, other)) = (issued(2031), issued(2029));
        let ends = |certificate: &str| made(certificate, &key).unwrap().not_after.unwrap().to_string();
        assert_eq!(ends(&leaf), "2031-01-01T00:00:00.000Z");
        assert_eq!(ends(&format!("{leaf}{above}")), "2029-01-01T00:00:00.000Z");
        assert!(made(&leaf, &other).unwrap_err().may_be_half_written());
        assert!(!made("", &key).unwrap_err().may_be_half_written());
    }
}
