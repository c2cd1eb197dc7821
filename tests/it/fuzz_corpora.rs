//! The corpora that fuzzing keeps, replayed: what was once found to break something does not break it again, on machines
//! without a fuzzer too.

#[expect(unreachable_pub, reason = "the fuzz crate's own code, which has more use for it")]
#[expect(clippy::panic, reason = "a target fails loudly")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;

/// Runs a target with every input of its corpus; more than a few, or somebody has lost it.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        println!("{}", path.display());
        run(&input);
        inputs += 1;
    }
    assert!(inputs >= LEAST_INPUTS, "{target} has {inputs} inputs");
}

macro_rules! replays {
    ($($target:ident,)*) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target), targets::$target::run);
        })*

        /// Every target is replayed, has its corpus, and no corpus is without its target.
        #[test]
        fn every_corpus_has_its_target() {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
            let names = |folder: &str| {
                let entries = fs::read_dir(root.join(folder)).unwrap();
                let mut names: Vec<_> = entries
                    .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
                    .collect();
                names.sort();
                names
            };
            assert_eq!(names("targets"), [$(stringify!($target)),*]);
            assert_eq!(names("corpus"), [$(stringify!($target)),*]);
        }
    };
}

replays! {
    batch,
    cloud_events,
    config_yaml,
    forwarded,
    gate_operations,
    http2_heads,
    keys_yaml,
    policy_yaml,
    request_body,
    request_head,
    retry_after,
    stored_record,
}

const LEAST_INPUTS: usize = 10;
