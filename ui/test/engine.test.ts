// Images, volumes, networks, folders and single containers in a browser, over a played engine.
import axe from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { open, openBrowser, picture, type Look } from './browser.ts';

let browser: Browser;
beforeAll(async () => void (browser = await openBrowser()));
afterAll(() => browser.close());

async function inMachine(look: Partial<Look>, see: (page: Page) => Promise<void>) {
  const { page, mistakes } = await open(browser, { scene: 'some', width: 900, height: 600, ...look });
  await page.getByRole('button', { name: look.language ? 'Ouvrir dev' : 'Open dev', exact: true }).click();
  await see(page);
  await page.context().close();
  expect(mistakes).toEqual([]);
}

async function expectNoBarriers(page: Page) {
  await page.evaluate(axe.source);
  const found = await page.evaluate(() => (window as unknown as { axe: typeof axe }).axe.run());
  const serious = found.violations.filter((violation) => violation.impact === 'serious' || violation.impact === 'critical');
  expect(serious.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html).join(' ')}`)).toEqual([]);
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 'nothing is cut off').toBeLessThanOrEqual(0);
}

const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });
const tab = (page: Page, name: string) => page.getByRole('tab', { name }).click();
const choose = async (page: Page, of: string, name: string) => {
  await button(page, `More for ${of}`).click();
  await page.getByRole('menuitem', { name, exact: true }).click();
};

test('an image is pulled layer by layer, and a name that is none or is not there is said in words', () =>
  inMachine({}, async (page) => {
    await tab(page, 'Images');
    await button(page, 'Pull an image…').click();
    const image = page.getByLabel('Image', { exact: true });
    await image.fill('-x');
    await page.getByText('"-x" is no name of an image').waitFor();
    expect(await button(page, 'Pull').isDisabled()).toBe(true);
    await image.fill('missing/app');
    await page.keyboard.press('Enter');
    await page.getByText('pull access denied for missing/app').waitFor();
    await button(page, 'Change and try again').click();
    await image.fill('nginx:1.29');
    await page.getByText('docker --context dev pull nginx:1.29').waitFor();
    await button(page, 'Pull').click();
    await page.getByRole('progressbar').first().waitFor();
    await picture(page, 'pull');
    await expectNoBarriers(page);
    await page.getByRole('heading', { name: 'nginx:1.29 is there' }).waitFor();
    await page.getByText('3 of 3 layers are there').waitFor();
    await button(page, 'Done').click();
    await page.getByRole('cell', { name: 'nginx:1.29', exact: true }).waitFor();
  }));

test('a pull that is stopped leaves no image', () =>
  inMachine({ pace: 400 }, async (page) => {
    await tab(page, 'Images');
    await button(page, 'Pull an image…').click();
    await page.getByLabel('Image', { exact: true }).fill('nginx');
    await button(page, 'Pull').click();
    await page.getByRole('progressbar').first().waitFor();
    await button(page, 'Stop pulling').click();
    expect(await page.getByRole('dialog').count()).toBe(0);
    expect(await page.getByRole('cell', { name: 'nginx:latest', exact: true }).count()).toBe(0);
  }));

for (const colors of ['light', 'dark'] as const) {
  test(`images are named, looked into and removed, and what would go is shown before (${colors})`, () =>
    inMachine({ colors }, async (page) => {
      await tab(page, 'Images');
      await page.getByRole('cell', { name: 'shop/web:latest', exact: true }).waitFor();
      await picture(page, `images-${colors}`);
      await expectNoBarriers(page);
      await choose(page, 'alpine:3.20', 'Add a name…');
      await page.getByLabel('New name').fill('mine:1');
      await page.getByText('docker --context dev tag aaaaaaaaaaaa mine:1').waitFor();
      await button(page, 'Add name').click();
      await page.getByRole('cell', { name: 'mine:1', exact: true }).waitFor();
      await choose(page, 'shop/web:latest', 'History…');
      await page.getByText('apk add --no-cache nginx').waitFor();
      await page.getByText('docker --context dev history dddddddddddd').waitFor();
      await picture(page, `history-${colors}`);
      await expectNoBarriers(page);
      await button(page, 'Close').click();
      await choose(page, 'postgres:17', 'Remove…');
      await page.getByText('Made from it: shop-db-1.').waitFor();
      await page.getByText('docker --context dev rmi postgres:17').waitFor();
      await button(page, 'Remove image').click();
      await page.getByText('answered 409').waitFor();
      await expectNoBarriers(page);
      await button(page, 'Cancel').click();
      await button(page, 'Remove unused…').click();
      await page.getByText('This image goes, and up to 181 MiB with it').waitFor();
      await page.getByRole('checkbox', { name: 'Also those that have names' }).check();
      await page.getByText('These 3 images go').waitFor();
      await page.getByText('docker --context dev image prune --all --force').waitFor();
      await picture(page, `prune-${colors}`);
      await expectNoBarriers(page);
      await button(page, 'Remove images').click();
      await page.getByText('197 MiB were freed.').waitFor();
      expect(await page.getByRole('cell', { name: 'alpine:3.20', exact: true }).count()).toBe(0);
    }));

  test(`a volume goes when its name is typed, one in use cannot, and unused ones go by a list (${colors})`, () =>
    inMachine({ colors }, async (page) => {
      await tab(page, 'Volumes');
      await page.getByText('37 MiB').waitFor();
      await picture(page, `volumes-${colors}`);
      await expectNoBarriers(page);
      expect(await button(page, 'Remove shop_data').isDisabled()).toBe(true);
      await button(page, 'Remove unused…').click();
      await page.getByText(`docker --context dev volume rm ${'7f3c'.repeat(16)}`).waitFor();
      await button(page, 'Remove 1 volume').click();
      await page.getByText('2 volumes').waitFor();
      await button(page, 'Remove old-backup').click();
      await page.getByText('docker --context dev volume rm old-backup').waitFor();
      expect(await button(page, 'Remove volume').isDisabled()).toBe(true);
      await page.getByLabel('Type old-backup to confirm').fill('old-backup');
      await picture(page, `volume-remove-${colors}`);
      await expectNoBarriers(page);
      await page.keyboard.press('Enter');
      await page.getByText('1 volume', { exact: true }).waitFor();
    }));

  test(`networks show who is on them, and are made and removed (${colors})`, () =>
    inMachine({ colors }, async (page) => {
      await tab(page, 'Networks');
      await page.getByText('172.18.0.3').waitFor();
      await picture(page, `networks-${colors}`);
      await expectNoBarriers(page);
      expect(await button(page, 'Remove bridge').count()).toBe(0);
      await button(page, 'New network…').click();
      await page.getByLabel('Name').fill('lonely');
      await page.getByRole('checkbox').check();
      await page.getByText('docker --context dev network create --internal lonely').waitFor();
      await button(page, 'Create network').click();
      await page.getByText('network with name lonely already exists').waitFor();
      await expectNoBarriers(page);
      await page.getByLabel('Name').fill('back');
      await button(page, 'Create network').click();
      await button(page, 'Remove back').click();
      await page.getByText('docker --context dev network rm back').waitFor();
      await button(page, 'Remove network').click();
      await button(page, 'Remove back').waitFor({ state: 'detached' });
    }));

  test(`folders say whether the machine sees them, are added after the system's dialog, and removed (${colors})`, () =>
    inMachine({ colors }, async (page) => {
      await tab(page, 'Folders');
      await page.getByText('not seen: the folder is not there').waitFor();
      await button(page, 'Add a folder…').click();
      await page.getByText('machine share add dev /home/ada/notes', { exact: true }).waitFor();
      await page.getByRole('dialog').getByText('any container that mounts it has').waitFor();
      await picture(page, `folder-adding-${colors}`);
      await page.getByRole('checkbox', { name: 'To read only' }).check();
      await page.getByText('machine share add dev /home/ada/notes:ro').waitFor();
      await expectNoBarriers(page);
      await button(page, 'Add folder').click();
      await page.getByText('3 folders').waitFor();
      await picture(page, `folders-${colors}`);
      await expectNoBarriers(page);
      await button(page, 'Add a folder…').click();
      await button(page, 'Add folder').click();
      await page.getByText('is shared already').waitFor();
      await button(page, 'Cancel').click();
      await button(page, 'Remove /home/ada/data').click();
      await page.getByText('machine share rm dev /data').waitFor();
      await button(page, 'Remove folder').click();
      await page.getByText('2 folders').waitFor();
    }));

  test(`a container is run with all that was chosen, said as a command line (${colors})`, () =>
    inMachine({ colors }, async (page) => {
      await page.getByText('shop-web-1').waitFor();
      await button(page, 'Run…').click();
      await page.getByLabel('Image').selectOption('alpine:3.20');
      await page.getByText('docker --context dev run -d alpine:3.20').waitFor();
      await page.getByLabel('Name', { exact: true }).fill('registry');
      await button(page, 'Add a port').click();
      expect(await button(page, 'Run').isDisabled(), 'a row that is not whole').toBe(true);
      await page.getByLabel('Port on this computer, row 1').fill('9090');
      await page.getByLabel('Port in the container, row 1').fill('90');
      await button(page, 'Add a volume').click();
      await page.getByLabel('Volume, row 1').fill('/etc');
      await page.getByLabel('Place in the container, row 1').fill('/data');
      await page.getByText('"/etc" is no name').waitFor();
      await page.getByLabel('Volume, row 1').fill('data');
      await button(page, 'Add a variable').click();
      await page.getByLabel('Name of the variable, row 1').fill('WHO');
      await page.getByLabel('Value, row 1').fill('me too');
      await page.getByLabel('Start again by itself').selectOption('Unless it was stopped');
      await page.getByText("run -d --name registry -p 9090:90 -v data:/data -e 'WHO=me too' --restart unless-stopped alpine:3.20").waitFor();
      await picture(page, `run-${colors}`);
      await expectNoBarriers(page);
      await button(page, 'Run').click();
      await page.getByText('is already in use').waitFor();
      await page.getByLabel('Name', { exact: true }).fill('mine');
      await button(page, 'Run').click();
      await button(page, 'Open mine').waitFor();
    }));

  test(`a container shows what it uses, its processes, its details, and a terminal (${colors})`, () =>
    inMachine({ colors }, async (page) => {
      await button(page, 'Open shop-web-1').click();
      await page.getByText('GET /health').first().waitFor();
      await button(page, 'Figures').click();
      await page.getByText('5 processes and threads').waitFor();
      await page.getByText('docker --context dev stats shop-web-1').waitFor();
      await page.waitForFunction(() => (document.querySelector('polyline')?.getAttribute('points') ?? '').split(' ').length > 15);
      await picture(page, `figures-${colors}`);
      await expectNoBarriers(page);
      await button(page, 'Processes').click();
      await page.getByText('nginx: worker process').waitFor();
      await picture(page, `processes-${colors}`);
      await expectNoBarriers(page);
      await button(page, 'Details').click();
      await page.getByText('docker --context dev inspect 000000000000').waitFor();
      await page.getByText('NetworkSettings').click();
      await page.getByText('Ports', { exact: true }).last().click();
      await picture(page, `inspect-${colors}`);
      await expectNoBarriers(page);
      await button(page, 'Terminal').click();
      await page.getByRole('textbox', { name: 'Terminal in shop-web-1' }).waitFor();
      await page.keyboard.type('hello');
      await page.keyboard.press('Enter');
      await page.locator('.xterm-rows').getByText('hello: played').waitFor();
      await picture(page, `terminal-${colors}`);
      await expectNoBarriers(page);
      await page.keyboard.type('exit');
      await page.keyboard.press('Enter');
      await page.getByText('The shell has ended.').waitFor();
      await button(page, 'All containers').click();
      await button(page, 'Open shop-migrate-1').click();
      await button(page, 'Terminal').click();
      await page.getByText('shop-migrate-1 is not running.').waitFor();
    }));
}

