//! What kind of disk a file is, read from its first bytes, which come from strangers.
//!
//! QEMU would open a backing file or an external data file that a header names, and so show any file of this computer to
//! the guest. Such images are refused here, and the format found is always given to QEMU, which so never guesses itself.
//! Layout of qcow2: QEMU, `docs/interop/qcow2.txt`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use machine_core::{Error, Result, ResultExt};

/// The format of a disk file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFormat {
    /// QEMU's copy-on-write format, version 2 or 3.
    Qcow2,
    /// The bytes of the disk as they are.
    Raw,
}

impl DiskFormat {
    /// QEMU's name of it, which is also the file's extension in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

/// What the header of an acceptable disk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskHeader {
    /// Its format.
    pub format: DiskFormat,
    /// The size that a guest sees, bytes.
    pub virtual_size: u64,
}

/// As much of a file as the checks look at, bytes: ISO 9660 has its mark behind 32 KiB, and the header extensions of
/// qcow2 take a few hundred.
const HEAD: u64 = 128 << 10;
/// The largest virtual disk that is taken seriously, bytes.
const LARGEST: u64 = 64 << 40;
/// The smallest raw file that could be a disk, bytes.
const SMALLEST_RAW: u64 = 64 << 10;

/// Looks at the file `path`.
///
/// # Errors
/// A file that cannot be read, is no disk image, or is one that must not be used; the text says which.
pub fn inspect(path: &Path) -> Result<DiskHeader> {
    let refuse = || format!("cannot use {} as a disk image", path.display());
    // Not opened before: opening a pipe would wait for its writer.
    let about = std::fs::metadata(path).context(refuse)?;
    if !about.is_file() {
        return Err(Error::other("it is not a regular file")).context(refuse);
    }
    let mut head = Vec::new();
    File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head)).context(refuse)?;
    parse(&head, about.len()).context(refuse)
}

/// Judges a file by its first bytes (128 KiB, or all of a smaller one) and its size in bytes. Pure.
///
/// # Errors
/// Anything but a qcow2 or raw disk that stands alone.
pub fn parse(head: &[u8], file_size: u64) -> Result<DiskHeader> {
    if head.is_empty() {
        return Err(Error::other("the file is empty"));
    }
    if head.starts_with(b"QFI\xfb") {
        return qcow2(head, file_size);
    }
    if let Some(kind) = compression(head) {
        return Err(Error::other(format!("it is compressed with {kind}"))
            .hint("unpack it first, then import the disk image that was inside"));
    }
    if let Some((kind, convertible)) = other_format(head) {
        let error = Error::other(format!("it is {kind}, not a qcow2 or raw disk image"));
        return Err(if convertible {
            error.hint("convert it: `qemu-img convert -O qcow2 FILE disk.qcow2`, then import disk.qcow2")
        } else {
            error.hint("a disk image of a cloud (\"cloud image\", .qcow2 or .img) is needed")
        });
    }
    raw(head, file_size)
}

fn raw(head: &[u8], file_size: u64) -> Result<DiskHeader> {
    let boot_sector = bytes(head, 510) == Some([0x55, 0xAA]);
    let partition_table = head.get(512..520) == Some(b"EFI PART") || head.get(4096..4104) == Some(b"EFI PART");
    // Superblock at 1024, its magic number 56 bytes into it.
    let ext4 = bytes(head, 1024 + 56) == Some([0x53, 0xEF]);
    if !(boot_sector || partition_table || ext4) {
        let first = &head[..head.len().min(512)];
        let text = std::str::from_utf8(first).is_ok_and(|text| !text.contains('\0'));
        return Err(Error::other(if text {
            "it is a text file, not a disk image"
        } else {
            "it is not a disk image: no qcow2 header, no partition table, no ext4 file system"
        }));
    }
    if file_size < SMALLEST_RAW {
        return Err(Error::other(format!("it is too small for a disk: {file_size} bytes")));
    }
    if !file_size.is_multiple_of(512) {
        return Err(Error::other(format!("its size, {file_size} bytes, is not a multiple of 512: it may be cut off")));
    }
    if file_size > LARGEST {
        return Err(Error::other(format!("its size, {file_size} bytes, is beyond reason")));
    }
    Ok(DiskHeader { format: DiskFormat::Raw, virtual_size: file_size })
}

