//! From the merged document to what concerns other machines: Redis, the spool for its outages, gateways that share.

use std::time::Duration;

use crate::config::decode::path;
use crate::queue::redis::settings::{RedisSettings, RedisUrl, Structure, Trim};
use crate::queue::spool::settings::SpoolSettings;
use crate::runtime::share::settings::ShareSettings;
use crate::yaml::decode::Field;

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

/// Groups whose backlogs are read ten times a second.
const MOST_GROUPS: usize = 16;

/// More is a slip of the pen.
const MOST_REPLICAS: u64 = 16;
