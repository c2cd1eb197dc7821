//! Configuration documents, with values of `--set` beside them: every fault has its place.

use tidegate::config::load::{Sources, assemble};

use super::policy_yaml::check_faults;

/// A document. What follows `#set ` on a line of it is a `--set`, what follows `#env ` a variable of the environment.
pub fn run(data: &[u8]) {
    let Ok(document) = std::str::from_utf8(data) else { return };
    // Settings name files, which are read: none of this machine's is the fuzzer's business.
    if NAMES_FILES.iter().any(|word| document.contains(word)) {
        return;
    }
    let beside = |prefix| document.lines().filter_map(move |line| line.strip_prefix(prefix));
    let variables = beside("#env ").filter_map(|line: &str| line.split_once('='));
    let sources = Sources {
        file: None,
        variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        sets: beside("#set ").map(str::to_owned).collect(),
    };
    let (first, second) =
        (assemble(document, "fuzz".to_owned(), &sources), assemble(document, "fuzz".to_owned(), &sources));
    match (first, second) {
        (Ok(first), Ok(second)) => assert_eq!(first, second),
        (Err(first), Err(second)) => {
            assert_eq!(first, second);
            check_faults(document, &first);
        }
        _ => panic!("the same document is good and bad"),
    }
}

/// An escape can spell any key.
const NAMES_FILES: [&str; 5] = ["file", "FILE", "tls", "TLS", "\\"];
