//! Faults: what is wrong in a document, where, and what would be right.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use crate::yaml::node::Place;

/// Something wrong, or doubtful, in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it is.
    pub place: Place,
    /// The key it concerns, as a path such as `tiers.p2.shed.at`; empty for the document as a whole.
    pub key: String,
    /// What is wrong and what is expected: lower case, no full stop.
    pub message: String,
    /// Whether the document can be used nevertheless.
    pub severity: Severity,
}

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The document is refused.
    Error,
    /// The document is used, and probably does not do what was meant.
    Warning,
}

impl Fault {
    /// A fault for which the document is refused.
    pub fn error(place: Place, key: impl Into<String>, message: impl Into<String>) -> Fault {
        Fault { place, key: key.into(), message: message.into(), severity: Severity::Error }
    }
}

/// All faults of one document, from top to bottom. Displays as one `document:line:column: key: message` a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The document's name: the path it was read from.
    pub document: String,
    /// The faults.
    pub list: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}: ", fault.place.in_document(&self.document))?;
            if fault.severity == Severity::Warning {
                write!(f, "warning: ")?;
            }
            if !fault.key.is_empty() {
                write!(f, "{}: ", printable(&fault.key))?;
            }
            write!(f, "{}", printable(&fault.message))?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// What a document says, as a part of one line: a key may hold line breaks and what terminals obey.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        Cow::Owned(text.replace(char::is_control, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Collects the faults found while one document is decoded.
#[derive(Debug, Default)]
pub struct FaultLog {
    found: RefCell<Vec<Fault>>,
}

impl FaultLog {
    /// Adds one.
    pub fn add(&self, fault: Fault) {
        self.found.borrow_mut().push(fault);
    }

    /// How many faults there are for which the document must be refused.
    pub fn errors(&self) -> usize {
        self.found.borrow().iter().filter(|fault| fault.severity == Severity::Error).count()
    }

    /// The faults from top to bottom.
    pub fn into_list(self) -> Vec<Fault> {
        let mut list = self.found.into_inner();
        list.sort_by(|a, b| a.place.cmp(&b.place));
        list
    }
}

/// The known word nearest to a wrong one, if one is near enough to have been meant and no other is as near.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong: `lisen` finds `listen`, `foo` does not find `log`.
    let tolerance = word.chars().count().max(3) / 3;
    let mut near: Vec<((usize, usize), &str)> = known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|((distance, _), _)| *distance <= tolerance)
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    match near.as_slice() {
        [(_, only)] => Some(only),
        [(first, best), (second, _), ..] if first < second => Some(best),
        _ => None,
    }
}

/// Letters that differ, whatever their case, where a word cut short or run on (`warning` for `warn`) counts as one; and
/// the letters that really differ, to tell two of the same distance apart.
fn distance(word: &str, candidate: &str) -> (usize, usize) {
    let lower = word.to_lowercase();
    let letters = strsim::damerau_levenshtein(&lower, candidate);
    let cut = lower.len().min(candidate.len()) >= 3
        && (lower.starts_with(candidate) || candidate.starts_with(&lower));
    (if cut { letters.min(1) } else { letters }, letters)
}

/// What to say to a word that is not among the known ones: the nearest, else all of them.
pub fn suggestion(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "none is valid here".to_owned(),
        None => format!("valid here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_only_when_it_is_near() {
        assert_eq!(nearest("lisen", ["listen", "tls"]), Some("listen"));
        assert_eq!(nearest("taget", ["queue", "target"]), Some("target"));
        assert_eq!(nearest("wieght", ["queue", "weight"]), Some("weight"));
        assert_eq!(nearest("JSON", ["text", "json"]), Some("json"));
        assert_eq!(nearest("warning", ["warn", "info"]), Some("warn"));
        assert_eq!(nearest("p3", ["p0", "p1", "p2"]), None);
        assert_eq!(nearest("P0", ["p0", "p1", "p2"]), Some("p0"));
        assert_eq!(nearest("foo", ["log", "limits"]), None);
        assert_eq!(nearest("anything", []), None);
        assert_eq!(nearest("retry_aftr", ["retry", "retry_after"]), Some("retry_after"));
    }

    #[test]
    fn a_fault_reads_as_file_line_column_key_and_message() {
        let faults = Faults {
            document: "p.yaml".to_owned(),
            list: vec![
                Fault::error(
                    Place::Text { line: 3, column: 7 },
                    "tiers.p2.shed.at",
                    "expects a whole number",
                ),
                Fault::error(Place::Beside("TIDEGATE_LOG__LEVEL".into()), "log.level", "no such level"),
            ],
        };
        assert_eq!(
            faults.to_string(),
            "p.yaml:3:7: tiers.p2.shed.at: expects a whole number\nTIDEGATE_LOG__LEVEL: log.level: no such level"
        );
    }

    #[test]
    fn a_key_with_line_breaks_stays_within_its_line() {
        let list = vec![Fault::error(Place::Document, "a\np.yaml: policy ok", "unknown\x1b[2J key")];
        let told = Faults { document: "p.yaml".to_owned(), list }.to_string();
        assert_eq!(told, "p.yaml: a\u{fffd}p.yaml: policy ok: unknown\u{fffd}[2J key");
    }
}
