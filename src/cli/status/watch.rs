//! Asks again and again; says so while there is no answer, and goes on by itself when there is one.

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal;
use tokio::time::{MissedTickBehavior, interval};

use crate::cli::status::Past;
use crate::cli::status::ask::{AskError, Asker};
use crate::cli::status::document::Status;
use crate::cli::status::draw::{Page, Tone, page};
use crate::cli::status::screen::Screen;
use crate::clock::Clock;
use crate::domain::time::{Moment, Timestamp};
use crate::telemetry::log::visible;

/// What is known of the gateway.
#[derive(Default)]
struct Known {
    last: Option<Answer>,
    past: Past,
    past_of: Option<Moment>,
    silent: Option<Silence>,
}

/// The last answer, and when it came.
struct Answer {
    status: Status,
    at: Timestamp,
}

/// Since when there is none, and why not.
struct Silence {
    since: Timestamp,
    why: String,
}

/// Draws what the gateway says, or passes its documents on, until it is interrupted or nobody reads.
///
/// # Errors
/// Before the first answer: what does not pass by itself, such as a wrong token.
pub(super) async fn watch(asker: &Asker, every: Duration, as_json: bool) -> Result<ExitCode, AskError> {
    let clock = Clock::start();
    let mut interrupted = pin!(signal::ctrl_c());
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut screen, mut known) = (Screen::of_stdout(), Known::default());
    while !screen.is_gone() {
        let step = async {
            ticks.tick().await;
            let asked = asker.status().await;
            if !as_json && asked.is_ok() {
                known.remember(asker, &clock).await;
            }
            asked
        };
        let asked = tokio::select! {
            asked = step => asked,
            _ = &mut interrupted => break,
        };
        let read = asked.and_then(|document| {
            if as_json {
                screen.document(&document)
            } else {
                known.hears(asker.read(&document)?, clock.wall())
            }
            Ok(())
        });
        match read {
            Ok(()) => {}
            Err(error) if known.last.is_none() && !error.may_pass() => return Err(error),
            Err(error) if as_json => eprintln!("{}", visible(&error.to_string())),
            Err(error) => known.misses(&error, clock.wall()),
        }
        if !as_json {
            screen.redraw(&known.picture(asker, every, screen.width()));
        }
    }
    screen.leave();
    Ok(ExitCode::SUCCESS)
}

impl Known {
    fn hears(&mut self, status: Status, at: Timestamp) {
        self.last = Some(Answer { status, at });
        self.silent = None;
    }

    fn misses(&mut self, error: &AskError, at: Timestamp) {
        let since = self.silent.as_ref().map_or(at, |silence| silence.since);
        self.silent = Some(Silence { since, why: error.to_string() });
        // It may be another gateway that comes back.
        self.past_of = None;
    }

    /// Reads the last hour again, now and then.
    async fn remember(&mut self, asker: &Asker, clock: &Clock) {
        let now = clock.now();
        if self.past_of.is_none_or(|read| now.since(read) >= HISTORY_EVERY) {
            self.past = asker.history().await.unwrap_or_default();
            self.past_of = Some(now);
        }
    }

    /// The last answer, under what is wrong with it.
    fn picture(&self, asker: &Asker, every: Duration, width: usize) -> Page {
        let mut picture = Page::new(width);
        if let Some(silence) = &self.silent {
            let since = clock_time(silence.since);
            picture.paragraph(Tone::Critical, "", &format!("NO ANSWER since {since}: {}", silence.why));
            let last = match &self.last {
                Some(answer) => format!("The last one came at {}, and stands below.", clock_time(answer.at)),
                None => "There was none yet.".to_owned(),
            };
            let every = humantime::format_duration(every);
            picture.paragraph(Tone::Plain, "", &format!("{last} Asking again every {every}."));
            picture.gap();
        }
        if let Some(Answer { status, .. }) = &self.last {
            picture.append(page(status, &self.past, &asker.url(), width));
        }
        picture
    }
}

fn clock_time(time: Timestamp) -> String {
    let text = time.to_string();
    text.get(11..19).map_or(text.clone(), |clock| format!("{clock}Z"))
}

/// A point of the history is of five seconds, and all of them are some hundred kilobytes.
const HISTORY_EVERY: Duration = Duration::from_secs(10);
