//! `cargo xtask image`: our own image, built by its recipe into the cache; and the bare Debian that the tests provision.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use clap::Args;

use crate::command::{Output, Program};
use crate::{Result, places};

/// The file that the recipe writes last: a folder that has it holds a whole image.
const MANIFEST: &str = "manifest.json";

/// How many images of other recipes stay in the cache.
const KEPT: usize = 2;

/// A half image that was not touched for so long is no build in progress.
const LONGEST_BUILD: Duration = Duration::from_secs(2 * 60 * 60);

#[derive(Args, Default)]
pub struct Options {
    /// Where to put the image, instead of the cache
    #[arg(long)]
    out: Option<PathBuf>,
    /// Build it even when the cache has one of the same recipe (its packages may be older than those of today)
    #[arg(long)]
    fresh: bool,
    /// Build the bare Debian that the tests provision, instead
    #[arg(long, conflicts_with_all = ["out", "fresh"])]
    pub bare: bool,
}

/// Builds the image, unless the cache has it; returns its folder.
pub fn build(options: &Options, output: &mut Output) -> Result<PathBuf> {
    let root = places::root()?;
    let recipe = root.join("images").join("recipe");
    let arch = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => return Err(format!("there is no recipe for {other}: amd64 and arm64 only")),
    };
    if let Some(out) = &options.out {
        run_recipe(&recipe, arch, out, output)?;
        return Ok(out.clone());
    }
    let images = places::cache()?.join("images");
    cached(&images, arch, &recipe, options.fresh, output, &|new, output| run_recipe(&recipe, arch, new, output))
}

/// Builds a Debian as vendors' cloud images are, without an engine, unless the cache has it; returns its folder.
pub fn bare(output: &mut Output) -> Result<PathBuf> {
    let recipe = places::root()?.join("tests").join("bare");
    let build = |new: &Path, output: &mut Output| {
        Program::new("sh").arg(recipe.join("build.sh")).arg(new).limit_minutes(30).run(output)
    };
    cached(&places::cache()?.join("bare"), "debian", &recipe, false, output, &build)
}

/// Builds a Debian as an administrator installs it, with Debian's own engine, for the benchmark; returns its folder.
pub fn stock(output: &mut Output) -> Result<PathBuf> {
    let recipe = places::root()?.join("tests").join("bare");
    let build = |new: &Path, output: &mut Output| {
        Program::new("sh").arg(recipe.join("build.sh")).arg(new).arg("stock").limit_minutes(30).run(output)
    };
    cached(&places::cache()?.join("stock"), "debian", &recipe, false, output, &build)
}

/// The folder in `images` that `build` makes of `recipe`: the one that is there, else a new one.
fn cached(
    images: &Path,
    name: &str,
    recipe: &Path,
    fresh: bool,
    output: &mut Output,
    build: &dyn Fn(&Path, &mut Output) -> Result<()>,
) -> Result<PathBuf> {
    let folder = images.join(format!("{name}-{:016x}", key_of(recipe)?));
    if folder.join(MANIFEST).is_file() && !fresh {
        output.line(&format!("image of this recipe, built before: {}", folder.display()));
        return Ok(folder);
    }
    places::make_folder(images)?;
    let new = images.join(format!(".new-{}", std::process::id()));
    let built = build(&new, output);
    if built.is_err() {
        places::remove_folder(&new)?;
    }
    built?;
    places::remove_folder(&folder)?;
    fs::rename(&new, &folder).map_err(|error| format!("cannot move the image to {}: {error}", folder.display()))?;
    remove_older(images, &folder)?;
    Ok(folder)
}

fn run_recipe(recipe: &Path, arch: &str, out: &Path, output: &mut Output) -> Result<()> {
    let build = Program::new("sh").arg(recipe.join("build.sh")).args(["--arch", arch]).arg("--out").arg(out);
    build.limit_minutes(30).run(output)?;
    if out.join(MANIFEST).is_file() {
        Ok(())
    } else {
        Err(format!("the recipe left no {MANIFEST} in {}", out.display()))
    }
}

/// A number that changes with every file of the recipe: its name and content.
fn key_of(recipe: &Path) -> Result<u64> {
    let read = |what: std::io::Error| format!("cannot read the recipe {}: {what}", recipe.display());
    let mut hasher = DefaultHasher::new();
    let mut folders = vec![recipe.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&folder).map_err(read)? {
            paths.push(entry.map_err(read)?.path());
        }
        paths.sort();
        for path in paths {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_none_or(|extension| extension != "md") {
                path.strip_prefix(recipe).unwrap_or(&path).hash(&mut hasher);
                fs::read(&path).map_err(read)?.hash(&mut hasher);
            }
        }
    }
    Ok(hasher.finish())
}

/// Removes all but the newest few images of other recipes, and what builds that were killed left.
fn remove_older(images: &Path, keep: &Path) -> Result<()> {
    let modified = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    let listed = fs::read_dir(images).into_iter().flatten().flatten().map(|entry| entry.path());
    let (mut whole, half): (Vec<_>, Vec<_>) =
        listed.filter(|path| path != keep).partition(|path| path.join(MANIFEST).is_file());
    whole.sort_by_key(|folder| std::cmp::Reverse(modified(&folder.join(MANIFEST))));
    let abandoned =
        |folder: &PathBuf| modified(folder).and_then(|time| time.elapsed().ok()).is_some_and(|age| age > LONGEST_BUILD);
    whole
        .into_iter()
        .skip(KEPT)
        .chain(half.into_iter().filter(abandoned))
        .try_for_each(|folder| places::remove_folder(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("xtask-image-{name}-{}", std::process::id()));
        places::remove_folder(&folder).unwrap();
        places::make_folder(&folder).unwrap();
        folder
    }

    #[test]
    fn the_key_follows_names_and_contents_and_not_the_words_about_them() {
        let recipe = folder("key");
        fs::write(recipe.join("packages"), "docker.io\n").unwrap();
        let first = key_of(&recipe).unwrap();
        assert_eq!(key_of(&recipe).unwrap(), first);
        fs::write(recipe.join("README.md"), "words").unwrap();
        assert_eq!(key_of(&recipe).unwrap(), first);
        fs::write(recipe.join("packages"), "docker.io\nchrony\n").unwrap();
        let second = key_of(&recipe).unwrap();
        assert_ne!(second, first);
        fs::rename(recipe.join("packages"), recipe.join("package-list")).unwrap();
        assert_ne!(key_of(&recipe).unwrap(), second);
        places::remove_folder(&recipe).unwrap();
    }

    #[test]
    fn abandoned_halves_go_and_the_newest_of_the_others_stay() {
        let images = folder("older");
        for name in ["a", "b", "c", "current"] {
            places::make_folder(&images.join(name)).unwrap();
            fs::write(images.join(name).join(MANIFEST), "{}").unwrap();
        }
        places::make_folder(&images.join(".new-1")).unwrap();
        places::make_folder(&images.join(".new-2")).unwrap();
        let now = std::time::SystemTime::now();
        fs::File::open(images.join(".new-1")).unwrap().set_modified(now - 2 * LONGEST_BUILD).unwrap();
        for (name, age) in [("a", 10), ("b", 20), ("c", 30)] {
            let file = fs::File::options().append(true).open(images.join(name).join(MANIFEST)).unwrap();
            file.set_modified(now - Duration::from_secs(age)).unwrap();
        }
        remove_older(&images, &images.join("current")).unwrap();
        let mut left: Vec<_> = fs::read_dir(&images).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".new-2", "a", "b", "current"]);
        places::remove_folder(&images).unwrap();
    }
}
