//! `docs/RUNBOOK.md`: a section for each alert and an alert for each section; its commands run, against a real gateway.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use super::{ALERTING, project, rules, text_of};
use crate::support::gateway::Setup;
use crate::support::policy::Policy;

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

#[test]
fn its_links_lead_somewhere() {
    let text = text_of(RUNBOOK);
    let anchors: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|heading| heading.to_lowercase().replace(' ', "-"))
        .collect();
    for target in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        match target.split_once('#') {
            Some(("", anchor)) => assert!(anchors.iter().any(|other| other == anchor), "no section {anchor}"),
            Some((file, _)) => assert!(project("docs").join(file).exists(), "no file {file}"),
            None => assert!(project("docs").join(target).exists(), "no file {target}"),
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

    let (folder, text) = (tempfile::tempdir().unwrap(), text_of(RUNBOOK));
    let blocks: Vec<&str> =
        text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let (first, others) = blocks.split_first().expect("commands");
    assert!(others.len() > 20, "{}", others.len());
    let environment = [
        ("ADMIN", format!("http://{}", gateway.admin.address())),
        ("INGEST", format!("http://{}", gateway.ingest.address())),
        ("TOKEN", TOKEN.to_owned()),
    ];
    for block in others {
        let said = bash(folder.path(), &[*first, *block].concat(), &environment).await;
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

/// Runs a script in this folder to its end; fails with what it said where a command of it failed.
async fn bash(folder: &Path, script: &str, environment: &[(&str, String)]) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_tidegate")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let ending = tokio::process::Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ended = tokio::time::timeout(PATIENCE, ending).await.expect("it ends").expect("bash starts");
    let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    assert!(ended.status.success(), "{script}\n--- ended with {}:\n{said}", ended.status);
    said
}

const TOKEN: &str = "a-token-of-the-runbook-test";

/// Longer than any command may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
