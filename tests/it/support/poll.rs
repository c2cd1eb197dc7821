//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Asks again and again until there is an answer; fails the test with `what` when `patience` is used up.
pub async fn until<T>(what: &str, patience: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < patience, "waited {patience:?} in vain: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Long enough to leave the machine to the program under test.
const PAUSE: Duration = Duration::from_millis(10);
