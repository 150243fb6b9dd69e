//! What is true at Amazon before anything is made: the image, the type, the network, who calls and from where.

use machine_core::{Code, Error, MachineSpec, Result};
use serde::{Deserialize, Serialize};

use crate::cloud::{Cloud, InstanceType, Subnet};
use crate::image;
use crate::options::{Ec2Options, USUAL_DISK_GIB, USUAL_IMAGE, USUAL_TYPE};
use crate::query::Filter;

/// What the preflight found; kept with the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The account, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The image's id.
    pub image: String,
    /// Its name.
    pub image_name: String,
    /// Who logs in to it.
    pub login: String,
    /// The name of its root device.
    pub root_device: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// The network.
    pub vpc: String,
    /// The subnet.
    pub subnet: String,
    /// Its zone.
    pub zone: String,
    /// Security groups that were asked for, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// From where SSH and the engine may be reached; no address where the groups that were asked for decide on that.
    pub allowed: Vec<String>,
}

/// Facts, and what a spec left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) facts: Facts,
    pub(crate) instance_type: InstanceType,
    /// The root disk, GiB.
    pub(crate) disk_gib: u64,
    /// The subnet's addresses.
    pub(crate) cidr: String,
}

/// Looks all of it up. Makes nothing.
///
/// # Errors
/// What does not exist, does not fit together, or may not be asked.
pub(crate) async fn look_up(cloud: &dyn Cloud, spec: &MachineSpec, options: &Ec2Options) -> Result<Found> {
    let account = match cloud.identity().await {
        Ok(identity) => Some(identity.account),
        // A compatible cloud need not have STS.
        Err(error) if cloud.endpoint().is_some() && error.code != "InvalidClientTokenId" => {
            tracing::debug!(%error.error, "who calls is not known");
            None
        }
        Err(error) => return Err(error.into()),
    };
    let wanted = options.instance_type.as_deref().unwrap_or(USUAL_TYPE);
    let Some(instance_type) = cloud.instance_type(wanted).await? else {
        return Err(no_such_type(wanted, cloud.region()));
    };
    if options.spot && !instance_type.usage.is_empty() && !instance_type.usage.iter().any(|usage| usage == "spot") {
        return Err(Error::other(format!("the type {wanted} is not to be had as a spot instance")));
    }
    let supports = |architecture: &str| instance_type.architectures.iter().any(|supported| supported == architecture);
    let architecture = if supports("x86_64") || instance_type.architectures.is_empty() { "x86_64" } else { "arm64" };
    let image = match (&options.ami, &spec.image) {
        (Some(_), Some(_)) => {
            return Err(
                Error::new(Code::Usage, "--ec2-ami and --image both name an image").hint("leave one of them out")
            );
        }
        (Some(id), None) => image::by_id(cloud, id).await?,
        (None, name) => image::named(cloud, name.as_deref().unwrap_or(USUAL_IMAGE), architecture).await?,
    };
    if !instance_type.architectures.is_empty() && !supports(&image.architecture) {
        return Err(Error::other(format!(
            "the image {} is for {}, the type {wanted} runs {}",
            image.id,
            image.architecture,
            instance_type.architectures.join(" and ")
        ))
        .hint("x86 types are t3, m7i, ...; arm64 ones (Graviton) have a g: t4g, m7g, ..."));
    }
    let subnet = network(cloud, options, wanted).await?;
    let groups = given_groups(cloud, options, &subnet.vpc).await?;
    let disk_gib = spec.disk_mib.div_ceil(1024);
    let disk_gib = match disk_gib {
        0 => USUAL_DISK_GIB.max(image.root_gib),
        asked if asked < image.root_gib => {
            return Err(Error::other(format!(
                "the image {} needs a disk of {} GiB, not {asked}",
                image.id, image.root_gib
            ))
            .hint("--disk or --ec2-root-size is the size of the root disk"));
        }
        asked => asked,
    };
    if let Some(name) = &options.device_name
        && !image.root_device.is_empty()
        && *name != image.root_device
    {
        return Err(Error::other(format!(
            "the root device of the image {} is {}: {name} would be a second disk",
            image.id, image.root_device
        ))
        .hint("leave --ec2-device-name out"));
    }
    let login = image::login(&image).to_owned();
    let root_device = if image.root_device.is_empty() { "/dev/sda1".to_owned() } else { image.root_device };
    let facts = Facts {
        account,
        image: image.id,
        image_name: image.name,
        login,
        root_device,
        architecture: image.architecture,
        vpc: subnet.vpc,
        subnet: subnet.id,
        zone: subnet.zone,
        groups,
        allowed: Vec::new(),
    };
    Ok(Found { facts, instance_type, disk_gib, cidr: subnet.cidr })
}

fn no_such_type(wanted: &str, region: &str) -> Error {
    Error::new(Code::NotFound, format!("there is no type of instance {wanted:?} in {region}"))
        .hint("--ec2-instance-type names one, as t3.small (x86) or t4g.small (Graviton)")
}

