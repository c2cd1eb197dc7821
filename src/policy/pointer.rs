//! The JSON pointers a policy asks for, read from a payload in one pass and without building its tree.
//!
//! The pointers form a trie. The parser walks the payload along the trie and skips everything else. Where an object
//! has a key twice, the first counts. A payload that is not JSON as a whole has no values at all.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The pointers of one policy. Each is known by its slot.
#[derive(Debug, Default)]
pub(super) struct Pointers {
    texts: Vec<String>,
    root: Step,
}

/// One point in the trie.
#[derive(Debug, Default)]
struct Step {
    slot: Option<usize>,
    next: Vec<(String, Step)>,
}

/// What a payload holds at the pointers, by slot.
#[derive(Debug)]
pub(super) struct Found {
    values: Vec<Option<JsonValue>>,
}

/// A value found at a pointer; `null` counts as nothing found.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum JsonValue {
    /// `true` or `false`.
    Boolean(bool),
    /// A number.
    Number(serde_json::Number),
    /// A string.
    Text(String),
    /// An object or an array.
    Composite,
}

/// Why a pointer cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PointerError {
    #[error("expects a JSON pointer such as /type or /user/id")]
    Syntax,
    #[error("the pointer has more than {MAX_LEVELS} levels")]
    TooDeep,
    #[error("the policy asks for more than {MAX_POINTERS} pointers")]
    TooMany,
}

impl Pointers {
    /// The slot of this pointer (RFC 6901), which is made if it is new.
    pub(super) fn slot(&mut self, pointer: &str) -> Result<usize, PointerError> {
        let steps = parse(pointer)?;
        if let Some(slot) = self.texts.iter().position(|text| text == pointer) {
            return Ok(slot);
        }
        let slot = self.texts.len();
        if slot >= MAX_POINTERS {
            return Err(PointerError::TooMany);
        }
        self.texts.push(pointer.to_owned());
        self.root.insert(steps.into_iter(), slot);
        Ok(slot)
    }

    /// Whether the policy asks for none.
    pub(super) const fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The pointer in this slot, as it was written.
    pub(super) fn text(&self, slot: usize) -> &str {
        self.texts.get(slot).map_or("", String::as_str)
    }

    /// What the payload holds at the pointers.
    pub(super) fn find(&self, payload: &[u8]) -> Found {
        let mut values = vec![None; self.texts.len()];
        let mut json = serde_json::Deserializer::from_slice(payload);
        let walk = Walk { step: &self.root, values: &mut values };
        let whole = walk.deserialize(&mut json).and_then(|()| json.end());
        if whole.is_err() {
            values.fill(None);
        }
        Found { values }
    }
}

impl Found {
    /// The value in this slot.
    pub(super) fn value(&self, slot: usize) -> Option<&JsonValue> {
        self.values.get(slot).and_then(Option::as_ref)
    }
}

impl Step {
    fn insert(&mut self, mut rest: impl Iterator<Item = String>, slot: usize) {
        let Some(token) = rest.next() else {
            self.slot = Some(slot);
            return;
        };
        if let Some((_, step)) = self.next.iter_mut().find(|(known, _)| *known == token) {
            step.insert(rest, slot);
        } else {
            let mut step = Step::default();
            step.insert(rest, slot);
            self.next.push((token, step));
        }
    }

    fn position(&self, token: &str) -> Option<usize> {
        self.next.iter().position(|(known, _)| known == token)
    }
}

fn parse(pointer: &str) -> Result<Vec<String>, PointerError> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let rest = pointer.strip_prefix('/').ok_or(PointerError::Syntax)?;
    let steps: Vec<String> =
        rest.split('/').map(unescape).collect::<Option<_>>().ok_or(PointerError::Syntax)?;
    if steps.len() > MAX_LEVELS { Err(PointerError::TooDeep) } else { Ok(steps) }
}

/// `~1` is `/` and `~0` is `~`; any other `~` is no pointer.
fn unescape(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (escaped, rest) = part.split_at_checked(1)?;
        text.push(match escaped {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        text.push_str(rest);
    }
    Some(text)
}

/// Reads one value that a step of the trie leads to.
struct Walk<'a> {
    step: &'a Step,
    values: &'a mut Vec<Option<JsonValue>>,
}

impl Walk<'_> {
    fn found(self, value: impl FnOnce() -> JsonValue) {
        if let Some(place) = self.step.slot.and_then(|slot| self.values.get_mut(slot)) {
            *place = Some(value());
        }
    }

    /// Continues at the child in this position.
    fn child(&mut self, position: usize) -> Option<Walk<'_>> {
        self.step.next.get(position).map(|(_, step)| Walk { step, values: self.values })
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.found(|| JsonValue::Boolean(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.found(|| JsonValue::Number(value.into()));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.found(|| JsonValue::Number(value.into()));
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        if let Some(number) = serde_json::Number::from_f64(value) {
            self.found(|| JsonValue::Number(number));
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.found(|| JsonValue::Text(value.to_owned()));
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        // One bit for each child already met: the first of two equal keys counts.
        let mut met = 0u64;
        while let Some(position) = object.next_key_seed(Key(self.step))? {
            let fresh = position.filter(|position| met & (1 << position) == 0);
            if let Some(child) = fresh.and_then(|position| self.child(position)) {
                object.next_value_seed(child)?;
            } else {
                object.next_value::<IgnoredAny>()?;
            }
            met |= position.map_or(0, |position| 1 << position);
        }
        self.found(|| JsonValue::Composite);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<(), A::Error> {
        for index in 0.. {
            let position =
                if self.step.next.is_empty() { None } else { self.step.position(&index.to_string()) };
            let more = match position.and_then(|position| self.child(position)) {
                Some(child) => array.next_element_seed(child)?.is_some(),
                None => array.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        self.found(|| JsonValue::Composite);
        Ok(())
    }
}

/// Reads an object's key: the position of the child it leads to, without keeping the key.
struct Key<'a>(&'a Step);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.position(key))
    }
}

