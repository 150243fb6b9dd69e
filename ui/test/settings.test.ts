// What the user chooses for the window, and another size for a machine, in a browser.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { open, openBrowser, picture, type Look } from './browser.ts';

let browser: Browser;
beforeAll(async () => void (browser = await openBrowser()));
afterAll(() => browser.close());

async function inWindow(look: Partial<Look>, see: (page: Page) => Promise<void>) {
  const { page, mistakes } = await open(browser, { scene: 'some', width: 900, height: 600, ...look });
  await see(page);
  await page.context().close();
  expect(mistakes).toEqual([]);
}

const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });

test('colours and language are as chosen, at once and when the window comes again', () =>
  inWindow({ colors: 'light' }, async (page) => {
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    await button(page, 'Settings').click();
    await page.getByLabel('Colours').selectOption('Dark');
    await button(page, 'Save').click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(await background()).not.toBe(light);
    await button(page, 'Settings').click();
    await page.getByLabel('Language').selectOption('Français');
    await picture(page, 'settings');
    await button(page, 'Save').click();
    await page.getByText('2 sur 5 en marche').waitFor();
    expect(await background()).not.toBe(light);
    expect(await page.evaluate(() => document.documentElement.lang)).toBe('fr');
  }));

test('another language waits for work that goes on, which keeps its row and its Cancel', () =>
  inWindow({ pace: 60_000 }, async (page) => {
    await button(page, 'Stop dev').click();
    await button(page, 'Cancel').waitFor();
    await button(page, 'Settings').click();
    expect(await page.getByText('the language changes when this window opens next').count()).toBe(0);
    await page.getByLabel('Language').selectOption('Français');
    await page.getByText('the language changes when this window opens next').waitFor();
    await picture(page, 'settings-working');
    await button(page, 'Save').click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await button(page, 'Cancel').waitFor();
    expect(await page.evaluate(() => document.documentElement.lang)).toBe('en');
    await page.reload();
    await page.getByText('2 sur 5 en marche').waitFor();
  }));

test('sizes of my own are where a new machine begins, and its command line says them', () =>
  inWindow({}, async (page) => {
    await button(page, 'Settings').click();
    await page.getByRole('checkbox', { name: 'Begin with sizes of my own' }).check();
    await page.getByLabel('CPUs').fill('3');
    await button(page, 'Save').click();
    await button(page, 'New machine').click();
    await page.getByLabel('Name').fill('own');
    await page.getByText('machine create --cpus 3 own').waitFor();
  }));

test('a machine that is off gets another size, and its disk does not shrink', () =>
  inWindow({}, async (page) => {
    await button(page, 'More for dev').click();
    expect(await page.getByRole('menuitem', { name: 'Resize…' }).count()).toBe(0);
    await page.keyboard.press('Escape');
    await button(page, 'More for build').click();
    await page.getByRole('menuitem', { name: 'Resize…' }).click();
    await page.getByLabel('Memory').waitFor();
    expect(await button(page, 'Resize').isDisabled()).toBe(true);
    expect(await page.getByLabel('Disk').getAttribute('min')).toBe('120');
    await page.getByLabel('CPUs').fill('2');
    await page.getByLabel('Disk').fill('150');
    await page.getByText('machine set --cpus 2 --disk 150g build').waitFor();
    await picture(page, 'resize');
    await button(page, 'Resize').click();
    await page.getByText('Machine "build" has its new size').waitFor();
    await page.getByRole('listitem', { name: 'build' }).getByText('2 CPUs').waitFor();
  }));
