//! Docker Engine's settings as a machine gets them: `daemon.json` and the daemon's environment.

use machine_core::{Code, EngineSpec, Error, Result};
use serde_json::{Map, Value, json};

/// Options whose value is a list in `daemon.json` under the plural of the flag's name (dockerd(8)).
const LISTS: &[(&str, &str)] = &[
    ("dns", "dns"),
    ("dns-opt", "dns-opts"),
    ("dns-search", "dns-search"),
    ("exec-opt", "exec-opts"),
    ("storage-opt", "storage-opts"),
    ("label", "labels"),
    ("insecure-registry", "insecure-registries"),
    ("registry-mirror", "registry-mirrors"),
    ("authorization-plugin", "authorization-plugins"),
];

/// Flags whose form in `daemon.json` is a structure under another name: dockerd would refuse to start.
const STRUCTURED: &[&str] =
    &["default-ulimit", "add-runtime", "default-address-pools", "default-address-pool", "config-file"];

/// Options that would break the way this computer reaches the engine.
const OURS: &[&str] = &[
    "H",
    "host",
    "hosts",
    "tls",
    "tlsverify",
    "tlscacert",
    "tlscert",
    "tlskey",
    "data-root",
    "containerd",
    "host-gateway-ip",
    "host-gateway-ips",
    "live-restore",
];

/// Composes `daemon.json` for a machine of `driver` that has no other settings.
///
/// # Errors
/// An option that belongs to `machine` itself, or a label that is not `key=value`.
pub fn daemon_json(engine: &EngineSpec, driver: &str) -> Result<String> {
    let mut settings = wanted(engine, driver)?;
    add_defaults(&mut settings);
    Ok(format!("{:#}\n", Value::Object(settings)))
}

/// What holds where nobody has said anything else.
pub(crate) fn add_defaults(settings: &mut Map<String, Value>) {
    // Containers outlive a restart of the engine: certificates are renewed and settings changed without stopping them.
    settings.entry("live-restore").or_insert(json!(true));
    let driver = settings.entry("log-driver").or_insert(json!("json-file"));
    // The limits are options of the two drivers that write files; dockerd refuses them for any other.
    if matches!(driver.as_str(), Some("json-file" | "local"))
        && let Value::Object(options) = settings.entry("log-opts").or_insert_with(|| json!({}))
    {
        options.entry("max-size").or_insert(json!("10m"));
        options.entry("max-file").or_insert(json!("3"));
    }
}

/// The settings that were asked for.
pub(crate) fn wanted(engine: &EngineSpec, driver: &str) -> Result<Map<String, Value>> {
    let mut settings = Map::new();
    let mut labels = vec![format!("provider={driver}")];
    labels.extend(engine.labels.iter().cloned());
    for label in &labels {
        if !label.contains('=') {
            return Err(Error::new(Code::Usage, format!("the engine label {label:?} is not KEY=VALUE"))
                .hint("`--engine-label team=a`, repeated for more"));
        }
    }
    settings.insert("labels".into(), json!(labels));
    if !engine.insecure_registries.is_empty() {
        settings.insert("insecure-registries".into(), json!(engine.insecure_registries));
    }
    if !engine.registry_mirrors.is_empty() {
        settings.insert("registry-mirrors".into(), json!(engine.registry_mirrors));
    }
    if let Some(driver) = &engine.storage_driver {
        // `overlay` went away with Docker 24; its users mean `overlay2`.
        settings.insert("storage-driver".into(), json!(if driver == "overlay" { "overlay2" } else { driver }));
    }
    for option in &engine.options {
        let (name, value) = option.split_once('=').map_or((option.as_str(), None), |(name, value)| (name, Some(value)));
        let name = name.trim_start_matches('-');
        if name.is_empty() || OURS.contains(&name) {
            return Err(Error::new(Code::Usage, format!("the engine option {option:?} cannot be set"))
                .hint("addresses, certificates and the data folder of the engine belong to `machine`"));
        }
        if STRUCTURED.contains(&name) {
            return Err(Error::new(Code::Usage, format!("the engine option {option:?} is not known here"))
                .hint("`daemon.json` takes it as a structure, which a flag cannot give"));
        }
        let is_list = LISTS.iter().any(|(flag, key)| *flag == name || *key == name);
        if value.is_none_or(str::is_empty) && (is_list || name == "log-opt") {
            return Err(Error::new(Code::Usage, format!("the engine option {option:?} has no value"))
                .hint(format!("`--engine-opt {name}=VALUE`, repeated for more")));
        }
        add(&mut settings, name, value);
    }
    if !engine.address_pools.is_empty() {
        let pools = engine.address_pools.iter().map(|pool| address_pool(pool)).collect::<Result<Vec<_>>>()?;
        settings.insert("default-address-pools".into(), json!(pools));
    }
    Ok(settings)
}

