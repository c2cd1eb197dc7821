//! The tree that YAML becomes: every key and every value knows where it was written.

use std::fmt;
use std::sync::Arc;

/// Where something was written. Places of one document sort from top to bottom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Nowhere in particular: the document as a whole.
    Document,
    /// In the document's text.
    Text {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
    },
    /// Beside the document: an environment variable or a command line option, by its name.
    Beside(Arc<str>),
}

impl Place {
    /// This place as a person looks it up, in the document of this name.
    pub const fn in_document<'a>(&'a self, document: &'a str) -> PlaceIn<'a> {
        PlaceIn { place: self, document }
    }
}

/// A place together with the name of its document; displays as `document:line:column`.
#[derive(Clone, Copy, Debug)]
pub struct PlaceIn<'a> {
    place: &'a Place,
    document: &'a str,
}

impl fmt::Display for PlaceIn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Document => f.write_str(self.document),
            Place::Text { line, column } => write!(f, "{}:{line}:{column}", self.document),
            Place::Beside(name) => f.write_str(name),
        }
    }
}

/// A value and the place where it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where the value starts.
    pub place: Place,
    /// The value.
    pub value: Value,
}

impl Node {
    /// A mapping without entries, at this place.
    pub const fn empty(place: Place) -> Node {
        Node { place, value: Value::Mapping(Vec::new()) }
    }

    /// The node, as if all of it had been written in this place. As deep as the reader's bound at most.
    #[must_use]
    pub fn moved_to(self, place: &Place) -> Node {
        let value = match self.value {
            Value::List(items) => Value::List(items.into_iter().map(|item| item.moved_to(place)).collect()),
            Value::Mapping(mut entries) => {
                for entry in &mut entries {
                    entry.place = place.clone();
                    let node = std::mem::replace(&mut entry.node, Node::empty(place.clone()));
                    entry.node = node.moved_to(place);
                }
                Value::Mapping(entries)
            }
            scalar @ Value::Scalar { .. } => scalar,
        };
        Node { place: place.clone(), value }
    }

    /// Whether this is a key without a value, `~` or `null`.
    pub fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar { text, quoted: false } => matches!(text.as_str(), "" | "~" | "null"),
            _ => false,
        }
    }

    /// The value under a key of this mapping, with the key; `None` if this is no mapping or has no such key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// Puts `node` at the end of this path of keys, in place of what was there. Mappings on the way are made.
    pub fn put(&mut self, path: &[&str], node: Node) {
        let Some((key, rest)) = path.split_first() else {
            *self = node;
            return;
        };
        if !matches!(self.value, Value::Mapping(_)) {
            *self = Node::empty(node.place.clone());
        }
        let Value::Mapping(entries) = &mut self.value else { return };
        match entries.iter_mut().find(|entry| entry.key == *key) {
            Some(entry) if rest.is_empty() => *entry = Entry::new(key, node),
            Some(entry) => {
                // Where a single value or a list makes way for the path, the key too is now written there.
                if !matches!(entry.node.value, Value::Mapping(_)) {
                    entry.place = node.place.clone();
                }
                entry.node.put(rest, node);
            }
            None => {
                let mut child = Node::empty(node.place.clone());
                child.put(rest, node);
                entries.push(Entry::new(key, child));
            }
        }
    }
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A word, a number, a text: its meaning is the reader's affair.
    Scalar {
        /// The text, unquoted and unescaped.
        text: String,
        /// Whether it was written in quotes or as a block, so that it can be nothing but text.
        quoted: bool,
    },
    /// Values in order.
    List(Vec<Node>),
    /// Keys with their values, in the order written; no key occurs twice.
    Mapping(Vec<Entry>),
}

impl Value {
    /// The kind of value, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }
}

/// One key of a mapping, with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key starts.
    pub place: Place,
    /// The value.
    pub node: Node,
}

impl Entry {
    fn new(key: &str, node: Node) -> Entry {
        Entry { key: key.to_owned(), place: node.place.clone(), node }
    }
}