test('what goes on is not disturbed by looks at the machines and their containers', () =>
  inMachine({}, async (page) => {
    const look = () => page.evaluate(() => (window as unknown as { look: () => void }).look());
    await button(page, 'Open shop-web-1').click();
    await button(page, 'Terminal').click();
    await page.getByRole('textbox', { name: 'Terminal in shop-web-1' }).waitFor();
    await page.keyboard.type('hello');
    await look();
    await page.keyboard.press('Enter');
    await page.locator('.xterm-rows').getByText('hello: played').waitFor();
    await button(page, 'All containers').click();
    await tab(page, 'Images');
    await choose(page, 'postgres:17', 'Remove…');
    await button(page, 'Remove image').click();
    await page.getByText('answered 409').waitFor();
    await look();
    await page.waitForTimeout(100);
    expect(await page.getByText('answered 409').count(), 'what failed stays').toBe(1);
    await button(page, 'Cancel').click();
    await button(page, 'Pull an image…').click();
    await page.getByLabel('Image', { exact: true }).fill('nginx');
    await button(page, 'Pull').click();
    // More looks than a pull that began anew at each would live through.
    for (let at = 0; at < 60 && (await page.getByRole('heading', { name: 'nginx is there' }).count()) === 0; at++) {
      await look();
      await page.waitForTimeout(20);
    }
    expect(await page.getByRole('heading', { name: 'nginx is there' }).count()).toBe(1);
  }));

test('an image is run from its row, and the dialog closes when the container is there', () =>
  inMachine({}, async (page) => {
    await tab(page, 'Images');
    await button(page, 'Run alpine:3.20').click();
    await page.getByLabel('Name', { exact: true }).fill('second');
    await page.getByText('docker --context dev run -d --name second alpine:3.20').waitFor();
    await button(page, 'Run').click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await tab(page, 'Containers');
    await button(page, 'Open second').waitFor();
  }));

test('a container without a shell says so instead of a terminal', () =>
  inMachine({}, async (page) => {
    await button(page, 'Open registry').click();
    await button(page, 'Terminal').click();
    await page.getByText('no /bin/sh in this container').waitFor();
  }));

test('all of it is there in French too', () =>
  inMachine({ language: 'fr-FR' }, async (page) => {
    for (const name of ['Images', 'Volumes', 'Réseaux', 'Dossiers']) {
      await tab(page, name);
      await page.getByRole('columnheader', { name: 'Actions' }).waitFor();
      await picture(page, `french-${name}`);
      await expectNoBarriers(page);
    }
  }));
