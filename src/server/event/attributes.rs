//! The rules that attributes keep to, whichever way an event came: names, values, and which must be there.

use iri_string::spec::UriSpec;
use iri_string::validate::{iri, iri_reference};

use crate::server::event::fault::{EventFault, Rule};
use crate::server::event::media_type;
use crate::server::event::timestamp::is_rfc3339;

/// The attributes that every event has.
pub const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// Whether the specification itself defines the attribute; all others are extensions.
pub fn is_core(name: &str) -> bool {
    REQUIRED.contains(&name) || ["datacontenttype", "dataschema", "subject", "time"].contains(&name)
}

/// Checks a name.
///
/// # Errors
/// It has other characters than a-z and 0-9, or none at all.
pub fn check_name(name: &str) -> Result<(), EventFault> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        Ok(())
    } else {
        Err(EventFault::new(name, Rule::Name))
    }
}

/// Checks a value: its characters, and what the attribute of this name asks for.
///
/// # Errors
/// The rule it breaks.
pub fn check_value(name: &str, value: &str) -> Result<(), EventFault> {
    let broken =
        if value.chars().any(is_disallowed) { Some(Rule::Character) } else { broken_rule(name, value) };
    broken.map_or(Ok(()), |rule| Err(EventFault::new(name, rule)))
}

/// Checks that every required attribute is there.
///
/// # Errors
/// The first that is missing.
pub fn check_complete(has: impl Fn(&str) -> bool) -> Result<(), EventFault> {
    let missing = REQUIRED.into_iter().find(|name| !has(name));
    missing.map_or(Ok(()), |name| Err(EventFault::new(name, Rule::Missing)))
}

/// Control characters, and the code points that Unicode keeps free for ever.
fn is_disallowed(character: char) -> bool {
    let code = u32::from(character);
    character.is_control() || (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

fn broken_rule(name: &str, value: &str) -> Option<Rule> {
    let (holds, rule) = match name {
        "specversion" => (value == VERSION, Rule::Version),
        "id" | "type" | "subject" => (!value.is_empty(), Rule::Empty),
        "source" | "dataschema" if value.is_empty() => (false, Rule::Empty),
        "source" => (iri_reference::<UriSpec>(value).is_ok(), Rule::UriReference),
        // A fragment may follow: the specification's own JSON schema lets it.
        "dataschema" => (iri::<UriSpec>(value).is_ok(), Rule::Uri),
        "time" => (is_rfc3339(value), Rule::Time),
        "datacontenttype" => (media_type::is_media_type(value), Rule::MediaType),
        _ => return None,
    };
    (!holds).then_some(rule)
}

/// The version of the specification; its patches do not change it.
const VERSION: &str = "1.0";

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(name: &str, value: &str) -> Option<Rule> {
        match check_value(name, value) {
            Ok(()) => None,
            Err(EventFault::Attribute { rule, .. }) => Some(rule),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn names_are_lower_case_letters_and_digits() {
        for good in ["a", "0", "traceparent", "partitionkey", "x1", &"long".repeat(20)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "Foo", "foo_bar", "foo-bar", "data_base64", "für", "a b"] {
            assert_eq!(check_name(bad), Err(EventFault::new(bad, Rule::Name)), "{bad}");
        }
    }

    #[test]
    fn each_attribute_keeps_to_its_own_rule() {
        for (name, good, bad, rule) in [
            ("specversion", "1.0", "0.3", Rule::Version),
            ("specversion", "1.0", "1.0.2", Rule::Version),
            ("specversion", "1.0", "", Rule::Version),
            ("id", "A 7", "", Rule::Empty),
            ("type", "com.example.sale", "", Rule::Empty),
            ("subject", "käufer/7", "", Rule::Empty),
            ("source", "/shop?x=1#y", "", Rule::Empty),
            ("source", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", "a b", Rule::UriReference),
            ("source", "1-555-123-4567", "/käufer", Rule::UriReference),
            ("source", "mailto:shop@example.com", "http://[::1", Rule::UriReference),
            ("source", "//example.com/a", "%zz", Rule::UriReference),
            ("source", "a%20b", "<shop>", Rule::UriReference),
            ("dataschema", "https://example.com/s.json", "", Rule::Empty),
            ("dataschema", "https://example.com/s.json#/order", "/s.json", Rule::Uri),
            ("dataschema", "urn:schema:1", "https://example.com/ä", Rule::Uri),
            ("time", "2018-04-05T17:31:00.123+02:00", "2018-04-05", Rule::Time),
            ("datacontenttype", "application/vnd.x+json; charset=utf-8", "json", Rule::MediaType),
            ("datacontenttype", "TEXT/Plain;a=\"b;c\"", "", Rule::MediaType),
        ] {
            assert_eq!(broken(name, good), None, "{name}: {good}");
            assert_eq!(broken(name, bad), Some(rule), "{name}: {bad}");
        }
        assert_eq!(broken("anextension", ""), None, "an extension may be empty");
    }

    #[test]
    fn no_attribute_has_characters_that_are_none() {
        for bad in [
            "a\tb",
            "\u{0}",
            "\n",
            "\u{7f}",
            "\u{80}",
            "\u{9f}",
            "\u{fdd0}",
            "\u{fdef}",
            "\u{fffe}",
            "\u{10ffff}",
        ] {
            assert_eq!(broken("anextension", bad), Some(Rule::Character), "{}", bad.escape_unicode());
            assert_eq!(broken("id", bad), Some(Rule::Character));
        }
        for good in [" ", "~", "\u{a0}", "\u{fdcf}", "\u{fdf0}", "\u{fffd}", "😀"] {
            assert_eq!(broken("anextension", good), None, "{}", good.escape_unicode());
        }
    }

    #[test]
    fn the_first_missing_attribute_is_named() {
        assert_eq!(check_complete(|_| true), Ok(()));
        let missing = check_complete(|name| name == "specversion" || name == "id").unwrap_err();
        assert_eq!(missing, EventFault::new("source", Rule::Missing));
    }
}
