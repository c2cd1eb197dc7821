//! The policy's file while somebody writes it, when it is none, and while a rollback holds against it.

use std::fs;

use http::Method;
use serde_json::json;

use crate::reload::{attempted, document, numbered, reloads, rename_over, revision, roll_back, shows};
use crate::support::gateway::Setup;
use crate::support::policy::Policy;

#[tokio::test]
async fn a_file_that_is_cut_off_is_not_believed_however_it_is_asked_for() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let file = gateway.folder().join("policy.yaml");
    let (before, good) = (revision(&gateway).await, document(&gateway).await);
    fs::write(&file, "").unwrap();
    let refused = gateway.admin.post("/v1/policy/reload").send().await.problem(422, "invalid_policy");
    let fault = &refused.document["faults"][0]["text"];
    assert!(fault.as_str().unwrap().contains("says nothing, the policy in force says something"), "{fault}");
    gateway.signal("HUP");
    attempted(&gateway, "rejected", "signal").await;
    assert_eq!(revision(&gateway).await, before);
    let dry = gateway.admin.ask(Method::PUT, "/v1/policy?dry_run=true").body("# nothing\n").send().await;
    dry.problem(422, "invalid_policy");

    for number in 0..5 {
        let text = format!("# {number}\n{good}");
        fs::write(&file, "").unwrap();
        let (asked, ()) = tokio::join!(gateway.admin.post("/v1/policy/reload").send(), async {
            let written = file.clone();
            let bytes = text.clone();
            tokio::task::spawn_blocking(move || fs::write(written, bytes).unwrap()).await.unwrap();
        });
        assert_eq!(asked.status, 200, "{asked:?}");
        assert_eq!(document(&gateway).await, text, "the answer is about the whole file");
    }
    fs::write(&file, "{}\n").unwrap();
    shows(&gateway, "{}\n").await;
    assert_eq!(reloads(&gateway).await[0], 6, "nothing that is cut off was ever in force");
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn what_is_no_file_is_refused_and_holds_up_neither_the_next_file_nor_the_end() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let (file, pipe) = (gateway.folder().join("policy.yaml"), gateway.folder().join("pipe"));
    let put_a_pipe = || {
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        fs::rename(&pipe, &file).unwrap();
    };
    put_a_pipe();
    gateway.signal("HUP");
    let last = attempted(&gateway, "rejected", "signal").await;
    assert!(last["faults"][0]["message"].as_str().unwrap().contains("no regular file"), "{last}");
    rename_over(&file, &numbered(1));
    shows(&gateway, &numbered(1)).await;
    put_a_pipe();
    gateway.admin.post("/v1/policy/reload").send().await.problem(422, "invalid_policy");
    gateway.signal("HUP");
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn while_a_rollback_holds_a_bad_file_is_told_and_one_that_comes_back_is_no_change() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let file = gateway.folder().join("policy.yaml");
    let (old, second) = (revision(&gateway).await, numbered(2));
    fs::write(&file, &second).unwrap();
    shows(&gateway, &second).await;
    roll_back(&gateway, &old).await;
    fs::remove_file(&file).unwrap();
    attempted(&gateway, "rejected", "file").await;
    rename_over(&file, &second);
    attempted(&gateway, "unchanged", "file").await;
    let held = gateway.status().await["policy"].take();
    assert_eq!((&held["pinned"], &held["revision"]), (&json!(true), &json!(old)), "{held}");

    fs::write(&file, format!("{second}colour: red\n")).unwrap();
    attempted(&gateway, "rejected", "file").await;
    roll_back(&gateway, &old).await;
    let refused = gateway.admin.post("/v1/policy/reload").send().await.problem(422, "invalid_policy");
    assert_eq!(refused.document["faults"][0]["key"], "colour", "{:?}", refused.document);
    gateway.signal("HUP");
    attempted(&gateway, "rejected", "signal").await;
    assert_eq!(gateway.status().await["policy"]["pinned"], true);
    gateway.finish_after_outage().await;
}
