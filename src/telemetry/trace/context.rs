//! W3C Trace Context, in and out: what a request's head says of the trace it belongs to, and what a job carries on.

use http::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// What a head says of the trace that its request belongs to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parent {
    /// As spans have it.
    pub(super) context: SpanContext,
    /// A trace state that is too long for spans; jobs carry it on all the same.
    pub(super) long_state: Option<Box<str>>,
}

/// The context that a head carries; `None` where there is none, or none that is well formed.
pub(super) fn of_head(headers: &HeaderMap) -> Option<Parent> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (parent, None) = (parents.next()?.to_str().ok()?, parents.next()) else { return None };
    let states: Vec<_> = headers.get_all(TRACESTATE).iter().filter_map(|value| value.to_str().ok()).collect();
    let state = states.join(",");
    if state.len() <= LONGEST_STATE {
        return Some(Parent { context: parse(parent, &state)?, long_state: None });
    }
    let is_state = state.parse::<TraceState>().is_ok();
    Some(Parent { context: parse(parent, "")?, long_state: is_state.then(|| state.into()) })
}

/// The span in whose context a job goes on, to link to. Links have no trace state: a span may have many of them.
pub(super) fn of_job(headers: &[(Box<str>, Box<str>)]) -> Option<SpanContext> {
    parse(field(headers, TRACEPARENT)?, "")
}

/// The span in which a CloudEvent was made, as its distributed tracing extension tells it, to link to.
pub(super) fn of_event(headers: &[(Box<str>, Box<str>)]) -> Option<SpanContext> {
    parse(field(headers, "ce-traceparent")?, "")
}

fn field<'a>(headers: &'a [(Box<str>, Box<str>)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(field, _)| &**field == name).map(|(_, value)| &**value)
}

/// Reads `version-traceid-parentid-flags`; a later version may say more behind it. A trace state that is wrong is left out.
fn parse(parent: &str, state: &str) -> Option<SpanContext> {
    let mut parts = parent.split('-');
    let [version, trace, span, flags] = [2, 32, 16, 2].map(|length| {
        let is_hex = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        parts.next().filter(|part| part.len() == length && part.bytes().all(is_hex))
    });
    let version = version?;
    if version == "ff" || version == "00" && parts.next().is_some() {
        return None;
    }
    let flags = u8::from_str_radix(flags?, 16).ok()?;
    let context = SpanContext::new(
        TraceId::from_hex(trace?).ok()?,
        SpanId::from_hex(span?).ok()?,
        TraceFlags::new(flags) & TraceFlags::SAMPLED,
        true,
        state.parse::<TraceState>().unwrap_or_default(),
    );
    context.is_valid().then_some(context)
}

/// Lets a job carry this context in place of what it carried. What a CloudEvent says of itself stays as it came: it tells
/// of the event's making, not of its way.
pub(super) fn put(headers: &mut Vec<(Box<str>, Box<str>)>, carried: &Carried) {
    headers.retain(|(name, _)| !matches!(&**name, TRACEPARENT | TRACESTATE));
    headers.push((TRACEPARENT.into(), carried.parent.clone()));
    if let Some(state) = &carried.state {
        headers.push((TRACESTATE.into(), state.clone()));
    }
}

/// A context as jobs carry it.
#[derive(Clone, Debug)]
pub(super) struct Carried {
    parent: Box<str>,
    state: Option<Box<str>>,
}

impl Carried {
    /// This context; its trace state is the long one where the request has one.
    pub(super) fn of(context: &SpanContext, long_state: Option<&str>) -> Carried {
        let (trace, span) = (context.trace_id(), context.span_id());
        let flags = u8::from(context.trace_flags().is_sampled());
        let state: Box<str> = long_state.map_or_else(|| context.trace_state().header().into(), Box::from);
        Carried {
            parent: format!("00-{trace}-{span}-{flags:02x}").into(),
            state: (!state.is_empty()).then_some(state),
        }
    }
}

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// In bytes. So much of a trace state W3C Trace Context asks to be passed on; each of a request's spans has a copy of its own.
const LONGEST_STATE: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn a_context_is_read_as_the_recommendation_says() {
        let sampled = parse(&format!("00-{TRACE}-{SPAN}-01"), "a=1,b=2").unwrap();
        assert!(sampled.is_sampled() && sampled.is_remote());
        assert_eq!(
            (sampled.trace_id().to_string(), sampled.span_id().to_string()),
            (TRACE.into(), SPAN.into())
        );
        assert_eq!(sampled.trace_state().header(), "a=1,b=2");
        assert!(!parse(&format!("00-{TRACE}-{SPAN}-00"), "").unwrap().is_sampled());
        // The other flags are not ours to know, a later version may say more, and a wrong state is no state.
        assert!(parse(&format!("cc-{TRACE}-{SPAN}-03-more"), "a=").unwrap().is_sampled());
    }

    #[test]
    fn what_is_no_context_is_none() {
        for wrong in [
            String::new(),
            "00-1-2-01".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("+0-{TRACE}-{SPAN}-01"),
            format!(" 00-{TRACE}-{SPAN}-01"),
        ] {
            assert_eq!(parse(&wrong, ""), None, "{wrong}");
        }
    }

    #[test]
    fn a_job_carries_one_context_and_an_event_keeps_its_own() {
        let mut headers: Vec<(Box<str>, Box<str>)> =
            [("traceparent", "nonsense"), ("tracestate", "x=1"), ("ce-traceparent", "its-own")]
                .map(|(name, value)| (name.into(), value.into()))
                .into();
        let plain = parse(&format!("00-{TRACE}-{SPAN}-01"), "").unwrap();
        let context = parse(&format!("00-{TRACE}-{SPAN}-01"), "a=1").unwrap();
        put(&mut headers, &Carried::of(&context, None));
        assert_eq!(headers.len(), 3);
        assert_eq!((field(&headers, "tracestate"), of_job(&headers)), (Some("a=1"), Some(plain.clone())));
        assert_eq!(field(&headers, "ce-traceparent"), Some("its-own"));
        put(&mut headers, &Carried::of(&plain, None));
        assert_eq!((field(&headers, "tracestate"), of_job(&headers)), (None, Some(plain)));
    }

    #[test]
    fn a_long_trace_state_is_for_the_jobs_alone_and_a_wrong_one_for_nobody() {
        let head = |state: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, format!("00-{TRACE}-{SPAN}-01").parse().unwrap());
            headers.insert(TRACESTATE, state.parse().unwrap());
            of_head(&headers).unwrap()
        };
        let long = format!("a={},b={}", "x".repeat(254), "y".repeat(253));
        let kept = head(&long);
        assert_eq!((&*kept.context.trace_state().header(), kept.long_state), (&*long, None));
        let long = format!("{long}y");
        let parent = head(&long);
        assert_eq!(
            (&*parent.context.trace_state().header(), parent.long_state.as_deref()),
            ("", Some(&*long))
        );
        assert_eq!(Carried::of(&parent.context, parent.long_state.as_deref()).state.as_deref(), Some(&*long));
        assert_eq!(head(&format!("{long}=")).long_state, None);
    }
}
