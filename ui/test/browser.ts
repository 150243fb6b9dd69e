// A browser for tests: Debian's Chromium, or the one that CHROMIUM names.
import { chromium, type Browser, type Page } from 'playwright-core';
import { inject } from 'vitest';
import { mkdirSync } from 'node:fs';

const ARGUMENTS = [
  '--disable-background-networking', '--disable-component-update', '--disable-gpu', '--disable-quic', '--disable-sync', '--no-first-run',
  // As root Chromium starts in no other way; it sees nothing but our own pages.
  '--no-sandbox',
];

export function openBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', args: ARGUMENTS });
}

export interface Look {
  scene: 'none' | 'some' | 'many' | 'trouble';
  width?: number;
  height?: number;
  language?: string;
  colors?: 'light' | 'dark';
  /** How many containers there are; a handful when nothing is said. */
  containers?: number;
  /** Milliseconds that each stage of played work takes. */
  pace?: number;
}

/** Opens the window's page; what it throws fails the test through `mistakes`. */
export async function open(browser: Browser, look: Look): Promise<{ page: Page; mistakes: string[] }> {
  const context = await browser.newContext({
    viewport: { width: look.width ?? 1000, height: look.height ?? 680 },
    colorScheme: look.colors ?? 'light',
    locale: look.language ?? 'en-US',
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  const mistakes: string[] = [];
  page.on('pageerror', (error) => mistakes.push(error.message));
  await page.goto(`${inject('address')}?scene=${look.scene}&pace=${look.pace ?? 40}&containers=${look.containers ?? 0}`);
  return { page, mistakes };
}

/** Keeps a picture where MACHINE_TEST_PICTURES names a folder, to be looked at. */
export async function picture(page: Page, name: string) {
  const folder = process.env['MACHINE_TEST_PICTURES'];
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: `${folder}/${name}.png` });
}
