//! What the demo says on standard output, and the moment when nobody reads it any more.

use std::io::{self, Write};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::block_in_place;

use crate::clock::Clock;
use crate::domain::time::Moment;

/// Standard output; clones share it.
#[derive(Clone, Debug)]
pub struct Voice(Arc<watch::Sender<bool>>);

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

impl Voice {
    /// Somebody listens, as far as is known.
    pub fn new() -> Voice {
        Voice(Arc::new(watch::Sender::new(false)))
    }

    /// Says some lines. A reader who has gone away, as `head` does, is noticed and no fault.
    pub fn say(&self, lines: &str) {
        // A terminal that is held with Ctrl-S holds nobody else.
        let said = block_in_place(|| {
            let mut out = io::stdout().lock();
            writeln!(out, "{lines}").and_then(|()| out.flush())
        });
        if said.is_err() {
            self.0.send_replace(true);
        }
    }

    /// Waits until nobody listens.
    pub async fn unheard(&self) {
        // An error cannot come while this voice is there.
        let _ = self.0.subscribe().wait_for(|unheard| *unheard).await;
    }
}

impl Narrator {
    /// Says one line: the time in the round, who or what it is about, and what there is to say.
    pub fn tell(&self, about: &str, what: &str) {
        let seconds = self.clock.now().since(self.begun).as_secs();
        self.voice.say(&format!("{:02}:{:02}  {about:<8}  {what}", seconds / 60, seconds % 60));
    }
}
