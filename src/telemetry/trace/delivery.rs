//! The way of finished spans to the collector: a bounded queue that never waits, and one task that sends what is in it.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::select;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::collector::{Collector, CollectorError, Loss};
use crate::telemetry::trace::counts::SpanDrop;
use crate::telemetry::trace::settings::CollectorUrl;

/// The task that sends, until it is told to finish.
#[derive(Debug)]
pub struct Delivery {
    closing: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Delivery {
    /// Sends what is still in the queue, for at most this long.
    pub async fn finish(self, within: Duration) {
        self.closing.send_replace(true);
        if timeout(within, self.task).await.is_err() {
            warn!("the collector of traces did not take the last spans in time: they are lost");
        }
    }
}

/// Where finished spans are put. One that finds no room is dropped and counted.
#[derive(Debug)]
pub(super) struct Outbox {
    spans: mpsc::Sender<SpanData>,
    metrics: Arc<Metrics>,
}

impl SpanProcessor for Outbox {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.spans.try_send(span).is_err() {
            self.metrics.spans.dropped(SpanDrop::QueueFull, 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// A queue to this collector, and the task behind it.
pub(super) fn open(
    collector: &CollectorUrl,
    resource: &Resource,
    metrics: &Arc<Metrics>,
) -> Result<(Outbox, Delivery), CollectorError> {
    let collector = Collector::at(collector, resource)?;
    let (spans, queue) = mpsc::channel(MOST_QUEUED);
    let (closing, told) = watch::channel(false);
    let courier = Courier { queue, closing: told, collector, metrics: Arc::clone(metrics), failed: None };
    let task = tokio::spawn(courier.run());
    Ok((Outbox { spans, metrics: Arc::clone(metrics) }, Delivery { closing, task }))
}

/// Takes spans out of the queue and sends them.
#[derive(Debug)]
struct Courier {
    queue: mpsc::Receiver<SpanData>,
    closing: watch::Receiver<bool>,
    collector: Collector,
    metrics: Arc<Metrics>,
    /// Spans dropped since the collector last took all it was sent, where it does not.
    failed: Option<usize>,
}

impl Courier {
    async fn run(mut self) {
        loop {
            let spans = self.next_spans().await;
            if spans.is_empty() {
                return;
            }
            self.send(spans).await;
        }
    }

    /// As many spans as are there within a moment of the first; none when the queue is closed and empty.
    async fn next_spans(&mut self) -> Vec<SpanData> {
        let mut spans = Vec::new();
        spans.extend(self.next().await);
        if !spans.is_empty() {
            let more = async {
                while spans.len() < MOST_SENT
                    && let Some(span) = self.next().await
                {
                    spans.push(span);
                }
            };
            // Late or full: what is there is sent.
            let _ = timeout(LINGER, more).await;
        }
        spans
    }

    /// The next span; when it is closing time, those that are left, and then none.
    async fn next(&mut self) -> Option<SpanData> {
        if !self.queue.is_closed() {
            select! {
                biased;
                span = self.queue.recv() => return span,
                _ = self.closing.wait_for(|closing| *closing) => self.queue.close(),
            }
        }
        self.queue.recv().await
    }

    /// Sends; whether it works is logged when it changes.
    async fn send(&mut self, spans: Vec<SpanData>) {
        let count = spans.len();
        let late = || Loss { spans: None, reason: format!("no answer within {} s", ANSWER_TIME.as_secs()) };
        let sent = timeout(ANSWER_TIME, self.collector.send(spans)).await;
        match sent.unwrap_or_else(|_| Err(late())) {
            Ok(()) => {
                if let Some(dropped) = self.failed.take() {
                    info!(dropped, "the collector of traces takes spans again");
                }
            }
            Err(Loss { spans, reason }) => {
                let lost = spans.unwrap_or(count).min(count);
                if self.failed.is_none() {
                    warn!(
                        reason,
                        "the collector of traces does not take what it is sent: spans are dropped until it does"
                    );
                }
                *self.failed.get_or_insert(0) += lost;
                self.metrics.spans.dropped(SpanDrop::NotSent, lost);
            }
        }
    }
}

/// Spans that wait to be sent at most: at a KiB or so each, some MiB. None has more than 8 KiB: what comes from outside,
/// links and trace states, is bounded where spans are made.
const MOST_QUEUED: usize = 8192;

/// Spans in one post at most: as many as OpenTelemetry's own processor sends.
const MOST_SENT: usize = 512;

/// A span waits this long for others to go with.
const LINGER: Duration = Duration::from_secs(1);

/// The collector has this long to take what it is sent, attempts after a failure included.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(10);
