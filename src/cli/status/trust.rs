//! What vouches for a gateway that speaks TLS: authorities, or the very certificate that the configuration names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Whom to believe.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trust<'a> {
    /// The authorities of this file.
    Authorities(&'a Path),
    /// Exactly the certificate of this file, whatever name it is for: the gateway's own, on its own machine.
    This(&'a Path),
    /// The authorities of this machine.
    System,
}

/// Why TLS cannot be spoken; says which file and never what is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrustError {
    #[error("the file `{}` cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the file `{}` holds no certificate (PEM, `BEGIN CERTIFICATE`)", .0.display())]
    NoCertificate(PathBuf),
    #[error("the file `{}` holds no private key without a password (PEM)", .0.display())]
    NoKey(PathBuf),
    #[error("this machine has no authorities to check a certificate with: name one with --ca FILE")]
    NoSystemAuthorities,
    #[error("--cert and --key make no TLS: {0}")]
    Refused(Error),
}

/// How TLS is spoken to a gateway that is trusted so; `identity` is a certificate to show, and its key.
///
/// # Errors
/// A file that cannot be used, or a machine without authorities.
pub(super) fn client(
    trust: &Trust<'_>,
    identity: Option<(&Path, &Path)>,
) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TrustError::Refused)?;
    let builder = match trust {
        Trust::This(file) => {
            let own = certificates(file)?.into_iter().next();
            let certificate = own.ok_or_else(|| TrustError::NoCertificate(file.to_path_buf()))?;
            let verifier = Pinned { certificate, provider };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        Trust::Authorities(file) => builder.with_root_certificates(roots(certificates(file)?, file)?),
        Trust::System => builder.with_root_certificates(system_roots()?),
    };
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(TrustError::Refused)?,
    };
    Ok(Arc::new(config))
}

fn roots(certificates: Vec<CertificateDer<'static>>, file: &Path) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err(TrustError::NoCertificate(file.to_owned())),
        _ => Ok(roots),
    }
}

fn system_roots() -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    // Single ones that cannot be read are others' business.
    let found = rustls_native_certs::load_native_certs().certs;
    match roots.add_parsable_certificates(found) {
        (0, _) => Err(TrustError::NoSystemAuthorities),
        _ => Ok(roots),
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let bytes = read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TrustError::NoCertificate(file.to_owned())),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TrustError> {
    PrivateKeyDer::from_pem_slice(&read(file)?).map_err(|_| TrustError::NoKey(file.to_owned()))
}

fn read(file: &Path) -> Result<Vec<u8>, TrustError> {
    fs::read(file).map_err(|source| TrustError::Unreadable { path: file.to_owned(), source })
}

/// Believes one certificate and no other: no authority and no name is asked, since the file itself is at hand.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *shown == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
