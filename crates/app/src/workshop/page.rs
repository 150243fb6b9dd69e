//! One person's page, in HTML to be printed and in Markdown: pure.

use jiff::Timestamp;
use machine_core::{Error, Result};
use qrcodegen::{QrCode, QrCodeEcc};

/// What stands on it.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) workshop: String,
    pub(super) host: String,
    pub(super) person: Option<String>,
    pub(super) account: String,
    pub(super) address: String,
    pub(super) ssh_port: u16,
    /// Of its host key, as ssh shows it: `SHA256:...`.
    pub(super) fingerprint: Option<String>,
    pub(super) open_ports: Vec<u16>,
    /// Whether only the computer that runs the workshop reaches it.
    pub(super) is_here: bool,
    pub(super) ends: Option<Timestamp>,
    pub(super) key_file: Option<String>,
    pub(super) password: Option<String>,
}

impl Page {
    /// Where somebody with a telephone goes: to what runs there, else to its sshd.
    fn link(&self) -> String {
        let host = bracketed(&self.address);
        match self.open_ports.first() {
            Some(80) => format!("http://{host}/"),
            Some(port) => format!("http://{host}:{port}/"),
            None => format!("ssh://{}@{host}:{}", self.account, self.ssh_port),
        }
    }

    fn command(&self) -> String {
        let mut command = "ssh".to_owned();
        if let Some(file) = &self.key_file {
            command.push_str(&format!(" -i {file}"));
        }
        if self.ssh_port != 22 {
            command.push_str(&format!(" -p {}", self.ssh_port));
        }
        format!("{command} {}@{}", self.account, self.address)
    }

    fn title(&self) -> String {
        match &self.person {
            Some(person) => format!("{person}: your Docker host"),
            None => format!("Docker host {}", self.host),
        }
    }

    /// The rows of facts.
    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![
            ("Workshop", self.workshop.clone()),
            ("Host", self.host.clone()),
            ("Address", self.address.clone()),
            ("Account", self.account.clone()),
        ];
        if let Some(password) = &self.password {
            rows.push(("Password", password.clone()));
        }
        if let Some(file) = &self.key_file {
            rows.push(("Key file", file.clone()));
        }
        if let Some(ends) = self.ends {
            rows.push(("Ends at", ends.strftime("%Y-%m-%d %H:%M UTC").to_string()));
        }
        rows
    }
}

fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

const WHAT_TO_DO: &str = "Docker and Compose are there: try `docker run --rm hello-world`.";
const ONLY_HERE: &str = "This host is a rehearsal: only the computer that it runs on reaches it.";
const WHOSE_KEY: &str = "The first time, ssh asks whether you trust the host. The fingerprint must be:";
const KEY_MODE: &str = "On macOS and Linux, `chmod 600` the key file first.";

