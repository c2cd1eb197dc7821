//! How `tidegate status` finds its gateway: by configuration or address, with a token, over TLS; and what it says where it
//! cannot.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;

use super::{status, url};
use crate::support::certificates::Authority;
use crate::support::command::tidegate;
use crate::support::gateway::{Gateway, Setup};
use crate::support::policy::Policy;

const TOKEN: &str = "a-long-enough-token-for-a-test-0123456789";

#[tokio::test]
async fn the_configuration_tells_where_to_ask_and_with_which_token() {
    let gateway = Setup::with(&Policy::calm()).admin_token(TOKEN).start().await;
    let folder = gateway.folder();
    let file = folder.join("admin.token").display().to_string();
    let config = format!("admin: {{ listen: \"{}\", token_file: {file} }}\n", gateway.admin.address());
    std::fs::write(folder.join("ops.yaml"), config).unwrap();
    let calm = ["all that comes is taken"];
    tidegate(folder, &["status", "--config", "ops.yaml"], &[]).await.says(0, &calm);
    let listen = format!("admin.listen={}", gateway.admin.address());
    let variable = [("TIDEGATE_ADMIN__TOKEN_FILE", file.as_str())];
    tidegate(folder, &["status", "--set", &listen], &variable).await.says(0, &calm);
    let url = url(&gateway);
    tidegate(folder, &["status", "--url", &url, "--token-file", &file], &[]).await.says(0, &calm);
    tidegate(folder, &["status", "--url", &url, "--config", "ops.yaml", "--json"], &[])
        .await
        .says(0, &["\"tiers\""]);

    // Whatever goes wrong is one line on standard error, and no secret.
    std::fs::write(folder.join("other.token"), "another-token-of-sufficient-length").unwrap();
    std::fs::write(folder.join("bad.yaml"), "admin: { listn: 1 }").unwrap();
    for (args, code, words) in [
        (vec!["--url", &url], 1, "asks for its admin token: name the file that holds it with --token-file"),
        (vec!["--url", &url, "--token-file", "other.token"], 1, "does not take the token of `other.token`"),
        (
            vec!["--url", &url, "--token-file", "none.token"],
            2,
            "--token-file: the file `none.token` cannot be read",
        ),
        (vec!["--config", "bad.yaml"], 2, "did you mean `listen`?"),
        (vec!["--config", "bad.yaml", "--url", &url], 2, "did you mean `listen`?"),
        (vec!["--set", "admin.listen=127.0.0.1:0"], 2, "say with --url which one it got"),
    ] {
        let ended = tidegate(folder, &[&["status"], args.as_slice()].concat(), &[]).await;
        ended.says(code, &[words]);
        assert_eq!(ended.said.lines().count(), 1, "{}", ended.said);
        assert!(!ended.said.contains("another-token") && !ended.said.contains(TOKEN), "{}", ended.said);
    }
    // A gateway that runs is shown also while its file on disk is bad.
    std::fs::create_dir(folder.join("config")).unwrap();
    std::fs::write(folder.join("config/tidegate.yaml"), "admin: { listn: 1 }").unwrap();
    tidegate(folder, &["status", "--url", &url, "--token-file", &file], &[]).await.says(0, &calm);
    tidegate(folder, &["status", "--url", &url], &[])
        .await
        .says(1, &["asking without a token", "asks for its admin token"]);
    gateway.finish().await;
}

#[tokio::test]
async fn the_token_of_the_configuration_goes_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("admin.token"), TOKEN).unwrap();
    std::fs::write(folder.join("ops.yaml"), "admin: { listen: '127.0.0.1:9', token_file: admin.token }\n")
        .unwrap();
    let problem = r#"{"type":"urn:tidegate:problem:unauthorized","detail":"who are you?"}"#;
    let refusal = format!("HTTP/1.1 401 Unauthorized\r\ncontent-length: {}\r\n\r\n{problem}", problem.len());
    let (url, asked) = witness(refusal).await;
    let heads = || asked.lock().unwrap().drain(..).collect::<String>().to_lowercase();
    let ended = tidegate(folder, &["status", "--url", &url, "--config", "ops.yaml"], &[]).await;
    ended.says(
        1,
        &[
            "asks for its admin token: name the file that holds it with --token-file; that of `admin.token` goes only \
             to admin.listen of its configuration, http://127.0.0.1:9",
        ],
    );
    let head = heads();
    assert!(head.contains("get /v1/status") && !head.contains("authorization"), "{head}");
    let said = &["--url", &url, "--config", "ops.yaml", "--token-file", "admin.token"][..];
    let ended = tidegate(folder, &[&["status"], said].concat(), &[]).await;
    ended.says(1, &["does not take the token of `admin.token`"]);
    assert!(heads().contains(&format!("authorization: bearer {TOKEN}")));
    assert_eq!(ended.said.lines().count(), 1, "on loopback nobody is on the way: {}", ended.said);

    // This machine too, by an address that need not be it.
    let beyond = url.replace("127.0.0.1", "0.0.0.0");
    let warning = format!("the token goes to {beyond} as it is");
    let token = ["--token-file", "admin.token"];
    tidegate(folder, &[&["status", "--url", &beyond], &token[..]].concat(), &[]).await.says(1, &[&warning]);
    let without = tidegate(folder, &["status", "--url", &beyond], &[]).await;
    assert!(!without.said.contains("as it is"), "{}", without.said);
}

