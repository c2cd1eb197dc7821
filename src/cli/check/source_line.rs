//! What a terminal is shown of a file's line: of a policy all of it, of a file that may hold secrets its keys alone.

use std::borrow::Cow;
use std::ops::Range;

use crate::cli::check::judge::kind;
use crate::cli::check::verdict::{Kind, Verdict};
use crate::config::load;
use crate::policy::compile;
use crate::server::access::keys_file;
use crate::yaml::fault::{Fault, nearest};
use crate::yaml::node::{Node, Place, Value};
use crate::yaml::read::read;

/// A file's text, and how much of it may be seen.
pub(super) struct Shown {
    text: String,
    seen: Seen,
}

enum Seen {
    /// A policy: it holds no secrets, and is served to operators as it stands.
    Whole,
    /// Whatever may hold secrets: its known keys, where they were written.
    Keys(Vec<Written>),
    /// Keys and values cannot be told apart.
    Nothing,
}

/// A key or a value in its place.
struct Written {
    line: usize,
    column: usize,
    text: String,
    is_key: bool,
}

impl Shown {
    /// What may be seen of the text that this verdict is about.
    pub(super) fn of(text: String, verdict: &Verdict) -> Shown {
        let seen = match (read(&text), verdict.kind) {
            (Ok(tree), Some(Kind::Policy)) if is_nothing_but_policy(&tree) => Seen::Whole,
            (Ok(tree), _) => {
                let mut written = Vec::new();
                collect(&tree, kind(&tree), &mut written);
                Seen::Keys(written)
            }
            (Err(_), _) if begins_only_policy_keys(&text) => Seen::Whole,
            (Err(_), _) => Seen::Nothing,
        };
        Shown { text, seen }
    }

    /// The line that a fault is in, counted from 1: as many characters as it has, each in its column.
    pub(super) fn line(&self, number: usize, fault: &Fault) -> Option<Cow<'_, str>> {
        let line = self.text.lines().nth(number.checked_sub(1)?)?;
        match &self.seen {
            // A tab is widened where it is drawn.
            Seen::Whole if line.contains(is_obeyed) => Some(Cow::Owned(line.replace(is_obeyed, "\u{fffd}"))),
            Seen::Whole => Some(Cow::Borrowed(line)),
            Seen::Keys(written) => Some(Cow::Owned(masked(line, number, written, fault))),
            Seen::Nothing => None,
        }
    }
}

/// Whether a terminal may obey it.
fn is_obeyed(letter: char) -> bool {
    letter.is_control() && letter != '\t'
}

/// The line with bullets in place of all but its keys, what parts them, and the value that the fault itself repeats.
fn masked(line: &str, number: usize, written: &[Written], fault: &Fault) -> String {
    let letters: Vec<char> = line.chars().collect();
    let mut here: Vec<Range<usize>> = written
        .iter()
        .filter(|one| one.line == number && (one.is_key || is_repeated(one, fault)))
        .filter_map(|one| found(&letters, one))
        .collect();
    here.sort_by_key(|range| range.start);
    let mut out: Vec<char> = Vec::with_capacity(letters.len());
    let mut from = 0;
    for range in here.into_iter().filter(|range| range.end <= letters.len()) {
        if range.start < from {
            continue;
        }
        hide(letters.get(from..range.start).unwrap_or_default(), from == 0, true, &mut out);
        out.extend(letters.get(range.clone()).unwrap_or_default());
        from = range.end;
    }
    hide(letters.get(from..).unwrap_or_default(), from == 0, false, &mut out);
    out.into_iter().collect()
}

