//! TLS and SASL: the broker's certificate is checked, the gateway shows its name and password, and no password is said aloud.

use std::path::Path;
use std::process::Command;

use super::Place;
use crate::support::command::tidegate;
use crate::support::gateway::{Setup, free_port};
use crate::support::kafka::{Kafka, Listener};
use crate::support::policy::Policy;

#[tokio::test]
async fn kafka_is_spoken_to_over_tls_with_a_user_if_its_certificate_is_of_a_known_authority() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let port = free_port();
    let listener = Listener { protocol: "SASL_SSL", port, advertised: format!("localhost:{port}") };
    let login = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let kafka = Kafka::with_listener(
        listener,
        &[
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", &file("kafka.keystore.pem")),
            ("sasl.enabled.mechanisms", "SCRAM-SHA-512"),
            ("listener.name.second.scram-sha-512.sasl.jaas.config", login),
            ("scram", "gateway:correct horse"),
        ],
    )
    .await;
    let place = Place::on(&kafka, 1, &[]).await;
    let setup = |authority: &str, password: &str| -> Setup {
        place
            .at(&format!("localhost:{port}"), Policy::calm())
            .set("kafka.timeout", "4s")
            .set("kafka.properties.security.protocol", "SASL_SSL")
            .set("kafka.properties.sasl.mechanism", "SCRAM-SHA-512")
            .set("kafka.properties.sasl.username", "gateway")
            .set("kafka.properties.sasl.password", password)
            .set("kafka.properties.ssl.ca.location", authority)
    };
    let gateway = setup(&file("ca.pem"), "correct horse").start().await;
    let id = gateway.accept("p1", "over TLS").await.id;
    assert_eq!(place.drain_all(&kafka).await[0].id(), id);
    assert!(!gateway.log().contains("correct horse"), "the password is in the log");
    gateway.finish_after_outage().await;

    for (authority, password) in [(file("other.pem"), "correct horse"), (file("ca.pem"), "wrong staple")] {
        let setup = setup(&authority, password);
        let arguments = setup.arguments(free_port(), free_port());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ended = tidegate(setup.folder(), &arguments, &[]).await;
        ended.says(1, &["kafka backend is away"]);
        assert!(!ended.said.contains(password), "{}", ended.said);
    }
}

/// An authority, a certificate of it for localhost, and an authority that knows nobody.
fn certify(folder: &Path) {
    let script = "
        key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
        openssl req -x509 $key -days 2 -keyout ca.key -out ca.pem -subj /CN=test
        openssl req -x509 $key -days 2 -keyout other.key -out other.pem -subj /CN=other
        openssl req $key -keyout kafka.key -out kafka.csr -subj /CN=localhost
        echo subjectAltName=DNS:localhost > extensions
        openssl x509 -req -in kafka.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out kafka.pem
        openssl pkcs8 -topk8 -nocrypt -in kafka.key -out kafka.pkcs8
        cat kafka.pkcs8 kafka.pem ca.pem > kafka.keystore.pem";
    let ended = Command::new("sh").args(["-ec", script]).current_dir(folder).output().expect("a shell");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "openssl is needed: run `make test`, or install it\n{said}");
}
