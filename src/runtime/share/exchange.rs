//! The exchange: ten times a second one round trip that writes this replica's line and reads those of the others.

use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::io::tcp::TcpSettings;
use deadpool_redis::redis::{
    AsyncConnectionConfig, Client, FromRedisValue, IntoConnectionInfo, RedisError, RedisResult, Script, Value,
};
use tokio::select;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;
use crate::queue::redis::backlog::server_clock::ServerClock;
use crate::queue::redis::settings::RedisUrl;
use crate::random;
use crate::regulator::share::line::Line;
use crate::regulator::share::presence::MOST_REPLICAS;
use crate::runtime::admission::Admission;
use crate::runtime::lifecycle::{Lifecycle, Phase};
use crate::runtime::share::{Share, wire};

/// The address cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client cannot use the address of share.redis_url")]
pub struct BadMeetingPoint;

/// Why a round brought nothing.
#[derive(Debug, thiserror::Error)]
enum Silence {
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("the board answers what is no answer")]
    Foreign,
}

/// The exchange's task: apart from every request and from the control loop, which never wait for it.
pub struct Exchange {
    share: Share,
    admission: Admission,
    clock: Clock,
    client: Client,
    script: Script,
    board: String,
    replica: String,
    line: Option<MultiplexedConnection>,
    server: ServerClock,
    lost: bool,
    refused: bool,
    misread: bool,
}

impl Exchange {
    /// An exchange through this Redis with all gateways whose tiers have queues of these names.
    ///
    /// # Errors
    /// The client cannot use the address.
    pub fn new(
        share: Share,
        admission: Admission,
        meeting_point: &RedisUrl,
        queues: &TierMap<String>,
        clock: Clock,
    ) -> Result<Exchange, BadMeetingPoint> {
        let address = meeting_point.reveal().into_connection_info().map_err(|_| BadMeetingPoint)?;
        let address = address.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = Client::open(address).map_err(|_| BadMeetingPoint)?;
        let replica = wire::name(share.replicas().id());
        Ok(Exchange {
            share,
            admission,
            clock,
            client,
            script: Script::new(BOARD),
            board: board(queues),
            replica,
            line: None,
            server: ServerClock::default(),
            lost: false,
            refused: false,
            misread: false,
        })
    }

    /// Has a share before anything is served, where the exchange can be reached; gives up after a second.
    pub async fn begin(&mut self) {
        let rounds = async {
            for _ in 0..ROUNDS_TO_A_SHARE {
                self.round().await;
                sleep(LEAST_PAUSE).await;
            }
        };
        // A cut round leaves a connection that waits for an answer: it is not used again.
        if timeout(LONGEST_BEGINNING, rounds).await.is_err() {
            self.line = None;
        }
    }

    /// Runs until the gateway takes no more jobs, then says goodbye.
    pub async fn run(mut self, lifecycle: Lifecycle) {
        loop {
            select! {
                () = self.pause() => self.round().await,
                () = lifecycle.reached(Phase::Draining) => break,
            }
        }
        self.say_goodbye().await;
    }

    /// Until just after the next step of the law, so that its reading goes out fresh; about a tenth of a second. While the
    /// server is away it is asked less often.
    async fn pause(&self) {
        if self.lost {
            let jitter = Duration::from_millis(random::number() % JITTER_MILLIS);
            sleep(RETRY_PAUSE + jitter).await;
        } else {
            sleep(LEAST_PAUSE).await;
            let _ = timeout(LONGEST_PAUSE - LEAST_PAUSE, self.share.stepped()).await;
        }
    }

    async fn round(&mut self) {
        match self.exchange(false).await {
            Ok(()) => {
                if std::mem::replace(&mut self.lost, false) {
                    info!("the Redis in which gateways share is back");
                }
            }
            Err(silence) => {
                (self.line, self.server) = (None, ServerClock::default());
                if !std::mem::replace(&mut self.lost, true) {
                    warn!(%silence, "the Redis in which gateways share is away: each keeps its last share");
                }
            }
        }
    }

    /// The others need not wait until this one's line grows old. Not reached is no harm.
    async fn say_goodbye(&mut self) {
        self.line = None;
        if !self.lost && self.exchange(true).await.is_ok() {
            info!("the other gateways know that this one stops");
        }
    }

