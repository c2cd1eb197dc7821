//! Floor 7: the settings that a restart changes, assembled from what each room needs to be told.
//!
//! [`load`](load::load) puts them together: defaults, the file, the environment, `--set`; the later is the stronger.

mod callers;
mod consistency;
mod decode;
pub mod load;
mod overrides;
mod remote;
mod tls;
pub mod token;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use crate::config::token::Token;
use crate::queue::embedded::settings::{EmbeddedDurability, EmbeddedSettings};
use crate::queue::kafka::settings::KafkaSettings;
use crate::queue::keys::KeySettings;
use crate::queue::redis::settings::RedisSettings;
use crate::queue::spool::settings::SpoolSettings;
use crate::runtime::share::settings::ShareSettings;
use crate::runtime::shutdown::ShutdownSettings;
use crate::runtime::tls::TlsFiles;
use crate::server::access::key_table::KeyTable;
use crate::server::client_limit::ClientRate;
use crate::server::client_limit::forwarded::TrustedProxies;
use crate::server::cors::Origins;
use crate::server::limits::Limits;
use crate::telemetry::log::{LogFormat, LogSettings};
use crate::telemetry::trace::settings::CollectorUrl;

/// Everything that is decided before the gateway starts. The default is what `config/tidegate.yaml` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The listener of clients and workers.
    pub ingest: IngestSettings,
    /// The listener of operators.
    pub admin: AdminSettings,
    /// The policy's file.
    pub policy: PathBuf,
    /// Where accepted jobs are kept.
    pub backend: Backend,
    /// The embedded queue.
    pub embedded: EmbeddedSettings,
    /// Redis as the backend.
    pub redis: RedisSettings,
    /// Kafka as the backend.
    pub kafka: KafkaSettings,
    /// The local queue for outages of the backend.
    pub spool: SpoolSettings,
    /// Whether other gateways stand before the same backend.
    pub share: ShareSettings,
    /// What clients can make the gateway hold.
    pub limits: Limits,
    /// What one client may send; `None` is no bound.
    pub client_rate: Option<ClientRate>,
    /// The keys of callers; `None` where there is no file of them.
    pub keys: Option<KeysFile>,
    /// What a caller without a key may do.
    pub anonymous: AnonymousScopes,
    /// How the gateway stops.
    pub shutdown: ShutdownSettings,
    /// How logs are written.
    pub log: LogSettings,
    /// Whether metrics carry their older names too.
    pub classic_metric_names: bool,
    /// Where spans are sent; `None` makes none.
    pub otlp_endpoint: Option<CollectorUrl>,
}

/// The listener of clients and workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestSettings {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The proxies that are believed about whom they speak for.
    pub trusted_proxies: TrustedProxies,
    /// The origins whose pages may ask.
    pub cors: Origins,
    /// The files of TLS; without them it speaks plain HTTP.
    pub tls: Option<TlsFiles>,
}

/// The file of keys, and what stood in it when it was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysFile {
    /// The file.
    pub path: PathBuf,
    /// Its keys.
    pub table: KeyTable,
}

/// The listener of operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The token that every call must bear; always there when `listen` is beyond loopback.
    pub token: Option<Token>,
    /// Names besides the loopback ones under which the listener may be addressed, in lower case, without port.
    pub hosts: Vec<String>,
    /// The files of TLS; without them it speaks plain HTTP.
    pub tls: Option<TlsFiles>,
}

/// Where accepted jobs are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// In a file of the gateway's own.
    Embedded,
    /// In Redis.
    Redis,
    /// In Kafka.
    Kafka,
}

/// What a caller without a key may do, wherever the listener is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnonymousScopes {
    /// Post jobs.
    pub submit: bool,
    /// Lease, ack, nack and extend.
    pub lease: bool,
}

impl Settings {
    /// Whether a caller without a key may lease: on loopback always, elsewhere only where it was asked for.
    pub const fn anonymous_may_lease(&self) -> bool {
        self.anonymous.lease || self.ingest.listen.ip().is_loopback()
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            ingest: IngestSettings {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
                trusted_proxies: TrustedProxies::default(),
                cors: Origins::None,
                tls: None,
            },
            admin: AdminSettings {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)),
                token: None,
                hosts: Vec::new(),
                tls: None,
            },
            policy: PathBuf::from("policies/default.yaml"),
            backend: Backend::Embedded,
            embedded: EmbeddedSettings {
                path: PathBuf::from("data/queue.db"),
                durability: EmbeddedDurability::Disk,
                max_bytes: 20 << 30,
                keys: KeySettings::default(),
            },
            redis: RedisSettings::default(),
            kafka: KafkaSettings::default(),
            spool: SpoolSettings::default(),
            share: ShareSettings::Alone,
            limits: Limits {
                max_job_bytes: 1_000_000,
                max_batch_bytes: 16 << 20,
                max_batch_jobs: 10_000,
                max_connections: 10_000,
                max_in_flight_bytes: 256 << 20,
                request_timeout: Duration::from_secs(10),
                header_timeout: Duration::from_secs(5),
            },
            client_rate: None,
            keys: None,
            anonymous: AnonymousScopes { submit: true, lease: false },
            shutdown: ShutdownSettings { delay: Duration::ZERO, grace: Duration::from_secs(20) },
            log: LogSettings { format: LogFormat::Text, level: tracing::Level::INFO },
            classic_metric_names: true,
            otlp_endpoint: None,
        }
    }
}
