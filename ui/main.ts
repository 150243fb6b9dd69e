import { mount } from 'svelte';

import type { Backend, Settings } from './backend/backend.ts';
import './style.css';
import { showTheme } from './view/theme.ts';
import { chosen } from './words/chosen.ts';

// One of the two is left out of each build.
async function backend(): Promise<Backend> {
  if (import.meta.env.MODE === 'fake') return (await import('./backend/fake.ts')).fakeBackend();
  return (await import('./backend/tauri.ts')).tauriBackend();
}

// A mistake of ours in the window itself: said plainly, without what may be broken.
async function unexpected(reason: unknown) {
  const { words } = await import('./words/words.ts');
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

addEventListener('error', (event) => void unexpected(event.error ?? event.message));
addEventListener('unhandledrejection', (event) => void unexpected(event.reason));

const CODES: Record<Settings['language'], readonly string[]> = { system: [], english: ['en'], french: ['fr'] };

const rest = await backend();
try {
  const settings = await rest.settings();
  showTheme(settings.theme);
  chosen.languages = CODES[settings.language];
} catch {
  // The window begins as usual; its settings say what is wrong with the file.
}
// Only now: the words are looked up when they are loaded.
const [{ default: Window }, { words }] = await Promise.all([import('./view/Window.svelte'), import('./words/words.ts')]);
document.documentElement.lang = words.language;

const target = document.getElementById('app');
if (target) mount(Window, { target, props: { backend: rest } });
