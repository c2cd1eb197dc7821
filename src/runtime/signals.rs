//! What the operating system asks of the process: to stop, or to read its files again.

use std::io;

use tokio::select;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, as one stream of requests to stop.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Starts to listen; from now on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// The signals cannot be caught.
    pub fn listen() -> io::Result<StopSignals> {
        Ok(StopSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// SIGHUP, as a stream of requests to read files again.
#[derive(Debug)]
pub struct HangUps(Signal);

impl HangUps {
    /// Starts to listen; from now on the signal no longer ends the process.
    ///
    /// # Errors
    /// The signal cannot be caught.
    pub fn listen() -> io::Result<HangUps> {
        Ok(HangUps(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }
}
