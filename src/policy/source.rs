//! Where a name is read from: a job's type, its ordering key, its idempotency key.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

use crate::policy::pointer::{Found, JsonValue, Pointers};
use crate::yaml::decode::Field;

/// One place a name can come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A header field; `ce-type` too, which is where CloudEvents in binary mode have their attributes.
    Header(HeaderName),
    /// The value at a JSON pointer, by its slot.
    Body(usize),
}

impl Source {
    /// Whether it is an attribute of an event.
    pub(super) fn is_attribute(&self) -> bool {
        matches!(self, Source::Header(name) if name.as_str().starts_with("ce-"))
    }
}

/// What is known of a name so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// The body may tell it.
    Unknown,
    /// This is it, or there is none.
    Known(Option<Cow<'a, str>>),
}

/// What the sources say of a job's idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyText<'a> {
    /// There is none.
    Absent,
    /// The body may tell it.
    InBody,
    /// This is it, as it was written.
    Found(Cow<'a, str>),
    /// There is one that is no text: an array, an object, a field that is there twice, bytes.
    NoText,
}

impl KeyText<'_> {
    /// The same, to keep.
    pub(super) fn into_owned(self) -> KeyText<'static> {
        match self {
            KeyText::Absent => KeyText::Absent,
            KeyText::InBody => KeyText::InBody,
            KeyText::Found(text) => KeyText::Found(Cow::Owned(text.into_owned())),
            KeyText::NoText => KeyText::NoText,
        }
    }
}

impl Name<'_> {
    /// The name, to keep.
    pub(super) fn into_text(self) -> Option<Box<str>> {
        match self {
            Name::Known(Some(text)) => Some(text.into()),
            Name::Known(None) | Name::Unknown => None,
        }
    }
}

/// The first hit among the sources; [`Name::Unknown`] where the body has to be asked first.
pub(super) fn first_hit<'a>(sources: &[Source], headers: &'a HeaderMap, body: Option<&'a Found>) -> Name<'a> {
    first_hit_and_source(sources, headers, body).0
}

/// The first hit, and the source that has it.
pub(super) fn first_hit_and_source<'a, 's>(
    sources: &'s [Source],
    headers: &'a HeaderMap,
    body: Option<&'a Found>,
) -> (Name<'a>, Option<&'s Source>) {
    for source in sources {
        let hit = match (source, body) {
            (Source::Header(name), _) => {
                headers.get(name).and_then(|value| str::from_utf8(value.as_bytes()).ok()).map(Cow::Borrowed)
            }
            (Source::Body(_), None) => return (Name::Unknown, None),
            (Source::Body(slot), Some(found)) => found.value(*slot).and_then(as_name),
        };
        // Neither an empty text nor one of endless length names anything.
        let usable = |text: &Cow<'_, str>| (1..=MAX_NAME_BYTES).contains(&text.len());
        if let Some(hit) = hit.filter(usable) {
            return (Name::Known(Some(hit)), Some(source));
        }
    }
    (Name::Known(None), None)
}

/// The first source that holds anything, whether or not that can be a key: a key that is wrong must not become a job
/// without one.
pub(super) fn first_key<'a>(
    sources: &[Source],
    headers: &'a HeaderMap,
    body: Option<&'a Found>,
) -> KeyText<'a> {
    for source in sources {
        match (source, body) {
            (Source::Header(name), _) => {
                let mut values = headers.get_all(name).iter();
                let Some(value) = values.next() else { continue };
                let alone = values.next().is_none();
                let text = value.to_str().ok().filter(|_| alone);
                return text.map_or(KeyText::NoText, |text| KeyText::Found(Cow::Borrowed(text)));
            }
            (Source::Body(_), None) => return KeyText::InBody,
            (Source::Body(slot), Some(found)) => {
                let Some(value) = found.value(*slot) else { continue };
                return as_name(value).map_or(KeyText::NoText, KeyText::Found);
            }
        }
    }
    KeyText::Absent
}

/// The source as a policy writes it; header names in lower case.
pub(super) fn written(source: &Source, pointers: &Pointers) -> String {
    match source {
        Source::Header(name) if source.is_attribute() => name.as_str().to_owned(),
        Source::Header(name) => format!("header:{name}"),
        Source::Body(slot) => format!("body:{}", pointers.text(*slot)),
    }
}

fn as_name(value: &JsonValue) -> Option<Cow<'_, str>> {
    match value {
        JsonValue::Text(text) => Some(Cow::Borrowed(text)),
        JsonValue::Number(number) => Some(Cow::Owned(number.to_string())),
        JsonValue::Boolean(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
        JsonValue::Composite => None,
    }
}

/// Reads a list of sources.
pub(super) fn read_sources(field: &Field<'_>, pointers: &mut Pointers) -> Option<Vec<Source>> {
    let list = field.list()?;
    if list.len() > MAX_SOURCES {
        field.refuse(format!("expects at most {MAX_SOURCES} sources"));
        return None;
    }
    Some(list.iter().filter_map(|field| read_source(field, pointers)).collect())
}

fn read_source(field: &Field<'_>, pointers: &mut Pointers) -> Option<Source> {
    let text = field.text()?;
    let source = parse(&text, pointers);
    if let Err(problem) = &source {
        field.refuse(format!("{problem}, found `{text}`"));
    }
    source.ok()
}

