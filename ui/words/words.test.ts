import { expect, test } from 'vitest';

import { amount, size, wordsFor } from './words.ts';

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
