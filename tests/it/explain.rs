//! `tidegate explain`: what it says of a request, and that a running gateway says the same.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::command::tidegate;
use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::{NDJSON, type_of};
use crate::support::policy::Policy;

#[tokio::test]
async fn a_refusal_is_explained_with_rule_line_numbers_and_answer() {
    let mut setup = Setup::bare();
    let policy = "\
rules:
  - { name: critical work, when: { type: payment }, tier: p0 }
  - { name: bulk work, when: { type: digest }, tier: p2 }
tiers:
  p2: { target: { depth: 1000 }, max_depth: 3000, shed: { at: 2000, until: 1500 } }
";
    setup.write("mine.yaml", policy);
    let asked =
        ["explain", "--policy", "mine.yaml", "--header", "Tidegate-Type: digest", "--depth", "p2=2499"];
    let ended = tidegate(setup.folder(), &[&asked[..], &["--drain", "p2=10/s"]].concat(), &[]).await;
    ended.says(
        0,
        &[
            "rule      bulk work, mine.yaml:3:5",
            "type      digest, from header:tidegate-type",
            "pass   bound          depth 2499 + 1 job, max_depth 3000",
            "FAIL   shed           depth 2499 reached shed.at 2000; taken again below shed.until 1500",
            "answer    429 shed, Retry-After: 10",
            "1000 jobs down to below shed.until at a drain of 10/s",
        ],
    );
    let json = json_of(&tidegate(setup.folder(), &[&asked[..], &["--json"]].concat(), &[]).await.said);
    assert_eq!((&json["job"]["rule"], &json["job"]["place"]), (&json!("bulk work"), &json!("mine.yaml:3:5")));
    assert_eq!((&json["answer"]["status"], &json["answer"]["code"]), (&json!(429), &json!("shed")));
    let shed = json["checks"].as_array().unwrap().iter().find(|check| check["check"] == "shed").unwrap();
    assert_eq!(shed["numbers"], json!({ "depth": 2499, "at": 2000, "until": 1500 }));
}

#[tokio::test]
async fn the_policy_asked_is_the_one_in_force_unless_another_is_named() {
    let mut setup = Setup::bare();
    let asked = ["explain", "--header", "tidegate-type: payment"];
    tidegate(setup.folder(), &asked, &[])
        .await
        .says(0, &["the built-in policy", "critical work", "answer    202"]);
    setup.write("rules.yaml", "rules:\n  - { name: all, tier: p2 }\n");
    setup.write("config.yaml", "policy: rules.yaml\n");
    let configured = [&asked[..], &["--config", "config.yaml"]].concat();
    tidegate(setup.folder(), &configured, &[]).await.says(0, &["rule      all, rules.yaml:2:5", "jobs:bulk"]);
}

