import { expect, test } from 'vitest';

import { ago, amount, bytes, size, wordsFor } from './words.ts';

test('sizes are said in the largest unit that keeps them short', () => {
  expect([256, 1024, 1536, 20480, 2 * 1024 * 1024].map(size)).toEqual(['256 MiB', '1 GiB', '1.5 GiB', '20 GiB', '2 TiB']);
});

test('how far something is says the whole only where it is known', () => {
  expect(amount(3 * 2 ** 20, 6 * 2 ** 20, 'bytes')).toBe('3 MiB of 6 MiB');
  expect(amount(3, null, 'packages')).toBe('3 packages');
});

test('the first language that there are words for is taken, and English for all others', () => {
  expect(['fr-CA', 'en'].map((language) => wordsFor([language]).language)).toEqual(['fr', 'en']);
  expect(wordsFor(['de', 'fr', 'en']).language).toBe('fr');
  expect(wordsFor(['ja']).language).toBe('en');
});

test('bytes and times are said in their largest unit', () => {
  expect([0, 900, 2048, 3 * 2 ** 20].map(bytes)).toEqual(['0 B', '900 B', '2 KiB', '3 MiB']);
  expect([10, 90, 7200, 90_000, 40 * 86_400].map((passed) => ago(1e9 - passed, 1e9))).toEqual(['10 seconds ago', '1 minute ago', '2 hours ago', 'yesterday', 'last month']);
});
