//! Binary mode: the attributes are header fields, the data is the body.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::server::event::attributes::{check_complete, check_name, check_value};
use crate::server::event::fault::{EventFault, Rule};
use crate::server::event::{PREFIX, header_value};

/// Checks the event that these fields tell, if they tell one, and puts the texts in the place of what they were
/// encoded as. Without an event in the head a `ce-*` field is one like any other and stays as it is.
///
/// # Errors
/// An attribute that breaks the specification.
pub fn open(headers: &mut HeaderMap) -> Result<(), EventFault> {
    if !is_event(headers) {
        return Ok(());
    }
    let fields = headers.keys().filter(|name| name.as_str().starts_with(PREFIX));
    for field in fields.cloned().collect::<Vec<HeaderName>>() {
        let text = attribute(headers, &field)?;
        // Never fails: the text has no control characters.
        let value = HeaderValue::from_bytes(text.as_bytes());
        headers.insert(&field, value.map_err(|_| EventFault::new(name_of(&field), Rule::Character))?);
    }
    check_content_type(headers)?;
    check_complete(|name| headers.contains_key(format!("{PREFIX}{name}")))
}

/// The version says that it is an event; without it the three other fields that every event has leave no doubt. One
/// alone is what clients send who only want a rule or a worker to see it.
fn is_event(headers: &HeaderMap) -> bool {
    headers.contains_key(VERSION) || OTHERS.iter().all(|field| headers.contains_key(*field))
}

/// The text of the attribute in a field.
fn attribute(headers: &HeaderMap, field: &HeaderName) -> Result<String, EventFault> {
    let name = name_of(field);
    let broken = |rule| EventFault::new(name, rule);
    match name {
        "data" | "data_base64" => return Err(broken(Rule::Reserved)),
        "datacontenttype" => return Err(broken(Rule::ContentType)),
        _ => check_name(name)?,
    }
    let mut values = headers.get_all(field).iter();
    let text = match (values.next(), values.next()) {
        (Some(value), None) => header_value::decode(value.as_bytes()).map_err(broken)?,
        _ => return Err(broken(Rule::Twice)),
    };
    check_value(name, &text)?;
    Ok(text)
}

/// In binary mode `Content-Type` is the attribute `datacontenttype`.
fn check_content_type(headers: &HeaderMap) -> Result<(), EventFault> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let broken = |rule| EventFault::new("datacontenttype", rule);
    let text = str::from_utf8(value.as_bytes()).map_err(|_| broken(Rule::NotText))?;
    check_value("datacontenttype", text)
}

fn name_of(field: &HeaderName) -> &str {
    field.as_str().strip_prefix(PREFIX).unwrap_or_default()
}

const VERSION: &str = "ce-specversion";

/// What every event has beside its version.
const OTHERS: [&str; 3] = ["ce-id", "ce-source", "ce-type"];

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [(&str, &str); 4] =
        [("ce-specversion", "1.0"), ("ce-id", "7"), ("ce-source", "/shop"), ("ce-type", "sale")];

    fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn whole_and(more: &[(&'static str, &str)]) -> HeaderMap {
        fields(&WHOLE.iter().chain(more).copied().collect::<Vec<_>>())
    }

    #[test]
    fn texts_take_the_place_of_what_they_were_encoded_as() {
        let mut headers = whole_and(&[
            ("ce-subject", "Caf%C3%A9%20%22x%22"),
            ("ce-time", "2026-01-31T12%3A00:00Z"),
            ("ce-note", "\"two words\""),
            ("x-note", "%41"),
            ("content-type", "application/octet-stream"),
        ]);
        assert_eq!(open(&mut headers), Ok(()));
        let text = |name: &str| str::from_utf8(headers[name].as_bytes()).unwrap();
        assert_eq!(text("ce-subject"), "Café \"x\"");
        assert_eq!(text("ce-time"), "2026-01-31T12:00:00Z");
        assert_eq!(text("ce-note"), "two words");
        assert_eq!(text("x-note"), "%41", "not the event's");
        assert_eq!(headers.len(), 9);
    }

    #[test]
    fn a_lone_name_makes_no_event() {
        let names = [("ce-type", "100%"), ("ce-partitionkey", "%41"), ("ce-foo_bar", "\"")];
        for lone in [&names[..], &WHOLE[1..3], &WHOLE[2..], &[WHOLE[1], WHOLE[3]]] {
            let mut headers = fields(lone);
            assert_eq!(open(&mut headers), Ok(()));
            assert_eq!(headers, fields(lone), "and stays as it came");
        }
    }

    #[test]
    fn an_event_must_be_whole() {
        assert!(open(&mut fields(&WHOLE[..1])).is_err(), "its version alone");
        for (missing, _) in WHOLE {
            let rest: Vec<_> = WHOLE.into_iter().filter(|(name, _)| *name != missing).collect();
            let expected = EventFault::new(&missing[3..], Rule::Missing);
            assert_eq!(open(&mut fields(&rest)), Err(expected));
        }
    }

    #[test]
    fn what_breaks_a_rule_is_named() {
        for (field, value, name, rule) in [
            ("ce-data", "x", "data", Rule::Reserved),
            ("ce-data_base64", "x", "data_base64", Rule::Reserved),
            ("ce-datacontenttype", "text/plain", "datacontenttype", Rule::ContentType),
            ("ce-foo_bar", "x", "foo_bar", Rule::Name),
            ("ce-", "x", "", Rule::Name),
            ("ce-id", "8", "id", Rule::Twice),
            ("ce-time", "today", "time", Rule::Time),
            ("ce-subject", "", "subject", Rule::Empty),
            ("ce-subject", "%C0%A0", "subject", Rule::NotText),
            ("ce-subject", "a%0Ab", "subject", Rule::Character),
            ("ce-subject", "%", "subject", Rule::Escape),
            ("ce-subject", "\"", "subject", Rule::Quotes),
            ("ce-dataschema", "/relative", "dataschema", Rule::Uri),
            ("content-type", "nonsense", "datacontenttype", Rule::MediaType),
        ] {
            let fault = open(&mut whole_and(&[(field, value)])).unwrap_err();
            assert_eq!(fault, EventFault::new(name, rule), "{field}: {value}");
            assert!(fault.to_string().contains(name), "{fault}");
        }
    }
}
