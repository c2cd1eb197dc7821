//! A JSON array taken apart into its elements, each as the very bytes that the client wrote.

use std::fmt;

use bytes::Bytes;
use serde::Deserializer;
use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::server::json_object;

/// Why there are no elements.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArrayError {
    /// More elements than a batch may have.
    #[error("the array has more than {0} elements")]
    TooLong(u64),
    /// It is not a JSON array.
    #[error("the body: {0}")]
    Malformed(String),
}

/// The elements of the array that the body is, at most `most`. They share the body's memory.
///
/// # Errors
/// The body is no array, or has too many elements.
pub fn elements(body: &Bytes, most: u64) -> Result<Vec<Bytes>, ArrayError> {
    let mut too_long = false;
    let mut json = serde_json::Deserializer::from_slice(body);
    let visitor = Elements { body, most, too_long: &mut too_long };
    let elements = json.deserialize_seq(visitor).and_then(|elements| json.end().map(|()| elements));
    match elements {
        Ok(elements) => Ok(elements),
        Err(_) if too_long => Err(ArrayError::TooLong(most)),
        Err(error) => Err(ArrayError::Malformed(json_object::fault(&error, "a JSON array"))),
    }
}

/// Whether these bytes are one JSON value.
pub fn is_json(text: &[u8]) -> bool {
    // A raw value is checked as UTF-8 too, which an ignored one is not.
    serde_json::from_slice::<&RawValue>(text).is_ok()
}

struct Elements<'a> {
    body: &'a Bytes,
    most: u64,
    too_long: &'a mut bool,
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = Vec<Bytes>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of jobs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Vec<Bytes>, A::Error> {
        let mut elements = Vec::new();
        // Counted while reading: a body of sixteen million digits must not become sixteen million slices.
        for _ in 0..self.most {
            match array.next_element::<&'de RawValue>()? {
                Some(element) => elements.push(slice(self.body, element.get().as_bytes())),
                None => return Ok(elements),
            }
        }
        match array.next_element::<IgnoredAny>()? {
            Some(_) => {
                *self.too_long = true;
                Err(A::Error::custom("too long"))
            }
            None => Ok(elements),
        }
    }
}

/// The part of `whole` that `part` borrows from it.
fn slice(whole: &Bytes, part: &[u8]) -> Bytes {
    let within = whole.as_ptr_range().contains(&part.as_ptr());
    if within { whole.slice_ref(part) } else { Bytes::copy_from_slice(part) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &'static str, most: u64) -> Result<Vec<Bytes>, ArrayError> {
        elements(&Bytes::from_static(body.as_bytes()), most)
    }

    #[test]
    fn elements_keep_the_bytes_they_were_written_with() {
        let found = read(r#" [ {"a" : 1.0e0,"a":2} , [1, 2], "é\u0041" ,null ] "#, 10).unwrap();
        assert_eq!(found, [r#"{"a" : 1.0e0,"a":2}"#, "[1, 2]", r#""é\u0041""#, "null"]);
    }

    #[test]
    fn an_array_may_be_empty_or_just_full() {
        assert!(read("[]", 2).unwrap().is_empty());
        assert_eq!(read("[1,2]", 2).unwrap().len(), 2);
        assert_eq!(read("[1,2,3]", 2), Err(ArrayError::TooLong(2)));
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for body in ["", "{}", "1", "[1,]", "[1", "[1] 2", "[1]]", "[\"\u{1}\"]"] {
            assert!(matches!(read(body, 10), Err(ArrayError::Malformed(_))), "{body}");
        }
        let not_text = Bytes::from_static(b"[\"\xff\"]");
        assert!(matches!(elements(&not_text, 10), Err(ArrayError::Malformed(_))));
    }

    #[test]
    fn deep_nesting_is_no_harm() {
        let deep = format!("[{}{}]", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(elements(&Bytes::from(deep), 10).unwrap().len(), 1);
    }

    #[test]
    fn a_line_is_json_or_not() {
        for yes in ["1", " {\"a\":[]} ", "\"\"", "null"] {
            assert!(is_json(yes.as_bytes()), "{yes}");
        }
        for no in [&b""[..], b"{", b"{} {}", b"nul", b"\"\xff\"", b"\xef\xbb\xbf1"] {
            assert!(!is_json(no));
        }
    }
}
