import { chosen } from './chosen.ts';
import { english, type Words } from './english.ts';
import { french } from './french.ts';

/** The words of the first of these languages that there are words for; English where there are none. */
export function wordsFor(languages: readonly string[]): Words {
  const known: Record<string, Words> = { en: english, fr: french };
  const found = languages.map((language) => known[language.slice(0, 2).toLowerCase()]);
  return found.find((words) => words !== undefined) ?? english;
}

/** The words of the language that the user or this computer chose. Tests without a browser have none. */
export const words: Words = wordsFor(chosen.languages.length > 0 ? chosen.languages : typeof navigator === 'undefined' ? [] : navigator.languages);

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

/** A size given in bytes. */
export function bytes(count: number): string {
  if (count >= 2 ** 20) return size(count / 2 ** 20);
  return count >= 1024 ? `${(count / 1024).toLocaleString(words.language, { maximumFractionDigits: 0 })} ${words.smallUnits[1]}` : `${count} ${words.smallUnits[0]}`;
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [['year', 31_557_600], ['month', 2_629_800], ['week', 604_800], ['day', 86_400], ['hour', 3600], ['minute', 60]];

/** How long ago that was: seconds since 1970. */
export function ago(seconds: number, now = Date.now() / 1000): string {
  const passed = Math.max(0, now - seconds);
  const [unit, length] = STEPS.find(([, length]) => passed >= length) ?? ['second', 1];
  return new Intl.RelativeTimeFormat(words.language, { numeric: 'auto' }).format(-Math.floor(passed / length), unit);
}
