//! `cargo xtask demo`: from nothing to a container in a machine.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::{Output, Program};
use crate::setup::{self, Group, docker_environment};
use crate::{Result, image, places};

/// What runs in the machine. The container's image is a tar file with one program in it: no registry is asked.
const CONTAINER: &str = r#"
set -eu
eval "$("$1" env --shell sh "$2")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
mkdir "$work/bin"
cp "$3" "$work/bin/busybox"
tar -c -C "$work" bin | docker import - machine-demo:latest
docker run --rm machine-demo:latest /bin/busybox echo "Hello from a container in the machine $2"
"#;

/// Does it, on the machine `name`.
pub fn run(name: &str, yes: bool) -> Result<()> {
    let output = &mut Output::Terminal;
    setup::run(&[Group::Build, Group::Vm, Group::Image, Group::Docker], yes)?;
    let environment = docker_environment()?;

    Program::line("cargo build --locked --release -p machine-cli").run(output)?;
    let program = built_program()?;
    let machine = |words: &[&str]| Program::new(&program).args(words).envs(&environment);

    let folder = image::build(&image::Options::default(), output)?;
    let digest = digest_of(&folder)?;
    let known = machine(&["image", "show", "machine"]).read().is_ok_and(|shown| shown.contains(&digest));
    if !known {
        machine(&["image", "import"]).arg(&folder).run(output)?;
    }
    match machine(&["status", name]).read().map(|state| state.trim().to_owned()).as_deref() {
        Ok("Running") => println!("the machine {name} runs already"),
        Ok("Stopped") => machine(&["start", name]).interactive().run(output)?,
        Ok(state) => return Err(format!("the machine {name} is in the state {state}: see `{} ls`", program.display())),
        Err(_) => machine(&["create", name]).interactive().run(output)?,
    }
    let busybox = places::find_program("busybox").ok_or("busybox is not installed")?;
    let script = Program::new("sh").args(["-c", CONTAINER, "sh"]).arg(&program).arg(name).arg(busybox);
    script.envs(&environment).run(output)?;

    let folder = program.parent().unwrap_or(Path::new(".")).display();
    println!(
        "\nThe machine {name} is yours. Next, in this shell:\n\n  export PATH=\"{folder}:$PATH\"\n  \
         eval \"$(machine env {name})\"\n  docker run --rm machine-demo /bin/busybox uname -a\n\n\
         Then: machine ls, machine ssh {name}, machine stop {name}, machine rm {name}"
    );
    Ok(())
}

/// The program that the release build made.
pub fn built_program() -> Result<PathBuf> {
    let metadata = parse(&Program::line("cargo metadata --format-version 1 --no-deps --locked").read()?)?;
    let target = metadata["target_directory"].as_str().ok_or("cargo metadata names no target folder")?;
    Ok(Path::new(target).join("release").join(format!("machine{}", std::env::consts::EXE_SUFFIX)))
}

/// The digest by which the store knows the image.
fn digest_of(folder: &Path) -> Result<String> {
    let path = folder.join("manifest.json");
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let digest = parse(&text)?["files"]["disk.qcow2"]["sha256"].as_str().map(str::to_owned);
    digest.ok_or_else(|| format!("{} names no digest of the disk", path.display()))
}

fn parse(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}