#[tokio::test]
async fn over_tls_it_believes_the_configured_certificate_an_authority_or_nobody() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let pair = ours.issue();
    let clients = ours.issue();
    let gateway = Setup::with(&Policy::calm())
        .admin_tls(&pair, ours.trusted_by(&clients))
        .client_ca("admin", &ours)
        .start()
        .await;
    let folder = gateway.folder();
    for (name, text) in [
        ("ours.pem", ours.pem()),
        ("others.pem", others.pem()),
        ("client.pem", clients.certificate.clone()),
        ("client.key", clients.key.clone()),
        ("empty.pem", String::new()),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let address = gateway.admin.address();
    let tls = "tls: { certificate: admin.pem, key: admin.key }";
    std::fs::write(folder.join("ops.yaml"), format!("admin: {{ listen: \"{address}\", {tls} }}\n")).unwrap();
    let identity = ["--cert", "client.pem", "--key", "client.key"];
    let (https, http) = (format!("https://{address}"), format!("http://{address}"));
    let by_name = format!("https://localhost:{}", address.port());
    for (args, code, words) in [
        (vec!["--config", "ops.yaml"], 0, "all that comes is taken"),
        (vec!["--url", &https, "--ca", "ours.pem"], 0, "all that comes is taken"),
        (vec!["--url", &by_name, "--ca", "ours.pem"], 0, "all that comes is taken"),
        (
            vec!["--url", &https, "--ca", "others.pem"],
            1,
            "TLS fails: invalid peer certificate: UnknownIssuer; --ca FILE names",
        ),
        (vec!["--url", &http], 1, "does it speak TLS (https)?"),
        (vec!["--url", &https, "--ca", "empty.pem"], 2, "the file `empty.pem` holds no certificate"),
        (vec!["--url", &https, "--ca", "none.pem"], 2, "the file `none.pem` cannot be read"),
    ] {
        let args = [&["status"], args.as_slice(), &identity].concat();
        tidegate(folder, &args, &[]).await.says(code, &[words]);
    }
    let nobody = tidegate(folder, &["status", "--url", &https, "--ca", "ours.pem"], &[]).await;
    nobody.says(1, &["it asks for a certificate: --cert and --key"]);
    assert_eq!(nobody.said.lines().count(), 1, "{}", nobody.said);

    // Another gateway has come into its place.
    let other = ours.issue();
    std::fs::write(folder.join("admin-2.pem"), &other.certificate).unwrap();
    std::fs::write(folder.join("admin-2.key"), &other.key).unwrap();
    let config = std::fs::read_to_string(folder.join("ops.yaml")).unwrap().replace("admin.", "admin-2.");
    std::fs::write(folder.join("other.yaml"), config).unwrap();
    let args = [&["status", "--config", "other.yaml"], &identity[..]].concat();
    tidegate(folder, &args, &[]).await.says(1, &["another certificate than that of admin.tls"]);
    gateway.finish().await;
}

