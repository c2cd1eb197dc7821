//! Dead letters in Redis: listed, shown, put back into their queue, deleted.
//!
//! A hash holds each as JSON by its id, a sorted set per tier its id by the time it died. What only one of them knows is no
//! dead letter; such leftovers harm no other.

use deadpool_redis::redis::aio::ConnectionLike;
use deadpool_redis::redis::{Pipeline, Value};

use crate::domain::job::JobId;
use crate::domain::tier::Tier;
use crate::domain::time::Timestamp;
use crate::queue::dead_letter::{
    Acted, DeadLetter, DeadLetterPage, DeadLetterQuery, DeadLetterSummary, Death, PurgeResult, ReplayResult,
};
use crate::queue::error::QueueError;
use crate::queue::redis::backlog::replies::{Replies, unexpected};
use crate::queue::redis::entry::again;
use crate::queue::redis::entry::element::{self, BrokenElement, Element};
use crate::queue::redis::failure::Failure;
use crate::queue::redis::layout::Layout;
use crate::queue::redis::settings::Structure;
use crate::queue::tries::Tries;

/// Asks for dead letters and acts on them.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetters<'a> {
    /// The names of all keys.
    pub layout: &'a Layout,
    /// What a queue is made of.
    pub structure: Structure,
}

/// A place in the order of dead letters: when one died, and its id.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    died: f64,
    id: JobId,
}