#[tokio::test]
async fn a_body_comes_from_a_file_or_from_standard_input() {
    let mut setup = Setup::bare();
    setup.write("body.json", r#"{"type":"payment"}"#);
    let explained = ["tier      p0, decided by the body; the head leaves p0, p1, p2 open", "from body:/type"];
    tidegate(setup.folder(), &["explain", "body.json"], &[]).await.says(0, &explained);
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["explain", "-"])
        .current_dir(setup.folder())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(br#"{"type":"payment"}"#).unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(explained.iter().all(|line| said.contains(line)), "{said}");
}

#[tokio::test]
async fn bad_usage_and_bad_files_are_told() {
    let mut setup = Setup::bare();
    setup.write("broken.yaml", "rulez: []\n");
    setup.write("body", "four");
    for (asked, words) in [
        (&["--depth", "p9=1"][..], &["--depth", "`p9` is no tier: write p0, p1 or p2"][..]),
        (&["--depth", "p1=many"], &["expects a whole number of jobs", "`many`"]),
        (&["--depth", "p1=1", "--depth", "p1=2"], &["--depth is given more than once for p1"]),
        (&["--drain", "p1=5"], &["expects a rate such as 50/s"]),
        (&["--header", "Tidegate-Type"], &["expects NAME:VALUE"]),
        (&["none.json"], &["none.json"]),
        (&["body", "--header", "content-length: 5"], &["Content-Length 5", "4 bytes"]),
        (&["--policy", "none.yaml"], &["none.yaml"]),
        (&["--policy", "broken.yaml"], &["broken.yaml:1:1: rulez: unknown key, did you mean `rules`?"]),
        (&["--policy", "a.yaml", "--set", "policy=b.yaml"], &["--policy and --set policy=.."]),
        (&["--wish", "p1"], &["--wish"]),
    ] {
        tidegate(setup.folder(), &[&["explain"], asked].concat(), &[]).await.says(2, words);
    }
}

/// The gateway is filled, started under another policy, and asked; the command is asked about the same depths.
#[tokio::test]
async fn a_running_gateway_answers_what_is_explained() {
    let depths = [("p0", 20), ("p1", 60), ("p2", 30)];
    let mut gateway = filled(&depths).await;
    let policy = Policy::calm()
        .tier("p0", "target", "{ depth: 10 }")
        .tier("p0", "max_depth", "20")
        .tier("p1", "target", "{ depth: 50 }")
        .tier("p2", "target", "{ depth: 10 }")
        .tier("p2", "shed", "{ at: 20, until: 10, status: 503 }");
    gateway.change_policy(&policy);
    gateway.restart().await;
    let full = agreed(&gateway, &depths, &[("tidegate-type", "payment")], "{}").await;
    assert_eq!(full, (429, "queue_full".to_owned()));
    let throttled = agreed(&gateway, &depths, &[("tidegate-type", "order")], "{}").await;
    assert_eq!(throttled, (429, "throttled".to_owned()));
    let shed = agreed(&gateway, &depths, &[("tidegate-type", "digest")], "{}").await;
    assert_eq!(shed, (503, "shed".to_owned()));
    gateway.kill();

    // The same depths, and only the most critical of the tiers that the head leaves open is refused for itself.
    gateway.restart().await;
    let all_shut = agreed(&gateway, &depths, &[], r#"{"type":"digest"}"#).await;
    assert_eq!(all_shut, (429, "queue_full".to_owned()), "before the body is read");
    gateway.kill();

    let policy = Policy::calm()
        .tier("p0", "target", "{ depth: 10 }")
        .tier("p0", "max_depth", "20")
        .tier("p1", "target", "{ depth: 100 }")
        .tier("p2", "yields", "true")
        .top("tenants", "{ default: { ceiling: p1, weight: 1 } }");
    gateway.change_policy(&policy);
    gateway.restart().await;
    let wish = agreed(&gateway, &depths, &[("tidegate-tier", "p0")], "{}").await;
    assert_eq!(wish, (403, "tier_not_allowed".to_owned()));
    let yields = agreed(&gateway, &depths, &[], r#"{"type":"analytics"}"#).await;
    assert_eq!(yields, (429, "shed".to_owned()), "p0 is at its bound");
    let admitted = agreed(&gateway, &depths, &[("tidegate-type", "payment")], "{}").await;
    assert_eq!(admitted, (202, String::new()), "lowered to p1, which has room");
    let malformed = agreed(&gateway, &depths, &[("tidegate-expires-in", "soon")], "{}").await;
    assert_eq!(malformed, (400, "malformed_request".to_owned()));
    gateway.finish().await;
}

/// Asks gateway and command; fails unless they agree on status, code, tier and, as far as chance lets them, on the
/// time to return.
async fn agreed(
    gateway: &Gateway,
    depths: &[(&str, usize)],
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String) {
    std::fs::write(gateway.folder().join("asked.json"), body).unwrap();
    let mut asked = vec!["explain".to_owned(), "asked.json".into(), "--json".into()];
    asked.extend(["--policy".to_owned(), "policy.yaml".into()]);
    asked.extend(depths.iter().flat_map(|(tier, depth)| ["--depth".to_owned(), format!("{tier}={depth}")]));
    asked
        .extend(headers.iter().flat_map(|(name, value)| ["--header".to_owned(), format!("{name}: {value}")]));
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    let ended = tidegate(gateway.folder(), &asked, &[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let explained = json_of(&ended.said)["answer"].take();

    let answer = gateway.post(body, headers).await;
    assert_eq!(explained["status"], answer.status, "{explained}\n{answer:?}");
    if answer.status == 202 {
        let receipt = answer.receipt();
        assert_eq!((&explained["tier"], &explained["queue"]), (&json!(receipt.tier), &json!(receipt.queue)));
        return (202, String::new());
    }
    let problem = answer.any_problem();
    assert_eq!((&explained["code"], &explained["tier"]), (&json!(problem.code), &problem.document["tier"]));
    assert_eq!(explained["detail"], problem.document["detail"]);
    assert_eq!(explained["retry_after_seconds"].is_null(), problem.retry_after.is_none(), "{explained}");
    if let Some([least, most]) = explained["retry_after_ms_by_chance"].as_array().map(Vec::as_slice) {
        let (least, most) = (least.as_u64().unwrap(), most.as_u64().unwrap());
        let given = problem.document["retry_after_ms"].as_u64().unwrap();
        // Sixteen draws do not find the very ends.
        let slack = 500 + most / 8;
        assert!((least.saturating_sub(slack)..=most + slack).contains(&given), "{given}: {explained}");
    }
    (problem.status, problem.code)
}

/// A stopped gateway whose queue holds so many jobs of each tier.
async fn filled(depths: &[(&str, usize)]) -> Gateway {
    let mut gateway = Setup::with(&Policy::calm()).start().await;
    for (tier, count) in depths {
        let line = json!({ "type": type_of(tier) }).to_string() + "\n";
        let answer = gateway.batch(NDJSON, line.repeat(*count), &[]).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    gateway.kill();
    gateway
}

#[track_caller]
fn json_of(said: &str) -> Value {
    serde_json::from_str(said).unwrap_or_else(|why| panic!("{why}: {said}"))
}
