//! The words of the command line about EC2. Each `--ec2-...` is also docker-machine's `--amazonec2-...`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use machine_app::Ec2Words;

use crate::outcome::Format;
use crate::sizes;

/// Words of `create` for the driver `ec2`.
#[derive(Debug, Args)]
pub struct Ec2Create {
    /// The region [env: AWS_REGION, AWS_DEFAULT_REGION] [default: the profile's, else us-east-1]
    #[arg(long = "ec2-region", alias = "amazonec2-region", value_name = "REGION", help_heading = "Driver ec2")]
    region: Option<String>,
    /// The zone, `a` or `eu-central-1a` [env: AWS_ZONE] [default: one that offers the type]
    #[arg(long = "ec2-zone", alias = "amazonec2-zone", value_name = "ZONE", help_heading = "Driver ec2")]
    zone: Option<String>,
    /// The VPC [env: AWS_VPC_ID] [default: the region's default one]
    #[arg(long = "ec2-vpc-id", alias = "amazonec2-vpc-id", value_name = "ID", help_heading = "Driver ec2")]
    vpc_id: Option<String>,
    /// The subnet [env: AWS_SUBNET_ID] [default: one of the VPC]
    #[arg(long = "ec2-subnet-id", alias = "amazonec2-subnet-id", value_name = "ID", help_heading = "Driver ec2")]
    subnet_id: Option<String>,
    /// The type, x86 or Graviton (t4g.small) [env: AWS_INSTANCE_TYPE] [default: t3.small]
    #[arg(
        long = "ec2-instance-type",
        alias = "amazonec2-instance-type",
        value_name = "TYPE",
        help_heading = "Driver ec2"
    )]
    instance_type: Option<String>,
    /// An image by its id, in place of --image (ubuntu-24.04, debian-13, amazon-2023) [env: AWS_AMI] [default: ubuntu-24.04]
    #[arg(long = "ec2-ami", alias = "amazonec2-ami", value_name = "ID", help_heading = "Driver ec2")]
    ami: Option<String>,
    /// The root disk, GiB; as --disk [env: AWS_ROOT_SIZE] [default: 16]
    #[arg(
        long = "ec2-root-size",
        alias = "amazonec2-root-size",
        value_name = "GIB",
        conflicts_with = "disk",
        help_heading = "Driver ec2"
    )]
    root_size: Option<u64>,
    /// The type of the root disk, which is encrypted [env: AWS_VOLUME_TYPE] [default: gp3]
    #[arg(long = "ec2-volume-type", alias = "amazonec2-volume-type", value_name = "TYPE", help_heading = "Driver ec2")]
    volume_type: Option<String>,
    /// The root device [env: AWS_DEVICE_NAME] [default: the image's]
    #[arg(long = "ec2-device-name", alias = "amazonec2-device-name", value_name = "NAME", help_heading = "Driver ec2")]
    device_name: Option<String>,
    /// From where SSH and the engine may be reached (repeat) [default: your address alone]
    #[arg(long = "ec2-allow-cidr", value_name = "NETWORK", help_heading = "Driver ec2")]
    allow_cidrs: Vec<String>,
    /// A port to open to everybody: 80, 8000-8080, 53/udp (repeat)
    #[arg(long = "ec2-open-port", alias = "amazonec2-open-port", value_name = "PORT", help_heading = "Driver ec2")]
    open_ports: Vec<String>,
    /// A security group that is there, in place of one of the machine's own; it is never changed (repeat)
    /// [env: AWS_SECURITY_GROUP]
    #[arg(
        long = "ec2-security-group",
        alias = "amazonec2-security-group",
        value_name = "NAME|ID",
        help_heading = "Driver ec2"
    )]
    security_groups: Vec<String>,
    /// What is so anyway: groups that are there are never changed
    #[arg(long = "ec2-security-group-readonly", alias = "amazonec2-security-group-readonly", hide = true)]
    _security_group_readonly: bool,
    /// A tag for all that is made (repeat)
    #[arg(long = "ec2-tag", value_name = "KEY=VALUE", value_parser = pair, help_heading = "Driver ec2")]
    tag: Vec<(String, String)>,
    /// Tags [env: AWS_TAGS]
    #[arg(long = "ec2-tags", alias = "amazonec2-tags", value_name = "KEY,VALUE,...", help_heading = "Driver ec2")]
    tags: Option<String>,
    /// The IAM instance profile, its name or ARN [env: AWS_INSTANCE_PROFILE]
    #[arg(
        long = "ec2-iam-instance-profile",
        alias = "amazonec2-iam-instance-profile",
        value_name = "PROFILE",
        help_heading = "Driver ec2"
    )]
    iam_instance_profile: Option<String>,
    /// Who logs in [env: AWS_SSH_USER] [default: the image's]
    #[arg(long = "ec2-ssh-user", alias = "amazonec2-ssh-user", value_name = "NAME", help_heading = "Driver ec2")]
    ec2_ssh_user: Option<String>,
    /// The port of the image's sshd [env: AWS_SSH_PORT] [default: 22]
    #[arg(long = "ec2-ssh-port", alias = "amazonec2-ssh-port", value_name = "PORT", help_heading = "Driver ec2")]
    ssh_port: Option<u16>,
    /// A key pair that is there, in place of one of the machine's own [env: AWS_KEYPAIR_NAME]
    #[arg(
        long = "ec2-keypair-name",
        alias = "amazonec2-keypair-name",
        value_name = "NAME",
        help_heading = "Driver ec2"
    )]
    keypair_name: Option<String>,
    /// Its private key [env: AWS_SSH_KEYPATH]
    #[arg(long = "ec2-ssh-keypath", alias = "amazonec2-ssh-keypath", value_name = "FILE", help_heading = "Driver ec2")]
    ssh_keypath: Option<PathBuf>,
    /// A spot instance: cheaper, and taken back when AWS wants it
    #[arg(long = "ec2-request-spot-instance", alias = "amazonec2-request-spot-instance", help_heading = "Driver ec2")]
    request_spot_instance: bool,
    /// The most that it may cost, US dollars an hour [default: the on-demand price]
    #[arg(long = "ec2-spot-price", alias = "amazonec2-spot-price", value_name = "USD", help_heading = "Driver ec2")]
    spot_price: Option<String>,
    /// Gone: AWS has no spot instances of a fixed duration any more
    #[arg(long = "ec2-block-duration-minutes", alias = "amazonec2-block-duration-minutes", hide = true, value_parser = no_duration)]
    _block_duration_minutes: Option<u64>,
    /// No public address; it is reached by its private one
    #[arg(long = "ec2-private-address-only", alias = "amazonec2-private-address-only", help_heading = "Driver ec2")]
    private_address_only: bool,
    /// Reach it by its private address
    #[arg(long = "ec2-use-private-address", alias = "amazonec2-use-private-address", help_heading = "Driver ec2")]
    use_private_address: bool,
    /// Detailed monitoring
    #[arg(long = "ec2-monitoring", alias = "amazonec2-monitoring", help_heading = "Driver ec2")]
    monitoring: bool,
    /// EBS-optimised, for types that are not by nature
    #[arg(
        long = "ec2-use-ebs-optimized-instance",
        alias = "amazonec2-use-ebs-optimized-instance",
        help_heading = "Driver ec2"
    )]
    use_ebs_optimized_instance: bool,
    /// Protected from termination by others; `machine rm` lifts it
    #[arg(long = "ec2-termination-protection", help_heading = "Driver ec2")]
    termination_protection: bool,
    /// The placement group
    #[arg(long = "ec2-placement-group", value_name = "NAME", help_heading = "Driver ec2")]
    placement_group: Option<String>,
    /// A file with user data for cloud-init: a script, a configuration, an archive [env: AWS_USERDATA]
    #[arg(long = "ec2-userdata", alias = "amazonec2-userdata", value_name = "FILE", help_heading = "Driver ec2")]
    userdata: Option<PathBuf>,
    /// The machine ends itself after this time, also when this computer is gone: 8h, 90m, 3d
    #[arg(long, value_name = "TIME", value_parser = sizes::minutes, help_heading = "Driver ec2")]
    expires: Option<u64>,
    /// The profile of ~/.aws/config [env: AWS_PROFILE]
    #[arg(long = "ec2-profile", value_name = "NAME", help_heading = "Driver ec2")]
    profile: Option<String>,
    /// An address in place of Amazon's, for compatible clouds [env: AWS_ENDPOINT_URL]
    #[arg(long = "ec2-endpoint", alias = "amazonec2-endpoint", value_name = "URL", help_heading = "Driver ec2")]
    endpoint: Option<String>,
    /// That address may be one without TLS [env: AWS_INSECURE_TRANSPORT]
    #[arg(long = "ec2-insecure-transport", alias = "amazonec2-insecure-transport", help_heading = "Driver ec2")]
    insecure_transport: bool,
    /// How often a call that may pass is repeated; 0 or -1: never [default: 5]
    #[arg(
        long = "ec2-retries",
        alias = "amazonec2-retries",
        value_name = "N",
        value_parser = retries,
        allow_negative_numbers = true,
        help_heading = "Driver ec2"
    )]
    retries: Option<u32>,
    /// An access key for this command alone (others on this computer may see it; AWS's own places are better)
    #[arg(long = "ec2-access-key", alias = "amazonec2-access-key", hide = true)]
    access_key: Option<String>,
    /// Its secret
    #[arg(long = "ec2-secret-key", alias = "amazonec2-secret-key", hide = true)]
    secret_key: Option<String>,
    /// The session's token
    #[arg(long = "ec2-session-token", alias = "amazonec2-session-token", hide = true)]
    session_token: Option<String>,
}