impl DeadLetters<'_> {
    /// A page, oldest first, of one tier or of all.
    ///
    /// # Errors
    /// [`QueueError::BadPage`] where `after` is not the `next` of a page; else what is wrong with Redis.
    pub async fn list(
        &self,
        query: &DeadLetterQuery,
        connection: &mut impl ConnectionLike,
    ) -> Result<DeadLetterPage, QueueError> {
        let after = match &query.after {
            Some(mark) => Some(Place::parse(mark).ok_or(QueueError::BadPage)?),
            None => None,
        };
        let mut places = Vec::new();
        for tier in Tier::ALL.into_iter().filter(|tier| query.tier.is_none_or(|wanted| wanted == *tier)) {
            places.extend(self.places(tier, after, query.limit.saturating_add(1), connection).await?);
        }
        places.sort_by(|(a, _), (b, _)| a.order(b));
        let more = places.len() > query.limit;
        places.truncate(query.limit);
        let next = places.last().filter(|_| more).map(|(place, _)| place.to_string());
        let mut dead_letters = Vec::with_capacity(places.len());
        let mut rest = places.as_slice();
        while !rest.is_empty() {
            let ids: Vec<_> = rest.iter().map(|(place, _)| place.id).collect();
            let letters = self.fetch(&ids, connection).await?;
            let (these, others) = rest.split_at_checked(letters.len()).ok_or_else(unexpected)?;
            for ((place, tier), json) in these.iter().zip(letters) {
                dead_letters.extend(json.map(|json| summary(*place, *tier, &json)));
            }
            rest = others;
        }
        Ok(DeadLetterPage { dead_letters, next })
    }

    /// One with its payload.
    ///
    /// # Errors
    /// What is wrong with Redis, or with the letter.
    pub async fn show(
        &self,
        id: JobId,
        connection: &mut impl ConnectionLike,
    ) -> Result<Option<DeadLetter>, QueueError> {
        let Some(Some(json)) = self.fetch(&[id], connection).await?.pop() else { return Ok(None) };
        element::decode_dead(&json)
            .map(Some)
            .map_err(|error| QueueError::Unavailable { detail: damaged(&error) })
    }

    /// Puts them back into their queues: attempts start again, id, payload and history stay. Past the gate they are by now.
    pub async fn replay(&self, ids: &[JobId], connection: &mut impl ConnectionLike) -> Acted<ReplayResult> {
        let mut acted = Acted::of(ids.len());
        while let Some(rest) = ids.get(acted.results.len()..).filter(|rest| !rest.is_empty()) {
            if let Err(error) = self.replay_some(rest, &mut acted, connection).await {
                acted.error = Some(error);
                break;
            }
        }
        acted
    }

    /// Deletes them.
    pub async fn purge(&self, ids: &[JobId], connection: &mut impl ConnectionLike) -> Acted<PurgeResult> {
        let mut acted = Acted::of(ids.len());
        for ids in ids.chunks(AT_ONCE) {
            if let Err(error) = self.purge_some(ids, &mut acted, connection).await {
                acted.error = Some(error);
                break;
            }
        }
        acted
    }

    /// The first places of a tier after this one.
    async fn places(
        &self,
        tier: Tier,
        after: Option<Place>,
        wanted: usize,
        connection: &mut impl ConnectionLike,
    ) -> Result<Vec<(Place, Tier)>, QueueError> {
        let (mut places, mut offset) = (Vec::new(), 0);
        let from = after.map_or_else(|| "-inf".to_owned(), |place| place.died.to_string());
        loop {
            let mut pipeline = Pipeline::new();
            pipeline.cmd("ZRANGEBYSCORE").arg(&self.layout.tier(tier).dead).arg(&from).arg("+inf");
            pipeline.arg("WITHSCORES").arg("LIMIT").arg(offset).arg(wanted);
            let reply = ask(connection, &pipeline).await?.pop().ok_or_else(unexpected)?;
            let range = Replies::of(reply)?.all_bytes()?;
            for pair in range.as_chunks::<2>().0 {
                // An id that is none was put there by somebody else.
                let Some(place) = Place::of(pair) else { continue };
                if after.is_none_or(|after| place.order(&after).is_gt()) {
                    places.push((place, tier));
                }
            }
            offset += wanted;
            if places.len() >= wanted || range.len() < 2 * wanted {
                places.truncate(wanted);
                return Ok(places);
            }
        }
    }

    /// The JSON of the first of these, as many as fit into memory at once, but one at least.
    async fn fetch(
        &self,
        ids: &[JobId],
        connection: &mut impl ConnectionLike,
    ) -> Result<Vec<Option<Vec<u8>>>, QueueError> {
        let hash = self.layout.dead_letters();
        let mut pipeline = Pipeline::new();
        let ids = ids.get(..AT_ONCE).unwrap_or(ids);
        for id in ids {
            pipeline.cmd("HSTRLEN").arg(hash).arg(id.to_string());
        }
        let mut sizes = Replies::new(ask(connection, &pipeline).await?);
        let (mut bytes, mut count) = (0, 0);
        while count < ids.len() {
            bytes += sizes.number()?;
            if count > 0 && bytes > BYTES_AT_ONCE {
                break;
            }
            count += 1;
        }
        let mut pipeline = Pipeline::new();
        for id in ids.iter().take(count) {
            pipeline.cmd("HGET").arg(hash).arg(id.to_string());
        }
        let mut letters = Replies::new(ask(connection, &pipeline).await?);
        (0..count).map(|_| letters.optional_bytes()).collect()
    }

    async fn replay_some(
        &self,
        ids: &[JobId],
        acted: &mut Acted<ReplayResult>,
        connection: &mut impl ConnectionLike,
    ) -> Result<(), QueueError> {
        let letters = self.fetch(ids, connection).await?;
        let letters: Vec<_> =
            letters.into_iter().map(|json| json.and_then(|json| element::decode_dead(&json).ok())).collect();
        let mut pipeline = Pipeline::new();
        for letter in letters.iter().flatten() {
            self.add_replay(letter, &mut pipeline);
        }
        let mut replies = Replies::new(ask(connection, &pipeline).await?);
        for letter in &letters {
            // What is no letter, or cannot be read, cannot be replayed; it can be purged.
            let replayed = match letter {
                Some(_) => replies.number()? == 1,
                None => false,
            };
            if let Some(letter) = letter.as_ref().filter(|_| replayed) {
                acted.tiers[letter.job.tier] += 1;
            }
            acted.results.push(if replayed { ReplayResult::Replayed } else { ReplayResult::Unknown });
        }
        Ok(())
    }

    fn add_replay(&self, DeadLetter { job, death }: &DeadLetter, pipeline: &mut Pipeline) {
        let tries = Tries::after(death);
        pipeline
            .cmd("EVAL")
            .arg(REPLAY)
            .arg(5)
            .arg(&self.layout.tier(job.tier).queue)
            .arg(self.layout.dead_letters());
        for tier in Tier::ALL {
            pipeline.arg(&self.layout.tier(tier).dead);
        }
        pipeline.arg(job.id.to_string());
        match self.structure {
            Structure::List => {
                pipeline.arg(element::encode(job, tries));
            }
            Structure::Stream => {
                for field in again::fields(&Element { job: job.clone(), tries }) {
                    pipeline.arg(field);
                }
            }
        }
    }

    async fn purge_some(
        &self,
        ids: &[JobId],
        acted: &mut Acted<PurgeResult>,
        connection: &mut impl ConnectionLike,
    ) -> Result<(), QueueError> {
        let mut pipeline = Pipeline::new();
        for id in ids {
            let id = id.to_string();
            for tier in Tier::ALL {
                pipeline.cmd("ZREM").arg(&self.layout.tier(tier).dead).arg(&id);
            }
            pipeline.cmd("HDEL").arg(self.layout.dead_letters()).arg(&id);
        }
        let mut replies = Replies::new(ask(connection, &pipeline).await?);
        for _ in ids {
            let mut gone = 0;
            for tier in Tier::ALL {
                let of_tier = replies.number()?;
                acted.tiers[tier] += of_tier;
                gone += of_tier;
            }
            gone += replies.number()?;
            acted.results.push(if gone > 0 { PurgeResult::Purged } else { PurgeResult::Unknown });
        }
        Ok(())
    }
}

