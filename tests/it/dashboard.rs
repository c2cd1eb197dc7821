//! `/dashboard` in a real Chromium: what an operator sees under load, in trouble, without the token, on a phone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::client::Client;
use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::NDJSON;
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::proxy::Proxy;

#[tokio::test]
async fn under_a_flash_sale_it_shows_who_is_refused_and_goes_on_each_second() {
    let gateway = Arc::new(Setup::with(&sale()).start().await);
    let over = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(load(gateway.clone(), over.clone()));
    let browser = Browser::start().await;
    browser.open(&page(&gateway)).await;

    browser.until_text("#p2 .state", |word| word == "◆ throttled").await;
    browser.until_text("#p2 .sentence", |text| text.starts_with("bulk throttled: depth ")).await;
    browser.until_text("#p2 .reason", |text| text.starts_with("demand: ")).await;
    browser.until_text("#p2 .refused", |text| text.contains("told to come back in")).await;
    assert!(browser.text("#p2 .advice").await.contains("tiers.p2.target"), "what to turn");
    assert_eq!(browser.text("#p0 .state").await, "● calm");
    assert_eq!(browser.text("#link-words").await, "live");
    assert_eq!(
        browser.run("return document.title", json!([])).await,
        "tidegate",
        "a tier held at its target is no alarm"
    );

    // It moves: the same element says another number a second later.
    let first = browser.text("#p1 .numbers").await;
    browser.until_text("#p1 .numbers", |numbers| numbers != first).await;
    // Every chart of P2 that is open has drawn something.
    let drawn = "return [...document.querySelectorAll('#p2 > .chart')].map(chart => \
        [...chart.querySelectorAll('path.line, path.area')].some(path => path.getTotalLength() > 10))";
    until("the charts are drawn", PATIENCE, async || {
        (browser.run(drawn, json!([])).await == json!([true, true, true, true])).then_some(())
    })
    .await;
    for (scheme, name) in [("light", "sale-light"), ("dark", "sale-dark")] {
        browser.looks(1_440, 1_000, scheme).await;
        browser.picture(name, false).await;
    }
    assert_eq!(
        browser.complaints().await,
        [] as [String; 0],
        "neither errors nor a broken content security policy"
    );
    browser.quit().await;
    over.store(true, Ordering::Relaxed);
    load.await.unwrap();
    gateway.drain().await;
    Arc::into_inner(gateway).unwrap().finish().await;
}

#[tokio::test]
async fn a_shed_tier_says_why_until_when_and_is_read_aloud() {
    let policy = Policy::calm();
    let gateway = Setup::with(&policy).start().await;
    let lines = "{}\n".repeat(300);
    assert_eq!(gateway.batch(NDJSON, lines, &[("tidegate-type", "analytics")]).await.status, 202);
    let browser = Browser::start().await;
    browser.open(&page(&gateway)).await;
    browser.until_text("#p2 .state", |word| word == "● calm").await;
    let tighter = policy.tier("p2", "target", "{ depth: 50 }").tier("p2", "shed", "{ at: 200, until: 100 }");
    std::fs::write(gateway.folder().join("policy.yaml"), tighter.to_yaml()).unwrap();
    let shed = browser.until_text("#p2 .sentence", |text| text.contains("shed")).await;
    assert_eq!(shed, "bulk shed: depth 300 above 200; reopens below 100, and no worker takes any");
    assert_eq!(browser.text("#p2 .state").await, "▲ shed");
    browser.until_text("#announcer", |text| text == format!("P2 is shed. {shed}")).await;
    assert_eq!(browser.run("return document.title", json!([])).await, "P2 shed · tidegate");
    let revision = gateway.status().await["policy_revision"].as_str().unwrap().to_owned();
    browser.until_text(".surroundings", |text| text.contains(&revision)).await;

    // A file that is wrong: the policy from before stays, and the page says so at the top.
    std::fs::write(gateway.folder().join("policy.yaml"), "tiers: { p2: { max_dept: 1 } }").unwrap();
    browser.until_text("#notices", |text| text.contains("rejected") && text.contains("max_dept")).await;
    browser.picture("shed", true).await;
    assert_eq!(browser.complaints().await, [] as [String; 0]);
    browser.quit().await;
    // The rejected policy is logged as an error.
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn dead_letters_are_replayed_after_a_question() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let ids = [bury(&gateway, "p0").await, bury(&gateway, "p2").await, bury(&gateway, "p2").await];
    let browser = Browser::start().await;
    browser.open(&page(&gateway)).await;
    browser.until_text("#letters", |text| ids.iter().all(|id| text.contains(id.as_str()))).await;

    // Cancelled, by the button and by the keyboard: nothing happens.
    let replay = format!("[aria-label='Replay {}']", ids[0]);
    browser.click(&replay).await;
    assert!(browser.text("#confirm").await.contains(&ids[0]));
    browser.click("#confirm-no").await;
    browser.click(&replay).await;
    browser.press(ESCAPE).await;
    assert_eq!(browser.text("#confirm").await, "");
    assert_eq!(gateway.status().await["tiers"]["p0"]["jobs"]["dead"], 1);

    browser.click(&replay).await;
    browser.click("#confirm-yes").await;
    browser.until_text("#letters .said", |text| text == "1 replayed.").await;
    browser.until_text("#letters tbody", |text| !text.contains(&ids[0]) && text.contains(&ids[1])).await;
    assert_eq!(gateway.lease(json!({ "wait_seconds": 20 })).await[0].id, ids[0]);

    browser.click("#letters .buttons button").await;
    browser.until_text("#confirm-words", |text| text.starts_with("Try the 2 of P2 again?")).await;
    browser.click("#confirm-yes").await;
    browser.until_text("#letters .said", |text| text == "2 replayed." || text == "There are none.").await;
    browser.until_text("#letters h2", |text| text == "Dead letters (0)").await;
    assert_eq!(browser.complaints().await, [] as [String; 0]);
    browser.quit().await;
    gateway.finish().await;
}