impl Ec2Create {
    /// As the application takes them.
    pub fn words(self) -> Ec2Words {
        Ec2Words {
            region: self.region,
            zone: self.zone,
            vpc_id: self.vpc_id,
            subnet_id: self.subnet_id,
            instance_type: self.instance_type,
            ami: self.ami,
            root_size: self.root_size,
            volume_type: self.volume_type,
            device_name: self.device_name,
            security_groups: self.security_groups,
            open_ports: self.open_ports,
            allow_cidrs: self.allow_cidrs,
            tags: self.tags,
            tag: self.tag,
            iam_instance_profile: self.iam_instance_profile,
            ssh_user: self.ec2_ssh_user,
            ssh_port: self.ssh_port,
            ssh_keypath: self.ssh_keypath,
            keypair_name: self.keypair_name,
            request_spot_instance: self.request_spot_instance,
            spot_price: self.spot_price,
            private_address_only: self.private_address_only,
            use_private_address: self.use_private_address,
            monitoring: self.monitoring,
            use_ebs_optimized_instance: self.use_ebs_optimized_instance,
            termination_protection: self.termination_protection,
            placement_group: self.placement_group,
            userdata: self.userdata,
            endpoint: self.endpoint,
            insecure_transport: self.insecure_transport,
            retries: self.retries,
            profile: self.profile,
            access_key: self.access_key,
            secret_key: self.secret_key,
            session_token: self.session_token,
            expires_minutes: self.expires,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Ec2 {
    /// List what this store made at EC2 and no machine knows of
    Orphans(Orphans),
    /// Print the IAM policy that is enough for machines at EC2
    Policy,
}

#[derive(Debug, Args)]
pub struct Orphans {
    /// Also remove them
    #[arg(long)]
    pub remove: bool,
    /// Do not ask
    #[arg(short, requires = "remove")]
    pub yes: bool,
    /// A region to look at (repeat) [default: those of all machines, and the one of the environment or profile]
    #[arg(long = "region", value_name = "REGION", conflicts_with = "all_regions")]
    pub regions: Vec<String>,
    /// Look at all regions that the account may use
    #[arg(long)]
    pub all_regions: bool,
    /// What another store made, such as one that was lost: its id, as the tag machine:store has it
    #[arg(long, value_name = "ID")]
    pub store: Option<String>,
    /// The profile of ~/.aws/config [env: AWS_PROFILE]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// An address in place of Amazon's [env: AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// That address may be one without TLS [env: AWS_INSECURE_TRANSPORT]
    #[arg(long)]
    pub insecure_transport: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "it is not KEY=VALUE".to_owned())
}

fn retries(text: &str) -> Result<u32, String> {
    match text {
        // docker-machine's word for none.
        "-1" => Ok(0),
        _ => text.parse().map_err(|_| "it is no number, nor -1".to_owned()),
    }
}

fn no_duration(text: &str) -> Result<u64, String> {
    match text {
        // docker-machine's default: none.
        "0" => Ok(0),
        _ => Err("AWS has no spot instances of a fixed duration any more; --expires ends a machine".to_owned()),
    }
}
