//! From the merged document to what concerns other machines: Redis, Kafka, the spool for their outages, gateways that share.

use std::time::Duration;

use crate::config::decode::path;
use crate::queue::kafka::client;
use crate::queue::kafka::properties::{BadProperty, Properties};
use crate::queue::kafka::settings::KafkaSettings;
use crate::queue::redis::settings::{RedisSettings, RedisUrl, Structure, Trim};
use crate::queue::spool::settings::SpoolSettings;
use crate::runtime::share::settings::ShareSettings;
use crate::yaml::decode::Field;
use crate::yaml::node::Value;

/// Reads `redis`.
pub(super) fn redis(field: &Field<'_>, redis: &mut RedisSettings) {
    let Some(mut map) = field.mapping() else { return };
    map.set("url", &mut redis.url, url);
    map.set("structure", &mut redis.structure, |field| {
        field.word(&[("stream", Structure::Stream), ("list", Structure::List)])
    });
    map.set("group", &mut redis.groups, groups);
    map.set("connections", &mut redis.connections, |field| {
        field
            .integer_within(LEAST_CONNECTIONS, MOST_CONNECTIONS)
            .and_then(|count| usize::try_from(count).ok())
    });
    map.set("timeout", &mut redis.timeout, |field| field.duration_within(SHORTEST_TIMEOUT, LONGEST_TIMEOUT));
    map.set("wait_replicas", &mut redis.wait_replicas, |field| {
        field.integer_within(0, MOST_REPLICAS).and_then(|count| u32::try_from(count).ok())
    });
    map.set("trim", &mut redis.trim, |field| {
        field.word(&[("acknowledged", Trim::Acknowledged), ("never", Trim::Never)])
    });
    map.close();
}

/// Reads `kafka`.
pub(super) fn kafka(field: &Field<'_>, kafka: &mut KafkaSettings) {
    let Some(mut map) = field.mapping() else { return };
    map.set("brokers", &mut kafka.brokers, brokers);
    map.set("group", &mut kafka.groups, groups);
    map.set("timeout", &mut kafka.timeout, |field| {
        field.duration_within(SHORTEST_KAFKA_TIMEOUT, LONGEST_KAFKA_TIMEOUT)
    });
    map.set("properties", &mut kafka.properties, properties);
    map.close();
}

/// Whether librdkafka makes clients of all its settings together.
pub(super) fn check_kafka(root: &Field<'_>, kafka: &KafkaSettings) {
    if !kafka.properties.is_empty()
        && let Err(error) = client::check(kafka)
    {
        root.at(&["kafka", "properties"]).refuse(error.to_string());
    }
}

/// Reads `spool`.
pub(super) fn spool(field: &Field<'_>, spool: &mut SpoolSettings) {
    let Some(mut map) = field.mapping() else { return };
    map.set("path", &mut spool.path, path);
    map.set("max_bytes", &mut spool.max_bytes, Field::size);
    map.close();
}

/// Reads `share`; the backend's Redis serves where no other is named.
pub(super) fn share(field: &Field<'_>, backend: &RedisUrl, share: &mut ShareSettings) {
    let Some(mut map) = field.mapping() else { return };
    let mut shared = false;
    let mut meeting_point = backend.clone();
    map.set("mode", &mut shared, |field| field.word(&[("alone", false), ("redis", true)]));
    map.set("redis_url", &mut meeting_point, url);
    map.close();
    if shared {
        *share = ShareSettings::Redis(meeting_point);
    }
}

/// What is wrong is told without the text: it may hold a password.
fn url(field: &Field<'_>) -> Option<RedisUrl> {
    match RedisUrl::parse(&field.text()?) {
        Ok(url) => Some(url),
        Err(error) => {
            field.refuse(error.to_string());
            None
        }
    }
}

fn brokers(field: &Field<'_>) -> Option<String> {
    field.scalar("brokers as HOST:PORT, separated by commas", |text| {
        let brokers: Vec<&str> = text.split(',').map(str::trim).collect();
        brokers.iter().all(|broker| is_host_and_port(broker)).then(|| brokers.join(","))
    })
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    !host.is_empty() && host.bytes().all(fits) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Each property by its name; a fault never says the value, which may be a password.
fn properties(field: &Field<'_>) -> Option<Properties> {
    let map = field.mapping()?;
    let mut properties = Properties::default();
    let mut sound = true;
    for (name, field) in map.all() {
        if matches!(field.value(), Value::Mapping(_)) {
            field.refuse("expects a value: the name of a property is one key, such as `sasl.password`");
            sound = false;
            continue;
        }
        let Some(value) = field.text() else {
            sound = false;
            continue;
        };
        if let Err(error) = properties.add(name, &value) {
            match error {
                BadProperty::Must { .. } | BadProperty::Value(_) => field.refuse(error.to_string()),
                error => field.refuse_key(&error.to_string()),
            }
            sound = false;
        }
    }
    sound.then_some(properties)
}

/// One name, or a list of names.
fn groups(field: &Field<'_>) -> Option<Vec<String>> {
    let names = if field.is_list() {
        field.list()?.iter().map(group).collect::<Option<Vec<_>>>()?
    } else {
        vec![group(field)?]
    };
    if names.is_empty() || names.len() > MOST_GROUPS {
        field.refuse(format!("expects 1 to {MOST_GROUPS} names of consumer groups"));
        return None;
    }
    let mut once = names.clone();
    once.sort_unstable();
    once.dedup();
    if once.len() < names.len() {
        field.refuse("names a consumer group twice");
        return None;
    }
    Some(names)
}

fn group(field: &Field<'_>) -> Option<String> {
    field.scalar("the name of a consumer group, of 1 to 100 visible characters", |text| {
        let fits = (1..=100).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| text.to_owned())
    })
}

/// One for each tier, and one for everything else.
const LEAST_CONNECTIONS: u64 = 4;

/// More would only wait for one another: Redis works off one command after the other.
const MOST_CONNECTIONS: u64 = 256;

/// Shorter, and a busy moment of the server would pass for an outage.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(50);

/// An outage must show within 5 seconds.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(4);

/// Shorter, and an election of a leader would pass for an outage.
const SHORTEST_KAFKA_TIMEOUT: Duration = Duration::from_millis(500);

/// Clients wait no longer for a receipt.
const LONGEST_KAFKA_TIMEOUT: Duration = Duration::from_secs(300);

/// Groups whose backlogs are read ten times a second.
const MOST_GROUPS: usize = 16;

/// More is a slip of the pen.
const MOST_REPLICAS: u64 = 16;
