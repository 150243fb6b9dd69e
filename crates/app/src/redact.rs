//! What may be shown to others: text without keys, tokens, passwords.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// What stands in place of what was there.
const GONE: &str = "[redacted]";

/// Lines of a key file that are shorter could be anything.
const LEAST: usize = 24;

static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        // Keys and certificates, also as JSON writes them, and those that a log cut off.
        (r"(?s)-----BEGIN [A-Z0-9 ]+-----.*?(-----END [A-Z0-9 ]+-----|\z)", GONE),
        // Names and passwords in addresses.
        (r#"://[^/\s"']*@"#, "://[redacted]@"),
        (r#"(?i)(_proxy["']?\s*[:=]\s*["']?(?:[a-z][a-z0-9+.-]*://)?)[^\s"']+@"#, "$1[redacted]@"),
        // Access keys of AWS (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html, "Unique IDs").
        (r"\b(AKIA|ASIA)[A-Z0-9]{16}\b", GONE),
        (r"(?i)\b(authorization|x-amz-security-token|x-registry-auth)(\s*[:=]\s*)[^\r\n]+", "$1$2[redacted]"),
        (r"(?i)\b(bearer|basic)(\s+)[a-z0-9._~+/=-]{8,}", "$1$2[redacted]"),
        (
            r#"(?i)([a-z0-9_.-]*(?:secret|token|passw(?:or)?d|passphrase|api[_-]?key|access[_-]?key|credential)[a-z0-9_.-]*["']?\s*[:=]\s*)"[^"]*""#,
            "$1\"[redacted]\"",
        ),
        (
            r#"(?i)([a-z0-9_.-]*(?:secret|token|passw(?:or)?d|passphrase|api[_-]?key|access[_-]?key|credential)[a-z0-9_.-]*["']?\s*[:=]\s*)('[^']*'|[^\s,;}"']+)"#,
            "$1[redacted]",
        ),
    ]
    .into_iter()
    .filter_map(|(pattern, with)| Some((Regex::new(pattern).ok()?, with)))
    .collect()
});

/// Takes out what nobody else may see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redactor {
    /// Pieces of key files: wherever they come up, they go.
    known: Vec<String>,
    home: Option<String>,
}

impl Redactor {
    /// One that also writes `~` for the home folder.
    pub(crate) fn hiding(home: Option<&Path>) -> Self {
        Self { known: Vec::new(), home: home.and_then(Path::to_str).filter(|home| home.len() > 1).map(str::to_owned) }
    }

    /// Learns what stands in a key file.
    pub(crate) fn learn(&mut self, text: &str) {
        let lines = text.lines().map(str::trim).filter(|line| line.len() >= LEAST && !line.starts_with("-----"));
        self.known.extend(lines.map(str::to_owned));
    }

    /// `text` without what it should not have.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for known in &self.known {
            if text.contains(known.as_str()) {
                text = text.replace(known.as_str(), GONE);
            }
        }
        for (pattern, with) in PATTERNS.iter() {
            text = pattern.replace_all(&text, *with).into_owned();
        }
        match &self.home {
            Some(home) => text.replace(home.as_str(), "~"),
            None => text,
        }
    }

    /// A JSON value likewise: what a key calls a secret goes whole, and so do the variables of an engine.
    pub(crate) fn json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.text(text).into(),
            Value::Array(list) => list.iter().map(|value| self.json(value)).collect(),
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| {
                    let value = match value {
                        Value::Object(variables) if key == "env" => {
                            variables.iter().map(|(name, value)| (name.clone(), self.variable(name, value))).collect()
                        }
                        Value::String(_) if is_secret(key) => GONE.into(),
                        other => self.json(other),
                    };
                    (key.clone(), value)
                })
                .collect(),
            other => other.clone(),
        }
    }

    /// Proxies are worth knowing; anything else may be a secret of somebody's program.
    fn variable(&self, name: &str, value: &Value) -> Value {
        if name.to_ascii_lowercase().ends_with("_proxy") { self.json(value) } else { GONE.into() }
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["secret", "token", "password", "passphrase", "credential", "access_key", "accesskey", "private_key"]
        .iter()
        .any(|word| key.contains(word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_passwords_and_tokens_go_and_the_rest_stays() {
        let redactor = Redactor::default();
        for (text, left) in [
            ("a\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\nz", "a\n[redacted]\nz"),
            ("cut off -----BEGIN RSA PRIVATE KEY-----\nMIIE", "cut off [redacted]"),
            ("via http://bob:hunter2@proxy:3128/ ok", "via http://[redacted]@proxy:3128/ ok"),
            ("via http://ann:p@ss@proxy ok", "via http://[redacted]@proxy ok"),
            ("http_proxy=ann:se/cret@proxy:3128", "http_proxy=[redacted]@proxy:3128"),
            (r#"{"HTTPS_PROXY": "ann:secret@proxy:3128"}"#, r#"{"HTTPS_PROXY": "[redacted]@proxy:3128"}"#),
            ("key AKIAIOSFODNN7EXAMPLE.", "key [redacted]."),
            ("Authorization: Bearer abc.def-ghi", "Authorization: [redacted]"),
            ("aws_secret_access_key = wJalr/K7MDENG+b", "aws_secret_access_key = [redacted]"),
            ("{\"password\": \"x y\", \"n\": 1}", "{\"password\": \"[redacted]\", \"n\": 1}"),
            ("DB_PASSWORD=abc,x", "DB_PASSWORD=[redacted],x"),
            ("user@host:22 tokenless", "user@host:22 tokenless"),
        ] {
            assert_eq!(redactor.text(text), left);
        }
    }

    #[test]
    fn what_a_key_file_has_goes_wherever_it_comes_up() {
        let mut redactor = Redactor::hiding(Some(Path::new("/home/me")));
        redactor.learn("-----BEGIN X-----\nAAAAB3NzaC1yc2EAAAADAQABAAABAQ\n-----END X-----\n");
        assert_eq!(redactor.text("got AAAAB3NzaC1yc2EAAAADAQABAAABAQ at /home/me/x"), "got [redacted] at ~/x");
    }

    #[test]
    fn values_go_by_what_their_keys_call_them() {
        let value = json!({"token": "t", "cpus": 2, "env": {"HTTP_PROXY": "http://a:b@p", "LICENCE": "x"}, "list": ["http://a:b@p"]});
        assert_eq!(
            Redactor::default().json(&value),
            json!({"token": GONE, "cpus": 2, "env": {"HTTP_PROXY": "http://[redacted]@p", "LICENCE": GONE},
                   "list": ["http://[redacted]@p"]})
        );
    }
}
