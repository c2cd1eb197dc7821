//! Taking typed values out of the tree, collecting every fault on the way.
//!
//! A [`Field`] is one value with its path. Its methods give `None` after having noted the fault, so that decoding
//! goes on and shows the next one. A [`Mapping`] knows which keys were asked for; [`Mapping::close`] refuses the others.

use std::time::Duration;

use crate::domain::units::Rate;
use crate::yaml::fault::{Fault, FaultLog, Severity, suggestion};
use crate::yaml::node::{Entry, Node, Place, Value};
use crate::yaml::scalar;

/// One value of a document, with its path.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    node: &'a Node,
    /// Where the key is; the value's own place for list items.
    key_place: &'a Place,
    path: String,
    written: bool,
    log: &'a FaultLog,
}

impl<'a> Field<'a> {
    /// The whole document.
    pub fn root(node: &'a Node, log: &'a FaultLog) -> Field<'a> {
        Field { node, key_place: &node.place, path: String::new(), written: true, log }
    }

    /// The path, such as `tiers.p2.shed.at`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it stands in the document: its key, or the value itself where that is an item of a list.
    pub const fn place(&self) -> &'a Place {
        self.key_place
    }

    /// The value under this path of keys, or the last value on the way there: where to point at when a rule
    /// between several keys is broken.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Field<'a> {
        let mut field = self.clone();
        for key in path {
            match field.node.entry(key) {
                Some(entry) => field = field.child(entry),
                None => {
                    field.path = join(&field.path, key);
                    field.written = false;
                    break;
                }
            }
        }
        field
    }

    /// How many faults the whole document has so far: more after a value was read means that it is wrong.
    pub fn errors(&self) -> usize {
        self.log.errors()
    }

    /// Whether the value stands in the document under the path it was asked for.
    pub const fn is_written(&self) -> bool {
        self.written
    }

    /// Notes that this value is wrong.
    pub fn refuse(&self, message: impl Into<String>) {
        self.note(Severity::Error, message.into());
    }

    /// Notes that this value is doubtful.
    pub fn warn(&self, message: impl Into<String>) {
        self.note(Severity::Warning, message.into());
    }

    /// The keys of this mapping. A key without a value is an empty mapping.
    pub fn mapping(&self) -> Option<Mapping<'a>> {
        let entries: &'a [Entry] = match &self.node.value {
            Value::Mapping(entries) => entries,
            _ if self.node.is_null() => &[],
            other => {
                self.refuse(format!("expects keys with values, found {}", other.kind()));
                return None;
            }
        };
        Some(Mapping { field: self.clone(), entries, known: Vec::new() })
    }

    /// Whether it is written as a list.
    pub const fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    /// The items of this list. A key without a value is an empty list.
    pub fn list(&self) -> Option<Vec<Field<'a>>> {
        match &self.node.value {
            Value::List(items) => {
                let item = |(index, node): (usize, &'a Node)| Field {
                    node,
                    key_place: &node.place,
                    path: format!("{}[{index}]", self.path),
                    written: true,
                    log: self.log,
                };
                Some(items.iter().enumerate().map(item).collect())
            }
            _ if self.node.is_null() => Some(Vec::new()),
            other => {
                self.refuse(format!("expects a list, found {}", other.kind()));
                None
            }
        }
    }

    /// What kind of value this is, for a key that takes several.
    pub fn value(&self) -> &'a Value {
        &self.node.value
    }

    /// A text that is not empty.
    pub fn text(&self) -> Option<String> {
        self.scalar("a text", |text| Some(text.to_owned()))
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Option<bool> {
        self.word(&[("true", true), ("false", false)])
    }

    /// A whole number.
    pub fn integer(&self) -> Option<u64> {
        self.scalar("a whole number such as 10000", scalar::integer)
    }

    /// A whole number between these two, both included.
    pub fn integer_within(&self, least: u64, most: u64) -> Option<u64> {
        let inside = |text: &str| scalar::integer(text).filter(|number| (least..=most).contains(number));
        self.scalar(&format!("a whole number from {least} to {most}"), inside)
    }

    /// A finite number between these two, both included.
    pub fn number_within(&self, least: f64, most: f64) -> Option<f64> {
        let inside = |text: &str| scalar::number(text).filter(|number| (least..=most).contains(number));
        self.scalar(&format!("a number from {least} to {most}"), inside)
    }

    /// A duration.
    pub fn duration(&self) -> Option<Duration> {
        self.scalar("a duration such as 100ms, 5s, 30min or 2h", scalar::duration)
    }

    /// A duration between these two, both included.
    pub fn duration_within(&self, least: Duration, most: Duration) -> Option<Duration> {
        let duration = self.duration()?;
        if (least..=most).contains(&duration) {
            return Some(duration);
        }
        self.refuse(format!("expects a duration from {least:?} to {most:?}"));
        None
    }

    /// A duration longer than nothing.
    pub fn some_duration(&self) -> Option<Duration> {
        let duration = self.duration()?;
        if duration.is_zero() {
            self.refuse("expects a duration longer than 0");
            return None;
        }
        Some(duration)
    }

    /// A number of bytes above 0.
    pub fn size(&self) -> Option<u64> {
        self.scalar("a size above 0 such as 64KiB, 1MB or 1048576", |text| {
            scalar::size(text).filter(|bytes| *bytes > 0)
        })
    }

    /// A rate.
    pub fn rate(&self) -> Option<Rate> {
        self.scalar("a rate such as 500/s or 30/min", scalar::rate)
    }

    /// One of these words.
    pub fn word<T: Clone>(&self, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let text = self.scalar(&format!("one of {}", names.join(", ")), |text| Some(text.to_owned()))?;
        let known = words.iter().find(|(name, _)| *name == text).map(|(_, value)| value.clone());
        if known.is_none() {
            self.refuse(format!("`{text}` is unknown, {}", suggestion(&text, &names)));
        }
        known
    }

    /// A single value that `parse` understands; `expected` says what it would.
    pub fn scalar<T>(&self, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        match &self.node.value {
            Value::Scalar { .. } if self.node.is_null() => {
                self.refuse(format!("has no value, expects {expected}"));
                None
            }
            Value::Scalar { text, .. } => {
                let value = if text.is_empty() { None } else { parse(text) };
                if value.is_none() {
                    self.refuse(format!("expects {expected}, found `{}`", excerpt(text)));
                }
                value
            }
            other => {
                self.refuse(format!("expects {expected}, found {}", other.kind()));
                None
            }
        }
    }

    fn note(&self, severity: Severity, message: String) {
        // A broken value is pointed at itself; a broken mapping or list at the key that opens it.
        let place = match self.node.value {
            Value::Scalar { .. } if !self.node.is_null() => &self.node.place,
            _ => self.key_place,
        };
        self.log.add(Fault { place: place.clone(), key: self.path.clone(), message, severity });
    }

    fn child(&self, entry: &'a Entry) -> Field<'a> {
        Field {
            node: &entry.node,
            key_place: &entry.place,
            path: join(&self.path, &entry.key),
            written: true,
            log: self.log,
        }
    }
}

/// The keys of one mapping, taken out one by one.
#[derive(Debug)]
pub struct Mapping<'a> {
    field: Field<'a>,
    entries: &'a [Entry],
    known: Vec<&'static str>,
}

