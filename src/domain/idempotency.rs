//! Idempotency keys: what a client names a job by, so that sending it twice stores it once.

use std::time::Duration;

use sha2::{Digest, Sha256};

/// A client's key within its scope (the tenant and the route), as a digest: what is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub [u8; 16]);

/// What a job is told apart by from another one sent under the same key: a digest of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 16]);

/// A job's key with its fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// The key.
    pub key: Key,
    /// What came with it.
    pub fingerprint: Fingerprint,
}

/// What an index of keys says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyIndex {
    /// Keys known now.
    pub keys: usize,
    /// Every key stored within this time is known.
    pub horizon: Duration,
}

/// A text that is no idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to 255 visible ASCII characters, bare or in double quotes")]
pub struct NotAKey;

impl Key {
    /// The key that a text names for a tenant on a route. `"k"` (a structured field's string, RFC 9651) and `k` are
    /// one key.
    ///
    /// # Errors
    /// The text is empty, longer than 255 characters, or has others than visible ASCII ones.
    pub fn of(tenant: &str, route: &str, text: &str) -> Result<Key, NotAKey> {
        let name = unquoted(text.trim_matches([' ', '\t'])).ok_or(NotAKey)?;
        if !(1..=LONGEST).contains(&name.len()) || !name.iter().all(u8::is_ascii_graphic) {
            return Err(NotAKey);
        }
        Ok(Key(digest([tenant.as_bytes(), route.as_bytes(), &name])))
    }
}

impl Fingerprint {
    /// The fingerprint of a job's content: its parts in their order, each with its own beginning and end.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Fingerprint {
        Fingerprint(digest(parts))
    }
}

/// The text without the quotes of a structured field's string; `None` where they are not closed.
fn unquoted(text: &str) -> Option<Vec<u8>> {
    let Some(quoted) = text.strip_prefix('"') else { return Some(text.as_bytes().to_vec()) };
    let mut bytes = quoted.strip_suffix('"')?.bytes();
    let mut name = Vec::with_capacity(quoted.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => name.push(bytes.next().filter(|escaped| matches!(escaped, b'"' | b'\\'))?),
            b'"' => return None,
            byte => name.push(byte),
        }
    }
    Some(name)
}

/// Half of a SHA-256 over the parts: keys are chosen by clients, so nobody may be able to make two of them meet.
fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let whole: [u8; 32] = hash.finalize().into();
    whole.first_chunk().copied().unwrap_or_default()
}

/// Characters of a key at most.
const LONGEST: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<Key, NotAKey> {
        Key::of("acme", "/v1/jobs", text)
    }

    #[test]
    fn a_quoted_key_and_a_bare_one_are_the_same() {
        assert_eq!(key("\"k-1\""), key("k-1"));
        assert_eq!(key(r#""a\"b\\c""#), key(r#"a"b\c"#));
        assert_eq!(key(" k-1\t"), key("k-1"), "optional white space is no part of a field's value");
        assert_ne!(key("k-1"), key("k-2"));
    }

    #[test]
    fn tenants_and_routes_have_keys_of_their_own() {
        assert_ne!(key("k"), Key::of("other", "/v1/jobs", "k"));
        assert_ne!(key("k"), Key::of("acme", "/v1/jobs/batch", "k"));
        assert_ne!(Key::of("ab", "c", "k"), Key::of("a", "bc", "k"), "parts do not run together");
    }

    #[test]
    fn a_key_is_short_visible_text() {
        assert!(key(&"k".repeat(255)).is_ok());
        assert!(key(&format!("\"{}\"", "k".repeat(255))).is_ok());
        for wrong in
            ["", " ", "\"\"", "a b", "\"a b\"", "a\tb", "\"k", "k\\\u{7f}", "\"a\"b\"", r#""a\b""#, "ü"]
        {
            assert_eq!(key(wrong), Err(NotAKey), "{wrong}");
        }
        assert_eq!(key(&"k".repeat(256)), Err(NotAKey));
    }

    #[test]
    fn the_digest_is_what_every_version_makes_of_it() {
        // A restart with another version must still know the keys of the last one.
        let Key(digest) = Key::of("anonymous", "/v1/jobs", "k").unwrap();
        assert_eq!(u128::from_be_bytes(digest), PINNED, "{:#x}", u128::from_be_bytes(digest));
        assert_ne!(Fingerprint::of([&b"ab"[..], b"c"]), Fingerprint::of([&b"a"[..], b"bc"]));
    }

    const PINNED: u128 = 0x29f0_b117_6ce6_4754_0cc4_012c_c1ca_2ae4;
}
