//! The vendors' images that can be downloaded.
//!
//! The list is data (`catalog.json`), built in; a file given by the caller takes its place (private mirrors, tests).

use std::path::Path;
use std::sync::LazyLock;

use machine_core::{Code, Error, Result, ResultExt};
use serde::{Deserialize, Serialize};

use crate::checksum_file::Checksum;
use crate::reference::similar;
use crate::stored_image::check_name;
use crate::{Arch, OWN_IMAGE, SeedKind, web_address};

/// The newest form of a catalog that this program reads.
const CATALOG_SCHEMA: u32 = 1;

/// The images that can be downloaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    schema: u32,
    /// One entry for each name and architecture.
    pub images: Vec<CatalogEntry>,
}

/// An image that can be downloaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogEntry {
    /// Its name, here and in the store.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// The architecture of its guest.
    pub arch: Arch,
    /// Where its disk is.
    pub url: String,
    /// Where its vendor publishes the digests of the files beside it.
    pub checksum_url: String,
    /// The kind of those digests.
    pub checksum: Checksum,
    /// How it learns who it is.
    pub seed: SeedKind,
    /// The user that its vendor means to log in.
    pub user: String,
    /// The beginning of its kernel's version, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
}

static EMBEDDED: LazyLock<Catalog> = LazyLock::new(|| {
    // A test reads it too: a mistake in it never leaves the house.
    Catalog::parse(include_bytes!("catalog.json")).unwrap_or(Catalog { schema: CATALOG_SCHEMA, images: Vec::new() })
});

impl Catalog {
    /// The catalog that this program brings.
    pub fn embedded() -> &'static Self {
        &EMBEDDED
    }

    /// Reads a catalog file.
    ///
    /// # Errors
    /// A file that cannot be read or is no catalog.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = || format!("cannot use the catalog {}", path.display());
        Self::parse(&std::fs::read(path).context(failed)?).context(failed)
    }

    /// Reads the text of a catalog.
    ///
    /// # Errors
    /// What is no catalog, is newer, or has addresses that are not `https` (`http` only on this computer itself).
    pub fn parse(text: &[u8]) -> Result<Self> {
        let catalog: Self = serde_json::from_slice(text).context(|| "it is not a catalog of images".into())?;
        if catalog.schema > CATALOG_SCHEMA {
            return Err(Error::other(format!(
                "it has schema {}, this program knows up to {CATALOG_SCHEMA}",
                catalog.schema
            ))
            .hint("it is for a newer `machine`: upgrade this one"));
        }
        for (place, entry) in catalog.images.iter().enumerate() {
            check_name(&entry.name)?;
            for url in [&entry.url, &entry.checksum_url] {
                web_address::check(url).context(|| format!("image {}", entry.name))?;
            }
            if entry.file_name().is_empty() {
                return Err(Error::other(format!("image {}: {} names no file", entry.name, entry.url)));
            }
            if catalog.images[..place].iter().any(|other| (&other.name, other.arch) == (&entry.name, entry.arch)) {
                return Err(Error::other(format!("image {} for {} is listed twice", entry.name, entry.arch)));
            }
        }
        Ok(catalog)
    }

    /// The entry of this name and architecture.
    ///
    /// # Errors
    /// [`Code::NotFound`] with what there is.
    pub fn find(&self, name: &str, arch: Arch) -> Result<&CatalogEntry> {
        if let Some(entry) = self.images.iter().find(|entry| entry.name == name && entry.arch == arch) {
            return Ok(entry);
        }
        let mut error = Error::new(Code::NotFound, format!("the catalog has no image {name:?} for {arch}"));
        if name == OWN_IMAGE {
            error = error.hint("`machine image build` makes it on this computer");
        }
        let close = similar(name, self.names());
        if !close.is_empty() {
            error = error.hint(format!("did you mean {}?", close.join(" or ")));
        }
        let mut all: Vec<&str> = self.images.iter().filter(|e| e.arch == arch).map(|e| e.name.as_str()).collect();
        all.sort_unstable();
        Err(error.hint(format!("it has: {}", if all.is_empty() { "none".into() } else { all.join(", ") })))
    }

    /// The names, each as often as it has architectures.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.images.iter().map(|entry| entry.name.as_str())
    }
}

impl CatalogEntry {
    /// The name of its file, as the checksum file lists it.
    pub fn file_name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_of_this_program_has_debian_and_ubuntu_for_both_architectures() {
        let catalog = Catalog::parse(include_bytes!("catalog.json")).unwrap();
        assert_eq!(&catalog, Catalog::embedded());
        for name in ["debian-13", "ubuntu-24.04", "ubuntu-26.04"] {
            for arch in [Arch::Amd64, Arch::Arm64] {
                let entry = catalog.find(name, arch).unwrap();
                assert!(entry.file_name().contains(arch.as_str()), "{entry:?}");
                // The digests are those of the same folder.
                let folder = |url: &str| url.rsplit_once('/').unwrap().0.to_owned();
                assert_eq!(folder(&entry.url), folder(&entry.checksum_url));
            }
        }
    }

    #[test]
    fn an_unknown_image_is_answered_with_what_there_is() {
        let error = Catalog::embedded().find("debian", Arch::Amd64).unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
        assert!(error.hints().contains(&"did you mean debian-13?"), "{error:?}");
        assert!(error.hints().contains(&"it has: debian-13, ubuntu-24.04, ubuntu-26.04"), "{error:?}");
    }

    #[test]
    fn a_catalog_with_plain_http_or_doubles_is_refused() {
        let text = include_str!("catalog.json");
        for (from, to, why) in [
            ("https://cloud.debian.org", "http://cloud.debian.org", "https"),
            ("\"schema\": 1", "\"schema\": 2", "schema 2"),
            ("\"arm64\"", "\"amd64\"", "twice"),
            ("debian-13-genericcloud-amd64.qcow2", "", "names no file"),
        ] {
            let error = Catalog::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
        let mirror = text.replace("https://cloud.debian.org", "http://127.0.0.1:8080");
        assert!(Catalog::parse(mirror.as_bytes()).is_ok());
    }
}