impl<'a> Mapping<'a> {
    /// The value under a key, if it is written.
    pub fn field(&mut self, key: &'static str) -> Option<Field<'a>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries.iter().find(|entry| entry.key == key).map(|entry| self.field.child(entry))
    }

    /// The value under a key that must be written.
    pub fn required(&mut self, key: &'static str) -> Option<Field<'a>> {
        let field = self.field(key);
        if field.is_none() {
            self.field.refuse(format!("the key `{key}` is missing"));
        }
        field
    }

    /// Reads the value under a key into `place`, which keeps its value where the key is not written or wrong.
    pub fn set<T>(&mut self, key: &'static str, place: &mut T, read: impl FnOnce(&Field<'a>) -> Option<T>) {
        if let Some(value) = self.field(key).as_ref().and_then(read) {
            *place = value;
        }
    }

    /// Refuses a key whose part of the program is not built yet.
    pub fn not_available(&mut self, key: &'static str) {
        if let Some(field) = self.field(key) {
            field.refuse_key(NOT_AVAILABLE);
        }
    }

    /// Every key with its value, for mappings whose keys are names of the operator's choice.
    pub fn all(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> {
        self.entries.iter().map(|entry| (entry.key.as_str(), self.field.child(entry)))
    }

    /// The mapping itself, to refuse it as a whole.
    pub const fn itself(&self) -> &Field<'a> {
        &self.field
    }

