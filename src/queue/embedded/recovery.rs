//! What the queue is when it starts: from what the file holds to the state in memory.

use std::path::Path;

use bytes::Bytes;

use crate::domain::tier::TierMap;
use crate::domain::time::Timestamp;
use crate::domain::totals::Totals;
use crate::queue::ages::Ages;
use crate::queue::embedded::file::{self, QueueFile};
use crate::queue::embedded::keys::Keys;
use crate::queue::embedded::line::Line;
use crate::queue::embedded::record;
use crate::queue::embedded::settings::{OpenError, TierRules};
use crate::queue::embedded::state::{Counts, State};
use crate::queue::embedded::store::{self, Found};
use crate::queue::embedded::transaction::{Content, Expiry, KeyRows};
use crate::queue::keys::KeySettings;

/// Looks what the tables hold.
pub(super) fn find(file: &QueueFile, path: &Path) -> Result<TierMap<Found>, OpenError> {
    let mut failed = None;
    let found = TierMap::from_fn(|tier| {
        store::find(&file.connection, tier).unwrap_or_else(|error| {
            failed.get_or_insert(error);
            Found::default()
        })
    });
    failed.map_or(Ok(found), |error| Err(file::refused(path, &error)))
}

/// The state in memory of a file with these contents.
pub(super) fn state(found: TierMap<Found>, keys: Keys, rules: TierMap<TierRules>, now: Timestamp) -> State {
    let counts = TierMap::from_fn(|tier| {
        let stock = found[tier].stock;
        let totals = Totals {
            recovered: stock.jobs,
            dead_at_start: stock.dead,
            waiting: stock.jobs,
            dead: stock.dead,
            ..Totals::default()
        };
        Counts { totals, ..Counts::default() }
    });
    let accepted = |tier, record: &[u8]| {
        record::decode(tier, &Bytes::copy_from_slice(record)).map_or(now, |job| job.accepted_at)
    };
    let ages = TierMap::from_fn(|tier| match &found[tier].ends {
        Some((oldest, newest)) => {
            Ages::recovered(found[tier].stock.jobs, accepted(tier, oldest), accepted(tier, newest))
        }
        None => Ages::recovered(0, now, now),
    });
    let lines = found.map(|_, found| Line::recovered(found.tail, found.retries));
    State::new(lines, counts, ages, keys, rules)
}

/// The idempotency keys that the file holds, as many as are kept.
pub(super) fn keys(file: &QueueFile, settings: KeySettings, now: Timestamp) -> rusqlite::Result<Keys> {
    let db = &file.connection;
    let Some((first, last)) = store::key_ends(db)? else { return Ok(Keys::none(settings, 1)) };
    let most = i64::try_from(settings.most).unwrap_or(i64::MAX);
    let from = first.max(last.saturating_sub(most).saturating_add(1));
    let (mut keys, mut damaged) = (Keys::none(settings, from), 0_u64);
    store::each_key(db, from, |number, entry| {
        if number != keys.next() {
            // Rows are missing in between: the numbers go on from here.
            keys = Keys::none(settings, number);
        }
        damaged += u64::from(entry.is_none());
        keys.add_again(entry);
    })?;
    if damaged > 0 {
        tracing::warn!(damaged, "some idempotency keys are damaged: jobs sent again under them are new ones");
    }
    keys.forget(now);
    Ok(keys)
}

/// What the writer knows of a file with these contents.
pub(super) fn content(found: &TierMap<Found>, keys: &Keys) -> Content {
    Content {
        // Rows before the first key may be left: the first transaction deletes them.
        keys: KeyRows { first: 0, next: keys.next() },
        stock: TierMap::from_fn(|tier| found[tier].stock),
        tails: TierMap::from_fn(|tier| found[tier].tail),
        expiry: TierMap::from_fn(|tier| Expiry {
            next: found[tier].next_expiry,
            swept: Timestamp::default(),
        }),
    }
}
