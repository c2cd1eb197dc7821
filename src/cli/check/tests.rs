//! Tests of `check`: files told apart, and every broken one beside what is said of it.

use std::path::{Path, PathBuf};

use super::*;
use crate::cli::check::judge::kind;
use crate::cli::check::verdict::Kind;
use crate::yaml::read::read;

#[test]
fn a_file_is_told_by_its_top_level_keys() {
    for (text, expected) in [
        ("tiers: {}\nrules: []\n", Some(Kind::Policy)),
        ("policy: x.yaml\n", Some(Kind::Configuration)),
        ("ingst: {}\nlimit: {}\n", Some(Kind::Configuration)),
        ("tier: {}\n", Some(Kind::Policy)),
        ("", Some(Kind::Configuration)),
        ("keys: []\n", Some(Kind::Keys)),
        ("kyes: []\n", Some(Kind::Keys)),
        ("colour: red\n", None),
        ("[tiers]\n", None),
    ] {
        assert_eq!(kind(&read(text).unwrap()), expected, "{text:?}");
    }
}

/// Every broken file of `tests/fixtures` beside what is said of it. With `TIDEGATE_WRITE_EXPECTED` set, what is said is
/// written: look at the change.
#[test]
fn every_broken_file_is_told_its_faults() {
    let mut checked = 0;
    for folder in ["tests/fixtures/config", "tests/fixtures/policy"] {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        for file in files {
            let said = lines::told(&check_file(&file, &[]), false);
            if std::env::var_os("TIDEGATE_WRITE_EXPECTED").is_some() {
                std::fs::write(file.with_extension("expected"), &said).unwrap();
            }
            let expected = std::fs::read_to_string(file.with_extension("expected")).unwrap();
            assert_eq!(said.trim(), expected.trim(), "{}", file.display());
            checked += 1;
        }
    }
    assert!(checked >= 60, "only {checked} files were found");
}

#[test]
fn warnings_refuse_only_where_they_count() {
    let verdicts = check_file(Path::new("tests/fixtures/policy/noise-reaches-thresholds.yaml"), &[]);
    assert!(verdicts[0].is_good(false) && !verdicts[0].is_good(true));
    assert!(lines::told(&verdicts, true).contains("policy refused, warnings count (--strict)"));
}

#[test]
fn a_file_that_says_nothing_is_doubtful() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    for text in ["", "# later\n"] {
        std::fs::write(&file, text).unwrap();
        let verdicts = check_file(&file, &[]);
        assert!(verdicts[0].is_good(false) && !verdicts[0].is_good(true), "{text:?}");
        assert!(lines::told(&verdicts, false).contains("policy.yaml: warning: says nothing"), "{text:?}");
    }
    std::fs::write(&file, "{}\n").unwrap();
    assert!(check_file(&file, &[])[0].is_good(true));
}

#[test]
fn json_tells_each_file_by_itself() {
    let files = [
        "policies/default.yaml",
        "tests/fixtures/policy/unknown-tier.yaml",
        "nowhere.yaml",
        "tests/fixtures/policy/derivative-that-slams.yaml",
    ];
    let verdicts: Vec<_> = files.into_iter().flat_map(|file| check_file(Path::new(file), &[])).collect();
    let text = json::told(&verdicts, false);
    assert_eq!(text.lines().count(), files.len() + 2, "a line for each file: {text}");
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told[0]["ok"], true);
    assert_eq!(told[0]["faults"], serde_json::json!([]));
    assert!(told[0]["revision"].is_string());
    assert_eq!((&told[1]["ok"], &told[1]["kind"]), (&false.into(), &"policy".into()));
    assert_eq!(
        told[1]["faults"][0],
        serde_json::json!({
            "severity": "error", "line": 2, "column": 3, "beside": null, "key": "tiers.p3",
            "message": "unknown key, valid here: p0, p1, p2",
        })
    );
    assert_eq!(told[2]["faults"][0]["line"], serde_json::Value::Null);
}
