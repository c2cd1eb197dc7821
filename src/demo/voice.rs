//! What the demo says on standard output, and the moment when nobody reads it any more.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::domain::time::Moment;

/// Standard output, written by a thread of its own: a terminal that is held with Ctrl-S, or a pipe that nobody reads, holds
/// up nobody else. Clones share it.
#[derive(Clone, Debug)]
pub struct Voice {
    words: mpsc::Sender<Words>,
    /// What was said and found no room.
    missed: Arc<AtomicU64>,
    unheard: watch::Receiver<bool>,
}

/// The voice of one round: each line has its time.
#[derive(Clone, Debug)]
pub struct Narrator {
    /// Who speaks.
    pub voice: Voice,
    /// The time.
    pub clock: Clock,
    /// When the round began.
    pub begun: Moment,
}

/// What the thread is given.
#[derive(Debug)]
enum Words {
    Lines(String),
    /// All that was said before is out.
    Last(oneshot::Sender<()>),
}

impl Voice {
    /// Somebody listens, as far as is known.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn new() -> io::Result<Voice> {
        let (words, given) = mpsc::channel(MOST_UNSAID);
        let (lost, unheard) = watch::channel(false);
        let missed = Arc::new(AtomicU64::new(0));
        let left_out = Arc::clone(&missed);
        // It may hang for as long as nobody reads: the process ends without it.
        thread::Builder::new().name("voice".to_owned()).spawn(move || {
            if speak(given, &left_out).is_err() {
                lost.send_replace(true);
            }
        })?;
        Ok(Voice { words, missed, unheard })
    }

    /// Says some lines. Where too much waits to be read already, they are left out.
    pub fn say(&self, lines: &str) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.words.try_send(Words::Lines(lines.to_owned())) {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until nobody listens: a reader who has gone away, as `head` does, is no fault.
    pub async fn unheard(&self) {
        // An error cannot come before it: the thread lives for as long as this voice.
        let _ = self.unheard.clone().wait_for(|unheard| *unheard).await;
    }

    /// Waits until all that was said is out, for a moment.
    pub async fn finish(&self) {
        let out = async {
            let (done, is_done) = oneshot::channel();
            if self.words.send(Words::Last(done)).await.is_ok() {
                // An error is a reader who has gone away.
                let _ = is_done.await;
            }
        };
        // Who reads no faster has not seen the rest.
        let _ = timeout(LAST_WORDS, out).await;
    }
}

/// Writes what is given, up to the end or to the first failure.
fn speak(mut given: mpsc::Receiver<Words>, missed: &AtomicU64) -> io::Result<()> {
    while let Some(words) = given.blocking_recv() {
        match words {
            Words::Lines(lines) => {
                let mut out = io::stdout().lock();
                writeln!(out, "{lines}")?;
                let missed = missed.swap(0, Ordering::Relaxed);
                if missed > 0 {
                    writeln!(out, "(not all could be said: {missed} lines were left out while nobody read)")?;
                }
                out.flush()?;
            }
            // Nobody waits any more, where it cannot be told.
            Words::Last(done) => {
                let _ = done.send(());
            }
        }
    }
    Ok(())
}

impl Narrator {
    /// Says one line: the time in the round, who or what it is about, and what there is to say.
    pub fn tell(&self, about: &str, what: &str) {
        let seconds = self.clock.now().since(self.begun).as_secs();
        self.voice.say(&format!("{:02}:{:02}  {about:<8}  {what}", seconds / 60, seconds % 60));
    }
}

/// What waits to be read at most, in lines or tables: more than an hour of commentary.
const MOST_UNSAID: usize = 1024;

/// For the reader to take what was said last, before the process ends.
const LAST_WORDS: Duration = Duration::from_secs(1);
