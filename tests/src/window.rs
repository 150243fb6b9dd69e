//! The real window of the desktop app, on a screen of its own, driven as a person would.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::program::{desktop_program, find_program};
use crate::scene::Scene;
use crate::wait::until;
use crate::webdriver::{ELEMENT, WebDriver};

/// How long something may take to appear where everything is emulated and two cores are shared.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open window. It is closed when this is dropped.
pub struct Window<'a> {
    scene: &'a Scene,
    screen: Child,
    driver: Child,
    web: WebDriver,
    patience: Duration,
}

impl<'a> Window<'a> {
    /// Opens the window in a scene.
    pub fn open(scene: &'a Scene) -> Self {
        let (screen, display) = open_screen();
        // What GTK and WebKit write goes into a home of their own; the scene looks at what is left in the other.
        let home = scene.path("window-home");
        fs::create_dir_all(&home).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let log = fs::File::create(scene.path("window.log")).unwrap();
        let driver = scene
            .plain_command(find_program("WebKitWebDriver"))
            .arg(format!("--port={port}"))
            .envs([("HOME", &home), ("TMPDIR", &home)])
            .env("DISPLAY", display)
            .envs([("TAURI_AUTOMATION", "true"), ("TAURI_WEBVIEW_AUTOMATION", "true")])
            // No session bus and no assistive technology here: neither must be waited for.
            .envs([("GTK_A11Y", "none"), ("NO_AT_BRIDGE", "1"), ("GSETTINGS_BACKEND", "memory")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let application = desktop_program().display().to_string();
        let web = until("the window to open", PATIENCE, || {
            WebDriver::open(port, &application).inspect_err(|error| eprintln!("{error}")).ok()
        });
        Self { scene, screen, driver, web, patience: PATIENCE }
    }

    /// The same window for one who waits for things that take longer, such as a boot.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Waits until the window shows `text`.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        self.wait_for(&format!("the window to show {text:?}"), || self.text().contains(text).then_some(()));
        let broken = self.find("//*[contains(@class, 'unexpected')]");
        assert!(broken.is_none(), "the page made a mistake:\n{}", self.text());
    }

    /// Waits until the window does not show `text` any more.
    #[track_caller]
    pub fn does_not_show(&self, text: &str) {
        self.wait_for(&format!("the window not to show {text:?}"), || (!self.text().contains(text)).then_some(()));
    }

    /// All that can be read in the window.
    pub fn text(&self) -> String {
        self.script("return document.body.innerText", &json!([])).as_str().unwrap_or_default().to_owned()
    }

    /// Clicks the button (or item of a menu) of that name, once it is there and can be clicked.
    #[track_caller]
    pub fn click(&self, name: &str) {
        let button = format!(
            "//button[not(@disabled)][@aria-label={name:?} or (not(@aria-label) and normalize-space()={name:?})]"
        );
        self.wait_for(&format!("to click {name:?}"), || {
            let element = self.find(&button)?;
            self.web.command("POST", &format!("/element/{element}/click"), &json!({})).ok()
        });
    }

    /// Replaces what stands in the field of that label, key by key.
    #[track_caller]
    pub fn fill(&self, label: &str, text: &str) {
        let field = format!("//input[@id=//label[normalize-space()={label:?}]/@for]");
        let element = self.wait_for(&format!("the field {label:?}"), || self.find(&field));
        self.web.command("POST", &format!("/element/{element}/clear"), &json!({})).unwrap();
        self.web.command("POST", &format!("/element/{element}/value"), &json!({ "text": text })).unwrap();
    }

    /// Types into the terminal of that name, and presses Enter.
    #[track_caller]
    pub fn type_into(&self, terminal: &str, text: &str) {
        let field = format!("//textarea[@aria-label={terminal:?}]");
        let element = self.wait_for(&format!("the terminal {terminal:?}"), || self.find(&field));
        // WebDriver's own name of the key (https://www.w3.org/TR/webdriver2/#keyboard-actions).
        let keys = json!({ "text": format!("{text}\u{e007}") });
        self.web.command("POST", &format!("/element/{element}/value"), &keys).unwrap();
    }

    /// Runs a function's body in the page; what it returns.
    pub fn script(&self, body: &str, arguments: &Value) -> Value {
        self.web.command("POST", "/execute/sync", &json!({ "script": body, "args": arguments })).unwrap_or_default()
    }

    /// Runs an async function's body in the page; what it comes to, or what it throws (`{"thrown": ...}`).
    #[track_caller]
    pub fn async_script(&self, body: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             (async () => {{ {body} }})().then(done, (thrown) => done({{ thrown: thrown?.message ?? String(thrown) }}));"
        );
        self.web.command("POST", "/execute/async", &json!({ "script": script, "args": [] })).unwrap()
    }

    /// A picture of the window, into `MACHINE_TEST_PICTURES` where that names a folder.
    pub fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("MACHINE_TEST_PICTURES") else { return };
        // A picture is of the frame before, unless one is waited for.
        self.async_script("await new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)))");
        let picture = self.web.command("GET", "/screenshot", &json!({})).unwrap();
        fs::write(Path::new(&folder).join(format!("{name}.png.base64")), picture.as_str().unwrap()).unwrap();
    }

    fn find(&self, xpath: &str) -> Option<String> {
        let wanted = json!({ "using": "xpath", "value": xpath });
        let found = self.web.command("POST", "/element", &wanted).ok()?;
        found[ELEMENT].as_str().map(str::to_owned)
    }

    #[track_caller]
    fn wait_for<T>(&self, what: &str, ask: impl FnMut() -> Option<T>) -> T {
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| until(what, self.patience, ask)));
        seen.unwrap_or_else(|_| {
            panic!(
                "waited in vain: {what}. The window shows\n{}\nand said\n{}",
                self.text(),
                fs::read_to_string(self.scene.path("window.log")).unwrap_or_default()
            )
        })
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        // The application ends with its session.
        let _it_may_have_ended = self.web.command("DELETE", "", &json!({}));
        for process in [&mut self.driver, &mut self.screen] {
            let _it_may_have_ended = kill_process_group(Pid::from_child(process), Signal::TERM);
            let _status = process.wait();
        }
        // Folders of GTK's and WebKit's; what `machine` has there stays for the scene to look at.
        for entry in fs::read_dir(self.scene.path("run")).into_iter().flatten().flatten() {
            if entry.file_name() != "machine" {
                let _a_file = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
            }
        }
    }
}

/// A screen that nobody sees, and its name.
fn open_screen() -> (Child, String) {
    let mut screen = Command::new(find_program("Xvfb"))
        .args(["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp", "-noreset"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut number = String::new();
    BufReader::new(screen.stdout.take().unwrap()).read_line(&mut number).unwrap();
    assert!(!number.trim().is_empty(), "Xvfb found no free display");
    (screen, format!(":{}", number.trim()))
}
