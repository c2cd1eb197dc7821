//! The limits that hold where nobody set any: those of the reference.

use super::limited;
use crate::support::raw::Raw;

#[tokio::test]
async fn where_nothing_is_set_the_limits_are_those_of_the_reference() {
    let gateway = limited(&[]).await;
    gateway.accept("p1", &"x".repeat(1_000_000)).await;
    let detail = |answer: &crate::support::answer::Answer| {
        answer.problem(413, "too_large").document["detail"].as_str().unwrap().to_owned()
    };
    let answer = gateway.post(&"x".repeat(1_000_001), &[]).await;
    assert!(detail(&answer).contains("1000000 bytes"), "{answer:?}");
    let array = |jobs: usize| format!("[{}1]", "1,".repeat(jobs - 1));
    let answer = gateway.batch("application/json", array(10_000), &[]).await;
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &10_000.into()));
    let answer = gateway.batch("application/json", array(10_001), &[]).await;
    assert!(detail(&answer).contains("10000 jobs"), "{answer:?}");

    let mut connection = Raw::connect(gateway.ingest.address()).await;
    let head = "POST /v1/jobs/batch HTTP/1.1\r\nhost: t\r\ncontent-type: application/x-ndjson\r\n";
    connection.send(format!("{head}content-length: {}\r\n\r\n", (16 << 20) + 1)).await;
    let answer = connection.answer().await.expect("an answer before the body");
    gateway.tally.job(answer.status);
    assert!(detail(&answer).contains("16777216 bytes"), "{answer:?}");

    let scrape = gateway.metrics().await;
    let limits = [("connections", 10_000), ("bytes", 256 << 20), ("batches", 256), ("polls", 5_000)];
    for (bound, most) in limits {
        assert_eq!(scrape.count("tidegate_limit", &[("bound", bound)]), most, "{bound}");
    }
    gateway.finish().await;
}
