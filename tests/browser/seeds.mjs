// One flow for each sentence of the product documents about the dashboard that run.mjs has none for, each named after it.

import assert from "node:assert/strict";

import { AxeBuilder } from "@axe-core/playwright";

import { Gateway, PASSWORD } from "./gateway.mjs";

/** The cells of a table's head. */
const heads = (page, table) => page.locator(`${table} thead th`).allInnerTexts();

export const SEED_FLOWS = {
  async "Navigate to Workspaces > engineering > Analytics: volume, per user, per tool, error rates, latency percentiles"({ watched, gateway }) {
    const page = await watched.signedIn();
    await page.click("nav[aria-label=Main] >> text=Workspaces");
    await page.locator("h1", { hasText: "Workspaces" }).waitFor();
    await page.click("main >> text=engineering");
    await page.click("nav[aria-label=engineering] >> text=Analytics");
    await page.waitForURL("**/workspaces/engineering/analytics");
    for (const title of ["Call volume", "Latency percentiles", "Error rate", "Per user", "Per tool", "Busy hours"]) {
      await page.locator("main h2", { hasText: title }).waitFor();
    }
    for (const label of ["Tool calls", "Error rate", "p50", "p95", "p99"]) {
      await page.locator(".ledger .label", { hasText: label }).waitFor();
    }
    // A cell of the busy hours leads to its calls, and so does everything else that counts.
    const cell = page.locator("table.heat td a").first();
    const calls = Number(await cell.textContent());
    await cell.click();
    await page.waitForURL("**weekday=**hour=**");
    const filter = page.locator("a[aria-label='Without the filter hour']");
    await filter.waitFor();
    assert.equal(await page.locator("main tbody tr").count(), Math.min(calls, 100));
    await filter.click();
    await page.waitForURL((url) => !url.search.includes("weekday") && !url.search.includes("hour"));
    await page.context().close();
  },

  async "Analytics of all workspaces together, told apart by workspace"({ watched, gateway }) {
    const page = await watched.signedIn();
    await page.click("nav[aria-label=Main] >> text=Analytics");
    await page.locator("section[aria-labelledby=by-workspace] >> text=engineering").first().waitFor();
    await page.click("nav[aria-label='Stacked by'] >> text=Workspace");
    await page.waitForURL("**/analytics?by=workspace**");
    await page.locator("figure[data-chart=bars] canvas").waitFor();
    await page.click("section[aria-labelledby=by-workspace] td.first a:has-text('engineering')");
    await page.waitForURL("**/calls?workspace=engineering**");
    await page.locator("code", { hasText: "fixture__echo" }).first().waitFor();
    await page.context().close();
  },

  async "A single point of a chart is seen"({ watched, gateway }) {
    const page = await watched.signedIn();
    gateway.run(["workspace", "create", "one-point"]);
    gateway.run(["mcp", "install", "fixture-mcp", "--workspace", "one-point"]);
    const token = gateway.run(["workspace", "token", "create", "one-point", "--name", "Only One", "--output", "token"]).trim();
    assert.equal(await gateway.call(token, "fixture__echo", { message: "x" }, "one-point"), 200);
    const latency = page.locator("section[aria-labelledby=latency] canvas");
    const until = Date.now() + 20_000;
    do {
      assert.ok(Date.now() < until, "the call is counted");
      await page.goto(`${gateway.url}/workspaces/one-point/analytics?period=90d`);
    } while (!(await latency.count()));
    // Lines of the grid and words are grey; what is drawn of the figures is not.
    const coloured = () =>
      latency.evaluate((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let found = 0;
        for (let at = 0; at < data.length; at += 4) {
          const [red, green, blue, alpha] = data.subarray(at, at + 4);
          if (alpha > 128 && Math.max(red, green, blue) - Math.min(red, green, blue) > 60) found += 1;
        }
        return found;
      });
    await page.waitForFunction(() => document.querySelector("section[aria-labelledby=latency] .uplot"));
    assert.ok((await coloured()) > 0, "a dot is drawn");
    await page.context().close();
  },

  async "Workspace Audit: who installed what, and who called what"({ watched, gateway }) {
    const page = await watched.signedIn();
    await page.click("nav[aria-label=Main] >> text=Workspaces");
    await page.locator("h1", { hasText: "Workspaces" }).waitFor();
    await page.click("main >> text=engineering");
    await page.click("nav[aria-label=engineering] >> text=Workspace Audit");
    await page.waitForURL("**/workspaces/engineering/audit");
    await page.locator("tr", { hasText: "fixture__echo" }).filter({ hasText: "Alice Chen" }).first().waitFor();
    const kinds = page.locator("nav[aria-label='Kind of act'] a");
    for (const word of await kinds.allInnerTexts()) {
      await kinds.filter({ hasText: word }).first().click();
      await page.locator("nav[aria-label='Kind of act'] [aria-current]", { hasText: word }).waitFor();
    }
    await page.goto(`${gateway.url}/workspaces/engineering/audit?kind=admin`);
    const act = page.locator("tr", { hasText: "fixture-mcp" }).first();
    await act.waitFor();
    // An act opens with everything that is known of it, at an address of its own.
    await act.locator("td a").click();
    await page.waitForURL("**/audit?kind=admin&entry=**");
    const dialog = page.locator("dialog#act[open]");
    for (const word of ["Who", "When", "From", "Request", "Entry"]) await dialog.locator("dt", { hasText: word }).first().waitFor();
    await dialog.locator("dd", { hasText: "127.0.0.1" }).waitFor();
    await page.evaluate(() => Promise.allSettled(document.getAnimations().map((animation) => animation.finished)));
    const { violations } = await new AxeBuilder({ page }).analyze();
    assert.deepEqual(violations.map((one) => one.id), []);
    await dialog.locator("footer >> text=Done").click();
    await dialog.waitFor({ state: "hidden" });
    await page.context().close();
  },

  async "Each token shows its name, status, creation date, expiration date and when it was last used; the mcp_json block is ready to paste"({ watched, gateway }) {
    const page = await watched.signedIn();
    await page.goto(`${gateway.url}/workspaces/engineering/tokens`);
    const words = (await heads(page, "#tokens table")).map((word) => word.toLowerCase());
    for (const word of ["name", "status", "created", "expires", "last used"]) assert.ok(words.includes(word), `${word}: ${words}`);
    await page.click("main a:has-text('New Token')");
    await page.fill("#token-name", "Production Bot");
    await page.locator("dialog#new-token input[name=expires_in][value='86400']").check();
    await page.click("text=Create token");
    const dialog = page.locator("#reveal");
    await dialog.waitFor();
    const raw = (await page.textContent("#raw")).trim();
    const blocks = (await dialog.locator("pre code").allTextContents()).map((text) => text.trim());
    const block = blocks.find((text) => text.includes('"mcpServers"'));
    const { mcpServers } = JSON.parse(block);
    assert.equal(mcpServers.engineering.headers.Authorization, `Bearer ${raw}`);
    assert.ok(mcpServers.engineering.url.startsWith(`${gateway.url}/ws/engineering`));
    await dialog.locator("text=I have copied it").click();
    const row = page.locator("tr", { hasText: "Production Bot" });
    await row.waitFor();
    assert.doesNotMatch(await row.locator("td").nth(words.indexOf("expires")).innerText(), /never/);
    await page.context().close();
  },

  async "What a member sees: the gateway URL, their own token once, their own calls; no secret, nobody else's analytics"({ watched, gateway }) {
    const said = JSON.parse(gateway.run(["team", "invite", "nora@example.com", "--role", "member", "--workspace", "engineering", "--output", "json"]));
    const page = await watched.page();
    await page.goto(said.link ?? said.url);
    await page.fill("#username", "nora");
    await page.fill("#password", PASSWORD);
    await page.click("button:has-text('Join')");
    await page.locator("text=You are in").waitFor();
    const raw = (await page.textContent("main")).match(/mwt_[A-Za-z0-9]{36}/)[0];
    assert.equal(await gateway.call(raw, "fixture__echo", { message: "mine" }), 200);
    await page.goto(`${gateway.url}/workspaces/engineering/connect`);
    await page.locator("code", { hasText: `${gateway.url}/ws/engineering` }).first().waitFor();
    assert.ok(!(await page.content()).includes(raw), "shown once");
    const until = Date.now() + 20_000;
    do {
      assert.ok(Date.now() < until, "their call is counted");
      await page.goto(`${gateway.url}/analytics`);
    } while (!(await page.locator("section[aria-labelledby=by-user]").count()));
    for (const at of ["/analytics", "/calls", "/workspaces/engineering/analytics", "/workspaces/engineering/calls"]) {
      await page.goto(gateway.url + at);
      const text = await page.textContent("main");
      assert.ok(text.includes("fixture__echo") && !text.includes("Alice Chen"), at);
    }
    await page.goto(`${gateway.url}/servers/fixture-mcp`);
    assert.equal(await page.locator("nav[aria-label=fixture-mcp] >> text=Secrets").count(), 0);
    assert.equal((await page.request.get(`${gateway.url}/servers/fixture-mcp/secrets`)).status(), 403);
    await page.context().close();
  },

  async "A token with thousands of calls overnight is flagged on Overview, and leads to them"({ watched, options }) {
    const busy = await Gateway.start(options, { AEROSTACK_ANALYTICS_UNUSUAL_CALLS: "1", AEROSTACK_ANALYTICS_UNUSUAL_NEW_CALLS: "2" });
    try {
      await busy.furnish();
      const page = await new watched.constructor(watched.browser, busy).signedIn();
      const until = Date.now() + 20_000;
      while (!(await page.locator("text=Alice Chen is unlike itself").count())) {
        assert.ok(Date.now() < until, "it is flagged");
        await page.reload();
      }
      await page.locator("li", { hasText: "Alice Chen is unlike itself" }).locator("text=Look").click();
      await page.waitForURL("**/calls?user=Alice**");
      await page.locator("code", { hasText: "fixture__echo" }).first().waitFor();
      await page.context().close();
    } finally {
      busy.stop();
    }
  },

  async "A server moves: the page says what happens to its secrets, and does it when it is told"({ watched, gateway }) {
    gateway.run(["mcp", "add", "moving-mcp", "--url", "http://127.0.0.1:9/mcp"]);
    gateway.run(["secrets", "set", "moving-mcp", "API_KEY", "-"], "a-value-of-the-old-place\n");
    const page = await watched.signedIn();
    await page.goto(`${gateway.url}/servers/moving-mcp/settings`);
    await page.fill("#url", "http://127.0.0.1:10/mcp");
    await page.click("section:has(#definition) button:has-text('Save')");
    const dialog = page.locator("dialog#move[open]");
    await dialog.locator("text=API_KEY").waitFor();
    await dialog.locator("text=Keep it where it is").click();
    await page.goto(`${gateway.url}/servers/moving-mcp/settings`);
    assert.equal(await page.inputValue("#url"), "http://127.0.0.1:9/mcp");
    await page.fill("#url", "http://127.0.0.1:10/mcp");
    await page.click("section:has(#definition) button:has-text('Save')");
    await dialog.locator("button:has-text('Move moving-mcp')").click();
    await page.locator(".toast >> text=moving-mcp is saved").waitFor();
    assert.equal(await page.inputValue("#url"), "http://127.0.0.1:10/mcp");
    await page.click("nav[aria-label=moving-mcp] >> text=Secrets");
    await page.locator("tr", { hasText: "API_KEY" }).locator("text=set it again").waitFor();
    await page.context().close();
  },
};
