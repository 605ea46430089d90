// A gateway of its own for the browser tests: the real binary, a folder of its own, loopback only, an MCP server to call.

import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

export const PASSWORD = "violet tram sings";
/** Names that try everything: markup, marks that turn text around, control characters, no end. */
export const HOSTILE = `<img src=x onerror="window.broken=1">\u202Etxt.exe`;

/** Waits for a line of a child's output. */
function line(child, fits, what) {
  return new Promise((resolve, reject) => {
    let seen = "";
    const timer = setTimeout(() => reject(new Error(`no ${what} within 60 s: ${seen}`)), 60_000);
    child.on("exit", (code) => reject(new Error(`${what}: ended with ${code}: ${seen}`)));
    child.stdout.on("data", (data) => {
      seen += data;
      const found = seen.match(fits);
      if (found) {
        clearTimeout(timer);
        resolve(found);
      }
    });
  });
}

export class Gateway {
  static async start({ bin, examples }, environment = {}) {
    const gateway = new Gateway();
    gateway.folder = fs.mkdtempSync(path.join(os.tmpdir(), "aerostack-browser-"));
    gateway.bin = bin;
    gateway.environment = {
      PATH: process.env.PATH,
      HOME: gateway.folder,
      AEROSTACK_CONFIG_DIR: path.join(gateway.folder, "config"),
      AEROSTACK_SERVER_NAMESPACE: "acme",
      AEROSTACK_LIMITS_ADMIN_REQUESTS_PER_MINUTE: "100000",
      AEROSTACK_ANALYTICS_FLUSH_MS: "100",
      ...environment,
    };
    gateway.upstream = spawn(path.join(examples, "mcp_fixture"), [], { stdio: ["ignore", "pipe", "inherit"] });
    [, gateway.upstreamUrl] = await line(gateway.upstream, /listening on (\S+)/, "MCP server");
    const data = path.join(gateway.folder, "data");
    gateway.logFile = path.join(gateway.folder, "log");
    gateway.log = fs.openSync(gateway.logFile, "w");
    const options = { env: gateway.environment, stdio: ["ignore", "pipe", gateway.log] };
    const serve = ["serve", "--bind", "127.0.0.1:0", "--ops-bind", "127.0.0.1:0", "--data-dir", data];
    gateway.process = spawn(bin, serve, options);
    [, gateway.url] = await line(gateway.process, /Gateway\s+(http:\/\/\S+)\/ws\/<workspace>/, "gateway");
    return gateway;
  }

  /** What it has logged so far. */
  logged() {
    return fs.readFileSync(this.logFile, "utf8");
  }

  /** Runs a command of the owner's; fails loudly. */
  run(args, input = "") {
    const done = spawnSync(this.bin, args, { env: this.environment, input, encoding: "utf8" });
    if (done.status !== 0) throw new Error(`aerostack ${args.join(" ")}: ${done.stdout}${done.stderr}`);
    return done.stdout;
  }

  /** What a team has after a morning: a server, two workspaces, tokens, a secret, calls. */
  async furnish() {
    this.run(["account", "password", "--password-stdin"], `${PASSWORD}\n`);
    this.run(["mcp", "add", "fixture-mcp", "--url", this.upstreamUrl]);
    this.run(["mcp", "add", "down-mcp", "--url", "http://127.0.0.1:9/mcp"]);
    this.run(["workspace", "create", "engineering"]);
    this.run(["workspace", "create", "support"]);
    this.run(["mcp", "install", "fixture-mcp", "--workspace", "engineering"]);
    this.alice = this.run(["workspace", "token", "create", "engineering", "--name", "Alice Chen", "--output", "token"]).trim();
    this.run(["workspace", "token", "create", "engineering", "--name", "CI Pipeline", "--expires-in", "86400"]);
    this.run(["workspace", "token", "create", "engineering", "--name", HOSTILE.replace("\u202E", " ")]);
    for (let n = 0; n < 3; n++) await this.call(this.alice, "fixture__echo", { message: "hello" });
  }

  /** One request to the gateway, as an editor makes it; gives the status. */
  async rpc(token, method, params = {}, workspace = "engineering") {
    const meta = {
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientInfo": { name: "Cursor", version: "2.4" },
      "io.modelcontextprotocol/clientCapabilities": {},
    };
    const headers = {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": method,
    };
    if (params.name) headers["mcp-name"] = params.name;
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { ...params, _meta: meta } });
    return fetch(`${this.url}/ws/${workspace}`, { method: "POST", headers, body });
  }

  async call(token, name, args, workspace) {
    return (await this.rpc(token, "tools/call", { name, arguments: args }, workspace)).status;
  }

  stop() {
    this.process?.removeAllListeners("exit");
    this.upstream?.removeAllListeners("exit");
    this.process?.kill("SIGTERM");
    this.upstream?.kill("SIGTERM");
  }
}