/// `base=10.10.0.0/16,size=24`, as dockerd's `--default-address-pool` takes it.
fn address_pool(text: &str) -> Result<Value> {
    let wrong = || {
        Error::new(Code::Usage, format!("the address pool {text:?} is not base=NETWORK/BITS,size=BITS"))
            .hint("`--engine-address-pool base=10.10.0.0/16,size=24`: networks of 24 bits out of 10.10.0.0/16")
    };
    let field = |name: &str| text.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    let (base, size) = (field("base").ok_or_else(wrong)?, field("size").ok_or_else(wrong)?);
    let size: u8 = size.parse().map_err(|_| wrong())?;
    let (address, bits) = base.split_once('/').ok_or_else(wrong)?;
    let address: std::net::IpAddr = address.parse().map_err(|_| wrong())?;
    let bits: u8 = bits.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    if text.split(',').count() != 2 || bits > size || size > most {
        return Err(wrong());
    }
    Ok(json!({ "base": base, "size": size }))
}

/// The key of `daemon.json` that stands for a flag.
pub(crate) fn flag_key(flag: &str) -> &str {
    LISTS.iter().find(|(name, _)| *name == flag).map_or(flag, |(_, key)| key)
}

fn add(settings: &mut Map<String, Value>, name: &str, value: Option<&str>) {
    if let Some((_, key)) = LISTS.iter().find(|(flag, key)| *flag == name || *key == name) {
        let list = settings.entry(*key).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!(value.unwrap_or_default()));
        }
        return;
    }
    // `log-opt=max-size=1m` is an entry of a map.
    if name == "log-opt" {
        if let (Some((inner, text)), Value::Object(map)) =
            (value.and_then(|value| value.split_once('=')), settings.entry("log-opts").or_insert_with(|| json!({})))
        {
            map.insert(inner.to_owned(), json!(text));
        }
        return;
    }
    let value = match value {
        None | Some("true") => json!(true),
        Some("false") => json!(false),
        Some(text) => text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number)),
    };
    settings.insert(name.to_owned(), value);
}

/// Composes the daemon's environment as a systemd `EnvironmentFile`: every value in double quotes, with the characters
/// escaped that mean something there (systemd.exec(5), "EnvironmentFile=").
///
/// # Errors
/// A name that is no name of a variable.
pub fn engine_environment(engine: &EngineSpec) -> Result<Option<String>> {
    if engine.env.is_empty() {
        return Ok(None);
    }
    let mut lines = String::new();
    for (name, value) in &engine.env {
        let valid = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if name.is_empty() || !valid {
            return Err(Error::new(Code::Usage, format!("{name:?} is no name for an environment variable"))
                .hint("use letters, digits and '_', not a digit first: `--engine-env HTTP_PROXY=http://proxy:3128`"));
        }
        lines.push_str(name);
        lines.push_str("=\"");
        for c in value.chars() {
            if matches!(c, '"' | '\\' | '`' | '$') {
                lines.push('\\');
            }
            lines.push(c);
        }
        lines.push_str("\"\n");
    }
    Ok(Some(lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_of_docker_machine_lands_in_daemon_json() {
        let engine = EngineSpec {
            options: [
                "dns=1.1.1.1",
                "dns=9.9.9.9",
                "mtu=1400",
                "icc=false",
                "log-opt=max-size=1m",
                "debug",
                "bip=10.9.0.1/24",
            ]
            .map(String::from)
            .to_vec(),
            labels: vec!["a=b c".into()],
            insecure_registries: vec!["r:5000".into()],
            registry_mirrors: vec!["https://m".into()],
            storage_driver: Some("overlay".into()),
            env: [("HTTP_PROXY".to_owned(), "http://p:1/?a=\"$x\" \\".to_owned())].into(),
            ..EngineSpec::default()
        };
        insta::assert_snapshot!(daemon_json(&engine, "qemu").unwrap());
        assert_eq!(engine_environment(&engine).unwrap().unwrap(), "HTTP_PROXY=\"http://p:1/?a=\\\"\\$x\\\" \\\\\"\n");
    }

    #[test]
    fn options_that_would_cut_the_machine_off_are_refused() {
        for option in ["host=tcp://0.0.0.0", "--tlsverify=false", "data-root=/x", "=x", "default-ulimit=a", "dns"] {
            let engine = EngineSpec { options: vec![option.into()], ..EngineSpec::default() };
            assert_eq!(daemon_json(&engine, "qemu").unwrap_err().code(), Code::Usage, "{option}");
        }
        let engine = EngineSpec { labels: vec!["nolabel".into()], ..EngineSpec::default() };
        assert!(daemon_json(&engine, "qemu").is_err());
    }

    #[test]
    fn address_pools_are_checked_and_become_structures() {
        let of =
            |pool: &str| daemon_json(&EngineSpec { address_pools: vec![pool.into()], ..EngineSpec::default() }, "qemu");
        assert!(of("base=10.10.0.0/16,size=24").unwrap().contains("\"base\": \"10.10.0.0/16\""));
        for wrong in [
            "",
            "10.10.0.0/16",
            "base=10.10.0.0/16",
            "base=10.10.0.0/16,size=8",
            "base=x/16,size=24",
            "base=10.0.0.0/8,size=33",
        ] {
            assert_eq!(of(wrong).unwrap_err().code(), Code::Usage, "{wrong}");
        }
    }

    #[test]
    fn another_log_driver_gets_no_limits_that_it_would_refuse() {
        let engine = EngineSpec { options: vec!["log-driver=journald".into()], ..EngineSpec::default() };
        assert!(!daemon_json(&engine, "qemu").unwrap().contains("log-opts"));
    }
}
