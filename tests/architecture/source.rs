//! One Rust source file as the rules see it: code without comments and strings, paths, string literals, test parts.

use std::ops::Range;

/// A source file, taken apart.
pub struct Source {
    /// Where it is, from the top of the repository, with `/`.
    pub path: String,
    /// The text as written.
    pub text: String,
    /// The text with every comment and every literal's content replaced by blanks; lines stay where they are.
    pub code: String,
    /// Every string literal with the line it starts on.
    pub strings: Vec<(usize, String)>,
    /// Byte ranges of `code` that are built for tests only.
    test_parts: Vec<Range<usize>>,
    /// Where each line of `code` starts.
    line_starts: Vec<usize>,
}

/// A path as written in code, `use` groups spelled out: `use std::{fs, io::Read}` gives two.
pub struct CodePath {
    pub line: usize,
    pub segments: Vec<String>,
    /// Whether it is built for tests only.
    pub in_test: bool,
    /// What stands before it, to tell `x.elapsed` and `dyn Name` from a plain name.
    pub after: Before,
    /// Whether it is called: `x.elapsed()`, not the field `x.elapsed`.
    pub called: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Before {
    Dot,
    Dyn,
    Trait,
    Other,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        let (code, strings) = blank(text);
        let test_parts = test_parts(&code);
        let line_starts = std::iter::once(0).chain(code.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Source { path: path.to_owned(), text: text.to_owned(), code, strings, test_parts, line_starts }
    }

    /// The room: the folder or file directly under `src/`. `None` for the map and for files elsewhere.
    pub fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let room = inside.split('/').next()?;
        let room = room.strip_suffix(".rs").unwrap_or(room);
        (room != "lib").then_some(room)
    }

    /// How many modules deep the file is below the crate: 1 for `src/clock.rs` and for `src/queue/mod.rs`.
    pub fn depth(&self) -> usize {
        let inside = self.path.trim_start_matches("src/").trim_end_matches("/mod.rs");
        inside.split('/').count()
    }

    /// Whether a line of the file is built for tests only.
    pub fn is_test_line(&self, line: usize) -> bool {
        self.test_parts.iter().any(|part| self.line_of(part.start) <= line && line <= self.line_of(part.end))
    }

    /// Names of the modules that are files of their own and built for tests only (`#[cfg(test)] mod name;`).
    pub fn test_modules(&self) -> Vec<&str> {
        let parts = self.test_parts.iter().filter_map(|part| self.code.get(part.clone()));
        parts.filter_map(|part| Some(part.strip_suffix(';')?.split_once("mod ")?.1.trim())).collect()
    }

    /// Declares the whole file to be built for tests only.
    pub fn mark_as_test(&mut self) {
        self.test_parts = std::iter::once(0..self.code.len()).collect();
    }

    /// Every path and every single name in the code, in order.
    pub fn paths(&self) -> Vec<CodePath> {
        let mut found = Vec::new();
        let mut before = Before::Other;
        let mut rest = self.code.as_str();
        while let Some(start) = rest.find(|c: char| is_word(c) || c == '.') {
            rest = &rest[start..];
            let at = self.code.len() - rest.len();
            if let Some(after_dot) = rest.strip_prefix('.') {
                (before, rest) = (Before::Dot, after_dot);
                continue;
            }
            let mut paths = Vec::new();
            let length = rest.len() - read_path(rest, &mut Vec::new(), &mut paths).len();
            let called = rest[length..].starts_with('(');
            let in_test = self.test_parts.iter().any(|part| part.contains(&at));
            for (offset, segments) in paths {
                found.push(CodePath {
                    line: self.line_of(at + offset),
                    segments,
                    in_test,
                    after: before,
                    called,
                });
            }
            before = match &rest[..length] {
                "dyn" => Before::Dyn,
                "trait" => Before::Trait,
                _ => Before::Other,
            };
            rest = &rest[length..];
        }
        found
    }

    fn line_of(&self, at: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= at)
    }
}

