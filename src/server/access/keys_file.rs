//! The file of keys: YAML to a table, every fault at once with its place. What stands in it is never said back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::domain::tier::Tier;
use crate::server::access::ANONYMOUS;
use crate::server::access::key_table::{Digest, Key, KeyTable, Scopes};
use crate::yaml::decode::{Field, Mapping};
use crate::yaml::fault::{FaultLog, Faults};
use crate::yaml::read::read_up_to;

/// The top-level keys of the file: what tells it from a policy and from a configuration.
pub const TOP_LEVEL_KEYS: [&str; 1] = ["keys"];

/// Reads the file's text; `name` is what faults call it.
///
/// # Errors
/// Every fault.
pub fn read_keys(text: &str, name: &str) -> Result<KeyTable, Faults> {
    let faulty = |list| Faults { document: name.to_owned(), list };
    let tree = read_up_to(text, MOST_BYTES).map_err(faulty)?;
    let log = FaultLog::default();
    let table = keys(&Field::root(&tree, &log));
    let found = log.into_list();
    if found.is_empty() { Ok(table) } else { Err(faulty(found)) }
}

fn keys(root: &Field<'_>) -> KeyTable {
    let mut keys = HashMap::new();
    let Some(mut map) = root.mapping() else { return KeyTable::default() };
    let list = map.required("keys").and_then(|field| {
        let items = field.list()?;
        if items.len() > MOST_KEYS {
            field.refuse(format!("{} keys, at most {MOST_KEYS} are taken", items.len()));
            return None;
        }
        Some(items)
    });
    let mut names: HashSet<Arc<str>> = HashSet::new();
    for item in list.unwrap_or_default() {
        let Some((digest, key)) = key(&item) else { continue };
        if !names.insert(Arc::clone(&key.name)) {
            item.at(&["name"]).refuse(format!("another key has the name `{}`", key.name));
        }
        let name = Arc::clone(&key.name);
        if let Some(other) = keys.insert(digest, key) {
            let Key { name: other, .. } = other;
            item.at(&["sha256"]).refuse(format!("`{name}` is the same key as `{other}`"));
        }
    }
    map.close();
    KeyTable::new(keys)
}

fn key(item: &Field<'_>) -> Option<(Digest, Key)> {
    let mut map = item.mapping()?;
    let name = required(&mut map, "name", word);
    let tenant = required(&mut map, "tenant", tenant);
    let digest = required(&mut map, "sha256", digest);
    let scopes = required(&mut map, "scopes", scopes);
    let mut ceiling = Tier::P0;
    map.set("ceiling", &mut ceiling, |field| {
        field.word(&[("p0", Tier::P0), ("p1", Tier::P1), ("p2", Tier::P2)])
    });
    map.close();
    Some((digest?, Key { name: name?, tenant: tenant?, scopes: scopes?, ceiling }))
}

fn required<'a, T>(
    map: &mut Mapping<'a>,
    key: &'static str,
    read: impl FnOnce(&Field<'a>) -> Option<T>,
) -> Option<T> {
    map.required(key).as_ref().and_then(read)
}

/// A name that can stand in header fields, logs and records of every backend as it is.
fn word(field: &Field<'_>) -> Option<Arc<str>> {
    let expected = format!("a name of 1 to {LONGEST_NAME} letters, digits and . _ -");
    field.scalar(&expected, |text| {
        let fits = text.len() <= LONGEST_NAME
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        fits.then(|| Arc::from(text))
    })
}

fn tenant(field: &Field<'_>) -> Option<Arc<str>> {
    let tenant = word(field)?;
    let reserved = match &*tenant {
        ANONYMOUS => "the name of callers without a key",
        "default" => "what a policy calls all tenants that it does not name",
        _ => return Some(tenant),
    };
    field.refuse(format!("`{tenant}` is {reserved}: give the key a tenant of its own"));
    None
}

/// What stands here may be a key that was put in the wrong place, so it is not shown.
fn digest(field: &Field<'_>) -> Option<Digest> {
    let text = field.text()?;
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digest = digits.filter(|digits| digits.len() == 64).map(|digits| {
        let mut pairs = digits.iter();
        std::array::from_fn(|_| {
            let mut next = || pairs.next().copied().unwrap_or_default();
            (next() << 4) | next()
        })
    });
    if digest.is_none() {
        let length = text.chars().count();
        field.refuse(format!(
            "expects the SHA-256 of the key as 64 hexadecimal digits, found {length} characters (not shown): \
             printf %s \"$KEY\" | sha256sum"
        ));
    }
    digest
}

fn scopes(field: &Field<'_>) -> Option<Scopes> {
    let items = field.list()?;
    let mut scopes = Scopes::default();
    for item in &items {
        match item.word(&[("submit", true), ("lease", false)]) {
            Some(true) => scopes.submit = true,
            Some(false) => scopes.lease = true,
            None => {}
        }
    }
    if items.is_empty() {
        field.refuse("expects at least one of submit, lease");
    }
    Some(scopes)
}

