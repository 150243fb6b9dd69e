// The window's colours: the system's, or what the user chose.
import type { Settings } from '../backend/backend.ts';

export function showTheme(theme: Settings['theme']) {
  document.documentElement.dataset['theme'] = theme;
}