/// Reads `a::b::{c, d::e}` from the head of `text`, which starts with a word; says what is left of the text.
/// Offsets are those of the last segment read.
fn read_path<'a>(text: &'a str, prefix: &mut Vec<String>, found: &mut Vec<(usize, Vec<String>)>) -> &'a str {
    let total = text.len();
    let mut rest = text;
    let mut offset = 0;
    let outer = prefix.len();
    loop {
        let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        if !word.is_empty() {
            offset = total - rest.len();
            prefix.push(word.to_owned());
            rest = &rest[word.len()..];
        }
        let Some(next) = rest.strip_prefix("::") else { break };
        if next.starts_with(is_word) {
            rest = next;
        } else if let Some(group) = next.strip_prefix('{') {
            rest = read_group(group, total, prefix, found);
            prefix.truncate(outer);
            return rest;
        } else {
            break;
        }
    }
    found.push((offset, prefix.clone()));
    prefix.truncate(outer);
    rest
}

/// Reads the branches of a `use` group up to its closing brace.
fn read_group<'a>(
    text: &'a str,
    total: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) -> &'a str {
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| is_word(c) || c == '}') {
        rest = &rest[start..];
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        let base = total - rest.len();
        let first = found.len();
        rest = read_path(rest, prefix, found);
        found[first..].iter_mut().for_each(|(offset, _)| *offset += base);
    }
    rest
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The parts under `#[cfg(test)]`: from the attribute to the end of the item it stands on.
fn test_parts(code: &str) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for (start, attribute) in code.match_indices("#[cfg(test)]") {
        if parts.last().is_some_and(|part| part.contains(&start)) {
            continue;
        }
        let mut open = 0;
        let body = start + attribute.len();
        let end = code[body..].char_indices().find_map(|(at, c)| {
            match c {
                '{' => open += 1,
                '}' => open -= 1,
                _ => {}
            }
            (open == 0 && (c == '}' || c == ';')).then_some(body + at + 1)
        });
        parts.push(start..end.unwrap_or(code.len()));
    }
    parts
}

/// Blanks comments and literals, and collects the string literals.
fn blank(text: &str) -> (String, Vec<(usize, String)>) {
    let mut code = String::with_capacity(text.len());
    let mut strings = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, literal) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), None),
            '/' if rest.starts_with("/*") => (block_comment(rest), None),
            '"' => quoted(rest),
            'r' | 'b' | 'c' if !code.ends_with(is_word) => raw_or_prefixed(rest),
            '\'' => (character(rest), None),
            _ => (0, None),
        };
        if let Some(literal) = literal {
            strings.push((line, literal.to_owned()));
        }
        let (read, after) = rest.split_at(if length == 0 { first.len_utf8() } else { length });
        line += read.matches('\n').count();
        match length {
            0 => code.push(first),
            _ => code.extend(read.chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
        }
        rest = after;
    }
    (code, strings)
}

/// Length of a block comment; they nest.
fn block_comment(text: &str) -> usize {
    let mut open = 0;
    for (at, _) in text.match_indices(['/', '*']) {
        if text[at..].starts_with("/*") {
            open += 1;
        } else if text[at..].starts_with("*/") {
            open -= 1;
        }
        if open == 0 && at > 0 && text[at..].starts_with("*/") {
            return at + 2;
        }
    }
    text.len()
}

/// Length and content of a `"..."` literal.
fn quoted(text: &str) -> (usize, Option<&str>) {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|&(_, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    let end = end.map_or(text.len(), |(at, _)| at);
    ((end + 1).min(text.len()), text.get(1..end))
}

/// Length and content of `r"..."`, `r#"..."#`, `b"..."`, `br"..."`, `c"..."`; nothing for a plain word.
fn raw_or_prefixed(text: &str) -> (usize, Option<&str>) {
    let prefix = text.find(|c| !matches!(c, 'r' | 'b' | 'c')).unwrap_or(text.len());
    let hashes = text[prefix..].len() - text[prefix..].trim_start_matches('#').len();
    let open = prefix + hashes;
    if prefix > 2 || !text[open..].starts_with('"') {
        return (0, None);
    }
    if !text[..prefix].contains('r') {
        let (length, content) = quoted(&text[open..]);
        return (open + length, content);
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let end = text[open + 1..].find(&close).map_or(text.len(), |at| open + 1 + at);
    ((end + close.len()).min(text.len()), text.get(open + 1..end))
}

/// Length of a character literal; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut inside = text[1..].chars();
    match (inside.next(), inside.next()) {
        (Some('\\'), _) => text[3..].find('\'').map_or(0, |at| at + 4),
        (Some(c), Some('\'')) => c.len_utf8() + 2,
        _ => 0,
    }
}
