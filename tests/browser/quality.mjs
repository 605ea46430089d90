// What holds of all pages: how much a first load is, that nothing jumps, that what is slow shows a placeholder, that a
// chart has its table, that a keyboard is enough and a finger finds what it wants.

import assert from "node:assert/strict";

import { PASSWORD } from "./gateway.mjs";

/** What a first load may be, compressed. */
const FIRST_LOAD = 100 * 1024;
/** How far what is seen may move by itself, as Chromium counts it; up to 0.1 is called good. */
const SHIFT = 0.05;

const SHIFTING = ["/overview", "/workspaces", "/workspaces/engineering/connect", "/workspaces/engineering/tokens", "/workspaces/engineering/tools", "/workspaces/engineering/analytics", "/analytics?by=workspace", "/servers", "/hub", "/team", "/audit", "/live?workspace=engineering", "/playground?workspace=engineering&tool=fixture__echo", "/health", "/settings"];

/** Pages of each kind, and those that hold most. */
const FIRST = ["/signin", "/overview", "/analytics?period=90d", "/workspaces/engineering/analytics", "/workspaces/engineering/analytics?period=90d&by=tool", "/workspaces/engineering/connect", "/workspaces/engineering/tokens", "/workspaces/engineering/tools", "/workspaces/engineering/calls", "/workspaces/engineering/audit"];
/** How long a page is waited for before a placeholder shows, milliseconds; timers may be early by what a clock's grain is. */
const PATIENCE = 149;

/** Holds what is asked for at a path until the function that this gives is called; with `true` it is never answered. */
async function hold(page, path, method = "GET") {
  let go, end;
  const held = new Promise((done) => (go = done));
  const over = new Promise((done) => (end = done));
  const fits = (url) => url.pathname === path;
  const on = async (route) => {
    if (route.request().method() !== method) return route.fallback();
    const lost = await held;
    // Whoever asked may have left.
    await (lost ? route.abort() : route.continue()).catch(() => {});
    end();
  };
  await page.route(fits, on);
  return async (lost) => {
    go(lost);
    await over;
    await page.unroute(fits, on);
  };
}

/** Follows a link of the rail, which a narrow window hides. */
const follow = (page, href) => page.evaluate((href) => document.querySelector(`.rail a.item[href="${href}"]`).click(), href);

/** Notes in the page how far things move, and how long after a question a placeholder is there. */
function noteWaits() {
  window.shifted = 0;
  window.waited = [];
  let asked = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((one) => (window.shifted += one.hadRecentInput ? 0 : one.value))).observe({ type: "layout-shift", buffered: true });
  document.addEventListener("htmx:before:request", () => (asked = performance.now()));
  const added = (records) => records.flatMap((record) => [...record.addedNodes]).filter((node) => node.classList?.contains("ghost"));
  new MutationObserver((records) => added(records).forEach(() => window.waited.push(performance.now() - asked))).observe(document, { childList: true, subtree: true });
}

