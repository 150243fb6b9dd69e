//! What the user says to the driver `ec2`: docker-machine's words, its variables, and ours.

use std::path::PathBuf;

use machine_core::{Code, Error, Result};
use machine_ec2::{Ec2Options, Keys};

use crate::app::App;
use crate::driver_options::Said;
use crate::environment::says_yes;

/// Words as they were said; what was not is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ec2Words {
    /// The region.
    pub region: Option<String>,
    /// The zone.
    pub zone: Option<String>,
    /// The network.
    pub vpc_id: Option<String>,
    /// The subnet.
    pub subnet_id: Option<String>,
    /// The type of instance.
    pub instance_type: Option<String>,
    /// The image's id.
    pub ami: Option<String>,
    /// The root disk, GiB.
    pub root_size: Option<u64>,
    /// The type of the root disk.
    pub volume_type: Option<String>,
    /// The name of the root device.
    pub device_name: Option<String>,
    /// Security groups that are there already.
    pub security_groups: Vec<String>,
    /// Ports open to everybody.
    pub open_ports: Vec<String>,
    /// Networks from which the machine is reached.
    pub allow_cidrs: Vec<String>,
    /// Tags, `key,value,key,value`.
    pub tags: Option<String>,
    /// One tag each.
    pub tag: Vec<(String, String)>,
    /// The instance profile.
    pub iam_instance_profile: Option<String>,
    /// Who logs in.
    pub ssh_user: Option<String>,
    /// The port of sshd.
    pub ssh_port: Option<u16>,
    /// A private key that is there already.
    pub ssh_keypath: Option<PathBuf>,
    /// The key pair that it belongs to.
    pub keypair_name: Option<String>,
    /// A spot instance.
    pub request_spot_instance: bool,
    /// Its price.
    pub spot_price: Option<String>,
    /// No public address.
    pub private_address_only: bool,
    /// Reached by its private address.
    pub use_private_address: bool,
    /// Detailed monitoring.
    pub monitoring: bool,
    /// EBS-optimised.
    pub use_ebs_optimized_instance: bool,
    /// Protected from termination by others.
    pub termination_protection: bool,
    /// The placement group.
    pub placement_group: Option<String>,
    /// A file with user data.
    pub userdata: Option<PathBuf>,
    /// An address in place of Amazon's.
    pub endpoint: Option<String>,
    /// That address may be one without TLS.
    pub insecure_transport: bool,
    /// How often calls are repeated.
    pub retries: Option<u32>,
    /// The profile of `~/.aws/config`.
    pub profile: Option<String>,
    /// Keys for this command alone.
    pub access_key: Option<String>,
    /// The secret key.
    pub secret_key: Option<String>,
    /// The session's token.
    pub session_token: Option<String>,
    /// How long it lives, minutes.
    pub expires_minutes: Option<u64>,
}

impl App {
    /// A variable of AWS's, where it is set.
    pub(crate) fn aws(&self, name: &str) -> Option<String> {
        self.environment.aws.get(name).cloned()
    }

    /// The address that was said, or that the environment has, in place of Amazon's. One that is a host's name alone, as
    /// docker-machine takes it, is called with TLS, unless that is not wanted.
    pub(crate) fn aws_endpoint(&self, said: Option<String>, insecure: bool) -> Option<String> {
        let names = ["AWS_ENDPOINT", "AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL"];
        let endpoint = said.or_else(|| names.into_iter().find_map(|name| self.aws(name)))?;
        let scheme = if insecure { "http" } else { "https" };
        Some(if endpoint.contains("://") { endpoint } else { format!("{scheme}://{endpoint}") })
    }

    /// Whether the environment allows calls without TLS.
    pub(crate) fn aws_insecure(&self) -> bool {
        self.aws("AWS_INSECURE_TRANSPORT").is_some_and(|value| says_yes(&value))
    }

    /// The profile that was said, or the environment's: keys in the environment go before that one, in AWS's programs too.
    pub(crate) fn aws_profile(&self, said: Option<String>) -> Option<String> {
        said.or_else(|| self.aws("AWS_PROFILE").filter(|_| !self.environment.aws_keys))
    }

