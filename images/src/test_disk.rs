//! Small disks for tests.

use std::path::Path;

/// The size of the file that [`qcow2_head`] begins, bytes.
pub(crate) const QCOW2_SIZE: u64 = 4 << 16;

/// The first 4 KiB of a qcow2 disk of 8 GiB: version 3, clusters of 64 KiB, no extensions.
pub(crate) fn qcow2_head() -> Vec<u8> {
    let mut head = vec![0u8; 4096];
    let mut put = |offset: usize, bytes: &[u8]| head[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb");
    put(4, &3u32.to_be_bytes());
    put(20, &16u32.to_be_bytes());
    put(24, &(8u64 << 30).to_be_bytes());
    put(36, &16u32.to_be_bytes());
    put(40, &(3u64 << 16).to_be_bytes());
    put(48, &(1u64 << 16).to_be_bytes());
    put(56, &1u32.to_be_bytes());
    put(96, &4u32.to_be_bytes());
    put(100, &104u32.to_be_bytes());
    head
}

/// A whole qcow2 disk that differs with `salt`.
pub(crate) fn qcow2(salt: u8) -> Vec<u8> {
    let mut disk = qcow2_head();
    disk.resize(usize::try_from(QCOW2_SIZE).unwrap(), 0);
    *disk.last_mut().unwrap() = salt;
    disk
}

/// Writes [`qcow2`] to `path`.
pub(crate) fn write_qcow2(path: &Path, salt: u8) {
    std::fs::write(path, qcow2(salt)).unwrap();
}
