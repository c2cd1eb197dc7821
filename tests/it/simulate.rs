//! `tidegate simulate` as an operator uses it: bands, tables, JSON, files that are wrong.

use std::path::Path;

use serde_json::Value;

use crate::support::command::{Ended, tidegate};
use crate::support::markdown::blocks;

const SMALL: &str = "\
name: a small sale
duration: 20s
workers: { rate: 100 }
set: { \"tiers.p2.target\": { depth: 200 } }
tiers: { p2: { offered: [[0s, 50], [5s, 1000], [15s, 50]] } }
clients: { obey: 0.5 }
expect: { p2: { peak_depth_ratio: { at_most: 1.1 }, utilisation: { at_least: 0.99 } } }
";

/// Runs the command beside one file `scenario.yaml` with this text.
async fn simulate(document: &str, more: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("scenario.yaml"), document).unwrap();
    simulate_in(folder.path(), more).await
}

async fn simulate_in(folder: &Path, more: &[&str]) -> Ended {
    let args = [&["simulate", "--scenario", "scenario.yaml"], more].concat();
    tidegate(folder, &args, &[]).await
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.said).unwrap_or_else(|error| panic!("{error}: {}", ended.said))
}

#[tokio::test]
async fn a_scenario_whose_bands_hold_passes_with_a_table() {
    let ended = simulate(SMALL, &[]).await;
    ended.says(0, &["a small sale", "tidegate  p2", "passed"]);
}

#[tokio::test]
async fn a_missed_band_is_named_and_ends_with_1() {
    let ended = simulate(&SMALL.replace("1.1 }", "0.5 }"), &[]).await;
    ended.says(1, &["missed", "p2.peak_depth_ratio", "expected at most 0.5"]);
    let ended = simulate(&SMALL.replace("1.1 }", "0.5 }"), &["--json"]).await;
    assert_eq!(ended.code, Some(1));
    let document = json(&ended);
    assert_eq!(document[0]["passed"], false);
    assert_eq!(document[0]["missed"][0]["figure"], "peak_depth_ratio");
}

