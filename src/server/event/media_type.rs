//! What a request's media type says of events: an event as a whole, a batch of them, or anything else.

use crate::server::job_head::essence;

/// What the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Bytes of any kind; `ce-*` fields may make them an event in binary mode.
    Opaque,
    /// One event as JSON: structured mode.
    Event,
    /// A JSON array of events: batched mode.
    Batch,
}

/// Events in a form that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownForm {
    /// Another event format than JSON.
    #[error(
        "events are taken as {EVENT}, batches of them as {BATCH} at POST /v1/jobs/batch: no other event format is known"
    )]
    Format,
    /// JSON that is not UTF-8.
    #[error("an event as JSON is in UTF-8: no other charset is taken")]
    Charset,
}

/// Reads a `Content-Type`; without one the body is opaque.
///
/// # Errors
/// It is the media type of an event, but none that is taken.
pub fn form(content_type: &str) -> Result<Form, UnknownForm> {
    let essence = essence(content_type);
    let form = if essence.eq_ignore_ascii_case(BATCH) {
        Form::Batch
    } else if essence.eq_ignore_ascii_case(EVENT) {
        Form::Event
    } else if essence.get(..EVENTS.len()).is_some_and(|start| start.eq_ignore_ascii_case(EVENTS)) {
        return Err(UnknownForm::Format);
    } else {
        return Ok(Form::Opaque);
    };
    if is_utf8(content_type) { Ok(form) } else { Err(UnknownForm::Charset) }
}

/// Whether this is a media type as RFC 2046 writes it: two words around a slash, then anything as parameters.
pub fn is_media_type(text: &str) -> bool {
    essence(text).split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

/// The media type of one event.
pub const EVENT: &str = "application/cloudevents+json";

/// The media type of a batch of events.
pub const BATCH: &str = "application/cloudevents-batch+json";

fn is_utf8(content_type: &str) -> bool {
    parameters(content_type)
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .all(|(_, value)| value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"))
}

/// The parameters of a media type; a semicolon in double quotes does not end one.
fn parameters(content_type: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    let ends = move |character: char| {
        let ends = character == ';' && !quoted;
        quoted ^= character == '"' && !escaped;
        escaped = quoted && character == '\\' && !escaped;
        ends
    };
    content_type.split(ends).skip(1)
}

fn is_token(text: &str) -> bool {
    let marks = b"!#$%&'*+-.^_`|~";
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte))
}

/// Every media type that begins so is one of events.
const EVENTS: &str = "application/cloudevents";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_by_the_media_type() {
        for (content_type, expected) in [
            ("", Ok(Form::Opaque)),
            ("application/json", Ok(Form::Opaque)),
            ("application/cloud", Ok(Form::Opaque)),
            ("text/plain; x=application/cloudevents+json", Ok(Form::Opaque)),
            ("application/cloudevents+json", Ok(Form::Event)),
            ("Application/CloudEvents+JSON ; Charset=\"UTF-8\"", Ok(Form::Event)),
            ("application/cloudevents+json;version=1;charset=utf-8", Ok(Form::Event)),
            ("application/cloudevents+json; x=\";charset=latin1\"", Ok(Form::Event)),
            ("application/cloudevents+json; x=\"\\\";charset=latin1\"", Ok(Form::Event)),
            ("application/cloudevents-batch+json", Ok(Form::Batch)),
            ("APPLICATION/cloudevents-BATCH+json; charset=utf-8", Ok(Form::Batch)),
            ("application/cloudevents", Err(UnknownForm::Format)),
            ("application/cloudevents+xml", Err(UnknownForm::Format)),
            ("application/cloudevents+avro", Err(UnknownForm::Format)),
            ("application/cloudevents+protobuf", Err(UnknownForm::Format)),
            ("application/cloudevents+jsonx", Err(UnknownForm::Format)),
            ("application/cloudevents-batch", Err(UnknownForm::Format)),
            ("application/CLOUDEVENTS-batch+protobuf", Err(UnknownForm::Format)),
            ("application/cloudevents+json; charset=iso-8859-1", Err(UnknownForm::Charset)),
            ("application/cloudevents+json; charset=utf-8; charset=utf-16", Err(UnknownForm::Charset)),
            ("application/cloudevents-batch+json; charset=utf-16", Err(UnknownForm::Charset)),
        ] {
            assert_eq!(form(content_type), expected, "{content_type}");
        }
    }
}
