//! The workers of `examples/redis/`, run as docs/REDIS.md shows them, against a real gateway and a real Redis.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tidegate::queue::redis::worker::{FAIL_ELEMENT, FAIL_ENTRY};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::before;
use crate::support::foreign::clients;
use crate::support::gateway::{Gateway, Setup};
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::redis::Redis;
use crate::support::redis_worker::Taken;
use crate::support::resp::Resp;

/// A worker's process and what it prints.
struct Example {
    lines: Lines<BufReader<ChildStdout>>,
    child: Child,
}

impl Example {
    fn run(name: &str, redis: &Redis, queue: &str) -> Example {
        let file = root().join("examples/redis").join(name);
        let mut command = match name.ends_with(".py") {
            true => {
                let python = clients().join("python/bin/python");
                assert!(python.exists(), "{} is missing: run `make test-clients`", python.display());
                let mut command = Command::new(python);
                command.arg("-B").arg(file);
                command
            }
            false => Command::new(file),
        };
        command.arg(queue).env("REDIS_URL", redis.url()).env("WORKER", "w-1").kill_on_drop(true);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Example { lines, child }
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("it prints in time");
        line.unwrap().unwrap_or_else(|| panic!("it ended: {:?}", self.child.try_wait()))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test]
async fn workers_of_a_stream_do_every_job_and_leave_nothing_behind() {
    let redis = Redis::start(&[]).await;
    let gateway = before(&redis, &Policy::calm()).start().await;
    for name in ["stream_worker.py", "stream_worker.sh"] {
        let mut worker = Example::run(name, &redis, "jobs:standard");
        for number in 0..5 {
            let payload = format!("line one of {number}\nline two");
            let id = gateway.accept("p1", &payload).await.id;
            assert_eq!(worker.line().await, format!("{id} line one of {number}"), "{name}");
            assert_eq!(worker.line().await, "line two", "{name}");
        }
        until("everything is acknowledged", PATIENCE, async || {
            let group = redis.cli(&["XINFO", "GROUPS", "jobs:standard"]).await.items()[0].clone();
            (group.field("lag").count() + group.field("pending").count() == 0).then_some(())
        })
        .await;
    }
    // What a worker did not finish before it died is done by its next life.
    let id = gateway.accept("p1", "left behind").await.id;
    until("it is in the hands of the worker that died", PATIENCE, async || {
        let read = ["XREADGROUP", "GROUP", "workers", "w-1", "STREAMS", "jobs:standard", ">"];
        redis.cli(&read).await;
        (redis.cli(&["XPENDING", "jobs:standard", "workers"]).await.items()[0].count() == 1).then_some(())
    })
    .await;
    assert_eq!(
        Example::run("stream_worker.sh", &redis, "jobs:standard").line().await,
        format!("{id} left behind")
    );
    gateway.finish().await;
}

#[tokio::test]
async fn workers_of_a_list_do_every_job_and_what_they_died_with() {
    let redis = Redis::start(&[]).await;
    let gateway = before(&redis, &Policy::calm()).set("redis.structure", "list").start().await;
    for name in ["list_worker.py", "list_worker.sh"] {
        let left = gateway.accept("p1", "left behind").await.id;
        redis.cli(&["LMOVE", "jobs:standard", "jobs:standard:processing:w-1", "RIGHT", "LEFT"]).await;
        let mut worker = Example::run(name, &redis, "jobs:standard");
        let line = worker.line().await;
        assert!(line.contains(&left) && line.contains("left behind"), "{name}: {line}");
        for number in 0..5 {
            let id = gateway.accept("p1", &format!("job {number}")).await.id;
            let line = worker.line().await;
            assert!(line.contains(&id) && line.contains(&format!("job {number}")), "{name}: {line}");
        }
        until("everything is done", PATIENCE, async || {
            let [waits, hands] = ["jobs:standard", "jobs:standard:processing:w-1"];
            let left = redis.cli(&["LLEN", waits]).await.count() + redis.cli(&["LLEN", hands]).await.count();
            (left == 0).then_some(())
        })
        .await;
    }
    gateway.finish().await;
}

#[test]
fn the_page_shows_the_workers_as_they_are() {
    let page = std::fs::read_to_string(root().join("docs/REDIS.md")).unwrap();
    for name in ["stream_worker.py", "stream_worker.sh", "list_worker.py", "list_worker.sh"] {
        let text = std::fs::read_to_string(root().join("examples/redis").join(name)).unwrap();
        assert!(page.contains(text.trim_end()), "docs/REDIS.md does not show {name} as it is");
        let code = |line: &&str| !line.is_empty() && !line.starts_with('#') && !line.starts_with("\"\"\"");
        let lines = text.lines().map(str::trim).filter(code).count();
        assert!(lines <= 15, "{name} has {lines} lines");
    }
}

#[tokio::test]
async fn the_shipped_configuration_serves() {
    let redis = Redis::start(&[]).await;
    let shipped = std::fs::read_to_string(root().join("config/redis.yaml")).unwrap();
    let gateway = Setup::bare().config(&shipped).set("redis.url", &redis.url()).start().await;
    let receipt = gateway.accept("p0", "critical").await;
    assert_eq!((receipt.queue.as_str(), receipt.durability.as_str()), ("jobs:critical", "memory"));
    assert_eq!(redis.cli(&["XLEN", "jobs:critical"]).await.count(), 1);
    gateway.finish().await;
}

/// The least rights of the page are enough for a gateway and for workers.
#[tokio::test]
async fn the_rights_that_the_page_lists_are_enough() {
    let page = std::fs::read_to_string(root().join("docs/REDIS.md")).unwrap();
    let rights: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("ACL SETUSER "))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rights.len(), 2, "one user for the gateway, one for workers");
    for structure in ["stream", "list"] {
        let redis = Redis::start(&[]).await;
        for user in &rights {
            redis.cli(user).await;
        }
        let policy = Policy::calm();
        let url = format!("redis://tidegate:GATEWAY-PASSWORD@{}", redis.address());
        let gateway = super::at(&url, &policy)
            .set("redis.structure", structure)
            .set("idempotency.max_keys", "1")
            .set("share.mode", "redis")
            .start()
            .await;
        let headers = [("tidegate-type", "order"), ("idempotency-key", "k")];
        let id = gateway.post("keyed", &headers).await.receipt().id;
        assert!(gateway.post("keyed", &headers).await.receipt().duplicate);
        // A newcomer among gateways that share starts at the least rate.
        until("it has its share", PATIENCE, async || {
            let answer = gateway.batch("application/x-ndjson", "{}\n{}\n", &headers[..1]).await;
            (answer.status == 202).then_some(())
        })
        .await;
        let mut worker = redis.connect().await.unwrap();
        worker.ask(&["AUTH", "worker", "WORKER-PASSWORD"]).await.unwrap().good();
        let taken = take_and_give_up(&mut worker, structure).await;
        assert_eq!(taken.id(), id);
        // Dead letters, too, and nothing that the gateway asks is refused while it runs.
        let letters = gateway.admin.get("/v1/dead-letters").send().await;
        assert_eq!((letters.status, &letters.json()["dead_letters"][0]["id"]), (200, &id.as_str().into()));
        let replayed = gateway.admin.post_json("/v1/dead-letters/replay", &json!({ "all": true })).await;
        assert_eq!(replayed.json()["results"][0]["status"], "replayed", "{replayed:?}");
        retries_and_letters_come_back(&gateway, &redis, &mut worker, &id, taken.field("accepted_at")).await;
        // Nothing that the gateway asks is refused while it runs.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let refused = redis.cli(&["ACL", "LOG"]).await;
        assert!(refused.items().is_empty(), "{structure}: {refused:?}");
        assert!(worker.ask(&["FLUSHALL"]).await.unwrap() != super::Reply::Simple("OK".into()));
        gateway.finish_after_outage().await;
    }
}

