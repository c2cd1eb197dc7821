//! A real Prometheus scrapes a real gateway under load, by the configuration that is shipped: every rule and every query of the dashboard
//! has an answer.

use std::time::Duration;

use serde_json::json;

use super::dashboard::{Query, queries, variables};
use super::{ALERTING, RECORDING, rules, text_of};
use crate::support::certificates::Authority;
use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::type_of;
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::prometheus::{Prometheus, is_wanted};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_and_dashboard_have_an_answer_from_a_real_prometheus() {
    if !is_wanted() {
        return;
    }
    let authority = Authority::new("monitoring");
    let gateway = gateway(&authority).await;
    let prometheus = scraping_securely(&gateway, &authority).await;
    let mut round = 0;
    let mut asked: Vec<Query> = queries().iter().flat_map(filled_in).collect();
    asked.extend(
        rules(RECORDING).into_iter().map(|rule| Query { title: rule.name, expression: rule.expression }),
    );
    let all = asked.len();
    until("every query has an answer", PATIENCE, async || {
        round += 1;
        load(&gateway, round).await;
        let mut unanswered = Vec::new();
        for query in asked.drain(..) {
            let series = prometheus.query(&query.expression).await;
            let series = series.unwrap_or_else(|why| panic!("{}: {}: {why}", query.title, query.expression));
            if !series.iter().any(|(_, number)| !number.is_nan()) {
                unanswered.push(query);
            }
        }
        asked = unanswered;
        if round % 20 == 0 {
            println!("{} of {all} queries are unanswered: {asked:#?}", asked.len());
        }
        asked.is_empty().then_some(())
    })
    .await;
    println!("{all} queries answered in {round} rounds");

    for (selector, label) in variables() {
        let selector = filled(&selector, "p0");
        let values = prometheus.label_values(&label, &selector).await.unwrap();
        assert_eq!(values.len(), 1, "{label} of {selector}: {values:?}");
    }
    for alert in rules(ALERTING) {
        let amiss = AMISS.contains(&alert.name.as_str());
        // A scrape may take too long on a busy machine, and is missed for a moment.
        until(&format!("{} has its answer", alert.name), PATIENCE, async || {
            let answer = prometheus.query(&alert.expression).await;
            let firing = answer.unwrap_or_else(|why| panic!("{}: {why}", alert.name));
            (if alert.name == AMISS[0] { !firing.is_empty() } else { amiss || firing.is_empty() })
                .then_some(())
        })
        .await;
    }
    until("every rule was looked at and is well", PATIENCE, async || {
        let rules = prometheus.rules().await;
        let well = rules.iter().filter(|rule| rule["health"] == "ok").count();
        let ill = rules.iter().find(|rule| rule["health"] == "err");
        assert!(ill.is_none(), "{ill:?}");
        (well == self::rules(RECORDING).len() + self::rules(ALERTING).len()).then_some(())
    })
    .await;
    drop(prometheus);
    gateway.finish().await;
}

/// With all that has metrics of its own: TLS, a tenant that is watched, a limit of age, a bound that is soon reached. Operators show a token.
async fn gateway(authority: &Authority) -> Gateway {
    let policy = Policy::calm()
        .tier("p0", "target", "{ delay: 200ms, at_least: 1000, at_most: 2000 }")
        .tier("p2", "target", "{ depth: 4 }")
        .tier("p2", "max_depth", "8")
        .top("tenants", "{ anonymous: { watch: true } }");
    let setup = Setup::with(&policy).ingest_tls(&authority.issue(), authority.trusted());
    setup.admin_tls(&authority.issue(), authority.trusted()).admin_token(TOKEN).start().await
}

/// By the files that are shipped; only faster, and of these gateways.
pub async fn scraping(gateways: &[&Gateway]) -> Prometheus {
    Prometheus::start(&of(gateways), &beside()).await
}

/// As [`scraping`], over TLS and with a token, as the file says in its comments.
async fn scraping_securely(gateway: &Gateway, authority: &Authority) -> Prometheus {
    let mut here = of(&[gateway]);
    for (comment, setting) in [
        ("# authorization: { credentials_file: /etc/prometheus/", "authorization: { credentials_file: "),
        ("# scheme: https", "scheme: https"),
        ("# tls_config: { ca_file: /etc/prometheus/", "tls_config: { ca_file: "),
    ] {
        assert_eq!(here.matches(comment).count(), 1, "{comment}");
        here = here.replace(comment, setting);
    }
    let secrets = [("tidegate.token", TOKEN.to_owned()), ("tidegate-ca.pem", authority.pem())];
    Prometheus::start(&here, &[&beside()[..], &secrets].concat()).await
}

fn of(gateways: &[&Gateway]) -> String {
    let addresses = gateways.iter().map(|gateway| format!("\"{}\"", gateway.admin.address()));
    let addresses = addresses.collect::<Vec<_>>().join(", ");
    let shipped = text_of("deploy/prometheus/prometheus.yaml");
    let here = shipped
        .replace("targets: [\"127.0.0.1:9090\"]", &format!("targets: [{addresses}]"))
        .replace("_interval: 15s", "_interval: 1s");
    assert!(here.matches("_interval: 1s").count() == 2 && here.contains(&addresses));
    here
}

fn beside() -> [(&'static str, String); 2] {
    [("recording.rules.yaml", text_of(RECORDING)), ("alerting.rules.yaml", text_of(ALERTING))]
}

/// Some jobs of every tier, more bulk than there is room for; a repetition; a fault of a client; standard work done.
async fn load(gateway: &Gateway, round: usize) {
    for tier in ["p0", "p1", "p2", "p2"] {
        gateway.post("{}", &[("tidegate-type", type_of(tier))]).await;
    }
    let key = format!("round-{}", round / 2);
    gateway.post("{}", &[("idempotency-key", &key)]).await;
    gateway.post("{}", &[("ce-specversion", "1.0")]).await.problem(400, "invalid_event");
    let jobs = gateway.lease(json!({ "max": 2, "tiers": ["p1"] })).await;
    gateway.ack(&jobs).await;
}

/// The query as Grafana would send it, for each tier where it is of one.
fn filled_in(query: &Query) -> Vec<Query> {
    let tiers = if query.expression.contains("$tier") { &["p0", "p1", "p2"][..] } else { &["p0"] };
    let of = |tier: &&str| Query {
        title: filled(&query.title, tier),
        expression: filled(&query.expression, tier),
    };
    tiers.iter().map(of).collect()
}

fn filled(text: &str, tier: &str) -> String {
    let text = text.replace("$__rate_interval", "1m").replace("$instance", ".*");
    let text = text.replace("$job", "tidegate").replace("$tier", tier);
    assert!(!text.contains('$'), "{text} has a variable that nobody fills in");
    text
}

const TOKEN: &str = "a-token-of-the-queries-test";

/// What may be to be seen of that: critical jobs wait for ever, the first always too long, and bulk finds no room.
const AMISS: [&str; 4] =
    ["TidegateCriticalAgeOverLimit", "TidegateTierRefused", "TidegateCriticalBacklog", "TidegateLag"];

/// Longer than a minute of scrapes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
