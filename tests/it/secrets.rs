//! What nobody may see: tokens, keys and passwords, in none of the gateway's outputs, whatever it is asked and whatever
//! fails.

use std::time::Duration;

use serde_json::json;

use crate::support::command::tidegate;
use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::NDJSON;
use crate::support::keys::{Keys, bearer, sha256};
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::raw::Raw;
use crate::support::redis::Redis;

const TOKEN: &str = "token-s3cr3t-0123456789abcdef";
const KEY: &str = "key-s3cr3t-0123456789abcdef";
const WRONG: &str = "wrong-s3cr3t-0123456789abcdef";
const PASSWORD: &str = "password-s3cr3t-0123456789abcdef";

#[tokio::test]
async fn no_output_of_a_running_gateway_has_a_secret() {
    for format in ["json", "text"] {
        let mut redis = Redis::start(&[("requirepass", PASSWORD)]).await;
        let gateway = setup(format, &redis).start().await;
        let mut told = drive(&gateway).await;
        redis.kill();
        until("the outage is seen", PATIENCE, async || {
            let answer = gateway.post("{}", &[("authorization", &bearer(KEY))]).await;
            (answer.status == 503).then(|| told.push(answer.text().to_owned()))
        })
        .await;
        told.extend(outputs(&gateway).await);
        redis.set_option("requirepass", "another-password");
        redis.restart().await;
        until("the password is refused", PATIENCE, async || {
            let status = gateway.status().await.to_string();
            (status.contains("WRONGPASS") || status.to_lowercase().contains("password")).then_some(())
        })
        .await;
        told.extend(outputs(&gateway).await);
        told.push(gateway.log());
        for told in &told {
            assert_no_secret(told);
        }
        assert!(told.iter().any(|told| told.contains("Redis is away")), "the outage is told");
        if format == "json" {
            gateway.finish_after_outage().await;
        } else {
            gateway.finish_with_text_log().await;
        }
    }
}

#[tokio::test]
async fn no_command_says_a_secret_also_where_it_is_in_the_wrong_place() {
    let mut setup = Setup::bare();
    setup.write("admin.token", TOKEN);
    setup.write("short.token", "s3cr3t");
    setup.write("words.token", "two s3cr3t words of a length");
    setup.write("keys.yaml", &Keys::default().and("a", "acme", KEY, "submit").to_yaml());
    setup
        .write("plain.yaml", &format!("keys: [{{ name: a, tenant: b, sha256: {KEY}, scopes: [submit] }}]\n"));
    setup.write("key.yaml", &format!("keys: [{KEY}]\n"));
    let sets = [
        format!("redis.url=redis://user:{PASSWORD}@127.0.0.1:6379"),
        format!("redis.url=rediss//user:{PASSWORD}@127.0.0.1:6379"),
        format!("redis.url=redis://user:{PASSWORD}@127.0.0.1:99999"),
        format!("redis.url=http://user:{PASSWORD}@127.0.0.1"),
        format!("redis.url=[redis://user:{PASSWORD}@127.0.0.1"),
        format!("share.redis_url=redi://:{PASSWORD}@127.0.0.1:6379"),
        format!("kafka.properties.sasl.password={PASSWORD}"),
        format!("kafka.properties.ssl.key.password={PASSWORD}"),
        format!("kafka.properties.sasl.oauthbearer.client.secret={PASSWORD}"),
        "admin.token_file=admin.token".to_owned(),
        "admin.token_file=short.token".to_owned(),
        "admin.token_file=words.token".to_owned(),
        "auth.keys_file=keys.yaml".to_owned(),
        "auth.keys_file=plain.yaml".to_owned(),
        "auth.keys_file=key.yaml".to_owned(),
    ];
    let header = format!("Authorization: Bearer {KEY}");
    for set in &sets {
        for backend in ["backend=embedded", "backend=redis", "backend=kafka"] {
            let common = ["--set", set.as_str(), "--set", backend];
            for command in [
                &["check"][..],
                &["explain", "--header", &header],
                &["explain", "--json", "--header", &header],
            ] {
                let ended = tidegate(setup.folder(), &[command, &common].concat(), &[]).await;
                assert_no_secret(&ended.said);
            }
        }
    }
    let variables = [
        ("TIDEGATE_REDIS__URL", format!("http://:{PASSWORD}@a")),
        ("TIDEGATE_ADMIN__TOKEN", TOKEN.to_owned()),
    ];
    for (name, value) in &variables {
        let ended = tidegate(setup.folder(), &["check"], &[(name, value)]).await;
        assert_eq!(ended.code, Some(2), "{}", ended.said);
        assert_no_secret(&ended.said);
    }
    for file in ["plain.yaml", "key.yaml", "admin.token"] {
        assert_no_secret(&tidegate(setup.folder(), &["check", file], &[]).await.said);
    }
    for command in ["serve", "check", "explain", "kafka"] {
        assert_no_secret(&tidegate(setup.folder(), &[command, "--help"], &[]).await.said);
    }
}

