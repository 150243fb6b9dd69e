//! Which folders of this computer are watched: those that running containers mount, and no others. Decided without any effect but
//! a look at what is a folder and where links lead.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use machine_core::SharedFolder;
use machine_docker::ContainerSummary;

/// What is watched, by its real path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Watched {
    /// A folder with all that is in it.
    Folder(PathBuf),
    /// One file. It is watched through its folder: editors put another file in its place.
    File(PathBuf),
}

impl Watched {
    /// Whether a change at `path` is one of it.
    pub(super) fn holds(&self, path: &Path) -> bool {
        match self {
            Self::Folder(folder) => path.starts_with(folder),
            Self::File(file) => path == file,
        }
    }

    /// The folder that is watched for it, and whether with all that is in it.
    pub(super) fn watch(&self) -> (&Path, bool) {
        match self {
            Self::Folder(folder) => (folder, true),
            Self::File(file) => (file.parent().unwrap_or(file), false),
        }
    }
}

/// What the containers mount of shares with events. `real` gives the path without links, if there is anything.
pub(super) fn watched(
    containers: &[ContainerSummary],
    shares: &[&SharedFolder],
    real: impl Fn(&Path) -> Option<PathBuf>,
    is_folder: impl Fn(&Path) -> bool,
) -> BTreeSet<Watched> {
    let mounts = containers.iter().flat_map(|container| container.mounts.iter().flatten());
    let sources =
        mounts.filter(|mount| mount.typ.as_deref() == Some("bind")).filter_map(|mount| mount.source.as_deref());
    let mut found = BTreeSet::new();
    for source in sources.map(Path::new) {
        for share in shares {
            let Some(root) = real(&share.folder) else { continue };
            let Some(place) = (match source.strip_prefix(&share.guest) {
                Ok(rest) => real(&root.join(rest)),
                // It holds the place of the share.
                Err(_) => Path::new(&share.guest).starts_with(source).then(|| root.clone()),
            }) else {
                continue;
            };
            // A link that leads out of the share leads to what the machine has there.
            if place.starts_with(&root) {
                found.insert(if is_folder(&place) { Watched::Folder(place) } else { Watched::File(place) });
            }
        }
    }
    let folders: Vec<PathBuf> = found
        .iter()
        .filter_map(|watched| match watched {
            Watched::Folder(folder) => Some(folder.clone()),
            Watched::File(_) => None,
        })
        .collect();
    found.retain(|watched| {
        let (Watched::Folder(path) | Watched::File(path)) = watched;
        !folders.iter().any(|folder| path != folder && path.starts_with(folder))
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(sources: &[&str]) -> ContainerSummary {
        let mounts: Vec<_> =
            sources.iter().map(|source| serde_json::json!({ "Type": "bind", "Source": source })).collect();
        serde_json::from_value(serde_json::json!({ "Names": ["/web"], "Mounts": mounts })).unwrap()
    }

    fn share(folder: &str, guest: &str) -> SharedFolder {
        SharedFolder { folder: folder.into(), guest: guest.into(), read_only: false, events: true }
    }

    fn found(containers: &[ContainerSummary], shares: &[SharedFolder]) -> Vec<Watched> {
        let real = |path: &Path| match path.to_str().unwrap().replace('\\', "/").as_str() {
            "/me/link" => Some("/me/src/real".into()),
            "/me/src/out" => Some("/etc".into()),
            "/me/src/gone" => None,
            _ => Some(path.to_owned()),
        };
        watched(containers, &shares.iter().collect::<Vec<_>>(), real, |path| !path.ends_with("file"))
            .into_iter()
            .collect()
    }

    #[test]
    fn only_what_a_container_mounts_of_a_share_is_watched() {
        let shares = [share("/me/src", "/me/src"), share("/me/link", "/linked")];
        let folder = |path: &str| Watched::Folder(path.into());
        assert_eq!(found(&[], &shares), []);
        assert_eq!(found(&[container(&["/me", "/other", "/me/srcs"])], &[share("/me/src/x", "/y")]), []);
        assert_eq!(found(&[container(&["/me/src/web", "/me/other"])], &shares), [folder("/me/src/web")]);
        // One in another is watched once; one that holds the share means all of it.
        let two = [container(&["/me/src/web/deep", "/me/src/web/file"]), container(&["/me/src/web"])];
        assert_eq!(found(&two, &shares), [folder("/me/src/web")]);
        assert_eq!(found(&[container(&["/me"])], &shares), [folder("/me/src")]);
        assert_eq!(found(&[container(&["/linked/a"])], &shares), [folder("/me/src/real/a")]);
    }

    #[test]
    fn a_file_is_watched_through_its_folder_and_nothing_outside_of_the_share() {
        let shares = [share("/me/src", "/src")];
        let [file] = found(&[container(&["/src/web/file"])], &shares).try_into().unwrap();
        assert_eq!(file.watch(), (Path::new("/me/src/web"), false));
        assert!(file.holds(Path::new("/me/src/web/file")) && !file.holds(Path::new("/me/src/web/other")));
        assert_eq!(found(&[container(&["/src/out", "/src/gone"])], &shares), []);
    }
}
