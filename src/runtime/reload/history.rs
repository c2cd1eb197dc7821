//! The policies that were in force: the last twenty, each with what it changed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use similar::TextDiff;

use crate::domain::time::Timestamp;
use crate::policy::Policy;
use crate::runtime::reload::Source;

/// The latest policies, the one in force first.
#[derive(Clone, Debug, Default)]
pub struct History(VecDeque<Entry>);

/// A policy that took force.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// By what.
    pub source: Source,
    /// Its revision.
    pub revision: String,
    /// What it changed of the one before, line by line; empty for the first.
    pub diff: Arc<str>,
    /// The YAML.
    pub document: Arc<str>,
}

impl History {
    /// A history that begins with this policy.
    pub fn begun(policy: &Policy, at: Timestamp) -> History {
        let mut history = History::default();
        history.add(policy, Source::Start, at);
        history
    }

    /// Adds the policy that takes force; the oldest of more than twenty is forgotten.
    pub fn add(&mut self, policy: &Policy, source: Source, at: Timestamp) {
        let before = self.0.front();
        let diff = before.map(|before| diff(&before.document, &before.revision, policy)).unwrap_or_default();
        let (revision, document) = (policy.revision.clone(), policy.document.as_str().into());
        self.0.push_front(Entry { at, source, revision, diff: diff.into(), document });
        self.0.truncate(MOST_ENTRIES);
    }

    /// The entries, the latest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    /// The document of a revision.
    pub fn document(&self, revision: &str) -> Option<Arc<str>> {
        self.0.iter().find(|entry| entry.revision == revision).map(|entry| Arc::clone(&entry.document))
    }
}

/// What a policy changes of a document: a unified diff of lines, cut where it is very long.
pub fn diff(before: &str, revision: &str, after: &Policy) -> String {
    let lines = TextDiff::configure().timeout(MOST_TIME).diff_lines(before, after.document.as_str());
    let mut text = lines.unified_diff().context_radius(CONTEXT).header(revision, &after.revision).to_string();
    if text.len() > MOST_BYTES {
        let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= MOST_BYTES).last();
        text.truncate(end.unwrap_or(0));
        text.push_str("\n.. cut: the diff is longer\n");
    }
    text
}

/// As many policies are remembered.
const MOST_ENTRIES: usize = 20;

/// Lines of context around a change.
const CONTEXT: usize = 3;

/// A diff is not longer than this, in bytes.
const MOST_BYTES: usize = 64 * 1024;

/// After so long a diff becomes a coarser one.
const MOST_TIME: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::compile::compile;

    fn policy(document: &str) -> Policy {
        compile(document, "test").unwrap().policy
    }

    #[test]
    fn an_entry_says_what_it_changed() {
        let (one, two) = (policy("default_tier: p1\nrules: []\n"), policy("default_tier: p2\nrules: []\n"));
        let mut history = History::begun(&one, Timestamp::from_millis(1));
        history.add(&two, Source::File, Timestamp::from_millis(2));
        let shown: Vec<_> = history.entries().map(|entry| (entry.source, &*entry.diff)).collect();
        let diff = format!(
            "--- {}\n+++ {}\n@@ -1,2 +1,2 @@\n-default_tier: p1\n+default_tier: p2\n rules: []\n",
            one.revision, two.revision
        );
        assert_eq!(shown, [(Source::File, diff.as_str()), (Source::Start, "")]);
        assert_eq!(history.document(&one.revision).as_deref(), Some(one.document.as_str()));
        assert_eq!(history.document("other"), None);
    }

    #[test]
    fn twenty_are_remembered() {
        let numbered = |number: u64| policy(&format!("# {number}\nrules: []\n"));
        let mut history = History::begun(&numbered(0), Timestamp::from_millis(0));
        (1..=25).for_each(|n| history.add(&numbered(n), Source::File, Timestamp::from_millis(n)));
        let at: Vec<_> = history.entries().map(|entry| entry.at.millis()).collect();
        assert_eq!(at, (6..=25).rev().collect::<Vec<_>>());
        assert_eq!(history.document(&numbered(5).revision), None);
    }

    #[test]
    fn a_very_long_diff_is_cut() {
        let long = |word: &str| policy(&format!("rules: []\n{}", format!("# {word}, käse\n").repeat(9_000)));
        let cut = diff(&long("one").document, "r", &long("two"));
        assert!(
            cut.len() < MOST_BYTES + 100 && cut.ends_with(".. cut: the diff is longer\n"),
            "{}",
            cut.len()
        );
    }
}
