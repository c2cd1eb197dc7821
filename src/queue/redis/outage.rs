//! Whether Redis is there: an outage is declared at the first failure that concerns it, and ended by a probe that writes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::{Cmd, Value};
use deadpool_redis::{Connection, redis};
use tokio::select;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::domain::time::Moment;
use crate::queue::Outage;
use crate::queue::redis::failure::Failure;
use crate::queue::redis::household::Household;
use crate::queue::redis::settings::Structure;
use crate::queue::redis::shared::Shared;
use crate::random;

/// Whether Redis is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It was not tried yet.
    Starting,
    /// It takes writes, since the probe of this number.
    There(u64),
    /// It is away.
    Away,
}

/// An outage.
#[derive(Clone, Debug)]
pub(super) struct Away {
    detail: Arc<str>,
    since: Moment,
    next_try: Moment,
    /// It lacks memory: it is back when there is room for a whole pipeline, not for the smallest write.
    of_memory: bool,
    /// The log has its beginning.
    told: bool,
}

impl Shared {
    /// The outage, while there is one.
    pub(super) fn outage(&self) -> Option<Outage> {
        let away = self.away();
        let away = away.as_ref()?;
        let next_try = away.next_try.since(self.clock.now());
        Some(Outage { detail: Arc::clone(&away.detail), next_try })
    }

    /// Notes a failure: where it concerns the server, an outage begins and everybody who waits is refused.
    pub(super) fn note(&self, failure: &Failure) {
        if failure.ends_connection() {
            self.connector.forget();
        }
        if failure.concerns_server() {
            self.declare(failure);
        }
    }

    /// Waits until Redis is there; at once when it is.
    pub(super) async fn until_there(&self) {
        let mut presence = self.presence.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = presence.wait_for(|presence| matches!(presence, Presence::There(_))).await;
    }

    /// Probes Redis at the start and in every outage, and looks after it while it is there, until dropped.
    pub(super) async fn keep_watch(&self, mut household: Household) {
        let mut probes = 0;
        let mut pause = Duration::ZERO;
        loop {
            sleep(pause).await;
            probes += 1;
            match self.probe(&mut household).await {
                Ok(()) => {
                    self.restore(probes);
                    let back = self.clock.now();
                    self.while_there(&mut household).await;
                    // Out of memory again so soon, it was never really back.
                    if !self.lacks_memory() || self.clock.now().since(back) >= SETTLED {
                        pause = Duration::ZERO;
                    }
                }
                Err(failure) => {
                    self.connector.forget();
                    self.declare(&failure);
                }
            }
            pause = self.plan((pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE));
        }
    }

    /// Looks after Redis in regular steps, until an outage begins.
    async fn while_there(&self, household: &mut Household) {
        let mut presence = self.presence.subscribe();
        loop {
            select! {
                // The sender lives in `self`, so the wait cannot fail.
                _ = presence.wait_for(|presence| *presence == Presence::Away) => return,
                () = sleep(STEP) => {}
            }
            if let Err(failure) = self.look_after(household).await {
                self.note(&failure);
            }
        }
    }

    async fn look_after(&self, household: &mut Household) -> Result<(), Failure> {
        let mut connection = self.connector.pooled().await?;
        let kept = match self.try_write(&mut connection, 0).await {
            Ok(()) => household.step(self, &mut connection).await,
            refused => refused,
        };
        if kept.as_ref().is_err_and(Failure::ends_connection) {
            drop(Connection::take(connection));
        }
        kept
    }

    fn declare(&self, failure: &Failure) {
        let (detail, of_memory) = (failure.detail(), failure.is_of_memory());
        let mut away = self.away();
        match &mut *away {
            Some(away) if *away.detail == *detail => return,
            Some(away) => {
                away.detail = detail.into();
                away.of_memory |= of_memory;
            }
            None => {
                let now = self.clock.now();
                let told = self.told.one_more(now);
                if let Some(outages) = told {
                    warn!(detail, outages, "Redis is away: its jobs are refused or spooled until it is back");
                }
                let (next_try, told) = (now.plus(FIRST_PAUSE), told.is_some());
                *away = Some(Away { detail: detail.into(), since: now, next_try, of_memory, told });
                self.outages.fetch_add(1, Ordering::AcqRel);
            }
        }
        // Under the lock, so that an end that comes at once is not overtaken by the beginning.
        for (_, line) in self.each_line() {
            line.inbox.set_outage(Some(detail.into()));
        }
        self.presence.send_replace(Presence::Away);
    }

    fn restore(&self, probe: u64) {
        let mut away = self.away();
        if let Some(away) = away.take().filter(|away| away.told) {
            info!(after = ?self.clock.now().since(away.since), "Redis is back");
        }
        for (_, line) in self.each_line() {
            line.inbox.set_outage(None);
        }
        self.presence.send_replace(Presence::There(probe));
    }

    /// Tells clients of the next probe.
    fn plan(&self, pause: Duration) -> Duration {
        let pause = random::spread(pause);
        if let Some(away) = &mut *self.away() {
            away.next_try = self.clock.now().plus(pause);
        }
        pause
    }

    /// Whether Redis can be reached and takes writes: a write that changes nothing says so.
    async fn probe(&self, household: &mut Household) -> Result<(), Failure> {
        let room = if self.lacks_memory() { ROOM_BYTES } else { 0 };
        let mut connection = self.connector.pooled().await?;
        let mut begun = self.try_write(&mut connection, room).await;
        // What workers have done is still removed: where the queue itself filled the memory, nothing else makes room.
        if begun.as_ref().is_err_and(|failure| !failure.ends_connection())
            && household.step(self, &mut connection).await.is_ok()
        {
            begun = self.try_write(&mut connection, room).await;
        }
        if begun.is_ok() {
            begun = household.begin(self, &mut connection).await;
        }
        if begun.as_ref().is_err_and(Failure::ends_connection) {
            drop(Connection::take(connection));
        }
        begun
    }

    /// A write of so many bytes that changes nothing. A user who may not touch its key may still store jobs.
    async fn try_write(&self, connection: &mut Connection, bytes: usize) -> Result<(), Failure> {
        match self.probe_command(bytes).query_async::<Value>(connection).await {
            Ok(_) => Ok(()),
            Err(error) => match Failure::of_command(&error) {
                failure if failure.concerns_server() => Err(failure),
                _ => Ok(()),
            },
        }
    }

    /// Redis counts the command itself as memory in use: one of this size is refused where a job's would be.
    fn probe_command(&self, bytes: usize) -> Cmd {
        let (key, value) = (self.layout.probe(), vec![0_u8; bytes]);
        match self.settings.structure {
            Structure::Stream => {
                redis::cmd("XADD").arg(key).arg("NOMKSTREAM").arg("*").arg("p").arg(value).take()
            }
            Structure::List => redis::cmd("LPUSHX").arg(key).arg(value).take(),
        }
    }

    fn lacks_memory(&self) -> bool {
        self.away().as_ref().is_some_and(|away| away.of_memory)
    }

    fn away(&self) -> MutexGuard<'_, Option<Away>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pause before the first probe of an outage.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Pauses double up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Out of memory again within this time is the same outage as far as pauses go.
const SETTLED: Duration = Duration::from_secs(10);
/// A Redis that was out of memory is back when it has room for this much: a pipeline of jobs.
const ROOM_BYTES: usize = 1 << 20;
/// Redis is looked after this often while it is there.
const STEP: Duration = Duration::from_secs(1);
