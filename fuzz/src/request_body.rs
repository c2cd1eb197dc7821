//! Request bodies: content codings with what they may hide, and what rules read from a payload.

use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use serde_json::Value;

use super::contract;
use super::door::{Door, LIMITS};
use super::request::Written;

/// The first byte is the coding, the second the size of the body's frames; the rest is the body as it is on the wire.
pub fn run(data: &[u8]) {
    let Some(([coding, frame], body)) = data.split_first_chunk() else { return };
    let mut asked = Written::post("/v1/jobs", Some("application/json"), Bytes::copy_from_slice(body));
    asked.frame = usize::from(*frame);
    asked.setting.policy = 1;
    let coding = match coding % 4 {
        0 => None,
        1 => Some("gzip"),
        2 => Some("zstd"),
        _ => Some("identity"),
    };
    if let Some(coding) = coding {
        asked.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    if frame % 2 == 0 {
        asked.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let door = Door::open(&asked.setting);
    let seen = door.ask(&asked);
    contract::check(&door, &asked, &seen);
    if coding.is_none() || coding == Some("identity") {
        let fits = body.len() as u64 <= LIMITS.max_job_bytes;
        assert_eq!(seen.status == 413, !fits, "{} bytes", body.len());
    }
    let [job] = seen.stored.as_slice() else { return };
    assert!(job.payload.len() as u64 <= LIMITS.max_job_bytes, "the limit holds for what was decoded");
    if coding.is_none() || coding == Some("identity") {
        assert_eq!(job.payload, body, "a payload is opaque");
    }
    check_type(&job.payload, job.job_type.as_deref());
}

/// The policy's first source is `body:/type`: the text that another reader finds there too.
fn check_type(payload: &[u8], found: Option<&str>) {
    let Ok(Value::Object(object)) = serde_json::from_slice(payload) else { return };
    // Of two members of one name the gateway takes the first, serde_json the last.
    let alone = payload.windows(4).filter(|word| word == b"type").count() == 1 && !payload.contains(&b'\\');
    let Some(Value::String(text)) = object.get("type").filter(|_| alone) else { return };
    if (1..=1_024).contains(&text.len()) {
        assert_eq!(found, Some(text.as_str()));
    }
}
