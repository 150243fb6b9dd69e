//! Commands on several machines at once: in parallel, each result reported.

use machine_app::App;
use machine_core::{Error, MachineName, Result};

use crate::print_error;

/// The machines that a command means. Every one must exist, or nothing is done to any.
pub fn names(app: &App, given: &[String]) -> Result<Vec<MachineName>> {
    if given.is_empty() {
        return Ok(vec![app.resolve(None)?]);
    }
    let mut names = Vec::new();
    for name in given {
        let name = app.resolve(Some(name))?;
        app.record(&name)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Runs `work` on all machines side by side; every failure is printed, and the exit code is that of the first.
pub fn each<F, W>(names: Vec<MachineName>, work: F) -> Result<i32>
where
    F: Fn(MachineName) -> W,
    W: Future<Output = Result<()>> + 'static,
{
    if let [name] = names.as_slice() {
        return crate::block_on(work(name.clone())).map(|()| 0);
    }
    crate::block_on(async {
        let local = tokio::task::LocalSet::new();
        let mut tasks = tokio::task::JoinSet::new();
        for name in names {
            tasks.spawn_local_on(work(name), &local);
        }
        let mut code = 0;
        local
            .run_until(async {
                while let Some(joined) = tasks.join_next().await {
                    let result = joined.unwrap_or_else(|e| Err(Error::other("the work ended unexpectedly").because(e)));
                    if let Err(error) = result {
                        print_error(&error);
                        if code == 0 {
                            code = crate::exit_code(&error);
                        }
                    }
                }
            })
            .await;
        Ok(code)
    })
}