/// A key for each of as many tenants as a policy may name.
pub const MOST_KEYS: usize = 10_000;

/// Bytes of the file: room for that many with long names.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Characters of a name.
const LONGEST_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::access::key_table::hex_digest;

    fn faults(text: &str) -> Vec<String> {
        let faults = read_keys(text, "k.yaml").unwrap_err().to_string();
        faults.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_file_gives_its_keys() {
        let (one, two) = (hex_digest(b"one"), hex_digest(b"two").to_uppercase());
        let text = format!(
            "keys:\n  - {{ name: shop, tenant: acme, sha256: {one}, scopes: [submit], ceiling: p1 }}\n  \
             - {{ name: worker-7, tenant: ops, sha256: '{two}', scopes: [lease, submit] }}\n"
        );
        let table = read_keys(&text, "k.yaml").unwrap();
        assert_eq!(table.len(), 2);
        let shop = table.find(b"one").unwrap();
        assert_eq!((&*shop.name, &*shop.tenant, shop.ceiling), ("shop", "acme", Tier::P1));
        assert_eq!(shop.scopes, Scopes { submit: true, lease: false });
        let worker = table.find(b"two").unwrap();
        assert_eq!((worker.scopes, worker.ceiling), (Scopes { submit: true, lease: true }, Tier::P0));
        assert!(read_keys("keys: []\n", "k.yaml").unwrap().is_empty());
    }

    #[test]
    fn every_fault_is_told_at_once_and_what_may_be_a_key_is_not() {
        let digest = hex_digest(b"one");
        let text = format!(
            "keys:\n\
             - {{ name: shop, tenant: acme, sha256: {digest}, scopes: [submit] }}\n\
             - {{ name: shop, tenant: acme, sha256: {digest}, scopes: [submit] }}\n\
             - {{ name: a b, tenant: default, sha256: s3cr3t-key-in-the-wrong-place, scopes: [] }}\n\
             - {{ nam: x, tenant: anonymous, scopes: [submt], ceiling: p3 }}\n\
             - just a word\n\
             kys: 1\n"
        );
        let told = faults(&text);
        let expected = [
            "k.yaml:3:11: keys[1].name: another key has the name `shop`",
            "k.yaml:3:39: keys[1].sha256: `shop` is the same key as `shop`",
            "k.yaml:4:11: keys[2].name: expects a name of 1 to 128 letters, digits and . _ -, found `a b`",
            "k.yaml:4:24: keys[2].tenant: `default` is what a policy calls all tenants that it does not name: give the \
             key a tenant of its own",
            "k.yaml:4:41: keys[2].sha256: expects the SHA-256 of the key as 64 hexadecimal digits, found 29 characters \
             (not shown): printf %s \"$KEY\" | sha256sum",
            "k.yaml:4:72: keys[2].scopes: expects at least one of submit, lease",
            "k.yaml:5:3: keys[3]: the key `name` is missing",
            "k.yaml:5:3: keys[3]: the key `sha256` is missing",
            "k.yaml:5:5: keys[3].nam: unknown key, did you mean `name`?",
            "k.yaml:5:21: keys[3].tenant: `anonymous` is the name of callers without a key: give the key a tenant of its own",
            "k.yaml:5:41: keys[3].scopes[0]: `submt` is unknown, did you mean `submit`?",
            "k.yaml:5:58: keys[3].ceiling: `p3` is unknown, valid here: p0, p1, p2",
            "k.yaml:6:3: keys[4]: expects keys with values, found a single value",
            "k.yaml:7:1: kys: unknown key, did you mean `keys`?",
        ];
        assert_eq!(told, expected, "{told:#?}");
        assert!(!told.join(" ").contains("s3cr3t"));
        assert_eq!(faults("")[0], "k.yaml:1:1: the key `keys` is missing");
    }

    #[test]
    fn a_full_file_is_taken_and_one_key_more_is_not() {
        let item = |number: usize| {
            let digest = hex_digest(number.to_string().as_bytes());
            format!("- {{name: k{number}, tenant: t, sha256: {digest}, scopes: []}}\n")
        };
        let text = |keys: usize| "keys:\n".to_owned() + &(0..keys).map(item).collect::<String>();
        let most = faults(&text(MOST_KEYS + 1));
        assert!(most[0].contains("10001 keys, at most 10000 are taken"), "{most:?}");
        let all = text(MOST_KEYS).replace("[]", "[lease]");
        assert_eq!(read_keys(&all, "k.yaml").unwrap().len(), MOST_KEYS);
        let long = " ".repeat(MOST_BYTES + 1);
        assert!(faults(&long)[0].contains("at most 4194304 are read"));
    }
}
