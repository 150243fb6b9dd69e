// The real backend: the commands of src-tauri/src/commands.rs.
import { Channel, invoke } from '@tauri-apps/api/core';

import type { Backend, News, WorkEvent } from './backend.ts';

export function tauriBackend(): Backend {
  return {
    watch: (told) => invoke('watch', { news: new Channel<News>(told) }),
    perform: (action, happened) => invoke('perform', { action, events: new Channel<WorkEvent>(happened) }),
    cancel: (name) => invoke('cancel', { name }),
    commandLine: (action) => invoke('command_line', { action }),
    sizeBounds: () => invoke('size_bounds'),
    doctor: () => invoke('doctor'),
    quit: () => invoke('quit'),
  };
}
