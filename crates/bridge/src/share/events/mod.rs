//! File events: what changes in a shared folder on this computer is told to programs in containers that watch files (inotify).

mod changes;
mod file_events;
mod guest;
mod news;
mod watched;
mod watcher;

pub(crate) use file_events::FileEvents;
pub(super) use file_events::Way;