/// The page for a browser or a printer. It loads nothing from anywhere.
pub(super) fn html(page: &Page) -> Result<String> {
    let rows: String = page
        .rows()
        .iter()
        .map(|(name, value)| format!("<tr><th>{name}</th><td><code>{}</code></td></tr>\n", escaped(value)))
        .collect();
    let links: String = page
        .open_ports
        .iter()
        .map(|port| {
            let url = format!("http://{}:{port}/", bracketed(&page.address));
            format!("<li><a href=\"{0}\">{0}</a></li>\n", escaped(&url))
        })
        .collect();
    let links =
        if links.is_empty() { links } else { format!("<p>What you publish there is at:</p>\n<ul>\n{links}</ul>\n") };
    let mut notes = String::new();
    for (said, note) in [(page.key_file.is_some(), KEY_MODE), (page.is_here, ONLY_HERE)] {
        if said {
            notes.push_str(&format!("<p>{}</p>\n", code(note)));
        }
    }
    let trust = page.fingerprint.iter();
    let trust: String =
        trust.map(|print| format!("<p>{}</p>\n<pre>{}</pre>\n", code(WHOSE_KEY), escaped(print))).collect();
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n\
         body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 2rem auto; padding: 0 1rem; color: #111; background: #fff }}\n\
         h1 {{ font-size: 1.6rem }} th {{ text-align: left; padding-right: 1.5rem; font-weight: 600 }}\n\
         code, pre {{ font: 15px/1.5 ui-monospace, monospace }} pre {{ background: #f2f2f2; padding: .75rem; white-space: pre-wrap; overflow-wrap: anywhere }}\n\
         svg {{ width: 9rem; height: 9rem; float: right; margin-left: 1.5rem }}\n\
         @media print {{ @page {{ margin: 2cm }} body {{ margin: 0; max-width: none }} pre {{ background: none; border: 1px solid #999 }} }}\n\
         </style>\n</head>\n<body>\n<h1>{title}</h1>\n{qr}\n<table>\n{rows}</table>\n\
         <p>In a terminal (on Windows: PowerShell):</p>\n<pre>{command}</pre>\n{notes}<p>{todo}</p>\n{links}{trust}</body>\n</html>\n",
        title = escaped(&page.title()),
        qr = qr_code(&page.link())?,
        command = escaped(&page.command()),
        todo = code(WHAT_TO_DO),
    ))
}

/// The page as plain text.
pub(super) fn markdown(page: &Page) -> String {
    let mut text = format!("# {}\n\n", plain(&page.title()));
    for (name, value) in page.rows() {
        text.push_str(&format!("- {name}: `{}`\n", value.replace('`', "'")));
    }
    text.push_str(&format!("\nIn a terminal (on Windows: PowerShell):\n\n    {}\n\n", page.command()));
    for (said, note) in [(page.key_file.is_some(), KEY_MODE), (page.is_here, ONLY_HERE), (true, WHAT_TO_DO)] {
        if said {
            text.push_str(&format!("{note}\n\n"));
        }
    }
    if !page.open_ports.is_empty() {
        text.push_str("What you publish there is at:\n\n");
        for port in &page.open_ports {
            text.push_str(&format!("- http://{}:{port}/\n", bracketed(&page.address)));
        }
        text.push('\n');
    }
    if let Some(print) = &page.fingerprint {
        text.push_str(&format!("{WHOSE_KEY}\n\n    {print}\n"));
    }
    text
}

/// Text that is no Markdown.
fn plain(text: &str) -> String {
    text.chars().flat_map(|c| "\\`*_[]<>#".contains(c).then_some('\\').into_iter().chain([c])).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Our own sentences: what stands between backquotes is code.
fn code(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(at, part)| if at % 2 == 1 { format!("<code>{}</code>", escaped(part)) } else { escaped(part) })
        .collect()
}

/// A QR code as SVG, with the quiet zone of four modules that scanners want (ISO/IEC 18004).
fn qr_code(text: &str) -> Result<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium)
        .map_err(|error| Error::other(format!("{text:?} makes no QR code")).because(error.to_string()))?;
    let size = code.size();
    let dark = (0..size).flat_map(|y| (0..size).map(move |x| (x, y))).filter(|(x, y)| code.get_module(*x, *y));
    let path: String = dark.map(|(x, y)| format!("M{},{}h1v1h-1z", x + 4, y + 4)).collect();
    let side = size + 8;
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\" role=\"img\" aria-label=\"QR code of {}\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>",
        escaped(text)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        Page {
            workshop: "lab".into(),
            host: "lab-01".into(),
            person: Some("Ann <Lee> & Co".into()),
            account: "ann".into(),
            address: "192.0.2.7".into(),
            ssh_port: 22,
            fingerprint: Some("SHA256:Sz7Vm8BwdhmVkNQ54nyWpVw2cTGfkrtNH9XmSRV6UrA".into()),
            open_ports: vec![80, 8080],
            is_here: false,
            ends: Some("2026-11-22T17:00:00Z".parse().unwrap()),
            key_file: None,
            password: Some("abcde-fghij-kmnp".into()),
        }
    }

    #[test]
    fn a_page_says_all_that_one_needs_and_holds_nobodys_markup() {
        let by_password = page();
        let by_key = Page {
            password: None,
            key_file: Some("lab-01-ann.key".into()),
            person: None,
            ssh_port: 2222,
            is_here: true,
            open_ports: Vec::new(),
            ends: None,
            ..page()
        };
        insta::assert_snapshot!("by_password", markdown(&by_password));
        insta::assert_snapshot!("by_key", markdown(&by_key));
        let html = html(&by_password).unwrap();
        assert!(html.contains("Ann &lt;Lee&gt; &amp; Co") && !html.contains("<Lee>"), "{html}");
        assert!(html.contains("abcde-fghij-kmnp") && html.contains("QR code of http://192.0.2.7/"), "{html}");
        assert!(html.contains("must be:</p>\n<pre>SHA256:Sz7V"), "{html}");
        assert!(!html.contains("src=") && !html.contains("<script"), "it loads nothing: {html}");
    }

    #[test]
    fn a_qr_code_has_its_quiet_zone_and_its_three_corners() {
        let svg = qr_code("http://192.0.2.7/").unwrap();
        assert!(svg.contains("viewBox=\"0 0 33 33\""), "version 2 has 25 modules: {svg}");
        for corner in ["M4,4h", "M28,4h", "M4,28h"] {
            assert!(svg.contains(corner), "{corner}: {svg}");
        }
    }
}
