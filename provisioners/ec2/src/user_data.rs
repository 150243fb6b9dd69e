//! What an instance is told at its first boot: its host key, when it ends, and what the user has to say. A MIME archive, which
//! cloud-init takes part by part (<https://docs.cloud-init.io/en/latest/explanation/format.html>).

use jiff::Timestamp;
use machine_core::{Code, Error, Result};

use crate::calls::base64;

/// The most that EC2 takes, bytes, before its Base64.
const LARGEST: usize = 16 * 1024;

/// What goes in.
pub(crate) struct Parts<'a> {
    /// The host key that we made: private and public half.
    pub(crate) host_key: (&'a str, &'a str),
    /// When the instance ends itself.
    pub(crate) ends: Option<Timestamp>,
    /// The user's own.
    pub(crate) theirs: Option<&'a [u8]>,
    /// A text that is in none of them.
    pub(crate) boundary: &'a str,
}

/// Puts the parts together.
///
/// # Errors
/// User data that cloud-init would not know, or too much of it.
pub(crate) fn user_data(parts: &Parts<'_>) -> Result<String> {
    let mut all = Vec::new();
    if let Some(theirs) = parts.theirs {
        all.push(part_of_theirs(theirs)?);
    }
    if let Some(ends) = parts.ends {
        all.push(part("text/cloud-boothook", boothook(ends).as_bytes()));
    }
    // The last word on a key is ours: later parts replace what earlier ones said under the same name.
    all.push(part("text/cloud-config", host_key(parts.host_key).as_bytes()));
    let boundary = parts.boundary;
    let body: String = all.iter().map(|part| format!("--{boundary}\n{part}\n")).collect();
    let text =
        format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\n\n{body}--{boundary}--\n");
    if text.len() > LARGEST {
        return Err(Error::new(
            Code::PreCreate,
            format!("the user data has {} bytes with ours, EC2 takes {LARGEST}", text.len()),
        )
        .hint("let the user data fetch the rest, or compress it with gzip"));
    }
    Ok(text)
}

fn part(kind: &str, content: &[u8]) -> String {
    let encoded = base64(content);
    let lines: Vec<&str> = encoded.as_bytes().chunks(76).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!(
        "Content-Type: {kind}; charset=\"utf-8\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n{}\n",
        lines.join("\n")
    )
}

/// The beginnings by which cloud-init knows a text, and what it then is.
const KINDS: [(&str, &str); 9] = [
    ("#!", "text/x-shellscript"),
    ("#cloud-config-archive", "text/cloud-config-archive"),
    ("#cloud-config-jsonp", "text/cloud-config-jsonp"),
    ("#cloud-config", "text/cloud-config"),
    ("#include-once", "text/x-include-once-url"),
    ("#include", "text/x-include-url"),
    ("#cloud-boothook", "text/cloud-boothook"),
    ("#part-handler", "text/part-handler"),
    ("## template: jinja", "text/jinja2"),
];

fn part_of_theirs(theirs: &[u8]) -> Result<String> {
    if theirs.starts_with(&[0x1f, 0x8b]) {
        return Ok(part("application/gzip", theirs));
    }
    let text = std::str::from_utf8(theirs).unwrap_or_default();
    let lower: String = text.chars().take(64).collect::<String>().to_ascii_lowercase();
    if lower.starts_with("content-type: multipart/") || lower.starts_with("mime-version:") {
        // An archive is a part as it is: its headers are a part's.
        return Ok(text.to_owned());
    }
    let kind = KINDS.iter().find(|(begin, _)| text.starts_with(begin)).map(|(_, kind)| *kind);
    let kind = kind.ok_or_else(|| {
        let begins: String = text.chars().take(20).collect();
        Error::new(
            Code::PreCreate,
            format!("the user data is nothing that cloud-init knows: it begins with {begins:?}"),
        )
        .hint("a script begins with #!/bin/sh, a configuration with #cloud-config")
    })?;
    Ok(part(kind, theirs))
}

fn host_key((private, public): (&str, &str)) -> String {
    let indented: String = private.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "#cloud-config\nssh_deletekeys: true\nssh_keys:\n  ed25519_private: |\n{indented}  ed25519_public: {public}\n"
    )
}

/// Ends the instance at a time, whatever happens to the computer that made it, reboots and stops included: a timer by the
/// calendar, which makes good at boot what it missed. What is there already stays, so that the time can be put off.
fn boothook(ends: Timestamp) -> String {
    let at = ends.strftime("%Y-%m-%d %H:%M:%S UTC");
    format!(
        "#cloud-boothook\n#!/bin/sh\nset -e\ncd /etc/systemd/system\nif ! [ -e machine-expiry.timer ]; then\n\
cat >machine-expiry.service <<'END'\n[Unit]\nDescription=The end of this machine\n\n[Service]\nType=oneshot\n\
ExecStart=/bin/systemctl poweroff\nEND\n\
cat >machine-expiry.timer <<'END'\n[Unit]\nDescription=The end of this machine\n\n[Timer]\nOnCalendar={at}\nPersistent=true\n\
AccuracySec=1s\n\n[Install]\nWantedBy=timers.target\nEND\n\
systemctl daemon-reload\nsystemctl --no-block enable --now machine-expiry.timer\nfi\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(theirs: Option<&[u8]>, ends: bool) -> Result<String> {
        let ends = ends.then(|| "2026-11-22T17:00:00Z".parse().unwrap());
        let key = ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----", "ssh-ed25519 AAAA");
        user_data(&Parts { host_key: key, ends, theirs, boundary: "machine-1" })
    }

    #[test]
    fn our_parts_are_a_host_key_and_a_timer() {
        insta::assert_snapshot!(host_key(("-----BEGIN-----\nAAAA\n-----END-----\n", "ssh-ed25519 AAAA")));
        insta::assert_snapshot!(boothook("2026-11-22T17:00:00Z".parse().unwrap()));
        insta::assert_snapshot!(made(Some(b"#!/bin/sh\ntrue\n"), true).unwrap());
    }

    #[test]
    fn theirs_comes_first_under_the_name_that_cloud_init_has_for_it() {
        for (text, kind) in [
            ("#!/bin/sh\n", "text/x-shellscript"),
            ("#cloud-config\na: 1\n", "text/cloud-config"),
            ("#cloud-config-archive\n", "text/cloud-config-archive"),
            ("#include-once\nx", "text/x-include-once-url"),
            ("#include\nx", "text/x-include-url"),
        ] {
            let all = made(Some(text.as_bytes()), false).unwrap();
            let first = all.split("Content-Type: ").nth(2).unwrap();
            assert!(first.starts_with(&format!("{kind};")), "{all}");
            assert!(all.trim_end().ends_with("--machine-1--"), "{all}");
        }
        let archive = "Content-Type: multipart/mixed; boundary=\"x\"\nMIME-Version: 1.0\n\n--x\n\n--x--\n";
        assert!(made(Some(archive.as_bytes()), false).unwrap().contains(archive));
        assert!(made(Some(b"\x1f\x8b\x08..."), false).unwrap().contains("application/gzip"));
    }

    #[test]
    fn what_cloud_init_does_not_know_or_is_too_much_is_refused() {
        assert!(made(Some(b"apt-get install x"), false).unwrap_err().to_string().contains("apt-get install x"));
        assert!(made(Some(b""), false).is_err());
        let long = format!("#!/bin/sh\n{}", "#".repeat(16_000));
        assert!(made(Some(long.as_bytes()), false).unwrap_err().to_string().contains("16384"));
    }
}
