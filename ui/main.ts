import { mount } from 'svelte';

import type { Backend } from './backend/backend.ts';
import './style.css';
import Window from './view/Window.svelte';
import { words } from './words/words.ts';

// One of the two is left out of each build.
async function backend(): Promise<Backend> {
  if (import.meta.env.MODE === 'fake') return (await import('./backend/fake.ts')).fakeBackend();
  return (await import('./backend/tauri.ts')).tauriBackend();
}

// A mistake of ours in the window itself: said plainly, without what may be broken.
function unexpected(reason: unknown) {
  const note = document.createElement('div');
  note.className = 'failure unexpected';
  note.setAttribute('role', 'alert');
  const text = document.createElement('p');
  text.textContent = `${words.unexpected} ${reason instanceof Error ? reason.message : String(reason)}`;
  const again = document.createElement('button');
  again.textContent = words.reload;
  again.onclick = () => location.reload();
  note.append(text, again);
  document.querySelector('.unexpected')?.remove();
  document.body.prepend(note);
}

addEventListener('error', (event) => unexpected(event.error ?? event.message));
addEventListener('unhandledrejection', (event) => unexpected(event.reason));

document.documentElement.lang = words.language;

const target = document.getElementById('app');
if (target) mount(Window, { target, props: { backend: await backend() } });
