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
    pub beside: Beside,
}

/// What runs beside the gateway.
#[derive(Clone, Copy, Debug)]
pub enum Beside {
    Nothing,
    Redis,
    Kafka,
}

/// A page that needs nothing, or starts what it needs.
const fn page(file: &'static str) -> Page {
    Page { file, made: "", serve: None, then: "", beside: Beside::Nothing }
}

/// A page that talks to a running gateway.
const fn before(file: &'static str, serve: &'static str) -> Page {
    Page { file, made: "", serve: Some(serve), then: "", beside: Beside::Nothing }
}

/// The pages with commands, in the order of the book.
pub const PAGES: [Page; 16] = [
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
    Page { beside: Beside::Redis, ..page("REDIS.md") },
    Page { beside: Beside::Kafka, ..page("KAFKA.md") },
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

/// The blocks that are not run: page, words that only this one of them has, reason.
pub const NOT_RUN: [(&str, &str, &str); 24] = [
    ("QUICK_START.md", "cargo install", "builds for release; the tests build the same program"),
    ("POLICY.md", "tidegate check", "as a terminal shows it; `checking.rs` has a terminal"),
    ("POLICY.md", "'.shadow | .state", "of a gateway under load; `shadow.rs` has one"),
    ("CLIENTS.md", "requests.Session()", "needs requests, which no test has; `keys.rs` sends the same"),
    ("REDIS.md", "ZADD jobs:standard:delayed", "parts are left out; `redis/workers_way.rs` puts jobs off"),
    (
        "REDIS.md",
        "HSET jobs:dead_letter",
        "parts are left out; `redis_signals/dead_letters.rs` gives jobs up",
    ),
    ("REDIS.md", "--eval fail_entry.lua", "of jobs in a worker's hands; `redis/examples.rs` has some"),
    (
        "REDIS.md",
        "ACL SETUSER",
        "rights, not a run; `redis/examples.rs` gives them to a gateway and a worker",
    ),
    ("KAFKA.md", "kafka-console-consumer.sh", "never ends; `kafka/examples.rs` runs it in a worker"),
    ("CONFIGURATION.md", "security.protocol=SASL_SSL", "needs a Kafka with TLS; `kafka/tls.rs` has one"),
    ("STATUS.md", "$ tidegate status\n", "of a gateway under load; `status_command` has one"),
    ("STATUS.md", "--watch --every 5s", "ends with Ctrl-C; `status_command/watching.rs` presses it"),
    ("STATUS.md", "NO ANSWER", "of a gateway that went away; `status_command/watching.rs` ends one"),
    ("STATUS.md", "tidegate status --json | jq", "of a gateway under load; `status_command` asks for it"),
    ("STATUS.md", "--fail-on critical", "of a gateway in trouble; `status_command` has one"),
    ("STATUS.md", "gateway-2", "of another machine; `status_command/reaching.rs` asks over TLS"),
    ("TRACES.md", "jaegertracing", "needs Docker and a network; `traces` has a collector of its own"),
    (
        "TRACES.md",
        "TraceContextTextMapPropagator",
        "needs OpenTelemetry for Python; `traces` continues each trace",
    ),
    (
        "TRACES.md",
        "parentbased_traceidratio OTEL",
        "runs until it is stopped; `telemetry/trace/sampling.rs` has its own tests",
    ),
    ("RUNBOOK.md", "/etc/prometheus", "writes below /etc, which is not the test's"),
    ("RUNBOOK.md", "info persistence", "asks Redis and Kafka at once; a reader has one of them"),
    ("RUNBOOK.md", "xinfo consumers", "asks Redis and Kafka at once; a reader has one of them"),
    ("RUNBOOK.md", "--askpass", "asks for a password, and Redis and Kafka at once"),
    ("RUNBOOK.md", "kafka-configs.sh", "Kafka's own tool, for a topic that loses jobs"),
];
