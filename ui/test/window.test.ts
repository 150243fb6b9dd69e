// The whole window in a browser, over played machines.
import axe from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { open, openBrowser, picture, type Look } from './browser.ts';

let browser: Browser;
beforeAll(async () => void (browser = await openBrowser()));
afterAll(() => browser.close());

async function inWindow(look: Look, see: (page: Page) => Promise<void>) {
  const { page, mistakes } = await open(browser, look);
  await see(page);
  await page.context().close();
  expect(mistakes).toEqual([]);
}

/** What an accessibility checker finds serious. */
async function barriers(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const found = await page.evaluate(() => (window as unknown as { axe: typeof axe }).axe.run());
  return found.violations
    .filter((violation) => violation.impact === 'serious' || violation.impact === 'critical')
    .map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html).join(' ')}`);
}

const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });

for (const colors of ['light', 'dark'] as const) {
  test(`every screen is free of serious barriers (${colors})`, () =>
    inWindow({ scene: 'none', colors }, async (page) => {
      await page.getByText('No machines yet').waitFor();
      await picture(page, `empty-${colors}`);
      expect(await barriers(page)).toEqual([]);
      await page.goto(page.url().replace('none', 'some'));
      await page.getByRole('listitem', { name: 'torn' }).waitFor();
      await picture(page, `machines-${colors}`);
      expect(await barriers(page)).toEqual([]);
      await button(page, 'More for dev').click();
      expect(await barriers(page)).toEqual([]);
      await page.getByRole('menuitem', { name: 'Remove…' }).click();
      await page.getByText('machine rm -y dev').waitFor();
      await page.getByText('its 5 containers, 3 running: registry, shop-db-1').waitFor();
      await picture(page, `remove-${colors}`);
      expect(await barriers(page)).toEqual([]);
      await page.keyboard.press('Escape');
      await button(page, 'New machine').click();
      await page.getByRole('slider', { name: 'Memory' }).waitFor();
      await picture(page, `create-${colors}`);
      expect(await barriers(page)).toEqual([]);
      await page.keyboard.press('Escape');
      await button(page, 'Check this computer').click();
      await page.getByText('Acceleration').waitFor();
      await picture(page, `checks-${colors}`);
      expect(await barriers(page)).toEqual([]);
      await page.keyboard.press('Escape');
      await button(page, 'Open dev').click();
      await page.getByText('shop-web-1').waitFor();
      await picture(page, `containers-${colors}`);
      expect(await barriers(page)).toEqual([]);
      await page.getByRole('tab', { name: 'Ports' }).click();
      await page.getByText('open at 127.0.0.1, ::1').first().waitFor();
      await picture(page, `ports-${colors}`);
      expect(await barriers(page)).toEqual([]);
      await page.getByRole('tab', { name: 'Logs' }).click();
      await page.getByText('GET /health').first().waitFor();
      await page.getByRole('searchbox').fill('warning');
      await picture(page, `logs-${colors}`);
      expect(await barriers(page)).toEqual([]);
    }));
}

test('a machine is created with what was chosen, and its env line can be copied', () =>
  inWindow({ scene: 'none' }, async (page) => {
    await button(page, 'Create your first machine').click();
    const name = page.getByLabel('Name');
    expect(await name.inputValue()).toBe('default');
    await page.getByText('machine create default').waitFor();
    await name.fill('-x');
    await page.getByText('must begin and end with a letter or digit').waitFor();
    expect(await button(page, 'Create').isDisabled()).toBe(true);
    await name.fill('dev');
    await page.getByLabel('CPUs').fill('2');
    await page.getByLabel('Memory').fill('4096');
    await page.getByText('machine create --cpus 2 --memory 4g dev').waitFor();
    await button(page, 'Create').click();
    await page.getByRole('heading', { name: 'dev is ready' }).waitFor();
    await page.getByRole('button', { name: 'Copy: eval "$(machine env dev)"' }).click();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('eval "$(machine env dev)"');
    await button(page, 'Done').click();
    await page.getByText('1 of 1 running').waitFor();
  }));

test('a creation shows its stages, can be left, and can be cancelled from the row', () =>
  inWindow({ scene: 'none', pace: 2500 }, async (page) => {
    await button(page, 'Create your first machine').click();
    await button(page, 'Create').click();
    await page.getByText('Making disks').first().waitFor();
    await page.getByRole('dialog').getByRole('progressbar').waitFor();
    await picture(page, 'creating');
    await button(page, 'Continue in background').click();
    await button(page, 'Cancel').click();
    await page.getByText('Cancelled').waitFor();
    await button(page, 'Dismiss').click();
    await page.getByText('Cancelled').waitFor({ state: 'detached' });
  }));

test('a failure says what failed and what to do, in the dialog and afterwards in the row', () =>
  inWindow({ scene: 'some' }, async (page) => {
    await button(page, 'New machine').click();
    await page.getByLabel('Name').fill('fails');
    await button(page, 'Create').click();
    await page.getByRole('heading', { name: 'fails could not be created' }).waitFor();
    await button(page, 'Close').click();
    const row = page.getByRole('listitem', { name: 'fails' });
    await row.getByText('no engine answered within 300 s').waitFor();
    await row.getByText('machine logs --serial fails').waitFor();
    await picture(page, 'failed');
  }));

test('removal wants the name typed, by force where nothing can be read, and can be done by keyboard alone', () =>
  inWindow({ scene: 'some' }, async (page) => {
    await button(page, 'More for torn').focus();
    await page.keyboard.press('Enter');
    await page.keyboard.press('End');
    await page.keyboard.press('Enter');
    await page.getByText('machine rm -f torn').waitFor();
    await page.keyboard.type('tor');
    expect(await button(page, 'Remove machine').isDisabled()).toBe(true);
    await page.keyboard.press('Enter');
    await page.keyboard.type('n');
    await page.keyboard.press('Enter');
    await page.getByText('Machine "torn" was removed.').waitFor();
    expect(await page.getByRole('listitem', { name: 'torn' }).count()).toBe(0);
  }));

test('starting and stopping happen in the row', () =>
  inWindow({ scene: 'some' }, async (page) => {
    await button(page, 'Start build').click();
    await page.getByText('Machine "build" was started.').waitFor();
    await button(page, 'Stop build').click();
    await page.getByText('Machine "build" was stopped.').waitFor();
    await button(page, 'Start build').waitFor();
  }));

test('a machine is paused, goes on, and is suspended from its row', () =>
  inWindow({ scene: 'some' }, async (page) => {
    const choose = async (name: string) => {
      await button(page, 'More for dev').click();
      await page.getByRole('menuitem', { name, exact: true }).click();
    };
    await choose('Pause');
    await page.getByText('Machine "dev" was paused.').waitFor();
    await button(page, 'Resume dev').click();
    await page.getByText('Machine "dev" was resumed.').waitFor();
    await choose('Suspend');
    await page.getByText('Machine "dev" was suspended.').waitFor();
    await page.getByRole('listitem', { name: 'dev' }).getByText('Suspended', { exact: true }).waitFor();
    await button(page, 'Start dev').waitFor();
  }));

test('ports say where they are, who has those that are taken, and open in the browser', () =>
  inWindow({ scene: 'some' }, async (page) => {
    await button(page, 'Open dev').click();
    await page.getByRole('tab', { name: 'Containers' }).press('ArrowRight');
    await page.getByText('taken: node (process 4711) has 127.0.0.1:8443').waitFor();
    const open = (port: number) => page.getByTitle(`Open http://localhost:${port}/ in the browser`);
    expect(await open(8443).count()).toBe(0);
    await open(8080).click();
    expect(await page.evaluate(() => (window as unknown as { opened: number }).opened)).toBe(8080);
    await open(5000).click();
    await page.getByText('type http://localhost:5000/ into one').waitFor();
    await open(8080).click();
    await page.getByText('type http://localhost:5000/ into one').waitFor({ state: 'detached' });
    await page.getByRole('tab', { name: 'Containers' }).click();
    await open(8080).waitFor();
  }));