fn qcow2(head: &[u8], file_size: u64) -> Result<DiskHeader> {
    let broken = |what: &str| Error::other(format!("its qcow2 header is broken: {what}"));
    let cut_off = || broken("it is cut off");
    let version = u32_at(head, 4).ok_or_else(cut_off)?;
    if !matches!(version, 2 | 3) {
        return Err(Error::other(format!("it is qcow version {version}; versions 2 and 3 are understood"))
            .hint("convert it: `qemu-img convert -O qcow2 FILE disk.qcow2`"));
    }
    let backing_offset = u64_at(head, 8).ok_or_else(cut_off)?;
    let backing_size = u32_at(head, 16).ok_or_else(cut_off)?;
    if backing_offset != 0 || backing_size != 0 {
        return Err(Error::other(
            "it has a backing file: it is only a part of an image, and could show files of this computer to the guest",
        )
        .hint("make it stand alone: `qemu-img convert -O qcow2 FILE disk.qcow2`"));
    }
    let cluster_bits = u32_at(head, 20).ok_or_else(cut_off)?;
    if !(9..=21).contains(&cluster_bits) {
        return Err(broken("impossible cluster size"));
    }
    let cluster = 1u64 << cluster_bits;
    let virtual_size = u64_at(head, 24).ok_or_else(cut_off)?;
    if virtual_size == 0 || virtual_size > LARGEST {
        return Err(broken(&format!("impossible disk size of {virtual_size} bytes")));
    }
    if u32_at(head, 32).ok_or_else(cut_off)? != 0 {
        return Err(Error::other("it is encrypted").hint("decrypt it with qemu-img first"));
    }
    let l1_entries = u64::from(u32_at(head, 36).ok_or_else(cut_off)?);
    let l1_offset = u64_at(head, 40).ok_or_else(cut_off)?;
    let refcount_offset = u64_at(head, 48).ok_or_else(cut_off)?;
    let refcount_clusters = u64::from(u32_at(head, 56).ok_or_else(cut_off)?);
    let header_length = if version == 2 { 72 } else { version_3(head, cluster)? };
    let inside = |offset: u64, length: u64| {
        offset >= cluster
            && offset.is_multiple_of(cluster)
            && offset.checked_add(length).is_some_and(|end| end <= file_size)
    };
    // QEMU's own limits: 32 MiB for the L1 table, 8 MiB for the refcount table (block/qcow2.h).
    let l1_size = l1_entries * 8;
    // An L2 table fills one cluster; its entries take 8 bytes, with subclusters 16.
    let entries = cluster / if u64_at(head, 72).is_some_and(|bits| version == 3 && bits & 16 != 0) { 16 } else { 8 };
    if l1_size > 32 << 20 || l1_entries < virtual_size.div_ceil(cluster * entries) || !inside(l1_offset, l1_size) {
        return Err(broken("the L1 table is not where it could be, or the file is cut off"));
    }
    let refcount_size = refcount_clusters * cluster;
    if refcount_clusters == 0 || refcount_size > 8 << 20 || !inside(refcount_offset, refcount_size) {
        return Err(broken("the refcount table is not where it could be, or the file is cut off"));
    }
    extensions(head, header_length, cluster)?;
    Ok(DiskHeader { format: DiskFormat::Qcow2, virtual_size })
}

