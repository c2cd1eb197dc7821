//! What goes wrong shows: two gateways on one Redis, a real Prometheus with the rules that are shipped, and one fault after the other.

use std::time::Duration;

use super::queries::scraping;
use crate::support::gateway::{Gateway, Setup};
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::prometheus::{Prometheus, is_wanted};
use crate::support::redis::Redis;

/// Pending is enough: that an alert fires when its time is over, promtool has tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_brings_its_alert_and_takes_it_along() {
    if !is_wanted() {
        return;
    }
    let mut redis = Redis::durable(&[]).await;
    let policy = Policy::calm().tier("p1", "spool", "true");
    let (mut a, b) = tokio::join!(before(&redis, &policy), before(&redis, &policy));
    let prometheus = scraping(&[&a, &b]).await;
    sees(&prometheus, "sum(tidegate_share_replicas) == 4").await;
    sees(&prometheus, "absent(ALERTS)").await;

    let file = a.folder().join("policy.yaml");
    std::fs::write(&file, "colour: red\n").unwrap();
    alerts(&prometheus, r#"alertname="TidegateReloadRejected", file="policy""#).await;
    std::fs::write(&file, format!("# another\n{}", policy.to_yaml())).unwrap();
    alerts(&prometheus, r#"alertname="TidegateReplicasDisagree", about="policy""#).await;
    sees(&prometheus, r#"absent(ALERTS{alertname="TidegateReloadRejected"})"#).await;
    std::fs::write(&file, policy.to_yaml()).unwrap();
    sees(&prometheus, "absent(ALERTS)").await;

    redis.kill();
    until("the job is spooled", PATIENCE, async || {
        let answer = a.post("{}", &[]).await;
        (answer.status == 202 && answer.receipt().durability == "spooled").then_some(())
    })
    .await;
    alerts(&prometheus, r#"alertname="TidegateSpoolInUse", tier="p1""#).await;
    for tier in ["p0", "p2"] {
        alerts(&prometheus, &format!(r#"alertname="TidegateSignalStale", tier="{tier}""#)).await;
    }
    alerts(&prometheus, r#"alertname="TidegateShareLost""#).await;
    redis.restart().await;
    sees(&prometheus, "absent(ALERTS)").await;

    let address = a.admin.address();
    a.kill();
    alerts(&prometheus, &format!(r#"alertname="TidegateDown", instance="{address}""#)).await;
    drop(prometheus);
    a.restart().await;
    a.finish_after_outage().await;
    b.finish_after_outage().await;
}

async fn before(redis: &Redis, policy: &Policy) -> Gateway {
    let setup = Setup::with(policy).set("backend", "redis").set("redis.url", &redis.url());
    let spool = setup.folder().join("spool.db").display().to_string();
    setup.set("spool.path", &spool).set("share.mode", "redis").start().await
}

async fn alerts(prometheus: &Prometheus, labels: &str) {
    sees(prometheus, &format!("ALERTS{{{labels}}}")).await;
}

/// Waits until the expression has a value.
async fn sees(prometheus: &Prometheus, expression: &str) {
    let seen = until(expression, PATIENCE, async || {
        let series = prometheus.query(expression).await.unwrap();
        (!series.is_empty()).then_some(series)
    });
    println!("{:?}", seen.await);
}

/// Longer than a signal takes to be stale, and to be seen so on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
