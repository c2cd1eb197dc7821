//! Structured mode: the event as a whole is the body, in the JSON event format. Its attributes are read out, its
//! data is only looked over.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::{fmt, io};

use base64::engine::general_purpose::STANDARD;
use base64::read::DecoderReader;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::server::event::attributes::{check_complete, check_name, check_value, is_core};
use crate::server::event::fault::{EventFault, Rule};
use crate::server::event::{PREFIX, drop_attributes};
use crate::server::json_object;

/// Reads an event and puts its attributes in the place of the request's own `ce-*` fields.
///
/// # Errors
/// It is no JSON object, breaks the specification, or its attributes are longer than `most` bytes; the fields are
/// then as they were.
pub fn open(headers: &mut HeaderMap, event: &[u8], most: usize) -> Result<(), EventFault> {
    let mut fields = Vec::new();
    for (name, value) in attributes(event, most)? {
        // Neither fails: both were checked as attributes, and are not long.
        let field = HeaderName::try_from(format!("{PREFIX}{name}"))
            .map_err(|_| EventFault::new(&name, Rule::Name))?;
        let value =
            HeaderValue::from_bytes(value.as_bytes()).map_err(|_| EventFault::new(&name, Rule::Character))?;
        fields.push((field, value));
    }
    drop_attributes(headers);
    headers.extend(fields);
    Ok(())
}

/// The attributes of an event, each as its canonical text.
fn attributes(event: &[u8], most: usize) -> Result<Vec<(String, String)>, EventFault> {
    let mut fault = None;
    let mut json = serde_json::Deserializer::from_slice(event);
    let members = json.deserialize_map(Members { most, fault: &mut fault });
    let attributes = match members.and_then(|attributes| json.end().map(|()| attributes)) {
        Ok(attributes) => attributes,
        Err(error) => {
            let unreadable = || EventFault::Unreadable(json_object::fault(&error, "a JSON object"));
            return Err(fault.unwrap_or_else(unreadable));
        }
    };
    check_complete(|name| attributes.iter().any(|(known, _)| known == name))?;
    Ok(attributes)
}

struct Members<'a> {
    most: usize,
    fault: &'a mut Option<EventFault>,
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Vec<(String, String)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut event = Event { most: self.most, ..Event::default() };
        // Values stay as they are written: data may be large, and numbers are judged by their digits.
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            if let Err(fault) = event.take(name, value) {
                *self.fault = Some(fault);
                return Err(A::Error::custom("no event"));
            }
        }
        Ok(event.attributes)
    }
}

/// An event as far as it has been read.
#[derive(Default)]
struct Event {
    attributes: Vec<(String, String)>,
    names: BTreeSet<String>,
    has_data: bool,
    bytes: usize,
    most: usize,
}

impl Event {
    /// Takes the next member.
    fn take(&mut self, name: String, value: &RawValue) -> Result<(), EventFault> {
        let is_data = name == "data" || name == DATA_BASE64;
        if !is_data {
            check_name(&name)?;
        }
        let text = if is_data { None } else { text_of(&name, value.get())? };
        // Counted by name too where it is null: what is held stays small, whatever comes.
        self.bytes += PREFIX.len() + name.len() + text.as_deref().map_or(0, str::len);
        if self.bytes > self.most {
            return Err(EventFault::TooLong(self.most));
        }
        if !self.names.insert(name.clone()) {
            return Err(EventFault::new(&name, Rule::Twice));
        }
        if is_data {
            return self.take_data(&name, value.get());
        }
        if let Some(text) = text {
            check_value(&name, &text)?;
            self.attributes.push((name, text));
        }
        Ok(())
    }

    fn take_data(&mut self, name: &str, value: &str) -> Result<(), EventFault> {
        if name == DATA_BASE64 {
            if value == "null" {
                return Ok(());
            }
            check_base64(value)?;
        }
        if std::mem::replace(&mut self.has_data, true) {
            return Err(EventFault::new(name, Rule::TwoDatas));
        }
        Ok(())
    }
}

/// The canonical text of an attribute's JSON value; none of null, which is as good as absent.
fn text_of(name: &str, value: &str) -> Result<Option<String>, EventFault> {
    let broken = |rule| Err(EventFault::new(name, rule));
    let text = match value.as_bytes().first() {
        Some(b'n') => return Ok(None),
        Some(b'"') => match string(value) {
            Some(text) => text.into_owned(),
            // A lone surrogate: JSON can write it, but it is no character.
            None => return broken(Rule::Character),
        },
        Some(b'{' | b'[') => return broken(Rule::Nested),
        _ if is_core(name) => return broken(Rule::Text),
        Some(b't' | b'f') => value.to_owned(),
        _ => match integer(value) {
            Some(number) => number.to_string(),
            None => return broken(Rule::Integer),
        },
    };
    Ok(Some(text))
}

