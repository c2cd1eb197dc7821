//! The spans themselves: a request, within it the decision and each storing; and what a worker is handed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{HeaderMap, Version};
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer,
};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::Span;

use crate::domain::code::Code;
use crate::domain::job::Job;
use crate::domain::tier::Tier;
use crate::telemetry::trace::context::{self, Carried, Parent};
use crate::telemetry::trace::conventions as name;
use crate::telemetry::trace::{Traces, Tracing};

/// The span of one request; it ends when it is answered, or dropped. Off, and where its trace is not recorded, what it is
/// told goes nowhere.
#[derive(Debug, Default)]
pub struct RequestSpan(Option<Live>);

/// A request whose context is known.
#[derive(Debug)]
struct Live {
    tracing: Arc<Tracing>,
    context: Context,
    /// Whether the client said which trace it is part of.
    has_parent: bool,
    /// The client's trace state, where only jobs carry it.
    long_state: Option<Box<str>>,
}

/// Where a request came from, as far as the network tells.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The address at the other end of the connection.
    pub peer: Option<IpAddr>,
    /// Whether it speaks TLS.
    pub is_secure: bool,
}

impl Traces {
    /// The span of a request, named by method and route, such as `POST /v1/jobs`; a child of the span that its head names.
    pub fn request(
        &self,
        parts: &Parts,
        request: &'static str,
        origin: impl FnOnce() -> Origin,
    ) -> RequestSpan {
        let Some(tracing) = &self.0 else { return RequestSpan(None) };
        let parent = context::of_head(&parts.headers);
        let has_parent = parent.is_some();
        let (parent, long_state) = parent.map(|Parent { context, long_state }| (context, long_state)).unzip();
        let builder = SpanBuilder::from_name(request).with_kind(SpanKind::Server);
        let mut span = tracing.tracer.build_with_context(builder, &within(parent));
        if span.is_recording() {
            let route = request.split_once(' ').map_or(request, |(_, route)| route);
            let Origin { peer, is_secure } = origin();
            span.set_attributes([
                KeyValue::new(name::HTTP_METHOD, parts.method.to_string()),
                KeyValue::new(name::HTTP_ROUTE, route),
                KeyValue::new(name::URL_PATH, route),
                KeyValue::new(name::URL_SCHEME, if is_secure { "https" } else { "http" }),
                KeyValue::new(name::PROTOCOL_VERSION, version(parts.version)),
            ]);
            if let Some(peer) = peer {
                span.set_attribute(KeyValue::new(name::PEER_ADDRESS, peer.to_string()));
            }
        }
        let context = Context::new().with_span(span);
        let (tracing, long_state) = (Arc::clone(tracing), long_state.flatten());
        RequestSpan(Some(Live { tracing, context, has_parent, long_state }))
    }

    /// A worker asks for jobs, in the context that its request's head names. The time is only asked for where it is needed.
    pub fn receive(&self, headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Receiving {
        let parent = || context::of_head(headers).map(|parent| parent.context);
        Receiving(self.0.as_ref().map(|tracing| (Arc::clone(tracing), parent(), now())))
    }
}

impl RequestSpan {
    /// The gate is asked. Nothing is recorded until it is known what it said, and the time is only asked for where it is needed.
    pub fn decide(&self, now: impl FnOnce() -> SystemTime) -> Decision<'_> {
        let live = self.0.as_ref().filter(|live| live.is_recorded());
        Decision(live.map(|live| (live, now())))
    }

    /// Jobs of a tier go to its queue: from here on they carry the context of this storing, so that the
    /// worker's span is its child. Where the trace is not recorded, they carry on what the client said of it.
    pub fn send(&self, tier: Tier, queue: &str, jobs: &mut [Job]) -> Sending {
        let Some(live) = &self.0 else { return Sending(None) };
        if !live.is_recorded() {
            if !live.has_parent {
                carry(live.context.span().span_context(), None, jobs);
            }
            return Sending(None);
        }
        let destination = live.tracing.system.destination(queue);
        let made = links(jobs.iter().map(|job| context::of_event(&job.headers)));
        let builder = SpanBuilder::from_name(format!("send {destination}"))
            .with_kind(SpanKind::Producer)
            .with_links(made);
        let mut span = live.tracing.tracer.build_with_context(builder, &live.context);
        carry(span.span_context(), live.long_state.as_deref(), jobs);
        span.set_attributes(live.tracing.operation("send"));
        span.set_attribute(KeyValue::new(name::DESTINATION, destination));
        span.set_attribute(KeyValue::new(name::TIER, tier.as_str()));
        span.set_attribute(match jobs {
            [job] => KeyValue::new(name::MESSAGE_ID, job.id.to_string()),
            jobs => KeyValue::new(name::MESSAGE_COUNT, count(jobs.len())),
        });
        Sending(Some(Box::new(span)))
    }

