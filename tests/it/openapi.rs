//! `/openapi.json`: the same as `docs/openapi.json`, valid, and what both listeners keep to under schemathesis.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::support::gateway::{Gateway, Setup};
use crate::support::policy::Policy;

/// `make openapi` runs this test with `TIDEGATE_WRITE_OPENAPI` set: then the file is written.
#[tokio::test]
async fn the_document_that_is_served_is_the_one_in_docs() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let answer = gateway.admin.get("/openapi.json").send().await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let file = project("docs/openapi.json");
    if std::env::var_os("TIDEGATE_WRITE_OPENAPI").is_some() {
        std::fs::write(&file, &answer.body).expect("docs can be written");
    }
    let kept = std::fs::read(&file).unwrap_or_default();
    assert!(
        kept == answer.body,
        "docs/openapi.json is another document: run `make openapi` and look at the change"
    );

    let config = std::fs::read_to_string(project("config/tidegate.yaml")).unwrap();
    for server in answer.json()["servers"].as_array().unwrap() {
        let address = server["url"].as_str().unwrap().trim_start_matches("http://");
        assert!(config.contains(&format!("listen: \"{address}\"")), "{address} is not a default");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn the_document_is_openapi_3_1() {
    let python = client("python");
    let validate = run(&python, &project("tests/openapi"), &["validate.py", "../../docs/openapi.json"]).await;
    assert!(validate.contains("valid"), "{validate}");
}

#[tokio::test]
async fn what_operators_see_is_never_kept() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let paths = [
        "/v1/status",
        "/v1/policy",
        "/v1/dead-letters",
        "/v1/dead-letters/x",
        "/metrics",
        "/openapi.json",
        "/healthz",
        "/readyz",
        "/nowhere",
    ];
    for path in paths {
        let answer = gateway.admin.get(path).send().await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn an_id_that_is_no_text_is_an_unknown_one() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    gateway.admin.get("/v1/dead-letters/%FF").send().await.problem(404, "not_found");
    gateway.finish().await;
}

#[tokio::test]
async fn both_listeners_keep_to_the_document() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    // Enough to lend, and dead letters to list and to show.
    let jobs = "{}\n".repeat(MANY);
    for tier in ["p0", "p1", "p2"] {
        let batch = gateway.ingest.post("/v1/jobs/batch").header("tidegate-tier", tier);
        let batch = batch.header("content-type", "application/x-ndjson").body(jobs.clone());
        assert_eq!(batch.send().await.status, 202);
    }
    let leases = gateway.ingest.post_json("/v1/leases", &json!({ "max": 1000 })).await.json();
    let leases: Vec<_> = leases["jobs"].as_array().unwrap().iter().map(|job| &job["lease"]).collect();
    gateway.ingest.post_json("/v1/leases/nack", &json!({ "leases": leases, "dead": true })).await;

    // How many jobs the foreign client posts is its own affair: the gateway's counts must agree with each other.
    gateway.tally.open(u32::MAX.into());
    fuzz(&gateway, "admin").await;
    let said = fuzz(&gateway, "ingest").await;
    assert!(said.contains("3 covered"), "leases were not acked, nacked and extended:\n{said}");
    gateway.finish().await;
}

/// Runs schemathesis against a listener; fails with what it found.
async fn fuzz(gateway: &Gateway, listener: &str) -> String {
    let address = if listener == "admin" { gateway.admin.address() } else { gateway.ingest.address() };
    let document = format!("http://{}/openapi.json", gateway.admin.address());
    let url = format!("http://{address}");
    let narrowed = ["--include-tag", listener, "--url", &url, &document];
    let arguments =
        [&["--config-file", "schemathesis.toml", "run", "--no-color", "--checks", "all"], &narrowed[..]];
    let arguments = arguments.concat();
    let said = run(&client("schemathesis"), &project("tests/openapi"), &arguments).await;
    println!("{said}");
    said
}

/// Runs a command in this folder to its end; fails with what it said where it failed.
async fn run(program: &Path, folder: &Path, arguments: &[&str]) -> String {
    assert!(program.exists(), "{} is missing: `make test-clients` installs it", program.display());
    let command = tokio::process::Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, command).await;
    let output = output.unwrap_or_else(|_| panic!("{arguments:?} does not end")).expect("it starts");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{arguments:?}:\n{said}");
    said
}

/// A program that `make test-clients` installs.
fn client(name: &str) -> PathBuf {
    project(".tools/clients/python/bin").join(name)
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Jobs of one tier, more than the fuzz leases.
const MANY: usize = 10_000;

/// Longer than the fuzz of one listener takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
