//! The policy changed while the gateway runs: by its file, a signal, an operator; and taken back.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::support::answer::{Answer, assert_time};
use crate::support::book::{Book, Load};
use crate::support::gateway::{Gateway, Setup};
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::raw::Raw;
use crate::support::redis::Redis;
use crate::support::redis_worker::Taken;

#[tokio::test]
async fn a_changed_file_is_in_force_within_a_fifth_of_a_second_however_it_is_replaced() {
    let mut setup = Setup::bare();
    let [first, second] = ["one", "two"].map(|name| setup.folder().join(name));
    for folder in [&first, &second] {
        fs::create_dir(folder).unwrap();
    }
    setup.write("one/policy.yaml", &numbered(0));
    symlink("one", setup.folder().join("data")).unwrap();
    symlink("data/policy.yaml", setup.folder().join("policy.yaml")).unwrap();
    let gateway = setup.set("policy", "policy.yaml").start().await;
    let mut took = Vec::new();
    let mut number = 0;
    let mut changed = async |replace: &dyn Fn(&str)| {
        number += 1;
        let text = numbered(number);
        let started = Instant::now();
        replace(&text);
        shows(&gateway, &text).await;
        took.push(started.elapsed());
    };
    // As Kubernetes mounts a ConfigMap: the folder behind the link is another.
    for (folder, name) in [(&second, "two"), (&first, "one"), (&second, "two")] {
        changed(&|text| {
            fs::write(folder.join("policy.yaml"), text).unwrap();
            let new = gateway.folder().join("data.new");
            symlink(name, &new).unwrap();
            fs::rename(new, gateway.folder().join("data")).unwrap();
        })
        .await;
    }
    for _ in 0..4 {
        changed(&|text| fs::write(second.join("policy.yaml"), text).unwrap()).await;
        changed(&|text| rename_over(&second.join("policy.yaml"), text)).await;
    }
    took.sort();
    println!("from the change to its taking force: {took:?}");
    assert!(took[took.len() / 2] <= Duration::from_millis(200), "{took:?}");
    let scrape = gateway.metrics().await;
    assert_eq!(reloads(&gateway).await, [11, 0, 0]);
    let revision = gateway.admin.get("/v1/policy").send().await.json()["revision"].clone();
    let labels = [("revision", revision.as_str().unwrap())];
    assert_eq!(scrape.sum("tidegate_policy_revision_info", &labels), 1.0);
    assert_eq!(scrape.sum("tidegate_policy_revision_info", &[]), 1.0, "only that of now has a series");
    gateway.finish().await;
}

#[tokio::test]
async fn while_the_policy_is_swapped_no_request_fails_and_no_job_is_lost() {
    let one = Policy::calm();
    let two = Policy::calm()
        .every_tier("target", "{ depth: 900000 }")
        .every_tier("weight", "7")
        .every_tier("ordering", "block")
        .top("rules", "[ { when: { type: [payment, auth] }, tier: p1 } ]")
        .top("controller", "{ interval: 50ms, kp: 2.0 }");
    let gateway = Arc::new(Setup::with(&one).start().await);
    let (file, book) = (gateway.folder().join("policy.yaml"), Book::new());
    let load = Load::start(&gateway, &book);
    for swap in 0..50 {
        let text = if swap % 2 == 0 { two.to_yaml() } else { one.to_yaml() };
        if swap % 3 == 0 {
            rename_over(&file, &text)
        } else {
            fs::write(&file, &text).unwrap()
        }
        shows(&gateway, &text).await;
    }
    load.stop().await;
    // A busy disk may hold a write in place up half-way: such a file is refused, and never taken.
    let [applied, refused, _] = reloads(&gateway).await;
    assert_eq!(applied, 50, "{refused} refused");
    let fates = book.fates();
    println!("during 50 reloads: {fates:?}, the slowest answer took {:?}", book.slowest());
    assert!(fates.stored > 200 && (fates.not_stored, fates.unknown) == (0, 0), "{fates:?}");
    let drained = gateway.drain().await;
    let taken = drained.iter().map(|job| {
        let fields = [("id".to_owned(), job.id.clone())].into();
        Taken { entry: String::new(), fields, body: job.payload() }
    });
    book.check(&taken.collect::<Vec<_>>());
    let history = history(&gateway).await;
    assert_eq!(history.len(), 20);
    assert!(history.iter().all(|entry| entry["source"] == "file"), "{history:?}");
    let gateway = Arc::into_inner(gateway).expect("the clients are gone");
    // The log tells of a refused file as of an error.
    if refused == 0 { gateway.finish().await } else { gateway.finish_after_outage().await }
}