/// What stands between two keys: the marks on its edges stay, what they enclose is hidden.
fn hide(between: &[char], begins: bool, before_another: bool, out: &mut Vec<char>) {
    let lead = |letter: &&char| match **letter {
        ' ' | '\t' => true,
        '-' | '[' | '{' => begins,
        ':' => !begins,
        _ => false,
    };
    let opening = between.iter().take_while(lead).count();
    let rest = between.get(opening..).unwrap_or_default();
    // A value without quotes has none of these within brackets, and in quotes it ends with a quote.
    let closes = |letter: &&char| {
        matches!(**letter, ' ' | '\t') || before_another && matches!(**letter, ',' | '{' | '[')
    };
    let closing = rest.iter().rev().take_while(closes).count();
    let hidden = rest.len() - closing;
    out.extend(between.iter().take(opening));
    out.extend(std::iter::repeat_n(BULLET, hidden));
    out.extend(rest.iter().skip(hidden));
}

/// Where it stands in its line; `None` where it is written otherwise than it reads, as with escapes.
fn found(letters: &[char], written: &Written) -> Option<Range<usize>> {
    let from = written.column.checked_sub(1)?;
    let quoted = usize::from(matches!(letters.get(from), Some('"' | '\'')));
    let length = written.text.chars().count();
    let there = letters.get(from + quoted..from + quoted + length)?;
    let same = there.iter().copied().eq(written.text.chars());
    let end = from + length + 2 * quoted;
    let closed = quoted == 0 || letters.get(end - 1) == letters.get(from);
    (length > 0 && same && closed).then_some(from..end)
}

/// Whether the fault is about this value and says it, so that nothing is hidden any more.
fn is_repeated(value: &Written, fault: &Fault) -> bool {
    fault.place == Place::Text { line: value.line, column: value.column }
        && fault.message.contains(&format!("`{}`", value.text))
}

/// The keys that are known and the values of a tree, as deep as the reader's bound at most.
fn collect(node: &Node, kind: Option<Kind>, into: &mut Vec<Written>) {
    let mut add = |place: &Place, text: &str, is_key| {
        if let Place::Text { line, column } = place {
            into.push(Written { line: *line, column: *column, text: text.to_owned(), is_key });
        }
    };
    match &node.value {
        Value::Scalar { text, .. } => add(&node.place, text, false),
        Value::List(items) => items.iter().for_each(|item| collect(item, kind, into)),
        Value::Mapping(entries) => {
            for entry in entries {
                if is_plain_key(&entry.key, kind) {
                    add(&entry.place, &entry.key, true);
                }
            }
            entries.iter().for_each(|entry| collect(&entry.node, kind, into));
        }
    }
}

/// Whether this is a word such as keys are: nobody's secret stands where a key belongs. In a file of keys, only those that
/// it has.
fn is_plain_key(key: &str, kind: Option<Kind>) -> bool {
    match kind {
        Some(Kind::Configuration | Kind::Policy) => {
            key.len() <= LONGEST_KEY
                && key.chars().all(|letter| letter.is_ascii_lowercase() || matches!(letter, '_' | '.'))
        }
        Some(Kind::Keys) | None => KEYS_OF_KEYS.contains(&key),
    }
}

/// Whether no top-level key is one of another kind of file, or nearly so.
fn is_nothing_but_policy(tree: &Node) -> bool {
    let Value::Mapping(entries) = &tree.value else { return false };
    let others = || load::TOP_LEVEL_KEYS.into_iter().chain(keys_file::TOP_LEVEL_KEYS);
    entries.iter().all(|entry| {
        compile::TOP_LEVEL_KEYS.contains(&entry.key.as_str()) || nearest(&entry.key, others()).is_none()
    })
}

/// Whether every line that begins at the edge begins with a key of policies: so is one known that is no YAML yet.
fn begins_only_policy_keys(text: &str) -> bool {
    let mut edges = text
        .lines()
        .filter(|line| line.starts_with(|first: char| !first.is_whitespace() && first != '#'))
        .filter(|line| *line != "---")
        .peekable();
    edges.peek().is_some()
        && edges.all(|line| {
            line.split_once(':').is_some_and(|(key, _)| compile::TOP_LEVEL_KEYS.contains(&key.trim_end()))
        })
}

