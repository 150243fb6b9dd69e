//! Makes our own image from distribution packages, by the recipe that this program brings (`images/recipe`).

use std::path::PathBuf;

use machine_core::{Reporter, Result};

use crate::{Arch, Cancel, Image, ImageStore};

/// One file of the recipe.
#[derive(Clone, Copy, Debug)]
pub struct RecipeFile {
    /// Its name in the recipe's folder.
    pub name: &'static str,
    /// What is in it.
    pub text: &'static str,
}

macro_rules! recipe {
    ($($name:literal),* $(,)?) => {
        &[$(RecipeFile { name: $name, text: include_str!(concat!("../recipe/", $name)) }),*]
    };
}

/// The recipe, as it is in `images/recipe`, without its README.
pub const RECIPE: &[RecipeFile] = recipe!["build.sh", "configure", "guest", "init", "modules", "packages"];

/// The recipe's stages and what people read of them.
const STAGES: &[(&str, &str)] = &[
    ("packages", "Installing distribution packages"),
    ("kernel", "Choosing kernel modules"),
    ("initrd", "Making the initial RAM disk"),
    ("configure", "Configuring the system"),
    ("disk", "Making the disk"),
    ("manifest", "Writing the manifest"),
];

/// Reports a line that the recipe wrote: `stage: NAME` begins a stage, everything else is a detail.
pub fn report_recipe_line(line: &str, reporter: &Reporter) {
    let stage = line.strip_prefix("stage: ").and_then(|name| STAGES.iter().find(|(id, _)| *id == name));
    match stage {
        Some((id, title)) => reporter.stage(id, *title),
        None => reporter.detail(line),
    }
}

/// What is to be built.
#[derive(Clone, Debug)]
pub struct RecipeOptions {
    /// The architecture of its guest.
    pub arch: Arch,
    /// Its name in the store; [`crate::OWN_IMAGE`] if not given.
    pub name: Option<String>,
    /// A Debian archive; what this computer's apt is configured with if not given.
    pub package_source: Option<String>,
    /// Where the work is done, which takes about 4 GiB; `/var/tmp` if not given.
    pub work: Option<PathBuf>,
}

impl ImageStore {
    /// Builds our own image and keeps it in the store.
    ///
    /// The output of the tools goes to `build-ARCH.log` in the store's folder, and to the reporter line by line.
    ///
    /// # Errors
    /// A system that is not Linux; missing tools, with the command that installs them; a failed build, with the last
    /// lines of its log; [`machine_core::Code::Interrupted`].
    pub fn build(&self, options: &RecipeOptions, reporter: &Reporter, cancel: &Cancel) -> Result<Image> {
        build::build(self, options, reporter, cancel)
    }

    /// Where the log of the last build for `arch` is.
    pub fn build_log(&self, arch: Arch) -> PathBuf {
        self.root().join(format!("build-{arch}.log"))
    }
}

#[cfg(not(target_os = "linux"))]
mod build {
    use machine_core::{Error, Reporter, Result};

    use crate::{Cancel, Image, ImageStore, RecipeOptions};

    pub(super) fn build(_: &ImageStore, _: &RecipeOptions, _: &Reporter, _: &Cancel) -> Result<Image> {
        Err(Error::other("the recipe runs on Linux only")
            .hint("`machine image build --in-machine` runs it inside a machine made from a cloud image")
            .hint("or build it on a Linux computer, and bring it here with `machine image import FOLDER`"))
    }
}

#[cfg(target_os = "linux")]
#[path = "recipe_build.rs"]
mod build;
