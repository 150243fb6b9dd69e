//! What the user says to the driver `ec2`: docker-machine's words, its variables, and ours.

use std::path::PathBuf;

use machine_core::{Code, Error, Result};
use machine_ec2::{Ec2Options, Keys};

use crate::app::App;
use crate::driver_options::Said;

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

    /// The address that the environment has in place of Amazon's.
    pub(crate) fn aws_endpoint(&self) -> Option<String> {
        ["AWS_ENDPOINT", "AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL"].into_iter().find_map(|name| self.aws(name))
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
            security_groups.extend(self.aws("AWS_SECURITY_GROUP"));
        }
        let path = |said: Option<PathBuf>, variable: &str| {
            let path = said.or_else(|| self.aws(variable).map(PathBuf::from));
            path.map(|path| std::path::absolute(&path).unwrap_or(path))
        };
        let insecure = words.insecure_transport || self.aws("AWS_INSECURE_TRANSPORT").is_some();
        let options = Ec2Options {
            region: words.region,
            endpoint: words.endpoint.or_else(|| self.aws_endpoint()),
            insecure_transport: insecure,
            profile: or(words.profile, "AWS_PROFILE"),
            retries: words.retries,
            zone: or(words.zone, "AWS_ZONE"),
            vpc: or(words.vpc_id, "AWS_VPC_ID"),
            subnet: or(words.subnet_id, "AWS_SUBNET_ID"),
            instance_type: or(words.instance_type, "AWS_INSTANCE_TYPE"),
            ami: or(words.ami, "AWS_AMI"),
            key_pair: or(words.keypair_name, "AWS_KEYPAIR_NAME"),
            key: path(words.ssh_keypath, "AWS_SSH_KEYPATH"),
            ssh_port: words.ssh_port,
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
            fleet: None,
            found: None,
        };
        let ssh_user = or(words.ssh_user.or(ssh_user), "AWS_SSH_USER").unwrap_or_default();
        Ok(Said { options: options.to_map(), ssh_user, disk_mib: root_size.map(|gib| gib.saturating_mul(1024)) })
    }
}

fn usage(text: &str) -> Error {
    Error::new(Code::Usage, text)
}