test('trouble with the store and a window that is to close while work goes on are said in words', () =>
  inWindow({ scene: 'trouble' }, async (page) => {
    await page.getByText('cannot list the store: permission denied').waitFor();
    await page.evaluate(() => (window as unknown as { closing: (names: string[]) => void }).closing(['dev']));
    await page.getByRole('heading', { name: 'Work is going on' }).waitFor();
    expect(await button(page, 'Keep open').evaluate((safe) => safe === document.activeElement)).toBe(true);
    await button(page, 'Keep open').click();
    expect(await page.getByRole('dialog').count()).toBe(0);
  }));

test('nothing is cut off in a small window and at twice the size', () =>
  inWindow({ scene: 'some', width: 560, height: 420 }, async (page) => {
    await page.getByRole('listitem', { name: 'torn' }).waitFor();
    const tooWide = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(await tooWide()).toBeLessThanOrEqual(0);
    await picture(page, 'small');
    await button(page, 'New machine').click();
    await page.getByText('The same in a terminal').waitFor();
    expect(await tooWide()).toBeLessThanOrEqual(0);
    await button(page, 'Create').scrollIntoViewIfNeeded();
    await picture(page, 'small-create');
  }));

test('containers stand under their Compose project, and are stopped, paused and removed there', () =>
  inWindow({ scene: 'some' }, async (page) => {
    await button(page, 'Open dev').click();
    await page.getByRole('heading', { name: 'shop', exact: true }).waitFor();
    await button(page, 'Stop shop-web-1').click();
    await button(page, 'Start shop-web-1').waitFor();
    await button(page, 'Continue shop-worker-1').click();
    await button(page, 'Stop shop-worker-1').waitFor();
    await page.getByRole('searchbox').fill('postgres');
    await page.getByText('1 of 5 containers').waitFor();
    await button(page, 'More for shop-db-1').click();
    await page.getByRole('menuitem', { name: 'Remove…' }).click();
    await page.getByText('docker --context dev rm --force --volumes shop-db-1').waitFor();
    await button(page, 'Remove container').click();
    await page.getByText('0 of 4 containers').waitFor();
    await page.getByRole('searchbox').fill('');
    await button(page, 'More for registry').click();
    await page.getByRole('menuitem', { name: 'Remove…' }).click();
    await button(page, 'Remove container').click();
    await page.getByText('removal is in progress').waitFor();
  }));

