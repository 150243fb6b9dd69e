//! What the user says of an instance.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use machine_core::{Code, Error, MachineSpec, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::facts::Facts;

/// The type of instance where none is said: two virtual CPUs, 2 GiB, x86.
pub(crate) const USUAL_TYPE: &str = "t3.small";
/// The image where none is said.
pub(crate) const USUAL_IMAGE: &str = "ubuntu-24.04";
/// The region where nobody names one, docker-machine's.
pub(crate) const USUAL_REGION: &str = "us-east-1";
/// The root disk where no size is said, GiB, docker-machine's.
pub(crate) const USUAL_DISK_GIB: u64 = 16;
/// The engine's port.
pub(crate) const ENGINE_PORT: u16 = 2376;

/// `options` of a [`MachineSpec`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ec2Options {
    /// The region; filled in.
    pub region: Option<String>,
    /// An address in place of Amazon's own.
    pub endpoint: Option<String>,
    /// That address may be one without TLS, elsewhere than on this computer.
    pub insecure_transport: bool,
    /// The profile of `~/.aws/config`.
    pub profile: Option<String>,
    /// How often a call is repeated at most.
    pub retries: Option<u32>,
    /// The zone, `a` or `eu-central-1a`.
    pub zone: Option<String>,
    /// The network.
    pub vpc: Option<String>,
    /// The subnet.
    pub subnet: Option<String>,
    /// The type of instance; filled in.
    pub instance_type: Option<String>,
    /// The image, by its id.
    pub ami: Option<String>,
    /// A key pair that is there already, with its private key in `key`.
    pub key_pair: Option<String>,
    /// The private key of `key_pair`.
    pub key: Option<PathBuf>,
    /// The port of sshd.
    pub ssh_port: Option<u16>,
    /// Security groups, names or ids, in place of one of the machine's own. They are never changed.
    pub security_groups: Vec<String>,
    /// From where SSH and the engine may be reached, in place of the caller's address.
    pub allow_cidrs: Vec<String>,
    /// More ports, open to everybody: `80`, `8000-8080`, `53/udp`.
    pub open_ports: Vec<String>,
    /// The type of the root disk.
    pub volume_type: Option<String>,
    /// The name of the root device, in place of the image's.
    pub device_name: Option<String>,
    /// A spot instance.
    pub spot: bool,
    /// The most that it may cost, US dollars an hour.
    pub spot_price: Option<String>,
    /// The IAM instance profile, its name or ARN.
    pub iam_profile: Option<String>,
    /// No public address.
    pub private_address_only: bool,
    /// Reached by its private address.
    pub use_private_address: bool,
    /// Detailed monitoring.
    pub monitoring: bool,
    /// EBS-optimised, where that is not the type's nature.
    pub ebs_optimized: bool,
    /// Protected from termination by others; `rm` lifts it.
    pub termination_protection: bool,
    /// The placement group.
    pub placement_group: Option<String>,
    /// A file with user data for cloud-init, merged with ours.
    pub user_data: Option<PathBuf>,
    /// More tags.
    pub tags: BTreeMap<String, String>,
    /// How long it lives, minutes.
    pub expires_minutes: Option<u64>,
    /// What the preflight found.
    pub found: Option<Facts>,
}

/// Ports that are let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) from: u16,
    pub(crate) to: u16,
    pub(crate) protocol: &'static str,
}

impl Ec2Options {
    /// Reads them.
    ///
    /// # Errors
    /// [`Code::Usage`] for a setting that there is not.
    pub fn of(spec: &MachineSpec) -> Result<Self> {
        Self::deserialize(Value::Object(spec.options.clone())).map_err(|error| {
            usage("a setting of the driver \"ec2\" is wrong").because(error).hint("`machine create --help` lists them")
        })
    }