#[tokio::test]
async fn the_json_has_every_figure_of_every_law() {
    let ended = simulate(SMALL, &["--against", "aimd", "--against", "on-off", "--json"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let document = json(&ended);
    let scenario = &document[0];
    assert_eq!((&scenario["name"], &scenario["missed"]), (&"a small sale".into(), &Value::Array(vec![])));
    assert!(scenario["wall_seconds"].as_f64().unwrap() > 0.0);
    let laws: Vec<&String> = scenario["against"].as_object().unwrap().keys().collect();
    assert_eq!(laws, ["aimd", "on-off"]);
    for figures in [&scenario["tiers"]["p2"], &scenario["against"]["aimd"]["p2"]] {
        for figure in [
            "peak_depth",
            "peak_depth_ratio",
            "utilisation",
            "seconds_over",
            "settled_error",
            "admitted",
            "refused",
            "requests_per_job",
            "return_peak",
            "wait_p50",
            "wait_p99",
        ] {
            assert!(figures[figure].is_number(), "{figure}: {figures}");
        }
    }
    let all = json(&simulate(SMALL, &["--against", "all", "--json"]).await);
    let laws: Vec<&String> = all[0]["against"].as_object().unwrap().keys().collect();
    assert_eq!(laws, ["aiad", "aimd", "article", "on-off", "pid"]);
}

#[tokio::test]
async fn the_same_file_gives_the_same_bytes() {
    let noisy =
        SMALL.replace("rate: 100", "rate: 100, noise: 0.5").replace("clients", "arrivals: poisson\nclients");
    let (once, again) =
        (simulate(&noisy, &["--against", "all"]).await, simulate(&noisy, &["--against", "all"]).await);
    assert_eq!(once.said, again.said);
    let other = simulate(&format!("seed: 2\n{noisy}"), &["--against", "all"]).await;
    assert_ne!(once.said, other.said);
}

#[tokio::test]
async fn the_policy_is_the_one_given_the_one_named_or_the_configured_one() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let policy =
        |depth: u32| format!("tiers: {{ p2: {{ target: {{ depth: {depth} }}, max_depth: 9000 }} }}\n");
    std::fs::write(place("given.yaml"), policy(300)).unwrap();
    std::fs::create_dir(place("policies")).unwrap();
    std::fs::write(place("policies/named.yaml"), policy(400)).unwrap();
    std::fs::write(place("policies/configured.yaml"), policy(500)).unwrap();
    let scenario = "duration: 30s\nworkers: { rate: 10 }\ntiers: { p2: { offered: 1000 } }\n";
    std::fs::write(place("scenario.yaml"), scenario).unwrap();
    let peak = async |more: &[&str]| {
        let document = json(&simulate_in(folder.path(), &[more, &["--json"]].concat()).await);
        document[0]["tiers"]["p2"]["peak_depth"].as_u64().unwrap()
    };
    let near = |peak: u64, target: u64| (target..target + target / 15).contains(&peak);
    assert!(near(peak(&["--set", "policy=policies/configured.yaml"]).await, 500));
    std::fs::write(place("scenario.yaml"), format!("policy: policies/named.yaml\n{scenario}")).unwrap();
    assert!(near(peak(&[]).await, 400));
    assert!(near(peak(&["--policy", "given.yaml"]).await, 300));
}

/// The contract's own example, under a policy that keeps workers busy without a signal: while it is lost the default one shuts
/// bulk, and bounds compare with all that was stored since, which 120 s at 10,000/s bring over every threshold it has.
const CONTRACT: &str = "\
name: flash sale
seed: 1
duration: 400s
policy: ../../policies/default.yaml            # and/or `set: { \"tiers.p2.target\": { depth: 10000 } }`
set: { \"tiers.p2\": { target: { depth: 10000 }, max_depth: 10000000, on_stale: hold } }
workers: { rate: [[0s, 10000]], noise: 0.0 }   # shared by the tiers in proportion to the policy, work-conserving
tiers:
  p2: { offered: [[0s, 1000], [60s, 100000], [240s, 5000]] }      # jobs/s from that moment; also `drain: [[0s, 10000]]`
signal: { every: 100ms, delay: 0s, commits_every: 0s, lost: [[100s, 220s]] }
clients: { obey: 1.0 }                         # share of refused clients that come back when told; 0 = nobody returns
expect:
  p2: { peak_depth_ratio: { at_most: 1.05 }, utilisation: { at_least: 0.99 } }
";

#[tokio::test]
async fn the_contracts_example_and_those_of_the_documentation_are_played_as_they_stand() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    for directory in ["a/b", "policies"] {
        std::fs::create_dir_all(place(directory)).unwrap();
    }
    std::fs::copy(top.join("policies/default.yaml"), place("policies/default.yaml")).unwrap();
    std::fs::write(place("a/b/contract.yaml"), CONTRACT).unwrap();
    let played = tidegate(folder.path(), &["simulate", "--scenario", "a/b/contract.yaml"], &[]).await;
    played.says(0, &["flash sale", "passed"]);
    let text = std::fs::read_to_string(top.join("docs/SIMULATE.md")).unwrap();
    let examples: Vec<_> = blocks(&text).into_iter().filter(|block| block.language == "yaml").collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        std::fs::write(place("scenario.yaml"), example.text).unwrap();
        simulate_in(folder.path(), &[]).await.says(0, &["tomorrow", "passed"]);
    }
}

