import { english, type Words } from './english.ts';
import { french } from './french.ts';

/** The words of the first of these languages that there are words for; English where there are none. */
export function wordsFor(languages: readonly string[]): Words {
  const known: Record<string, Words> = { en: english, fr: french };
  const found = languages.map((language) => known[language.slice(0, 2).toLowerCase()]);
  return found.find((words) => words !== undefined) ?? english;
}

/** The words of this computer's language. Tests without a browser have none. */
export const words: Words = wordsFor(typeof navigator === 'undefined' ? [] : navigator.languages);

/** A size given in MiB, as people say it: `512 MiB`, `1.5 GiB`. */
export function size(mib: number): string {
  let unit = 0;
  let value = mib;
  while (value >= 1024 && unit < words.units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toLocaleString(words.language, { maximumFractionDigits: 1 })} ${words.units[unit]}`;
}

/** How far something is, in its unit. */
export function amount(done: number, total: number | null, unit: string): string {
  if (unit === 'bytes') {
    const mib = (bytes: number) => size(Math.round(bytes / 2 ** 20));
    return total === null ? mib(done) : words.of(mib(done), mib(total));
  }
  return `${total === null ? done : words.of(done, total)} ${unit}`;
}