#[tokio::test]
async fn the_token_is_asked_for_kept_in_memory_and_asked_for_again() {
    let token = "a-long-enough-token-for-a-test-0123456789";
    let gateway = Setup::with(&Policy::calm()).admin_token(token).start().await;
    let browser = Browser::start().await;
    browser.open(&page(&gateway)).await;
    browser.until_text("#token", |text| text.contains("asks for its admin token")).await;
    assert_eq!(browser.text("#board").await, "", "no number without the token");
    assert_eq!(browser.run("return document.activeElement.id", json!([])).await, "token-field");
    browser.picture("token", false).await;

    browser.type_into("#token-field", &format!("not-{token}{ENTER}")).await;
    browser.until_text("#token-wrong", |text| text == "This token is not the gateway's.").await;
    browser.type_into("#token-field", &format!("{token}{ENTER}")).await;
    browser.until_text("#p0 .state", |word| word == "● calm").await;
    assert_eq!(browser.text("#token").await, "");
    let kept = "return JSON.stringify([location.href, document.cookie, {...localStorage}, {...sessionStorage}, \
        document.documentElement.outerHTML, [...document.querySelectorAll('input')].map(input => input.value)])";
    assert!(
        !browser.run(kept, json!([])).await.as_str().unwrap().contains(token),
        "it is kept in memory only"
    );

    browser.open(&page(&gateway)).await;
    browser.until_text("#token", |text| text.contains("asks for its admin token")).await;
    // The refused requests are the only complaints.
    let complaints = browser.complaints().await;
    assert!(complaints.iter().all(|line| line.contains("status of 401")), "{complaints:?}");
    browser.quit().await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_page_without_news_does_not_look_live_and_comes_back_by_itself() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let proxy = Proxy::before(gateway.admin.address()).await;
    let browser = Browser::start().await;
    browser.open(&format!("http://{}/dashboard", proxy.address)).await;
    browser.until_text("#p0 .state", |word| word == "● calm").await;
    proxy.deaf(true);
    proxy.cut_all();
    browser.until_text("#banner", |text| text.starts_with("Connection lost: ")).await;
    assert!(browser.text("#banner").await.contains("may be wrong by now"));
    let looks = "return [document.body.dataset.link, getComputedStyle(document.getElementById('board')).filter, \
        document.title]";
    assert_eq!(browser.run(looks, json!([])).await, json!(["lost", "grayscale(1)", "⚠ lost · tidegate"]));
    browser.until_text("#link-words", |text| text.starts_with("lost ")).await;
    browser.picture("lost", false).await;

    proxy.deaf(false);
    browser.until_text("#link-words", |text| text == "live").await;
    assert_eq!(browser.text("#banner").await, "");
    browser.quit().await;
    gateway.finish().await;
}

