// The pictures of the README: the dashboard of a small team, in both themes.
//
//   node pictures.mjs --bin target/release/aerostack --examples target/debug/examples --to ../../src/docs

import path from "node:path";
import { parseArgs } from "node:util";

import { chromium } from "playwright-core";

import { Gateway, PASSWORD } from "./gateway.mjs";

const { values: options } = parseArgs({
  options: {
    bin: { type: "string" },
    examples: { type: "string" },
    to: { type: "string", default: "../../src/docs" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
  },
});

/** A page, what to do on it, and the theme it is shown in. */
const PICTURES = {
  light: ["/playground?workspace=engineering&tool=fixture__echo", async (page) => {
    await page.fill("[name='arg.message']", "Release notes of 2.4, in one line");
    await page.click("button:has-text('Call tool')");
    await page.locator("#answer .state.run").waitFor();
  }],
  dark: ["/overview", async (page) => page.locator("figure[data-chart] canvas").first().waitFor()],
};

const gateway = await Gateway.start(options);
try {
  const people = ["Alice Chen", "Bob Singh", "Dana Ortiz", "CI Pipeline"];
  gateway.run(["account", "password", "--password-stdin"], `${PASSWORD}\n`);
  gateway.run(["mcp", "add", "fixture-mcp", "--url", gateway.upstreamUrl]);
  for (const slug of ["engineering", "support"]) {
    gateway.run(["workspace", "create", slug]);
    gateway.run(["mcp", "install", "fixture-mcp", "--workspace", slug]);
  }
  for (const [at, name] of people.entries()) {
    const token = gateway.run(["workspace", "token", "create", "engineering", "--name", name, "--output", "token"]).trim();
    for (let n = 0; n < 40 - 9 * at; n++) {
      const [tool, args] = n % 3 ? ["fixture__echo", { message: "hello" }] : ["fixture__add", { a: n, b: at }];
      await gateway.call(token, tool, args);
    }
  }
  const browser = await chromium.launch({ executablePath: options.chromium, args: ["--no-sandbox"] });
  for (const [colorScheme, [at, act]] of Object.entries(PICTURES)) {
    const context = await browser.newContext({ colorScheme, viewport: { width: 1200, height: 720 }, reducedMotion: "reduce" });
    const page = await context.newPage();
    await page.goto(`${gateway.url}/signin`);
    await page.fill("#username", "acme");
    await page.fill("#password", PASSWORD);
    await page.click("button:has-text('Sign in')");
    await page.waitForURL("**/overview");
    await page.goto(gateway.url + at);
    await act(page);
    await page.screenshot({ path: path.join(options.to, `dashboard-${colorScheme}.png`) });
    await context.close();
  }
  await browser.close();
} finally {
  gateway.stop();
}
process.exit(0);
