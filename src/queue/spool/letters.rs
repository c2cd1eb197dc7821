//! Dead letters of the backend and of the spool as one list. The spool has some only where its disk damaged a record, or
//! the backend does not take a job so large.

use crate::domain::job::JobId;
use crate::queue::JobQueue;
use crate::queue::dead_letter::{DeadLetter, DeadLetterPage, DeadLetterQuery, PurgeResult, ReplayResult};
use crate::queue::error::QueueError;
use crate::queue::spool::shared::Shared;

/// A page: the backend's, and those of the spool after its last one.
pub(super) async fn page(shared: &Shared, query: DeadLetterQuery) -> Result<DeadLetterPage, QueueError> {
    if let Some(mark) = query.after.as_deref().and_then(|after| after.strip_prefix(OURS)) {
        let after = Some(mark.to_owned()).filter(|mark| !mark.is_empty());
        let page = shared.file.dead_letters(DeadLetterQuery { after, ..query }).await?;
        let next = page.next.map(|mark| format!("{OURS}{mark}"));
        return Ok(DeadLetterPage { next, ..page });
    }
    let tier = query.tier;
    let mut page = shared.backend.dead_letters(query).await?;
    let dead = shared.file.totals();
    let ours = dead.iter().any(|(each, totals)| totals.dead > 0 && tier.is_none_or(|tier| tier == each));
    if page.next.is_none() && ours {
        page.next = Some(OURS.to_owned());
    }
    Ok(page)
}

/// One, wherever it is.
pub(super) async fn one(shared: &Shared, id: JobId) -> Result<Option<DeadLetter>, QueueError> {
    match shared.file.dead_letter(id).await? {
        Some(letter) => Ok(Some(letter)),
        None => shared.backend.dead_letter(id).await,
    }
}

/// Those of the spool wait in it again, to be moved on.
pub(super) async fn replay(shared: &Shared, ids: Vec<JobId>) -> Result<Vec<ReplayResult>, QueueError> {
    let ours = shared.file.replay(ids.clone()).await?;
    let (rest, places) = rest(ids, &ours, |result| *result == ReplayResult::Unknown);
    if rest.is_empty() {
        return Ok(ours);
    }
    Ok(filled(ours, places, shared.backend.replay(rest).await?))
}

/// Deletes them for good, wherever they are.
pub(super) async fn purge(shared: &Shared, ids: Vec<JobId>) -> Result<Vec<PurgeResult>, QueueError> {
    let ours = shared.file.purge(ids.clone()).await?;
    let (rest, places) = rest(ids, &ours, |result| *result == PurgeResult::Unknown);
    if rest.is_empty() {
        return Ok(ours);
    }
    Ok(filled(ours, places, shared.backend.purge(rest).await?))
}

/// What the spool does not know, with the places of it.
fn rest<R>(ids: Vec<JobId>, ours: &[R], unknown: impl Fn(&R) -> bool) -> (Vec<JobId>, Vec<usize>) {
    let rest = ids.into_iter().zip(ours).enumerate().filter(|(_, (_, result))| unknown(result));
    rest.map(|(place, (id, _))| (id, place)).unzip()
}

fn filled<R>(mut ours: Vec<R>, places: Vec<usize>, theirs: Vec<R>) -> Vec<R> {
    for (place, result) in places.into_iter().zip(theirs) {
        if let Some(ours) = ours.get_mut(place) {
            *ours = result;
        }
    }
    ours
}

/// Begins the mark of a page of the spool's own. No backend's mark begins so.
const OURS: &str = "spool:";
