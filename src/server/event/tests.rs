//! Events over the router: what is stored of them, what rules see, and what each fault is told.

use serde_json::json;

use crate::domain::tier::Tier;
use crate::policy::DEFAULT_DOCUMENT;
use crate::queue::embedded::lease::Lease;
use crate::server::limits::Limits;
use crate::server::testing::{Answer, Desk, LIMITS, chunks, send};

const EVENT: (&str, &str) = ("content-type", "Application/CloudEvents+json; charset=UTF-8");
const BATCH: (&str, &str) = ("content-type", "application/cloudevents-batch+json");
const BINARY: [(&str, &str); 4] =
    [("ce-specversion", "1.0"), ("ce-id", "7"), ("ce-source", "/shop"), ("ce-type", "payment")];

/// An event of this type, written with more space than it needs.
fn event(kind: &str, more: &str) -> String {
    format!(r#"{{ "specversion" : "1.0","id":"7","source":"/shop","type":"{kind}"{more} }}"#)
}

/// The `ce-*` fields of a job, sorted.
fn attributes(lease: &Lease) -> Vec<(&str, &str)> {
    let fields = lease.job.headers.iter().filter(|(name, _)| name.starts_with("ce-"));
    let mut fields: Vec<_> = fields.map(|(name, value)| (&name[3..], &**value)).collect();
    fields.sort_unstable();
    fields
}

async fn refused(desk: &Desk, path: &str, fields: &[(&str, &str)], body: &str) -> (u16, String, String) {
    let answer = desk.post(path, fields, body.to_owned()).await;
    let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
    let (status, code) = answer.code();
    (status, code, detail)
}

#[tokio::test]
async fn a_binary_event_is_stored_with_its_attributes_decoded() {
    let desk = Desk::usual();
    let more = [
        ("ce-subject", "Zo%C3%AB%20%22x%22"),
        ("ce-partitionkey", "k%C3%A4ufer"),
        ("content-type", "application/octet-stream"),
    ];
    let fields: Vec<_> = BINARY.into_iter().chain(more).collect();
    let answer = desk.post("/v1/jobs", &fields, "raw").await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let lease = desk.leased().await.remove(0);
    assert_eq!((lease.job.tier, lease.job.job_type.as_deref()), (Tier::P0, Some("payment")));
    assert_eq!(lease.job.ordering_key.as_deref(), Some("käufer"));
    assert_eq!(lease.job.content_type.as_deref(), Some("application/octet-stream"));
    assert_eq!(&lease.job.payload[..], b"raw");
    assert_eq!(attributes(&lease)[4], ("subject", "Zoë \"x\""));
}

#[tokio::test]
async fn rules_see_the_type_that_an_event_says_and_not_how_it_was_encoded() {
    let desk = Desk::usual();
    let encoded = BINARY.map(|(name, value)| (name, if value == "payment" { "%70ayment" } else { value }));
    assert_eq!(desk.post("/v1/jobs", &encoded, "").await.header("tidegate-tier"), Some("p0"));
    let quoted = BINARY.map(|(name, value)| (name, if value == "payment" { "\"payment\"" } else { value }));
    assert_eq!(desk.post("/v1/jobs", &quoted, "").await.header("tidegate-tier"), Some("p0"));
}

#[tokio::test]
async fn a_structured_event_is_stored_whole_with_its_attributes_beside_it() {
    let desk = Desk::usual();
    let text = event(
        "payment",
        r#", "subject":"Zo\u00eb","partitionkey":"k-7","n":5,"on":true,"gone":null,"data" : {"type":"digest"}"#,
    );
    let fields =
        [EVENT, ("ce-type", "digest"), ("ce-id", "99"), ("ce-mine", "x"), ("traceparent", "00-1-2-01")];
    let answer = desk.post("/v1/jobs", &fields, text.clone()).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let lease = desk.leased().await.remove(0);
    assert_eq!((lease.job.tier, lease.job.job_type.as_deref()), (Tier::P0, Some("payment")));
    assert_eq!(lease.job.ordering_key.as_deref(), Some("k-7"));
    assert_eq!(lease.job.content_type.as_deref(), Some(EVENT.1), "as sent");
    assert_eq!(lease.job.payload, text, "to the byte");
    let expected = [
        ("id", "7"),
        ("n", "5"),
        ("on", "true"),
        ("partitionkey", "k-7"),
        ("source", "/shop"),
        ("specversion", "1.0"),
        ("subject", "Zoë"),
        ("type", "payment"),
    ];
    assert_eq!(attributes(&lease), expected, "the request's own fields are gone");
    assert!(lease.job.headers.iter().any(|(name, _)| &**name == "traceparent"));
    assert_eq!(desk.counts(), [1.0, 1.0, 0.0, 0.0]);
}

#[tokio::test]
async fn the_gate_is_asked_when_the_type_is_known_and_before_the_body_where_all_tiers_are_shut() {
    let desk = Desk::usual();
    desk.sees_depth(Tier::P2, 600_000);
    let shed = refused(&desk, "/v1/jobs", &[EVENT], &event("digest", "")).await;
    assert_eq!((shed.0, shed.1.as_str()), (429, "shed"));
    // By its head this request is of the tier that is shut.
    let by_head = [EVENT, ("ce-type", "digest")];
    assert_eq!(
        desk.post("/v1/jobs", &by_head, event("payment", "")).await.header("tidegate-tier"),
        Some("p0")
    );

    let low = DEFAULT_DOCUMENT.replace("ceiling: p0 ", "ceiling: p2 ");
    assert_ne!(low, DEFAULT_DOCUMENT);
    let desk = Desk::with(&low);
    desk.sees_depth(Tier::P2, 600_000);
    let never_ending = chunks(&["{"], false);
    let answer = desk.post("/v1/jobs", &[EVENT], never_ending).await;
    assert_eq!(answer.code(), (429, "shed".to_owned()), "the caller reaches no other tier");
}

#[tokio::test]
async fn a_wish_that_cannot_be_met_is_refused_before_the_event_is_read() {
    let desk = Desk::usual();
    let fields = [EVENT, ("tidegate-tier", "p9")];
    let answer = desk.post("/v1/jobs", &fields, chunks(&["{"], false)).await;
    assert_eq!(answer.code(), (400, "malformed_request".to_owned()));
    let wished = [EVENT, ("tidegate-tier", "p2")];
    let answer = desk.post("/v1/jobs", &wished, event("unheard", "")).await;
    assert_eq!(answer.header("tidegate-tier"), Some("p2"));
}

#[tokio::test]
async fn what_is_no_event_is_refused_with_what_is_wrong() {
    let desk = Desk::usual();
    let binary = |field| BINARY.into_iter().chain([field]).collect::<Vec<_>>();
    let cases = [
        (binary(("ce-foo_bar", "x")), String::new(), "foo_bar"),
        (binary(("ce-time", "today")), String::new(), "time"),
        (binary(("ce-subject", "%C0%A0")), String::new(), "subject"),
        (binary(("ce-id", "8")), String::new(), "id"),
        (BINARY[..2].to_vec(), String::new(), "source"),
        (vec![EVENT], String::new(), "the event: it ends within its JSON"),
        (vec![EVENT], "[]".to_owned(), "the event: expected a JSON object"),
        (vec![EVENT], event("x", r#","time":"today""#), "time"),
        (vec![EVENT], event("x", r#","n":1.5"#), "n: expected a whole number"),
        (vec![EVENT], event("x", r#","data":1,"data_base64":"""#), "either data or data_base64"),
    ];
    for (count, (fields, body, told)) in (1_u32..).zip(&cases) {
        let (status, code, detail) = refused(&desk, "/v1/jobs", fields, body).await;
        assert_eq!((status, code.as_str()), (400, "invalid_event"), "{detail}");
        assert!(detail.contains(told), "{detail}");
        assert_eq!(desk.counts(), [count.into(), 0.0, 0.0, count.into()]);
    }
}

#[tokio::test]
async fn attributes_from_a_body_are_bounded_as_fields_are() {
    let desk = Desk::with(DEFAULT_DOCUMENT);
    let router = desk.bounded(Limits { max_job_bytes: 100_000, max_in_flight_bytes: 1_000_000, ..LIMITS });
    for (bytes, status) in [(7_000, 202), (8_192, 400)] {
        let text = event("x", &format!(r#","n":"{}""#, "x".repeat(bytes)));
        let answer = send(&router, "POST", "/v1/jobs", &[EVENT], text.into()).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    // Together with what else goes along.
    let text = event("x", &format!(r#","n":"{}""#, "x".repeat(4_000)));
    let state = "x".repeat(5_000);
    let fields = [EVENT, ("tracestate", state.as_str())];
    let answer = send(&router, "POST", "/v1/jobs", &fields, text.into()).await;
    assert_eq!(answer.code(), (400, "malformed_request".to_owned()));
}

#[tokio::test]
async fn other_formats_of_events_are_told_which_are_taken() {
    let desk = Desk::usual();
    for (path, media, told) in [
        ("/v1/jobs", "application/cloudevents+xml", "application/cloudevents+json"),
        ("/v1/jobs", "application/cloudevents+avro", "application/cloudevents+json"),
        ("/v1/jobs", "application/cloudevents", "application/cloudevents+json"),
        ("/v1/jobs", "application/cloudevents+json; charset=utf-16", "UTF-8"),
        ("/v1/jobs", "application/CloudEvents-batch+json", "/v1/jobs/batch"),
        ("/v1/jobs/batch", "application/cloudevents+json", "POST /v1/jobs"),
        ("/v1/jobs/batch", "application/cloudevents-batch+avro", "application/cloudevents-batch+json"),
        ("/v1/jobs/batch", "text/plain", "application/cloudevents-batch+json"),
    ] {
        let (status, code, detail) = refused(&desk, path, &[("content-type", media)], "[]").await;
        assert_eq!((status, code.as_str()), (415, "unsupported_media_type"), "{media}");
        assert!(detail.contains(told), "{media}: {detail}");
    }
    assert_eq!(desk.counts(), [8.0, 0.0, 0.0, 8.0]);
}

fn outcomes(answer: &Answer) -> Vec<String> {
    let items = answer.json()["items"].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item["code"].as_str().unwrap_or("202").to_owned()).collect()
}

#[tokio::test]
async fn each_event_of_a_batch_is_a_job_with_attributes_of_its_own() {
    let desk = Desk::usual();
    desk.sees_depth(Tier::P2, 600_000);
    let (first, second) = (event("payment", r#","partitionkey":"a""#), event("order", r#","subject":"s""#));
    let body = format!("[{first}, {second} , {}, 7, {{}}]", event("digest", ""));
    let fields = [BATCH, ("ce-mine", "x"), ("ce-id", "99"), ("traceparent", "00-1-2-01")];
    let answer = desk.post("/v1/jobs/batch", &fields, body).await;
    assert_eq!(answer.status, 207, "{}", answer.text);
    assert_eq!(outcomes(&answer), ["202", "202", "shed", "invalid_event", "invalid_event"]);
    let leases = desk.leased().await;
    assert_eq!(leases.len(), 2);
    let [critical, standard] =
        [Tier::P0, Tier::P1].map(|tier| leases.iter().find(|lease| lease.job.tier == tier).unwrap());
    assert_eq!((&critical.job.payload[..], &standard.job.payload[..]), (first.as_bytes(), second.as_bytes()));
    assert_eq!(critical.job.ordering_key.as_deref(), Some("a"));
    assert_eq!(attributes(critical)[1], ("partitionkey", "a"));
    assert_eq!(attributes(standard)[3], ("subject", "s"));
    for lease in &leases {
        assert_eq!(lease.job.content_type.as_deref(), Some("application/cloudevents+json"));
        assert_eq!(attributes(lease).len(), 5, "nothing of the request or of another event");
        assert!(lease.job.headers.iter().any(|(name, _)| &**name == "traceparent"));
    }
    assert_eq!(desk.counts(), [5.0, 2.0, 1.0, 2.0]);

    let alike = desk.post("/v1/jobs/batch", &[BATCH], "[{},{}]").await;
    assert_eq!(alike.code(), (400, "invalid_event".to_owned()));
    assert_eq!(outcomes(&alike), ["invalid_event", "invalid_event"]);
    for (body, code) in
        [("[]", "malformed_request"), ("{}", "malformed_request"), ("[{},", "malformed_request")]
    {
        assert_eq!(
            desk.post("/v1/jobs/batch", &[BATCH], body).await.code(),
            (400, code.to_owned()),
            "{body}"
        );
    }
}

#[tokio::test]
async fn an_event_in_the_head_of_a_batch_stands_for_every_item() {
    let desk = Desk::usual();
    let lines = ("content-type", "application/x-ndjson");
    let fields: Vec<_> = BINARY.into_iter().chain([lines, ("ce-subject", "a%20b")]).collect();
    let answer = desk.post("/v1/jobs/batch", &fields, "1\n2\n").await;
    assert_eq!((answer.status.as_u16(), answer.header("tidegate-tier")), (202, Some("p0")));
    for lease in desk.leased().await {
        assert_eq!(attributes(&lease)[3], ("subject", "a b"));
        assert_eq!(lease.job.content_type.as_deref(), Some("application/json"));
    }
    let broken: Vec<_> = BINARY.into_iter().chain([lines, ("ce-subject", "%")]).collect();
    let answer = desk.post("/v1/jobs/batch", &broken, "1\n2\n").await;
    assert_eq!(answer.code(), (400, "invalid_event".to_owned()));
    assert_eq!(answer.json()["items"], json!(null));
}

#[tokio::test]
async fn an_events_id_can_be_its_idempotency_key_also_while_its_tier_is_shut() {
    let desk = Desk::with(
        "idempotency_key_from: [ 'header:Idempotency-Key', ce-id ]
tenants: { default: { ceiling: p2 } }",
    );
    let body = format!("[{0},{0},{1}]", event("order", ""), event("order", r#","n":1"#));
    let batch = desk.post("/v1/jobs/batch", &[BATCH, ("ce-id", "97")], body).await;
    let items = batch.json()["items"].clone();
    assert_eq!((&items[1]["id"], &items[1]["duplicate"]), (&items[0]["id"], &json!(true)), "{}", batch.text);
    assert_eq!(items[2]["code"], json!("idempotency_mismatch"));

    let first = desk.post("/v1/jobs", &[EVENT, ("ce-id", "99")], event("digest", "")).await;
    assert_eq!((first.status.as_u16(), &first.json()["duplicate"]), (202, &json!(false)));
    desk.sees_depth(Tier::P2, 600_000);
    let again = desk.post("/v1/jobs", &[EVENT, ("ce-id", "98")], event("digest", "")).await;
    let (id, duplicate) = (&again.json()["id"], &again.json()["duplicate"]);
    assert_eq!((id, duplicate), (&first.json()["id"], &json!(true)), "{}", again.text);
    let other = desk.post("/v1/jobs", &[EVENT], event("payment", "")).await;
    assert_eq!(other.code(), (422, "idempotency_mismatch".to_owned()));
}

#[tokio::test]
async fn what_the_head_alone_would_say_of_an_event_does_not_count() {
    let desk = Desk::with(
        "type_from: [ ce-type ]
rules: [ { when: { type: payment }, tier: p0 } ]
default_tier: p2",
    );
    desk.sees_depth(Tier::P2, 600_000);
    let answer = desk.post("/v1/jobs", &[EVENT], event("payment", "")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("tidegate-tier")),
        (202, Some("p0")),
        "{}",
        answer.text
    );
    let shed = desk.post("/v1/jobs", &[EVENT], event("order", "")).await;
    assert_eq!(shed.code(), (429, "shed".to_owned()));
    assert_eq!(desk.metric("tidegate_jobs_admitted_total", "p2"), 0.0);
}
