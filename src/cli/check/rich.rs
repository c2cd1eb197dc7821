//! The verdicts for a terminal: each fault in its line of the file, with a caret under it.

use std::fs;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::cli::check::chart::chart;
use crate::cli::check::source_line::Shown;
use crate::cli::check::verdict::Verdict;
use crate::yaml::fault::{Fault, Severity, printable};
use crate::yaml::node::Place;

/// All of them.
pub(super) fn told(verdicts: &[Verdict], strict: bool, coloured: bool) -> String {
    let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for verdict in verdicts {
        // Where there is no such file, as for what is built in, a fault is shown without its line.
        let source = Shown::of(again(&verdict.file), verdict);
        for fault in &verdict.faults {
            text.push_str(&renderer.render(&[shown(&verdict.file, &source, fault)]));
            text.push_str("\n\n");
        }
        if let Some(unsteady) = &verdict.unsteady {
            text.push_str(&chart(&unsteady.course));
            text.push('\n');
        }
        if let Some(line) = verdict.conclusion(strict) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// The file's text once more. A pipe is not asked again: it may wait for ever.
fn again(file: &str) -> String {
    let is_file = fs::metadata(file).is_ok_and(|found| found.is_file());
    if is_file { fs::read_to_string(file).unwrap_or_default() } else { String::new() }
}

fn shown<'a>(file: &'a str, source: &'a Shown, fault: &'a Fault) -> Group<'a> {
    let level = match fault.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = if fault.key.is_empty() {
        level.primary_title(printable(&fault.message))
    } else {
        level.primary_title(format!("{}: {}", printable(&fault.key), printable(&fault.message)))
    };
    let (number, column) = match &fault.place {
        Place::Text { line, column } => (*line, *column),
        Place::Document => return title.element(Origin::path(file)),
        Place::Beside(name) => return title.element(Origin::path(&**name)),
    };
    let origin = || Origin::path(file).line(number).char_column(column);
    let Some(line) = source.line(number, fault) else {
        return title.element(origin());
    };
    let span = word_at(&line, column);
    title.element(
        Snippet::source(line).line_start(number).path(file).annotation(AnnotationKind::Primary.span(span)),
    )
}

/// The bytes of the key or value that begins in this column, counted in characters from 1.
fn word_at(line: &str, column: usize) -> std::ops::Range<usize> {
    let begin = line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(byte, _)| byte);
    let rest = line.get(begin..).unwrap_or_default();
    let length = match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            rest.get(1..).and_then(|text| text.find(quote)).map_or(rest.len(), |end| end + 2)
        }
        Some(open @ ('[' | '{' | '-')) => open.len_utf8(),
        _ => plain_word(rest),
    };
    begin..begin + length.max(usize::from(!rest.is_empty()))
}