/// Checks what version 3 added and returns the header's length, bytes.
fn version_3(head: &[u8], cluster: u64) -> Result<u64> {
    let broken = |what: &str| Error::other(format!("its qcow2 header is broken: {what}"));
    let (Some(incompatible), Some(refcount_order), Some(header_length)) =
        (u64_at(head, 72), u32_at(head, 96), u32_at(head, 100))
    else {
        return Err(broken("it is cut off"));
    };
    if incompatible & 4 != 0 {
        return Err(Error::other("its data is in another file, which could be any file of this computer")
            .hint("make it stand alone: `qemu-img convert -O qcow2 FILE disk.qcow2`"));
    }
    if incompatible & 2 != 0 {
        return Err(Error::other("it is marked as corrupt").hint("`qemu-img check -r all FILE` may repair it"));
    }
    // 1: was not closed (harmless to read), 8: compression type, 16: subclusters.
    if incompatible & !(1 | 8 | 16) != 0 {
        return Err(Error::other(format!("it uses features of qcow2 that are not known here ({incompatible:#x})")));
    }
    if refcount_order > 6 {
        return Err(broken("impossible refcount width"));
    }
    let header_length = u64::from(header_length);
    if header_length < 104 || header_length > cluster || !header_length.is_multiple_of(8) {
        return Err(broken("impossible header length"));
    }
    Ok(header_length)
}

/// Walks the header extensions: none may name another file.
fn extensions(head: &[u8], header_length: u64, cluster: u64) -> Result<()> {
    const END: u32 = 0;
    const BACKING_FORMAT: u32 = 0xE279_2ACA;
    const DATA_FILE_NAME: u32 = 0x4441_5441;
    const ENCRYPTION: u32 = 0x0537_BE77;
    let mut at = header_length;
    // Every extension takes 8 bytes or more, so this ends.
    while at + 8 <= cluster {
        let place = usize::try_from(at).unwrap_or(usize::MAX);
        let (Some(kind), Some(length)) = (u32_at(head, place), place.checked_add(4).and_then(|at| u32_at(head, at)))
        else {
            return Err(Error::other("its qcow2 header is broken: extensions without end"));
        };
        match kind {
            END => return Ok(()),
            BACKING_FORMAT => return Err(Error::other("it has a backing file (its format is named)")),
            DATA_FILE_NAME => return Err(Error::other("its data is in another file")),
            ENCRYPTION => return Err(Error::other("it is encrypted").hint("decrypt it with qemu-img first")),
            _ => at += 8 + u64::from(length).next_multiple_of(8),
        }
    }
    Ok(())
}

fn compression(head: &[u8]) -> Option<&'static str> {
    [
        (&b"\x1f\x8b"[..], "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"PK\x03\x04", "zip"),
        (b"BZh", "bzip2"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        (b"\x04\x22\x4d\x18", "lz4"),
    ]
    .into_iter()
    .find_map(|(magic, name)| head.starts_with(magic).then_some(name))
}

/// Names a format that is recognised and not used, and says whether `qemu-img` could convert it.
fn other_format(head: &[u8]) -> Option<(&'static str, bool)> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    if at(32769, b"CD001") {
        Some(("an ISO image (installer or live CD)", false))
    } else if at(0, b"KDMV") || at(0, b"# Disk DescriptorFile") {
        Some(("a VMDK disk (VMware)", true))
    } else if at(0x40, &[0x7f, 0x10, 0xda, 0xbe]) {
        Some(("a VDI disk (VirtualBox)", true))
    } else if at(0, b"vhdxfile") {
        Some(("a VHDX disk (Hyper-V)", true))
    } else if at(0, b"conectix") {
        Some(("a VHD disk", true))
    } else if at(0, b"QED\0") {
        Some(("a QED disk", true))
    } else if at(257, b"ustar") {
        Some(("a tar archive", false))
    } else if web_page(head) {
        Some(("a web page", false))
    } else {
        None
    }
}

fn web_page(head: &[u8]) -> bool {
    let start: String = head.iter().take(512).map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    let start = start.trim_start_matches("\u{ef}\u{bb}\u{bf}").trim_start();
    ["<!doctype", "<html", "<?xml", "<head"].iter().any(|tag| start.starts_with(tag))
}

fn bytes<const N: usize>(head: &[u8], offset: usize) -> Option<[u8; N]> {
    head.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

fn u32_at(head: &[u8], offset: usize) -> Option<u32> {
    bytes(head, offset).map(u32::from_be_bytes)
}

fn u64_at(head: &[u8], offset: usize) -> Option<u64> {
    bytes(head, offset).map(u64::from_be_bytes)
}

#[cfg(test)]
#[path = "disk_header_tests.rs"]
mod tests;
