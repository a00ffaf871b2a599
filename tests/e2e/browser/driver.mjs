// Drives a headless Chromium for tests/e2e/harness/browser.py: a JSON object a line on stdin,
// {op, ...}, and one on stdout, {value} or {error}. Playwright and axe are the packages of
// src/app/dashboard.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../../src/app/dashboard/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const kTimeoutMs = Number(process.env.BROWSER_TIMEOUT_MS ?? 8000);
const kFlags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

let browser;
let page;
let seen;

const ops = {
  async launch({ executable }) {
    browser = await chromium.launch({ executablePath: executable, headless: true, args: kFlags });
    return browser.version();
  },
  // A fresh profile each time.
  async open({ url, width = 1280, height = 900, scheme = "light", scale = 1 }) {
    if (page) await page.context().close();
    const context = await browser.newContext({
      viewport: { width, height },
      colorScheme: scheme,
      deviceScaleFactor: scale,
      reducedMotion: "reduce",
    });
    page = await context.newPage();
    page.setDefaultTimeout(kTimeoutMs);
    seen = { errors: [], origins: new Set() };
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) seen.errors.push(message.text());
    });
    page.on("pageerror", (error) => seen.errors.push(String(error)));
    page.on("request", (request) => seen.origins.add(new URL(request.url()).origin));
    await page.goto(url);
  },
  async resize({ width, height }) {
    await page.setViewportSize({ width, height });
  },
  // Waits for an element of this selector that holds this text.
  async see({ selector, text }) {
    await page.locator(selector).filter({ hasText: text }).first().waitFor();
  },
  async gone({ selector, text }) {
    await page.locator(selector).filter({ hasText: text }).first().waitFor({ state: "hidden" });
  },
  async click({ role, name, within = "body" }) {
    await page.locator(within).getByRole(role, { name, exact: true }).first().click();
  },
  async fill({ label, value }) {
    await page.getByLabel(label).fill(value);
  },
  async select({ label, value }) {
    await page.getByLabel(label).selectOption(value);
  },
  async press({ key }) {
    await page.keyboard.press(key);
  },
  async evaluate({ script }) {
    return page.evaluate(script);
  },
  // Violations of WCAG 2.2 A and AA and of axe's best practices.
  async axe() {
    await page.evaluate(axe);
    const { violations } = await page.evaluate("axe.run()");
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.any[0]?.message ?? ""}`).join("; ")}`);
  },
  async screenshot({ path, full = false }) {
    await page.screenshot({ path, fullPage: full });
  },
  async seen() {
    return { errors: seen.errors, origins: [...seen.origins] };
  },
  async close() {
    await browser?.close();
    process.exitCode = 0;
    lines.close();
  },
};

const lines = createInterface({ input: process.stdin });
for await (const line of lines) {
  const { op, ...rest } = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await ops[op](rest)) ?? null };
  } catch (error) {
    answer = { error: String(error.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser?.close();