/// Understands `header:NAME`, `ce-NAME` and `body:/pointer`.
pub(super) fn parse(text: &str, pointers: &mut Pointers) -> Result<Source, String> {
    if let Some(name) = text.strip_prefix("header:") {
        let name =
            HeaderName::try_from(name).map_err(|_| "expects a header name after `header:`".to_owned())?;
        return Ok(Source::Header(name));
    }
    if let Some(pointer) = text.strip_prefix("body:") {
        return pointers.slot(pointer).map(Source::Body).map_err(|error| error.to_string());
    }
    if let Some(attribute) = text.strip_prefix("ce-")
        && !attribute.is_empty()
        && attribute.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    {
        return HeaderName::try_from(text).map(Source::Header).map_err(|error| error.to_string());
    }
    Err("expects header:NAME, ce-NAME or body:/pointer".to_owned())
}

/// Types and ordering keys are kept with every job; a longer text is taken for payload, not for a name.
const MAX_NAME_BYTES: usize = 1_024;

/// More places to look for one name help nobody.
const MAX_SOURCES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(texts: &[&str]) -> (Vec<Source>, Pointers) {
        let mut pointers = Pointers::default();
        (texts.iter().map(|text| parse(text, &mut pointers).unwrap()).collect(), pointers)
    }

    fn known(text: &str) -> Name<'_> {
        Name::Known(Some(text.into()))
    }

    #[test]
    fn a_header_before_the_body_spares_reading_it() {
        let (sources, _) = sources(&["header:Tidegate-Type", "ce-type", "body:/type"]);
        let mut headers = HeaderMap::new();
        assert_eq!(first_hit(&sources, &headers, None), Name::Unknown);
        headers.insert("ce-type", "digest".parse().unwrap());
        assert_eq!(first_hit(&sources, &headers, None), known("digest"));
        headers.insert("tidegate-type", "payment".parse().unwrap());
        assert_eq!(first_hit(&sources, &headers, None), known("payment"));
    }

    #[test]
    fn names_in_headers_may_be_of_any_script() {
        let (sources, _) = sources(&["ce-type", "header:X"]);
        let mut headers = HeaderMap::new();
        headers.insert("ce-type", http::HeaderValue::from_bytes("käufer.neu".as_bytes()).unwrap());
        assert_eq!(first_hit(&sources, &headers, None), known("käufer.neu"));
        headers.insert("ce-type", http::HeaderValue::from_bytes(b"\xff").unwrap());
        headers.insert("x", "next".parse().unwrap());
        assert_eq!(first_hit(&sources, &headers, None), known("next"), "what is no text names nothing");
    }

    #[test]
    fn a_body_before_the_header_is_asked_first() {
        let (sources, pointers) = sources(&["body:/type", "header:Tidegate-Type"]);
        let mut headers = HeaderMap::new();
        headers.insert("tidegate-type", "payment".parse().unwrap());
        assert_eq!(first_hit(&sources, &headers, None), Name::Unknown);
        let with_type = pointers.find(br#"{"type":42}"#);
        assert_eq!(first_hit(&sources, &headers, Some(&with_type)), known("42"));
        let without = pointers.find(br#"{"type":{}}"#);
        assert_eq!(first_hit(&sources, &headers, Some(&without)), known("payment"));
    }

    #[test]
    fn empty_and_endless_texts_are_no_names() {
        let (sources, pointers) = sources(&["header:X", "body:/k"]);
        let mut headers = HeaderMap::new();
        headers.insert("x", "".parse().unwrap());
        let body = pointers.find(format!(r#"{{"k":"{}"}}"#, "x".repeat(MAX_NAME_BYTES + 1)).as_bytes());
        assert_eq!(first_hit(&sources, &headers, Some(&body)), Name::Known(None));
    }

    #[test]
    fn a_key_that_is_no_text_is_not_passed_over() {
        let (sources, pointers) = sources(&["header:Idempotency-Key", "body:/id"]);
        let mut headers = HeaderMap::new();
        let key = |headers: &HeaderMap, body: Option<&str>| {
            let found = body.map(|body| pointers.find(body.as_bytes()));
            match first_key(&sources, headers, found.as_ref()) {
                KeyText::Found(text) => text.into_owned(),
                other => format!("{other:?}"),
            }
        };
        assert_eq!(key(&headers, None), "InBody");
        assert_eq!(key(&headers, Some(r#"{"id":7}"#)), "7");
        assert_eq!(key(&headers, Some(r#"{"id":""}"#)), "");
        assert_eq!(key(&headers, Some(r#"{"id":null}"#)), "Absent");
        assert_eq!(key(&headers, Some(r#"{"id":[7]}"#)), "NoText");
        headers.append("idempotency-key", "k".parse().unwrap());
        assert_eq!(key(&headers, None), "k");
        headers.append("idempotency-key", "k".parse().unwrap());
        assert_eq!(key(&headers, None), "NoText");
    }

    #[test]
    fn what_is_no_source_is_refused() {
        for wrong in ["", "type", "header:", "header:a b", "ce-", "ce-Type", "body:type", "query:x"] {
            assert!(parse(wrong, &mut Pointers::default()).is_err(), "{wrong:?}");
        }
    }
}
