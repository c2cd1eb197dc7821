//! From the merged document to settings: every key of the configuration, by section.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing::Level;

use crate::config::token::read_token;
use crate::config::{AdminSettings, AnonymousScopes, Backend, IngestSettings, KeysFile, Settings};
use crate::config::{callers, consistency, remote, tls};
use crate::queue::embedded::settings::{EmbeddedDurability, EmbeddedSettings};
use crate::queue::keys::KeySettings;
use crate::runtime::shutdown::ShutdownSettings;
use crate::server::client_limit::ClientRate;
use crate::server::limits::Limits;
use crate::telemetry::log::{LogFormat, LogSettings};
use crate::telemetry::trace::settings::CollectorUrl;
use crate::yaml::decode::Field;
use crate::yaml::fault::FaultLog;

/// Reads all settings. Keys that are not written or wrong keep their defaults; the faults are noted.
pub(super) fn decode(root: &Field<'_>, log: &FaultLog) -> Settings {
    let mut settings = Settings::default();
    let Some(mut map) = root.mapping() else { return settings };
    let section = |field: Option<Field<'_>>, read: &mut dyn FnMut(&Field<'_>)| {
        if let Some(field) = field {
            read(&field);
        }
    };
    section(map.field("ingest"), &mut |field| ingest(field, &mut settings.ingest));
    section(map.field("admin"), &mut |field| admin(field, &mut settings.admin));
    map.set("policy", &mut settings.policy, path);
    map.set("backend", &mut settings.backend, backend);
    section(map.field("embedded"), &mut |field| embedded(field, &mut settings.embedded));
    section(map.field("limits"), &mut |field| limits(field, &mut settings.limits, &mut settings.client_rate));
    section(map.field("auth"), &mut |field| auth(field, &mut settings.keys, &mut settings.anonymous));
    section(map.field("redis"), &mut |field| remote::redis(field, &mut settings.redis));
    section(map.field("spool"), &mut |field| remote::spool(field, &mut settings.spool));
    section(map.field("share"), &mut |field| remote::share(field, &settings.redis.url, &mut settings.share));
    section(map.field("kafka"), &mut |field| remote::kafka(field, &mut settings.kafka));
    section(map.field("idempotency"), &mut |field| {
        idempotency(field, &mut settings.embedded.keys, &mut settings.kafka.keys_path);
    });
    settings.redis.keys = settings.embedded.keys;
    settings.kafka.keys = settings.embedded.keys;
    settings.kafka.max_job_bytes = settings.limits.max_job_bytes;
    section(map.field("shutdown"), &mut |field| shutdown(field, &mut settings.shutdown));
    section(map.field("log"), &mut |field| log_lines(field, &mut settings.log));
    section(map.field("telemetry"), &mut |field| telemetry(field, &mut settings));
    map.close();
    // Rules between keys are only asked where the keys could be read.
    if log.errors() == 0 {
        consistency::check(root, &settings);
    }
    settings
}

fn ingest(field: &Field<'_>, ingest: &mut IngestSettings) {
    let Some(mut map) = field.mapping() else { return };
    map.set("listen", &mut ingest.listen, address);
    map.set("trusted_proxies", &mut ingest.trusted_proxies, callers::proxies);
    map.set("cors", &mut ingest.cors, callers::cors);
    map.set("tls", &mut ingest.tls, tls::files);
    map.close();
}

fn admin(field: &Field<'_>, admin: &mut AdminSettings) {
    let Some(mut map) = field.mapping() else { return };
    map.set("listen", &mut admin.listen, address);
    map.set("token_file", &mut admin.token, |field| match read_token(&path(field)?) {
        Ok(token) => Some(Some(token)),
        Err(error) => {
            field.refuse(error.to_string());
            None
        }
    });
    map.set("hosts", &mut admin.hosts, |field| Some(field.list()?.iter().filter_map(host).collect()));
    map.set("tls", &mut admin.tls, tls::files);
    map.close();
}

fn backend(field: &Field<'_>) -> Option<Backend> {
    field.word(&[("embedded", Backend::Embedded), ("redis", Backend::Redis), ("kafka", Backend::Kafka)])
}

fn embedded(field: &Field<'_>, embedded: &mut EmbeddedSettings) {
    let Some(mut map) = field.mapping() else { return };
    map.set("path", &mut embedded.path, path);
    map.set("durability", &mut embedded.durability, |field| {
        field.word(&[("disk", EmbeddedDurability::Disk), ("relaxed", EmbeddedDurability::Relaxed)])
    });
    map.set("max_bytes", &mut embedded.max_bytes, Field::size);
    map.close();
}