/// How long the word is that is written without quotes.
fn plain_word(text: &str) -> usize {
    let mut after = text.chars().skip(1).chain(std::iter::once(' '));
    let end = text.char_indices().find(|(_, letter)| {
        let next = after.next().unwrap_or(' ');
        matches!(letter, ',' | ']' | '}')
            || (*letter == ':' && next.is_whitespace())
            || (*letter == ' ' && next == '#')
    });
    let word = text.get(..end.map_or(text.len(), |(byte, _)| byte)).unwrap_or_default();
    // A character cut in two is no span.
    word.trim_end().len().max(text.chars().next().map_or(0, char::len_utf8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::judge::check_file;
    use crate::cli::check::verdict::Kind;

    #[test]
    fn the_word_at_a_place_is_the_key_or_the_value() {
        for (line, column, expected) in [
            ("tiers:", 1, "tiers"),
            ("  p1: { wieght: 10, max_depth: 5 }", 9, "wieght"),
            ("  p1: { wieght: 10, max_depth: 5 }", 17, "10"),
            ("queue: jobs:standard   # the queue", 8, "jobs:standard"),
            ("queue: \"a, b\" # x", 8, "\"a, b\""),
            ("- { tier: p0 }", 3, "{"),
            ("max_depth: 1 million", 12, "1 million"),
            ("ключ: значение", 7, "значение"),
            ("a: ]", 4, "]"),
            ("short", 40, ""),
        ] {
            assert_eq!(&line[word_at(line, column)], expected, "{line}");
        }
    }

    fn verdict(file: &str, fault: Fault) -> Verdict {
        Verdict {
            file: file.to_owned(),
            kind: Some(Kind::Policy),
            faults: vec![fault],
            keys: None,
            revision: None,
            unsteady: None,
        }
    }

    #[test]
    fn a_fault_is_shown_in_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.yaml");
        std::fs::write(&file, "tiers:\n  p1: { wieght: 10 }\n").unwrap();
        let name = file.display().to_string();
        let fault = Fault::error(
            Place::Text { line: 2, column: 9 },
            "tiers.p1.wieght",
            "unknown key, did you mean `weight`?",
        );
        let plain = told(&[verdict(&name, fault.clone())], false, false);
        let lines: Vec<&str> = plain.lines().collect();
        assert_eq!(lines[0], "error: tiers.p1.wieght: unknown key, did you mean `weight`?");
        assert!(lines[1].ends_with("p.yaml:2:9"), "{plain}");
        assert!(plain.contains("2 |   p1: { wieght: 10 }\n  |         ^^^^^^"), "{plain}");
        assert!(!plain.contains('\x1b'), "{plain}");
        assert!(told(&[verdict(&name, fault)], false, true).contains("\x1b["));
    }

    /// What `told` says of a file of this text with all the faults that `check` finds in it.
    fn told_of(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.yaml");
        std::fs::write(&file, text).unwrap();
        told(&check_file(&file, &[]), false, false)
    }

    #[test]
    fn no_line_of_keys_or_configuration_shows_a_secret() {
        for text in [
            "keys:\n  - { name: shop, tenant: acme, sha256: my-SECRET-key, scopes: [submit] }\n",
            "keys:\n  - { name: shop, tenant: acme, sha256: my-SECRET-key, scops: [submit] }\n",
            "keys:\n  - my-SECRET-key\n",
            "keys:\n  - name: shop\n    sha256: \"my\n      SECRET-key\"\n",
            "redis: { url: 'redis://u:SECRET9@h:x/0' }\n",
            "redis:\n  url: redis://u:SECRET9@h:6379/0\n  password: SECRET\n",
            "redis: { url: 'redis://u:SECRET9@h:6379/0', colour: red }\n",
            "admin: { token: SECRET }\n",
            "kafka:\n  properties: { sasl.password: 'SECRET', ssl.key.password: SECRET, nonsense.x: 1 }\n",
            "kafka:\n  properties: { ssl.key.password: [SECRET] }\n",
            "kafka:\n  properties: { 'sasl.password': { SECRET: 1 } }\nlisten: 1 # SECRET\n",
            "redis:\n\turl: redis://u:SECRET@h\n",
            "redis: { url: redis://u:SECRET@h\n",
            "SECRET\n",
            "tiers: {}\nrules: []\nredis: { password: SECRET }\n",
        ] {
            let said = told_of(text);
            assert!(said.contains("error"), "{text} is faulty: {said}");
            let message: String = said.lines().filter(|line| line.contains(" | ")).collect();
            assert!(!message.contains("SECRET"), "{text}: {said}");
            assert!(!said.contains("SECRET") || text.contains("{ SECRET: 1 }"), "{text}: {said}");
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_passed_on() {
        let fault = Fault::error(Place::Text { line: 1, column: 1 }, "a\x1b[31mb", "c\x1b[2Jd\u{9b}e");
        for kind in [None, Some(Kind::Policy)] {
            let mut verdict = verdict("x.yaml", fault.clone());
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("x.yaml");
            std::fs::write(&file, "tiers: {} # \x1b[31m \u{9b}31m\n").unwrap();
            (verdict.file, verdict.kind) = (file.display().to_string(), kind);
            let said = told(&[verdict], false, false);
            assert!(said.contains("tiers: "), "{said:?}");
            assert!(!said.contains(|letter: char| letter.is_control() && letter != '\n'), "{said:?}");
        }
    }

    #[test]
    fn a_hidden_value_is_underlined_in_its_column() {
        let said = told_of("keys:\n  - { name: shop, tenant: acme, sha256: my-key, scopes: [submit] }\n");
        let line = "2 |   - { name: ••••, tenant: ••••, sha256: ••••••, scopes: ••••••••••\n";
        assert!(
            said.contains(&format!("{line}  |                                         ^^^^^^")),
            "{said}"
        );
    }

    #[test]
    fn a_fault_without_a_line_is_shown_with_where_it_is() {
        let beside = Fault::error(Place::Beside("TIDEGATE_LOG__LEVEL".into()), "log.level", "no such level");
        let text = told(&[verdict("config.yaml", beside)], false, false);
        assert!(
            text.contains("error: log.level: no such level") && text.contains("TIDEGATE_LOG__LEVEL"),
            "{text}"
        );
        let gone = Fault::error(Place::Text { line: 3, column: 1 }, "", "not YAML");
        assert!(told(&[verdict("/nowhere/x.yaml", gone)], false, false).contains("x.yaml:3:1"));
    }
}