#[tokio::test]
async fn a_request_goes_by_one_policy_from_its_head_to_its_receipt() {
    let old = Policy::calm().tier("p0", "queue", "\"old:critical\"");
    let new = Policy::calm()
        .tier("p0", "queue", "\"new:critical\"")
        .tier("p1", "queue", "\"new:standard\"")
        .top("rules", "[]");
    let gateway = Setup::with(&old).start().await;
    let mut slow = Raw::connect(gateway.ingest.address()).await;
    let host = gateway.ingest.address();
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nhost: {host}\r\ntidegate-type: payment\r\ncontent-length: 4\r\n\r\nab"
    );
    slow.send(head).await;
    until("the head was read", PATIENCE, async || {
        (gateway.metrics().await.sum("tidegate_in_flight_bytes", &[]) > 0.0).then_some(())
    })
    .await;
    fs::write(gateway.folder().join("policy.yaml"), new.to_yaml()).unwrap();
    shows(&gateway, &new.to_yaml()).await;
    slow.send("cd").await;
    let answer = slow.answer().await.expect("an answer");
    gateway.tally.job(answer.status);
    let receipt = answer.json();
    assert_eq!((&receipt["tier"], &receipt["queue"]), (&json!("p0"), &json!("old:critical")));
    let next = gateway.post("{}", &[("tidegate-type", "payment")]).await.receipt();
    assert_eq!((next.tier.as_str(), next.queue.as_str()), ("p1", "new:standard"));
    let scrape = until("the law sees the job", PATIENCE, async || {
        let scrape = gateway.metrics().await;
        (scrape.sum("tidegate_queue_depth", &[("queue", "new:critical")]) == 1.0).then_some(scrape)
    })
    .await;
    assert!(!scrape.label_values("queue").contains("old:critical"), "no series of the old name is left");
    gateway.finish().await;
}