/// What stands in place of each character that is not shown.
const BULLET: char = '•';

/// The keys of a keys file and of each key in it.
const KEYS_OF_KEYS: [&str; 6] = ["keys", "name", "tenant", "sha256", "scopes", "ceiling"];

/// More letters than the longest key of a configuration has, and fewer than a secret should.
const LONGEST_KEY: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, kind: Option<Kind>, fault: &Fault) -> Option<String> {
        let verdict = Verdict {
            file: "x.yaml".to_owned(),
            kind,
            faults: Vec::new(),
            keys: None,
            revision: None,
            unsteady: None,
        };
        let Place::Text { line, .. } = fault.place else { return None };
        Shown::of(text.to_owned(), &verdict).line(line, fault).map(Cow::into_owned)
    }

    fn at(line: usize, column: usize, message: &str) -> Fault {
        Fault::error(Place::Text { line, column }, "", message)
    }

    #[test]
    fn of_a_file_of_keys_only_the_keys_are_seen_each_in_its_column() {
        let text = "keys:\n  - { name: shop, tenant: \"ac me\", sha256: SECRET-key, scopes: [submit] }\n  - sha256: [x}\n";
        let fault = at(2, 45, "expects 64 hexadecimal digits, found 10 characters (not shown)");
        assert_eq!(
            shown(&text[..text.len() - 16], Some(Kind::Keys), &fault).unwrap(),
            "  - { name: ••••, tenant: •••••••, sha256: ••••••••••, scopes: ••••••••••"
        );
        assert_eq!(shown(text, None, &fault), None, "what is no YAML is not shown");
    }

    #[test]
    fn of_a_configuration_no_value_is_seen_but_one_that_the_fault_repeats() {
        let kind = Some(Kind::Configuration);
        for (text, fault, expected) in [
            (
                "redis: { url: 'redis://u:S@h', x: S }",
                at(1, 33, "unknown key"),
                "redis: { url: •••••••••••••••, x: •••",
            ),
            ("log: { level: loud, x: S }", at(1, 15, "no `loud`"), "log: { level: loud, x: •••"),
            ("log: { level: loud, x: S }", at(1, 15, "expects a level"), "log: { level: ••••, x: •••"),
            ("log: text # S", at(1, 6, "no"), "log: ••••••••"),
            ("log:\n  password: S {\n", at(2, 3, "unknown key"), "  password: •••"),
            ("log:\n  - - S\n", at(2, 7, "no"), "  - - •"),
            ("log: \"a\n  level: S\"\n", at(2, 3, "no"), "  •••••••••"),
            ("log: { Sec-RET: 1 }", at(1, 8, "unknown key"), "log: ••••••••••••••"),
            ("log: |\n  S: S\n", at(2, 3, "no"), "  ••••"),
        ] {
            let line = shown(text, kind, &fault).unwrap();
            assert_eq!(line, expected, "{text}");
        }
    }

    #[test]
    fn a_policy_is_seen_whole_unless_something_of_another_file_is_in_it() {
        let fault = at(1, 1, "no");
        let policy = "tiers: { p1: { wieght: 10 } }";
        assert_eq!(shown(policy, Some(Kind::Policy), &fault).as_deref(), Some(policy));
        assert_eq!(shown("tiers: [", None, &fault).as_deref(), Some("tiers: ["));
        let mixed = "tiers: {}\nrules: []\nredis: { url: redis://u:S@h }\n";
        assert_eq!(
            shown(mixed, Some(Kind::Policy), &at(3, 1, "unknown key")).as_deref(),
            Some("redis: { url: •••••••••••••••")
        );
        for broken in ["redis: { url: S", "tiers: {}\nredis: [S", "S3CR3T: [", "  tiers: ["] {
            assert_eq!(shown(broken, None, &at(1, 1, "not YAML")), None, "{broken}");
        }
    }
}
