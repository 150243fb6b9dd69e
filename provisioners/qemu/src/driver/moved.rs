//! Disks that were made on another computer.

use std::io::Read as _;
use std::path::Path;

use machine_core::{Error, Result, ResultExt};
use machine_images::{DiskFormat, Image};
use serde_json::Value;

use super::provider::QemuDriver;
use super::state::DriverState;
use crate::machine_files::{data_disk, os_disk};

/// Features without which a qcow2 disk cannot be read that may be in one: compression by another method, extended L2 entries. One
/// that was not closed (bit 0), a corrupt one (1), and one with its data in another file (2) is not taken.
const READABLE: u64 = (1 << 3) | (1 << 4);

impl QemuDriver {
    /// Takes on the disks that lie in a machine's folder and came from elsewhere: what they name of the other computer is replaced, and
    /// nothing that they name is ever opened. Returns the state for the record.
    ///
    /// # Errors
    /// Disks that are none, or that would read other files of this computer.
    pub async fn adopt_disks(&self, dir: &Path, image: &Image) -> Result<Value> {
        let (os, data) = (os_disk(dir), data_disk(dir));
        let header = machine_images::inspect_disk(&data)?;
        if header.format != DiskFormat::Qcow2 {
            return Err(Error::other("its data disk is no qcow2 disk"));
        }
        check_overlay(&os).context(|| "its system disk cannot be used".into())?;
        let tool = self.disk_tool(image.arch).await?;
        tool.rebase(&os, &image.disk, &image.format).await?;
        let found = tool.info(&os).await?;
        if found.format != "qcow2" || found.backing_filename.as_deref() != Some(image.disk.as_path()) {
            return Err(Error::other("its system disk is not on its image"));
        }
        DriverState::new(None, image.digest.clone(), image.disk.clone()).to_value()
    }
}

/// Looks at the header of a qcow2 disk (QEMU, docs/interop/qcow2.txt): what stands behind its backing file's name is decided by
/// whoever rebases it, what its features name is not.
fn check_overlay(path: &Path) -> Result<()> {
    let mut head = [0; 80];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)).context(|| "it has no header".into())?;
    let version = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    let mut features = [0; 8];
    features.copy_from_slice(&head[72..80]);
    // Version 2 has no features; its header ends before them.
    let features = if version < 3 { 0 } else { u64::from_be_bytes(features) };
    if !head.starts_with(b"QFI\xfb") || !matches!(version, 2 | 3) {
        return Err(Error::other("it is no qcow2 disk"));
    }
    if features & !READABLE != 0 {
        return Err(Error::other(format!(
            "it was not closed, is damaged, or has its data elsewhere (features {features:#x})"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_keeps_its_data_in_another_file_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("os.qcow2");
        let mut head = [0_u8; 104];
        head[..4].copy_from_slice(b"QFI\xfb");
        head[7] = 3;
        std::fs::write(&path, head).unwrap();
        check_overlay(&path).unwrap();
        for feature in [1, 2, 4, 0x80] {
            head[79] = feature;
            std::fs::write(&path, head).unwrap();
            assert!(check_overlay(&path).is_err(), "{feature}");
        }
        std::fs::write(&path, b"#!/bin/sh").unwrap();
        assert!(check_overlay(&path).is_err());
    }
}
