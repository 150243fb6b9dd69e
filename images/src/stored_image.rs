//! What the store remembers of one image (`image.json`).

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use machine_core::{Code, Error, Result, ResultExt};
use serde::{Deserialize, Serialize};

use crate::{Boot, Image};

/// The newest form of `image.json` that this program writes and reads.
pub const IMAGE_SCHEMA: u32 = 1;

/// The name of the file in each image's folder.
pub(crate) const IMAGE_FILE: &str = "image.json";

/// One file of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// Its size, bytes.
    pub size: u64,
}

/// An image with what the store knows about it. On disk its paths are relative to its folder; in memory they are whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    /// The form of this file.
    pub schema: u32,
    /// When it came into the store, or was last brought again.
    pub added: Timestamp,
    /// Where it came from: a URL, a path, or `built here`.
    pub source: String,
    /// The digest that its vendor published (`sha512:...`), when it was downloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_digest: Option<String>,
    /// Its files by name, except `image.json`.
    pub files: BTreeMap<String, FileDigest>,
    /// The image.
    #[serde(flatten)]
    pub image: Image,
}

impl StoredImage {
    /// The name of its folder: unique in a store.
    pub fn reference(&self) -> String {
        format!("{}@{}", self.image.name, &self.image.digest[..12])
    }

    /// Reads `image.json`, refusing what a newer program wrote and whatever could lead out of the folder.
    ///
    /// # Errors
    /// Text that is no such file, or one of a newer schema.
    pub fn parse(text: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let broken = |error: serde_json::Error| Error::other("image.json is broken").because(error);
        let version: Version = serde_json::from_slice(text).map_err(broken)?;
        if version.schema > IMAGE_SCHEMA {
            return Err(Error::new(
                Code::Other,
                format!("image.json has schema {}, this program knows up to {IMAGE_SCHEMA}", version.schema),
            )
            .hint("it was written by a newer `machine`: upgrade this one"));
        }
        let stored: Self = serde_json::from_slice(text).map_err(broken)?;
        stored.validate().context(|| "image.json is broken".into())?;
        Ok(stored)
    }

    fn validate(&self) -> Result<()> {
        check_name(&self.image.name)?;
        if !is_sha256(&self.image.digest) {
            return Err(Error::other("its digest is not a SHA-256 in hexadecimal"));
        }
        if !matches!(self.image.format.as_str(), "qcow2" | "raw") {
            return Err(Error::other(format!("its format {:?} is not qcow2 or raw", self.image.format)));
        }
        for name in self.files.keys() {
            plain_name(Path::new(name))?;
        }
        let listed = |path: &Path| {
            let name = plain_name(path)?;
            self.files.get(name).ok_or_else(|| Error::other(format!("it does not list its file {name}")))
        };
        if listed(&self.image.disk)?.sha256 != self.image.digest {
            return Err(Error::other("its digest is not that of its disk"));
        }
        if let Boot::Direct { kernel, initrd, args } = &self.image.boot {
            listed(kernel)?;
            listed(initrd)?;
            check_kernel_arguments(args)?;
        }
        Ok(())
    }

    /// Turns relative paths into paths in `folder`.
    pub(crate) fn located_in(mut self, folder: &Path) -> Self {
        let locate = |path: &mut PathBuf| *path = folder.join(&*path);
        locate(&mut self.image.disk);
        if let Boot::Direct { kernel, initrd, .. } = &mut self.image.boot {
            locate(kernel);
            locate(initrd);
        }
        self
    }

    /// The text of `image.json`.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self).context(|| "cannot write image.json".into())?;
        text.push(b'\n');
        Ok(text)
    }
}

