//! A run that was copied into a page: commands behind `$ `, below each what it said; and whether it says the same again.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::markdown::Block;

/// A command of a page and what the page says that it says.
#[derive(Debug)]
pub struct Exchange {
    /// The line of the page on which what it says begins, counted from 1.
    pub line: usize,
    pub command: String,
    pub said: String,
}

/// The exchanges of a `console` block. A command goes on in the next line behind `\`, `|`, an open quote or an open loop.
pub fn exchanges(block: &Block) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    let mut goes_on = false;
    for (line, text) in (block.line + 1..).zip(block.text.lines()) {
        match (text.strip_prefix("$ "), exchanges.last_mut()) {
            (Some(command), _) => {
                exchanges.push(Exchange { line: line + 1, command: command.into(), said: String::new() });
                goes_on = unfinished(command);
            }
            (None, Some(exchange)) if goes_on => {
                exchange.command.push('\n');
                exchange.command.push_str(text);
                exchange.line = line + 1;
                goes_on = unfinished(&exchange.command);
            }
            (None, Some(exchange)) => {
                exchange.said.push_str(text);
                exchange.said.push('\n');
            }
            (None, None) => panic!("line {line}: a console block begins with a command, `$ ..`"),
        }
    }
    exchanges
}

fn unfinished(command: &str) -> bool {
    let words = |word: &str| command.split([' ', '\n']).filter(|other| *other == word).count();
    command.ends_with(['\\', '|']) || command.matches('\'').count() % 2 == 1 || words("do") > words("done")
}

/// Whether what was said is what the page says: to the last character where a run is the same each time, else in its
/// shape. `..` in the page stands for anything, alone on its line for any number of lines.
pub fn agrees(exchange: &Exchange, said: &str) -> bool {
    let exact = SAME_EACH_TIME.iter().any(|command| exchange.command.contains(command));
    let shown = |text: &str| if exact { text.trim_end().to_owned() } else { shape(text) };
    let written: Vec<String> = body(&exchange.said).lines().map(shown).collect();
    let said: Vec<String> = body(said).lines().map(shown).collect();
    lines_agree(&written, &said)
}

/// What was said, without the empty lines around it.
pub fn body(said: &str) -> &str {
    said.trim_end().trim_start_matches(['\r', '\n'])
}

fn lines_agree(written: &[String], said: &[String]) -> bool {
    match written.split_first() {
        None => said.is_empty(),
        Some((line, rest)) if line.trim() == ANYTHING => {
            (0..=said.len()).any(|skipped| lines_agree(rest, &said[skipped..]))
        }
        Some((line, rest)) => match said.split_first() {
            Some((first, others)) => line_agrees(line, first) && lines_agree(rest, others),
            None => false,
        },
    }
}

fn line_agrees(written: &str, said: &str) -> bool {
    let mut parts = written.split(ANYTHING);
    let Some(mut said) = parts.next().and_then(|first| said.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return said.is_empty() };
    for part in between {
        let Some((_, rest)) = said.split_once(part) else { return false };
        said = rest;
    }
    said.ends_with(last)
}

/// A line without what differs from run to run: ids, times, numbers. Statuses and names stay.
fn shape(line: &str) -> String {
    let plain = VARYING.replace_all(line.trim_end(), |found: &Captures<'_>| match found.name("kept") {
        Some(kept) => kept.as_str().to_owned(),
        None => "#".to_owned(),
    });
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

static VARYING: LazyLock<Regex> = LazyLock::new(|| {
    let parts = [
        r#"(?<kept>HTTP/[0-9.]+ [0-9]{3}|"status":[0-9]{3}|^[2-5][0-9]{2}$)"#,
        r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",
        r"\b([0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{16})\b",
        r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z",
        r"\b[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]+ GMT",
        r"-?\b[0-9]{1,3}(,[0-9]{3})+\b",
        r"-?\b[0-9]+(\.[0-9]+)?(e-?[0-9]+)?",
    ];
    Regex::new(&parts.join("|")).expect("a good pattern")
});

/// Commands that say the same to the last character wherever they are run.
const SAME_EACH_TIME: [&str; 2] = ["tidegate simulate", "tidegate check"];

const ANYTHING: &str = "..";

#[test]
fn what_differs_between_runs_is_left_out_and_nothing_else() {
    let agree = |command: &str, written: &str, said: &str| {
        let exchange = Exchange { line: 1, command: command.into(), said: written.into() };
        agrees(&exchange, said)
    };
    let receipt = r#"{"id":"01a1fe2d-b223-755d-9f6d-faa26d6f3ebf","tier":"p0","depth":1,"duplicate":false}"#;
    let another = r#"{"id":"01a20055-5152-7c61-898c-0a87fa6578cc","tier":"p0","depth":23,"duplicate":false}"#;
    assert!(agree("curl", receipt, another));
    assert!(!agree("curl", receipt, &another.replace("p0", "p1")));
    assert!(!agree("curl", receipt, &another.replace("false", "true")));
    assert!(!agree("curl", "HTTP/1.1 202 Accepted\n", "HTTP/1.1 429 Too Many Requests\r\n"));
    assert!(agree(
        "curl",
        "date: Sat, 21 Nov 2026 12:56:10 GMT\n",
        "date: Sun, 22 Nov 2026 01:02:03 GMT\r\n"
    ));
    assert!(agree("curl", "202\n", "202") && !agree("curl", "202\n", "429"));
    assert!(agree("curl", "a 1\n..\nz .. 9\n", "a 2\nb\nc\nz is not 8\n"));
    assert!(!agree("curl", "a 1\n..\nz\n", "a 2\nb\nc\n"));
    assert!(agree("tidegate simulate", "peak 1.02\n", "peak 1.02\n"));
    assert!(!agree("tidegate simulate", "peak 1.02\n", "peak 1.03\n"));
}
