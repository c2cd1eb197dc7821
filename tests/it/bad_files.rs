//! Configuration and policies that are wrong: every fault named with its place, before anything is served.

use std::path::Path;

use crate::support::command::tidegate;
use crate::support::gateway::Setup;
use crate::support::policy::Policy;

/// A broken file: `§` stands before each fault, which must be reported with its line (and column, where the fault
/// is a key), and all the words must be said.
type Case = (&'static str, &'static [&'static str]);

#[tokio::test]
async fn every_fault_of_a_configuration_is_named_with_its_place() {
    let cases: &[Case] = &[
        ("ingest: { §lisen: \"127.0.0.1:8080\" }\n", &["lisen", "listen"]),
        ("§ingst: { listen: \"127.0.0.1:8080\" }\n", &["ingst", "ingest"]),
        ("limits:\n  §max_job_byte: 1MB\n", &["max_job_byte", "max_job_bytes"]),
        ("limits:\n  max_job_bytes: §lots\n", &["max_job_bytes", "lots"]),
        ("limits:\n  max_connections: §-1\n", &["max_connections"]),
        ("limits:\n  request_timeout: §5 parsecs\n", &["request_timeout"]),
        ("limits: §7\n", &["limits"]),
        ("ingest:\n  listen: §nowhere\n", &["listen"]),
        ("ingest:\n  listen: §\"127.0.0.1:99999\"\n", &["listen"]),
        ("embedded:\n  durability: §dsk\n", &["durability", "disk"]),
        ("log:\n  format: §xml\n", &["format", "json"]),
        ("log:\n  level: info\n  §level: debug\n", &["level"]),
        ("backend: §sqlite\n", &["backend", "embedded"]),
        ("auth: { anonymous: [submit, §drive] }\n", &["drive"]),
        ("telemetry: { classic_metric_names: §maybe }\n", &["classic_metric_names"]),
        ("telemetry: { otlp_endpoint: §\"127.0.0.1:4318\" }\n", &["otlp_endpoint", "http://127.0.0.1:4318"]),
        ("telemetry: { otlp_endpoint: §\"http://u:p@otel\" }\n", &["otlp_endpoint", "without credentials"]),
        ("kafka: { brokers: §localhost }\n", &["kafka.brokers", "HOST:PORT"]),
        ("kafka:\n  properties: { acks: §1 }\n", &["kafka.properties.acks", "must be all"]),
        ("kafka:\n  properties: { §group.id: x }\n", &["kafka.properties.group.id", "use kafka.group"]),
        ("kafka:\n  properties: { §sasl.pasword: x }\n", &["did you mean `sasl.password`?"]),
        ("kafka:\n  §properties: { security.protocol: SASL_SSL }\n", &["sasl.mechanism", "SCRAM-SHA-512"]),
        ("backend: kafka\nkafka: { timeout: §10s }\n", &["limits.request_timeout"]),
        ("limits: { max_job_bytes: 1MB\nlog: { format: text }\n", &["configuration.yaml:"]),
        ("limits:\n\t§max_job_bytes: 1MB\n", &[]),
        ("- a list\n", &["configuration.yaml", "neither"]),
        (
            "ingest: { §lisen: x }\nlimits:\n  max_job_bytes: §lots\n  §max_batch: 7\nlog: { format: §xml }\n",
            &["lisen", "lots", "max_batch", "xml"],
        ),
        (
            "ingest:\n  trusted_proxies: [§10.0.0.0/40]\n  cors: { origins: [§app.example] }\nlimits: { client_rate: { burst: §5 } }\n",
            &["10.0.0.0/40", "app.example", "per_second"],
        ),
    ];
    check_all("configuration.yaml", cases).await;
}

#[tokio::test]
async fn a_key_whose_part_is_not_built_yet_is_refused() {
    let not_yet: &[Case] = &[("tiers:\n  p0: { §scale: { per_worker: 20/s } }\n", NOT_YET)];
    let folder = tempfile::tempdir().unwrap();
    for (content, words) in not_yet {
        let path = folder.path().join("policy.yaml");
        std::fs::write(&path, content.replace('§', "")).unwrap();
        let ended = tidegate(folder.path(), &["check", "policy.yaml"], &[]).await;
        let place = format!("policy.yaml:{}:", places(content)[0].0);
        ended.says(2, &[words, &[place.as_str()][..]].concat());
        let ended = tidegate(folder.path(), &["serve", "--set", "policy=policy.yaml"], &[]).await;
        ended.says(2, words);
    }
}

#[tokio::test]
async fn every_fault_of_a_policy_is_named_with_its_place() {
    let cases: &[Case] = &[
        ("default_tier: §p7\n", &["p7"]),
        ("§default_teir: p1\ndefault_tier: p1\n", &["default_teir", "default_tier"]),
        ("tiers:\n  §p3: { weight: 1 }\n", &["p3"]),
        ("tiers:\n  p0: { §shed: { at: 100, until: 50 } }\n", &["shed", "p0"]),
        (
            "tiers:\n  p2: { target: { depth: 10 }, max_depth: 100, shed: { at: 50, until: §50 } }\n",
            &["until"],
        ),
        (
            "tiers:\n  p2: { target: { depth: §60 }, max_depth: 100, shed: { at: 50, until: 40 } }\n",
            &["target"],
        ),
        (
            "tiers:\n  p2: { target: { depth: 10 }, max_depth: 40, shed: { at: §50, until: 40 } }\n",
            &["max_depth"],
        ),
        ("tiers:\n  p1: { target: { depth: §200 }, max_depth: 100 }\n", &["target", "max_depth"]),
        ("tiers:\n  p1: { target: { §dept: 200 } }\n", &["dept", "depth"]),
        ("tiers:\n  p1: { on_stale: §panic }\n", &["on_stale", "hold"]),
        ("tiers:\n  p1: { ordering: §random }\n", &["ordering", "block"]),
        ("tiers:\n  p1: { weight: §0 }\n", &["weight"]),
        ("tiers:\n  p1: { retry: { attempts: §0 } }\n", &["attempts"]),
        ("tiers:\n  p1: { rate: { min: §10/fortnight } }\n", &["min"]),
        ("tiers:\n  p1: { rate: { min: 10/s, max: §5/s } }\n", &["max"]),
        ("tiers:\n  p1: { retry_after: { min: 10s, max: §5s } }\n", &["retry_after"]),
        ("tiers:\n  p2: { shed: { at: 500000, until: 400000, status: §418 } }\n", &["status"]),
        ("tiers:\n  p1: { expires_in: §soon }\n", &["expires_in"]),
        ("rules:\n  - { name: a, when: { §colour: red }, tier: p0 }\n", &["colour"]),
        ("rules:\n  - { name: a, when: { type: x }, tier: §p5 }\n", &["p5"]),
        ("rules:\n  - { name: a, §wen: { type: x }, tier: p1 }\n", &["wen", "when"]),
        ("rules:\n  - { name: a, when: { header: { x: { regex: §\"(\" } } }, tier: p1 }\n", &["regex"]),
        ("type_from: [ §\"cookie:a\" ]\n", &["cookie"]),
        ("controller: { §kpp: 1.0 }\n", &["kpp", "kp"]),
        ("controller: { kp: §-1.0 }\n", &["kp"]),
        ("controller: { interval: §0s }\n", &["interval"]),
        ("controller: { window: §0.5 }\n", &["window"]),
        ("tenants: { default: { ceiling: §p9 } }\n", &["ceiling"]),
        (
            "default_tier: §p7\nrules:\n  - { name: a, §wen: { type: x }, tier: p1 }\ntiers:\n  p1: { weight: §0 }\n",
            &[],
        ),
    ];
    check_all("policy.yaml", cases).await;
}

#[tokio::test]
async fn a_broken_policy_is_not_served() {
    let setup = Setup::with(&Policy::calm().tier("p1", "wieght", "7"));
    let arguments = setup.arguments(1, 2);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    tidegate(setup.folder(), &arguments, &[]).await.says(2, &["policy.yaml:", "wieght", "weight"]);
}

#[tokio::test]
async fn files_that_are_missing_are_bad_usage() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["serve", "--config", "none.yaml"][..],
        &["check", "none.yaml"],
        &["check", "--config", "none.yaml"],
    ] {
        tidegate(folder.path(), arguments, &[]).await.says(2, &["none.yaml"]);
    }
    let arguments = ["serve", "--set", "policy=none.yaml"];
    tidegate(folder.path(), &arguments, &[]).await.says(2, &["none.yaml"]);
}

