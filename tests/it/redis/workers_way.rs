//! Workers read Redis themselves: the gateway's lease routes are not there, and say where to go.

use serde_json::json;

use super::before;
use crate::support::policy::Policy;
use crate::support::redis::Redis;

#[tokio::test]
async fn lease_routes_are_not_found_and_name_the_workers_way_in() {
    let redis = Redis::start(&[]).await;
    for (structure, way) in [("stream", "XREADGROUP"), ("list", "BRPOP")] {
        let gateway = before(&redis, &Policy::calm()).set("redis.structure", structure).start().await;
        for (route, body) in [
            ("/v1/leases", json!({ "max": 1 })),
            ("/v1/leases/ack", json!({ "leases": ["x"] })),
            ("/v1/leases/nack", json!({ "leases": ["x"] })),
            ("/v1/leases/extend", json!({ "leases": ["x"], "lease_seconds": 30 })),
        ] {
            let answer = gateway.ingest.post_json(route, &body).await;
            let problem = answer.problem(404, "not_found");
            let detail = problem.document["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(way), "{route}: {detail}");
        }
        gateway.finish().await;
        redis.cli(&["FLUSHALL"]).await;
    }
}