    async fn exchange(&mut self, leaving: bool) -> Result<(), Silence> {
        if self.server.shows(Moment::ORIGIN).is_none() {
            // Lines carry the server's time: it must be known before the first.
            self.ask("").await?;
        }
        let line = Line { leaving, ..self.share.line(self.admission.intake()) };
        let text = wire::write(&line, &self.server).ok_or(Silence::Foreign)?;
        let (refused, lines) = self.ask(&text).await?;
        if refused && !std::mem::replace(&mut self.refused, true) {
            error!(most = MOST_REPLICAS, "too many gateways share: this one gets no share");
        }
        if !refused {
            self.refused = false;
            self.hear(lines);
        }
        Ok(())
    }

    /// One round trip: writes the line, unless it is empty, and reads the others'.
    async fn ask(&mut self, text: &str) -> Result<(bool, Vec<(String, String)>), Silence> {
        let mut line = match self.line.take() {
            Some(line) => line,
            None => timeout(LIMIT, self.connect()).await.map_err(|_| Silence::TimedOut(LIMIT))??,
        };
        let mut call = self.script.key(&self.board);
        call.arg(&self.replica).arg(text).arg(KEPT_MILLIS).arg(MOST_REPLICAS);
        let asked = self.clock.now();
        let answer = timeout(LIMIT, call.invoke_async::<Vec<Value>>(&mut line)).await;
        let answered = self.clock.now();
        let answer = answer.map_err(|_| Silence::TimedOut(LIMIT))??;
        self.line = Some(line);
        let mut values = answer.into_iter();
        let mut next = || values.next().ok_or(Silence::Foreign);
        let micros = u64::from_redis_value(next()?).map_err(|_| Silence::Foreign)?;
        let refused = bool::from_redis_value(next()?).map_err(|_| Silence::Foreign)?;
        self.server.moment(Duration::from_micros(micros), asked, answered);
        // A line that is no text becomes one that cannot be read.
        let text = |value| String::from_redis_value(value).unwrap_or_default();
        let mut lines = Vec::new();
        while let (Some(name), Some(line)) = (values.next(), values.next()) {
            lines.push((text(name), text(line)));
        }
        Ok((refused, lines))
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(LIMIT))
            .set_response_timeout(Some(LIMIT));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    fn hear(&mut self, texts: Vec<(String, String)>) {
        let now = self.clock.now();
        let read = |(name, text): &(String, String)| wire::read(name, text, &self.server, now);
        let lines: Vec<Line> = texts.iter().filter_map(read).collect();
        let unreadable = texts.len() - lines.len();
        if unreadable > 0 && !std::mem::replace(&mut self.misread, true) {
            warn!(unreadable, board = self.board, "lines of other gateways cannot be read: they are ignored");
        }
        self.misread &= unreadable > 0;
        self.share.hear(&lines, u64::try_from(unreadable).unwrap_or(u64::MAX));
    }
}

/// One key, whatever node of a cluster it is on; gateways with other queues have another.
fn board(queues: &TierMap<String>) -> String {
    let names: Vec<&str> = Tier::ALL.into_iter().map(|tier| queues[tier].as_str()).collect();
    format!("tidegate:share:{{{}}}", names.join(","))
}

const BOARD: &str = include_str!("board.lua");

/// A Redis that does not answer within this time is away. Nobody waits for it but the exchange.
const LIMIT: Duration = Duration::from_millis(500);

/// Ten rounds a second where the law steps ten times a second or more often..
const LEAST_PAUSE: Duration = Duration::from_millis(80);

/// ..and no fewer where it steps less often.
const LONGEST_PAUSE: Duration = Duration::from_millis(130);

/// Between two tries while the server is away, with as much jitter.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
const JITTER_MILLIS: u64 = 250;

/// The lines of those that died without a goodbye are removed after so long; nobody heeds them for more than a second.
const KEPT_MILLIS: u64 = 10_000;

/// Own line written, the others' read, and once more.
const ROUNDS_TO_A_SHARE: usize = 2;

/// A meeting point that is away must not keep the gateway from starting.
const LONGEST_BEGINNING: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_of_the_same_queues_meet_at_one_key() {
        let queues = TierMap::from_fn(|tier| format!("jobs:{tier}"));
        assert_eq!(board(&queues), "tidegate:share:{jobs:p0,jobs:p1,jobs:p2}");
    }
}
