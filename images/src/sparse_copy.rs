//! Copies a file while hashing it, leaving holes where it is all zeros.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use machine_core::{Reporter, Result, ResultExt};
use sha2::{Digest, Sha256};

use crate::Cancel;
use crate::stored_image::FileDigest;
use machine_files as files;

/// Blocks of zeros of this size become holes, bytes: the cluster of most qcow2 files, and no smaller than any file
/// system's block.
const BLOCK: usize = 64 << 10;
/// Read at once, bytes.
const CHUNK: usize = 16 * BLOCK;

/// Copies `from` to `to`, which must not exist, brings it onto the disk and returns what was copied.
pub(crate) fn copy_sparse(from: &Path, to: &Path, reporter: &Reporter, cancel: &Cancel) -> Result<FileDigest> {
    let failed = || format!("cannot copy {} to {}", from.display(), to.display());
    let mut source = File::open(from).context(failed)?;
    let total = source.metadata().context(failed)?.len();
    let mut target = files::create_new(to, files::PRIVATE).context(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut done = 0u64;
    loop {
        cancel.check()?;
        let length = fill(&mut source, &mut buffer).context(failed)?;
        if length == 0 {
            break;
        }
        hasher.update(&buffer[..length]);
        write_sparse(&mut target, &buffer[..length]).context(failed)?;
        done += length as u64;
        reporter.progress(done, Some(total.max(done)), "bytes");
    }
    // A hole at the end exists only by the file's length.
    target.set_len(done).and_then(|()| target.sync_all()).context(failed)?;
    Ok(FileDigest { sha256: hex(&hasher.finalize()), size: done })
}

fn write_sparse(target: &mut File, chunk: &[u8]) -> io::Result<()> {
    for block in chunk.chunks(BLOCK) {
        if block.iter().all(|byte| *byte == 0) {
            target.seek(SeekFrom::Current(block.len() as i64))?;
        } else {
            target.write_all(block)?;
        }
    }
    Ok(())
}

/// Reads until `buffer` is full or the file ends, so that blocks stay aligned.
fn fill(source: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match source.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_same_bytes_and_digest_and_its_zeros_take_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let mut bytes = vec![0u8; (3 << 20) + 77];
        bytes[1_000_000] = 7;
        std::fs::write(&from, &bytes).unwrap();
        let digest = copy_sparse(&from, &to, &Reporter::silent(), &Cancel::new()).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), bytes);
        assert_eq!(digest, FileDigest { sha256: hex(&Sha256::digest(&bytes)), size: bytes.len() as u64 });
        #[cfg(unix)]
        {
            let blocks = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&to).unwrap());
            assert!(blocks * 512 < 1 << 20, "{blocks} blocks");
        }
    }

    #[test]
    fn a_cancelled_copy_says_so() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("from"), "x").unwrap();
        let cancel = Cancel::new();
        cancel.cancel();
        let error = copy_sparse(&folder.path().join("from"), &folder.path().join("to"), &Reporter::silent(), &cancel);
        assert_eq!(error.unwrap_err().code(), machine_core::Code::Interrupted);
    }
}
