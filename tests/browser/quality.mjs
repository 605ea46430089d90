// What holds of all pages: how much a first load is, that nothing jumps, that a chart has its table, that a keyboard is
// enough.

import assert from "node:assert/strict";

import { PASSWORD } from "./gateway.mjs";

/** What a first load may be, compressed. */
const FIRST_LOAD = 100 * 1024;
/** How far what is seen may move by itself, as Chromium counts it; up to 0.1 is called good. */
const SHIFT = 0.05;

const SHIFTING = ["/overview", "/workspaces", "/workspaces/engineering/connect", "/workspaces/engineering/tokens", "/workspaces/engineering/tools", "/workspaces/engineering/analytics", "/analytics?by=workspace", "/servers", "/hub", "/team", "/audit", "/live?workspace=engineering", "/playground?workspace=engineering&tool=fixture__echo", "/health", "/settings"];

export const QUALITY_FLOWS = {
  async "A first load, scripts and charts included, takes less than 100 KB"({ watched, gateway }) {
    const signedIn = await watched.signedIn();
    const cookies = await signedIn.context().cookies();
    await signedIn.context().close();
    for (const at of ["/signin", "/overview"]) {
      const page = await watched.page();
      if (at === "/overview") await page.context().addCookies(cookies);
      const session = await page.context().newCDPSession(page);
      await session.send("Network.enable");
      let bytes = 0;
      session.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
      await page.goto(gateway.url + at, { waitUntil: "networkidle" });
      if (at === "/overview") await page.locator("figure[data-chart] canvas").first().waitFor();
      console.log(`      a first load of ${at}: ${(bytes / 1024).toFixed(1)} KB`);
      assert.ok(bytes > 10_000 && bytes < FIRST_LOAD, `${at}: ${bytes} bytes`);
      await page.context().close();
    }
  },

  async "Nothing that is seen jumps while a page loads or follows another"({ watched, gateway, looks }) {
    for (const look of looks) {
      const page = await watched.signedIn({ ...look, reducedMotion: "reduce" });
      await page.addInitScript(() => {
        window.shifted = 0;
        new PerformanceObserver((list) => list.getEntries().forEach((one) => (window.shifted += one.hadRecentInput ? 0 : one.value))).observe({ type: "layout-shift", buffered: true });
      });
      for (const at of SHIFTING) {
        await page.goto(gateway.url + at, { waitUntil: "load" });
        if (await page.locator("figure[data-chart]").count()) await page.locator("figure[data-chart] canvas").first().waitFor();
        // What was laid out is reported with the frame after it.
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
        const shifted = await page.evaluate(() => window.shifted);
        assert.ok(shifted < SHIFT, `${at} at ${look.viewport.width} px: moved by ${shifted}`);
      }
      await page.context().close();
    }
  },

  async "Every chart has a table with its numbers"({ watched, gateway }) {
    const page = await watched.signedIn();
    for (const at of ["/overview", "/analytics", "/workspaces/engineering/analytics"]) {
      await page.goto(gateway.url + at);
      const figures = page.locator("figure[data-chart]");
      assert.ok((await figures.count()) > 0, at);
      for (const figure of await figures.all()) {
        await figure.locator("canvas").waitFor();
        await figure.locator("summary", { hasText: "As a table" }).click();
        await figure.locator("tbody tr").first().waitFor();
        assert.ok((await figure.locator("tbody td[data-value]:not([data-value=''])").count()) > 0, at);
      }
    }
    await page.context().close();
  },

  async "A keyboard is enough: sign in, find the tokens, make one, copy it, leave"({ watched, gateway }) {
    const page = await watched.page();
    const keys = page.keyboard;
    const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim() ?? "");
    const reach = async (word) => {
      for (let step = 0; step < 120; step++) {
        if ((await focused()) === word) return;
        await keys.press("Tab");
      }
      assert.fail(`${word} is reached by Tab`);
    };
    await page.goto(`${gateway.url}/signin`);
    await page.waitForFunction(() => document.activeElement?.id === "username");
    await keys.type("acme");
    await keys.press("Tab");
    await keys.type(PASSWORD);
    await keys.press("Enter");
    await page.waitForURL("**/overview");
    await keys.press("Control+k");
    await page.locator("#palette[open]").waitFor();
    await keys.type("engineering");
    await page.waitForFunction(() => document.querySelectorAll("#hits .hit").length > 0 && [...document.querySelectorAll("#hits .hit")].every((hit) => /engineering/i.test(hit.textContent)));
    await keys.press("Enter");
    await page.waitForURL("**/workspaces/engineering/**");
    await page.locator("dialog#palette[open]").waitFor({ state: "detached" });
    await reach("New Token");
    await keys.press("Enter");
    await page.locator("#token-name").waitFor();
    await page.waitForFunction(() => document.activeElement?.id === "token-name");
    await keys.type("By Keyboard");
    await keys.press("Enter");
    await page.locator("#reveal").waitFor();
    const raw = (await page.textContent("#raw")).trim();
    await reach("Copy");
    await keys.press("Enter");
    await page.locator("#reveal .copied").first().waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), raw);
    await reach("I have copied it");
    await keys.press("Enter");
    await page.locator("#reveal").waitFor({ state: "detached" });
    await page.locator("td .name", { hasText: "By Keyboard" }).waitFor();
    await page.context().close();
  },
};