#[tokio::test]
async fn a_change_of_something_else_moves_neither_rate_nor_window_nor_what_is_shed_or_promised() {
    let policy = Policy::calm()
        .tier("p1", "target", "{ depth: 40 }")
        .tier("p1", "retry_after", "{ min: 1s, max: 600s }")
        .tier("p2", "target", "{ depth: 50 }")
        .tier("p2", "shed", "{ at: 50, until: 10 }")
        .top("controller", "{ window: 1.5 }");
    let gateway = Setup::with(&policy).start().await;
    let offer = async |kind: &str| gateway.post("{}", &[("tidegate-type", kind)]).await;
    until("p2 is shed", PATIENCE, async || {
        (offer("digest").await.status == 429 && tier(&gateway, "p2").await["shedding"] == true).then_some(())
    })
    .await;
    while tier(&gateway, "p2").await["depth"].as_u64().unwrap() > 30 {
        let jobs = gateway.lease(json!({ "max": 10, "tiers": ["p2"] })).await;
        gateway.ack(&jobs).await;
        until("the law sees it", PATIENCE, async || {
            (tier(&gateway, "p2").await["depth"].as_u64() == Some(gateway.depth(Some("p2")).await))
                .then_some(())
        })
        .await;
    }
    // Enough refusals that the ledger promises further and further away.
    let mut promised = 0;
    until("returns are promised for later than at once", PATIENCE, async || {
        let answer = offer("standard").await;
        promised = answer.json()["retry_after_ms"].as_u64().unwrap_or(0);
        (promised > 20_000).then_some(())
    })
    .await;
    let before = steady(&gateway, "p1").await;
    let mut changed = policy.clone().top("rules", "[ { when: { type: [digest, other] }, tier: p2 } ]");
    for round in 0..5 {
        let text = format!("# round {round}\n{}", changed.to_yaml());
        fs::write(gateway.folder().join("policy.yaml"), &text).unwrap();
        shows(&gateway, &text).await;
        let after = tier(&gateway, "p1").await;
        for key in ["rate", "window", "target"] {
            let (old, new) = (before[key].as_f64().unwrap(), after[key].as_f64().unwrap());
            assert!((old - new).abs() <= 0.05 * old.abs() + 0.5, "{key} was {old}, is {new}");
        }
        let shed = tier(&gateway, "p2").await;
        assert_eq!(shed["shedding"], true, "between until and at, what was shed stays shed: {shed}");
    }
    // At the least rate one comes in now and then.
    let next = until("the next one is refused", PATIENCE, async || {
        let answer = offer("standard").await;
        (answer.status == 429).then(|| answer.problem(429, "throttled").retry_after.unwrap())
    })
    .await;
    assert!(next >= Duration::from_millis(promised / 2), "{next:?} after a promise of {promised} ms");
    changed = changed.tier("p1", "rate", "{ min: 1/s, max: 2/s }").tier("p1", "target", "{ depth: 10000 }");
    fs::write(gateway.folder().join("policy.yaml"), changed.to_yaml()).unwrap();
    shows(&gateway, &changed.to_yaml()).await;
    let now = tier(&gateway, "p1").await;
    assert!(now["rate"].as_f64().unwrap() <= 2.0, "what was asked for is done at once: {now}");
    gateway.finish().await;
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_everybody_is_told() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let (file, good) = (gateway.folder().join("policy.yaml"), Policy::calm().to_yaml());
    let revision = revision(&gateway).await;
    let bad = format!("{good}colour: red\nshape: round\n");
    fs::write(&file, &bad).unwrap();
    let last = attempted(&gateway, "rejected", "file").await;
    assert_eq!(last["faults"].as_array().unwrap().len(), 2, "{last}");
    let line = bad.lines().position(|line| line.starts_with("colour")).unwrap() + 1;
    assert_eq!((&last["faults"][0]["line"], &last["faults"][0]["key"]), (&json!(line), &json!("colour")));
    let reload = gateway.admin.post("/v1/policy/reload").send().await.problem(422, "invalid_policy");
    let faults = reload.document["faults"].as_array().unwrap();
    let texts: Vec<_> = faults.iter().map(|fault| fault["text"].as_str().unwrap()).collect();
    assert!(texts[0].contains(&format!("policy.yaml:{line}:1: colour: unknown key")), "{texts:?}");
    assert!(texts[1].contains("shape") && texts.len() == 2, "{texts:?}");
    assert_eq!(self::revision(&gateway).await, revision);
    assert_eq!(reloads(&gateway).await, [0, 2, 0]);
    assert_eq!(faulty(&gateway).await, 1);
    assert_eq!(rejections(&gateway), 1, "one line of the log for one content");
    assert_eq!(gateway.post("{}", &[]).await.status, 202);

    fs::remove_file(&file).unwrap();
    let gone = until("the missing file is noticed", PATIENCE, async || {
        let last = gateway.status().await["policy"]["last_reload"].take();
        last["faults"][0]["message"].as_str()?.contains("No such file").then_some(last)
    })
    .await;
    assert_eq!(gone["result"], "rejected");
    gateway.admin.post("/v1/policy/reload").send().await.problem(422, "invalid_policy");
    assert_eq!(rejections(&gateway), 2);
    assert_eq!(faulty(&gateway).await, 1);
    let back = format!("# back\n{good}");
    fs::write(&file, &back).unwrap();
    shows(&gateway, &back).await;
    until("the metric takes it back", PATIENCE, async || (faulty(&gateway).await == 0).then_some(())).await;
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn a_file_that_appears_takes_over_from_the_built_in_policy() {
    let gateway = Setup::bare().start().await;
    let done = gateway.admin.post("/v1/policy/reload").send().await;
    assert_eq!((done.status, &done.json()["result"]), (200, &json!("unchanged")));
    fs::create_dir(gateway.folder().join("policies")).unwrap();
    let text = Policy::calm().to_yaml();
    fs::write(gateway.folder().join("policies/default.yaml"), &text).unwrap();
    shows(&gateway, &text).await;
    let status = gateway.status().await["policy"].take();
    assert_eq!((&status["source"], &status["file"]), (&json!("file"), &json!("policies/default.yaml")));
    assert_time(&status["loaded_at"]);
    gateway.finish().await;
}

#[tokio::test]
async fn a_signal_and_an_operator_have_the_file_read_at_once() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    gateway.signal("HUP");
    attempted(&gateway, "unchanged", "signal").await;
    let text = numbered(1);
    fs::write(gateway.folder().join("policy.yaml"), &text).unwrap();
    let done = gateway.admin.post("/v1/policy/reload").send().await;
    assert_eq!(done.status, 200, "{done:?}");
    // The watch may have been faster.
    assert!(["applied", "unchanged"].contains(&done.json()["result"].as_str().unwrap()));
    assert_eq!(document(&gateway).await, text, "an answer says that it is in force");
    gateway.signal("HUP");
    attempted(&gateway, "unchanged", "signal").await;
    assert_eq!(gateway.post("{}", &[]).await.status, 202, "a hang-up ends nothing");
    gateway.finish().await;
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_and_changes_nothing() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let before = revision(&gateway).await;
    let put = async |path: &str, body: &str| {
        gateway.admin.ask(Method::PUT, path).body(body.to_owned()).send().await
    };
    let text = Policy::calm().tier("p2", "weight", "25").to_yaml();
    let checked = put("/v1/policy?dry_run=true", &text).await.json();
    let diff = checked["diff"].as_str().unwrap();
    assert!(diff.contains("\n-    weight: 10\n") && diff.contains("\n+    weight: 25\n"), "{diff}");
    assert_eq!(checked["warnings"], json!([]));
    let noisy = Policy::calm().tier("p1", "target", "{ depth: 100 }").tier("p1", "max_depth", "1000");
    let noisy = noisy.tier("p1", "shed", "{ at: 101, until: 50 }").to_yaml();
    let warned = put("/v1/policy?dry_run=true", &noisy).await.json();
    assert!(warned["warnings"][0]["text"].as_str().unwrap().contains("matter of noise"), "{warned}");
    let faulty = put("/v1/policy?dry_run=true", "tiers: { p0: 7 }\nrules: {}\n").await;
    let faulty = faulty.problem(422, "invalid_policy");
    assert_eq!(faulty.document["faults"].as_array().unwrap().len(), 2, "{:?}", faulty.document);
    let required = Policy::calm().tier("p0", "require", "replicated").to_yaml();
    let unmet = put("/v1/policy?dry_run=true", &required).await.problem(422, "invalid_policy");
    assert_eq!(unmet.document["faults"][0]["key"], "tiers.p0.require", "{:?}", unmet.document);
    for path in ["/v1/policy", "/v1/policy?dry_run=false", "/v1/policy?dry_run=true&x=1"] {
        let refused = put(path, &text).await.problem(400, "malformed_request");
        assert!(refused.document["detail"].as_str().unwrap().contains("source of truth"), "{path}");
    }
    put("/v1/policy?dry_run=true", &"#".repeat(1024 * 1024 + 1)).await.problem(413, "too_large");
    let latin = gateway.admin.ask(Method::PUT, "/v1/policy?dry_run=true").body(&b"rules: []\n# \xe4"[..]);
    let latin = latin.send().await.problem(422, "invalid_policy").document;
    assert_eq!((&latin["faults"][0]["line"], &latin["faults"][0]["column"]), (&json!(2), &json!(3)));
    assert_eq!(revision(&gateway).await, before);
    assert_eq!(reloads(&gateway).await, [0, 0, 0]);
    put("/v1/policy/history", "").await.problem(405, "method_not_allowed");
    gateway.finish().await;
}

