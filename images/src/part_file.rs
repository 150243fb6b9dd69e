//! A download that is not whole yet: its bytes, their digests so far, and what it needs to be carried on.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use machine_core::{Reporter, Result, ResultExt};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};

use crate::Cancel;
use crate::checksum_file::Checksum;
use crate::sparse_copy::hex;
use machine_files as files;

/// What the server said of the version that is being downloaded: `If-Range` asks for more of the same, RFC 9110 §13.1.5.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Validator {
    /// A strong `ETag`, or `Last-Modified`; without one a download cannot be carried on.
    pub(crate) value: Option<String>,
}

/// `HASH.part`, and beside it `HASH.json` with the [`Validator`].
#[derive(Debug)]
pub(crate) struct PartFile {
    path: PathBuf,
    file: File,
    length: u64,
    sha256: Sha256,
    sha512: Sha512,
    validator: Validator,
}

/// What a whole download is.
#[derive(Debug)]
pub(crate) struct Downloaded {
    /// The part file, whole now.
    pub(crate) path: PathBuf,
    /// Its size, bytes.
    pub(crate) size: u64,
    /// SHA-256, hexadecimal.
    pub(crate) sha256: String,
    sha512: String,
}

impl Downloaded {
    /// The digest of this kind, hexadecimal.
    pub(crate) fn digest(&self, kind: Checksum) -> &str {
        match kind {
            Checksum::Sha256 => &self.sha256,
            Checksum::Sha512 => &self.sha512,
        }
    }

    /// Removes it with what belongs to it.
    pub(crate) fn remove(&self) {
        remove(&self.path);
    }
}

fn remove(path: &Path) {
    let _ = fs::remove_file(path);
    let _ = fs::remove_file(path.with_extension("json"));
}

impl PartFile {
    /// Opens `path`, whose lock the caller holds, and hashes what is there already.
    pub(crate) fn open(path: &Path, reporter: &Reporter, cancel: &Cancel) -> Result<Self> {
        let failed = || format!("cannot use {}", path.display());
        let side = fs::read(path.with_extension("json")).unwrap_or_default();
        let validator: Validator = serde_json::from_slice(&side).unwrap_or_default();
        let file = part_options().open(path).context(failed)?;
        let mut part =
            Self { path: path.into(), file, length: 0, sha256: Sha256::new(), sha512: Sha512::new(), validator };
        if part.validator.value.is_none() {
            part.restart(Validator::default())?;
            return Ok(part);
        }
        let total = part.file.metadata().context(failed)?.len();
        if total > 0 {
            reporter.stage("resume", "Checking what was downloaded before");
        }
        let mut buffer = vec![0; 1 << 20];
        loop {
            cancel.check()?;
            let read = part.file.read(&mut buffer).context(failed)?;
            if read == 0 {
                break;
            }
            part.sha256.update(&buffer[..read]);
            part.sha512.update(&buffer[..read]);
            part.length += read as u64;
            reporter.progress(part.length, Some(total.max(part.length)), "bytes");
        }
        Ok(part)
    }

    /// How much is there, bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// What `If-Range` has to say, when there is something to carry on.
    pub(crate) fn validator(&self) -> Option<&str> {
        self.validator.value.as_deref().filter(|_| self.length > 0)
    }

    /// Throws away what is there: a version with `validator` begins.
    pub(crate) fn restart(&mut self, validator: Validator) -> Result<()> {
        let failed = || format!("cannot write {}", self.path.display());
        self.file.set_len(0).context(failed)?;
        self.file.seek(SeekFrom::Start(0)).context(failed)?;
        (self.length, self.sha256, self.sha512) = (0, Sha256::new(), Sha512::new());
        // Bytes under a wrong validator would be carried on wrongly; bytes that are gone cannot be.
        self.file.sync_all().context(failed)?;
        let text = serde_json::to_vec(&validator).context(failed)?;
        files::write_whole(&self.path.with_extension("json"), &text, files::PRIVATE)?;
        self.validator = validator;
        Ok(())
    }

    /// [`PartFile::restart`] by value.
    pub(crate) fn restarted(mut self, validator: Validator) -> Result<Self> {
        self.restart(validator)?;
        Ok(self)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds bytes at the end.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).context(|| format!("cannot write {}", self.path.display()))?;
        self.sha256.update(bytes);
        self.sha512.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Ends the download.
    pub(crate) fn finish(self) -> Result<Downloaded> {
        self.file.sync_all().context(|| format!("cannot write {}", self.path.display()))?;
        Ok(Downloaded {
            size: self.length,
            sha256: hex(&self.sha256.finalize()),
            sha512: hex(&self.sha512.finalize()),
            path: self.path,
        })
    }
}

fn part_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
