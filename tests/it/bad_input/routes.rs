//! Paths that nothing is at, and methods that a path does not have.

use super::case::Expect::{Fine, Problem};
use super::case::{Case, case, check, guarded, hear, raw};
use crate::support::client::Client;
use crate::support::gateway::Gateway;

#[tokio::test]
async fn routes() {
    check(cases()).await;
}

pub fn cases() -> Vec<Case> {
    let request = |line: &str| raw(line, "content-length: 0\r\n");
    let mut cases = Vec::new();
    for path in UNKNOWN {
        cases.push(case(*path, request(&format!("POST {path} HTTP/1.1")), Problem(404, "not_found")));
    }
    for (path, allowed) in ROUTES {
        for method in METHODS.iter().filter(|method| !allowed.contains(method)) {
            let line = format!("{method} {path} HTTP/1.1");
            let expect = if *method == "HEAD" { Fine(405) } else { Problem(405, "method_not_allowed") };
            cases.push(case(line.clone(), request(&line), expect));
        }
    }
    for line in ["CONNECT tidegate:80 HTTP/1.1", "OPTIONS * HTTP/1.1", "POST * HTTP/1.1"] {
        cases.push(case(line, request(line), Problem(404, "not_found")));
    }
    for path in ["/healthz", "/readyz"] {
        cases.push(case(format!("HEAD {path}"), raw(&format!("HEAD {path} HTTP/1.1"), ""), Fine(200)));
    }
    cases
}

#[tokio::test]
async fn a_405_lists_what_is_allowed_and_a_404_does_not() {
    let gateway = guarded().await;
    for case in cases() {
        if let Some(answer) = hear(gateway.ingest.address(), &case).await {
            super::case::count(&gateway, &case, Some(&answer));
            let allow: Option<Vec<&str>> = answer.header("allow").map(|allow| allow.split(", ").collect());
            let path = case.name.split(' ').nth(1).unwrap_or_default();
            let route = ROUTES.iter().find(|(route, _)| answer.status == 405 && *route == path);
            assert_eq!(allow.as_deref(), route.map(|(_, allowed)| *allowed), "{}", case.name);
        }
    }
    gateway.finish().await;
}

#[tokio::test]
async fn what_is_said_back_of_a_path_or_a_method_is_short() {
    let gateway = guarded().await;
    let long = [
        (format!("POST /{} HTTP/1.1", "a".repeat(60_000)), 404),
        (format!("{} /v1/jobs HTTP/1.1", "M".repeat(60_000)), 405),
    ];
    for (line, status) in long {
        let case = case("long", raw(&line, ""), Fine(status));
        let answer = hear(gateway.ingest.address(), &case).await.expect("an answer");
        gateway.tally.job(answer.status);
        assert!(answer.body.len() < 1000, "{} bytes", answer.body.len());
    }
    gateway.finish().await;
}

#[tokio::test]
async fn operators_routes_too() {
    let gateway = guarded().await;
    for path in
        ["/", "/nothing", "/v1/status/", "/V1/STATUS", "/v1/scale", "/v1/dead-letters/a/b", "/metrics%00"]
    {
        gateway.admin.get(path).send().await.problem(404, "not_found");
    }
    for (path, allowed) in ADMIN_ROUTES {
        for method in METHODS.iter().filter(|method| !allowed.contains(method) && **method != "HEAD") {
            let answer = asked(&gateway.admin, method, path).await;
            answer.problem(405, "method_not_allowed");
            let allow: Vec<&str> = answer.header("allow").expect("Allow").split(", ").collect();
            assert_eq!(&allow, allowed, "{method} {path}");
        }
    }
    finish(gateway).await;
}

async fn asked(client: &Client, method: &str, path: &str) -> crate::support::answer::Answer {
    client.ask(method.parse().unwrap(), path).send().await
}

async fn finish(gateway: Gateway) {
    gateway.post("the next good job", &[]).await.receipt();
    gateway.finish().await;
}

const METHODS: &[&str] =
    &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "post"];

const ROUTES: &[(&str, &[&str])] = &[
    ("/v1/jobs", &["POST", "OPTIONS"]),
    ("/v1/jobs/batch", &["POST"]),
    ("/v1/leases", &["POST"]),
    ("/v1/leases/ack", &["POST"]),
    ("/v1/leases/nack", &["POST"]),
    ("/v1/leases/extend", &["POST"]),
    ("/healthz", &["GET", "HEAD"]),
    ("/readyz", &["GET", "HEAD"]),
];

const ADMIN_ROUTES: &[(&str, &[&str])] = &[
    ("/metrics", &["GET", "HEAD"]),
    ("/v1/status", &["GET", "HEAD"]),
    ("/v1/dead-letters", &["GET", "HEAD"]),
    ("/v1/dead-letters/replay", &["POST"]),
    ("/v1/dead-letters/purge", &["POST"]),
    ("/healthz", &["GET", "HEAD"]),
    ("/readyz", &["GET", "HEAD"]),
];

const UNKNOWN: &[&str] = &[
    "/",
    "//",
    "/v1",
    "/v1/",
    "/v1/job",
    "/v1/jobs/",
    "/v1/jobs//",
    "/v1/jobs/7",
    "/v1/jobs/batch/",
    "/v1/jobs/batch/x",
    "/V1/JOBS",
    "/v1/leases/",
    "/v1/leases/x",
    "/v2/jobs",
    "/v1//jobs",
    "//v1/jobs",
    "/./v1/jobs",
    "/v1/./jobs",
    "/v1/jobs/.",
    "/v1/jobs/..",
    "/v1/leases/../jobs",
    "/v1/%6aobs",
    "/v1%2fjobs",
    "/v1/jobs%2fbatch",
    "/v1/jobs%00",
    "/v1/jobs%20",
    "/v1/jobs;a=b",
    "/v1/jobs.json",
    "/v1\\jobs",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/metrics",
    "/v1/status",
    "/v1/dead-letters/purge",
    "/%zz",
    "/*",
    "/{id}",
];
