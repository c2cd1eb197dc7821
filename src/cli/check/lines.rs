//! The verdicts as lines, for pipes and logs: `file:line:column: key: message`.

use crate::cli::check::verdict::Verdict;
use crate::yaml::fault::Faults;

/// All of them, a line for each fault and one that concludes.
pub(super) fn told(verdicts: &[Verdict], strict: bool) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        if !verdict.faults.is_empty() {
            let faults = Faults { document: verdict.file.clone(), list: verdict.faults.clone() };
            text.push_str(&format!("{faults}\n"));
        }
        if let Some(line) = verdict.conclusion(strict) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}