fn limits(field: &Field<'_>, limits: &mut Limits, client_rate: &mut Option<ClientRate>) {
    let Some(mut map) = field.mapping() else { return };
    map.set("max_job_bytes", &mut limits.max_job_bytes, |field| {
        let bytes = field.size()?;
        if bytes > MAX_JOB_BYTES {
            field.refuse(format!("must not be above {MAX_JOB_BYTES}: a stored job is one record"));
            return None;
        }
        Some(bytes)
    });
    map.set("max_batch_bytes", &mut limits.max_batch_bytes, Field::size);
    map.set("max_batch_jobs", &mut limits.max_batch_jobs, |field| field.integer_within(1, MAX_COUNT));
    map.set("max_connections", &mut limits.max_connections, |field| {
        field.integer_within(1, MAX_COUNT).and_then(|count| usize::try_from(count).ok())
    });
    map.set("max_in_flight_bytes", &mut limits.max_in_flight_bytes, Field::size);
    map.set("request_timeout", &mut limits.request_timeout, Field::some_duration);
    map.set("header_timeout", &mut limits.header_timeout, Field::some_duration);
    map.set("client_rate", client_rate, callers::rate);
    map.close();
}

fn idempotency(field: &Field<'_>, keys: &mut KeySettings, keys_path: &mut PathBuf) {
    let Some(mut map) = field.mapping() else { return };
    map.set("keep", &mut keys.keep, |field| {
        let keep = field.duration()?;
        if keep < SHORTEST_KEEP {
            field.refuse("expects a duration of 1s or longer");
            return None;
        }
        Some(keep)
    });
    map.set("max_keys", &mut keys.most, |field| {
        field.integer_within(1, MAX_KEYS).and_then(|count| usize::try_from(count).ok())
    });
    map.set("path", keys_path, path);
    map.close();
}

fn auth(field: &Field<'_>, keys: &mut Option<KeysFile>, anonymous: &mut AnonymousScopes) {
    let Some(mut map) = field.mapping() else { return };
    map.set("anonymous", anonymous, |field| {
        let mut scopes = AnonymousScopes { submit: false, lease: false };
        for item in field.list()? {
            match item.word(&[("submit", true), ("lease", false)]) {
                Some(true) => scopes.submit = true,
                Some(false) => scopes.lease = true,
                None => {}
            }
        }
        Some(scopes)
    });
    // Its content is read when all of this is good: its faults are those of another document.
    map.set("keys_file", keys, |field| {
        path(field).map(|path| Some(KeysFile { path, ..KeysFile::default() }))
    });
    map.close();
}

fn shutdown(field: &Field<'_>, shutdown: &mut ShutdownSettings) {
    let Some(mut map) = field.mapping() else { return };
    map.set("delay", &mut shutdown.delay, Field::duration);
    map.set("grace", &mut shutdown.grace, Field::some_duration);
    map.close();
}

fn log_lines(field: &Field<'_>, log: &mut LogSettings) {
    let Some(mut map) = field.mapping() else { return };
    map.set("format", &mut log.format, |field| {
        field.word(&[("text", LogFormat::Text), ("json", LogFormat::Json)])
    });
    map.set("level", &mut log.level, |field| {
        field.word(&[
            ("error", Level::ERROR),
            ("warn", Level::WARN),
            ("info", Level::INFO),
            ("debug", Level::DEBUG),
            ("trace", Level::TRACE),
        ])
    });
    map.close();
}

fn telemetry(field: &Field<'_>, settings: &mut Settings) {
    let Some(mut map) = field.mapping() else { return };
    map.set("classic_metric_names", &mut settings.classic_metric_names, Field::boolean);
    map.set("otlp_endpoint", &mut settings.otlp_endpoint, |field| collector(field).map(Some));
    map.close();
}

fn collector(field: &Field<'_>) -> Option<CollectorUrl> {
    match CollectorUrl::parse(&field.text()?) {
        Ok(url) => Some(url),
        Err(error) => {
            field.refuse(error.to_string());
            None
        }
    }
}

fn address(field: &Field<'_>) -> Option<SocketAddr> {
    field.scalar("an IP address and port such as 127.0.0.1:8080", |text| text.parse().ok())
}

fn host(field: &Field<'_>) -> Option<String> {
    field.scalar("a host name without port, such as gateway.internal", |text| {
        let fits =
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        fits.then(|| text.to_ascii_lowercase())
    })
}

pub(super) fn path(field: &Field<'_>) -> Option<PathBuf> {
    field.text().map(PathBuf::from)
}

/// SQLite keeps no record above a thousand million bytes; half of that leaves room for what goes with a job.
const MAX_JOB_BYTES: u64 = 512 << 20;

/// Keys are kept to the second.
const SHORTEST_KEEP: Duration = Duration::from_secs(1);

/// Ten million keys take some gigabyte: more would surprise at the next start.
const MAX_KEYS: u64 = 10_000_000;

/// More jobs in one batch, or connections on one machine, are a slip of the pen.
const MAX_COUNT: u64 = 1_000_000;
