//! Floor 7: `tidegate demo`: the real gateway in a temporary folder, modelled clients and workers that speak HTTP to it,
//! and a commentary on the flash sale that they play.

mod book;
mod caller;
mod clients;
mod commentary;
mod house;
mod round;
pub mod script;
mod tally;
mod voice;
mod workers;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use tokio::select;
use tokio::sync::watch;

use crate::app::{Running, StartError};
use crate::config::Settings;
use crate::demo::book::Book;
use crate::demo::caller::Caller;
use crate::demo::house::House;
use crate::demo::round::Round;
use crate::demo::script::Pace;
use crate::demo::voice::Voice;
use crate::runtime::signals::StopSignals;
use crate::yaml::fault::Faults;

/// What is to be shown.
#[derive(Clone, Debug)]
pub struct Show {
    /// Addresses, limits and logs; the rest is the demo's own.
    pub settings: Settings,
    /// Whether another port will do for admin where its own is taken.
    pub wanders: bool,
    /// Rounds; `None` is until it is stopped.
    pub rounds: Option<u32>,
    /// How quickly.
    pub pace: Pace,
}

/// How the show ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every receipt was accounted for.
    Whole,
    /// A receipt was lost.
    Lost,
}

/// Why there is no show.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The temporary folder.
    #[error("{}: the temporary folder cannot be written or removed: TMPDIR names another place for it", path.display())]
    Folder {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The policy that ships with it.
    #[error(transparent)]
    Policy(#[from] Faults),
    /// The thread that speaks.
    #[error("the thread that writes the commentary cannot be started")]
    Voice(#[source] io::Error),
    /// The gateway.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Plays rounds until there are enough, somebody stops it or nobody listens, and leaves nothing behind.
///
/// # Errors
/// It could not begin, or its folder could not be removed.
pub async fn run(show: &Show) -> Result<Ending, DemoError> {
    let signals = StopSignals::listen().map_err(StartError::Signals)?;
    let voice = Voice::new().map_err(DemoError::Voice)?;
    let house = House::build(show.pace)?;
    let running = house.open(&show.settings, show.wanders).await?;
    let stop = stops(signals, voice.clone());
    voice.say(&opening(show, &house, &running));
    let token = show.settings.admin.token.as_ref().map(|token| token.reveal().to_owned());
    let mut round = Round {
        number: 1,
        pace: show.pace,
        ingest: Caller::new(near(running.ingest), None),
        admin: Caller::new(near(running.admin), token),
        voice: voice.clone(),
        book: Book::default(),
        house: &house,
    };
    let mut ending = Ending::Whole;
    while *stop.borrow() == 0 && show.rounds.is_none_or(|rounds| round.number <= rounds) {
        if round.play(stop.clone()).await == Ending::Lost {
            ending = Ending::Lost;
        }
        round.number += 1;
    }
    let mut hurry = stop.clone();
    running.stop(async move { drop(hurry.wait_for(|asked| *asked > 1).await) }).await;
    let left = house.leave();
    voice.finish().await;
    left?;
    Ok(ending)
}

/// How often it was asked to stop: by signals, and by a reader who went away.
fn stops(mut signals: StopSignals, voice: Voice) -> watch::Receiver<u8> {
    let (sender, stop) = watch::channel(0_u8);
    tokio::spawn(async move {
        select! {
            () = signals.next() => {}
            () = voice.unheard() => {}
        }
        sender.send_replace(1);
        signals.next().await;
        sender.send_replace(2);
        // The last one who asks is the one who is heard: the channel stays open.
        std::future::pending::<()>().await;
    });
    stop
}

/// What there is to see, where, and how it ends.
fn opening(show: &Show, house: &House, running: &Running) -> String {
    let (ingest, admin) = (near(running.ingest), near(running.admin));
    let (length, policy) = (show.pace.length(), house.policy_file());
    let rounds = match show.rounds {
        None => "again and again".to_owned(),
        Some(1) => "once".to_owned(),
        Some(rounds) => format!("{rounds} times"),
    };
    format!(
        "tidegate demo: a flash sale in {length}, {rounds}. The gateway, its queue on disk and every request are real;
the clients and the workers are modelled.

  dashboard  http://{admin}/dashboard
  clients    post to http://{ingest}/v1/jobs, and you can: curl http://{ingest}/v1/jobs -d '{{\"type\":\"payment\"}}'
  policy     {}
  stop       Ctrl-C; nothing is left behind
",
        policy.display()
    )
}

/// The address that this machine calls a listener by.
fn near(listener: SocketAddr) -> SocketAddr {
    if listener.ip().is_unspecified() {
        SocketAddr::from((Ipv4Addr::LOCALHOST, listener.port()))
    } else {
        listener
    }
}
