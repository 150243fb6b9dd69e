//! Downloads an image of the catalog into the store.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_core::{Error, Reporter, Result, ResultExt};
use sha2::{Digest, Sha256};

use crate::download::{self, Patience, blocking};
use crate::import::lone_disk;
use crate::incoming::open_lock;
use crate::part_file::Downloaded;
use crate::sparse_copy::hex;
use crate::stored_image::FileDigest;
use crate::{Cancel, CatalogEntry, Image, ImageStore, checksum_file, disk_header, web_address};

/// The largest checksum file that is read, bytes: the vendors' have a few thousand.
const LARGEST_CHECKSUM_FILE: usize = 1 << 20;
/// How often another process's download is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

impl ImageStore {
    /// Downloads `entry`, unless its newest version is here already, and makes it an image of the store.
    ///
    /// Nothing is used before its digest is the one that the vendor published. What was downloaded before an interruption
    /// is kept and carried on. Only one process at a time downloads an address; others wait and then use what it got.
    /// If the future is dropped, a half download is kept in the same way.
    ///
    /// # Errors
    /// Whatever failed, with the code of its cause ([`machine_core::Code::Interrupted`], `TimedOut`, `NotFound`) and the
    /// hint that `machine image build` needs no vendor.
    pub async fn pull(
        &self,
        entry: &CatalogEntry,
        patience: &Patience,
        reporter: &Reporter,
        cancel: &Cancel,
    ) -> Result<Image> {
        self.pull_entry(entry, patience, reporter, cancel).await.map_err(|error| {
            let error = error.within(format!("cannot pull image {} for {}", entry.name, entry.arch));
            match error.code() {
                machine_core::Code::Interrupted => error.hint("the same command carries the download on"),
                _ => error
                    .hint("`machine image build` makes an image on this computer, from distribution packages")
                    .hint(format!("a copy that you have: `machine image import FILE --name {}`", entry.name)),
            }
        })
    }

    async fn pull_entry(
        &self,
        entry: &CatalogEntry,
        patience: &Patience,
        reporter: &Reporter,
        cancel: &Cancel,
    ) -> Result<Image> {
        let url = web_address::check(&entry.url)?;
        let checksum_url = web_address::check(&entry.checksum_url)?;
        reporter.stage("checksum", format!("Looking up the digest of {}", entry.title));
        let client = download::client(&checksum_url, patience)?;
        let text = download::text(&client, &checksum_url, LARGEST_CHECKSUM_FILE, patience, reporter, cancel).await?;
        let expected = checksum_file::find_digest(&text, entry.checksum, entry.file_name())
            .context(|| format!("cannot use {checksum_url}"))?;
        let published = format!("{}:{expected}", entry.checksum.as_str());

        if let Some(image) = self.already_pulled(entry, &published, reporter).await? {
            return Ok(image);
        }
        let (store, key) = (self.clone(), hex(&Sha256::digest(entry.url.as_bytes())));
        let path = blocking(move || Ok(store.incoming.downloads()?.join(format!("{key}.part")))).await?;
        let lock = take_turn(&path, &entry.url, reporter, cancel).await?;
        // Whoever was before us may have brought it.
        if let Some(image) = self.already_pulled(entry, &published, reporter).await? {
            return Ok(image);
        }
        let client = download::client(&url, patience)?;
        let downloaded = download::file(&client, &url, &path, patience, reporter, cancel).await?;
        let (store, entry) = (self.clone(), entry.clone());
        // The lock goes along: it is held until the image is in the store, also when nobody waits for that any more.
        let image = blocking(move || {
            let image = store.keep(&entry, &downloaded, &expected, published);
            downloaded.remove();
            drop(lock);
            image
        })
        .await?;
        Ok(image)
    }

    async fn already_pulled(
        &self,
        entry: &CatalogEntry,
        published: &str,
        reporter: &Reporter,
    ) -> Result<Option<Image>> {
        let (store, published, name, arch) = (self.clone(), published.to_owned(), entry.name.clone(), entry.arch);
        let found = blocking(move || store.by_published_digest(&published, &name, arch)).await?;
        if let Some(stored) = &found {
            reporter.info(format!("{} is the newest version and here already", stored.reference()));
        }
        Ok(found.map(|stored| stored.image))
    }

    /// Checks a download and publishes it.
    fn keep(&self, entry: &CatalogEntry, downloaded: &Downloaded, expected: &str, published: String) -> Result<Image> {
        let got = downloaded.digest(entry.checksum);
        if got != expected {
            let kind = entry.checksum.as_str();
            let mut error = Error::other(format!(
                "{} is not what its vendor published: expected {kind} {expected}, got {got}; nothing was kept",
                entry.url
            ));
            // What it looks like instead may be the reason: a web page, a compressed file.
            if let Err(reason) = disk_header::inspect(&downloaded.path) {
                error = error.because(reason);
            }
            return Err(error.hint(
                "try again: the vendor may have been replacing the file; if it stays so, the download is being tampered with",
            ));
        }
        let attempt = self.incoming.begin()?;
        let copy = attempt.folder().join("disk");
        fs::rename(&downloaded.path, &copy).context(|| format!("cannot move {}", downloaded.path.display()))?;
        let digest = FileDigest { sha256: downloaded.sha256.clone(), size: downloaded.size };
        let mut stored = lone_disk(&attempt, &copy, digest, entry.name.clone(), entry.arch, entry.url.clone())
            .context(|| format!("{} is not a usable image; nothing was kept", entry.url))?;
        stored.published_digest = Some(published);
        stored.image.seed = entry.seed;
        stored.image.kernel_version.clone_from(&entry.kernel);
        self.publish(&attempt, &stored)
    }
}

/// Waits until no other process downloads to `part`.
async fn take_turn(part: &Path, url: &str, reporter: &Reporter, cancel: &Cancel) -> Result<File> {
    let path = part.with_extension("lock");
    let failed = |path: PathBuf| move || format!("cannot lock {}", path.display());
    let opened = path.clone();
    let file = blocking(move || open_lock(&opened).context(|| format!("cannot open {}", opened.display()))).await?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error).context(failed(path)),
            Err(TryLockError::WouldBlock) => {}
        }
        if !told {
            reporter.stage("wait", format!("Waiting: another process downloads {url}"));
            told = true;
        }
        // That process gives up by itself when its server is silent; this one can be interrupted.
        tokio::select! {
            () = cancel.cancelled() => return Err(Cancel::error()),
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

#[cfg(test)]
#[path = "pull_tests.rs"]
mod tests;
