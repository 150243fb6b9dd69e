//! mount

use machine_app::{App, MountWords};
use machine_core::Result;

use crate::arguments::Mount;
use crate::progress::Manner;

pub fn run(app: &App, words: Mount, manner: Manner) -> Result<i32> {
    let Mount { source, folder, unmount } = words;
    let shown = manner.begin(None);
    let result = crate::block_on(app.mount(MountWords { source, folder, unmount }));
    shown.finish(&result);
    shown.say(&result?);
    Ok(0)
}
