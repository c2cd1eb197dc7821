//! Authorities and the certificates that they issue, for servers and for clients.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, SignatureAlgorithm, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// One who issues certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// The authority's own certificate.
    pub fn pem(&self) -> String {
        self.pem.clone()
    }

    /// A certificate for loopback, valid for ninety days more.
    pub fn issue(&self) -> Pair {
        self.issue_until(SystemTime::now() + 90 * DAY)
    }

    /// A certificate for loopback, valid until then.
    pub fn issue_until(&self, end: SystemTime) -> Pair {
        self.issue_of(&PKCS_ECDSA_P256_SHA256, end)
    }

    /// A certificate with a key of this kind.
    pub fn issue_of(&self, kind: &'static SignatureAlgorithm, end: SystemTime) -> Pair {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = date_time_ymd(1970, 1, 1) + end.duration_since(UNIX_EPOCH).unwrap();
        let key = KeyPair::generate_for(kind).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client that trusts this authority and shows no certificate.
    pub fn trusted(&self) -> ClientConfig {
        self.trust(None)
    }

    /// A client that trusts this authority and shows that certificate.
    pub fn trusted_by(&self, client: &Pair) -> ClientConfig {
        self.trust(Some(client))
    }

    fn trust(&self, client: Option<&Pair>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let Some(client) = client else { return builder.with_no_client_auth() };
        let chain = vec![CertificateDer::from_pem_slice(client.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(client.key.as_bytes()).unwrap();
        builder.with_client_auth_cert(chain, key).unwrap()
    }
}

/// A connection over TLS, its handshake done as far as the client can tell.
pub async fn connect(address: SocketAddr, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let shaking = TlsConnector::from(Arc::new(config)).connect(name, stream);
    timeout(PATIENCE, shaking).await.expect("a handshake ends")
}

/// The certificate that a new connection is shown, DER.
pub async fn shown(address: SocketAddr, config: ClientConfig) -> Vec<u8> {
    let stream = connect(address, config).await.expect("a handshake");
    stream.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec()
}

impl Pair {
    /// The certificate, DER.
    pub fn der(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap().to_vec()
    }
}

pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const PATIENCE: Duration = Duration::from_secs(15);
