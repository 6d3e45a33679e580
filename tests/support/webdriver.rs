//! A browser: Chromium, driven through chromedriver (W3C WebDriver).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use serde_json::{Value, json};

use super::deadline::{poll, seconds};
use super::process::Process;

/// One window of a headless Chromium.
pub struct Browser {
    session: String,
    agent: ureq::Agent,
    profile: PathBuf,
    _driver: Process,
}

impl Browser {
    #[track_caller]
    pub fn start() -> Self {
        let driver = Process::start_group(Command::new("chromedriver").arg("--port=0"));
        let line = driver
            .stdout()
            .wait_for("chromedriver's port", 0, |line| line.contains("started successfully on port"));
        let port: u16 = line.trim_end_matches('.').rsplit(' ').next().unwrap().parse().unwrap();

        let profile =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chromium-{}-{port}", std::process::id()));
        let mut arguments: Vec<String> = FLAGS.iter().map(|&flag| flag.to_owned()).collect();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        let mut options = json!({ "args": arguments });
        if let Some(binary) = find_chromium() {
            options["binary"] = json!(binary);
        }
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let config =
            ureq::Agent::config_builder().timeout_global(Some(COMMAND_LIMIT)).http_status_as_error(false);
        let agent: ureq::Agent = config.build().into();
        let base = format!("http://127.0.0.1:{port}");
        let session = answer(agent.post(format!("{base}/session")).send_json(capabilities));
        let id = session["sessionId"].as_str().expect("a session id").to_owned();
        Self { session: format!("{base}/session/{id}"), agent, profile, _driver: driver }
    }

    #[track_caller]
    pub fn open(&self, url: &str) {
        self.post("url", json!({ "url": url }));
    }

    /// Clicks what a person would see at the CSS selector.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        self.post(&format!("{}/click", self.element(selector)), json!({}));
    }

    /// Types into what is at the CSS selector. Keys without a sign are in Unicode's private use area.
    #[track_caller]
    pub fn type_into(&self, selector: &str, keys: &str) {
        self.post(&format!("{}/value", self.element(selector)), json!({ "text": keys }));
    }

    /// A window of this size, of somebody who likes it dark or not.
    #[track_caller]
    pub fn emulate(&self, [width, height]: [u32; 2], is_dark: bool) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features);
    }

    /// Lets pages read the clipboard.
    #[track_caller]
    pub fn allow_clipboard(&self) {
        let permissions = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
        self.devtools("Browser.grantPermissions", permissions);
    }

    /// Runs a script in a frame of the page, counted from 0, of whatever site it is.
    #[track_caller]
    pub fn run_in_frame(&self, frame: usize, script: &str) -> Value {
        self.post("frame", json!({ "id": frame }));
        let result = self.run(script);
        self.post("frame", json!({ "id": null }));
        result
    }

    #[track_caller]
    fn devtools(&self, command: &str, parameters: Value) {
        self.post("goog/cdp/execute", json!({ "cmd": command, "params": parameters }));
    }

    #[track_caller]
    fn element(&self, selector: &str) -> String {
        let element = self.post("element", json!({ "using": "css selector", "value": selector }));
        let id = element.as_object().and_then(|e| e.values().next()).and_then(Value::as_str);
        format!("element/{}", id.expect("an element id"))
    }

    /// Runs the body of a function in the page and gives back what it returns.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.post("execute/sync", json!({ "script": script, "args": [] }))
    }

    /// Waits until a script returns something that is `wanted`; a failure leaves a picture of the page behind.
    #[track_caller]
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        script: &str,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let found = poll(limit, || {
            last = self.run(script);
            wanted(&last).then(|| last.clone())
        });
        found.unwrap_or_else(|| {
            let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser-failure.png");
            self.screenshot(&picture);
            panic!(
                "waited {limit:?} in vain for {what}; the script returns {last}, the console says {:#?}; see {}",
                self.console(),
                picture.display()
            )
        })
    }

    /// What the page has written to the console since the last call, as `LEVEL message`.
    #[track_caller]
    pub fn console(&self) -> Vec<String> {
        let entries = self.post("se/log", json!({ "type": "browser" }));
        let entries = entries.as_array().expect("a list of log entries");
        entries.iter().map(|entry| format!("{} {}", text(&entry["level"]), text(&entry["message"]))).collect()
    }

    /// Writes a picture of the page to a PNG file.
    #[track_caller]
    pub fn screenshot(&self, file: &Path) {
        let picture = answer(self.agent.get(format!("{}/screenshot", self.session)).call());
        fs::write(file, decode_base64(text(&picture))).unwrap();
    }

    #[track_caller]
    fn post(&self, command: &str, body: Value) -> Value {
        answer(self.agent.post(format!("{}/{command}", self.session)).send_json(body))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium ends with its session, and chromedriver when it is dropped.
        let _ = self.agent.delete(&self.session).call();
        let _ = fs::remove_dir_all(&self.profile);
    }
}

#[track_caller]
fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Value {
    let mut response = response.unwrap_or_else(|e| panic!("chromedriver does not answer: {e}"));
    let mut body: Value = response.body_mut().read_json().expect("JSON from chromedriver");
    assert!(response.status().is_success(), "chromedriver refuses: {}", text(&body["value"]["message"]));
    body["value"].take()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn decode_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<u8> = text
        .bytes()
        .filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte))
        .map(|at| at as u8)
        .collect();
    let group = |four: &[u8]| -> Vec<u8> {
        let bits =
            four.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

/// The browser by the names that distributions give it; chromedriver itself looks for Google Chrome only.
fn find_chromium() -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    let places = |name: &'static str| {
        env::split_paths(&folders).map(move |folder| folder.join(name)).collect::<Vec<_>>()
    };
    ["chromium", "chromium-browser"].into_iter().flat_map(places).find(|path| path.is_file())
}

const FLAGS: [&str; 11] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=1000,800",
];
const COMMAND_LIMIT: Duration = seconds(60);
