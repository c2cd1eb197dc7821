//! Documents under a JSON Schema, judged by a validator of others.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

/// What the validator says of each document by this schema of the project: nothing where it is valid.
pub async fn judged(schema: &str, documents: Vec<Value>) -> Vec<Option<String>> {
    let python = project(".tools/clients/python/bin/python");
    assert!(Path::new(&python).exists(), "{python} is missing: `make test-clients` installs it");
    let given = tempfile::NamedTempFile::new().unwrap();
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(project(schema)).unwrap()).unwrap();
    serde_json::to_writer(&given, &json!({ "schema": kept, "documents": documents })).unwrap();
    let command = tokio::process::Command::new(python)
        .arg(project("tests/schema/validate.py"))
        .arg(given.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, command).await.expect("the validator ends").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Vec<Option<String>> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said.len(), documents.len());
    said
}

fn project(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// Longer than a few thousand documents take.
const PATIENCE: Duration = Duration::from_secs(60);
