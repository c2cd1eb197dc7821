//! Programs that others wrote their clients in: found where `make test-clients` puts them, run to their end.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

/// Runs `tests/clients/SCRIPT` with Node and its packages' folder, then these arguments; the JSON that it prints.
pub async fn node(script: &str, package: &str, args: &[&str]) -> Value {
    let clients = clients();
    installed(&clients.join("node_modules").join(package).join("package.json"));
    let mut command = Command::new("node");
    command.arg(self::script(script)).arg(&clients).args(args);
    json_of(command).await
}

/// Runs `tests/clients/SCRIPT` with the clients' own Python; the JSON that it prints.
pub async fn python(script: &str, args: &[&str]) -> Value {
    let python = clients().join("python/bin/python");
    installed(&clients().join("python/.installed"));
    let mut command = Command::new(python);
    command.arg("-B").arg(self::script(script)).args(args);
    json_of(command).await
}

/// The folder of the foreign clients.
pub fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/clients")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

#[track_caller]
fn installed(file: &Path) {
    assert!(file.exists(), "{} is missing: run `make test-clients`", file.display());
}

async fn json_of(mut command: Command) -> Value {
    let ending = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let ended = tokio::time::timeout(PATIENCE, ending).await.expect("the client ends");
    let ended = ended.unwrap_or_else(|why| panic!("{command:?}: {why}: run `make test-clients`"));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{command:?} ended with {}:\n{said}", ended.status);
    serde_json::from_slice(&ended.stdout).unwrap_or_else(|why| panic!("{why}:\n{said}"))
}

/// Longer than a client may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