#[tokio::test]
async fn on_a_phone_nothing_scrolls_sideways_and_the_keyboard_reaches_everything() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    bury(&gateway, "p1").await;
    let browser = Browser::start().await;
    for scheme in ["light", "dark"] {
        browser.looks(360, 740, scheme).await;
        browser.open(&page(&gateway)).await;
        browser.until_text("#letters tbody", |text| text.contains("Replay")).await;
        browser
            .run("document.querySelectorAll('details').forEach(each => { each.open = true; })", json!([]))
            .await;
        let wide = "return [document.documentElement.scrollWidth, ...[...document.querySelectorAll('main *')] \
            .filter(each => each.getBoundingClientRect().right > 361 && !each.closest('.hidden, svg')).map(each => each.outerHTML)]";
        assert_eq!(browser.run(wide, json!([])).await, json!([360]), "{scheme}");
        browser.picture(&format!("phone-{scheme}"), true).await;
    }
    assert!(browser.text("#summary").await.contains("P1"), "the tiers at a glance");
    let unnamed = "return [...document.querySelectorAll('button, input, a, summary, svg, article, section, dialog, [role=meter]')] \
        .filter(each => !(each.getAttribute('aria-label') || each.textContent.trim() || each.labels?.length)).map(each => each.outerHTML)";
    assert_eq!(browser.run(unnamed, json!([])).await, json!([]), "everything has a name");
    let landmarks = "return [document.documentElement.lang, document.querySelectorAll('main').length, \
        document.querySelectorAll('h1').length, document.querySelectorAll('article[aria-labelledby]').length]";
    assert_eq!(browser.run(landmarks, json!([])).await, json!(["en", 1, 1, 3]));

    // From the top by tabs alone to the replay button; each stop shows where it is.
    browser.run("document.activeElement.blur(); scrollTo(0, 0);", json!([])).await;
    let mut stops = Vec::new();
    for _ in 0..30 {
        browser.press(TAB).await;
        let stop = "const it = document.activeElement; return [it.getAttribute('aria-label') ?? it.innerText ?? '', it.id, \
            getComputedStyle(it).outlineStyle]";
        let stop = browser.run(stop, json!([])).await;
        assert_ne!(stop[2], "none", "the focus is seen: {stop}");
        stops.push(stop);
        if stops.last().unwrap()[0].as_str().is_some_and(|name| name.starts_with("Replay 0")) {
            break;
        }
    }
    let names = json!(stops).to_string();
    for wanted in ["To the tiers", "\"look\"", "Replay 0"] {
        assert!(names.contains(wanted), "{wanted}: {names}");
    }
    assert_eq!(browser.complaints().await, [] as [String; 0]);
    browser.quit().await;
    gateway.finish().await;
}

#[tokio::test]
async fn the_past_can_be_looked_at_by_the_keyboard() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    until("some points", PATIENCE, async || {
        let history = gateway.admin.get("/v1/history").send().await.json();
        (history["times"].as_array().unwrap().len() >= 3).then_some(())
    })
    .await;
    gateway.accept("p1", "{}").await;
    let browser = Browser::start().await;
    browser.open(&page(&gateway)).await;
    let depth = "#p1 .chart .legend";
    browser.until_text(depth, |text| text.starts_with("jobs 1")).await;
    browser.run("document.getElementById('look').focus()", json!([])).await;
    browser.press(HOME).await;
    browser.until_text(depth, |text| text.starts_with("jobs 0")).await;
    browser.until_text("#looked", |text| text.ends_with(" ago")).await;
    browser.press(END).await;
    browser.until_text(depth, |text| text.starts_with("jobs 1")).await;
    assert_eq!(browser.complaints().await, [] as [String; 0]);
    browser.quit().await;
    gateway.finish().await;
}

