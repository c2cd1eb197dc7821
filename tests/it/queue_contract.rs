//! Every backend keeps the contract of every queue.

#[path = "../queue_contract/mod.rs"]
pub mod contract;
mod kafka;
pub mod redis;
mod spooled;

use std::sync::Arc;
use std::time::Duration;

use contract::{Backend, Taken};
use tempfile::TempDir;
use tidegate::clock::Clock;
use tidegate::domain::tier::{Tier, TierMap, TierSet};
use tidegate::policy::{Ordering, RetryPolicy};
use tidegate::queue::JobQueue;
use tidegate::queue::embedded::EmbeddedQueue;
use tidegate::queue::embedded::lease::{LeaseRequest, LeaseStatus, LeaseToken, Nack};
use tidegate::queue::embedded::settings::{EmbeddedDurability, EmbeddedSettings, TierRules};
use tidegate::queue::keys::KeySettings;
use tidegate::queue::redis::settings::Structure;

use self::kafka::KafkaBackend;
use self::redis::RedisBackend;
use self::spooled::Spooled;

struct Embedded {
    folder: TempDir,
    durability: EmbeddedDurability,
}

impl Backend for Embedded {
    type Queue = Arc<EmbeddedQueue>;

    async fn open(&self) -> Arc<EmbeddedQueue> {
        let settings = EmbeddedSettings {
            path: self.folder.path().join("data/queue.db"),
            durability: self.durability,
            max_bytes: 1 << 30,
            keys: KeySettings::default(),
        };
        let retry = RetryPolicy {
            attempts: 3,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
        };
        let rules = TierMap::from_fn(|_| TierRules { weight: 1, retry, ordering: Ordering::Pass });
        Arc::new(EmbeddedQueue::open(&settings, rules, Clock::start()).unwrap())
    }

    fn queue(queue: &Arc<EmbeddedQueue>) -> Arc<dyn JobQueue> {
        Arc::clone(queue) as Arc<dyn JobQueue>
    }

    async fn take(queue: &Arc<EmbeddedQueue>, tier: Tier, max: usize) -> Vec<Taken> {
        let (period, wait) = (Duration::from_secs(60), Duration::from_secs(10));
        let request = LeaseRequest { max, period, wait, tiers: TierSet::only(tier) };
        let leases = queue.lease(request).await.unwrap();
        let taken = |lease: tidegate::queue::embedded::lease::Lease| Taken {
            job: lease.job,
            attempt: lease.attempt,
            handle: lease.token.0,
        };
        leases.into_iter().map(taken).collect()
    }

    async fn finish(queue: &Arc<EmbeddedQueue>, taken: Taken) {
        assert_eq!(queue.ack(vec![LeaseToken(taken.handle)]).await.unwrap(), [LeaseStatus::Ok]);
    }

    async fn give_up(queue: &Arc<EmbeddedQueue>, taken: Taken, reason: &str) {
        let nack = Nack { dead: true, reason: Some(reason.into()), ..Nack::default() };
        assert_eq!(queue.nack(vec![LeaseToken(taken.handle)], nack).await.unwrap(), [LeaseStatus::Ok]);
    }
}

macro_rules! promises {
    ($($promise:ident)*) => {
        mod embedded {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    for durability in [EmbeddedDurability::Disk, EmbeddedDurability::Relaxed] {
                        let folder = tempfile::tempdir().unwrap();
                        contract::$promise(&Embedded { folder, durability }).await;
                    }
                }
            )*
        }

        mod redis_streams {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    contract::$promise(&RedisBackend::durable(Structure::Stream, &[]).await).await;
                }
            )*
        }

        mod spooled_embedded {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    let folder = tempfile::tempdir().unwrap();
                    let embedded = Embedded { folder, durability: EmbeddedDurability::Disk };
                    contract::$promise(&Spooled::idle(embedded)).await;
                }
            )*
        }

        mod spooled_redis {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    let redis = RedisBackend::durable(Structure::Stream, &[]).await;
                    contract::$promise(&Spooled::idle(redis)).await;
                }
            )*
        }

        mod kafka_topics {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    contract::$promise(&KafkaBackend::for_promise(stringify!($promise)).await).await;
                }
            )*
        }

        mod spooled_kafka {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    let kafka = KafkaBackend::for_promise(stringify!($promise)).await;
                    contract::$promise(&Spooled::idle(kafka)).await;
                }
            )*
        }

        mod redis_lists {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    contract::$promise(&RedisBackend::durable(Structure::List, &[]).await).await;
                }
            )*
        }
    };
}

promises! {
    jobs_reach_workers_whole_and_in_order
    a_receipt_says_durability_and_depth
    the_backlog_follows_every_job
    a_restart_loses_nothing_and_invents_nothing
    closing_stores_what_was_handed_over
    jobs_are_stored_though_nobody_waits
    dead_letters_are_kept_until_somebody_decides
    a_job_is_known_by_its_key
    jobs_of_one_key_keep_their_order
    a_batch_is_stored_whole
    many_callers_at_once_get_true_receipts
    an_empty_queue_counts_nothing
}

macro_rules! remote_promises {
    ($($promise:ident)*) => {
        mod remote_streams {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    contract::remote::$promise(&RedisBackend::durable(Structure::Stream, &[]).await).await;
                }
            )*
        }

        mod remote_lists {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    contract::remote::$promise(&RedisBackend::durable(Structure::List, &[]).await).await;
                }
            )*
        }
    };
}

remote_promises! {
    a_backend_that_died_refuses_at_once_and_comes_back
    what_a_hanging_backend_was_sent_is_unknown
    a_key_settles_what_a_cut_left_open
    a_full_backend_refuses_and_takes_jobs_again
    cuts_under_load_leave_receipts_true
    a_key_is_known_to_every_gateway
}

/// What Kafka alone can promise of that. It knows no idempotency keys, so what a cut left open is settled when the client sends
/// it again (`kafka::keys`); it has no bound that could be reached.
macro_rules! kafka_promises {
    ($($promise:ident)*) => {
        mod remote_kafka {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    contract::remote::$promise(&KafkaBackend::remote().await).await;
                }
            )*
        }
    };
}

kafka_promises! {
    a_backend_that_died_refuses_at_once_and_comes_back
    what_a_hanging_backend_was_sent_is_unknown
    cuts_under_load_leave_receipts_true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_known_to_every_gateway_before_kafka_where_they_meet_at_a_redis() {
    contract::remote::a_key_is_known_to_every_gateway(&KafkaBackend::sharing_keys().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_reach_workers_whole_and_in_order_through_the_spool() {
    let redis = RedisBackend::durable(Structure::Stream, &[]).await;
    contract::jobs_reach_workers_whole_and_in_order(&Spooled::busy(redis)).await;
    let kafka = KafkaBackend::shared().await;
    contract::jobs_reach_workers_whole_and_in_order(&Spooled::busy(kafka)).await;
    let folder = tempfile::tempdir().unwrap();
    let embedded = Embedded { folder, durability: EmbeddedDurability::Disk };
    contract::jobs_reach_workers_whole_and_in_order(&Spooled::busy(embedded)).await;
}
