//! Reads letters again where their records are: memory keeps only what a list shows.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::clock::Clock;
use crate::queue::dead_letter::DeadLetter;
use crate::queue::error::QueueError;
use crate::queue::kafka::client;
use crate::queue::kafka::dead_letters::index::Spot;
use crate::queue::kafka::record::read::{Unreadable, dead_id, read_dead};
use crate::queue::kafka::settings::KafkaSettings;

/// What was read, by where it is. A spot that is missing has no letter any more: a later record of its id took its place.
pub(super) type Letters = HashMap<Spot, Result<DeadLetter, Unreadable>>;

/// Reads the letters at these spots. Blocks, for a few times `kafka.timeout` at most.
///
/// # Errors
/// Kafka does not answer in time.
pub(super) fn read(
    settings: &KafkaSettings,
    topic: &str,
    mut spots: Vec<Spot>,
    clock: Clock,
) -> Result<Letters, QueueError> {
    let failed = |error: KafkaError| QueueError::Unavailable { detail: client::said(settings, &error) };
    let consumer: BaseConsumer = configured(settings).create().map_err(failed)?;
    let mut reading = Reading { consumer, topic, at: None, clock, patience: settings.timeout };
    let mut letters = Letters::new();
    // From the first to the last in each partition.
    spots.sort_unstable();
    for spot in spots {
        if let Some(letter) = reading.letter(spot)? {
            letters.insert(spot, letter);
        }
    }
    Ok(letters)
}

/// A consumer that goes from spot to spot.
struct Reading<'a> {
    consumer: BaseConsumer,
    topic: &'a str,
    /// Where it reads on.
    at: Option<Spot>,
    clock: Clock,
    patience: Duration,
}

impl Reading<'_> {
    /// The letter at a spot, if it is still there.
    fn letter(&mut self, spot: Spot) -> Result<Option<Result<DeadLetter, Unreadable>>, QueueError> {
        self.go_to(spot)?;
        let started = self.clock.now();
        while self.clock.now().since(started) < self.patience {
            match self.consumer.poll(STEP) {
                Some(Ok(message)) if message.partition() != spot.partition => {}
                Some(Ok(message)) => {
                    self.at = Some(Spot { offset: message.offset().saturating_add(1), ..spot });
                    if message.offset() >= spot.offset {
                        return Ok((message.offset() == spot.offset).then(|| letter(&message)));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.at = None;
                    return Ok(None);
                }
                // It goes on trying by itself.
                Some(Err(_)) | None => {}
            }
        }
        Err(QueueError::Unavailable { detail: "Kafka did not hand out a dead letter in time".to_owned() })
    }

    /// Reads on from where it is, if that is near before the spot; else from the spot.
    fn go_to(&mut self, spot: Spot) -> Result<(), QueueError> {
        let ahead = self.at.filter(|at| at.partition == spot.partition).map(|at| spot.offset - at.offset);
        if ahead.is_some_and(|ahead| (0..NEAR).contains(&ahead)) {
            return Ok(());
        }
        self.at = None;
        let assigned = || -> KafkaResult<()> {
            let mut places = TopicPartitionList::new();
            places.add_partition_offset(self.topic, spot.partition, Offset::Offset(spot.offset))?;
            self.consumer.assign(&places)
        };
        let failed = |error: KafkaError| QueueError::Unavailable { detail: error.to_string() };
        assigned().map_err(failed)
    }
}

fn letter(message: &BorrowedMessage<'_>) -> Result<DeadLetter, Unreadable> {
    read_dead(message).and_then(|letter| {
        let its_own = dead_id(message) == Some(letter.job.id);
        if its_own { Ok(letter) } else { Err(Unreadable::Wrong { name: "id", wanted: "the record's key" }) }
    })
}

fn configured(settings: &KafkaSettings) -> rdkafka::ClientConfig {
    let group = settings.groups.first().map_or("", String::as_str);
    let mut config = client::consumer(settings, group);
    config
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        // The broker would hold the next question until this one is answered.
        .set("fetch.wait.max.ms", "10")
        .set("queued.max.messages.kbytes", "1024");
    config
}

/// Polled for this long at once.
const STEP: Duration = Duration::from_millis(50);

/// Records between two spots that are rather read than jumped over.
const NEAR: i64 = 100;
