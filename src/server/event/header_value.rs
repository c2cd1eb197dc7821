//! The text of an attribute in a header field: first double quotes undone, then one round of percent-decoding, as
//! the HTTP protocol binding says (section 3.1.3.2).

use std::borrow::Cow;

use crate::server::event::fault::Rule;

/// The text that a field's value stands for.
///
/// # Errors
/// Quotes that do not pair, escapes that are none, bytes that are no UTF-8.
pub fn decode(value: &[u8]) -> Result<String, Rule> {
    let bytes = percent_decoded(unquoted(value)?)?;
    String::from_utf8(bytes.into_owned()).map_err(|_| Rule::NotText)
}

/// A value that begins with a double quote is a quoted string as a whole. A quote further on is a character like any
/// other: senders that do not encode it mean itself.
fn unquoted(value: &[u8]) -> Result<Cow<'_, [u8]>, Rule> {
    let Some(rest) = value.strip_prefix(b"\"") else { return Ok(Cow::Borrowed(value)) };
    let mut text = Vec::with_capacity(rest.len());
    let mut bytes = rest.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if bytes.as_slice().is_empty() => return Ok(Cow::Owned(text)),
            b'"' => break,
            b'\\' => text.push(*bytes.next().ok_or(Rule::Quotes)?),
            other => text.push(*other),
        }
    }
    Err(Rule::Quotes)
}

fn percent_decoded(value: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, Rule> {
    if !value.contains(&b'%') {
        return Ok(value);
    }
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = &*value;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, after @ ..]) => {
                let (high, low) = hex(*high).zip(hex(*low)).ok_or(Rule::Escape)?;
                decoded.push(high << 4 | low);
                rest = after;
            }
            (b'%', _) => return Err(Rule::Escape),
            (other, _) => decoded.push(*other),
        }
    }
    Ok(Cow::Owned(decoded))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the binding tells senders to encode; `needlessly` encodes every other byte too, in lower case.
    fn encode(text: &str, needlessly: bool) -> String {
        let mut encoded = String::new();
        for (place, byte) in text.bytes().enumerate() {
            if !(0x21..=0x7e).contains(&byte) || byte == b'"' || byte == b'%' {
                encoded += &format!("%{byte:02X}");
            } else if needlessly && place % 2 == 0 {
                encoded += &format!("%{byte:02x}");
            } else {
                encoded.push(char::from(byte));
            }
        }
        encoded
    }

    #[test]
    fn values_stand_for_texts() {
        for (value, text) in [
            ("", ""),
            ("plain", "plain"),
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
            ("%e2%82%ac", "€"),
            ("%41%2f", "A/"),
            // One round only.
            ("%2541", "%41"),
            ("%25", "%"),
            ("a+b", "a+b"),
            ("\"\"", ""),
            ("\"two words\"", "two words"),
            (r#""a \"b\" \\ \c""#, r#"a "b" \ c"#),
            // Quotes first, then escapes: what the escapes stand for is not unquoted again.
            ("\"%22a%22\"", "\"a\""),
            (r#""\%41""#, "A"),
            ("%22a%22", "\"a\""),
            ("say \"hi\"", "say \"hi\""),
            (r"a\b", r"a\b"),
            ("raw €", "raw €"),
        ] {
            assert_eq!(decode(value.as_bytes()).as_deref(), Ok(text), "{value}");
        }
    }

    #[test]
    fn what_stands_for_no_text_is_refused() {
        for (value, rule) in [
            (&b"\""[..], Rule::Quotes),
            (b"\"open", Rule::Quotes),
            (b"\"a\" and \"b\"", Rule::Quotes),
            (b"\"a\\\"", Rule::Quotes),
            (b"\"a\\", Rule::Quotes),
            (b"%", Rule::Escape),
            (b"100%", Rule::Escape),
            (b"%4", Rule::Escape),
            (b"%zz", Rule::Escape),
            (b"%+1", Rule::Escape),
            (b"% 1", Rule::Escape),
            // An overlong space, a lone surrogate, a cut character, a byte that begins none.
            (b"%C0%A0", Rule::NotText),
            (b"%ED%A0%80", Rule::NotText),
            (b"%E2%82", Rule::NotText),
            (b"%FF", Rule::NotText),
            (b"\xff", Rule::NotText),
        ] {
            assert_eq!(decode(value), Err(rule), "{}", value.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_reads_back(text: String, needlessly: bool) {
            prop_assert_eq!(decode(encode(&text, needlessly).as_bytes()), Ok(text));
        }

        #[test]
        fn what_was_quoted_reads_back(text in "[^%]{0,20}") {
            let quoted = format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""));
            prop_assert_eq!(decode(quoted.as_bytes()), Ok(text));
        }

        #[test]
        fn no_bytes_make_decoding_fail_loudly(value: Vec<u8>) {
            let _ = decode(&value);
        }
    }
}
