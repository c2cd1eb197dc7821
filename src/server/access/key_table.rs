//! The keys that are ours, found by the digest of what a caller gives; a key itself is never kept.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::domain::tier::Tier;
use crate::server::access::Scope;

/// The SHA-256 of a key.
pub type Digest = [u8; 32];

/// What a key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// What operators call it; no two have one name.
    pub name: Arc<str>,
    /// In whose name its bearer acts.
    pub tenant: Arc<str>,
    /// What its bearer may do.
    pub scopes: Scopes,
    /// The highest tier that its bearer reaches.
    pub ceiling: Tier,
}

/// What the bearer of a key may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    /// Post jobs.
    pub submit: bool,
    /// Lease and finish jobs, those of every tenant.
    pub lease: bool,
}

impl Scopes {
    /// Whether this is one of them.
    pub const fn contain(self, scope: Scope) -> bool {
        match scope {
            Scope::Submit => self.submit,
            Scope::Lease => self.lease,
        }
    }
}

/// All keys of a file. Its debug form tells their number alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyTable(HashMap<Kept, Key>);

/// A digest in the table, compared in constant time. Its place follows from a hash under a secret of this process.
#[derive(Clone, Copy)]
struct Kept(Digest);

impl PartialEq for Kept {
    fn eq(&self, other: &Kept) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Kept {}

impl Hash for Kept {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.hash(hasher);
    }
}

impl KeyTable {
    /// The keys of these digests.
    pub fn new(keys: HashMap<Digest, Key>) -> KeyTable {
        KeyTable(keys.into_iter().map(|(digest, key)| (Kept(digest), key)).collect())
    }

    /// What a given key stands for, if it is one of ours. How long that takes tells nothing of a digest: see [`Kept`].
    pub fn find(&self, given: &[u8]) -> Option<&Key> {
        self.0.get(&Kept(Sha256::digest(given).into()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for KeyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyTable({} keys)", self.0.len())
    }
}

/// The digest of a key as its file has it.
pub fn hex_digest(key: &[u8]) -> String {
    Sha256::digest(key).iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_bytes_alone() {
        let key = |name: &str| Key {
            name: name.into(),
            tenant: "acme".into(),
            scopes: Scopes { submit: true, lease: false },
            ceiling: Tier::P0,
        };
        let digest = |text: &str| Digest::from(Sha256::digest(text));
        let table =
            KeyTable::new(HashMap::from([(digest("one"), key("first")), (digest("two"), key("second"))]));
        assert_eq!(&*table.find(b"one").unwrap().name, "first");
        assert_eq!(&*table.find(b"two").unwrap().name, "second");
        for unknown in [b"One".as_slice(), b"", b"one ", &digest("one")] {
            assert_eq!(table.find(unknown), None);
        }
        assert_eq!(format!("{table:?}"), "KeyTable(2 keys)");
    }

    #[test]
    fn a_digest_that_differs_in_one_bit_is_another() {
        let digest = Digest::from(Sha256::digest("one"));
        assert!(Kept(digest) == Kept(digest));
        for bit in 0..256 {
            let mut other = digest;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(Kept(digest) != Kept(other), "bit {bit}");
        }
    }

    #[test]
    fn the_digest_is_what_sha256sum_prints() {
        // printf %s abc | sha256sum
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex_digest(b"abc"), expected);
    }
}
