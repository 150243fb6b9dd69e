import { expect, test, vi } from 'vitest';

import type { Backend, WorkEvent } from '../backend/backend.ts';
import { Work, Works } from './work.svelte.ts';

const at = (elapsed_ms: number, kind: object) => ({ machine: 'dev', elapsed_ms, ...kind }) as WorkEvent;

test('a stage ends when the next one begins, and its progress with it', () => {
  const work = new Work({ verb: 'start', name: 'dev' });
  work.hear(at(0, { kind: 'stage', id: 'a', title: 'First' }));
  work.hear(at(5, { kind: 'progress', done: 1, total: 2, unit: 'bytes' }));
  expect(work.progress).toEqual({ done: 1, total: 2, unit: 'bytes' });
  work.hear(at(70, { kind: 'stage', id: 'b', title: 'Second' }));
  expect(work.progress).toBeNull();
  expect(work.stages).toEqual([{ title: 'First', begun: 0, ended: 70 }, { title: 'Second', begun: 70, ended: null }]);
});

test('a warning said twice is shown once, and a long log keeps its end', () => {
  const work = new Work({ verb: 'start', name: 'dev' });
  for (let line = 0; line < 600; line++) work.hear(at(line, { kind: 'message', level: 'detail', text: `line ${line}` }));
  for (let time = 0; time < 2; time++) work.hear(at(700, { kind: 'message', level: 'warning', text: 'slow mode' }));
  expect(work.warnings).toEqual(['slow mode']);
  expect(work.log.length).toBe(500);
  expect(work.log.at(-3)).toBe('line 599');
});

test('work that succeeded goes by itself, work that failed stays until it is dismissed', async () => {
  const failure = { message: 'no', hints: [], cancelled: false };
  const backend = {
    commandLine: async () => 'machine start dev',
    perform: async (action: { name: string }) => {
      if (action.name === 'bad') throw failure;
      return 'done';
    },
  } as unknown as Backend;
  const works = new Works(backend);
  const [good, bad] = [works.begin({ verb: 'start', name: 'good' }), works.begin({ verb: 'start', name: 'bad' })];
  await vi.waitFor(() => expect(good.said).toBe('done'));
  await vi.waitFor(() => expect(bad.failure).toEqual(failure));
  expect(Object.keys(works.of)).toEqual(['bad']);
  works.dismiss('bad');
  expect(works.of).toEqual({});
});
