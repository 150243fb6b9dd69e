// xterm.js in the window: what is typed goes to the container, what comes from there is shown.
import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';

import type { Backend, Failure } from '../backend/backend.ts';

/**
 * xterm.js writes its colours and sizes into `<style>` elements, which the content security policy leaves without effect. Their
 * text goes into style sheets that are made by script: those it allows.
 */
function adoptStyles(box: HTMLElement): () => void {
  const sheets = new Map<HTMLStyleElement, CSSStyleSheet>();
  const adopt = () => {
    for (const style of box.querySelectorAll('style')) {
      let sheet = sheets.get(style);
      if (!sheet) {
        sheet = new CSSStyleSheet();
        sheets.set(style, sheet);
        document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
      }
      sheet.replaceSync(style.textContent ?? '');
    }
  };
  const observer = new MutationObserver(adopt);
  observer.observe(box, { childList: true, subtree: true, characterData: true });
  adopt();
  return () => {
    observer.disconnect();
    const ours = new Set(sheets.values());
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => !ours.has(sheet));
  };
}

/** Opens a terminal in `box`; returns what closes it. */
export function openTerminal(
  backend: Backend,
  box: HTMLElement,
  container: { machine: string; id: string },
  label: string,
  ended: () => void,
  failed: (failure: Failure) => void,
): () => void {
  const font = getComputedStyle(document.documentElement).getPropertyValue('--mono').trim();
  // Dark in both colour schemes: programs choose their colours for dark terminals.
  const terminal = new Terminal({ fontFamily: font, fontSize: 13, cursorBlink: false, screenReaderMode: true, theme: { background: '#16181c', foreground: '#eceef1' } });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  const drop = adoptStyles(box);
  terminal.open(box);
  fit.fit();
  terminal.textarea?.setAttribute('aria-label', label);
  const line = backend.openTerminal({ ...container, columns: terminal.cols, rows: terminal.rows }, (told) => {
    if (told.kind === 'output') terminal.write(told.text);
    else if (told.kind === 'end') ended();
  }, failed);
  terminal.onData((text) => line.did({ did: 'text', text }));
  terminal.onResize(({ cols, rows }) => line.did({ did: 'size', columns: cols, rows }));
  const sizes = new ResizeObserver(() => fit.fit());
  sizes.observe(box);
  terminal.focus();
  return () => {
    sizes.disconnect();
    line.close();
    terminal.dispose();
    drop();
  };
}
