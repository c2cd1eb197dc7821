//! The lines that the code can write, read from its source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::{SCHEMA, listed, project};

/// One kind of line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    pub level: String,
    /// With `..` for each part that changes.
    pub message: String,
    pub fields: Vec<String>,
}

#[test]
fn the_book_lists_each_line_of_the_code_and_no_other() {
    let code = written();
    assert!(code.len() > 80, "{}", code.len());
    // One message may come in several places, with fewer fields in some.
    let mut fields: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for line in code {
        fields.entry((line.message, line.level)).or_default().extend(line.fields);
    }
    let mut book = BTreeMap::new();
    for line in listed() {
        let twice = book.insert((line.message, line.level), BTreeSet::from_iter(line.fields));
        assert!(twice.is_none(), "a line is listed twice: {twice:?}");
    }
    for (line, fields) in &fields {
        assert_eq!(book.get(line), Some(fields), "docs/LOGS.md says otherwise of {line:?}");
    }
    for line in book.keys() {
        assert!(fields.contains_key(line), "docs/LOGS.md lists what nothing writes: {line:?}");
    }
}

#[test]
fn the_schema_has_each_field_of_the_code_and_no_other() {
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(project(SCHEMA)).unwrap()).unwrap();
    let schema: BTreeSet<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    let mut code: BTreeSet<String> = written().into_iter().flat_map(|line| line.fields).collect();
    for own in ["timestamp", "level", "message"] {
        assert!(code.insert(own.into()), "a field has the name of one of the line's own: {own}");
    }
    assert_eq!(schema, code);
}

/// Every line of the code.
fn written() -> Vec<Line> {
    let mut lines = Vec::new();
    read(Path::new(&project("src")), &mut lines);
    lines
}

fn read(folder: &Path, lines: &mut Vec<Line>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, lines);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for found in MACROS.captures_iter(text) {
                let (fields, message) = arguments(&text[found.get(0).unwrap().end()..]);
                let levels = match &found[1] {
                    // One macro of ours writes the same line at the levels that it is given.
                    "$level" => vec!["error", "warn", "info"],
                    level => vec![level],
                };
                lines.extend(levels.into_iter().map(|level| Line {
                    level: level.into(),
                    message: message.clone(),
                    fields: fields.clone(),
                }));
            }
        }
    }
}

/// The fields and the message of a macro's call, from behind its parenthesis.
fn arguments(call: &str) -> (Vec<String>, String) {
    let (mut fields, mut rest) = (Vec::new(), call.trim_start());
    loop {
        if let Some(message) = rest.strip_prefix('"') {
            let end = message.find('"').unwrap();
            let message = message[..end].to_owned();
            return (fields, PLACEHOLDER.replace_all(&message, "..").into_owned());
        }
        let end = end_of_argument(rest);
        let name = rest[..end].split('=').next().unwrap().trim();
        fields.push(name.trim_start_matches(['%', '?']).to_owned());
        rest = rest[end + 1..].trim_start();
    }
}

/// Where the comma is that ends the first argument.
fn end_of_argument(text: &str) -> usize {
    let mut depth = 0;
    let comma = text.char_indices().find(|(_, c)| {
        depth += match c {
            '(' | '[' | '{' => 1,
            ')' | ']' | '}' => -1,
            _ => 0,
        };
        depth == 0 && *c == ','
    });
    comma.expect("a message comes last").0
}

static MACROS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(\berror|\bwarn|\binfo|\bdebug|\btrace|\$level)!\(").unwrap());

static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{[^}]*\}").unwrap());
