//! The file of keys: every fault has its place, and what may be a key is never said back.

use tidegate::server::access::keys_file::read_keys;
use tidegate::yaml::fault::Severity;

use super::policy_yaml::check_faults;

/// A document.
pub fn run(data: &[u8]) {
    let Ok(document) = std::str::from_utf8(data) else { return };
    match (read_keys(document, "fuzz"), read_keys(document, "fuzz")) {
        (Ok(table), Ok(again)) => {
            assert!(table == again);
            assert_eq!(format!("{table:?}"), format!("KeyTable({} keys)", table.len()));
        }
        (Err(faults), Err(again)) => {
            assert_eq!(faults, again);
            assert!(
                faults.list.iter().any(|fault| fault.severity == Severity::Error),
                "refused for no fault"
            );
            check_faults(document, &faults);
            let told = faults.to_string();
            for secret in secrets(document) {
                assert!(!told.contains(secret), "{secret} is said back: {told}");
            }
        }
        _ => panic!("the same document is good and bad"),
    }
}

/// What stands where a digest should be, as far as that is plain: words of a length that no message has, in a document
/// that has each once and does not quote.
fn secrets(document: &str) -> impl Iterator<Item = &str> {
    let plain = !document.contains(['"', '\'', '|', '>', '#']);
    let values = document.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("- ").unwrap_or(line).trim_start().strip_prefix("sha256: ")
    });
    values.filter(move |value| {
        plain
            && value.len() >= LONGER_THAN_WORDS
            && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && document.matches(*value).count() == 1
    })
}

const LONGER_THAN_WORDS: usize = 24;