#[tokio::test]
async fn who_is_no_admin_listener_is_told_so_in_one_line() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let ingest = format!("http://{}", gateway.ingest.address());
    let foreign = format!("http://127.0.0.2:{}", gateway.admin.address().port());
    let older = r#"{"version":"0.0.9","tiers":{"p0":{}}}"#;
    let answers = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let problem = r#"{"type":"urn:tidegate:problem:overloaded","detail":"no room\u001b[2J"}"#;
    // Whether `--watch` waits for it to pass.
    for (url, words, passes) in [
        (ingest, "is a tidegate that has no status there: is it the ingest listener?", false),
        (foreign, "does not answer: Connection refused", true),
        (stub(answers("200 OK", "<html>")).await, "what it says to /v1/status is no status", false),
        (
            stub(answers("404 Not Found", "nothing")).await,
            "no admin listener of a tidegate: it answers 404",
            false,
        ),
        (stub(answers("200 OK", older)).await, "it runs tidegate 0.0.9, whose status this one", false),
        (stub(answers("503 Service Unavailable", problem)).await, "answers 503: no room\\u001b[2J", true),
        (stub("SSH-2.0-OpenSSH\r\n".to_owned()).await, "does not answer in HTTP", false),
        (stub(String::new()).await, "ended the connection before the end of its answer", true),
        (
            stub("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}".to_owned()).await,
            "ended the connection",
            true,
        ),
    ] {
        let (once, watching) = (["status", "--url", &url], ["status", "--watch", "--url", &url]);
        let asked = if passes { vec![&once[..]] } else { vec![&once[..], &watching[..]] };
        for args in asked {
            let folder = tempfile::tempdir().unwrap();
            let ended = tidegate(folder.path(), args, &[]).await;
            ended.says(1, &[words]);
            assert_eq!(ended.said.lines().count(), 1, "{}", ended.said);
        }
    }
    let older = stub(answers("200 OK", older)).await;
    let folder = tempfile::tempdir().unwrap();
    tidegate(folder.path(), &["status", "--json", "--url", &older], &[]).await.says(0, &["0.0.9"]);
    // Status and history, once and watching: ingest knows no such path.
    for _ in 0..4 {
        gateway.tally.job(404);
    }
    let ended = status(&gateway, &["--every", "2s"]).await;
    ended.says(2, &["--watch"]);
    gateway.finish().await;
}

#[tokio::test]
async fn a_gateway_that_does_not_answer_is_given_up_after_five_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    tidegate(folder.path(), &["status", "--url", &url], &[]).await.says(1, &["gave no answer within 5 s"]);
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_history_that_does_not_come_holds_up_no_status() {
    let sale = include_str!("../../fixtures/status/sale.json");
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{sale}", sale.len());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut waiting = Vec::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = [0; 4_096];
            let length = client.read(&mut head).await.unwrap_or(0);
            if head[..length].starts_with(b"GET /v1/history") {
                waiting.push(client);
            } else {
                let _ = client.write_all(answer.as_bytes()).await;
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    for form in ["", " --watch"] {
        let line = format!("{} status{form} --url {url} | head -1", env!("CARGO_BIN_EXE_tidegate"));
        let started = Instant::now();
        let shown = Command::new("bash").args(["-c", &line]).current_dir(&folder).output().await.unwrap();
        let said = String::from_utf8_lossy(&shown.stdout);
        assert!(said.starts_with("tidegate 0.1.0 at http://127.0.0.1:"), "{said}");
        assert!(started.elapsed() < Duration::from_secs(4), "{form}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_name_that_the_gateway_does_not_have_is_refused_with_the_key_that_helps() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let proxied = relay(&gateway).await;
    let folder = tempfile::tempdir().unwrap();
    let ended = tidegate(folder.path(), &["status", "--url", &proxied], &[]).await;
    ended.says(1, &["refuses this request", "admin.hosts"]);
    gateway.finish().await;
}

/// A server that says this to whoever comes, once for each; its address.
async fn stub(answer: String) -> String {
    witness(answer).await.0
}

/// A server that says this to whoever comes, once for each; its address, and what it was asked.
async fn witness(answer: String) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let heads = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = [0; 4_096];
            let length = client.read(&mut head).await.unwrap_or(0);
            heads.lock().unwrap().push(String::from_utf8_lossy(&head[..length]).into_owned());
            let _ = client.write_all(answer.as_bytes()).await;
        }
    });
    (url, asked)
}

/// A listener under a name that is none of the gateway's: whatever `Host` comes is another's on the way there.
async fn relay(gateway: &Gateway) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let admin = gateway.admin.address();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = vec![0; 4_096];
            let length = client.read(&mut request).await.unwrap_or(0);
            let request =
                String::from_utf8_lossy(&request[..length]).replace("host: 127.0.0.1", "host: ops.example");
            let mut server = tokio::net::TcpStream::connect(admin).await.unwrap();
            server.write_all(request.as_bytes()).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
    });
    url
}
