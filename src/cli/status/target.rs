//! Whom to ask: an address, a token and what vouches for the other side, from the command line and the configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
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
    /// The token of the configuration, where this is not its own listener.
    pub(super) kept: Option<KeptToken>,
    /// How TLS is spoken; none is plain HTTP.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// A token that is not sent: it is that of another listener, for all that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptToken {
    file: PathBuf,
    own: Option<Address>,
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
    #[error(
        "admin.listen takes whatever port is free: say with --url which one it got (its log has it), and with --token-file its token"
    )]
    NoPort,
}

impl Target {
    /// What the arguments say, the rest from the configuration.
    ///
    /// # Errors
    /// A configuration, a token or a certificate that cannot be used.
    pub(super) fn of(options: &Options, arguments: &Arguments) -> Result<Target, TargetError> {
        let admin = admin(options, arguments)?;
        let own = admin.as_ref().and_then(|admin| admin.tls.as_ref()).map(|files| &*files.certificate);
        let (address, own) = match (&arguments.url, &admin) {
            (Some(url), _) => (url.clone(), None),
            (None, Some(admin)) => (Address::of(admin)?, own),
            (None, None) => (Address::of(&crate::config::Settings::default().admin)?, None),
        };
        let (token, kept) = match &arguments.token_file {
            Some(file) => (Some(read_token(file)?), None),
            None => admin.as_ref().map_or((None, None), |admin| address.entitled(admin)),
        };
        if token.is_some() && !address.speaks_tls && !address.is_loopback() {
            eprintln!(
                "the token goes to {address} as it is, for everybody on the way to read: https or a tunnel hides it"
            );
        }
        let identity = arguments.cert.as_deref().zip(arguments.key.as_deref());
        let tls = if address.speaks_tls { Some(client(&trust(arguments, own), identity)?) } else { None };
        Ok(Target { address, token, kept, tls })
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

    /// The token of these settings where this is their own listener; else what is kept.
    fn entitled(&self, admin: &AdminSettings) -> (Option<Token>, Option<KeptToken>) {
        let own = Address::of(admin).ok();
        if own.as_ref().is_some_and(|own| own.is_alike(self)) {
            return (admin.token.clone(), None);
        }
        let kept = admin.token.as_ref().map(|token| KeptToken { file: token.file().to_owned(), own });
        (None, kept)
    }

    /// Whether it is the same listener, however this machine's own address is written.
    fn is_alike(&self, other: &Address) -> bool {
        let is_same_host = match (self.ip(), other.ip()) {
            (Some(one), Some(another)) if one == another => true,
            _ => self.is_loopback() && other.is_loopback(),
        };
        is_same_host && (self.speaks_tls, self.port()) == (other.speaks_tls, other.port())
    }

    /// Whether what is sent there stays on this machine.
    fn is_loopback(&self) -> bool {
        self.host().eq_ignore_ascii_case("localhost") || self.ip().is_some_and(|ip| ip.is_loopback())
    }

    /// The address, where it is not a name.
    fn ip(&self) -> Option<IpAddr> {
        self.host().parse().ok().map(|ip: IpAddr| ip.to_canonical())
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

impl fmt::Display for KeptToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "that of `{}` goes only to ", self.file.display())?;
        match &self.own {
            Some(own) => write!(f, "admin.listen of its configuration, {own}"),
            None => f.write_str("admin.listen of its configuration"),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn a_token_goes_to_its_own_listener_however_that_is_written_and_to_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "a-token-of-sufficient-length").unwrap();
        let is_sent = |listen: &str, url: &str| {
            let mut admin = Settings::default().admin;
            admin.listen = listen.parse().unwrap();
            admin.token = Some(read_token(&file).unwrap());
            match url.parse::<Address>().unwrap().entitled(&admin) {
                (Some(_), None) => true,
                (None, Some(_)) => false,
                other => panic!("{other:?}"),
            }
        };
        for (listen, url) in [
            ("127.0.0.1:9090", "http://127.0.0.1:9090"),
            ("127.0.0.1:9090", "http://LOCALHOST:9090/"),
            ("127.0.0.1:9090", "http://[::1]:9090"),
            ("[::]:9090", "http://[::ffff:127.0.0.1]:9090"),
            ("0.0.0.0:9090", "http://localhost:9090"),
            ("0.0.0.0:80", "http://localhost"),
            ("10.1.2.3:9090", "http://10.1.2.3:9090"),
        ] {
            assert!(is_sent(listen, url), "{listen} {url}");
        }
        for (listen, url) in [
            ("127.0.0.1:9090", "http://127.0.0.1:9091"),
            ("127.0.0.1:9090", "http://10.1.2.3:9090"),
            ("127.0.0.1:9090", "http://127.0.0.1.evil.example:9090"),
            ("127.0.0.1:9090", "http://localhost.evil.example:9090"),
            ("127.0.0.1:9090", "http://gateway:9090"),
            ("127.0.0.1:9090", "https://127.0.0.1:9090"),
            ("10.1.2.3:9090", "http://127.0.0.1:9090"),
            ("10.1.2.3:9090", "http://10.1.2.4:9090"),
            ("127.0.0.1:0", "http://127.0.0.1:9090"),
        ] {
            assert!(!is_sent(listen, url), "{listen} {url}");
        }
    }
}
