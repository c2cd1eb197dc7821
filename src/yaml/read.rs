//! From text to tree: one YAML document, bounded in size and depth, without aliases.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use crate::yaml::fault::Fault;
use crate::yaml::node::{Entry, Node, Place, Value};

/// A longer document is refused: configuration and policy are a few kilobytes.
pub const MAX_BYTES: usize = 1024 * 1024;

/// A deeper document is refused.
pub const MAX_DEPTH: usize = 32;

/// A mapping with more keys is refused: each new key is compared with those before it.
pub const MAX_KEYS: usize = 20_000;

/// Reads one document. An empty text is an empty mapping.
///
/// # Errors
/// Every key that is written twice; or the first thing after which the rest cannot be understood: bad syntax, a
/// second document, an anchor, alias or tag, a key that is not a single word, too many bytes, levels or keys.
pub fn read(text: &str) -> Result<Node, Vec<Fault>> {
    read_up_to(text, MAX_BYTES)
}

/// As [`read`], for a kind of document that may have as many bytes.
///
/// # Errors
/// As [`read`].
pub fn read_up_to(text: &str, most: usize) -> Result<Node, Vec<Fault>> {
    if text.len() > most {
        let message = format!("the document has {} bytes, at most {most} are read", text.len());
        return Err(vec![Fault::error(Place::Document, "", message)]);
    }
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            tree.stopped_by(place(*error.marker()), &format!("not YAML: {}", error.info()))
        })?;
        tree.take(event, span)?;
    }
    if tree.duplicates.is_empty() {
        Ok(tree.root.unwrap_or_else(|| Node::empty(Place::Text { line: 1, column: 1 })))
    } else {
        Err(tree.duplicates)
    }
}

/// The tree while it grows.
#[derive(Default)]
struct Tree {
    root: Option<Node>,
    open: Vec<Open>,
    documents: usize,
    duplicates: Vec<Fault>,
}

/// A list or mapping whose end has not come yet.
enum Open {
    List { place: Place, items: Vec<Node> },
    Mapping { place: Place, entries: Vec<Entry>, key: Option<(String, Place)> },
}

impl Tree {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Vec<Fault>> {
        let at = place(span.start);
        match event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(anchor, tag)
            | Event::MappingStart(anchor, tag)
                if anchor != 0 || tag.is_some() =>
            {
                Err(self
                    .stopped_by(at, "anchors (&name) and tags (!name) are not read: write the value itself"))
            }
            Event::Alias(_) => {
                Err(self.stopped_by(at, "aliases (*name) are not read: write the value itself"))
            }
            Event::Scalar(text, style, _, _) => {
                self.scalar(text.into_owned(), style != ScalarStyle::Plain, at)
            }
            Event::SequenceStart(..) => self.opened(at, |place| Open::List { place, items: Vec::new() }),
            Event::MappingStart(..) => {
                self.opened(at, |place| Open::Mapping { place, entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.closed();
                Ok(())
            }
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(
                        self.stopped_by(at, "a second document starts here: write one document per file")
                    );
                }
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn scalar(&mut self, text: String, quoted: bool, place: Place) -> Result<(), Vec<Fault>> {
        if let Some(Open::Mapping { key: key @ None, entries, .. }) = self.open.last_mut() {
            if entries.len() >= MAX_KEYS {
                return Err(self.stopped_by(place, &format!("more than {MAX_KEYS} keys in one mapping")));
            }
            let twice = entries.iter().any(|entry| entry.key == text);
            *key = Some((text, place.clone()));
            if twice {
                let path = self.path();
                self.duplicates.push(Fault::error(place, path, "this key is written twice"));
            }
        } else {
            self.completed(Node { place, value: Value::Scalar { text, quoted } });
        }
        Ok(())
    }

    fn opened(&mut self, place: Place, make: impl FnOnce(Place) -> Open) -> Result<(), Vec<Fault>> {
        if let Some(Open::Mapping { key: None, .. }) = self.open.last() {
            return Err(self.stopped_by(place, "a key must be a single word"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(self.stopped_by(place, &format!("more than {MAX_DEPTH} levels")));
        }
        self.open.push(make(place));
        Ok(())
    }

    fn closed(&mut self) {
        match self.open.pop() {
            Some(Open::List { place, items }) => self.completed(Node { place, value: Value::List(items) }),
            Some(Open::Mapping { place, entries, .. }) => {
                self.completed(Node { place, value: Value::Mapping(entries) });
            }
            None => {}
        }
    }

    fn completed(&mut self, node: Node) {
        match self.open.last_mut() {
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Mapping { entries, key, .. }) => {
                if let Some((key, place)) = key.take() {
                    entries.push(Entry { key, place, node });
                }
            }
            None => self.root = Some(node),
        }
    }

    /// The path of the value that is being read.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match open {
                Open::List { items, .. } => path.push_str(&format!("[{}]", items.len())),
                Open::Mapping { key: Some((key, _)), .. } => {
                    path.push_str(if path.is_empty() { "" } else { "." });
                    path.push_str(key);
                }
                Open::Mapping { key: None, .. } => {}
            }
        }
        path
    }

