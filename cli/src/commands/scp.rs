//! scp

use std::process::Stdio;

use machine_app::{App, ScpWords};
use machine_core::Result;

use crate::arguments::Scp;
use crate::progress::Manner;

/// How many of what was left out are shown one by one.
const SHOWN: usize = 20;

pub fn run(app: &App, arguments: Scp, quiet: bool, manner: Manner) -> Result<i32> {
    let Scp { paths, recursive, delta } = arguments;
    // Progress is no data: rsync's goes where ours goes.
    let words = ScpWords { paths, recursive, delta, quiet, output: Stdio::from(std::io::stderr()) };
    let shown = manner.begin(None);
    let result = crate::block_on(app.scp(words, &shown.reporter));
    shown.finish(&result);
    let problems = result?;
    for problem in problems.iter().take(SHOWN) {
        shown.reporter.warn(format!("{} was not copied: {}", problem.place, problem.why));
    }
    if problems.len() > SHOWN {
        shown.reporter.warn(format!("and {} more", problems.len() - SHOWN));
    }
    Ok(i32::from(!problems.is_empty()))
}
