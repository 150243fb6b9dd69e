//! Images by vendor and release: `ubuntu-24.04`, `debian-13`, `amazon-2023`. Their ids change with every build and differ
//! between regions, so they are looked up at each creation.
//!
//! Sources: <https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/>,
//! <https://wiki.debian.org/Cloud/AmazonEC2Image>,
//! <https://docs.aws.amazon.com/linux/al2023/ug/ec2.html>.

use machine_core::{Code, Error, Result};

use crate::cloud::{Cloud, Image};
use crate::query::Filter;

/// Who makes images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vendor {
    Ubuntu,
    Debian,
    Amazon,
}

const VENDORS: [Vendor; 3] = [Vendor::Ubuntu, Vendor::Debian, Vendor::Amazon];

impl Vendor {
    fn name(self) -> &'static str {
        match self {
            Self::Ubuntu => "ubuntu",
            Self::Debian => "debian",
            Self::Amazon => "amazon",
        }
    }

    /// The account that its images belong to.
    fn owner(self) -> &'static str {
        match self {
            Self::Ubuntu => "099720109477",
            Self::Debian => "136693071363",
            Self::Amazon => "137112412989",
        }
    }

    /// The account inside that cloud-init gives the key to.
    fn login(self) -> &'static str {
        match self {
            Self::Ubuntu => "ubuntu",
            Self::Debian => "admin",
            Self::Amazon => "ec2-user",
        }
    }
}

/// An image by its vendor and release.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Release {
    vendor: Vendor,
    release: String,
}

impl Release {
    fn parse(name: &str) -> Result<Self> {
        let found = VENDORS.into_iter().find_map(|vendor| {
            let release = name.strip_prefix(vendor.name())?.strip_prefix('-')?;
            let fits = !release.is_empty() && release.chars().all(|c| c.is_ascii_digit() || c == '.');
            fits.then(|| Self { vendor, release: release.to_owned() })
        });
        found.ok_or_else(|| {
            Error::new(Code::Usage, format!("the driver \"ec2\" does not know the image {name:?}"))
                .hint("ubuntu-24.04, ubuntu-22.04, debian-13, debian-12, amazon-2023; or any image by its id: --ec2-ami ami-...")
        })
    }

    /// The public parameters that may name its newest build, the best one first. `architecture` is EC2's word.
    fn parameters(&self, architecture: &str) -> Vec<String> {
        let release = &self.release;
        let short = if architecture == "arm64" { "arm64" } else { "amd64" };
        match self.vendor {
            // Ubuntu changed from gp2 to gp3 with 23.10.
            Vendor::Ubuntu => ["ebs-gp3", "ebs-gp2"]
                .map(|disk| {
                    format!("/aws/service/canonical/ubuntu/server/{release}/stable/current/{short}/hvm/{disk}/ami-id")
                })
                .to_vec(),
            Vendor::Debian => vec![format!("/aws/service/debian/release/{release}/latest/{short}")],
            Vendor::Amazon => {
                vec![format!("/aws/service/ami-amazon-linux-latest/al{release}-ami-kernel-default-{architecture}")]
            }
        }
    }

    /// What its builds are called.
    fn names(&self, architecture: &str) -> String {
        let release = &self.release;
        let short = if architecture == "arm64" { "arm64" } else { "amd64" };
        match self.vendor {
            Vendor::Ubuntu => format!("ubuntu/images/hvm-ssd*/ubuntu-*-{release}-{short}-server-*"),
            Vendor::Debian => format!("debian-{release}-{short}-*"),
            Vendor::Amazon => format!("al{release}-ami-{release}.*-{architecture}"),
        }
    }
}

/// Finds the newest build of a named image.
///
/// # Errors
/// A name that is none, or one that nothing is found of.
pub(crate) async fn named(cloud: &dyn Cloud, name: &str, architecture: &str) -> Result<Image> {
    let release = Release::parse(name)?;
    let parameters = release.parameters(architecture);
    match cloud.parameters(&parameters).await {
        Ok(values) => {
            if let Some(id) = parameters.iter().find_map(|name| values.get(name))
                && let Some(image) = cloud.image(id).await?
            {
                return Ok(image);
            }
        }
        // Those who may not ask SSM, and clouds that have none, still have the list of images.
        Err(error) => tracing::debug!(%error.error, "no public parameters"),
    }
    let filters = [
        Filter::one("name", release.names(architecture)),
        Filter::one("architecture", architecture),
        Filter::one("state", "available"),
    ];
    let found = cloud.images(&[release.vendor.owner().to_owned()], &filters).await?;
    found.into_iter().max_by(|a, b| a.created.cmp(&b.created)).ok_or_else(|| {
        Error::new(Code::NotFound, format!("there is no image {name:?} for {architecture} in {}", cloud.region()))
            .hint("--image takes another release, --ec2-ami an image's id; --ec2-region another region")
    })
}

/// Finds an image by its id, and refuses one that cannot be a machine.
///
/// # Errors
/// One that does not exist, is not available, or is no Linux.
pub(crate) async fn by_id(cloud: &dyn Cloud, id: &str) -> Result<Image> {
    let gone = || {
        Error::new(Code::NotFound, format!("there is no image {id} in {}", cloud.region()))
            .hint("ids of images differ between regions: check --ec2-ami and --ec2-region; or name one, as --image ubuntu-24.04")
    };
    let image = cloud.image(id).await?.ok_or_else(gone)?;
    if image.platform == "windows" {
        return Err(Error::other(format!("the image {id} is a Windows")).hint("machines run Linux"));
    }
    if !image.state.is_empty() && image.state != "available" {
        return Err(Error::other(format!("the image {id} is {}", image.state)));
    }
    Ok(image)
}

/// Who logs in: by the image's owner, else by its name; docker-machine's `ubuntu` where neither tells.
pub(crate) fn login(image: &Image) -> &'static str {
    let name = image.name.to_lowercase();
    let of_vendor = VENDORS.iter().find(|vendor| vendor.owner() == image.owner);
    let by_name = || {
        VENDORS
            .iter()
            .find(|vendor| name.contains(vendor.name()) || (**vendor == Vendor::Amazon && name.starts_with("al20")))
    };
    of_vendor.or_else(by_name).map_or("ubuntu", |vendor| vendor.login())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_releases_lead_to_parameters_and_to_patterns() {
        let mut lines = Vec::new();
        for name in ["ubuntu-24.04", "debian-13", "amazon-2023"] {
            let release = Release::parse(name).unwrap();
            for architecture in ["x86_64", "arm64"] {
                lines.extend(release.parameters(architecture));
                lines.push(format!("{} {}", release.vendor.owner(), release.names(architecture)));
            }
        }
        insta::assert_snapshot!(lines.join("\n"));
        for wrong in ["", "ubuntu", "ubuntu-", "debian-13*", "fedora-43", "machine", "ubuntu-24.04/../x"] {
            assert_eq!(Release::parse(wrong).unwrap_err().code(), Code::Usage, "{wrong}");
        }
    }

    #[test]
    fn the_login_follows_the_owner_and_then_the_name() {
        let image = |owner: &str, name: &str| Image { owner: owner.into(), name: name.into(), ..Image::default() };
        assert_eq!(login(&image("136693071363", "debian-13-amd64-x")), "admin");
        assert_eq!(login(&image("137112412989", "al2023-ami-x")), "ec2-user");
        assert_eq!(login(&image("1", "our-debian-base")), "admin");
        assert_eq!(login(&image("1", "al2023-hardened")), "ec2-user");
        assert_eq!(login(&image("1", "something")), "ubuntu");
    }
}