#[tokio::test]
async fn bad_usage_is_exit_two_and_help_has_examples() {
    let folder = tempfile::tempdir().unwrap();
    let bad: &[(&[&str], &[&str])] = &[
        (&["serv"], &["serve"]),
        (&["serve", "--sett", "a=b"], &["--set"]),
        (&["serve", "--set", "nonsense"], &["nonsense"]),
        (&["serve", "--set", "ingest.lisen=127.0.0.1:1"], &["lisen", "listen"]),
        (&["serve", "--set", "limits.max_job_bytes=lots"], &["max_job_bytes", "lots"]),
        (&["serve", "extra"], &["extra"]),
    ];
    for (arguments, words) in bad {
        tidegate(folder.path(), arguments, &[]).await.says(2, words);
    }
    let environment = [("TIDEGATE_INGEST__LISEN", "127.0.0.1:1")];
    tidegate(folder.path(), &["serve"], &environment).await.says(2, &["TIDEGATE_INGEST__LISEN"]);
    for arguments in [&["--help"][..], &["serve", "--help"], &["check", "--help"]] {
        tidegate(folder.path(), arguments, &[]).await.says(0, &["tidegate", "Example"]);
    }
}

#[tokio::test]
async fn every_shipped_file_is_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["policies", "config"] {
        let entries = std::fs::read_dir(root.join(folder)).unwrap_or_else(|why| panic!("{folder}: {why}"));
        let paths = entries.map(|entry| entry.unwrap().path().display().to_string());
        files.extend(paths.filter(|path| path.ends_with(".yaml")));
    }
    assert!(files.len() >= 3, "{files:?}");
    let arguments: Vec<&str> = ["check"].into_iter().chain(files.iter().map(String::as_str)).collect();
    tidegate(root, &arguments, &[]).await.says(0, &[]);
}