    /// What was found so far, and what ended it.
    fn stopped_by(&mut self, place: Place, message: &str) -> Vec<Fault> {
        let mut faults = std::mem::take(&mut self.duplicates);
        faults.push(Fault::error(place, "", message));
        faults
    }
}

fn place(marker: Marker) -> Place {
    Place::Text { line: marker.line(), column: marker.col() + 1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn first_fault(text: &str) -> String {
        let faults = read(text).unwrap_err();
        format!("{} {} {}", faults[0].place.in_document("f"), faults[0].key, faults[0].message)
    }

    #[test]
    fn keys_and_values_know_where_they_stand() {
        let node = read("# first\na: 1\nb:\n  c: [x, \"y\"]\n").unwrap();
        let b = node.entry("b").unwrap();
        assert_eq!(b.place, Place::Text { line: 3, column: 1 });
        let c = b.node.entry("c").unwrap();
        assert_eq!(c.place, Place::Text { line: 4, column: 3 });
        let Value::List(items) = &c.node.value else { panic!("a list was written") };
        assert_eq!(items[1].place, Place::Text { line: 4, column: 10 });
        assert_eq!(items[1].value, Value::Scalar { text: "y".to_owned(), quoted: true });
    }

    #[test]
    fn nothing_and_comments_are_an_empty_mapping() {
        for text in ["", "\n\n", "# only words\n"] {
            assert_eq!(read(text).unwrap().value, Value::Mapping(Vec::new()), "{text:?}");
        }
    }

    #[test]
    fn every_key_written_twice_is_named() {
        let faults = read("a: 1\nb: 2\na: 3\nc: { l: [0, { x: 1, x: 2 }] }\n").unwrap_err();
        let told: Vec<_> =
            faults.iter().map(|fault| format!("{} {}", fault.place.in_document("f"), fault.key)).collect();
        assert_eq!(told, ["f:3:1 a", "f:4:21 c.l[1].x"]);
    }

    #[test]
    fn what_could_grow_or_hide_is_refused() {
        assert!(first_fault("a: &x [1]\nb: *x\n").starts_with("f:1:4  anchors"));
        assert!(first_fault("a: !!str 1\n").contains("tags"));
        assert!(first_fault("a: 1\n---\nb: 2\n").contains("second document"));
        assert!(first_fault("? [a, b]\n: 1\n").contains("single word"));
        assert!(first_fault(&"[".repeat(100)).contains("more than 32 levels"));
        assert!(first_fault(&"#".repeat(MAX_BYTES + 1)).contains("at most 1048576"));
        let keys: String = (0..=MAX_KEYS).map(|key| format!("k{key}: 1\n")).collect();
        assert!(first_fault(&keys).contains("more than 20000 keys"));
        assert!(first_fault("a: [1\nb: 2").contains("not YAML"));
    }

    #[test]
    fn an_override_is_put_where_its_path_says() {
        let mut node = read("a: { b: 1, c: 2 }\nd: 3\n").unwrap();
        let beside = |text: &str| Node {
            place: Place::Beside("--set".into()),
            value: Value::Scalar { text: text.to_owned(), quoted: false },
        };
        node.put(&["a", "b"], beside("9"));
        node.put(&["e", "f"], beside("8"));
        node.put(&["d", "g"], beside("7"));
        assert_eq!(node.entry("a").unwrap().node.entry("b").unwrap().node, beside("9"));
        assert_eq!(node.entry("e").unwrap().node.entry("f").unwrap().node, beside("8"));
        assert_eq!(node.entry("d").unwrap().node.entry("g").unwrap().node, beside("7"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[\\[\\]{}:,\\-?!&*|>%@`'\"#~ \n\ta-c0-9.\u{feff}é]{0,80}") {
            let _ = read(&text);
        }

        #[test]
        fn no_line_of_any_characters_makes_the_reader_panic(text in ".{0,200}") {
            let _ = read(&text);
        }
    }
}
