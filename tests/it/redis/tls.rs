//! `rediss://`: the server's certificate is checked against the authorities that the system knows.

use std::path::Path;
use std::process::Command;

use super::{at, drain};
use crate::support::command::tidegate;
use crate::support::gateway::free_port;
use crate::support::policy::Policy;
use crate::support::redis::Redis;

#[tokio::test]
async fn redis_is_spoken_to_over_tls_if_its_certificate_is_of_a_known_authority() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let port = free_port();
    let redis = Redis::start(&[
        ("tls-port", &port.to_string()),
        ("tls-cert-file", &file("redis.pem")),
        ("tls-key-file", &file("redis.key")),
        ("tls-ca-cert-file", &file("ca.pem")),
        ("tls-auth-clients", "no"),
    ])
    .await;
    let url = format!("rediss://localhost:{port}");
    let known = at(&url, &Policy::calm()).environment("SSL_CERT_FILE", &file("ca.pem"));
    let gateway = known.start().await;
    let id = gateway.accept("p1", "over TLS").await.id;
    assert_eq!(drain(&redis, "jobs:standard").await[0].id(), id);
    gateway.finish().await;

    let unknown = at(&url, &Policy::calm());
    let arguments = unknown.arguments(free_port(), free_port());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    tidegate(unknown.folder(), &arguments, &[]).await.says(1, &["redis"]);
}

/// An authority, and a certificate of it for localhost.
fn certify(folder: &Path) {
    let script = "
        key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
        openssl req -x509 $key -days 2 -keyout ca.key -out ca.pem -subj /CN=test
        openssl req $key -keyout redis.key -out redis.csr -subj /CN=localhost
        echo subjectAltName=DNS:localhost > extensions
        openssl x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out redis.pem";
    let ended = Command::new("sh").args(["-ec", script]).current_dir(folder).output().expect("a shell");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "openssl is needed: run `make test`, or install it\n{said}");
}
