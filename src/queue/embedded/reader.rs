//! The thread that reads beside the writer: the next jobs of each line, and the dead letters.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::oneshot;

use crate::domain::job::{Job, JobId};
use crate::domain::tier::Tier;
use crate::domain::time::Timestamp;
use crate::queue::dead_letter::{DeadLetter, DeadLetterPage, DeadLetterQuery, DeadLetterSummary, Death};
use crate::queue::embedded::line::{Known, Load, Waiting};
use crate::queue::embedded::record::{self, DAMAGED, History};
use crate::queue::embedded::shared::Shared;
use crate::queue::embedded::store;
use crate::queue::error::QueueError;

/// What the reader is asked.
#[derive(Debug)]
pub(super) enum Request {
    /// Load jobs of a tier into its line.
    Load(Tier, Load),
    /// List dead letters.
    List(DeadLetterQuery, oneshot::Sender<Result<DeadLetterPage, QueueError>>),
    /// Show one dead letter.
    Show(JobId, oneshot::Sender<Result<Option<DeadLetter>, QueueError>>),
    /// Stop.
    Stop,
}

/// Answers requests until it is told to stop.
pub(super) fn run(db: &Connection, shared: &Arc<Shared>, requests: &Receiver<Request>) {
    while let Ok(request) = requests.recv() {
        match request {
            Request::Load(tier, load) => shared.loaded(tier, load_jobs(db, tier, &load), load),
            Request::List(query, answer) => {
                let _ = answer.send(list(db, &query).map_err(|error| shared.read_failed(&error)));
            }
            Request::Show(id, answer) => {
                let _ = answer.send(show(db, id).map_err(|error| shared.read_failed(&error)));
            }
            Request::Stop => return,
        }
    }
}

/// What was loaded.
#[derive(Debug)]
pub(super) enum Loaded {
    /// The next jobs, and with them every job up to this number.
    Next(Vec<Waiting>, i64),
    /// Those of the jobs asked for that exist, those that do not, and those not reached.
    These(Vec<Waiting>, Vec<Known>, Vec<Known>),
}

fn load_jobs(db: &Connection, tier: Tier, load: &Load) -> rusqlite::Result<Loaded> {
    match load {
        Load::Next { after, upto, limit } => load_next(db, tier, *after, *upto, *limit),
        Load::These(wanted) => load_these(db, tier, wanted),
    }
}

fn load_next(db: &Connection, tier: Tier, after: i64, upto: i64, limit: usize) -> rusqlite::Result<Loaded> {
    let mut select = db.prepare_cached(&format!(
        "SELECT seq, key, expires_at, history, job FROM jobs_{tier}
         WHERE seq > ?1 AND seq <= ?2 AND due IS NULL ORDER BY seq LIMIT ?3"
    ))?;
    let mut rows = select.query(params![after, upto, limit as i64])?;
    let (mut jobs, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let job = waiting(row)?;
        bytes += job.record.len();
        let seq = job.seq;
        jobs.push(job);
        if bytes >= LOAD_BYTES || jobs.len() == limit {
            return Ok(Loaded::Next(jobs, seq));
        }
    }
    Ok(Loaded::Next(jobs, upto))
}