    /// As the options of a spec: what is not said is left out.
    pub fn to_map(&self) -> Map<String, Value> {
        let Ok(Value::Object(mut map)) = serde_json::to_value(self) else { return Map::new() };
        map.retain(|_, value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Array(list) => !list.is_empty(),
            Value::Object(object) => !object.is_empty(),
            _ => true,
        });
        map
    }

    /// Checks them, before anything is called. Machines that are there are not asked again: what was right then stays so.
    ///
    /// # Errors
    /// [`Code::Usage`] for values that cannot be, or not together.
    pub(crate) fn check(&self) -> Result<()> {
        for cidr in &self.allow_cidrs {
            check_cidr(cidr)?;
        }
        self.ports()?;
        if self.ssh_port.is_some_and(|port| port == 0 || port == ENGINE_PORT) {
            return Err(usage("--ec2-ssh-port must be another than 0 and the engine's 2376"));
        }
        if let Some(key) =
            self.tags.keys().find(|key| key.starts_with("aws:") || key.starts_with("machine:") || key.is_empty())
        {
            return Err(usage(&format!("the tag {key:?} cannot be given: it is AWS's or ours")));
        }
        if self.tags.len() > 40 {
            return Err(usage("there are more tags than AWS has room for (50, some of them ours)"));
        }
        if self.key_pair.is_some() != self.key.is_some() {
            return Err(usage("--ec2-keypair-name and --ec2-ssh-keypath go together")
                .hint("without both, the machine gets a key of its own"));
        }
        let opens = !self.open_ports.is_empty() || !self.allow_cidrs.is_empty();
        if opens && !self.security_groups.is_empty() {
            return Err(usage(
                "--ec2-open-port and --ec2-allow-cidr are of no use with --ec2-security-group (AWS_SECURITY_GROUP)",
            )
            .hint("a group that was there is never changed: open the ports there, or leave the group out"));
        }
        if self.spot && self.termination_protection {
            return Err(usage("a spot instance cannot be protected from termination")
                .hint("leave out --ec2-termination-protection or --ec2-request-spot-instance"));
        }
        if self.spot_price.is_some() && !self.spot {
            return Err(usage("--ec2-spot-price is of no use without --ec2-request-spot-instance"));
        }
        if self.spot_price.as_deref().is_some_and(|price| !price.parse::<f64>().is_ok_and(|price| price > 0.0)) {
            return Err(usage("--ec2-spot-price is US dollars an hour, as 0.05"));
        }
        if self.expires_minutes.is_some_and(|minutes| !(10..=60 * 24 * 365).contains(&minutes)) {
            return Err(usage("--expires is from ten minutes to a year, as 8h, 90m or 3d"));
        }
        if let Some(endpoint) = &self.endpoint {
            let url = reqwest::Url::parse(endpoint)
                .map_err(|error| usage(&format!("{endpoint:?} is no address")).because(error))?;
            let near = ["127.0.0.1", "localhost", "[::1]"].contains(&url.host_str().unwrap_or_default());
            match url.scheme() {
                "https" => {}
                "http" if near || self.insecure_transport => {}
                "http" => {
                    return Err(usage(&format!("{endpoint} would be called without TLS"))
                        .hint("use https, or add --ec2-insecure-transport (`ec2 orphans`: --insecure-transport) if that network is yours"));
                }
                _ => return Err(usage(&format!("{endpoint:?} is neither http nor https"))),
            }
        }
        Ok(())
    }

    /// The ports to open to everybody.
    pub(crate) fn ports(&self) -> Result<Vec<Ports>> {
        self.open_ports.iter().map(|text| ports(text)).collect()
    }

    /// The port of sshd.
    pub(crate) fn ssh_port(&self) -> u16 {
        self.ssh_port.unwrap_or(22)
    }

    /// Whether the machine is reached by its private address.
    pub(crate) fn is_private(&self) -> bool {
        self.private_address_only || self.use_private_address
    }

    /// What the preflight found.
    ///
    /// # Errors
    /// When there was none.
    pub(crate) fn facts(&self) -> Result<&Facts> {
        self.found.as_ref().ok_or_else(|| Error::other("the machine's record lacks what its preflight found"))
    }
}

fn usage(text: &str) -> Error {
    Error::new(Code::Usage, text)
}

fn ports(text: &str) -> Result<Ports> {
    let wrong = || usage(&format!("{text:?} is no port: write 80, 8000-8080 or 53/udp"));
    let (numbers, protocol) = match text.split_once('/') {
        None => (text, "tcp"),
        Some((numbers, "tcp")) => (numbers, "tcp"),
        Some((numbers, "udp")) => (numbers, "udp"),
        Some(_) => return Err(wrong()),
    };
    let (from, to) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let (from, to): (u16, u16) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
    if from == 0 || from > to {
        return Err(wrong());
    }
    Ok(Ports { from, to, protocol })
}