/// The text that a JSON string stands for.
fn string(json: &str) -> Option<Cow<'_, str>> {
    let plain = json.strip_prefix('"')?.strip_suffix('"')?;
    if plain.contains('\\') {
        serde_json::from_str(json).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(plain))
    }
}

/// A whole number; JSON has one kind of number, so many write 14 as `14.0`.
fn integer(json: &str) -> Option<i32> {
    let zeros = |fraction: &str| !fraction.is_empty() && fraction.bytes().all(|digit| digit == b'0');
    let json = json.split_once('.').filter(|(_, fraction)| zeros(fraction)).map_or(json, |(whole, _)| whole);
    json.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-').then(|| json.parse().ok())?
}

/// Checks base64 without holding what it stands for.
fn check_base64(json: &str) -> Result<(), EventFault> {
    let text = if json.starts_with('"') { string(json) } else { None };
    let decodes = |text: Cow<'_, str>| {
        io::copy(&mut DecoderReader::new(text.as_bytes(), &STANDARD), &mut io::sink()).is_ok()
    };
    if text.is_some_and(decodes) { Ok(()) } else { Err(EventFault::new(DATA_BASE64, Rule::Base64)) }
}

const DATA_BASE64: &str = "data_base64";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    const MOST: usize = 8 * 1024;

    /// A whole event with these members more, as they are written.
    fn whole_and(more: &str) -> String {
        format!(r#"{{"specversion":"1.0","id":"7","source":"/shop","type":"sale"{more}}}"#)
    }

    fn read(event: &str) -> Result<Vec<(String, String)>, EventFault> {
        attributes(event.as_bytes(), MOST)
    }

    #[test]
    fn attributes_travel_as_their_canonical_texts() {
        let event = whole_and(
            r#", "subject": "Caf\u00e9 \"x\"", "count":-17, "zero":0, "fourteen":14.0, "on":true,"off":false, "none":null,
               "datacontenttype":"text/plain", "time":"2026-01-31T12:00:00Z", "data":"x", "data_base64":null"#,
        );
        let attributes = read(&event).unwrap();
        let told: Vec<_> = attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [
            ("specversion", "1.0"),
            ("id", "7"),
            ("source", "/shop"),
            ("type", "sale"),
            ("subject", "Café \"x\""),
            ("count", "-17"),
            ("zero", "0"),
            ("fourteen", "14"),
            ("on", "true"),
            ("off", "false"),
            ("datacontenttype", "text/plain"),
            ("time", "2026-01-31T12:00:00Z"),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn the_events_attributes_take_the_place_of_the_requests() {
        let mut headers = HeaderMap::new();
        headers.append("ce-id", "8".parse().unwrap());
        headers.append("ce-id", "9".parse().unwrap());
        headers.append("ce-foo_bar", "x".parse().unwrap());
        headers.append("traceparent", "00-1".parse().unwrap());
        let event = whole_and(r#","subject":"für""#);
        let before = headers.clone();
        assert!(open(&mut headers, b"{}", MOST).is_err());
        assert_eq!(headers, before);
        open(&mut headers, event.as_bytes(), MOST).unwrap();
        let mut told: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), str::from_utf8(value.as_bytes()).unwrap()))
            .collect();
        told.sort_unstable();
        let expected = [
            ("ce-id", "7"),
            ("ce-source", "/shop"),
            ("ce-specversion", "1.0"),
            ("ce-subject", "für"),
            ("ce-type", "sale"),
            ("traceparent", "00-1"),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn data_is_anything_and_is_not_unfolded() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for data in ["null", "1.5e300", "{\"a\":1,\"a\":2}", "\"\\udead\"", &deep] {
            assert!(read(&whole_and(&format!(r#","data":{data}"#))).is_ok(), "{data:.40}");
        }
        for base64 in ["", "AA==", "AAE=", "+/+/", r"\u0041A==", r"\/\/\/\/"] {
            assert!(read(&whole_and(&format!(r#","data_base64":"{base64}""#))).is_ok(), "{base64}");
        }
    }

    #[test]
    fn what_breaks_a_rule_is_named() {
        for (members, name, rule) in [
            (r#","id":"8""#, "id", Rule::Twice),
            (r#","x":null,"x":1"#, "x", Rule::Twice),
            (r#","data":1,"data":1"#, "data", Rule::Twice),
            (r#","data":null,"data_base64":"""#, "data_base64", Rule::TwoDatas),
            (r#","data_base64":"","data":1"#, "data", Rule::TwoDatas),
            (r#","data_base64":"A""#, "data_base64", Rule::Base64),
            (r#","data_base64":"AA""#, "data_base64", Rule::Base64),
            (r#","data_base64":"A A=""#, "data_base64", Rule::Base64),
            (r#","data_base64":"AA==AA==""#, "data_base64", Rule::Base64),
            (r#","data_base64":"__8=""#, "data_base64", Rule::Base64),
            (r#","data_base64":7"#, "data_base64", Rule::Base64),
            (r#","data_base64":{}"#, "data_base64", Rule::Base64),
            (r#","foo_bar":1"#, "foo_bar", Rule::Name),
            (r#","Foo":1"#, "Foo", Rule::Name),
            (r#","":1"#, "", Rule::Name),
            (r#","x":{}"#, "x", Rule::Nested),
            (r#","x":[1]"#, "x", Rule::Nested),
            (r#","x":1.5"#, "x", Rule::Integer),
            (r#","x":1e3"#, "x", Rule::Integer),
            (r#","x":2147483648"#, "x", Rule::Integer),
            (r#","x":-2147483649"#, "x", Rule::Integer),
            (r#","x":99999999999999999999999"#, "x", Rule::Integer),
            (r#","x":"\ud800""#, "x", Rule::Character),
            (r#","x":"a\nb""#, "x", Rule::Character),
            (r#","x":"\uffff""#, "x", Rule::Character),
            (r#","subject":7"#, "subject", Rule::Text),
            (r#","subject":true"#, "subject", Rule::Text),
            (r#","subject":"""#, "subject", Rule::Empty),
            (r#","time":"today""#, "time", Rule::Time),
            (r#","dataschema":"s.json""#, "dataschema", Rule::Uri),
            (r#","datacontenttype":"json""#, "datacontenttype", Rule::MediaType),
        ] {
            assert_eq!(read(&whole_and(members)), Err(EventFault::new(name, rule)), "{members}");
        }
    }

    #[test]
    fn what_is_required_is_a_text_that_is_there() {
        for (name, value, rule) in [
            ("specversion", json!("0.3"), Rule::Version),
            ("specversion", json!(1), Rule::Text),
            ("id", json!(7), Rule::Text),
            ("id", json!(null), Rule::Missing),
            ("source", json!(""), Rule::Empty),
            ("type", json!({}), Rule::Nested),
        ] {
            let mut event: Map<String, Value> = serde_json::from_str(&whole_and("")).unwrap();
            event.insert(name.to_owned(), value);
            assert_eq!(read(&Value::Object(event).to_string()), Err(EventFault::new(name, rule)), "{name}");
        }
        assert_eq!(read("{}"), Err(EventFault::new("specversion", Rule::Missing)));
    }

    #[test]
    fn what_is_no_object_is_unreadable() {
        for (text, told) in [
            ("", "it ends within its JSON"),
            ("[]", "expected a JSON object"),
            ("\"x\"", "expected a JSON object"),
            ("{\"id\":", "it ends within its JSON"),
            ("{\"id\":01}", "no JSON from line 1, column 8 on"),
            ("{} x", "no JSON from line 1, column 4 on"),
            ("\u{feff}{}", "no JSON from line 1, column 1 on"),
        ] {
            assert_eq!(read(text), Err(EventFault::Unreadable(told.to_owned())), "{text}");
        }
        let not_text = [&whole_and("").as_bytes()[..60], b",\"data\":\"\xff\"}"].concat();
        assert!(attributes(&not_text, MOST).is_err());
    }

    #[test]
    fn attributes_are_bounded_also_where_they_are_null() {
        let long = whole_and(&format!(r#","x":"{}""#, "y".repeat(MOST)));
        assert_eq!(read(&long), Err(EventFault::TooLong(MOST)));
        let many: String = (0..3_000).map(|n| format!(r#","a{n}":null"#)).collect();
        assert_eq!(read(&whole_and(&many)), Err(EventFault::TooLong(MOST)));
    }

    #[test]
    fn integers_are_of_32_bits() {
        for number in ["2147483647", "-2147483648", "0"] {
            let event = whole_and(&format!(r#","x":{number}"#));
            assert_eq!(read(&event).unwrap().last().unwrap().1, number);
        }
    }

    proptest! {
        #[test]
        fn what_was_written_reads_back(texts in prop::collection::btree_map("x[a-z0-9]{0,6}", "[^\\p{C}]{0,12}", 0..6)) {
            let mut event: Map<String, Value> = serde_json::from_str(&whole_and("")).unwrap();
            event.extend(texts.iter().map(|(name, text)| (name.clone(), json!(text))));
            let mut headers = HeaderMap::new();
            open(&mut headers, Value::Object(event).to_string().as_bytes(), MOST).unwrap();
            for (name, text) in &texts {
                prop_assert_eq!(headers[format!("ce-{name}")].as_bytes(), text.as_bytes());
            }
            prop_assert_eq!(headers.len(), 4 + texts.len());
        }

        #[test]
        fn no_bytes_make_reading_fail_loudly(event: Vec<u8>) {
            let _ = attributes(&event, MOST);
        }
    }
}
