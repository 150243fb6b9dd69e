// Builds the front end over played machines, and serves it to the browser of the tests on a loopback port.
import { build, preview } from 'vite';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    address: string;
  }
}

export default async function serve(project: TestProject) {
  const configFile = new URL('../vite.config.ts', import.meta.url).pathname;
  await build({ configFile, mode: 'fake', logLevel: 'warn' });
  const server = await preview({ configFile, mode: 'fake', logLevel: 'warn', preview: { port: 0 } });
  project.provide('address', server.resolvedUrls?.local[0] ?? '');
  return () => server.close();
}