fn load_these(db: &Connection, tier: Tier, wanted: &[Known]) -> rusqlite::Result<Loaded> {
    let mut select = db.prepare_cached(&format!(
        "SELECT seq, key, expires_at, history, job FROM jobs_{tier} WHERE seq = ?1"
    ))?;
    let (mut jobs, mut missing, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (index, known) in wanted.iter().enumerate() {
        if bytes >= LOAD_BYTES {
            return Ok(Loaded::These(jobs, missing, wanted.get(index..).unwrap_or_default().to_vec()));
        }
        match select.query_row([known.seq], waiting).optional()? {
            Some(job) => {
                bytes += job.record.len();
                jobs.push(job);
            }
            None => missing.push(*known),
        }
    }
    Ok(Loaded::These(jobs, missing, Vec::new()))
}

fn waiting(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    let Known { seq, key } = store::known(row)?;
    Ok(Waiting {
        seq,
        key,
        expires_at: store::time(row, 2)?,
        history: store::history(row, 3).map(Box::new),
        record: Bytes::copy_from_slice(row.get_ref(4)?.as_blob()?),
    })
}

/// The number that the `next` of a page stands for, if the text can be one.
pub(super) fn place(mark: &str) -> Option<i64> {
    i64::from_str_radix(mark, 16).ok().filter(|seq| *seq > 0 && format!("{seq:x}") == mark)
}

fn list(db: &Connection, query: &DeadLetterQuery) -> rusqlite::Result<DeadLetterPage> {
    let after = query.after.as_deref().and_then(place).unwrap_or(0);
    let mut select = db.prepare_cached(match query.tier {
        Some(_) => {
            "SELECT seq, id, tier, died_at, history, job FROM dead WHERE seq > ?1 AND tier = ?3 LIMIT ?2"
        }
        None => {
            "SELECT seq, id, tier, died_at, history, job FROM dead WHERE seq > ?1 AND ?3 IS NULL LIMIT ?2"
        }
    })?;
    let limit = query.limit.clamp(1, MAX_PAGE);
    let mut rows = select.query(params![after, limit as i64 + 1, query.tier.map(Tier::number)])?;
    let mut page = DeadLetterPage::default();
    let mut last = after;
    while let Some(row) = rows.next()? {
        if page.dead_letters.len() == limit {
            page.next = Some(format!("{last:x}"));
            break;
        }
        last = row.get(0)?;
        let Some((DeadLetter { job, death }, size)) = dead_letter(row) else { continue };
        page.dead_letters.push(DeadLetterSummary {
            id: job.id,
            tier: job.tier,
            job_type: job.job_type,
            accepted_at: job.accepted_at,
            size: size as u64,
            death,
        });
    }
    Ok(page)
}

fn show(db: &Connection, id: JobId) -> rusqlite::Result<Option<DeadLetter>> {
    let sql = "SELECT seq, id, tier, died_at, history, job FROM dead WHERE id = ?1 ORDER BY seq LIMIT 1";
    let shown = |row: &Row<'_>| Ok(dead_letter(row).map(|(letter, _)| letter));
    Ok(db.prepare_cached(sql)?.query_row([id.as_bytes().as_slice()], shown).optional()?.flatten())
}

/// A dead letter and its payload's size. A damaged one says so and is shown as far as it can be read (of a record that
/// makes no sense the size is the stored one); it harms no other. `None` if not even its tier is known.
fn dead_letter(row: &Row<'_>) -> Option<(DeadLetter, usize)> {
    let id: [u8; 16] = row.get_ref(1).ok()?.as_blob().ok()?.try_into().ok()?;
    let tier = store::tier(row, 2).ok()?;
    let died_at = store::time(row, 3).ok().flatten().unwrap_or_default();
    let history = store::history(row, 4);
    let record = Bytes::copy_from_slice(row.get_ref(5).ok()?.as_blob().unwrap_or_default());
    let reason = match &history {
        Some(history) if record::is_sound(&record) || history.reason == DAMAGED => history.reason.clone(),
        Some(history) => format!("{DAMAGED}; it had died of: {}", history.reason),
        None => DAMAGED.into(),
    };
    let death = Death {
        attempts: history.as_ref().map_or(0, History::attempts),
        first_failed_at: history.map_or(died_at, |history| history.first_failed_at),
        reason,
        died_at,
    };
    let salvaged = record::salvage(tier, &record);
    let size = salvaged.as_ref().map_or(record.len(), |job| job.payload.len());
    let job = salvaged.unwrap_or_else(|| unreadable(tier, died_at));
    let job = Job { id: JobId::from_bytes(id), accepted_at: job.accepted_at.min(died_at), ..job };
    Some((DeadLetter { job, death }, size))
}

/// What stands in for a job of which nothing can be read.
fn unreadable(tier: Tier, accepted_at: Timestamp) -> Job {
    Job {
        id: JobId::from_bytes([0; 16]),
        tier,
        tenant: Arc::from(""),
        job_type: None,
        ordering_key: None,
        content_type: None,
        accepted_at,
        expires_at: None,
        headers: Vec::new(),
        keyed: None,
        payload: Bytes::new(),
    }
}

/// Bytes loaded at once; the last job may pass it.
const LOAD_BYTES: usize = 2 << 20;
/// Dead letters on one page at most.
const MAX_PAGE: usize = 1000;