    /// Refuses every key that nobody asked for.
    pub fn close(self) {
        for entry in self.entries {
            if !self.known.contains(&entry.key.as_str()) {
                let message = format!("unknown key, {}", suggestion(&entry.key, &self.known));
                self.field.child(entry).refuse_key(&message);
            }
        }
    }
}

impl Field<'_> {
    /// Notes that the key itself is wrong, whatever its value.
    pub fn refuse_key(&self, message: &str) {
        self.log.add(Fault::error(self.key_place.clone(), self.path.clone(), message));
    }
}

/// What is said to a key whose part of the program is not built yet.
pub const NOT_AVAILABLE: &str = "not available yet";

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The beginning of a text, so that a message stays one line.
fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(40).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::fault::Faults;
    use crate::yaml::read::read;

    fn faults(text: &str, decode: impl FnOnce(&Field<'_>)) -> Vec<String> {
        let node = read(text).unwrap();
        let log = FaultLog::default();
        decode(&Field::root(&node, &log));
        let faults = Faults { document: "f".to_owned(), list: log.into_list() };
        faults.to_string().lines().map(str::to_owned).collect()
    }

    #[test]
    fn all_faults_are_told_at_once_from_top_to_bottom() {
        let found = faults("b: x\na:\n  grce: 5s\n  delay: 5\n  tls: {}\nd: [1]\n", |root| {
            let mut map = root.mapping().unwrap();
            assert!(map.field("d").unwrap().integer().is_none());
            assert!(map.field("b").unwrap().integer().is_none());
            let mut a = map.field("a").unwrap().mapping().unwrap();
            let mut delay = Duration::ZERO;
            a.set("delay", &mut delay, Field::duration);
            a.field("grace");
            a.not_available("tls");
            assert!(a.required("listen").is_none());
            a.close();
            map.close();
        });
        assert_eq!(
            found,
            [
                "f:1:4: b: expects a whole number such as 10000, found `x`",
                "f:2:1: a: the key `listen` is missing",
                "f:3:3: a.grce: unknown key, did you mean `grace`?",
                "f:4:10: a.delay: expects a duration such as 100ms, 5s, 30min or 2h, found `5`",
                "f:5:3: a.tls: not available yet",
                "f:6:1: d: expects a whole number such as 10000, found a list",
            ]
        );
    }

    #[test]
    fn a_section_without_keys_is_empty_and_a_key_without_value_is_a_fault() {
        let found = faults("limits:\nlog: { level: }\n", |root| {
            assert!(root.at(&["limits"]).mapping().is_some());
            assert!(root.at(&["log", "level"]).text().is_none());
        });
        assert_eq!(found, ["f:2:8: log.level: has no value, expects a text"]);
    }

    #[test]
    fn a_rule_between_keys_points_at_the_key_or_at_the_nearest_one_above() {
        let found = faults("tiers:\n  p2: { shed: { at: 5 } }\n", |root| {
            root.at(&["tiers", "p2", "shed", "at"]).refuse("too low");
            root.at(&["tiers", "p2", "max_depth"]).warn("too high");
        });
        assert_eq!(
            found,
            ["f:2:3: warning: tiers.p2.max_depth: too high", "f:2:21: tiers.p2.shed.at: too low"]
        );
    }

    #[test]
    fn an_unknown_word_is_shown_its_nearest() {
        let found = faults("a: flor\nb: 7\n", |root| {
            root.at(&["a"]).word(&[("hold", 1), ("floor", 2)]);
            root.at(&["b"]).boolean();
        });
        assert_eq!(
            found,
            [
                "f:1:4: a: `flor` is unknown, did you mean `floor`?",
                "f:2:4: b: `7` is unknown, valid here: true, false"
            ]
        );
    }
}
