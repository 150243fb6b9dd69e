import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  root: import.meta.dirname,
  plugins: [svelte()],
  test: { include: ['**/*.test.ts'], globalSetup: ['./test/serve.ts'], testTimeout: 30_000, hookTimeout: 60_000 },
});
