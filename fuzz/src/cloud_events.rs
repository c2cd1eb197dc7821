//! CloudEvents: structured, binary and in batches, through the router; what was stored is an event that another reader
//! understands too.

use http::Method;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use tidegate::domain::job::Job;

use super::contract;
use super::door::Door;
use super::request::Written;

/// A request in its text form; its path and method are those of jobs.
pub fn run(data: &[u8]) {
    let Some(mut asked) = Written::read(data) else { return };
    asked.method = Method::POST;
    let content_type = asked.headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    let content_type = content_type.unwrap_or_default();
    let is = |wanted: &[u8]| content_type.starts_with(wanted);
    asked.uri = if is(b"application/cloudevents-batch") {
        "/v1/jobs/batch".parse().unwrap_or_default()
    } else {
        "/v1/jobs".parse().unwrap_or_default()
    };
    let door = Door::open(&asked.setting);
    let seen = door.ask(&asked);
    contract::check(&door, &asked, &seen);
    for job in &seen.stored {
        let attributes = job.headers.iter().filter(|(name, _)| name.starts_with("ce-"));
        // Fields that make no event go along as they came, and HTTP allows a tab in them and all beyond ASCII.
        let event = attributes.clone().any(|(name, _)| &**name == "ce-specversion");
        for (name, value) in attributes.clone() {
            let bad = |letter: char| letter.is_control() && (event || (letter.is_ascii() && letter != '\t'));
            assert!(!value.chars().any(bad), "{name}: {value:?}");
        }
        let structured = job.content_type.as_deref().is_some_and(|text| {
            text.to_ascii_lowercase()
                .split(';')
                .next()
                .is_some_and(|essence| essence.trim() == "application/cloudevents+json")
        });
        if structured {
            check_structured(job);
        } else if attributes.clone().any(|(name, _)| &**name == "ce-specversion") {
            check_complete(job);
            assert_eq!(job.payload, asked.body, "in binary mode the body is the data");
        }
    }
}

/// The event's own members are the job's attributes.
fn check_structured(job: &Job) {
    check_complete(job);
    let event = contract::object(&job.payload);
    for (name, member) in &event {
        let header = job.headers.iter().find(|(header, _)| header.strip_prefix("ce-") == Some(name));
        match member {
            _ if name == "data" || name == "data_base64" => assert!(header.is_none()),
            Value::String(text) => {
                assert_eq!(header.map(|(_, value)| &**value), Some(text.as_str()), "{name}")
            }
            Value::Null => assert!(header.is_none(), "{name}"),
            // Minus nothing is nothing.
            Value::Number(number) => {
                let told = header.and_then(|(_, value)| value.parse::<f64>().ok());
                assert_eq!(told, number.as_f64(), "{name}");
            }
            other => {
                assert_eq!(header.map(|(_, value)| value.to_string()), Some(other.to_string()), "{name}")
            }
        }
    }
}

fn check_complete(job: &Job) {
    for name in ["ce-id", "ce-source", "ce-type", "ce-specversion"] {
        let value = job.headers.iter().find(|(header, _)| &**header == name).map(|(_, value)| &**value);
        assert!(value.is_some_and(|value| !value.is_empty()), "{name} is missing: {:?}", job.headers);
    }
}