/// A worker takes the job and gives it up with the script that workers are given.
async fn take_and_give_up(worker: &mut Resp, structure: &str) -> Taken {
    match structure {
        "stream" => {
            let read = ["XREADGROUP", "GROUP", "workers", "w", "COUNT", "1", "STREAMS", "jobs:standard", ">"];
            let reply = worker.ask(&read).await.unwrap().good();
            let (entry, taken) = super::of_entry(&reply.items()[0].items()[1].items()[0]);
            let fail = ["EVAL", FAIL_ENTRY, "4", "jobs:standard", DELAYED, DEAD, DEAD_OF_TIER, "workers"];
            let fail = fail.map(str::as_bytes);
            let given_up = [&fail[..], &[entry.as_slice(), b"no luck", b"dead"]].concat();
            assert_eq!(worker.ask(&given_up).await.unwrap().good().integer(), 1);
            taken
        }
        _ => {
            let hands = "jobs:standard:processing:w";
            let reply =
                worker.ask(&["BLMOVE", "jobs:standard", hands, "RIGHT", "LEFT", "1"]).await.unwrap().good();
            let (element, taken) = super::of_element(&reply);
            let fail = ["EVAL", FAIL_ELEMENT, "4", DELAYED, DEAD, DEAD_OF_TIER, hands].map(str::as_bytes);
            let given_up = [&fail[..], &[element.as_slice(), b"no luck", b"dead"]].concat();
            assert_eq!(worker.ask(&given_up).await.unwrap().good().integer(), 1);
            taken
        }
    }
}