#[tokio::test]
async fn bad_files_and_bad_usage_end_with_2_and_say_where() {
    let cases: &[(&str, &[&str])] = &[
        ("", &["scenario.yaml:1:1: the key `duration` is missing"]),
        ("duration: 1s\nsignal: { delay: 2h }\n", &["scenario.yaml:2:18: signal.delay"]),
        ("duration: 1s\nclients: { ignore_after: 0s }\n", &["scenario.yaml:2:26: clients.ignore_after"]),
        (
            "duration: 7d\nset: { \"tiers.p2.target\": { depth: 1 } }\ntiers: { p2: { offered: 100000000 } }\n",
            &["scenario.yaml:1:1: duration: this takes about 6e13 steps"],
        ),
        ("duration: 1s\nset: { default_tier.x: 5 }\n", &["scenario.yaml:2:8: default_tier"]),
        ("duration: soon\n", &["scenario.yaml:1:11: duration", "soon"]),
        ("duration: 8d\n", &["scenario.yaml:1:11: duration"]),
        ("duration: 1s\nseed: -1\n", &["scenario.yaml:2:7: seed"]),
        ("duration: 1s\nworkrs: { rate: 5 }\n", &["scenario.yaml:2:1: workrs", "did you mean `workers`?"]),
        (
            "duration: 1s\nworkers: { rate: [[0s]] }\n",
            &["scenario.yaml:2:", "workers.rate[0]", "a moment and a value"],
        ),
        ("duration: 1s\nworkers: { rate: -5 }\n", &["scenario.yaml:2:18: workers.rate"]),
        ("duration: 1s\nworkers: { rate: .inf }\n", &["workers.rate"]),
        ("duration: 1s\nworkers: { noise: 1.5 }\n", &["workers.noise", "from 0 to 1"]),
        ("duration: 1s\nworkers: { pauses: { every: 2s, for: 2s } }\n", &["workers.pauses.for"]),
        ("duration: 1s\ntiers: { p2: { offered: [[9s, 1], [2s, 1]] } }\n", &["tiers.p2.offered", "rise"]),
        ("duration: 1s\ntiers: { p2: { backlog: many } }\n", &["tiers.p2.backlog"]),
        ("duration: 1s\ntiers: { p2: { expires_in: 0s } }\n", &["tiers.p2.expires_in"]),
        ("duration: 1s\nsignal: { every: 0s }\n", &["signal.every"]),
        ("duration: 1s\nsignal: { lost: [[1s, 1s]] }\n", &["signal.lost[0]"]),
        ("duration: 1s\nclients: { obey: 0.6, ignore: 0.6 }\n", &["clients", "at most together"]),
        ("duration: 1s\nclients: { attempts: 0 }\n", &["clients.attempts"]),
        ("duration: 1s\nexpect: { p2: { peak: { at_most: 1 } } }\n", &["expect.p2.peak", "unknown figure"]),
        ("duration: 1s\nexpect: { p2: { refused: { at_least: 2, at_most: 1 } } }\n", &["expect.p2.refused"]),
        (
            "duration: 1s\nexpect: { p2: { refused: { atmost: 1 } } }\n",
            &["expect.p2.refused.atmost", "at_most"],
        ),
        ("duration: 1s\npolicy: nowhere.yaml\n", &["scenario.yaml:2:1: policy: nowhere.yaml: No such"]),
        ("duration: 1s\nset: { \"tiers.p2.shed.at\": lots }\n", &["scenario.yaml:2:8", "tiers.p2.shed.at"]),
        ("duration: 1s\nset: { \"tiers.p2.trget\": 5 }\n", &["tiers.p2.trget", "did you mean `target`?"]),
        ("duration: 1s\nset: { \"tiers..target\": 5 }\n", &["expects a key of the policy"]),
        ("duration: 1s\nrestarts: [now]\n", &["restarts[0]"]),
        ("duration: 1s\nduration: 2s\n", &["scenario.yaml:2:1", "duration"]),
        ("duration: [1s\n", &["scenario.yaml:"]),
    ];
    for (document, words) in cases {
        simulate(document, &[]).await.says(2, words);
    }
    let nowhere = tempfile::tempdir().unwrap();
    std::fs::write(nowhere.path().join("scenario.yaml"), b"duration: 1s\nname: \xc3\xa9\xff\n").unwrap();
    simulate_in(nowhere.path(), &[]).await.says(2, &["scenario.yaml:2:8: not text"]);
    std::fs::remove_file(nowhere.path().join("scenario.yaml")).unwrap();
    simulate_in(nowhere.path(), &[]).await.says(2, &["scenario.yaml"]);
    simulate(SMALL, &["--policy", "nowhere.yaml"]).await.says(2, &["nowhere.yaml"]);
    simulate(SMALL, &["--against", "hope"]).await.says(2, &["hope", "on-off", "article"]);
    tidegate(nowhere.path(), &["simulate"], &[]).await.says(2, &["--scenario"]);
}

#[tokio::test]
async fn pictures_and_the_league_table_go_where_they_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    std::fs::write(folder.path().join("scenario.yaml"), SMALL).unwrap();
    std::fs::write(folder.path().join("other.yaml"), SMALL.replace("a small sale", "another")).unwrap();
    simulate_in(folder.path(), &["--plot", "new/folder/one.svg"]).await.says(0, &["passed"]);
    assert!(read("new/folder/one.svg").contains("a small sale"));
    let ended =
        simulate_in(folder.path(), &["other.yaml", "--plot", "pictures", "--league", "league.md"]).await;
    ended.says(0, &["a small sale", "another", "article"]);
    assert!(
        read("pictures/scenario.svg").starts_with("<svg") && read("pictures/other.svg").contains("another")
    );
    let league = read("league.md");
    assert!(league.starts_with("| scenario | tidegate | on-off | aimd | aiad | pid | article |"), "{league}");
    assert_eq!(league.lines().count(), 4, "{league}");
    std::fs::write(folder.path().join("file"), "").unwrap();
    simulate_in(folder.path(), &["--plot", "file/one.svg"])
        .await
        .says(2, &["file/one.svg", "cannot be written"]);
}

#[tokio::test]
async fn the_shipped_storms_hold_their_bands() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["load-tests/sim/retry-storm.yaml", "load-tests/sim/half-ignore.yaml"] {
        tidegate(top, &["simulate", "--scenario", file], &[]).await.says(0, &["tidegate  p1", "passed"]);
    }
}