impl Place {
    fn of([id, score]: &[Vec<u8>; 2]) -> Option<Place> {
        let id = std::str::from_utf8(id).ok()?.parse().ok()?;
        let died: f64 = std::str::from_utf8(score).ok()?.parse().ok()?;
        Some(Place { died, id })
    }

    /// The place that the `next` of a page stands for, if the text can be one.
    fn parse(mark: &str) -> Option<Place> {
        let (died, id) = mark.split_once('.')?;
        let place = Place { died: f64::from_bits(u64::from_str_radix(died, 16).ok()?), id: id.parse().ok()? };
        (!place.died.is_nan() && place.to_string() == mark).then_some(place)
    }

    /// As Redis sorts them: by score, then by the bytes of the id.
    fn order(&self, other: &Place) -> std::cmp::Ordering {
        self.died.total_cmp(&other.died).then_with(|| self.id.cmp(&other.id))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}.{}", self.died.to_bits(), self.id)
    }
}

/// A letter in a list. A damaged one says so and harms no other.
fn summary(place: Place, tier: Tier, json: &[u8]) -> DeadLetterSummary {
    match element::decode_dead(json) {
        Ok(DeadLetter { job, death }) => DeadLetterSummary {
            id: place.id,
            tier,
            job_type: job.job_type,
            accepted_at: job.accepted_at,
            size: u64::try_from(job.payload.len()).unwrap_or(u64::MAX),
            death,
        },
        Err(error) => {
            let died_at = Timestamp::from_millis(place.died.max(0.0) as u64);
            DeadLetterSummary {
                id: place.id,
                tier,
                job_type: None,
                accepted_at: died_at,
                size: u64::try_from(json.len()).unwrap_or(u64::MAX),
                death: Death { attempts: 0, reason: damaged(&error), first_failed_at: died_at, died_at },
            }
        }
    }
}

fn damaged(error: &BrokenElement) -> String {
    format!("the dead letter cannot be read: {error}")
}

async fn ask(connection: &mut impl ConnectionLike, pipeline: &Pipeline) -> Result<Vec<Value>, QueueError> {
    if pipeline.is_empty() {
        return Ok(Vec::new());
    }
    let replies = connection.req_packed_commands(pipeline, 0, pipeline.len()).await;
    replies.map_err(|error| Failure::of_command(&error).to_queue_error())
}

const REPLAY: &str = include_str!("replay.lua");

/// Dead letters asked for at once.
const AT_ONCE: usize = 200;

/// Bytes of them held at once, about.
const BYTES_AT_ONCE: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_of_a_page_is_a_place() {
        let id: JobId = "018bcfe5-6800-7b2f-8c1d-000000000001".parse().unwrap();
        let place = Place { died: 1_700_000_000_123.0, id };
        assert_eq!(Place::parse(&place.to_string()), Some(place));
        for wrong in [
            "",
            "7",
            "x.y",
            "4278bcfe56807b000.018bcfe5-6800-7b2f-8c1d-000000000001",
            "7ff8000000000000.018bcfe5-6800-7b2f-8c1d-000000000001",
            "07.018bcfe5-6800-7b2f-8c1d-000000000001",
            "7.018BCFE5-6800-7B2F-8C1D-000000000001",
        ] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn letters_of_one_moment_have_an_order() {
        let place = |died, last: &str| Place {
            died,
            id: format!("018bcfe5-6800-7b2f-8c1d-00000000000{last}").parse().unwrap(),
        };
        assert!(place(1.0, "2").order(&place(2.0, "1")).is_lt());
        assert!(place(2.0, "2").order(&place(2.0, "1")).is_gt());
    }
}