test('a log is followed to its end, searched, and left alone when it is not followed', () =>
  inWindow({ scene: 'some' }, async (page) => {
    await button(page, 'Open dev').click();
    await button(page, 'Log of registry').click();
    await page.getByText('docker --context dev logs --timestamps --follow registry').waitFor();
    await page.getByText('#205', { exact: false }).first().waitFor();
    const list = page.getByRole('region', { name: 'Log of registry' });
    await page.getByRole('checkbox', { name: 'Follow' }).uncheck();
    await list.evaluate((box) => (box.scrollTop = 0));
    await page.getByText('#0', { exact: false }).first().waitFor();
    expect(await list.evaluate((box) => box.scrollTop)).toBe(0);
    await page.getByRole('searchbox').fill('SLOW');
    await page.locator('mark').first().waitFor();
    expect(await list.getByText('GET /health').count()).toBe(0);
    await button(page, 'All containers').click();
    await button(page, 'Machines').click();
    await button(page, 'Open build').click();
    await page.getByRole('tab', { name: 'Logs', selected: true }).waitFor();
    await page.getByRole('tab', { name: 'Containers' }).click();
    await page.getByText('Host is not running').waitFor();
  }));

test('of a thousand containers only those that can be seen are in the page', () =>
  inWindow({ scene: 'some', containers: 1000 }, async (page) => {
    await button(page, 'Open dev').click();
    await page.getByText('1000 containers').waitFor();
    const list = page.getByRole('region', { name: 'Containers' });
    expect(await list.getByRole('listitem').count()).toBeLessThan(60);
    await list.evaluate((box) => (box.scrollTop = box.scrollHeight));
    await page.getByText('task-999').waitFor();
    await button(page, 'More for task-999').click();
    await page.getByRole('menuitem', { name: 'Remove…' }).waitFor();
    await picture(page, 'thousand');
    expect(await list.getByRole('listitem').count()).toBeLessThan(60);
  }));

test('a French computer gets a French window', () =>
  inWindow({ scene: 'some', language: 'fr-FR' }, async (page) => {
    await page.getByText('2 sur 5 en marche').waitFor();
    await picture(page, 'french');
    expect(await page.evaluate(() => document.documentElement.lang)).toBe('fr');
    await button(page, 'Démarrer build').click();
    await page.getByText('Démarrage de Linux').waitFor();
    await button(page, 'Nouvelle machine').click();
    await page.getByText('La même chose dans un terminal').last().waitFor();
    await picture(page, 'french-create');
  }));