    pub(crate) fn said_to_ec2(&self, words: Ec2Words, ssh_user: Option<String>) -> Result<Said> {
        let or = |said: Option<String>, variable: &str| said.or_else(|| self.aws(variable));
        if let (Some(access), Some(secret)) = (&words.access_key, &words.secret_key) {
            let keys = Keys { access: access.clone(), secret: secret.clone(), token: words.session_token.clone() };
            let _set_once = self.ec2_keys.set(keys);
        } else if words.access_key.is_some() || words.secret_key.is_some() {
            return Err(usage("--ec2-access-key and --ec2-secret-key go together")
                .hint("better: `aws configure`, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"));
        }
        let root_size = match (words.root_size, self.aws("AWS_ROOT_SIZE")) {
            (Some(size), _) => Some(size),
            (None, Some(text)) => Some(
                text.parse()
                    .map_err(|error| usage(&format!("AWS_ROOT_SIZE={text} is no number of GiB")).because(error))?,
            ),
            (None, None) => None,
        };
        let mut tags = machine_ec2::tags(&or(words.tags, "AWS_TAGS").unwrap_or_default())?;
        tags.extend(words.tag);
        let mut security_groups = words.security_groups;
        if security_groups.is_empty() {
            // As docker-machine's lists in variables.
            let all = self.aws("AWS_SECURITY_GROUP").unwrap_or_default();
            security_groups.extend(all.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()));
        }
        let ssh_port = match (words.ssh_port, self.aws("AWS_SSH_PORT")) {
            (None, Some(text)) => {
                Some(text.parse().map_err(|error| usage(&format!("AWS_SSH_PORT={text} is no port")).because(error))?)
            }
            (said, _) => said,
        };
        let path = |said: Option<PathBuf>, variable: &str| {
            let path = said.or_else(|| self.aws(variable).map(PathBuf::from));
            path.map(|path| std::path::absolute(&path).unwrap_or(path))
        };
        let insecure = words.insecure_transport || self.aws_insecure();
        let options = Ec2Options {
            region: words.region,
            endpoint: self.aws_endpoint(words.endpoint, insecure),
            insecure_transport: insecure,
            profile: self.aws_profile(words.profile),
            retries: words.retries,
            zone: or(words.zone, "AWS_ZONE"),
            vpc: or(words.vpc_id, "AWS_VPC_ID"),
            subnet: or(words.subnet_id, "AWS_SUBNET_ID"),
            instance_type: or(words.instance_type, "AWS_INSTANCE_TYPE"),
            ami: or(words.ami, "AWS_AMI"),
            key_pair: or(words.keypair_name, "AWS_KEYPAIR_NAME"),
            key: path(words.ssh_keypath, "AWS_SSH_KEYPATH"),
            ssh_port,
            security_groups,
            allow_cidrs: words.allow_cidrs,
            open_ports: words.open_ports,
            volume_type: or(words.volume_type, "AWS_VOLUME_TYPE"),
            device_name: or(words.device_name, "AWS_DEVICE_NAME"),
            spot: words.request_spot_instance,
            spot_price: words.spot_price,
            iam_profile: or(words.iam_instance_profile, "AWS_INSTANCE_PROFILE"),
            private_address_only: words.private_address_only,
            use_private_address: words.use_private_address,
            monitoring: words.monitoring,
            ebs_optimized: words.use_ebs_optimized_instance,
            termination_protection: words.termination_protection,
            placement_group: words.placement_group,
            user_data: path(words.userdata, "AWS_USERDATA"),
            tags,
            expires_minutes: words.expires_minutes,
            found: None,
        };
        let ssh_user = or(words.ssh_user.or(ssh_user), "AWS_SSH_USER").unwrap_or_default();
        Ok(Said { options: options.to_map(), ssh_user, disk_mib: root_size.map(|gib| gib.saturating_mul(1024)) })
    }
}

fn usage(text: &str) -> Error {
    Error::new(Code::Usage, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: Ec2Words, variables: &[(&'static str, &str)]) -> Result<serde_json::Map<String, serde_json::Value>> {
        let folder = tempfile::tempdir().unwrap();
        let app = App::new(crate::Environment {
            aws: variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            aws_keys: variables.iter().any(|(name, _)| *name == "AWS_ACCESS_KEY_ID"),
            ..crate::Environment::read(Some(folder.path())).unwrap()
        });
        app.said_to_ec2(words, None).map(|said| said.options)
    }

    #[test]
    fn docker_machines_variables_are_read_as_it_reads_them() {
        let all = said(
            Ec2Words::default(),
            &[
                ("AWS_ENDPOINT", "ec2.example.org"),
                ("AWS_INSECURE_TRANSPORT", "false"),
                ("AWS_SECURITY_GROUP", "one, two"),
                ("AWS_SSH_PORT", "2222"),
            ],
        )
        .unwrap();
        let expected = serde_json::json!({
            "endpoint": "https://ec2.example.org", "security_groups": ["one", "two"], "ssh_port": 2222
        });
        assert_eq!(serde_json::Value::Object(all), expected);
        assert!(said(Ec2Words::default(), &[("AWS_SSH_PORT", "ssh")]).is_err());
        let words = || Ec2Words { endpoint: Some("127.0.0.1:5000".into()), ssh_port: Some(22), ..Ec2Words::default() };
        let insecure = said(words(), &[("AWS_INSECURE_TRANSPORT", "1"), ("AWS_SSH_PORT", "2222")]).unwrap();
        assert_eq!((&insecure["endpoint"], &insecure["ssh_port"]), (&"http://127.0.0.1:5000".into(), &22.into()));
    }

    #[test]
    fn the_environments_profile_counts_where_it_has_no_keys() {
        let named = |variables: &[(&'static str, &str)], profile: Option<&str>| {
            let words = Ec2Words { profile: profile.map(str::to_owned), ..Ec2Words::default() };
            said(words, variables).unwrap().get("profile").cloned()
        };
        let keys = ("AWS_ACCESS_KEY_ID", "A");
        assert_eq!(named(&[("AWS_PROFILE", "work")], None), Some("work".into()));
        assert_eq!(named(&[("AWS_PROFILE", "work"), keys], None), None);
        assert_eq!(named(&[("AWS_PROFILE", "work"), keys], Some("mine")), Some("mine".into()));
    }
}
