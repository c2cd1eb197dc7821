//! Asks again and again; says so while there is no answer, and goes on by itself when there is one.

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal;
use tokio::time::{MissedTickBehavior, interval};

use crate::cli::status::Past;
use crate::cli::status::ask::{AskError, Asker};
use crate::cli::status::document::Status;
use crate::cli::status::draw::{Page, Tone, low_page, page};
use crate::cli::status::screen::Screen;
use crate::clock::Clock;
use crate::domain::time::{Moment, Timestamp};
use crate::telemetry::log::visible;

/// What is known of the gateway.
#[derive(Default)]
struct Known {
    /// Whether there ever was an answer.
    has_heard: bool,
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
            let is_due = !as_json && known.is_past_due(clock.now());
            let past = async { if is_due { asker.history().await } else { None } };
            let (asked, past) = tokio::join!(asker.status(), past);
            if is_due && asked.is_ok() {
                known.remembers(past, clock.now());
            }
            asked
        };
        let asked = tokio::select! {
            asked = step => asked,
            _ = &mut interrupted => break,
        };
        let read = asked.and_then(|document| {
            if as_json {
                screen.document(&document);
                return Ok(None);
            }
            asker.read(&document).map(Some)
        });
        match read {
            Ok(status) => known.hears(status, clock.wall()),
            Err(error) if !known.has_heard && !error.may_pass() => return Err(error),
            Err(error) => known.misses(&error, clock.wall(), as_json),
        }
        if !as_json {
            screen.redraw(&known.picture(asker, every, &screen));
        }
    }
    screen.leave();
    screen.was_heard().map_err(AskError::Untold)?;
    Ok(ExitCode::SUCCESS)
}

impl Known {
    /// An answer, with its status where that is to be drawn.
    fn hears(&mut self, status: Option<Status>, at: Timestamp) {
        self.has_heard = true;
        self.silent = None;
        self.last = status.map(|status| Answer { status, at });
    }

    /// Where no picture shows it, it is said once.
    fn misses(&mut self, error: &AskError, at: Timestamp, aloud: bool) {
        let (why, since) = (error.to_string(), self.silent.as_ref().map_or(at, |silence| silence.since));
        if aloud && self.silent.as_ref().is_none_or(|silence| silence.why != why) {
            eprintln!("{} no answer: {}", clock_time(at), visible(&why));
        }
        self.silent = Some(Silence { since, why });
        // It may be another gateway that comes back.
        self.past_of = None;
    }

    /// Whether the last hour is to be read again.
    fn is_past_due(&self, now: Moment) -> bool {
        self.past_of.is_none_or(|read| now.since(read) >= HISTORY_EVERY)
    }

    fn remembers(&mut self, past: Past, now: Moment) {
        self.past = past;
        self.past_of = Some(now);
    }

    /// The last answer, under what is wrong with it.
    fn picture(&self, asker: &Asker, every: Duration, screen: &Screen) -> Page {
        let width = screen.width();
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
            let page = if screen.is_low() { low_page } else { page };
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
