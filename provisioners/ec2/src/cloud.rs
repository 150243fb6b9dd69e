//! The few calls of EC2, SSM and STS that are used, and no more.

use std::collections::BTreeMap;
use std::net::IpAddr;

use async_trait::async_trait;
use machine_core::Error;

use crate::query::Filter;

/// An error of a call: AWS's code, for whoever decides on it, and what a person reads.
#[derive(Debug)]
pub struct CallError {
    /// AWS's code, such as `InvalidGroup.NotFound`; empty where no answer came.
    pub code: String,
    /// What a person reads.
    pub error: Error,
}

/// The result of a call.
pub type Called<T> = std::result::Result<T, CallError>;

impl CallError {
    /// Whether what was named does not exist (`InvalidInstanceID.NotFound`, `InvalidGroup.NotFound`, ...).
    pub fn is_not_found(&self) -> bool {
        self.code.ends_with(".NotFound") || self.code.ends_with(".Malformed") || self.code == "InvalidGroupId.Malformed"
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        error.error
    }
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account, twelve digits.
    pub account: String,
}

/// An image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// `ami-...`.
    pub id: String,
    /// Its vendor's name for it.
    pub name: String,
    /// The account that it belongs to.
    pub owner: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// `available`, else it cannot be launched.
    pub state: String,
    /// `/dev/xvda`, ...
    pub root_device: String,
    /// The size of its root disk, GiB.
    pub root_gib: u64,
    /// When it was made, RFC 3339.
    pub created: String,
    /// `windows`, else empty.
    pub platform: String,
}

/// A type of instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceType {
    /// `t3.small`, ...
    pub name: String,
    /// `x86_64`, `arm64`, `i386`, ...
    pub architectures: Vec<String>,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// `on-demand`, `spot`.
    pub usage: Vec<String>,
}

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vpc {
    /// `vpc-...`.
    pub id: String,
}

/// A part of a network, in one zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subnet {
    /// `subnet-...`.
    pub id: String,
    /// Its network.
    pub vpc: String,
    /// Its zone, `eu-central-1a`.
    pub zone: String,
    /// The zone's default one.
    pub is_default: bool,
    /// Whether instances get a public address there.
    pub public: bool,
    /// Addresses that are free.
    pub free: u64,
    /// Its addresses, `10.0.0.0/24`.
    pub cidr: String,
}

/// One rule of a security group that lets something in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// `tcp`, `udp`.
    pub protocol: String,
    /// The first port.
    pub from: u16,
    /// The last port.
    pub to: u16,
    /// From where, `192.0.2.1/32`.
    pub cidr: String,
}

/// A security group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// `sg-...`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its network.
    pub vpc: String,
    /// What it lets in by addresses.
    pub rules: Vec<Rule>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A public key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPair {
    /// Its name, unique in its region.
    pub name: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// `vol-...`.
    pub id: String,
    /// `available`, `in-use`, `deleting`, ...
    pub state: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// An instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// `i-...`.
    pub id: String,
    /// `pending`, `running`, `shutting-down`, `terminated`, `stopping`, `stopped`.
    pub state: String,
    /// Why it is in that state, in AWS's words.
    pub reason: String,
    /// Its public address.
    pub public: Option<IpAddr>,
    /// Its address in its network.
    pub private: Option<IpAddr>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Instance {
    /// Whether nothing of it is left but its entry, which AWS keeps for an hour.
    pub fn is_gone(&self) -> bool {
        self.state == "terminated"
    }
}

/// What `RunInstances` is asked for. Its parameters are made by the module `plan`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch(pub(crate) crate::query::Query);

/// A security group to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGroup {
    /// Its name, unique in its network.
    pub name: String,
    /// What the console shows.
    pub description: String,
    /// Its network.
    pub vpc: String,
    /// Its tags, from its first moment.
    pub tags: Vec<(String, String)>,
}

/// A public key to be put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKeyPair {
    /// Its name, unique in its region.
    pub name: String,
    /// The key, as a line of `authorized_keys`.
    pub public_key: String,
    /// Its tags, from its first moment.
    pub tags: Vec<(String, String)>,
}

/// What a stop or a termination shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The guest shuts down.
    Graceful,
    /// It is not asked.
    Forced,
}

