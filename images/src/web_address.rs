//! Which addresses images may come from.

use std::net::IpAddr;

use machine_core::{Code, Error, Result, ResultExt};
use reqwest::Url;

/// Checks an address and takes it apart.
///
/// # Errors
/// Anything but `https`, and `http` on this computer itself; user names and passwords in it.
pub(crate) fn check(url: &str) -> Result<Url> {
    let parsed = Url::parse(url).context(|| format!("{url:?} is not an address"))?;
    if !(parsed.username().is_empty() && parsed.password().is_none()) {
        return Err(Error::new(Code::Usage, "an address must not contain a user name or a password"));
    }
    if is_allowed(&parsed) {
        return Ok(parsed);
    }
    Err(Error::new(Code::Usage, format!("{url} is not an https address")).hint(
        "images are downloaded by https only (http only from this computer itself, such as http://127.0.0.1:8080/)",
    ))
}

/// Whether an address, or one that it redirects to, may be asked.
pub(crate) fn is_allowed(url: &Url) -> bool {
    url.scheme() == "https" || url.scheme() == "http" && is_loopback(url)
}

/// Whether an address leads to this computer itself, whatever any name service says.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_anywhere_and_http_only_on_loopback() {
        for url in ["https://a.example/x", "http://127.0.0.1:1/x", "http://localhost/x", "http://[::1]:8/x"] {
            check(url).unwrap();
        }
        for url in [
            "http://a.example/x",
            "ftp://a/x",
            "file:///x",
            "x",
            "http://127.0.0.1.a.example/",
            "https://u:p@a.example/x",
        ] {
            assert!(check(url).is_err(), "{url}");
        }
    }
}
