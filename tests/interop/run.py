#!/usr/bin/env python3
"""Real MCP clients call the tools of real MCP servers through the gateway.

Starts the servers and `aerostack serve` on loopback, sets the workspace up with the CLI as a person would, runs every
client on every path, prints a table and `N passed, M failed`. Ends everything that it started.

  tests/interop/run.py                          builds what it needs, runs all
  tests/interop/run.py --direct                 the clients against the servers, without a gateway (checks the checks)
  tests/interop/run.py --only 'py2.*sse'        a part of it
  tests/interop/run.py --bin target/release/aerostack --examples target/debug/examples

Standard library only. Node and Python packages are installed beside this file, from the lock files here.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CLIENT_SECONDS = 90
TOTAL_SECONDS = 900
CANARY = "canary-" + hashlib.sha256(os.urandom(16)).hexdigest()

started: list[subprocess.Popen] = []
lock = threading.Lock()


def spawn(command, env=None, log=None, **more) -> subprocess.Popen:
    """A child in its own process group, so that its whole tree can be ended."""
    out = open(log, "ab") if log else subprocess.DEVNULL
    with lock:
        child = subprocess.Popen(
            [str(part) for part in command], env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
            stdout=more.pop("stdout", out), stderr=more.pop("stderr", out), start_new_session=True, **more)
        started.append(child)
    return child


def end(child: subprocess.Popen, grace: float = 5) -> None:
    for sign, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, 5)):
        try:
            os.killpg(child.pid, sign)
        except ProcessLookupError:
            pass
        try:
            child.wait(wait)
        except subprocess.TimeoutExpired:
            continue
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def end_all() -> None:
    for child in reversed(started):
        end(child)


def stop(why: str) -> None:
    print(f"stopped: {why}", file=sys.stderr)
    sys.exit(1)


def free_port(pair: bool = False) -> int:
    """A free loopback port; with `pair`, the next one is free too (the operations listener)."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                if pair:
                    second.bind(("127.0.0.1", port + 1))
                return port
            except (OSError, OverflowError):
                continue
    raise RuntimeError("no free port")