#[tokio::test]
async fn page_and_files_are_given_without_the_token_and_hold_to_a_strict_policy() {
    let gateway =
        Setup::with(&Policy::calm()).admin_token("a-long-enough-token-for-a-test-0123456789").start().await;
    let without = Client::new(gateway.admin.address());
    for (path, media_type) in [
        ("/dashboard", "text/html; charset=utf-8"),
        ("/dashboard/main.js", "text/javascript; charset=utf-8"),
        ("/dashboard/style.css", "text/css; charset=utf-8"),
        ("/dashboard/icon.svg", "image/svg+xml"),
    ] {
        let answer = without.get(path).send().await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(media_type)), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        let parts = [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ];
        assert!(parts.iter().all(|part| policy.contains(part)) && !policy.contains("unsafe"), "{policy}");
        for (field, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(field), Some(value), "{path}");
        }
        without
            .get(path)
            .header("origin", "http://evil.example")
            .send()
            .await
            .problem(403, "origin_not_allowed");
        without.ask(Method::POST, path).send().await.problem(405, "method_not_allowed");
    }
    without.get("/dashboard/none.js").send().await.problem(404, "not_found");
    for data in ["/v1/history", "/v1/status"] {
        without.get(data).send().await.problem(401, "unauthenticated");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn the_history_has_a_point_each_five_seconds_with_the_rates_between() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    for _ in 0..20 {
        gateway.accept("p1", "{}").await;
    }
    let history = until("two points", PATIENCE, async || {
        let history = gateway.admin.get("/v1/history").send().await.json();
        (history["times"].as_array().unwrap().len() >= 2).then_some(history)
    })
    .await;
    assert_eq!(history["step_seconds"], 5);
    let p1 = &history["tiers"]["p1"];
    let sum = |column: &str| p1[column].as_array().unwrap().iter().filter_map(Value::as_f64).sum::<f64>();
    assert!((sum("admitted") * 5.0 - 20.0).abs() < 3.0, "{p1}");
    assert_eq!(sum("admitted"), sum("demand"));
    assert_eq!(p1["depth"].as_array().unwrap().last().unwrap(), 20.0, "{p1}");
    assert!(p1["latency_p99_seconds"][1].as_f64().unwrap() > 0.0, "{p1}");
    assert_eq!(history["tiers"]["p0"]["latency_p99_seconds"][1], Value::Null, "nothing was measured");
    gateway.finish().await;
}

fn page(gateway: &Gateway) -> String {
    format!("http://{}/dashboard", gateway.admin.address())
}

/// Small targets, so that a loaded machine can play a flash sale.
fn sale() -> Policy {
    Policy::calm()
        .tier("p2", "target", "{ depth: 200 }")
        .tier("p2", "max_depth", "2000")
        .tier("p2", "shed", "{ at: 1000, until: 400 }")
        .tier("p2", "retry_after", "{ min: 1s, max: 120s }")
        .tier("p1", "target", "{ delay: 10s, at_least: 500, at_most: 2000 }")
        .tier("p1", "max_depth", "5000")
        .tier("p0", "target", "{ delay: 5s, at_least: 100, at_most: 800 }")
        .tier("p0", "max_depth", "1000")
}

/// Some critical, some standard, far too much bulk, and workers that take 60 jobs in each round, until it is over.
async fn load(gateway: Arc<Gateway>, over: Arc<AtomicBool>) {
    let mut rounds = tokio::time::interval(Duration::from_millis(250));
    while !over.load(Ordering::Relaxed) {
        rounds.tick().await;
        for (kind, jobs) in [("payment", 5), ("browse", 12), ("analytics", 150)] {
            gateway.batch(NDJSON, "{}\n".repeat(jobs), &[("tidegate-type", kind)]).await;
        }
        let jobs = gateway.lease(json!({ "max": 60 })).await;
        gateway.ack(&jobs).await;
    }
}

/// Makes a dead letter; its id.
async fn bury(gateway: &Gateway, tier: &str) -> String {
    let id = gateway.accept(tier, "{}").await.id;
    let jobs = gateway.lease(json!({ "wait_seconds": 20 })).await;
    let nack =
        json!({ "leases": [jobs[0].lease], "reason": "the card was declined by the bank", "dead": true });
    assert_eq!(gateway.settle("nack", nack).await, ["ok"]);
    id
}

/// Keys, as WebDriver writes them.
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const HOME: &str = "\u{e011}";
const END: &str = "\u{e010}";

const PATIENCE: Duration = Duration::from_secs(60);