    /// What became of the jobs of a batch; each reason why some were not stored is named once.
    pub fn batch(&self, accepted: usize, refused: impl Iterator<Item = Code>) {
        let Some(live) = self.0.as_ref().filter(|live| live.is_recorded()) else { return };
        let mut codes: Vec<Code> = Vec::new();
        let mut failed = 0;
        for code in refused {
            failed += 1;
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        let span = live.context.span();
        span.set_attribute(KeyValue::new(name::ACCEPTED, count(accepted)));
        span.set_attribute(KeyValue::new(name::REFUSED, count(failed)));
        if !codes.is_empty() {
            let codes = codes.into_iter().map(|code| StringValue::from(code.as_str())).collect();
            span.set_attribute(KeyValue::new(name::CODE, Value::Array(Array::String(codes))));
        }
    }

    /// Ends it: the status that it is answered with, and where that is a problem, which.
    pub fn answered(self, status: u16, tier: Option<Tier>, problem: Option<Code>) {
        let Some(live) = self.0.filter(Live::is_recorded) else { return };
        let span = live.context.span();
        span.set_attribute(KeyValue::new(name::HTTP_STATUS, i64::from(status)));
        if let Some(tier) = tier {
            span.set_attribute(KeyValue::new(name::TIER, tier.as_str()));
        }
        if let Some(code) = problem {
            span.set_attribute(KeyValue::new(name::CODE, code.as_str()));
        }
        if status >= 500 {
            let kind = problem.map_or_else(|| status.to_string(), |code| code.as_str().to_owned());
            span.set_attribute(KeyValue::new(name::ERROR_TYPE, kind));
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

impl Live {
    fn is_recorded(&self) -> bool {
        self.context.span().is_recording()
    }
}

/// A question to the gate, from when it was asked.
#[derive(Debug)]
pub struct Decision<'a>(Option<(&'a Live, SystemTime)>);

/// What the gate said.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// Of which tier, where that is known.
    pub tier: Option<Tier>,
    /// To whom, where the policy names it.
    pub tenant: Option<&'a str>,
    /// Why not, if it refused.
    pub refusal: Option<Code>,
    /// When to come back.
    pub retry_after: Option<Duration>,
}

impl<'a> Decision<'a> {
    /// The gate has spoken. What it said is only asked for where it is recorded.
    pub fn made<'s>(self, said: impl FnOnce() -> Said<'s>) {
        let Some((Live { tracing, context, .. }, began)) = self.0 else { return };
        let Said { tier, tenant, refusal, retry_after } = said();
        let verdict = refusal.map_or("admitted", Code::as_str);
        let mut attributes = vec![KeyValue::new(name::VERDICT, verdict)];
        attributes.extend(tier.map(|tier| KeyValue::new(name::TIER, tier.as_str())));
        attributes.extend(tenant.map(|tenant| KeyValue::new(name::TENANT, tenant.to_owned())));
        attributes.extend(retry_after.map(|after| KeyValue::new(name::RETRY_AFTER, after.as_secs_f64())));
        let builder = SpanBuilder::from_name("decide").with_start_time(began).with_attributes(attributes);
        tracing.tracer.build_with_context(builder, context).end();
    }
}

/// Jobs on their way into the queue; it ends when their fate is known, whoever still listens.
#[derive(Debug, Default)]
pub struct Sending(Option<Box<Span>>);

impl Sending {
    /// They are stored this safely; so many of them had been before.
    pub fn stored(self, durability: &'static str, known: usize) {
        let Some(mut span) = self.0 else { return };
        span.set_attribute(KeyValue::new(name::DURABILITY, durability));
        if known > 0 {
            span.set_attribute(KeyValue::new(name::DUPLICATES, count(known)));
        }
        span.end();
    }

    /// They are not, or it is not known.
    pub fn failed(self, reason: &'static str) {
        let Some(mut span) = self.0 else { return };
        span.set_attribute(KeyValue::new(name::ERROR_TYPE, reason));
        span.set_status(Status::error(""));
        span.end();
    }
}

/// A worker that waits for jobs. One that gets none leaves no span: workers ask all day.
#[derive(Debug)]
pub struct Receiving(Option<(Arc<Tracing>, Option<SpanContext>, SystemTime)>);

impl Receiving {
    /// It is handed these.
    pub fn handed<'a>(self, jobs: impl ExactSizeIterator<Item = &'a Job>) {
        let Some((tracing, parent, began)) = self.0.filter(|_| jobs.len() > 0) else { return };
        let handed = count(jobs.len());
        let builder = SpanBuilder::from_name("receive")
            .with_kind(SpanKind::Consumer)
            .with_start_time(began)
            .with_links(links(jobs.map(|job| context::of_job(&job.headers))));
        let mut span = tracing.tracer.build_with_context(builder, &within(parent));
        span.set_attributes(tracing.operation("receive"));
        span.set_attribute(KeyValue::new(name::MESSAGE_COUNT, handed));
        span.end();
    }
}

