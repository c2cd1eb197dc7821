//! The program's commands, run to their end.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output and standard error, one after the other.
    pub said: String,
}

impl Ended {
    /// The command failed with this code and said all of this.
    #[track_caller]
    pub fn says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.said);
        for word in words {
            assert!(self.said.contains(word), "{word:?} was not said:\n{}", self.said);
        }
        assert!(!self.said.contains("panicked"), "{}", self.said);
    }
}

/// Runs `tidegate ARGS` in this folder with only these environment variables.
pub async fn tidegate(folder: &Path, args: &[&str], environment: &[(&str, &str)]) -> Ended {
    let child = tokio::process::Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, child).await;
    let output =
        output.unwrap_or_else(|_| panic!("tidegate {args:?} does not end")).expect("the program starts");
    let said = [output.stdout, output.stderr].concat();
    Ended { code: output.status.code(), said: String::from_utf8(said).expect("it speaks UTF-8") }
}

/// Longer than any command that is to fail may take.
const PATIENCE: Duration = Duration::from_secs(20);
