//! Whom to ask: an address, a token and what vouches for the other side, from the command line and the configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;
use http::uri::Authority;
use rustls::ClientConfig;

use crate::cli::Options;
use crate::cli::status::Arguments;
use crate::cli::status::trust::{Trust, TrustError, client};
use crate::config::AdminSettings;
use crate::config::load::{LoadError, load};
use crate::config::token::{Token, TokenError, read_token};

/// An admin listener and how to reach it.
#[derive(Debug)]
pub(super) struct Target {
    /// Where it is.
    pub(super) address: Address,
    /// What it may ask for.
    pub(super) token: Option<Token>,
    /// How TLS is spoken; none is plain HTTP.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// `http://127.0.0.1:9090`: a listener, without any path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    speaks_tls: bool,
    authority: Authority,
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    #[error(transparent)]
    Configuration(#[from] LoadError),
    #[error("--token-file: {0}")]
    Token(#[from] TokenError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("admin.listen takes whatever port is free: say with --url which one it got (its log has it)")]
    NoPort,
}

impl Target {
    /// What the arguments say, the rest from the configuration.
    ///
    /// # Errors
    /// A configuration, a token or a certificate that cannot be used.
    pub(super) fn of(options: &Options, arguments: &Arguments) -> Result<Target, TargetError> {
        let admin = admin(options, arguments)?;
        let token = match &arguments.token_file {
            Some(file) => Some(read_token(file)?),
            None => admin.as_ref().and_then(|admin| admin.token.clone()),
        };
        let own = admin.as_ref().and_then(|admin| admin.tls.as_ref()).map(|files| &*files.certificate);
        let (address, own) = match (&arguments.url, &admin) {
            (Some(url), _) => (url.clone(), None),
            (None, Some(admin)) => (Address::of(admin)?, own),
            (None, None) => (Address::of(&crate::config::Settings::default().admin)?, None),
        };
        let identity = arguments.cert.as_deref().zip(arguments.key.as_deref());
        let tls = if address.speaks_tls { Some(client(&trust(arguments, own), identity)?) } else { None };
        Ok(Target { address, token, tls })
    }
}

/// The admin listener of the configuration, where anything is to be known of it.
fn admin(options: &Options, arguments: &Arguments) -> Result<Option<AdminSettings>, LoadError> {
    if arguments.url.is_some() && arguments.token_file.is_some() {
        return Ok(None);
    }
    match load(&options.sources()) {
        Ok(loaded) => Ok(Some(loaded.settings.admin)),
        // A gateway that runs can be asked although the file on disk is bad by now.
        Err(error) if arguments.url.is_some() && options.config.is_none() && options.sets.is_empty() => {
            eprintln!(
                "{error}\nasking without a token: the configuration cannot be read, and there is no --token-file"
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn trust<'a>(arguments: &'a Arguments, own: Option<&'a Path>) -> Trust<'a> {
    match (&arguments.ca, own) {
        (Some(file), _) => Trust::Authorities(file),
        (None, Some(certificate)) => Trust::This(certificate),
        (None, None) => Trust::System,
    }
}

impl Address {
    /// Where the admin listener of these settings is reached from its own machine.
    fn of(admin: &AdminSettings) -> Result<Address, TargetError> {
        let ip = match admin.listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        let port = admin.listen.port();
        let authority = SocketAddr::new(ip, port).to_string().parse();
        match authority {
            Ok(authority) if port != 0 => Ok(Address { speaks_tls: admin.tls.is_some(), authority }),
            _ => Err(TargetError::NoPort),
        }
    }

    /// What stands in `Host`.
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The name or address; an IPv6 address without its brackets.
    pub(super) fn host(&self) -> &str {
        self.authority.host().trim_matches(['[', ']'])
    }

    /// The port, that of the scheme where none is written.
    pub(super) fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.speaks_tls { 443 } else { 80 })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.speaks_tls { "https" } else { "http" }, self.authority)
    }
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Address, &'static str> {
        let expected = "expects the address of an admin listener, such as http://127.0.0.1:9090";
        let uri = Uri::try_from(text).map_err(|_| expected)?;
        let speaks_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(expected),
        };
        let authority = uri.authority().ok_or(expected)?.clone();
        if authority.as_str().contains('@') {
            return Err("expects no user or password: a token comes from --token-file");
        }
        let names_a_path = !matches!(uri.path(), "" | "/") || uri.query().is_some();
        let has_bad_port = authority.port_u16().is_none()
            && authority.as_str().ends_with(char::is_numeric)
            && authority.as_str().trim_end_matches(char::is_numeric).ends_with(':');
        if names_a_path || authority.host().is_empty() || has_bad_port {
            return Err(expected);
        }
        Ok(Address { speaks_tls, authority })
    }
}
