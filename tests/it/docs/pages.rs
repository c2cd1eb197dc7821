//! The pages whose commands are run, and the blocks that are not.

/// A page, and what its reader is thought to have before it begins.
#[derive(Debug)]
pub struct Page {
    /// From `docs/`.
    pub file: &'static str,
    /// A script that makes what the page takes for granted.
    pub made: &'static str,
    /// The gateway that the page takes for granted; others start one of their own.
    pub serve: Option<&'static str>,
    /// A script that brings that gateway into the state which the page takes for granted.
    pub then: &'static str,
    /// A Redis that runs beside it.
    pub redis: bool,
}

/// A page that needs nothing, or starts what it needs.
const fn page(file: &'static str) -> Page {
    Page { file, made: "", serve: None, then: "", redis: false }
}

/// A page that talks to a running gateway.
const fn before(file: &'static str, serve: &'static str) -> Page {
    Page { file, made: "", serve: Some(serve), then: "", redis: false }
}

/// The pages with commands, in the order of the book.
pub const PAGES: [Page; 15] = [
    page("QUICK_START.md"),
    page("TUNING.md"),
    page("tuning/FLASH_SALE.md"),
    page("tuning/NIGHTLY_BATCH.md"),
    page("tuning/WEBHOOKS.md"),
    page("tuning/IOT.md"),
    Page {
        made: r#"cp policies/flash-sale.yaml policies/now.yaml
            sed 's/weight: 10 /weight: 25 /' policies/now.yaml > policies/new.yaml"#,
        ..before("POLICY.md", "tidegate serve --set policy=policies/now.yaml")
    },
    page("SIMULATE.md"),
    Page {
        made: r#"TIDEGATE_KEY=a-key-of-the-clients-page-0123456789
            printf 'keys: [{ name: shop, tenant: shop, scopes: [submit, lease], sha256: %s }]\n' \
                "$(printf %s "$TIDEGATE_KEY" | sha256sum | cut -d ' ' -f 1)" > keys.yaml
            seq -f '{"type":"browse","page":%g}' 1000 > pages.ndjson"#,
        ..before("CLIENTS.md", "tidegate serve --set auth.keys_file=keys.yaml")
    },
    before("EVENTS.md", "tidegate serve"),
    page("DELIVERY.md"),
    Page { redis: true, ..page("REDIS.md") },
    Page {
        made: r#"printf 'ingest: { lisen: "127.0.0.1:8080" }\nlimits:\n  request_timeout: 10\n' > broken.yaml"#,
        ..page("CONFIGURATION.md")
    },
    Page {
        // A point of the history is due every five seconds.
        then: r#"curl -s localhost:8080/v1/jobs -H 'Tidegate-Type: digest' -d '{}'
            until curl -s localhost:9090/v1/history | jq -e '.times != []' >/dev/null; do :; done"#,
        ..before("DASHBOARD.md", "tidegate serve")
    },
    page("FAQ.md"),
];

/// Pages whose commands another test runs: `monitoring::runbook`, against a gateway in trouble.
pub const ELSEWHERE: [&str; 1] = ["RUNBOOK.md"];

/// The blocks that are not run: page, first line, reason.
pub const NOT_RUN: &[(&str, &str, &str)] = &[
    ("QUICK_START.md", "cargo install --locked --path .", "builds for release; the tests build the same program"),
    (
        "POLICY.md",
        "$ tidegate check policies/next.yaml policies/tried.yaml",
        "as a terminal shows it; `checking.rs` has a terminal",
    ),
    (
        "POLICY.md",
        "$ curl -s http://127.0.0.1:9090/v1/status | jq -c '.shadow | .state, .decisions[], .disagreements[]'",
        "of a gateway under load; `shadow.rs` has one",
    ),
    ("CLIENTS.md", "gateway = requests.Session()", "needs requests, which no test has; `keys.rs` sends the same"),
    (
        "REDIS.md",
        "redis-cli --eval fail_entry.lua jobs:standard jobs:standard:delayed jobs:dead_letter jobs:dead_letter:p1 , workers 1763758740000-0 'card declined' 60000",
        "of a job in a worker's hands; `redis/examples.rs` runs both scripts with such jobs",
    ),
    (
        "KAFKA.md",
        "tidegate kafka init --config config/kafka.yaml --dry-run      # tells which topics would be made; without --dry-run it makes them",
        "needs a Kafka; `kafka_topics/init.rs` has one",
    ),
    (
        "KAFKA.md",
        "kafka-console-consumer.sh --bootstrap-server 127.0.0.1:9092 --topic jobs.bulk --from-beginning --property print.key=true --property print.headers=true",
        "Kafka's own tool, which never ends; `kafka/examples.rs` runs it as a worker",
    ),
    (
        "CONFIGURATION.md",
        "tidegate serve --set kafka.properties.security.protocol=SASL_SSL",
        "needs a Kafka with TLS; `kafka/tls.rs` has one",
    ),
    (
        "RUNBOOK.md",
        "sed 's|runbook_url: |&https://wiki.example/tidegate/|' deploy/prometheus/alerting.rules.yaml > /etc/prometheus/tidegate.rules.yaml",
        "writes below /etc, which is not the test's",
    ),
    (
        "RUNBOOK.md",
        "redis-cli -u redis://127.0.0.1:6379 ping                       # then: info persistence, info memory, xinfo groups jobs:critical",
        "asks Redis and Kafka at once; a reader has one of them",
    ),
    (
        "RUNBOOK.md",
        "kafka-configs.sh --bootstrap-server 127.0.0.1:9092 --alter --entity-type topics --entity-name jobs.standard --add-config retention.ms=1209600000",
        "Kafka's own tool, on a topic that loses jobs",
    ),
];