/// Checks `ADDRESS/BITS`.
pub(crate) fn check_cidr(text: &str) -> Result<()> {
    let parts = text.split_once('/').and_then(|(address, bits)| {
        let address: IpAddr = address.parse().ok()?;
        let bits: u8 = bits.parse().ok()?;
        (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some(())
    });
    parts.ok_or_else(|| usage(&format!("{text:?} is no network: write 192.0.2.0/24 or 2001:db8::/64")))
}

/// Tags as docker-machine's `--amazonec2-tags` writes them: `key1,value1,key2,value2`.
///
/// # Errors
/// A key without value.
pub fn tags(text: &str) -> Result<BTreeMap<String, String>> {
    let words: Vec<&str> = text.split(',').collect();
    if text.trim().is_empty() {
        return Ok(BTreeMap::new());
    }
    if !words.len().is_multiple_of(2) {
        return Err(usage(&format!("the tags {text:?} are not pairs")).hint("key1,value1,key2,value2"));
    }
    Ok(words.chunks_exact(2).map(|pair| (pair[0].trim().to_owned(), pair[1].trim().to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(options: &Ec2Options) -> Result<()> {
        options.check()
    }

    #[test]
    fn what_cannot_be_is_refused_before_anything_is_called() {
        let wrong = [
            Ec2Options { allow_cidrs: vec!["192.0.2.1".into()], ..Ec2Options::default() },
            Ec2Options { allow_cidrs: vec!["192.0.2.1/33".into()], ..Ec2Options::default() },
            Ec2Options { open_ports: vec!["0".into()], ..Ec2Options::default() },
            Ec2Options { open_ports: vec!["90-80".into()], ..Ec2Options::default() },
            Ec2Options { open_ports: vec!["53/icmp".into()], ..Ec2Options::default() },
            Ec2Options { ssh_port: Some(2376), ..Ec2Options::default() },
            Ec2Options { tags: [("machine:store".to_owned(), "x".to_owned())].into(), ..Ec2Options::default() },
            Ec2Options { key_pair: Some("k".into()), ..Ec2Options::default() },
            Ec2Options { spot_price: Some("0.1".into()), ..Ec2Options::default() },
            Ec2Options { spot: true, spot_price: Some("cheap".into()), ..Ec2Options::default() },
            Ec2Options { expires_minutes: Some(5), ..Ec2Options::default() },
            Ec2Options { spot: true, termination_protection: true, ..Ec2Options::default() },
            Ec2Options { security_groups: vec!["g".into()], open_ports: vec!["80".into()], ..Ec2Options::default() },
            Ec2Options {
                security_groups: vec!["g".into()],
                allow_cidrs: vec!["192.0.2.0/24".into()],
                ..Ec2Options::default()
            },
            Ec2Options { endpoint: Some("http://ec2.example.org".into()), ..Ec2Options::default() },
            Ec2Options { endpoint: Some("ftp://127.0.0.1".into()), ..Ec2Options::default() },
        ];
        for options in &wrong {
            assert_eq!(checked(options).unwrap_err().code(), Code::Usage, "{options:?}");
        }
        let right = Ec2Options {
            allow_cidrs: vec!["192.0.2.0/24".into(), "2001:db8::/64".into()],
            open_ports: vec!["80".into(), "8000-8080".into(), "53/udp".into()],
            endpoint: Some("http://127.0.0.1:5000".into()),
            spot: true,
            spot_price: Some("0.05".into()),
            ..Ec2Options::default()
        };
        checked(&right).unwrap();
    }

    #[test]
    fn what_is_not_said_does_not_stand_in_the_record_and_what_is_comes_back() {
        assert!(Ec2Options::default().to_map().is_empty());
        let options = Ec2Options { region: Some("eu-central-1".into()), spot: true, ..Ec2Options::default() };
        let map = options.to_map();
        assert_eq!(map.len(), 2, "{map:?}");
        assert_eq!(Ec2Options::deserialize(Value::Object(map)).unwrap(), options);
    }

    #[test]
    fn docker_machines_tags_are_pairs() {
        assert_eq!(
            tags("a,1,b,2").unwrap().into_iter().collect::<Vec<_>>(),
            [("a".into(), "1".into()), ("b".into(), "2".into())]
        );
        assert!(tags("").unwrap().is_empty() && tags("a").is_err());
    }
}