export const QUALITY_FLOWS = {
  async "A first load, scripts and charts included, takes less than 100 KB"({ watched, gateway }) {
    const signedIn = await watched.signedIn();
    const cookies = await signedIn.context().cookies();
    await signedIn.context().close();
    for (const at of FIRST) {
      const page = await watched.page();
      if (at !== "/signin") await page.context().addCookies(cookies);
      const session = await page.context().newCDPSession(page);
      await session.send("Network.enable");
      let bytes = 0;
      session.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
      await page.goto(gateway.url + at, { waitUntil: "networkidle" });
      if (await page.locator("figure[data-chart]").count()) await page.locator("figure[data-chart] canvas").first().waitFor();
      console.log(`      a first load of ${at}: ${(bytes / 1024).toFixed(1)} KB`);
      assert.ok(bytes > 10_000 && bytes < FIRST_LOAD, `${at}: ${bytes} bytes`);
      await page.context().close();
    }
  },

  async "Charts of a page that is left before they are drawn break nothing, and those that follow are drawn"({ watched }) {
    const page = await watched.page();
    let go;
    const held = new Promise((done) => (go = done));
    await page.route("**/chart.js", async (route) => {
      await held;
      await route.continue();
    });
    await watched.signIn(page);
    await page.locator("figure[data-chart]").first().waitFor();
    await page.click("nav[aria-label=Main] >> text=Workspaces");
    await page.locator("h1", { hasText: "Workspaces" }).waitFor();
    const came = page.waitForEvent("requestfinished", (request) => request.url().endsWith("/uplot.js"));
    go();
    await came;
    await page.click("nav[aria-label=Main] >> text=Overview");
    await page.locator("figure[data-chart] canvas").first().waitFor();
    await page.context().close();
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

  async "What is slow shows a placeholder after a moment, nothing moves, and whatever ends the wait takes it away"({ watched, gateway, looks }) {
    for (const look of looks) {
      const page = await watched.signedIn({ ...look, reducedMotion: "reduce" });
      const [main, ghost] = [page.locator("main"), page.locator("main .ghost")];
      const gone = async (what) => {
        await ghost.waitFor({ state: "detached" });
        assert.equal(await main.getAttribute("aria-busy"), null, what);
        assert.equal(await page.locator("main > [inert]").count(), 0, what);
      };
      // What was noted on this document, before the next one.
      const noted = async () => {
        const { shifted, waited } = await page.evaluate(() => ({ shifted: window.shifted, waited: window.waited }));
        assert.ok(shifted < SHIFT, `${page.url()} at ${look.viewport.width} px: moved by ${shifted}`);
        assert.ok(waited.length > 0 && waited.every((after) => after >= PATIENCE), `${page.url()}: placeholders after ${waited}`);
      };
      await page.addInitScript(noteWaits);
      await page.goto(`${gateway.url}/workspaces/engineering/connect`);

      // A page: covered, and still what it was below.
      let go = await hold(page, "/team");
      await follow(page, "/team");
      await ghost.waitFor();
      assert.equal(await main.getAttribute("aria-busy"), "true");
      assert.ok((await page.locator("main > [inert]").count()) > 0, "nothing that is covered can be reached");
      assert.equal(await page.evaluate(() => document.getAnimations().length), 0, "no motion for who wants none");
      await go();
      await page.locator("h1", { hasText: "Team" }).waitFor();
      await gone("answered");
      await noted();

      // A tab: head and tabs stay where they are.
      await page.goto(`${gateway.url}/workspaces/engineering/connect`);
      const tabs = page.locator("nav[aria-label=engineering]");
      const stood = await tabs.boundingBox();
      go = await hold(page, "/workspaces/engineering/members");
      await tabs.locator("text=Members").click();
      await ghost.waitFor();
      assert.deepEqual(await tabs.boundingBox(), stood);
      const [below, cover] = [stood.y + stood.height, (await ghost.boundingBox()).y];
      assert.ok(Math.abs(cover - below) <= 1, `${cover}: it begins below the tabs at ${below}`);
      // Given up: the page is as it was, the focus where it was, and a late answer changes nothing.
      await page.keyboard.press("Escape");
      await gone("given up");
      assert.equal(await page.evaluate(() => document.activeElement.textContent), "Members");
      await go();
      await page.locator("h2", { hasText: "Connect an editor" }).waitFor();
      assert.equal(new URL(page.url()).pathname, "/workspaces/engineering/connect");

      // Another link instead: the one that was asked for last is shown.
      go = await hold(page, "/hub");
      await follow(page, "/hub");
      await ghost.waitFor();
      await follow(page, "/settings");
      await page.locator("h1", { hasText: "Settings" }).waitFor();
      await go();
      await gone("another page");
      await page.locator("h1", { hasText: "Settings" }).waitFor();

      // No answer: it says so.
      go = await hold(page, "/hub");
      await follow(page, "/hub");
      await ghost.waitFor();
      await go(true);
      await page.locator(".toast[role=alert]", { hasText: "did not answer" }).waitFor();
      await gone("failed");
      watched.wrong = watched.wrong.filter((one) => !/ERR_FAILED|Failed to fetch/.test(one));
      await noted();

      // What is asked of a server stands where it will be answered.
      await page.goto(`${gateway.url}/servers/fixture-mcp`);
      go = await hold(page, "/servers/fixture-mcp", "POST");
      await page.click("text=Test connection");
      await page.locator("#tested .ghost").waitFor();
      await go();
      await page.locator("#tested >> text=it answers").waitFor();
      await gone("tested");
      await noted();
      await page.goto(`${gateway.url}/playground?workspace=engineering&tool=fixture__echo`);
      const form = await page.locator("section[aria-labelledby=call]").boundingBox();
      go = await hold(page, "/playground", "POST");
      await page.fill("[name='arg.message']", "slowly");
      await page.click("button:has-text('Call tool')");
      await page.locator("#answers .ghost").waitFor();
      assert.equal((await page.locator("section[aria-labelledby=call]").boundingBox()).width, form.width);
      await go();
      await page.locator("#answers >> text=slowly").first().waitFor();
      await gone("called");
      assert.equal((await page.locator("section[aria-labelledby=call]").boundingBox()).width, form.width);

      await noted();
      await page.context().close();
    }
  },

  async "A page that comes at once shows no placeholder"({ watched, gateway }) {
    const page = await watched.signedIn({ reducedMotion: "reduce" });
    await page.addInitScript(noteWaits);
    await page.goto(`${gateway.url}/overview`);
    // The answers are there before they are asked for: what is measured is the dashboard, not the machine.
    const there = {};
    for (const at of ["/team", "/hub", "/settings", "/workspaces"]) there[at] = await (await page.request.get(gateway.url + at)).text();
    await page.route((url) => url.pathname in there, (route) => route.fulfill({ contentType: "text/html; charset=utf-8", body: there[new URL(route.request().url()).pathname] }));
    let quick = 0;
    for (const at of [...Object.keys(there), ...Object.keys(there)]) {
      const [took, waited] = await page.evaluate(async (at) => {
        const settled = new Promise((done) => document.addEventListener("htmx:after:settle", done, { once: true }));
        const [began, before] = [performance.now(), window.waited.length];
        document.querySelector(`.rail a.item[href="${at}"]`).click();
        await settled;
        return [performance.now() - began, window.waited.length - before];
      }, at);
      if (took >= PATIENCE) continue;
      quick += 1;
      assert.equal(waited, 0, `${at} took ${took} ms`);
    }
    assert.ok(quick > 0, "some page came at once");
    await page.context().close();
  },

  async "Tables are sorted by their heads and gone through by keys, and their heads stay in sight"({ watched, gateway }) {
    const page = await watched.signedIn();
    await page.goto(`${gateway.url}/servers`);
    const names = () => page.locator("main td.first a.name").allTextContents();
    const before = [...(await names())].sort();
    assert.ok(before.length > 1);
    const head = page.locator("th", { hasText: /^Server$/ });
    await head.locator("button").click();
    assert.equal(await head.getAttribute("aria-sort"), "ascending");
    assert.deepEqual(await names(), before);
    await head.locator("button").click();
    assert.equal(await head.getAttribute("aria-sort"), "descending");
    assert.deepEqual(await names(), before.reverse());
    const focused = () => page.evaluate(() => document.activeElement.textContent);
    for (const [key, row] of [["j", 0], ["j", 1], ["k", 0], ["ArrowDown", 1]]) {
      await page.keyboard.press(key);
      assert.equal(await focused(), before[row], key);
    }
    await page.keyboard.press("Enter");
    await page.locator("h1", { hasText: before[1] }).waitFor();
    // Pages of a longer list are in the order that the gateway gave them.
    await page.goto(`${gateway.url}/audit`);
    await page.locator("main tbody tr").first().waitFor();
    assert.equal(await page.locator("main th button").count(), (await page.locator(".more").count()) ? 0 : await page.locator("main th").count());
    await page.goto(`${gateway.url}/workspaces/engineering/tokens?show=all`);
    await page.setViewportSize({ width: 1440, height: 200 });
    await page.locator(".rows.fits").waitFor();
    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    await page.waitForFunction(() => Math.abs(document.querySelector("main thead th").getBoundingClientRect().top - 48) < 1);
    await page.context().close();
  },

  async "A finger finds what it wants: what is touched is 44 px high"({ watched, gateway, looks }) {
    const page = await watched.signedIn(looks[1]);
    for (const at of SHIFTING) {
      await page.goto(gateway.url + at, { waitUntil: "load" });
      if (await page.locator("figure[data-chart]").count()) await page.locator("figure[data-chart] canvas").first().waitFor();
      // Rows lead by their name, a switch by more than what is seen of it, and heads of tables are only read there.
      const small = await page.evaluate(() =>
        [...document.querySelectorAll("button:not(.toggle, .plain-button, [tabindex='-1']), select, summary, input:not([type=hidden], [type=radio], [type=checkbox]), a.btn, a.twin, a.glyph, .tabs > a, .tray > a, .tray > label, .menu a, a.item")]
          .filter((one) => one.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true }) && one.getBoundingClientRect().height < 43.5)
          .map((one) => `${one.outerHTML.slice(0, 80)}: ${one.getBoundingClientRect().height}`),
      );
      assert.deepEqual(small, [], at);
    }
    await page.context().close();
  },

  async "Every chart has a table with its numbers"({ watched, gateway }) {
    const page = await watched.signedIn();
    for (const at of ["/overview", "/analytics", "/workspaces/engineering/analytics"]) {
      await page.goto(gateway.url + at);
      const figures = page.locator("figure[data-chart]");
      assert.ok((await figures.count()) > 0, at);
      for (const figure of await figures.all()) {
        await figure.locator("canvas").waitFor();
        await figure.locator("summary, a.twin", { hasText: "As a table" }).click();
        const kind = await figure.getAttribute("data-chart");
        const table = page.locator(`#${await figure.getAttribute("data-table")} table`);
        await table.locator("tbody tr").first().waitFor();
        const column = await table.locator(`th[data-of=${kind}]`).first().evaluate((head) => head.cellIndex);
        assert.match(await table.locator("tbody tr").first().locator("td, th").nth(column).textContent(), /^[<\d]/, `${at}: ${kind}`);
        await page.evaluate(() => document.querySelectorAll("figure details").forEach((one) => (one.open = false)));
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
