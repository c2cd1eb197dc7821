//! Batches: lines and arrays, cut into frames anywhere, each item answered for itself.

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_LENGTH;
use serde_json::Value;
use serde_json::value::RawValue;

use super::contract;
use super::door::{Door, LIMITS, Seen};
use super::request::{Mood, Written};

/// The first byte is the form and the policy, the second the size of the frames, the third the queue's mood; the rest is the
/// body.
pub fn run(data: &[u8]) {
    let Some(([form, frame, mood], body)) = data.split_first_chunk() else { return };
    let (lines, path) = (form % 2 == 0, "/v1/jobs/batch");
    let content_type = if lines { "application/x-ndjson" } else { "application/json" };
    let mut asked = Written::post(path, Some(content_type), Bytes::copy_from_slice(body));
    asked.frame = usize::from(*frame);
    asked.setting.policy = usize::from(form / 2 % 4);
    asked.setting.mood = Mood::numbered(*mood);
    if form & 0x80 != 0 {
        asked.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let door = Door::open(&asked.setting);
    let seen = door.ask(&asked);
    contract::check(&door, &asked, &seen);
    let wanted = if lines { of_lines(body) } else { of_array(body) };
    check_items(&seen, wanted.as_deref());
}

/// Every item that was stored is one of those, as it was written, and none is left out.
fn check_items(seen: &Seen, wanted: Option<&[&[u8]]>) {
    let Some(wanted) = wanted else {
        return assert!(seen.stored.is_empty(), "nothing of what is no batch is stored");
    };
    let document = contract::object(&seen.body);
    let Some(items) = document.get("items").and_then(Value::as_array) else { return };
    if document.contains_key("ended") {
        assert!(items.len() <= wanted.len());
    } else {
        assert_eq!(items.len(), wanted.len(), "{document:?}");
    }
    for job in &seen.stored {
        let id = job.id.to_string();
        let place = items.iter().position(|item| item["id"] == id.as_str());
        let place = place.unwrap_or_else(|| panic!("{id} was stored and not told: {document:?}"));
        assert_eq!(job.payload, wanted[place], "item {place}");
        assert_eq!(job.content_type.as_deref(), Some("application/json"));
    }
}

fn of_lines(body: &[u8]) -> Option<Vec<&[u8]>> {
    let lines = body.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    Some(lines.filter(|line| !line.trim_ascii().is_empty()).collect())
}

fn of_array(body: &[u8]) -> Option<Vec<&[u8]>> {
    let elements: Vec<&RawValue> = serde_json::from_slice(body).ok()?;
    let elements: Vec<_> = elements.iter().map(|element| element.get().as_bytes()).collect();
    (elements.len() as u64 <= LIMITS.max_batch_jobs).then_some(elements)
}
