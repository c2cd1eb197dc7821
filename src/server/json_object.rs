//! A JSON object that a caller sent: its keys taken one by one, each fault said in the caller's words.

use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Number;
use serde_json::value::RawValue;

use crate::server::problem::Problem;

/// The keys of an object that have not been taken yet. Values are looked at when they are taken, so nothing in a
/// body becomes larger than it came.
#[derive(Debug)]
pub struct JsonObject<'a> {
    rest: Vec<(String, &'a RawValue)>,
    /// The keys asked for so far.
    known: Vec<&'static str>,
}

impl<'a> JsonObject<'a> {
    /// An object without keys.
    pub const fn empty() -> JsonObject<'a> {
        JsonObject { rest: Vec::new(), known: Vec::new() }
    }

    /// Reads an object.
    ///
    /// # Errors
    /// 400: it is no JSON, or no object.
    pub fn parse(body: &'a [u8]) -> Result<JsonObject<'a>, Problem> {
        let Entries(rest) = serde_json::from_slice(body)
            .map_err(|error| Problem::malformed(format!("the body: {}", fault(&error, "a JSON object"))))?;
        Ok(JsonObject { rest, known: Vec::new() })
    }

    /// A whole number within its range. JSON has one kind of number: `30.0` is as whole as `30`.
    ///
    /// # Errors
    /// 400: it is none, or out of its range.
    pub fn number(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let number = match self.take::<Number>(key) {
            Ok(Some(number)) => whole(&number).filter(|number| range.contains(number)).map(Some).ok_or(()),
            Ok(None) => Ok(None),
            Err(()) => Err(()),
        };
        number
            .map_err(|()| expected(key, &format!("a whole number from {} to {}", range.start(), range.end())))
    }

    /// A text.
    ///
    /// # Errors
    /// 400: it is none.
    pub fn text(&mut self, key: &'static str) -> Result<Option<String>, Problem> {
        self.take(key).map_err(|()| expected(key, "a text"))
    }

    /// A list of texts.
    ///
    /// # Errors
    /// 400: it is none.
    pub fn texts(&mut self, key: &'static str) -> Result<Option<Vec<String>>, Problem> {
        self.take(key).map_err(|()| expected(key, TEXTS))
    }

    /// A list of texts that must be there.
    ///
    /// # Errors
    /// 400: it is missing, or no such list.
    pub fn required_texts(&mut self, key: &'static str) -> Result<Vec<String>, Problem> {
        self.texts(key)?.ok_or_else(|| Problem::malformed(format!("{key}: it is missing, expected {TEXTS}")))
    }

    /// True or false.
    ///
    /// # Errors
    /// 400: neither.
    pub fn flag(&mut self, key: &'static str) -> Result<Option<bool>, Problem> {
        self.take(key).map_err(|()| expected(key, "true or false"))
    }

    /// Ends the reading: nothing may be left.
    ///
    /// # Errors
    /// 400: a key that is not known, or is there twice.
    pub fn close(self) -> Result<(), Problem> {
        let Some((key, _)) = self.rest.first() else { return Ok(()) };
        if self.known.contains(&key.as_str()) {
            return Err(Problem::malformed(format!("{key}: it is there more than once")));
        }
        let one_of = if self.known.len() > 1 { "one of " } else { "" };
        let shown: String = key.chars().take(LONGEST_SHOWN).collect();
        let known = self.known.join(", ");
        Err(Problem::malformed(format!("{shown}: no such key, expected {one_of}{known}")))
    }

    /// The first value of this key; null is as good as none.
    fn take<T: Deserialize<'a>>(&mut self, key: &'static str) -> Result<Option<T>, ()> {
        self.known.push(key);
        let Some(place) = self.rest.iter().position(|(name, _)| name == key) else { return Ok(None) };
        let (_, value) = self.rest.remove(place);
        serde_json::from_str(value.get()).map_err(|_| ())
    }
}

/// A key whose value is not what it should be.
pub fn expected(key: &str, what: &str) -> Problem {
    Problem::malformed(format!("{key}: expected {what}"))
}

/// What is wrong with a text that should be `wanted`, in words of JSON.
pub fn fault(error: &serde_json::Error, wanted: &str) -> String {
    if error.is_eof() {
        "it ends within its JSON".to_owned()
    } else if error.is_data() {
        format!("expected {wanted}")
    } else {
        format!("no JSON from line {}, column {} on", error.line(), error.column())
    }
}

fn whole(number: &Number) -> Option<u64> {
    let exact = |number: &f64| number.fract() == 0.0 && (0.0..=LARGEST_EXACT).contains(number);
    number.as_u64().or_else(|| number.as_f64().filter(exact).map(|number| number as u64))
}

struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Entries<'de>, D::Error> {
        json.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            // One more than any object here has: what is wrong is seen by then, and the rest only read over.
            if entries.len() <= MOST_KEYS {
                entries.push(entry);
            }
        }
        Ok(Entries(entries))
    }
}

const TEXTS: &str = "a list of texts";

/// More keys than any object of ours has.
const MOST_KEYS: usize = 16;

/// Up to here every whole number is one that a double can say.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// Of a key that nobody knows: it comes back in an answer.
const LONGEST_SHOWN: usize = 40;
