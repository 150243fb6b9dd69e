import { english, type Words } from './english.ts';

/** The words of the window's language. */
export const words: Words = english;

const UNITS = ['MiB', 'GiB', 'TiB'];

/** A size given in MiB, as people say it: `512 MiB`, `1.5 GiB`. */
export function size(mib: number): string {
  let unit = 0;
  let value = mib;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** How far something is, in its unit. */
export function amount(done: number, total: number | null, unit: string): string {
  if (unit === 'bytes') {
    const mib = (bytes: number) => size(Math.round(bytes / 2 ** 20));
    return total === null ? mib(done) : `${mib(done)} of ${mib(total)}`;
  }
  return total === null ? `${done} ${unit}` : `${done} of ${total} ${unit}`;
}