/// The oldest key goes; a retry comes back, dead letters are read, replayed and purged.
async fn retries_and_letters_come_back(
    gateway: &Gateway,
    redis: &Redis,
    worker: &mut Resp,
    id: &str,
    accepted_at: &str,
) {
    gateway.post("another", &[("tidegate-type", "order"), ("idempotency-key", "another")]).await.receipt();
    let job = format!(r#""tier":"p1","tenant":"t","accepted_at":"{}","attempt":2,"body":"b""#, accepted_at);
    let delayed = format!(r#"{{"id":"{id}",{job}}}"#);
    worker.ask(&["ZADD", "jobs:standard:delayed", "1", &delayed]).await.unwrap().good();
    let ids = ["01a1ff61-53ff-7c5e-bcbd-000000000001", "01a1ff61-53ff-7c5e-bcbd-000000000002"];
    for id in ids {
        let dead = format!(r#"{{"id":"{id}",{job},"reason":"r","died_at":"2026-11-21T21:00:00.000Z"}}"#);
        worker.ask(&["HSET", "jobs:dead_letter", id, &dead]).await.unwrap().good();
        worker.ask(&["ZADD", "jobs:dead_letter:p1", "1795294800000", id]).await.unwrap().good();
    }
    let letters = gateway.admin.get("/v1/dead-letters").send().await.json();
    assert_eq!(letters["dead_letters"].as_array().map(Vec::len), Some(2), "{letters}");
    for (id, verb) in ids.into_iter().zip(["replay", "purge"]) {
        assert_eq!(gateway.admin.get(&format!("/v1/dead-letters/{id}")).send().await.status, 200);
        let asked = serde_json::json!({ "ids": [id] });
        let answer = gateway.admin.post_json(&format!("/v1/dead-letters/{verb}"), &asked).await.json();
        let status = answer["results"][0]["status"].as_str();
        assert!(matches!(status, Some("replayed" | "purged")), "{verb}: {answer}");
    }
    until("the retry is back", PATIENCE, async || {
        (redis.cli(&["ZCARD", "jobs:standard:delayed"]).await.count() == 0).then_some(())
    })
    .await;
}

const DELAYED: &str = "jobs:standard:delayed";
const DEAD: &str = "jobs:dead_letter";
const DEAD_OF_TIER: &str = "jobs:dead_letter:p1";

/// Longer than a worker may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
