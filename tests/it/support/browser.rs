//! A real Chromium without a window, driven over WebDriver: what a person sees, types, clicks, and what the console says.
//!
//! The protocol is a few JSON calls, and half of those needed here (console, media, screen size) are chromedriver's own;
//! the tests' client speaks them.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use super::client::Client;
use super::poll::until;

/// One browser with one page.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    client: Client,
    session: String,
    _profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts one; waits for its turn, since two would slow down everything else.
    pub async fn start() -> Browser {
        let turn = TURN.lock().await;
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|why| panic!("chromedriver: {why}: run `scripts/need chromium chromedriver`"));
        let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines();
        let port = lines.by_ref().find_map(|line| port_of(&line.ok()?)).expect("chromedriver says its port");
        // What it goes on to say must be read by somebody.
        std::thread::spawn(move || lines.for_each(drop));
        let client = Client::new(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let mut browser = Browser { driver, client, session: String::new(), _profile: profile, _turn: turn };
        let options = json!({ "args": ARGUMENTS });
        let wanted = json!({ "alwaysMatch": { "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } } });
        let session = browser.call(Method::POST, "/session", Some(json!({ "capabilities": wanted }))).await;
        browser.session = format!("/session/{}", session["sessionId"].as_str().expect("a session"));
        browser.looks(1_440, 1_000, "light").await;
        browser
    }

    /// A screen of this size, in points, with this scheme of colours.
    pub async fn looks(&self, width: u32, height: u32, scheme: &str) {
        let screen =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", screen).await;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// What a function's body returns, run in the page with these arguments.
    pub async fn run(&self, body: &str, arguments: Value) -> Value {
        self.post("/execute/sync", json!({ "script": body, "args": arguments })).await
    }

    /// The visible text of the first element that a selector finds.
    pub async fn text(&self, selector: &str) -> String {
        let text = self.run(TEXT, json!([selector])).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the visible text of an element is as wanted.
    pub async fn until_text(&self, selector: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let found = until(selector, 2 * PATIENCE, async || {
            last = self.text(selector).await;
            wanted(&last).then(|| last.clone())
        });
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("`{selector}` says: {last}"))
    }

    /// Clicks, as a person does: on what is visible and not covered.
    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.post(&format!("/element/{element}/click"), json!({})).await;
    }

    /// Types into a field.
    pub async fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.post(&format!("/element/{element}/value"), json!({ "text": text })).await;
    }

    /// Presses keys, wherever the focus is.
    pub async fn press(&self, keys: &str) {
        let strokes: Vec<_> = keys
            .chars()
            .flat_map(|key| {
                ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
            })
            .collect();
        self.post("/actions", json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes }] }))
            .await;
    }

    /// What the console said since it was asked last: errors and warnings, those of the content security policy included.
    pub async fn complaints(&self) -> Vec<String> {
        let lines = self.post("/se/log", json!({ "type": "browser" })).await;
        let lines = lines.as_array().expect("lines").iter();
        let bad = lines.filter(|line| matches!(line["level"].as_str(), Some("SEVERE" | "WARNING")));
        bad.map(|line| line["message"].to_string()).collect()
    }

    /// Keeps a picture of the whole page, or of what the screen shows, in `target/dashboard/`; its path.
    pub async fn picture(&self, name: &str, whole: bool) -> PathBuf {
        let shot = json!({ "captureBeyondViewport": whole });
        let shot = self.devtools("Page.captureScreenshot", shot).await;
        let png = STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/dashboard");
        std::fs::create_dir_all(&folder).expect("a folder below target");
        let path = folder.join(format!("{name}.png"));
        std::fs::write(&path, png).expect("a picture can be written");
        path
    }

    /// Closes it.
    pub async fn quit(self) {
        self.call(Method::DELETE, &self.session, None).await;
    }

    async fn element(&self, selector: &str) -> String {
        let found = json!({ "using": "css selector", "value": selector });
        let found = self.post("/element", found).await;
        let id = found.as_object().and_then(|found| found.values().next()?.as_str());
        id.unwrap_or_else(|| panic!("no {selector}")).to_owned()
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.call(Method::POST, &format!("{}{path}", self.session), Some(body)).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let ask = self.client.ask(method, path);
        let ask = if let Some(body) = &body { ask.json(body) } else { ask };
        let answer = ask.send().await;
        let said: Value = serde_json::from_slice(&answer.body).expect("an answer in JSON");
        let value = said["value"].clone();
        assert_eq!(answer.status, 200, "{path} {}: {value}", body.unwrap_or_default());
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver and, where a test failed, the browser: they are one group.
        let group = format!("-{}", self.driver.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.driver.wait();
    }
}

/// "ChromeDriver was started successfully on port 41829."
fn port_of(line: &str) -> Option<u16> {
    line.strip_suffix('.')?.rsplit_once("successfully on port ")?.1.parse().ok()
}

static TURN: Mutex<()> = Mutex::const_new(());

/// In a container there is neither a sandbox for root nor much shared memory; the pages are ours. No words to its maker.
const ARGUMENTS: [&str; 7] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
];

/// `innerText` is empty where nothing is shown.
const TEXT: &str = "const found = document.querySelector(arguments[0]); \
    return found && found.checkVisibility() ? found.innerText : '';";

const PATIENCE: Duration = Duration::from_secs(60);