def wait_for(port: int, what: str, child: subprocess.Popen, log: Path, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if child.poll() is not None:
            stop(f"{what} ended by itself ({child.returncode}):\n{log.read_text(errors='replace')[-3000:]}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
            return
        except OSError:
            time.sleep(0.05)
    stop(f"{what} does not listen:\n{log.read_text(errors='replace')[-3000:]}")


# --- what it runs with ---------------------------------------------------------------------------------------------


def run(command, **more) -> None:
    if subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, **more).returncode != 0:
        stop(f"failed: {' '.join(str(part) for part in command)}")


def stamp(folder: Path, *sources: Path) -> tuple[Path, str]:
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    return folder / ".installed", digest


def install_node(folder: Path) -> Path:
    """The npm packages of the lock file in `folder`; returns the Node to use (22 or newer)."""
    modules = folder / "node_modules"
    mark, digest = stamp(modules, folder / "package.json", folder / "package-lock.json")
    if not mark.exists() or mark.read_text() != digest:
        if not shutil.which("npm"):
            stop("npm is needed (any Node that has it): what is tested with comes from its registry")
        run(["npm", "ci", "--silent"], cwd=folder)
        mark.write_text(digest)
    for node in (shutil.which("node"), modules / ".bin/node"):
        if node and Path(node).exists():
            version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
            if (match := re.match(r"v(\d+)\.", version)) and int(match[1]) >= 22:
                return Path(node)
    return stop("no Node 22 or newer, though the package `node` should have brought one")


def install() -> Path:
    """Packages of the lock files; returns the Node to use."""
    for name in ("py1", "py2"):
        venv, wanted = HERE / f".venv-{name}", HERE / f"requirements-{name}.txt"
        mark, digest = stamp(venv, wanted)
        if not mark.exists() or mark.read_text() != digest:
            shutil.rmtree(venv, ignore_errors=True)
            run([sys.executable, "-m", "venv", venv])
            run([venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted])
            mark.write_text(digest)
    return install_node(HERE)


def build(args) -> None:
    """What was not given is built as `cargo test` leaves it."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    if not args.examples:
        run(["cargo", "build", "--quiet", "--examples"], cwd=ROOT)
        args.examples = target / "debug/examples"
    if not args.bin and not args.direct:
        run(["cargo", "build", "--quiet"], cwd=ROOT)
        args.bin = target / "debug/aerostack"
    args.examples = Path(args.examples).resolve()
    args.bin = args.bin and Path(args.bin).resolve()


# --- the servers ---------------------------------------------------------------------------------------------------


def step(tool, expect, progress=0, refuse=None, **arguments) -> dict:
    found = {"tool": tool, "arguments": arguments, "expect": expect}
    return {**found, **({"progress": progress} if progress else {}), **({"refuse": refuse} if refuse else {})}


EVERYTHING = [
    step("echo", "Echo: grüß dich ✓", message="grüß dich ✓"),
    step("get-sum", "5", a=2, b=3),
    # Its last notification leaves together with the answer, and the TypeScript SDK may handle the answer first.
    step("trigger-long-running-operation", "Long running operation completed", progress=2, duration=0.3, steps=3),
]
EVERYTHING_SSE = [step("echo", "Echo: over sse", message="over sse")]
MODERN = [step("greet", "Hello, Ada", name="Ada"), step("count", "counted to 3", progress=3, steps=3)]
RUST = [step("echo", "hello rust", message="hello rust"), step("add", "42", a=40, b=2),
        step("slow", "done after 4 steps", progress=4, seconds=0.4, steps=4)]
# The hash proves that the header arrived; the value itself must not come back.
SECRET = [step("whoami-headers", hashlib.sha256(f"Bearer {CANARY}".encode()).hexdigest(), refuse=CANARY)]
NO_SECRET = [step("whoami-headers", "mcp-protocol-version", refuse='"authorization"')]


class Server:
    """One MCP server: how it is started, and the calls that prove it."""

    def __init__(self, slug, prefix, steps, eras, direct="http", through=()):
        self.slug, self.prefix, self.steps, self.eras, self.direct = slug, prefix, steps, eras, direct
        self.through = list(through)
        self.url = ""

    def plan(self) -> list[dict]:
        return [{**s, "tool": f"{self.prefix}__{s['tool']}"} for s in self.steps + self.through]


def servers() -> list[Server]:
    return [
        Server("everything", "everything", EVERYTHING, {"legacy", "auto"}),
        Server("everything-sse", "everything_sse", EVERYTHING_SSE, {"legacy"}, direct="sse"),
        Server("modern-mcp", "modern", MODERN, {"modern", "auto"}),
        Server("rust-mcp", "rust", RUST, {"legacy", "modern", "auto"}, through=SECRET),
        Server("rust-legacy", "rust_legacy", RUST[:1], {"legacy", "auto"}, through=NO_SECRET),
        Server("rust-modern", "rust_modern", RUST[1:], {"modern", "auto"}, through=NO_SECRET),
    ]


def start_servers(all_servers: list[Server], node: Path, examples: Path, work: Path) -> None:
    everything = HERE / "node_modules/@modelcontextprotocol/server-everything/dist/index.js"
    pinned = {"rust-mcp": [], "rust-legacy": ["--legacy-only"], "rust-modern": ["--modern-only"]}
    waiting = []
    for server in all_servers:
        port, log = free_port(), work / f"{server.slug}.log"
        path, env = "/mcp", {"PORT": str(port)}
        if server.slug.startswith("everything"):
            path = "/sse" if server.direct == "sse" else "/mcp"
            mode = "sse" if server.direct == "sse" else "streamableHttp"
            command = [node, "--import", HERE / "loopback.mjs", everything, mode]
        elif server.slug == "modern-mcp":
            command = [node, HERE / "modern.mjs"]
        else:
            command = [examples / "mcp_fixture", "--listen", f"127.0.0.1:{port}", *pinned[server.slug]]
        server.url = f"http://127.0.0.1:{port}{path}"
        waiting.append((port, server.slug, spawn(command, env, log), log))
    for port, slug, child, log in waiting:
        wait_for(port, slug, child, log)


# --- the gateway ---------------------------------------------------------------------------------------------------


class Gateway:
    """`aerostack serve` with a folder of its own, and its CLI."""

    def __init__(self, binary: Path, work: Path):
        self.binary, self.work, self.log = binary, work, work / "gateway.log"
        self.port = free_port(pair=True)
        self.base = f"http://127.0.0.1:{self.port}"
        clean = {k: "" for k in os.environ if k.startswith("AEROSTACK_")}
        self.env = {"AEROSTACK_CONFIG_DIR": str(work / "config"), "NO_COLOR": "1"}
        for name in clean:
            os.environ.pop(name)
        serve = [binary, "serve", "--bind", f"127.0.0.1:{self.port}", "--data-dir", work / "data"]
        self.child = spawn(serve, self.env, self.log)
        wait_for(self.port, "aerostack serve", self.child, self.log, 60)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                if urllib.request.urlopen(self.base + "/readyz", timeout=2).status == 200:
                    return
            except OSError:
                time.sleep(0.1)
        stop(f"/readyz does not become 200:\n{self.log.read_text(errors='replace')[-3000:]}")

    def cli(self, *words: str) -> str:
        """One command as a person types it; it must succeed."""
        done = subprocess.run([str(self.binary), *words], env={**os.environ, **self.env}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            shown = ["…" if CANARY in word else word for word in words]
            stop(f"aerostack {' '.join(shown)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def set_up(self, all_servers: list[Server]) -> None:
        self.cli("workspace", "create", "x")
        for server in all_servers:
            self.cli("mcp", "add", server.slug, "--url", server.url)
            self.cli("mcp", "install", server.slug, "--workspace", "x")
        self.cli("secrets", "set", "rust-mcp", "API_TOKEN", CANARY)
        self.cli("secrets", "inject", "rust-mcp", "API_TOKEN", "--bearer")

    def leaks(self, tokens: list[str]) -> list[str]:
        """Files of the gateway in which a secret or a token stands in clear."""
        needles = {"the secret": CANARY.encode(), **{f"token {t[:8]}…": t.encode() for t in tokens}}
        found = []
        for file in [*(self.work / "data").rglob("*"), self.log]:
            content = file.read_bytes() if file.is_file() else b""
            found += [f"{what} in {file.name}" for what, needle in needles.items() if needle in content]
        return found


# --- the clients ---------------------------------------------------------------------------------------------------

HTTP_PATHS = ("/ws/x", "/ws/x/sse", "/ws/x/mcp")
SSE_PATHS = ("/ws/x/sse", "/ws/x")

# client, transport, era
CLIENTS = [
    ("ts1", "http", "legacy"), ("ts1", "sse", "legacy"),
    ("ts2", "http", "legacy"), ("ts2", "http", "modern"), ("ts2", "http", "auto"), ("ts2", "sse", "legacy"),
    ("py1", "http", "legacy"), ("py1", "sse", "legacy"),
    ("py2", "http", "legacy"), ("py2", "http", "modern"), ("py2", "http", "auto"), ("py2", "sse", "legacy"),
    ("rmcp", "http", "legacy"), ("rmcp", "http", "modern"), ("rmcp", "http", "auto"),
    ("mcp-remote", "http", "legacy"), ("mcp-remote", "http", "auto"), ("mcp-remote", "sse", "legacy"),
]


def command_of(client, transport, era, url, token, plan, node, examples, work):
    env = {"URL": url, "TOKEN": token, "TRANSPORT": transport, "ERA": era, "PLAN": json.dumps(plan)}
    if client == "rmcp":
        return [examples / "mcp_probe"], env
    if client.startswith("py"):
        return [HERE / f".venv-{client}/bin/python", HERE / f"{client}.py"], env
    if client.startswith("ts"):
        return [node, HERE / f"{client}.mjs"], env
    # The bridge of editors that only know stdio; the SDK 1.x drives its legacy side, 2.x the one that speaks both eras.
    bridge = [str(node), str(HERE / "node_modules/mcp-remote/dist/proxy.js"), url,
              "--transport", "sse-only" if transport == "sse" else "http-first"]
    if token:
        bridge += ["--header", "Authorization:${AUTH_HEADER}"]
    if era == "auto":
        bridge += ["--protocol", "auto"]
    env |= {"TRANSPORT": "stdio", "COMMAND": json.dumps(bridge), "AUTH_HEADER": f"Bearer {token}",
            "MCP_REMOTE_CONFIG_DIR": str(work / f"mcp-remote-{hashlib.sha256(url.encode()).hexdigest()[:8]}-{era}")}
    return [node, HERE / ("ts2.mjs" if era == "auto" else "ts1.mjs")], env


class Cell:
    """One client on one address."""

    def __init__(self, client, transport, era, where, url, plan):
        self.client, self.transport, self.era, self.where, self.url, self.plan = client, transport, era, where, url, plan
        self.ok, self.seconds, self.said = False, 0.0, "not run"
        self.revision = ""
        self.token = ""

    @property
    def name(self) -> str:
        return f"{self.client} {self.transport} {self.era} {self.where}"

    def run(self, node, examples, work, deadline) -> None:
        began = time.monotonic()
        if began > deadline:
            self.said = "no time left"
            return
        command, env = command_of(self.client, self.transport, self.era, self.url, self.token, self.plan,
                                  node, examples, work)
        child = spawn(command, env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, err = child.communicate(timeout=CLIENT_SECONDS)
        except subprocess.TimeoutExpired:
            end(child)
            out, err = child.communicate()
            err += f"\nno end after {CLIENT_SECONDS} s"
        end(child, 0.5)
        self.seconds = time.monotonic() - began
        line = next((line for line in reversed(out.splitlines()) if line.startswith("ok ")), "")
        self.ok = child.returncode == 0 and line.startswith(f"ok {self.revision}")
        self.said = line if self.ok else f"(wanted revision {self.revision or 'any'})\n{out}{err}".strip()[-3000:]
        print(f"{'ok  ' if self.ok else 'FAIL'} {self.name}", flush=True)


def direct_cells(all_servers: list[Server]) -> list[Cell]:
    cells = []
    for client, transport, era in CLIENTS:
        for server in all_servers:
            # rmcp 3.9 does not fall back when the answer to its probe names older revisions only.
            stuck = (client, era, server.slug) == ("rmcp", "auto", "rust-legacy")
            if server.direct == transport and era in server.eras and not stuck:
                cells.append(Cell(client, transport, era, server.slug, server.url, server.steps))
    return cells


def gateway_cells(all_servers: list[Server], base: str) -> list[Cell]:
    plan = [s for server in all_servers for s in server.plan()]
    cells = [Cell(client, transport, era, path, base + path, plan)
             for client, transport, era in CLIENTS
             for path in (SSE_PATHS if transport == "sse" else HTTP_PATHS)]
    for cell in cells:
        # Whoever can speak the newest revision must have been offered it. (The bridge hides what it negotiated.)
        if cell.client != "mcp-remote":
            cell.revision = "2025-" if cell.era == "legacy" else "2026-07-28"
    return cells


def report(cells: list[Cell]) -> int:
    print(f"\n{'CLIENT':<11} {'TRANSPORT':<9} {'ERA':<7} {'WHERE':<15} {'SECONDS':>7}  RESULT")
    for cell in cells:
        first = cell.said if cell.ok else "FAILED"
        print(f"{cell.client:<11} {cell.transport:<9} {cell.era:<7} {cell.where:<15} {cell.seconds:>7.1f}  {first}")
    failed = [cell for cell in cells if not cell.ok]
    for cell in failed:
        print(f"\n--- {cell.name}\n{cell.said}")
    return len(failed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", help="the aerostack binary (default: built here)")
    parser.add_argument("--examples", help="folder of mcp_fixture and mcp_probe (default: built here)")
    parser.add_argument("--direct", action="store_true", help="without a gateway")
    parser.add_argument("--only", default="", help="regular expression on 'client transport era where'")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and data")
    args = parser.parse_args()
    deadline = time.monotonic() + TOTAL_SECONDS
    node = install()
    build(args)
    work = Path(tempfile.mkdtemp(prefix="aerostack-interop-"))
    failed, gateway = 0, None
    try:
        all_servers = servers()
        start_servers(all_servers, node, args.examples, work)
        if args.direct:
            cells = direct_cells(all_servers)
        else:
            gateway = Gateway(args.bin, work)
            gateway.set_up(all_servers)
            cells = gateway_cells(all_servers, gateway.base)
        cells = [cell for cell in cells if re.search(args.only, cell.name)]
        if gateway:
            # One token per client, as people should: each has its own 120 requests a minute.
            for cell in cells:
                cell.token = gateway.cli("workspace", "token", "create", "x", "--name", cell.name, "--output", "token")
        with ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(lambda cell: cell.run(node, args.examples, work, deadline), cells))
        failed, passed = report(cells), sum(cell.ok for cell in cells)
        if gateway:
            leaks = gateway.leaks([cell.token for cell in cells])
            alive = gateway.child.poll() is None
            end(gateway.child, 40)
            for good, what in ((not leaks, f"secret or token in clear: {leaks}"), (alive, "the gateway died"),
                               (gateway.child.returncode == 0, f"it stopped with {gateway.child.returncode}")):
                passed, failed = passed + good, failed + (not good)
                if not good:
                    print(f"\n--- {what}")
            if failed:
                print(f"\n--- gateway log\n{gateway.log.read_text(errors='replace')[-4000:]}")
    finally:
        end_all()
        if args.keep:
            print(f"kept {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    print(f"\n{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    sys.exit(main())