fn setup(format: &str, redis: &Redis) -> Setup {
    let mut setup = Setup::with(&Policy::calm()).admin_token(TOKEN);
    let path = setup.write("keys.yaml", &Keys::default().and("shop", "acme", KEY, "submit").to_yaml());
    let setup = setup.set("auth.keys_file", &path.display().to_string()).set("log.level", "trace");
    let setup = setup
        .set("ingest.cors.origins", "['*']")
        .set("log.format", format)
        .set("limits.max_job_bytes", "1000");
    setup.set("backend", "redis").set("redis.url", &redis.url()).set("redis.timeout", "500ms")
}

/// Good and bad requests with secrets in them; all that is answered.
async fn drive(gateway: &Gateway) -> Vec<String> {
    let (key, wrong) = (bearer(KEY), bearer(WRONG));
    let mut told = Vec::new();
    for fields in [
        &[("authorization", key.as_str())][..],
        &[("authorization", &wrong)],
        &[("authorization", KEY)],
        &[("authorization", &key), ("authorization", &wrong)],
        &[("authorization", &key), ("tidegate-tier", "p9")],
        &[("authorization", &key), ("cookie", KEY), ("proxy-authorization", &key)],
    ] {
        let answer = gateway.post("{}", fields).await;
        told.push(format!("{:?}", answer.headers) + answer.text());
        let answer = gateway.batch(NDJSON, "1\n{\n", fields).await;
        told.push(format!("{:?}", answer.headers) + answer.text());
    }
    let long = gateway.post(&"x".repeat(2_000), &[("authorization", &key)]).await;
    told.push(long.text().to_owned());
    for path in ["/v1/leases", "/v1/leases/ack"] {
        let ask = gateway.ingest.post(path).header("authorization", &key).json(&json!({}));
        told.push(ask.send().await.text().to_owned());
    }
    let target = format!("/v1/nothing?key={KEY}&token={TOKEN}");
    for client in [&gateway.ingest, &gateway.admin] {
        told.push(client.get(&target).send().await.text().to_owned());
        told.push(client.get("/v1/status").header("authorization", &wrong).send().await.text().to_owned());
    }
    gateway.tally.open(2);
    let mut raw = Raw::connect(gateway.ingest.address()).await;
    raw.send(format!("POST /v1/jobs HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\u{1}\r\n\r\n")).await;
    told.extend(raw.answer().await.map(|answer| format!("{answer:?}")));
    gateway.tally.open(1);
    std::fs::write(
        gateway.folder().join("keys.yaml"),
        format!("keys: [{{ name: x, sha256: {WRONG} }}, {WRONG}]\n"),
    )
    .unwrap();
    until("the bad file is seen", PATIENCE, async || {
        gateway.status().await["keys"]["fault"].is_string().then_some(())
    })
    .await;
    told.extend(outputs(gateway).await);
    told
}

/// All that operators see.
async fn outputs(gateway: &Gateway) -> Vec<String> {
    let mut told = Vec::new();
    for path in ["/metrics", "/v1/status", "/v1/policy", "/openapi.json", "/v1/dead-letters", "/readyz"] {
        told.push(gateway.admin.get(path).send().await.text().to_owned());
    }
    told
}

#[track_caller]
fn assert_no_secret(told: &str) {
    for secret in ["s3cr3t", &sha256(KEY), &sha256(TOKEN)] {
        assert!(!told.contains(secret), "{secret} was told:\n{told}");
    }
}

const PATIENCE: Duration = Duration::from_secs(15);
