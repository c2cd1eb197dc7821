//! The verdicts as GitHub's workflow commands: each fault an annotation of its line.
//!
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>; the escapes are those of the
//! toolkit's `escapeData` and `escapeProperty`.

use crate::cli::check::verdict::Verdict;
use crate::yaml::fault::{Fault, Severity};
use crate::yaml::node::Place;

/// All of them; the line that concludes is an ordinary line of the log.
pub(super) fn told(verdicts: &[Verdict], strict: bool) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        for fault in &verdict.faults {
            text.push_str(&command(&verdict.file, fault, strict));
            text.push('\n');
        }
        if let Some(line) = verdict.conclusion(strict) {
            // A file's name may not speak as a command of its own.
            text.push_str(&data(&line));
            text.push('\n');
        }
    }
    text
}

fn command(file: &str, fault: &Fault, strict: bool) -> String {
    let command = if fault.severity == Severity::Error || strict { "error" } else { "warning" };
    let mut message = String::new();
    if let Place::Beside(name) = &fault.place {
        message.push_str(&format!("{name}: "));
    }
    if !fault.key.is_empty() {
        message.push_str(&format!("{}: ", fault.key));
    }
    message.push_str(&fault.message);
    let file = property(file);
    let place = match &fault.place {
        Place::Text { line, column } => format!("file={file},line={line},col={column}"),
        Place::Document | Place::Beside(_) => format!("file={file}"),
    };
    format!("::{command} {place},title=tidegate check::{}", data(&message))
}

/// A message: nothing in it ends the command, and nothing is obeyed by the terminal that shows the log.
fn data(text: &str) -> String {
    let obeyed = |letter: char| letter.is_control() && !matches!(letter, '\r' | '\n');
    text.replace(obeyed, "\u{fffd}").replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property: nothing in it ends the property either.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: usize, column: usize) -> Place {
        Place::Text { line, column }
    }

    #[test]
    fn a_fault_is_a_command_with_its_place() {
        let fault = Fault::error(place(3, 7), "tiers.p1.max_depth", "expects 100 %, found `a,b`");
        assert_eq!(
            command("policies/x.yaml", &fault, false),
            "::error file=policies/x.yaml,line=3,col=7,title=tidegate check::tiers.p1.max_depth: expects 100 %25, found `a,b`"
        );
        let doubt = Fault { severity: Severity::Warning, ..fault };
        assert!(command("x", &doubt, false).starts_with("::warning file=x,line=3,"));
        assert!(command("x", &doubt, true).starts_with("::error "));
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_passed_on() {
        let fault = Fault::error(place(1, 1), "a\x1b[31mb", "rules[0] (a\x1b[31m\u{9b}x\tb)");
        let line = command("x\x07.yaml", &fault, false);
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(line.ends_with("::a\u{fffd}[31mb: rules[0] (a\u{fffd}[31m\u{fffd}x\u{fffd}b)"), "{line:?}");
        assert!(line.contains("file=x\u{fffd}.yaml,"), "{line:?}");
    }

    #[test]
    fn no_name_and_no_key_ends_the_command() {
        let fault = Fault::error(place(1, 1), "a\n::error::forged", "b\r\nc");
        let line = command("x,line=9::y\n.yaml", &fault, false);
        assert_eq!(
            line,
            "::error file=x%2Cline=9%3A%3Ay%0A.yaml,line=1,col=1,title=tidegate check::a%0A::error::forged: b%0D%0Ac"
        );
    }
}
