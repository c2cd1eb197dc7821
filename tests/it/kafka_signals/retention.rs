//! A tier that its policy sheds before retention deletes what waits in it, and what is shown of it.

use std::time::Duration;

use super::PATIENCE;
use crate::support::gateway::Setup;
use crate::support::kafka::{Kafka, unique};
use crate::support::kafka_client::drain;
use crate::support::policy::Policy;
use crate::support::poll::until;

#[tokio::test]
async fn a_tier_near_its_cliff_is_shed_until_its_headroom_is_back() {
    let kafka = Kafka::shared().await;
    let name = unique("cliff");
    for (queue, retention) in [("critical", "1800000"), ("standard", "1800000"), ("bulk", "864000000")] {
        kafka.create(&format!("{name}.{queue}"), 1, &[("retention.ms", retention)]).await;
    }
    let queue = |queue: &str| format!("\"{name}:{queue}\"");
    let policy = Policy::calm()
        .tier("p0", "queue", &queue("critical"))
        .tier("p1", "queue", &queue("standard"))
        .tier("p1", "retention", "{ shed_at: 1h, until: 2h }")
        .tier("p2", "queue", &queue("bulk"))
        .tier("p2", "retention", "{ shed_at: 1h, until: 2h }");
    let gateway = Setup::with(&policy)
        .set("backend", "kafka")
        .set("kafka.brokers", &kafka.brokers())
        .set("kafka.group", &name)
        .start()
        .await;
    // Nothing waits: nothing can be deleted.
    gateway.accept("p1", "{}").await;
    until("it is shed", PATIENCE, async || {
        (gateway.status().await["tiers"]["p1"]["shedding"] == true).then_some(())
    })
    .await;
    let refused = gateway.post("{}", &[]).await;
    assert_eq!((refused.status, refused.json()["code"].as_str().unwrap()), (429, "shed"));
    let wait = refused.json()["retry_after_ms"].as_u64().unwrap();
    assert!(wait >= 300_000, "the headroom does not grow while nobody reads: {wait}");
    gateway.accept("p0", "{}").await;
    gateway.accept("p2", "{}").await;

    let status = gateway.status().await;
    let (retention, topic) = (&status["tiers"]["p1"]["retention"], &status["tiers"]["p1"]["topic"]);
    let headroom = retention["headroom_seconds"].as_f64().unwrap();
    assert!(headroom > 1_700.0 && headroom <= 1_800.0, "{status}");
    assert_eq!(
        (retention["limit_seconds"].as_f64(), retention["lost_unread"].as_u64()),
        (Some(1_800.0), Some(0))
    );
    assert_eq!((topic["partitions"].as_u64(), topic["hottest"]["lag"].as_u64()), (Some(1), Some(1)));
    let group = &status["tiers"]["p1"]["groups"][0];
    assert_eq!((group["lag"].as_u64(), group["name"].as_str()), (Some(1), Some(name.as_str())));
    let metric = gateway.metrics().await.sum("tidegate_retention_headroom_seconds", &[("tier", "p1")]);
    assert!((metric - headroom).abs() < 60.0, "{metric}");

    drain(kafka, &name, &format!("{name}.standard")).await;
    until("it is taken again", PATIENCE, async || {
        (gateway.status().await["tiers"]["p1"]["shedding"] == false).then_some(())
    })
    .await;
    gateway.accept("p1", "{}").await;
    tokio::time::timeout(Duration::from_secs(60), gateway.finish_after_outage()).await.unwrap();
}