/// The subnet: the one asked for, else the best of the network asked for or of the default one.
async fn network(cloud: &dyn Cloud, options: &Ec2Options, kind: &str) -> Result<Subnet> {
    let region = cloud.region();
    let zone = options.zone.as_ref().map(|zone| if zone.len() <= 2 { format!("{region}{zone}") } else { zone.clone() });
    if let Some(id) = &options.subnet {
        let found = cloud.subnets(&[Filter::one("subnet-id", id)]).await?.into_iter().next();
        let subnet = found.ok_or_else(|| {
            Error::new(Code::NotFound, format!("there is no subnet {id} in {region}"))
                .hint("check --ec2-subnet-id and --ec2-region")
        })?;
        if options.vpc.as_ref().is_some_and(|vpc| *vpc != subnet.vpc) {
            return Err(Error::other(format!("the subnet {id} is of {}, not of the VPC asked for", subnet.vpc)));
        }
        if zone.as_ref().is_some_and(|zone| *zone != subnet.zone) {
            return Err(Error::other(format!("the subnet {id} is in {}, not in the zone asked for", subnet.zone))
                .hint("leave --ec2-zone (AWS_ZONE) out, or name a subnet of that zone"));
        }
        return Ok(subnet);
    }
    let filter = match &options.vpc {
        Some(id) => Filter::one("vpc-id", id),
        None => Filter::one("isDefault", "true"),
    };
    let vpc = cloud.vpcs(&[filter]).await?.into_iter().next().ok_or_else(|| match &options.vpc {
        Some(id) => Error::new(Code::NotFound, format!("there is no VPC {id} in {region}"))
            .hint("check --ec2-vpc-id and --ec2-region"),
        None => Error::new(Code::NotFound, format!("the account has no default VPC in {region}")).hint(
            "--ec2-vpc-id or --ec2-subnet-id names a network; `aws ec2 create-default-vpc` makes the default one anew",
        ),
    })?;
    let subnets = cloud.subnets(&[Filter::one("vpc-id", &vpc.id)]).await?;
    let offered = cloud.zones_of_type(kind).await?;
    choose(subnets, zone.as_deref(), &offered, !options.private_address_only).ok_or_else(|| {
        let place = zone.map_or_else(|| format!("the VPC {}", vpc.id), |zone| format!("the zone {zone}"));
        Error::new(Code::NotFound, format!("{place} has no subnet with room where {kind} is offered"))
            .hint(format!("{kind} is offered in {}; --ec2-zone and --ec2-subnet-id choose", offered.join(", ")))
    })
}

/// The best subnet: with room, where the type is offered; with public addresses where they are wanted, a zone's default one
/// before others, the first zone before the next.
fn choose(subnets: Vec<Subnet>, zone: Option<&str>, offered: &[String], public: bool) -> Option<Subnet> {
    subnets
        .into_iter()
        .filter(|subnet| zone.is_none_or(|zone| subnet.zone == zone))
        .filter(|subnet| offered.is_empty() || offered.contains(&subnet.zone))
        .filter(|subnet| subnet.free > 0)
        .min_by_key(|subnet| (public != subnet.public, !subnet.is_default, subnet.zone.clone(), subnet.id.clone()))
}

/// The ids of the security groups that were asked for, by name or id.
async fn given_groups(cloud: &dyn Cloud, options: &Ec2Options, vpc: &str) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for wanted in &options.security_groups {
        let name = if wanted.starts_with("sg-") { "group-id" } else { "group-name" };
        let found = cloud.groups(&[Filter::one(name, wanted), Filter::one("vpc-id", vpc)]).await?;
        let group = found.into_iter().next().ok_or_else(|| {
            Error::new(Code::NotFound, format!("the VPC {vpc} has no security group {wanted:?}"))
                .hint("leave --ec2-security-group out, and the machine gets one of its own, open to you alone")
        })?;
        ids.push(group.id);
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_cloud::FakeCloud;

    fn subnet(id: &str, zone: &str, public: bool, is_default: bool, free: u64) -> Subnet {
        Subnet {
            id: id.into(),
            vpc: "vpc-1".into(),
            zone: zone.into(),
            is_default,
            public,
            free,
            cidr: "10.0.0.0/24".into(),
        }
    }

    #[tokio::test]
    async fn a_subnet_of_another_zone_than_was_asked_for_is_refused() {
        let cloud = FakeCloud { subnet: subnet("subnet-1", "eu-central-1a", true, true, 9), ..FakeCloud::default() };
        let chosen = async |zone: Option<&str>| {
            let options =
                Ec2Options { subnet: Some("subnet-1".into()), zone: zone.map(str::to_owned), ..Ec2Options::default() };
            network(&cloud, &options, "t3.small").await
        };
        for zone in [None, Some("a"), Some("eu-central-1a")] {
            assert_eq!(chosen(zone).await.unwrap().id, "subnet-1");
        }
        let error = chosen(Some("b")).await.unwrap_err();
        assert!(error.to_string().contains("is in eu-central-1a"), "{error}");
    }

    #[test]
    fn the_best_subnet_has_room_offers_the_type_and_fits_the_kind_of_address() {
        let all = vec![
            subnet("full", "r-a", true, true, 0),
            subnet("private-a", "r-a", false, false, 9),
            subnet("other-b", "r-b", true, false, 9),
            subnet("default-c", "r-c", true, true, 9),
            subnet("default-b", "r-b", true, true, 9),
        ];
        let chosen = |zone: Option<&str>, offered: &[&str], public: bool| {
            let offered: Vec<String> = offered.iter().map(|zone| (*zone).to_owned()).collect();
            choose(all.clone(), zone, &offered, public).map(|subnet| subnet.id)
        };
        assert_eq!(chosen(None, &[], true).as_deref(), Some("default-b"));
        assert_eq!(chosen(None, &["r-c"], true).as_deref(), Some("default-c"));
        assert_eq!(chosen(Some("r-a"), &[], true).as_deref(), Some("private-a"), "better than none");
        assert_eq!(chosen(None, &[], false).as_deref(), Some("private-a"));
        assert_eq!(chosen(Some("r-d"), &[], true), None);
    }
}