#[tokio::test]
async fn a_policy_that_will_swing_is_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let swings =
        Policy::calm().tier("p2", "target", "{ depth: 100 }").tier("p2", "shed", "{ at: 101, until: 50 }");
    std::fs::write(folder.path().join("policy.yaml"), swings.to_yaml()).unwrap();
    tidegate(folder.path(), &["check", "policy.yaml"], &[])
        .await
        .says(0, &["warning", "policy.yaml:", "shed"]);
}

#[tokio::test]
async fn the_command_line_beats_the_environment_beats_the_file() {
    let variable = ("TIDEGATE_LIMITS__MAX_JOB_BYTES", "2KB");
    for (environment, set, limit) in
        [(None, None, 1000), (Some(variable), None, 2000), (Some(variable), Some("3KB"), 3000)]
    {
        let mut setup = Setup::with(&Policy::calm()).config("limits: { max_job_bytes: 1KB }\n");
        if let Some((name, value)) = environment {
            setup = setup.environment(name, value);
        }
        if let Some(value) = set {
            setup = setup.set("limits.max_job_bytes", value);
        }
        let gateway = setup.start().await;
        gateway.post(&"x".repeat(limit), &[]).await.receipt();
        gateway.post(&"x".repeat(limit + 1), &[]).await.problem(413, "too_large");
        gateway.finish().await;
    }
}

/// Runs `check` on each broken file.
async fn check_all(name: &str, cases: &[Case]) {
    let folder = tempfile::tempdir().unwrap();
    let mut faults = Vec::new();
    for (content, words) in cases {
        std::fs::write(folder.path().join(name), content.replace('§', "")).unwrap();
        let ended = tidegate(folder.path(), &["check", name], &[]).await;
        let mut wanted: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        wanted.extend(places(content).into_iter().map(|(line, column)| match column {
            Some(column) => format!("{name}:{line}:{column}"),
            None => format!("{name}:{line}:"),
        }));
        if ended.code != Some(2) || ended.said.contains("panicked") {
            faults.push(format!("{content:?}: exit {:?}: {}", ended.code, ended.said));
        }
        let unsaid: Vec<&String> = wanted.iter().filter(|word| !ended.said.contains(*word)).collect();
        if !unsaid.is_empty() {
            faults.push(format!("{content:?}: {unsaid:?} not said in: {}", ended.said));
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// Line and, where the fault is a key, column of each mark, both from 1.
fn places(content: &str) -> Vec<(usize, Option<usize>)> {
    let mut places = Vec::new();
    for (index, line) in content.lines().enumerate() {
        for (before, part) in line.split('§').skip(1).enumerate() {
            let at = line.split('§').take(before + 1).map(|part| part.chars().count()).sum::<usize>();
            let word: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let is_key = !word.is_empty() && part[word.len()..].starts_with(':');
            places.push((index + 1, is_key.then_some(at + 1)));
        }
    }
    places
}

const NOT_YET: &[&str] = &["not available yet"];
