//! Work on a thread of its own: use cases block at times, and the window must not notice.

use std::time::Duration;

use machine_core::{Error, Result};
use tokio::sync::oneshot;

/// Runs `work` to its end on a thread of its own.
///
/// # Errors
/// Those of the work, or a thread that could not be had.
pub async fn on_own_thread<T, F, W>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> W + Send + 'static,
    W: Future<Output = Result<T>> + 'static,
{
    let (done, result) = oneshot::channel();
    let run = move || {
        let result = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::other("cannot start the runtime").because(error))
            .and_then(|runtime| {
                let result = runtime.block_on(work());
                // Blocking work that was cancelled sees it and cleans up; what hangs must not hold the answer.
                runtime.shutdown_timeout(Duration::from_secs(5));
                result
            });
        // Nobody waits for it when the program ends.
        let _ = done.send(result);
    };
    std::thread::Builder::new()
        .name("work".to_owned())
        .spawn(run)
        .map_err(|error| Error::other("cannot start a thread").because(error))?;
    result.await.unwrap_or_else(|_| Err(Error::other("the work ended unexpectedly")))
}
