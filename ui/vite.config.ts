import { svelte } from '@sveltejs/vite-plugin-svelte';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

// `--mode fake` builds the front end over played machines, for a browser: see backend/fake.ts.
export default defineConfig(({ mode }) => ({
  root: fileURLToPath(new URL('.', import.meta.url)),
  plugins: [svelte()],
  build: {
    outDir: mode === 'fake' ? 'dist/fake' : 'dist/app',
    emptyOutDir: true,
    // What the three systems' web views understand: WebKitGTK 2.40, Safari 16.4, WebView2.
    target: ['safari16.4', 'chrome111'],
    // A data: URL would need a hole in the content security policy.
    assetsInlineLimit: 0,
  },
  server: { host: '127.0.0.1' },
  // In the browser of the tests what the window's own policy (src-tauri/tauri.conf.json) forbids is forbidden too.
  preview: {
    host: '127.0.0.1',
    headers: { 'Content-Security-Policy': "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'" },
  },
}));