/// Bounds the recursion of the walk; what lies beside the pointers is skipped without recursion.
const MAX_LEVELS: usize = 16;

/// As many as a `u64` has bits, so that no object's children outgrow the mask of those met.
const MAX_POINTERS: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find(pointers: &[&str], payload: &str) -> Vec<Option<JsonValue>> {
        let mut all = Pointers::default();
        for pointer in pointers {
            all.slot(pointer).unwrap();
        }
        all.find(payload.as_bytes()).values
    }

    fn text(text: &str) -> Option<JsonValue> {
        Some(JsonValue::Text(text.to_owned()))
    }

    #[test]
    fn values_of_every_kind_are_found_at_any_depth() {
        let payload = r#"{"skip":[{"type":"x"}],"type":"pay\u006dent","user":{"id":7,"vip":true,"tags":["a","b"]},
            "a/b":{"~":1.5},"nothing":null}"#;
        let found = find(
            &["/type", "/user/id", "/user/vip", "/user/tags/1", "/user", "/a~1b/~0", "/nothing", "/none"],
            payload,
        );
        assert_eq!(
            found,
            [
                text("payment"),
                Some(JsonValue::Number(7.into())),
                Some(JsonValue::Boolean(true)),
                text("b"),
                Some(JsonValue::Composite),
                Some(JsonValue::Number(serde_json::Number::from_f64(1.5).unwrap())),
                None,
                None,
            ]
        );
    }

    #[test]
    fn of_two_equal_keys_the_first_counts() {
        assert_eq!(find(&["/a/b"], r#"{"a":{"c":1},"a":{"b":"late"}}"#), [None]);
        assert_eq!(find(&["/a"], r#"{"a":"one","a":"two"}"#), [text("one")]);
    }

    #[test]
    fn what_is_not_json_as_a_whole_holds_nothing() {
        for payload in ["", "{", r#"{"a":"x"} trailing"#, r#"{"a":"x","b":}"#, r#"{"a":"x",}"#, "\u{feff}{}"]
        {
            assert_eq!(find(&["/a"], payload), [None], "{payload:?}");
        }
    }

    #[test]
    fn deep_nesting_beside_the_pointers_is_skipped_without_recursion() {
        let deep = format!(r#"{{"deep":{}{},"a":"x"}}"#, "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(find(&["/a"], &deep), [text("x")]);
    }

    #[test]
    fn the_empty_pointer_is_the_whole_payload() {
        assert_eq!(find(&[""], r#""word""#), [text("word")]);
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        let mut pointers = Pointers::default();
        for wrong in ["type", "/a~2", "/a~", "/~é"] {
            assert_eq!(pointers.slot(wrong), Err(PointerError::Syntax), "{wrong}");
        }
        assert_eq!(pointers.slot(&"/a".repeat(MAX_LEVELS + 1)), Err(PointerError::TooDeep));
        for slot in 0..MAX_POINTERS {
            assert_eq!(pointers.slot(&format!("/{slot}")), Ok(slot));
        }
        assert_eq!(pointers.slot("/0"), Ok(0));
        assert_eq!(pointers.slot("/more"), Err(PointerError::TooMany));
    }

    proptest! {
        #[test]
        fn the_walk_agrees_with_the_parsed_tree(
            keys in prop::collection::vec("[ab]", 1..4),
            payload in r#"[\[\]{}:,"ab12 tfnrue]{0,60}|\{"a":(1|"b"|\[1,2\]|\{"a":"x","b":null\}),"b":(true|\{"b":\{"a":1\}\})\}"#,
        ) {
            let pointer: String = keys.iter().map(|key| format!("/{key}")).collect();
            let found = find(&[&pointer], &payload);
            // Duplicate keys aside (the tree keeps the last one), both see the same.
            if let Ok(tree) = serde_json::from_str::<serde_json::Value>(&payload)
                && serde_json::to_string(&tree).unwrap().len() == payload.replace(' ', "").len()
            {
                let expected = tree.pointer(&pointer).and_then(|value| match value {
                    serde_json::Value::Null => None,
                    serde_json::Value::Bool(value) => Some(JsonValue::Boolean(*value)),
                    serde_json::Value::Number(value) => Some(JsonValue::Number(value.clone())),
                    serde_json::Value::String(value) => Some(JsonValue::Text(value.clone())),
                    _ => Some(JsonValue::Composite),
                });
                prop_assert_eq!(&found, &vec![expected]);
            }
        }

        #[test]
        fn no_payload_makes_the_walk_panic(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut pointers = Pointers::default();
            pointers.slot("/a/b").unwrap();
            let _ = pointers.find(&payload);
        }
    }
}
