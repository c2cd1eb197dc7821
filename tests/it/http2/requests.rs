//! What clients, workers and operators do, over HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::process::Command;
use tokio::task::JoinSet;

use super::{limited, over_http2};
use crate::support::certificates::Authority;
use crate::support::frames::{Connection, job, post};
use crate::support::gateway::Setup;
use crate::support::jobs::NDJSON;
use crate::support::policy::Policy;
use crate::support::poll::until;

#[tokio::test]
async fn many_jobs_at_once_on_one_connection_each_get_their_receipt() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[]).await;
    let mut sending = JoinSet::new();
    for n in 0..300 {
        let ask = gateway.ingest.clone();
        sending.spawn(async move { ask.post("/v1/jobs").body(format!("{{\"n\":{n}}}")).send().await });
    }
    for answer in sending.join_all().await {
        gateway.tally.job(answer.status);
        answer.receipt();
        assert_eq!(answer.header("connection"), None, "{answer:?}");
    }
    let lines: String = (300..5_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    assert_eq!(gateway.batch(NDJSON, lines, &[]).await.json()["accepted"], 4_700);
    let mut stored: Vec<String> = gateway.drain().await.iter().map(|job| job.text().to_owned()).collect();
    stored.sort_by_key(|text| (text.len(), text.clone()));
    assert_eq!(stored, (0..5_000).map(|n| format!("{{\"n\":{n}}}")).collect::<Vec<_>>());
    gateway.ingest.get("/v1/nothing").send().await.problem(404, "not_found");
    gateway.tally.open(1);
    gateway.finish().await;
}

#[tokio::test]
async fn curl_chooses_it_by_itself() {
    let authority = Authority::new("ours");
    let mut setup = Setup::with(&Policy::calm());
    let trusted = setup.write("authority.pem", &authority.pem());
    let gateway = over_http2(setup, &authority).await;
    let url = format!("https://localhost:{}/v1/jobs", gateway.ingest.address().port());
    for (version, spoken) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let mut curl = Command::new("curl");
        curl.args(["-sS", version, "--max-time", "10", "-w", "\n%{http_version} %{http_code}", "-d", "{}"]);
        let ended = curl.arg("--cacert").arg(&trusted).arg(&url).output().await.expect("curl");
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(said.ends_with(&format!("\n{spoken} 202")), "{said} {ended:?}");
        gateway.tally.job(202);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_body_of_megabytes_flows_and_one_that_is_refused_costs_its_stream_only() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[("max_job_bytes", "8MiB"), ("request_timeout", "2s")]).await;
    let large = "x".repeat(8 << 20);
    gateway.accept("p1", &large).await;
    gateway.post(&format!("{large}x"), &[]).await.problem(413, "too_large");
    assert_eq!(gateway.drain().await[0].text().len(), large.len());

    let address = gateway.ingest.address();
    let mut connection = Connection::open(address, authority.trusted()).await;
    let mut slow = connection.begin(job(address, "order"), false).await;
    slow.body.send_data(Bytes::from_static(b"{"), false).unwrap();
    let answer = slow.answer().await.expect("an answer");
    gateway.tally.job(answer.status);
    answer.problem(408, "request_timeout");
    let declared = post(address, "/v1/jobs", &[("content-length", "9000000")]);
    let answer = connection.begin(declared, false).await.answer().await.expect("an answer");
    gateway.tally.job(answer.status);
    answer.problem(413, "too_large");
    let after = connection.ask(job(address, "order"), "{}").await.expect("the connection lives on");
    gateway.tally.job(after.status);
    after.receipt();
    gateway.finish().await;
}

