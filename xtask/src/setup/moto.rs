//! moto, which plays EC2 for the tests: from PyPI, in a virtual environment in our cache.

use std::path::PathBuf;

use crate::command::{Output, Program};
use crate::{Result, places};

/// The version that the tests' corrections of it were written for (`tests/ec2/fake_ec2.py`).
const VERSION: &str = "5.2.5";

/// The virtual environment, made at first use.
pub fn install(output: &mut Output) -> Result<PathBuf> {
    let venv = places::cache()?.join(format!("moto-{VERSION}"));
    // Written last by pip: one that broke off is made anew.
    let mark = venv.join("bin").join("moto_server");
    if mark.is_file() {
        return Ok(venv);
    }
    places::remove_folder(&venv)?;
    Program::line("python3 -m venv").arg(&venv).run(output)?;
    let moto = format!("moto[ec2,server]=={VERSION}");
    Program::new(venv.join("bin").join("pip")).args(["install", "-q", &moto]).limit_minutes(15).run(output)?;
    Ok(venv)
}
