//! This computer's proxies, as the engine of a machine reaches them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use machine_core::{Code, Error, Result};
use serde_json::{Map, Value};

use crate::app::App;
use crate::environment::HostProxies;

/// By which name a machine of this computer reaches this computer's loopback.
const THIS_COMPUTER: &str = "host.docker.internal";
/// The variables that an engine reads (dockerd(8), "HTTP PROXY").
const VARIABLES: [&str; 3] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

impl HostProxies {
    /// The engine's variables, with this computer's loopback under the name that it has in the guest.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = Vec::new();
        for (name, url) in [("HTTP_PROXY", &self.http), ("HTTPS_PROXY", &self.https)] {
            variables.extend(url.as_deref().map(|url| (name, from_inside(url))));
        }
        if !variables.is_empty() {
            variables.extend(self.no_proxy.clone().map(|list| ("NO_PROXY", list)));
        }
        variables
    }

    fn is_on_this_computer(&self) -> bool {
        self.http.iter().chain(&self.https).any(|url| from_inside(url) != *url)
    }
}

impl App {
    /// The variables by which the engine of a machine of `driver` with `options` uses this computer's proxies; none where this
    /// computer has none.
    ///
    /// # Errors
    /// A proxy that listens on this computer alone, for a machine that does not reach it.
    pub(crate) fn proxy_variables(
        &self,
        driver: &str,
        options: &Map<String, Value>,
    ) -> Result<BTreeMap<String, String>> {
        let proxies = self.environment.proxies.or_of_the_system();
        let reaches =
            self.driver(driver)?.capabilities().local && options.get("host_access") != Some(&Value::Bool(false));
        if proxies.is_on_this_computer() && !reaches {
            return Err(Error::new(
                Code::Usage,
                "this computer's proxy listens on this computer alone, which the machine does not reach",
            )
            .hint("name one that it reaches: `--engine-env HTTPS_PROXY=http://proxy.example:3128`"));
        }
        Ok(proxies.variables().into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// `env` with the proxies that this computer has now in place of those that are in it.
    pub(crate) fn with_proxies(
        &self,
        mut env: BTreeMap<String, String>,
        driver: &str,
        options: &Map<String, Value>,
    ) -> Result<BTreeMap<String, String>> {
        let now = self.proxy_variables(driver, options)?;
        env.retain(|name, _| !VARIABLES.contains(&name.as_str()));
        env.extend(now);
        Ok(env)
    }
}

/// The address of a proxy as a machine of this computer reaches it: its loopback has a name there.
fn from_inside(url: &str) -> String {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(after_scheme);
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (who, place) = authority.rfind('@').map_or(("", authority), |at| authority.split_at(at + 1));
    // An IPv6 address is in brackets (RFC 3986, 3.2.2).
    let host_end = match place.strip_prefix('[').and_then(|inner| inner.find(']')) {
        Some(at) => at + 2,
        None => place.find(':').unwrap_or(place.len()),
    };
    let (host, port) = place.split_at(host_end);
    let bare = host.trim_matches(['[', ']']);
    let loopback = bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if loopback { format!("{scheme}{who}{THIS_COMPUTER}{port}{path}") } else { url.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Environment;

    #[test]
    fn this_computers_loopback_has_a_name_inside_and_everything_else_stays() {
        for (here, inside) in [
            ("http://localhost:3128", "http://host.docker.internal:3128"),
            ("http://127.0.0.1:3128/", "http://host.docker.internal:3128/"),
            ("socks5h://[::1]:1080", "socks5h://host.docker.internal:1080"),
            ("http://ann:p%40ss@LOCALHOST", "http://ann:p%40ss@host.docker.internal"),
            ("localhost:3128", "host.docker.internal:3128"),
            ("http://proxy.example:3128/x", "http://proxy.example:3128/x"),
            ("http://localhost@proxy.example", "http://localhost@proxy.example"),
            ("http://[2001:db8::1]:8080", "http://[2001:db8::1]:8080"),
            ("", ""),
        ] {
            assert_eq!(from_inside(here), inside, "{here}");
        }
    }

    #[test]
    fn the_engine_gets_the_proxies_of_now_and_keeps_its_other_variables() {
        let folder = tempfile::tempdir().unwrap();
        let mut environment = Environment::read(Some(folder.path())).unwrap();
        environment.proxies =
            HostProxies { http: None, https: Some("http://127.0.0.1:3128".into()), no_proxy: Some("a.example".into()) };
        let here = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let app = App::new(environment.clone());
        let before = here(&[("HTTP_PROXY", "http://old.example"), ("TZ", "UTC")]);
        assert_eq!(
            app.with_proxies(before.clone(), "qemu", &Map::new()).unwrap(),
            here(&[("HTTPS_PROXY", "http://host.docker.internal:3128"), ("NO_PROXY", "a.example"), ("TZ", "UTC")])
        );
        let closed = Map::from_iter([("host_access".to_owned(), Value::Bool(false))]);
        for (driver, options) in [("qemu", &closed), ("generic", &Map::new())] {
            assert_eq!(app.proxy_variables(driver, options).unwrap_err().code(), Code::Usage, "{driver}");
        }
        environment.proxies = HostProxies { no_proxy: Some("a.example".into()), ..HostProxies::default() };
        assert_eq!(App::new(environment).with_proxies(before, "qemu", &closed).unwrap(), here(&[("TZ", "UTC")]));
    }
}
