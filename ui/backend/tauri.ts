// The real backend: the commands of src-tauri/src/commands.rs.
import { Channel, invoke } from '@tauri-apps/api/core';

import { asFailure, type Backend, type Failure, type News, type Told, type WorkEvent } from './backend.ts';

/** Calls a command that tells until it is left. */
function untilLeft(command: string, words: Record<string, unknown>, told: (told: Told) => void, failed: (failure: Failure) => void) {
  const channel = new Channel<Told>(told);
  let over = false;
  invoke(command, { ...words, told: channel })
    .catch((thrown) => failed(asFailure(thrown)))
    .finally(() => (over = true));
  const leave = () => {
    channel.onmessage = () => {};
    if (!over) void invoke('leave', { channel: channel.id });
  };
  return { channel: channel.id, leave };
}

export function tauriBackend(): Backend {
  return {
    watch: (told) => invoke('watch', { news: new Channel<News>(told) }),
    perform: (action, happened) => invoke('perform', { action, events: new Channel<WorkEvent>(happened) }),
    cancel: (name) => invoke('cancel', { name }),
    commandLine: (action) => invoke('command_line', { action }),
    sizeBounds: () => invoke('size_bounds'),
    doctor: () => invoke('doctor'),
    changeContainer: (action) => invoke('change_container', { action }),
    changeEngine: (action) => invoke('change_engine', { action }),
    engineLine: (action) => invoke('engine_line', { action }),
    askEngine: (question) => invoke('ask_engine', { question }),
    chooseFolder: (machine) => invoke('choose_folder', { machine }),
    shareChosen: (machine, readOnly) => invoke('share_chosen', { machine, readOnly }),
    unshare: (machine, guest) => invoke('unshare', { machine, guest }),
    unshareLine: (machine, guest) => invoke('unshare_line', { machine, guest }),
    settings: () => invoke('settings'),
    keepSettings: (settings) => invoke('keep_settings', { settings }),
    follow: (source, told, failed) => untilLeft('follow', { source }, told, failed).leave,
    openTerminal(request, told, failed) {
      const { channel, leave } = untilLeft('open_terminal', { request }, told, failed);
      return { did: (typed) => void invoke('type_in', { channel, typed }), close: leave };
    },
    openPort: (machine, port) => invoke('open_port', { machine, port }),
    quit: () => invoke('quit'),
  };
}