#[tokio::test]
async fn a_request_names_one_host() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[]).await;
    let (ingest, admin) = (gateway.ingest.address(), gateway.admin.address());
    let mut connection = Connection::open(ingest, authority.trusted()).await;
    for (target, host, status) in [
        ("https://a.example/v1/jobs", None, 202),
        ("https://a.example/v1/jobs", Some("A.example"), 202),
        ("https://a.example/v1/jobs", Some("b.example"), 400),
        ("https://user@a.example/v1/jobs", None, 400),
        ("https://a.example/v1/jobs", Some("a b"), 400),
    ] {
        let mut request = Request::post(target);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        match connection.ask(request.body(()).unwrap(), "{}").await {
            Ok(answer) => {
                gateway.tally.job(answer.status);
                assert_eq!(answer.status, status, "{target} {host:?}: {answer:?}");
            }
            // The protocol refuses a user by itself.
            Err(error) => assert!(error.is_reset() && status == 400, "{target} {host:?}: {error}"),
        }
    }
    // A page whose name was bound to our address shows nothing of the operators'.
    let mut connection = Connection::open(admin, authority.trusted()).await;
    for (host, code) in [("localhost", 200), ("evil.example", 403)] {
        let request = Request::get(format!("https://{host}/v1/status")).body(()).unwrap();
        assert_eq!(connection.ask(request, "").await.expect("an answer").status, code, "{host}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn who_leaves_a_long_poll_takes_no_job_with_it() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[]).await;
    let address = gateway.ingest.address();
    let mut connection = Connection::open(address, authority.trusted()).await;
    let poll = || post(address, "/v1/leases", &[]);
    let mut left = connection.begin(poll(), false).await;
    left.body.send_data(Bytes::from_static(b"{\"wait_seconds\":20}"), true).unwrap();
    let waiting = async |wanted: u64| {
        until("the polls that wait", Duration::from_secs(10), async || {
            (gateway.metrics().await.count("tidegate_waiting_polls", &[]) == wanted).then_some(())
        })
        .await;
    };
    waiting(1).await;
    left.body.send_reset(h2::Reason::CANCEL);
    waiting(0).await;
    gateway.accept("p1", "still there").await;
    let answer = connection.ask(poll(), "{\"wait_seconds\":5}").await.expect("an answer");
    assert_eq!(answer.json()["jobs"].as_array().map(Vec::len), Some(1), "{answer:?}");
    gateway.finish().await;
}

#[tokio::test]
async fn operators_follow_events_beside_other_requests() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[]).await;
    let address = gateway.admin.address();
    let mut connection = Connection::open(address, authority.trusted()).await;
    let get =
        |path: &str| Request::get(format!("https://localhost:{}{path}", address.port())).body(()).unwrap();
    let events = connection.begin(get("/v1/events"), true).await.answer.await.expect("an answer");
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    assert!(events.headers().get("connection").is_none());
    let mut events = events.into_body();
    for _ in 0..3 {
        let event = tokio::time::timeout(Duration::from_secs(10), events.data()).await.expect("an event");
        let length = event.expect("no end").expect("an event").len();
        events.flow_control().release_capacity(length).unwrap();
        assert_eq!(connection.ask(get("/v1/status"), "").await.expect("an answer").status, 200);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn stopping_answers_what_is_under_way_and_tells_clients_to_go() {
    let authority = Authority::new("ours");
    let mut gateway = limited(&authority, &[]).await;
    let address = gateway.ingest.address();
    let mut busy = Connection::open(address, authority.trusted()).await;
    let mut open = busy.begin(job(address, "order"), false).await;
    open.body.send_data(Bytes::from_static(b"{\"half\":"), false).unwrap();
    let mut idle = Connection::open(address, authority.trusted()).await;
    let answer = idle.ask(job(address, "order"), "{}").await.expect("an answer");
    answer.receipt();
    let before = gateway.ingest.get("/readyz").send().await;
    assert_eq!(before.status, 200);
    gateway.signal("TERM");
    until("it drains", Duration::from_secs(10), async || {
        (gateway.ingest.get("/readyz").send().await.status == 503).then_some(())
    })
    .await;
    let refused = idle.ask(job(address, "order"), "{}").await.expect("an answer");
    refused.problem(503, "draining");
    idle.ended().await;
    open.body.send_data(Bytes::from_static(b"true}"), true).unwrap();
    let answer = open.answer().await.expect("an answer");
    answer.receipt();
    busy.ended().await;
    assert!(gateway.ended(Duration::from_secs(20)).await.success());
    gateway.restart().await;
    assert_eq!(gateway.drain().await.len(), 2);
    gateway.finish().await;
}

#[tokio::test]
async fn one_connection_is_enough_for_one_client() {
    let authority = Authority::new("ours");
    let gateway = limited(&authority, &[]).await;
    for _ in 0..20 {
        gateway.accept("p1", "{}").await;
    }
    let scrape = gateway.metrics().await;
    assert_eq!(scrape.count("tidegate_connections", &[("listener", "ingest")]), 1);
    gateway.finish().await;
}