#[tokio::test]
async fn a_rollback_holds_until_the_file_changes() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let file = gateway.folder().join("policy.yaml");
    let (first, second) = (Policy::calm().to_yaml(), Policy::calm().tier("p2", "weight", "25").to_yaml());
    let old = revision(&gateway).await;
    fs::write(&file, &second).unwrap();
    shows(&gateway, &second).await;
    let back = roll_back(&gateway, &old).await;
    assert_eq!((back.status, &back.json()["result"]), (200, &json!("applied")), "{back:?}");
    assert_eq!((back.json()["pinned"].clone(), document(&gateway).await), (json!(true), first.clone()));
    let entries = history(&gateway).await;
    let sources: Vec<_> = entries.iter().map(|entry| entry["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["rollback", "file", "start"]);
    let diff = entries[0]["diff"].as_str().unwrap();
    assert!(diff.contains("\n-    weight: 25\n") && diff.contains("\n+    weight: 10\n"), "{diff}");
    assert_eq!(entries[2]["diff"], "");
    for entry in &entries {
        assert_time(&entry["at"]);
    }

    let again = gateway.admin.post("/v1/policy/reload").send().await.json();
    assert_eq!((&again["result"], &again["pinned"]), (&json!("unchanged"), &json!(true)));
    gateway.signal("HUP");
    attempted(&gateway, "unchanged", "signal").await;
    fs::write(&file, &second).unwrap();
    rename_over(&file, &second);
    assert_eq!(document(&gateway).await, first, "the same content is no change");
    fs::write(&file, format!("{second}colour: red\n")).unwrap();
    attempted(&gateway, "rejected", "file").await;
    assert_eq!(gateway.status().await["policy"]["pinned"], true, "a bad file ends nothing");
    fs::write(&file, &second).unwrap();
    shows(&gateway, &second).await;
    assert_eq!(gateway.status().await["policy"]["pinned"], false);

    roll_back(&gateway, "0123456789abcdef").await.problem(404, "not_found");
    let nameless = gateway.admin.post_json("/v1/policy/rollback", &json!({})).await;
    nameless.problem(400, "malformed_request");
    roll_back(&gateway, &old).await;
    fs::write(&file, &first).unwrap();
    until("the file says what is held", PATIENCE, async || {
        (gateway.status().await["policy"]["pinned"] == false).then_some(())
    })
    .await;
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn workers_and_the_law_go_by_the_new_policy_at_once() {
    let slow = Policy::calm().every_tier("retry", "{ attempts: 5, backoff: 1h, max_backoff: 1h }");
    let gateway = Setup::with(&slow.clone().top("controller", "{ interval: 10s }")).start().await;
    gateway.accept("p1", "{}").await;
    let quick = Policy::calm().every_tier("retry", "{ attempts: 1, backoff: 1s }").to_yaml();
    fs::write(gateway.folder().join("policy.yaml"), &quick).unwrap();
    shows(&gateway, &quick).await;
    let job = gateway.lease(json!({})).await.remove(0);
    gateway.settle("nack", json!({ "leases": [job.lease], "reason": "no" })).await;
    let scrape = gateway.metrics().await;
    assert_eq!(scrape.count("tidegate_dead_letters", &[]), 1, "one attempt is all there is now");
    // The control loop was asleep for ten seconds: it steps ten times a second now.
    until("the law steps", Duration::from_secs(3), async || {
        let age = tier(&gateway, "p1").await["signal_age_seconds"].as_f64()?;
        (age < 0.5).then_some(())
    })
    .await;
    gateway.finish().await;
}

#[tokio::test]
async fn before_redis_a_tier_begins_to_spool_at_once_and_a_queue_of_another_name_needs_a_restart() {
    let mut redis = Redis::durable(&[]).await;
    let policy = Policy::calm().tier("p1", "spool", "true");
    let gateway = before(&redis, &policy).start().await;
    let file = gateway.folder().join("policy.yaml");
    let renamed = policy.clone().tier("p0", "queue", "\"jobs:other\"").to_yaml();
    fs::write(&file, &renamed).unwrap();
    let last = attempted(&gateway, "rejected", "file").await;
    assert_eq!(last["faults"][0]["key"], "tiers.p0.queue", "{last}");
    assert!(last["faults"][0]["message"].as_str().unwrap().contains("needs a restart"), "{last}");
    assert_eq!(gateway.accept("p0", "{}").await.queue, "jobs:critical");
    let wider = policy.clone().tier("p2", "spool", "true").to_yaml();
    fs::write(&file, &wider).unwrap();
    shows(&gateway, &wider).await;
    redis.kill();
    until("the outage is known", PATIENCE, async || {
        (gateway.status().await["tiers"]["p0"]["outage"] != Value::Null).then_some(())
    })
    .await;
    assert_eq!(gateway.accept("p2", "{}").await.durability, "spooled", "it did not spool at the start");
    gateway.finish_after_outage().await;

    redis.restart().await;
    let gateway = before(&redis, &Policy::calm()).start().await;
    let put = gateway.admin.ask(Method::PUT, "/v1/policy?dry_run=true").body(policy.to_yaml()).send().await;
    let refused = put.problem(422, "invalid_policy").document;
    assert_eq!(refused["faults"][0]["key"], "tiers.p1.spool", "{refused}");
    gateway.finish_after_outage().await;
}

fn before(redis: &Redis, policy: &Policy) -> Setup {
    let setup = Setup::with(policy).set("backend", "redis").set("redis.url", &redis.url());
    let spool = setup.folder().join("spool.db").display().to_string();
    setup.set("spool.path", &spool)
}

pub fn numbered(number: u32) -> String {
    format!("# {number}\n{}", Policy::calm().to_yaml())
}

pub fn rename_over(file: &Path, text: &str) {
    let new: PathBuf = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

/// Waits until this document is in force.
pub async fn shows(gateway: &Gateway, text: &str) {
    until("the policy takes force", PATIENCE, async || (document(gateway).await == text).then_some(())).await;
}

pub async fn document(gateway: &Gateway) -> String {
    let policy = gateway.admin.get("/v1/policy").send().await.json();
    policy["document"].as_str().unwrap().to_owned()
}

pub async fn revision(gateway: &Gateway) -> String {
    let status = gateway.status().await;
    assert_eq!(status["policy_revision"], status["policy"]["revision"]);
    status["policy"]["revision"].as_str().unwrap().to_owned()
}

/// Waits until the last attempt is this one.
pub async fn attempted(gateway: &Gateway, result: &str, source: &str) -> Value {
    until("the attempt shows", PATIENCE, async || {
        let last = gateway.status().await["policy"]["last_reload"].take();
        (last["result"] == result && last["source"] == source).then_some(last)
    })
    .await
}

/// Applied, rejected, unchanged.
pub async fn reloads(gateway: &Gateway) -> [u64; 3] {
    let scrape = gateway.metrics().await;
    ["applied", "rejected", "unchanged"]
        .map(|result| scrape.count("tidegate_policy_reloads_total", &[("result", result)]))
}

/// Whether the metrics say that the policy's file is faulty.
async fn faulty(gateway: &Gateway) -> u64 {
    gateway.metrics().await.count("tidegate_last_reload_rejected", &[("file", "policy")])
}

fn rejections(gateway: &Gateway) -> usize {
    gateway.log().lines().filter(|line| line.contains("the policy is rejected")).count()
}

async fn history(gateway: &Gateway) -> Vec<Value> {
    let mut history = gateway.admin.get("/v1/policy/history").send().await.json();
    history["history"].as_array_mut().unwrap().drain(..).collect()
}

pub async fn roll_back(gateway: &Gateway, revision: &str) -> Answer {
    gateway.admin.post_json("/v1/policy/rollback", &json!({ "revision": revision })).await
}

async fn tier(gateway: &Gateway, tier: &str) -> Value {
    gateway.status().await["tiers"][tier].take()
}

/// The tier once two steps in a row say the same.
async fn steady(gateway: &Gateway, name: &str) -> Value {
    let mut last = Value::Null;
    until("the law stands still", PATIENCE, async || {
        let now = tier(gateway, name).await;
        let still =
            now["signal"] == "fresh" && now["rate"] == last["rate"] && now["window"] == last["window"];
        last = now.clone();
        still.then_some(now)
    })
    .await
}

const PATIENCE: Duration = Duration::from_secs(20);
