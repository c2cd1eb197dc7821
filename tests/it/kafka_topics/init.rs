//! `tidegate kafka`: topics made by the command, and what it says of those that are there.

use crate::support::command::tidegate;
use crate::support::kafka::Kafka;

#[tokio::test]
async fn init_makes_every_topic_once_and_changes_none() {
    let kafka = Kafka::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let brokers = format!("kafka.brokers={}", kafka.brokers());
    let run = async |arguments: &[&str]| {
        let arguments = [&["kafka"][..], arguments, &["--set", &brokers]].concat();
        tidegate(folder.path(), &arguments, &[]).await
    };
    run(&["check"])
        .await
        .says(1, &["jobs.critical", "tidegate kafka init", "jobs.dead_letter: not needed yet"]);
    run(&["init", "--dry-run"]).await.says(0, &["jobs.bulk.retry: would be made", "retention.ms=604800000"]);
    run(&["check"]).await.says(1, &["does not exist"]);
    run(&["init", "--partitions", "3", "--retention", "2d"]).await.says(
        0,
        &[
            "jobs.critical: made: 3 partition(s), 1 replica(s)",
            "jobs.dead_letter: made: 1 partition(s)",
            "compact",
        ],
    );
    run(&["check"])
        .await
        .says(0, &["jobs.bulk: ok: 3 partition(s)", "kept for 2days", "receipts say memory"]);
    // What is not said is not compared; what is said and does not fit is told, and stays.
    run(&["init"]).await.says(0, &["jobs.standard: is there and fits"]);
    run(&["init", "--partitions", "4"]).await.says(1, &["it has 3 partition(s), 4 are wanted"]);
    run(&["init", "--replication", "2"]).await.says(1, &["the cluster has 1"]);
    run(&["check"]).await.says(0, &["jobs.bulk: ok: 3 partition(s)"]);
    // One that was lost is made again, and no other.
    kafka.delete("jobs.bulk").await;
    let again = run(&["init"]).await;
    again.says(0, &["jobs.bulk: made: 6 partition(s)", "jobs.critical: is there and fits: 3 partition(s)"]);
}

#[tokio::test]
async fn a_tier_that_requires_a_disk_gets_one() {
    let kafka = Kafka::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let policy = "tiers: { p0: { target: { depth: 1 }, max_depth: 2, require: disk } }";
    std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    let brokers = format!("kafka.brokers={}", kafka.brokers());
    let all = ["--set", &brokers, "--set", "policy=policy.yaml", "--set", "backend=kafka"];
    let run = async |arguments: &[&str]| tidegate(folder.path(), &[arguments, &all].concat(), &[]).await;
    run(&["kafka", "init"]).await.says(0, &["flush.messages=1"]);
    run(&["kafka", "check"]).await.says(0, &["receipts say disk", "receipts say memory"]);
    kafka.configure("jobs.critical", &[("flush.messages", "100")]).await;
    let fix = "--entity-name jobs.critical --add-config flush.messages=1";
    run(&["kafka", "init"]).await.says(1, &["jobs.critical: does not fit", fix]);
    run(&["kafka", "check"]).await.says(1, &["tier p0 requires more", fix]);
    run(&["serve"]).await.says(1, &["p0", "requires disk", fix]);
}

#[tokio::test]
async fn bad_usage_is_exit_two_and_a_broker_that_is_away_exit_one() {
    let folder = tempfile::tempdir().unwrap();
    let bad = [
        &["kafka"][..],
        &["kafka", "init", "--partitions", "0"],
        &["kafka", "init", "--retention", "soon"],
        &["kafka", "check", "--set", "kafka.broker=x"],
    ];
    for arguments in bad {
        assert_eq!(tidegate(folder.path(), arguments, &[]).await.code, Some(2), "{arguments:?}");
    }
    let away = ["kafka", "check", "--set", "kafka.brokers=127.0.0.1:1", "--set", "kafka.timeout=500ms"];
    tidegate(folder.path(), &away, &[]).await.says(1, &["127.0.0.1:1", "no broker answers"]);
    for arguments in [&["kafka", "init", "--help"][..], &["kafka", "check", "--help"]] {
        tidegate(folder.path(), arguments, &[]).await.says(0, &["Examples", "Exit code"]);
    }
}