impl Tracing {
    /// What every span of a messaging operation says of it.
    fn operation(&self, operation: &'static str) -> [KeyValue; 3] {
        [
            KeyValue::new(name::MESSAGING_SYSTEM, self.system.as_str()),
            KeyValue::new(name::OPERATION_NAME, operation),
            KeyValue::new(name::OPERATION_TYPE, operation),
        ]
    }
}

fn within(parent: Option<SpanContext>) -> Context {
    let context = Context::new();
    match parent {
        Some(parent) => context.with_remote_span_context(parent),
        None => context,
    }
}

/// Jobs go on in this context.
fn carry(context: &SpanContext, long_state: Option<&str>, jobs: &mut [Job]) {
    let carried = Carried::of(context, long_state);
    jobs.iter_mut().for_each(|job| context::put(&mut job.headers, &carried));
}

fn links(contexts: impl Iterator<Item = Option<SpanContext>>) -> Vec<Link> {
    contexts.flatten().take(MOST_LINKS).map(Link::with_context).collect()
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

fn count(things: usize) -> i64 {
    i64::try_from(things).unwrap_or(i64::MAX)
}

/// At some hundred bytes each, they are most of the largest span.
const MOST_LINKS: usize = 32;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::Request;
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanProcessor};

    use super::*;
    use crate::domain::job::JobId;
    use crate::domain::time::Timestamp;
    use crate::telemetry::trace::System;

    /// Keeps every span that has ended.
    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanProcessor for Kept {
        fn on_start(&self, _: &mut Span, _: &Context) {}

        fn on_end(&self, span: SpanData) {
            self.0.lock().unwrap().push(span);
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    /// Members of a trace state, as many as have room in so many bytes.
    fn state(bytes: usize) -> String {
        let members: Vec<_> =
            (0..32).map(|member| format!("v{member:02}={}", "x".repeat(bytes / 32 - 5))).collect();
        members.join(",")
    }

    #[test]
    fn no_span_is_larger_than_the_queue_reckons_with() {
        let kept = Kept::default();
        let tracer = SdkTracerProvider::builder().with_span_processor(kept.clone()).build().tracer("test");
        let traces = Traces(Some(Arc::new(Tracing { tracer, system: System::Embedded })));
        let made = [("ce-traceparent", CALLER.to_owned()), ("ce-tracestate", state(8_000))];
        let made: [(Box<str>, Box<str>); 2] = made.map(|(name, value)| (name.into(), value.into()));
        let job = Job::bare(JobId::new(Timestamp::from_millis(1), [7; 10]), Tier::P0);
        let job = Job { headers: made.into(), ..job };
        for own in [state(512), state(8_000)] {
            let request =
                Request::post("/v1/jobs/batch").header("traceparent", CALLER).header("tracestate", &own);
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let span =
                traces.request(&parts, "POST /v1/jobs/batch", || Origin { peer: None, is_secure: true });
            let mut jobs = vec![job.clone(); 200];
            span.send(Tier::P0, "jobs:critical", &mut jobs).stored("disk", 7);
            let carried =
                jobs[199].headers.iter().find(|(name, _)| &**name == "tracestate").map(|(_, state)| &**state);
            assert_eq!(carried, Some(&*own), "jobs carry all of it");
            span.batch(200, std::iter::empty());
            span.answered(202, Some(Tier::P0), None);
            traces.receive(&parts.headers, || SystemTime::UNIX_EPOCH).handed(jobs.iter());
        }
        let spans = kept.0.lock().unwrap();
        let names: Vec<_> = spans.iter().take(3).map(|span| &*span.name).collect();
        assert_eq!(names, ["send jobs:critical", "POST /v1/jobs/batch", "receive"]);
        for span in spans.iter() {
            let behind = allocation_counter::measure(|| drop(span.clone())).bytes_max;
            let bytes = usize::try_from(behind).unwrap() + size_of::<SpanData>();
            assert!(bytes < LARGEST, "{} has {bytes} bytes", span.name);
        }
    }

    /// As `delivery` says.
    const LARGEST: usize = 8 << 10;

    const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn off_nothing_is_allocated_no_time_is_read_and_a_job_stays_as_it_is() {
        let traces = Traces::off();
        let request = Request::post("/v1/jobs").header("traceparent", "as it came").body(()).unwrap();
        let (parts, ()) = request.into_parts();
        let job = Job::bare(JobId::new(Timestamp::from_millis(1), [7; 10]), Tier::P0);
        let mut jobs = [Job { headers: vec![("traceparent".into(), "as it came".into())], ..job }];
        let before = jobs.clone();
        let spent = allocation_counter::measure(|| {
            let span = traces.request(&parts, "POST /v1/jobs", || unreachable!());
            span.decide(|| unreachable!()).made(|| unreachable!());
            span.send(Tier::P0, "jobs:critical", &mut jobs).stored("disk", 0);
            span.batch(1, std::iter::once_with(|| unreachable!()));
            span.answered(202, Some(Tier::P0), None);
            traces.receive(&parts.headers, || unreachable!()).handed(jobs.iter());
        });
        assert_eq!((spent.count_total, jobs), (0, before));
    }
}
