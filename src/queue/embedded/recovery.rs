//! What the queue is when it starts: from what the file holds to the state in memory.

use std::path::Path;

use bytes::Bytes;

use crate::domain::tier::TierMap;
use crate::domain::time::Timestamp;
use crate::domain::totals::Totals;
use crate::queue::ages::Ages;
use crate::queue::embedded::line::Line;
use crate::queue::embedded::record;
use crate::queue::embedded::settings::TierRules;
use crate::queue::embedded::state::{Counts, State};
use crate::queue::embedded::store::{self, Found};
use crate::queue::embedded::transaction::{Content, Expiry, KeyRows};
use crate::queue::file::{OpenError, OwnFile, refused};
use crate::queue::keys::index::Keys;

/// Looks what the tables hold.
pub(super) fn find(file: &OwnFile, path: &Path) -> Result<TierMap<Found>, OpenError> {
    let mut failed = None;
    let found = TierMap::from_fn(|tier| {
        store::find(&file.connection, tier).unwrap_or_else(|error| {
            failed.get_or_insert(error);
            Found::default()
        })
    });
    failed.map_or(Ok(found), |error| Err(refused(path, &error)))
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
