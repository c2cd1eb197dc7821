//! What stands beside the file: environment variables and `--set`, as nodes of the same document.

use std::net::SocketAddr;

use crate::yaml::fault::Fault;
use crate::yaml::node::{Node, Place, Value};
use crate::yaml::read::read;

/// The beginning of every variable that is ours.
pub const PREFIX: &str = "TIDEGATE_";

/// Puts the variables into the document: `TIDEGATE_INGEST__LISTEN` is the key `ingest.listen`.
pub(super) fn put_variables(root: &mut Node, variables: &[(String, String)], faults: &mut Vec<Fault>) {
    for (name, value) in variables {
        let Some(key) = name.strip_prefix(PREFIX) else { continue };
        if !is_service_link(key) {
            put(
                root,
                &key.to_ascii_lowercase().replace("__", "."),
                value,
                Place::Beside(name.as_str().into()),
                faults,
            );
        }
    }
}

/// Puts the options into the document; of two for one key the later counts.
pub(super) fn put_sets(root: &mut Node, sets: &[String], faults: &mut Vec<Fault>) {
    for set in sets {
        let Some((key, value)) = set.split_once('=') else {
            let message = "expects key=value such as ingest.listen=127.0.0.1:8081";
            faults.push(Fault::error(Place::Beside(format!("--set {set}").into()), "", message));
            continue;
        };
        put(root, key.trim(), value, Place::Beside(format!("--set {key}").into()), faults);
    }
}

fn put(root: &mut Node, key: &str, value: &str, place: Place, faults: &mut Vec<Fault>) {
    let path: Vec<&str> = key.split('.').collect();
    if path.len() > MAX_LEVELS || path.iter().any(|part| part.is_empty()) {
        faults.push(Fault::error(place, key, "expects a key such as ingest.listen"));
        return;
    }
    // The names of these have points of their own.
    let path = match key.strip_prefix(PROPERTIES).and_then(|rest| rest.strip_prefix('.')) {
        Some(name) => PROPERTIES.split('.').chain([name]).collect(),
        None => path,
    };
    match node(value, &place) {
        Ok(node) => root.put(&path, node),
        Err(message) => faults.push(Fault::error(place, key, message)),
    }
}

/// A list or mapping is written as in YAML, `[submit, lease]`; everything else is one value as it stands, an address
/// such as `[::1]:8080` included.
fn node(value: &str, place: &Place) -> Result<Node, String> {
    if !value.starts_with(['[', '{']) || value.parse::<SocketAddr>().is_ok() {
        let value = Value::Scalar { text: value.to_owned(), quoted: false };
        return Ok(Node { place: place.clone(), value });
    }
    match read(value) {
        Ok(node) => Ok(node.moved_to(place)),
        Err(faults) => Err(faults.into_iter().next().map(|fault| fault.message).unwrap_or_default()),
    }
}

/// Variables that Kubernetes sets in every pod for a service named `tidegate`; none of them is a key of ours.
fn is_service_link(key: &str) -> bool {
    let number = |text: &str| text.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    key == "PORT"
        || key == "SERVICE_HOST"
        || key == "SERVICE_PORT"
        || key.starts_with("SERVICE_PORT_")
        || key.strip_prefix("PORT_").is_some_and(number)
}

/// Below this key each key is one name, however many points it has: `kafka.properties.sasl.password`.
const PROPERTIES: &str = "kafka.properties";

/// No key of the configuration is nested deeper, and no property's name is longer.
const MAX_LEVELS: usize = 10;