/// Amazon's side, in one region and account.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// The region.
    fn region(&self) -> &str;
    /// Where calls go, where that is no address of Amazon's.
    fn endpoint(&self) -> Option<&str>;

    /// STS `GetCallerIdentity`.
    async fn identity(&self) -> Called<Identity>;
    /// SSM `GetParameters`: the values of those that exist.
    async fn parameters(&self, names: &[String]) -> Called<BTreeMap<String, String>>;
    /// `DescribeRegions`: the names of those that the account may use.
    async fn regions(&self) -> Called<Vec<String>>;
    /// `DescribeImages`, by id.
    async fn image(&self, id: &str) -> Called<Option<Image>>;
    /// `DescribeImages` of owners.
    async fn images(&self, owners: &[String], filters: &[Filter]) -> Called<Vec<Image>>;
    /// `DescribeInstanceTypes`, one.
    async fn instance_type(&self, name: &str) -> Called<Option<InstanceType>>;
    /// `DescribeInstanceTypeOfferings`: the zones that have a type.
    async fn zones_of_type(&self, name: &str) -> Called<Vec<String>>;
    /// `DescribeVpcs`.
    async fn vpcs(&self, filters: &[Filter]) -> Called<Vec<Vpc>>;
    /// `DescribeSubnets`.
    async fn subnets(&self, filters: &[Filter]) -> Called<Vec<Subnet>>;
    /// `DescribeSecurityGroups`.
    async fn groups(&self, filters: &[Filter]) -> Called<Vec<Group>>;
    /// `CreateSecurityGroup`; returns its id. A dry run returns nothing when it would be allowed.
    async fn create_group(&self, group: &NewGroup, dry: bool) -> Called<String>;
    /// `AuthorizeSecurityGroupIngress`.
    async fn authorize(&self, group: &str, rules: &[Rule]) -> Called<()>;
    /// `RevokeSecurityGroupIngress`.
    async fn revoke(&self, group: &str, rules: &[Rule]) -> Called<()>;
    /// `DeleteSecurityGroup`.
    async fn delete_group(&self, id: &str) -> Called<()>;
    /// `DescribeKeyPairs`.
    async fn key_pairs(&self, filters: &[Filter]) -> Called<Vec<KeyPair>>;
    /// `ImportKeyPair`. A dry run succeeds when it would be allowed.
    async fn import_key_pair(&self, key: &NewKeyPair, dry: bool) -> Called<()>;
    /// `DeleteKeyPair`.
    async fn delete_key_pair(&self, name: &str) -> Called<()>;
    /// `RunInstances`. A dry run returns nothing when it would be allowed.
    async fn run(&self, launch: &Launch, dry: bool) -> Called<Vec<Instance>>;
    /// `DescribeInstances`.
    async fn instances(&self, filters: &[Filter]) -> Called<Vec<Instance>>;
    /// `DescribeInstances`, one by its id.
    async fn instance(&self, id: &str) -> Called<Option<Instance>>;
    /// `StartInstances`.
    async fn start(&self, id: &str) -> Called<()>;
    /// `StopInstances`.
    async fn stop(&self, id: &str, manner: Manner) -> Called<()>;
    /// `DescribeInstances` of some by their ids; those that are not there are left out. As many calls as it takes for 200 at a
    /// time, which is what a filter takes.
    async fn these(&self, ids: &[String]) -> Called<Vec<Instance>> {
        let mut found = Vec::new();
        for some in ids.chunks(200) {
            found.extend(self.instances(&[Filter { name: "instance-id".into(), values: some.to_vec() }]).await?);
        }
        Ok(found)
    }
    /// `TerminateInstances`: all of them, or none where one cannot be.
    async fn terminate(&self, ids: &[String]) -> Called<()>;
    /// `CreateTags`: gives what has these ids a tag, in place of one of the same key.
    async fn tag(&self, ids: &[String], key: &str, value: &str) -> Called<()>;
    /// `ModifyInstanceAttribute`: takes the protection from termination away.
    async fn unprotect(&self, id: &str) -> Called<()>;
    /// `DescribeVolumes`.
    async fn volumes(&self, filters: &[Filter]) -> Called<Vec<Volume>>;
    /// `DeleteVolume`.
    async fn delete_volume(&self, id: &str) -> Called<()>;
}
