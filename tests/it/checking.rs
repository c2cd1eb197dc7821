//! `tidegate check` as operators, editors and CI see it: forms, exit codes, terminals.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value as Json;

use crate::support::command::{Ended, tidegate};

const BROKEN: &str = "tiers:\n  p1: { wieght: 10, target: { depth: 5 }, max_depth: 20 }\n";
const DOUBTFUL: &str = "controller: { kd: 40 }\n";

/// A folder with a broken policy, a doubtful one and a good one.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in
        [("broken.yaml", BROKEN), ("doubtful.yaml", DOUBTFUL), ("good.yaml", "default_tier: p1\n")]
    {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[tokio::test]
async fn json_has_an_object_for_each_file() {
    let folder = folder();
    let files = ["check", "--format", "json", "broken.yaml", "doubtful.yaml", "good.yaml", "none.yaml"];
    let ended = tidegate(folder.path(), &files, &[]).await;
    assert_eq!(ended.code, Some(2));
    let told: Json = serde_json::from_str(&ended.said).unwrap();
    let broken = &told[0];
    assert_eq!(
        (&broken["file"], &broken["kind"], &broken["ok"]),
        (&"broken.yaml".into(), &"policy".into(), &false.into())
    );
    let fault = &broken["faults"][0];
    assert_eq!((fault["line"].as_u64(), fault["column"].as_u64()), (Some(2), Some(9)));
    assert_eq!((fault["severity"].as_str(), fault["key"].as_str()), (Some("error"), Some("tiers.p1.wieght")));
    assert!(fault["message"].as_str().unwrap().contains("did you mean `weight`?"));
    let doubtful = &told[1];
    assert_eq!(doubtful["ok"], true);
    assert_eq!(doubtful["faults"][0]["severity"], "warning");
    assert_eq!(doubtful["unsteady"]["advice"]["key"], "controller.kd");
    assert!(doubtful["unsteady"]["depth_over_target"].as_array().unwrap().len() > 100);
    assert_eq!((&told[2]["ok"], &told[2]["unsteady"]), (&true.into(), &Json::Null));
    assert!(told[2]["revision"].is_string());
    assert_eq!((&told[3]["ok"], &told[3]["kind"]), (&false.into(), &Json::Null));
}

#[tokio::test]
async fn github_gets_annotations() {
    let folder = folder();
    let ended =
        tidegate(folder.path(), &["check", "--format", "github", "broken.yaml", "doubtful.yaml"], &[]).await;
    ended.says(
        2,
        &[
            "::error file=broken.yaml,line=2,col=9,title=tidegate check::tiers.p1.wieght: unknown key, did you mean `weight`?\n",
            "::warning file=doubtful.yaml,line=1,col=19,",
        ],
    );
}

#[tokio::test]
async fn warnings_refuse_where_they_are_strictly_taken() {
    let folder = folder();
    tidegate(folder.path(), &["check", "doubtful.yaml"], &[])
        .await
        .says(0, &["warning: controller.kd: unstable"]);
    tidegate(folder.path(), &["check", "--strict", "doubtful.yaml"], &[])
        .await
        .says(2, &["warnings count (--strict)"]);
    tidegate(folder.path(), &["check", "--strict", "good.yaml"], &[]).await.says(0, &["policy ok, revision"]);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let shipped = ["default", "demo", "flash-sale", "iot", "nightly-batch", "webhooks"]
        .map(|name| format!("policies/{name}.yaml"));
    let arguments: Vec<&str> =
        ["check", "--strict"].into_iter().chain(shipped.iter().map(String::as_str)).collect();
    let ended = tidegate(root, &arguments, &[]).await;
    ended.says(0, &[]);
    assert!(!ended.said.contains("warning"), "{}", ended.said);
}

#[tokio::test]
async fn the_schema_that_is_printed_is_the_one_that_ships() {
    let folder = tempfile::tempdir().unwrap();
    let ended = tidegate(folder.path(), &["check", "--schema"], &[]).await;
    let kept = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/schema.json")).unwrap();
    assert!(ended.code == Some(0) && ended.said == kept);
    tidegate(folder.path(), &["check", "--schema", "x.yaml"], &[]).await.says(2, &["--schema"]);
}

#[tokio::test]
async fn a_terminal_sees_the_line_and_colours_and_a_pipe_neither() {
    let folder = folder();
    let plain = "broken.yaml:2:9: tiers.p1.wieght: unknown key, did you mean `weight`?\n";
    let piped = tidegate(folder.path(), &["check", "broken.yaml"], &[]).await;
    assert_eq!((piped.code, piped.said.as_str()), (Some(2), plain));

    let coloured = on_terminal(folder.path(), "check broken.yaml", &[("TERM", "xterm")]).await;
    coloured.says(2, &["broken.yaml:2:9", "p1: { wieght: 10,", "^^^^^^", "\x1b["]);
    for environment in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        let ended = on_terminal(folder.path(), "check broken.yaml", &environment).await;
        ended.says(2, &["  |         ^^^^^^"]);
        assert!(!ended.said.contains('\x1b'), "{environment:?}: {}", ended.said);
    }
    let swings = on_terminal(folder.path(), "check doubtful.yaml", &[("NO_COLOR", "1")]).await;
    swings.says(0, &["warning: controller.kd", "p0: depth over target", "target ┤", "policy ok, revision"]);
}

#[tokio::test]
async fn a_terminal_sees_no_secret_of_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let keys = "keys:\n  - { name: shop, tenant: acme, sha256: my-plain-SECRET-key, scopes: [submit] }\n";
    std::fs::write(folder.path().join("k.yaml"), keys).unwrap();
    let configuration =
        "redis: { url: 'redis://u:SECRET9@h:6379/0', colour: red }\nadmin: { token: SECRET }\n";
    std::fs::write(folder.path().join("c.yaml"), configuration).unwrap();
    let environment = [("NO_COLOR", "1"), ("LANG", "C.UTF-8")];
    let ended = on_terminal(folder.path(), "check k.yaml c.yaml", &environment).await;
    ended.says(
        2,
        &[
            "(not shown)",
            "sha256: •••••••••••••••••••, scopes",
            "redis.colour: unknown key",
            "admin: { token: •",
        ],
    );
    assert!(!ended.said.contains("SECRET"), "{}", ended.said);
}

/// Runs `tidegate ARGS` on a terminal of its own.
async fn on_terminal(folder: &std::path::Path, arguments: &str, environment: &[(&str, &str)]) -> Ended {
    let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_tidegate"));
    let child = tokio::process::Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output =
        tokio::time::timeout(PATIENCE, child).await.expect("it ends").expect("util-linux has script");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).replace('\r', "");
    Ended { code: output.status.code(), said }
}

/// Longer than a check takes.
const PATIENCE: Duration = Duration::from_secs(20);
