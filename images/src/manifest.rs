//! The list of contents that the recipe writes beside an image (`manifest.json`).

use std::collections::BTreeMap;

use machine_core::{Code, Error, Result};
use serde::Deserialize;

use crate::stored_image::{FileDigest, check_kernel_arguments, check_name, is_sha256};
use crate::{Arch, DiskFormat};

/// The newest form of a manifest that this program reads.
const MANIFEST_SCHEMA: u32 = 1;

/// The parts of a manifest that the store needs; the packages and sizes in it are for people.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Manifest {
    schema: u32,
    pub(crate) name: String,
    pub(crate) arch: Arch,
    #[serde(default)]
    pub(crate) kernel_version: Option<String>,
    #[serde(default)]
    pub(crate) engine_version: Option<String>,
    #[serde(default)]
    pub(crate) kernel_args: String,
    #[serde(default)]
    pub(crate) channel: Option<u32>,
    pub(crate) files: BTreeMap<String, FileDigest>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// What is no manifest, is newer, or names files that do not belong to an image.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let broken =
            |error: serde_json::Error| Error::other("manifest.json is not the manifest of an image").because(error);
        let version: Version = serde_json::from_slice(text).map_err(broken)?;
        if version.schema > MANIFEST_SCHEMA {
            return Err(Error::new(
                Code::Other,
                format!("manifest.json has schema {}, this program knows up to {MANIFEST_SCHEMA}", version.schema),
            )
            .hint("it was written by a newer `machine`: upgrade this one"));
        }
        let manifest: Self = serde_json::from_slice(text).map_err(broken)?;
        check_name(&manifest.name)?;
        check_kernel_arguments(&manifest.kernel_args)?;
        for (name, file) in &manifest.files {
            if !matches!(name.as_str(), "disk.qcow2" | "disk.raw" | "vmlinuz" | "initrd.img") {
                return Err(Error::other(format!("manifest.json lists an unknown file {name:?}")));
            }
            if !is_sha256(&file.sha256) {
                return Err(Error::other(format!("manifest.json has no SHA-256 of {name}")));
            }
        }
        if manifest.files.contains_key("vmlinuz") != manifest.files.contains_key("initrd.img") {
            return Err(Error::other("manifest.json lists a kernel without an initrd, or the other way round"));
        }
        manifest.disk()?;
        Ok(manifest)
    }

    /// The disk's file name and the format that it promises.
    pub(crate) fn disk(&self) -> Result<(&'static str, DiskFormat)> {
        match (self.files.contains_key("disk.qcow2"), self.files.contains_key("disk.raw")) {
            (true, false) => Ok(("disk.qcow2", DiskFormat::Qcow2)),
            (false, true) => Ok(("disk.raw", DiskFormat::Raw)),
            _ => Err(Error::other("manifest.json must list either disk.qcow2 or disk.raw")),
        }
    }

    /// Whether the image brings its kernel beside the disk.
    pub(crate) fn boots_directly(&self) -> bool {
        self.files.contains_key("vmlinuz")
    }
}
