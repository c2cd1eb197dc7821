//! What the consumer groups do.

use tidegate::domain::tier::Tier;
use tidegate::queue::GroupState;

use super::Bench;
use crate::support::kafka::unique;
use crate::support::kafka_worker::Worker;

#[tokio::test]
async fn a_group_reads_is_idle_and_is_empty() {
    let group = unique("signals-group");
    let bench = Bench::with(1, &[], |settings| settings.groups = vec![group.clone()]).await;
    let topic = bench.topic(Tier::P0).to_owned();
    bench.send(&topic, 0, 2_000).await;
    let worker = Worker::new(bench.kafka, &topic).group(&group).rate(400.0).start();
    let is = |state| move |sight: &tidegate::queue::kafka::signals::Sight| sight.groups[0].state == state;
    let reading = |sight: &tidegate::queue::kafka::signals::Sight| {
        sight.groups[0].state == GroupState::Reading && sight.groups[0].members == Some(1)
    };
    bench.seen("it reads", reading).await;
    bench.seen("it is idle", is(GroupState::Idle)).await;
    worker.stop().await;
    let sight = bench.seen("it is empty", is(GroupState::Empty)).await;
    assert_eq!(sight.groups[0].members, Some(0));
}
