//! `docs/RUNBOOK.md`: a section for each alert and an alert for each section; its commands run, against a real gateway.

use std::collections::BTreeSet;

use serde_json::json;

use super::{ALERTING, rules, text_of};
use crate::support::gateway::Setup;
use crate::support::markdown::blocks;
use crate::support::policy::Policy;
use crate::support::shell::{Manner, Shell, Step};

const RUNBOOK: &str = "docs/RUNBOOK.md";

#[test]
fn each_alert_has_its_section_and_each_section_its_alert() {
    let text = text_of(RUNBOOK);
    let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let sections: BTreeSet<&str> =
        headings.iter().copied().filter(|heading| heading.starts_with("Tidegate")).collect();
    assert_eq!(
        headings.len(),
        sections.len() + 1,
        "all but the first are of alerts, each once: {headings:?}"
    );
    let alerts = rules(ALERTING);
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!(names.len(), alerts.len(), "two alerts have one name");
    assert_eq!(names, sections);
    for alert in &alerts {
        let link = format!("{RUNBOOK}#{}", alert.name.to_lowercase());
        assert_eq!(alert.runbook.as_deref(), Some(link.as_str()), "{}", alert.name);
    }
    for section in text.split("\n## ").skip(2) {
        let name = section.lines().next().unwrap();
        for part in ["**Means.**", "**Look at", "**Do"] {
            assert!(section.contains(part), "{name} has no {part}");
        }
    }
}

/// Whether the numbers are good is for people to see; here, that each command runs and finds what it looks for.
#[tokio::test]
async fn its_commands_run() {
    let gateway = Setup::with(&Policy::calm()).admin_token(TOKEN).start().await;
    for tier in ["p0", "p1", "p2"] {
        gateway.accept(tier, "{}").await;
        gateway.accept(tier, "{}").await;
    }
    let leases = gateway.ingest.post_json("/v1/leases", &json!({ "max": 10 })).await.json();
    let leases: Vec<_> = leases["jobs"].as_array().unwrap().iter().map(|job| &job["lease"]).collect();
    let dead = json!({ "leases": leases, "dead": true, "reason": "card declined" });
    assert_eq!(gateway.ingest.post_json("/v1/leases/nack", &dead).await.status, 200);

    let folder = tempfile::tempdir().unwrap();
    let shell = Shell::new(folder.path())
        .environment("ADMIN", &format!("http://{}", gateway.admin.address()))
        .environment("INGEST", &format!("http://{}", gateway.ingest.address()))
        .environment("TOKEN", TOKEN);
    let text = text_of(RUNBOOK);
    let scripts = blocks(&text).into_iter().filter(|block| block.language == "sh" && !block.is("not-run"));
    let steps: Vec<Step> = scripts.map(|block| Step { typed: block.text, manner: Manner::Script }).collect();
    assert!(steps.len() > 20, "{}", steps.len());
    for (step, said) in steps.iter().zip(shell.play(&steps).await) {
        let block = &step.typed;
        println!("{block}--- says\n{said}");
        let says = [
            ("tidegate status", "dead      6 letters"),
            ("uniq -c", "card declined"),
            ("dead-letters/replay", r#""replayed":1"#),
            ("dead-letters/purge", r#""status":"purged""#),
            ("rollback", r#""result":"unchanged""#),
            ("dry_run", "revision"),
            ("tidegate_lost_unread_total", r#"tidegate_lost_unread_total{tier="p0"} 0"#),
        ];
        for (command, words) in says.iter().filter(|(command, _)| block.contains(command)) {
            assert!(said.contains(words), "{command} does not say {words}:\n{said}");
        }
    }
    gateway.finish().await;
}

/// Every user of a machine sees what stands on a command line.
#[tokio::test]
async fn its_commands_put_the_token_on_no_command_line() {
    let text = text_of(RUNBOOK);
    let all = blocks(&text);
    let ask = all.iter().find(|block| block.text.contains("ask()")).expect("the way to ask");
    let shown = "curl() { echo \"$@\"; }\nask there";
    let steps = [ask.text.clone(), shown.to_owned()];
    let steps = steps.map(|typed| Step { typed, manner: Manner::Script });
    let folder = tempfile::tempdir().unwrap();
    let said = Shell::new(folder.path()).environment("TOKEN", TOKEN).play(&steps).await;
    assert!(
        said[1].contains("-H @/") && said[1].contains("there") && !said[1].contains(TOKEN),
        "{}",
        said[1]
    );
}

const TOKEN: &str = "a-token-of-the-runbook-test";
