// The real backend: the commands of src-tauri/src/commands.rs.
import { Channel, invoke } from '@tauri-apps/api/core';

import { asFailure, type Backend, type News, type Told, type WorkEvent } from './backend.ts';

export function tauriBackend(): Backend {
  return {
    watch: (told) => invoke('watch', { news: new Channel<News>(told) }),
    perform: (action, happened) => invoke('perform', { action, events: new Channel<WorkEvent>(happened) }),
    cancel: (name) => invoke('cancel', { name }),
    commandLine: (action) => invoke('command_line', { action }),
    sizeBounds: () => invoke('size_bounds'),
    doctor: () => invoke('doctor'),
    changeContainer: (action) => invoke('change_container', { action }),
    follow(source, told, failed) {
      const channel = new Channel<Told>(told);
      let over = false;
      invoke('follow', { source, told: channel })
        .catch((thrown) => failed(asFailure(thrown)))
        .finally(() => (over = true));
      return () => {
        channel.onmessage = () => {};
        if (!over) void invoke('leave', { channel: channel.id });
      };
    },
    openPort: (machine, port) => invoke('open_port', { machine, port }),
    quit: () => invoke('quit'),
  };
}
