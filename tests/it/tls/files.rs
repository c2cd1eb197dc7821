//! The files of TLS at the start: every kind of key is taken, and every fault is told at its key, with the file's name.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::certificates::Authority;
use crate::support::command::tidegate;
use crate::support::gateway::Setup;
use crate::support::policy::Policy;

/// What `tidegate check` says of a configuration with these files.
async fn checked(folder: &Path, listener: &str, files: &str) -> crate::support::command::Ended {
    fs::write(folder.join("config.yaml"), format!("{listener}:\n  tls: {{ {files} }}\n")).unwrap();
    tidegate(folder, &["check", "config.yaml"], &[]).await
}

#[tokio::test]
async fn keys_of_every_kind_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let script = "
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout rsa.key -out rsa.pem -subj /CN=localhost
        openssl rsa -in rsa.key -traditional -out rsa1.key
        openssl ecparam -name prime256v1 -genkey -noout -out sec1.key
        openssl req -x509 -key sec1.key -days 2 -out ec.pem -subj /CN=localhost
        openssl pkcs8 -topk8 -nocrypt -in sec1.key -out ec8.key
        openssl req -x509 -newkey ed25519 -nodes -days 2 -keyout ed.key -out ed.pem -subj /CN=localhost
        openssl ecparam -name prime256v1 -genkey -out with-parameters.key
        openssl req -x509 -key with-parameters.key -days 2 -out with-parameters.pem -subj /CN=localhost
        openssl rsa -in rsa.key -aes128 -passout pass:secret -out locked.key
        openssl rsa -in rsa.key -traditional -aes128 -passout pass:secret -out locked1.key";
    let made = Command::new("sh").args(["-ec", script]).current_dir(folder.path()).output().expect("a shell");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for (certificate, key, begins) in [
        ("rsa.pem", "rsa.key", "BEGIN PRIVATE KEY"),
        ("rsa.pem", "rsa1.key", "BEGIN RSA PRIVATE KEY"),
        ("ec.pem", "sec1.key", "BEGIN EC PRIVATE KEY"),
        ("ec.pem", "ec8.key", "BEGIN PRIVATE KEY"),
        ("ed.pem", "ed.key", "BEGIN PRIVATE KEY"),
        ("with-parameters.pem", "with-parameters.key", "BEGIN EC PARAMETERS"),
    ] {
        assert!(fs::read_to_string(folder.path().join(key)).unwrap().contains(begins), "{key}");
        let files = format!("certificate: {certificate}, key: {key}");
        let ended = checked(folder.path(), "admin", &files).await;
        assert_eq!(ended.code, Some(0), "{key}: {}", ended.said);
    }
    for key in ["locked.key", "locked1.key"] {
        let ended = checked(folder.path(), "ingest", &format!("certificate: rsa.pem, key: {key}")).await;
        ended.says(2, &["ingest.tls.key", key, "under a password"]);
    }
    let ended = checked(folder.path(), "ingest", "certificate: rsa.pem, key: ec8.key").await;
    ended.says(
        2,
        &["ingest.tls.key", "`ec8.key` holds the key of another certificate than the one in `rsa.pem`"],
    );
}

#[tokio::test]
async fn every_fault_is_told_at_its_key_with_the_files_name_and_not_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Authority::new("ours").issue();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("good.pem", &pair.certificate);
    write("good.key", &pair.key);
    write("empty", "");
    write("secret", "hunter2");
    write("cut.pem", &pair.certificate[..200]);
    write("not-base64.pem", "-----BEGIN CERTIFICATE-----\n!hunter2!\n-----END CERTIFICATE-----\n");
    write("not-der.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    write("not-der.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let good = "certificate: good.pem, key: good.key";
    let cases = [
        ("certificate: none.pem, key: good.key", "tls.certificate", "`none.pem` cannot be read"),
        ("certificate: empty, key: good.key", "tls.certificate", "`empty` holds no certificate"),
        ("certificate: secret, key: good.key", "tls.certificate", "`secret` holds no certificate"),
        ("certificate: good.key, key: good.key", "tls.certificate", "`good.key` holds no certificate"),
        ("certificate: cut.pem, key: good.key", "tls.certificate", "`cut.pem` is not PEM"),
        ("certificate: not-base64.pem, key: good.key", "tls.certificate", "`not-base64.pem` is not PEM"),
        (
            "certificate: not-der.pem, key: good.key",
            "tls.certificate",
            "`not-der.pem` holds a certificate that",
        ),
        ("certificate: good.pem, key: none.key", "tls.key", "`none.key` cannot be read"),
        ("certificate: good.pem, key: empty", "tls.key", "`empty` holds no private key"),
        ("certificate: good.pem, key: good.pem", "tls.key", "`good.pem` holds no private key"),
        (
            "certificate: good.pem, key: not-der.key",
            "tls.key",
            "`not-der.key` holds a private key that cannot",
        ),
        (&format!("{good}, client_ca: empty"), "tls.client_ca", "`empty` holds no certificate"),
        (&format!("{good}, client_ca: none.pem"), "tls.client_ca", "`none.pem` cannot be read"),
        (&format!("{good}, client_ca: not-der.pem"), "tls.client_ca", "`not-der.pem` holds no authority"),
        ("certificate: good.pem", "tls", "`key` is missing"),
        ("key: good.key", "tls", "`certificate` is missing"),
        (&format!("{good}, ca: good.pem"), "tls.ca", "unknown key"),
    ];
    for (files, key, words) in cases {
        for listener in ["ingest", "admin"] {
            let ended = checked(folder.path(), listener, files).await;
            ended.says(2, &[&format!("{listener}.{key}"), words]);
            assert!(!ended.said.contains("hunter2") && !ended.said.contains("AAAA"), "{}", ended.said);
        }
    }
    assert_eq!(checked(folder.path(), "ingest", good).await.code, Some(0));
}

#[tokio::test]
async fn a_key_that_everybody_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let authority = Authority::new("ours");
    let setup = Setup::with(&Policy::calm()).ingest_tls(&authority.issue(), authority.trusted());
    let key = setup.folder().join("ingest.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let gateway = setup.start().await;
    assert!(gateway.log().contains("can be read by every user"), "{}", gateway.log());
    gateway.finish().await;
}
