//! Traces: spans of what a request goes through, to a collector by OTLP; their context goes on to the worker.
//!
//! Off, which is how it is unless `telemetry.otlp_endpoint` is set, a request asks one `Option` and no more: no time is
//! read, nothing is allocated, and a job carries its client's context as it came. On, finished spans go through a bounded
//! queue to one task that sends them ([`delivery`]): a request never waits for the collector.

pub mod collector;
mod context;
mod conventions;
pub mod counts;
pub mod delivery;
mod sampling;
pub mod settings;
pub mod spans;

use std::sync::Arc;

use opentelemetry::InstrumentationScope;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::collector::CollectorError;
use crate::telemetry::trace::delivery::Delivery;
use crate::telemetry::trace::settings::CollectorUrl;

/// Makes spans, or does nothing. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<Tracing>>);

/// What spans are made with.
#[derive(Debug)]
struct Tracing {
    tracer: SdkTracer,
    system: System,
}

/// Where jobs are kept, as `messaging.system` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// In the gateway's own queue.
    Embedded,
    /// In Redis.
    Redis,
    /// In Kafka.
    Kafka,
}

impl System {
    const fn as_str(self) -> &'static str {
        match self {
            System::Embedded => "tidegate",
            System::Redis => "redis",
            System::Kafka => "kafka",
        }
    }

    /// What a queue of the policy is called there: topics have `.` where queues have `:`.
    fn destination(self, queue: &str) -> String {
        match self {
            System::Embedded | System::Redis => queue.to_owned(),
            System::Kafka => queue.replace(':', "."),
        }
    }
}

impl Traces {
    /// No spans.
    pub const fn off() -> Traces {
        Traces(None)
    }

    /// Spans for this collector; the delivery is to be finished when the last of them has ended. Sampling and what the
    /// process is called come from OpenTelemetry's own environment variables.
    ///
    /// # Errors
    /// The collector cannot be spoken to at all: there is nothing to trust its certificate by.
    pub fn to(
        collector: &CollectorUrl,
        system: System,
        metrics: &Arc<Metrics>,
    ) -> Result<(Traces, Delivery), CollectorError> {
        let resource = resource();
        let (outbox, delivery) = delivery::open(collector, &resource, metrics)?;
        sampling::tell_if_unusable();
        let provider =
            SdkTracerProvider::builder().with_span_processor(outbox).with_resource(resource).build();
        let scope = InstrumentationScope::builder(NAME).with_version(env!("CARGO_PKG_VERSION")).build();
        let tracer = provider.tracer_with_scope(scope);
        Ok((Traces(Some(Arc::new(Tracing { tracer, system }))), delivery))
    }
}

/// What the process is called: by `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, and by our own name where they are
/// silent.
fn resource() -> Resource {
    let own =
        [KeyValue::new(SERVICE_NAME, NAME), KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))];
    let resource = Resource::builder_empty()
        .with_attributes(own)
        .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())]);
    match std::env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => resource.with_service_name(name).build(),
        _ => resource.build(),
    }
}

const NAME: &str = env!("CARGO_PKG_NAME");
const SERVICE_NAME: &str = "service.name";