/// Whether `text` is a SHA-256 in lower-case hexadecimal.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Checks the name of an image: it becomes a part of a folder's name and of command lines.
///
/// # Errors
/// [`Code::Usage`] with the rule.
pub fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.len() <= 63 && name.chars().all(allowed) && name.starts_with(edge) && name.ends_with(edge) {
        return Ok(());
    }
    Err(Error::new(Code::Usage, format!("invalid image name {name:?}"))
        .hint("use 1 to 63 lower-case letters, digits, '.', '-' or '_', beginning and ending with a letter or digit"))
}

/// Checks a kernel command line that comes from a file: one printable line, as QEMU's `-append` takes it.
pub(crate) fn check_kernel_arguments(arguments: &str) -> Result<()> {
    if arguments.len() > 2048 || arguments.chars().any(|c| !(c == ' ' || c.is_ascii_graphic())) {
        return Err(Error::other("its kernel arguments are not one printable line of at most 2048 characters"));
    }
    Ok(())
}

fn plain_name(path: &Path) -> Result<&str> {
    let mut components = path.components();
    match (components.next(), components.next(), path.to_str()) {
        (Some(Component::Normal(name)), None, Some(text)) if name == text && !text.contains(['\\', ':']) => Ok(text),
        _ => Err(Error::other(format!("{} is not a file of its folder", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        let digest = "a".repeat(64);
        format!(
            r#"{{"schema":1,"added":"2026-11-22T00:00:00Z","source":"built here","files":{{
            "disk.qcow2":{{"sha256":"{digest}","size":5}},"vmlinuz":{{"sha256":"{digest}","size":5}},
            "initrd.img":{{"sha256":"{digest}","size":5}}}},"name":"machine","digest":"{digest}","arch":"amd64",
            "disk":"disk.qcow2","format":"qcow2","virtual_size":8589934592,
            "boot":{{"kind":"direct","kernel":"vmlinuz","initrd":"initrd.img","args":"console=ttyS0"}},"seed":"machine",
            "engine_version":"26.1.5","kernel_version":null,"a_later_field":1}}"#
        )
    }

    #[test]
    fn schema_1_is_read_also_with_fields_of_a_later_minor_version_and_written_back_the_same() {
        let stored = StoredImage::parse(text().as_bytes()).unwrap();
        assert_eq!(stored.reference(), "machine@aaaaaaaaaaaa");
        let located = stored.clone().located_in(Path::new("folder"));
        assert_eq!(located.image.disk, Path::new("folder").join("disk.qcow2"));
        let again = StoredImage::parse(&stored.to_json().unwrap()).unwrap();
        assert_eq!(again, stored);
    }

    #[test]
    fn newer_and_broken_files_are_refused_with_the_reason() {
        let newer = StoredImage::parse(text().replace("\"schema\":1", "\"schema\":7").as_bytes()).unwrap_err();
        assert!(newer.to_string().contains("schema 7") && newer.hints()[0].contains("upgrade"));
        for (from, to) in [
            ("{", ""),
            ("\"disk\":\"disk.qcow2\"", "\"disk\":\"../disk.qcow2\""),
            ("\"disk\":\"disk.qcow2\"", "\"disk\":\"/etc/shadow\""),
            ("\"kernel\":\"vmlinuz\"", "\"kernel\":\"elsewhere\""),
            ("\"name\":\"machine\"", "\"name\":\"a/b\""),
            ("\"format\":\"qcow2\"", "\"format\":\"vmdk\""),
            ("console=ttyS0", "console=ttyS0\\n"),
            ("\"digest\":\"aaaa", "\"digest\":\"baaa"),
        ] {
            let error = StoredImage::parse(text().replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.to_string().contains("broken"), "{to}: {error}");
        }
    }

    #[test]
    fn names_are_plain_words() {
        for name in ["machine", "debian-13", "ubuntu-24.04", "a", "x_1"] {
            check_name(name).unwrap();
        }
        for name in ["", "A", "a b", "../a", "a@b", "-a", "a.", ".a", "a/b", &"x".repeat(64)] {
            assert_eq!(check_name(name).unwrap_err().code(), Code::Usage, "{name}");
        }
    }
}
