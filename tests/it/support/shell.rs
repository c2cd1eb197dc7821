//! A page's commands, typed into one shell one after another: what each said, and the gateway that they talk to.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::gateway::free_port;

/// One command, or one script, as it is typed.
#[derive(Clone, Debug)]
pub struct Step {
    pub typed: String,
    pub manner: Manner,
}

/// How a step is typed and what becomes of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It may fail; what it said is for the caller to judge.
    Command,
    /// Every command in it must succeed.
    Script,
    /// A gateway: started as in a terminal of its own, ready before the next step, stopped before the next one and at the end.
    Server,
}

/// A shell in a folder of its own, which has copies of what a reader finds in the repository.
#[derive(Debug)]
pub struct Shell {
    folder: PathBuf,
    environment: Vec<(String, String)>,
    /// Written in the page, here.
    addresses: Vec<(String, String)>,
}

impl Shell {
    /// With the repository's files in this folder, where a gateway that is started takes free ports.
    pub fn new(folder: &Path) -> Shell {
        let mut copy = std::process::Command::new("cp");
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        copy.arg("-r").args(COPIED.map(|name| top.join(name))).arg(folder);
        assert!(copy.status().expect("cp can be run").success());
        let (ingest, admin) = (free_port(), free_port());
        let shell = Shell { folder: folder.into(), environment: Vec::new(), addresses: Vec::new() };
        shell
            .environment("TIDEGATE_INGEST__LISTEN", &format!("127.0.0.1:{ingest}"))
            .environment("TIDEGATE_ADMIN__LISTEN", &format!("127.0.0.1:{admin}"))
            .address(":8080", &format!(":{ingest}"))
            .address(":9090", &format!(":{admin}"))
    }

    pub fn environment(mut self, name: &str, value: &str) -> Shell {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// What a page calls `written` is `here` in this run.
    pub fn address(mut self, written: &str, here: &str) -> Shell {
        self.addresses.push((written.into(), here.into()));
        self
    }

    /// Types the steps and returns what each said, with the addresses that the page writes. Fails where a script or the shell itself did.
    pub async fn play(&self, steps: &[Step]) -> Vec<String> {
        let mut script = PRELUDE.to_owned();
        for (index, step) in steps.iter().enumerate() {
            let typed =
                self.addresses.iter().fold(step.typed.trim_end().to_owned(), |typed, (written, here)| {
                    typed.replace(written, here)
                });
            let lines = match step.manner {
                Manner::Command => format!("set +eu +o pipefail\n{typed}\n"),
                Manner::Script => format!("set -euo pipefail\n{typed}\n"),
                Manner::Server => format!("set +eu +o pipefail\nstop\nserved {typed} &\nSERVER=$!; ready\n"),
            };
            script.push_str(&format!("printf '\\n{MARK}{index}\\n'\n{lines}"));
        }
        script.push_str(&format!("printf '\\n{MARK}end\\n'\n"));
        let said = self.run(&script).await;
        let parts: Vec<String> = said.split(&format!("\n{MARK}")).skip(1).map(after_first_line).collect();
        assert!(
            parts.len() == steps.len() + 1,
            "the shell ended at\n{}\n--- it said\n{said}",
            parts
                .len()
                .checked_sub(1)
                .and_then(|last| steps.get(last))
                .map_or("its start", |step| &step.typed)
        );
        let as_written = |part: &String| {
            let part = part.replace(&format!("{}/", self.folder.display()), "");
            self.addresses.iter().fold(part, |part, (written, here)| part.replace(here, written))
        };
        parts[..steps.len()].iter().map(as_written).collect()
    }

    async fn run(&self, script: &str) -> String {
        let program = Path::new(env!("CARGO_BIN_EXE_tidegate")).parent().expect("its folder");
        let path = format!("{}:{}", program.display(), std::env::var("PATH").expect("a path"));
        let ending = tokio::process::Command::new("bash")
            .args(["-c", script])
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", path)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let ended = tokio::time::timeout(PATIENCE, ending).await.expect("it ends").expect("bash starts");
        let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
        assert!(ended.status.success(), "the shell ended with {}:\n{said}", ended.status);
        said
    }
}

fn after_first_line(part: &str) -> String {
    part.split_once('\n').map_or_else(String::new, |(_, rest)| rest.to_owned())
}

/// What a reader has in the folder in which the pages are read.
const COPIED: [&str; 5] = ["config", "deploy", "examples", "load-tests", "policies"];

/// Before each step's output.
const MARK: &str = "--- step ";

/// A gateway dies with its shell, whatever ends that; it is asked to stop at the end, and must stop well.
const PRELUDE: &str = r#"exec 2>&1
served() {
    exec >server.log 2>&1
    if command -v setpriv >/dev/null; then exec setpriv --pdeathsig KILL "$@"; else exec "$@"; fi
}
ready() {
    until curl -fs "http://$TIDEGATE_INGEST__LISTEN/readyz" >/dev/null; do
        kill -0 "$SERVER" || { cat server.log; exit 1; }
    done
    cat server.log
}
stop() {
    [ -z "${SERVER-}" ] || { kill "$SERVER" && wait "$SERVER"; } || { cat server.log; exit 1; }
    SERVER=
}
trap 'ended=$?; stop; exit $ended' EXIT
"#;

/// Longer than the commands of a page may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

#[tokio::test]
async fn steps_share_a_shell_and_a_failing_script_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let step = |typed: &str, manner| Step { typed: typed.into(), manner };
    let shell = Shell::new(folder.path()).address("HERE", "there");
    let said = shell
        .play(&[
            step("say() { echo \"it said $1\"; }\n", Manner::Script),
            step("say HERE; false", Manner::Command),
            step("ls policies/default.yaml", Manner::Script),
        ])
        .await;
    assert_eq!(said, ["", "it said HERE\n", "policies/default.yaml\n"]);
    let failing =
        tokio::spawn(async move { shell.play(&[step("false | cat\necho on", Manner::Script)]).await });
    assert!(failing.await.is_err(), "a script went on after a failure");
}
