#!/usr/bin/env python3
"""The official MCP conformance suite, through the gateway.

Starts `mcp_conformance` three times (every revision, older ones only, 2026-07-28 only) and `aerostack serve` on
loopback, installs each with the empty prefix in a workspace of its own, and runs the suite's frozen sets, its unscored
scenarios included. A set against a server of the other era tests the bridge. Whatever a check says is read from the
`checks.json` files; no failure is expected, and none is forgiven.

  tests/conformance/run.py                        builds what it needs, runs all
  tests/conformance/run.py --direct               the suite against the server, without a gateway (checks the server)
  tests/conformance/run.py --only 'both.*tasks-'  scenarios whose line 'REVISION SERVER SCENARIO' matches, one by one
  tests/conformance/run.py --list-failures        what each failed check wanted and got, and the requests it made
  tests/conformance/run.py --bin target/release/aerostack --examples target/debug/examples

Standard library only. The suite is installed beside this file, from the lock file here.
"""

import argparse
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
_spec = importlib.util.spec_from_file_location("interop", HERE.parent / "interop/run.py")
interop = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(interop)

SUITE = HERE / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
SCENARIO_SECONDS = 30
SET_SECONDS = 900

# workspace and slug of its server: what the server is pinned to
SERVERS = {"both": [], "modern": ["--modern-only"], "legacy": ["--legacy-only"]}

# A scenario that a server of the other era cannot have, and why: it is run nowhere else than on its own era.
ELSEWHERE = {
    ("2025-11-25", "modern"): {},
    ("2026-07-28", "legacy"): {
        r"tasks-.*": "the tasks extension has no counterpart in a server of 2025-11-25",
        # Older servers ask with requests, one after the other. A request has no name, so the gateway makes one.
        r"input-required-result-(basic-elicitation|ignore-extra-params)": "looks for the name that the server gave",
        r"input-required-result-multiple-input-requests": "wants three questions at once",
    },
}

# A scenario without a single passed check is suspicious, except where the suite itself has nothing to check yet.
EMPTY = {"tasks-status-notifications"}


def scenarios(node: Path, revision: str) -> list[str]:
    """Server scenarios of a frozen set, with those that run but are not scored."""
    done = subprocess.run([str(node), str(SUITE), "list", "--requirements", revision], capture_output=True, text=True)
    names, server = [], False
    for line in done.stdout.splitlines():
        if line and not line.startswith(" "):
            server = line.startswith("Server scenarios")
        elif match := re.match(r"\s+- (\S+)( \[server\])?$", line):
            if server or match[2]:
                names.append(match[1])
    return names or interop.stop(f"the suite lists no scenarios for {revision}:\n{done.stdout}{done.stderr}")


class Cell:
    """One scenario at one revision against one server."""

    def __init__(self, revision: str, server: str, scenario: str):
        self.revision, self.server, self.scenario = revision, server, scenario
        self.checks: list[dict] | None = None
        self.said = ""

    @property
    def name(self) -> str:
        return f"{self.revision} {self.server} {self.scenario}"

    def count(self, status: str) -> int:
        return sum(check.get("status") == status for check in self.checks or [])

    @property
    def ok(self) -> bool:
        if self.checks is None or self.count("FAILURE"):
            return False
        return bool(self.count("SUCCESS")) or self.scenario in EMPTY

    @property
    def line(self) -> str:
        if self.checks is None:
            return "NO RESULT"
        warned = f", {self.count('WARNING')} warnings" if self.count("WARNING") else ""
        if not self.ok:
            return f"FAILED {self.count('FAILURE')} of {self.count('FAILURE') + self.count('SUCCESS')}{warned}"
        return f"ok {self.count('SUCCESS')}{warned}"

    def take(self, folder: Path) -> None:
        """The newest result of this scenario in `folder`."""
        found = sorted(folder.glob(f"server-{self.scenario}-20*/checks.json"))
        if found:
            self.checks = json.loads(found[-1].read_text())


class Run:
    """How the suite is called."""

    def __init__(self, node: Path, work: Path, urls: dict[str, str], token: dict[str, str]):
        self.node, self.work, self.urls, self.token = node, work, urls, token

    def suite(self, server: str, folder: Path, seconds: int, *options) -> str:
        command = [self.node, "--import", HERE / "preload.mjs", SUITE, "server", "--url", self.urls[server],
                   "--timeout", SCENARIO_SECONDS * 1000, "-o", folder, *options]
        env = {"GATEWAY": self.urls[server], "TOKEN": self.token.get(server, "none")}
        child = interop.spawn(command, env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            out, _ = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            interop.end(child)
            out = child.communicate()[0] + f"\nno end after {seconds} s"
        interop.end(child, 0.5)
        return out

    def whole(self, cells: list[Cell]) -> None:
        """A whole set in one process."""
        first = cells[0]
        folder = self.work / f"{first.revision}-{first.server}"
        said = self.suite(first.server, folder, SET_SECONDS, "--requirements", first.revision)
        for cell in cells:
            cell.take(folder)
            cell.said = "" if cell.checks is not None else said[-2000:]

    def single(self, cell: Cell) -> None:
        folder = self.work / re.sub(r"\W+", "-", cell.name)
        cell.said = self.suite(cell.server, folder, SCENARIO_SECONDS + 15, "--scenario", cell.scenario,
                               "--spec-version", cell.revision, "--force")
        cell.take(folder)
        print(f"{'ok  ' if cell.ok else 'FAIL'} {cell.name}", flush=True)


def all_cells(node: Path, direct: bool) -> list[Cell]:
    cells = []
    for revision, servers in (("2025-11-25", ("both", "modern")), ("2026-07-28", ("both", "legacy"))):
        names = scenarios(node, revision)
        for server in servers if not direct else servers[:1]:
            elsewhere = ELSEWHERE.get((revision, server), {})
            cells += [Cell(revision, server, name) for name in names
                      if not any(re.fullmatch(pattern, name) for pattern in elsewhere)]
    return cells


def report(cells: list[Cell], details: bool) -> None:
    columns = list(dict.fromkeys((cell.revision, cell.server) for cell in cells))
    found = {(cell.scenario, cell.revision, cell.server): cell.line for cell in cells}
    names = list(dict.fromkeys(cell.scenario for cell in cells))
    width = max(map(len, names), default=0)
    heads = [f"{revision} on {server}" for revision, server in columns]
    print(f"\n{'SCENARIO':<{width}}  " + "  ".join(f"{head:<22}" for head in heads))
    for name in names:
        line = "  ".join(f"{found.get((name, *column), '-'):<22}" for column in columns)
        print(f"{name:<{width}}  {line}".rstrip())
    if not details:
        return
    for cell in cells:
        if cell.checks is None:
            print(f"\n=== {cell.name}: no result\n{cell.said}")
        for check in cell.checks or []:
            if check.get("status") in ("FAILURE", "WARNING"):
                print(f"\n=== {cell.name}: {check['status']} {check.get('id')}: {check.get('description')}")
                print(f"    {check.get('errorMessage', '')}")
                if check.get("details"):
                    print("    " + json.dumps(check["details"], ensure_ascii=False)[:4000])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", help="the aerostack binary (default: built here)")
    parser.add_argument("--examples", help="folder of mcp_conformance (default: built here)")
    parser.add_argument("--direct", action="store_true", help="without a gateway")
    parser.add_argument("--only", default="", help="regular expression on 'REVISION SERVER SCENARIO'")
    parser.add_argument("--list-failures", action="store_true", help="details of failed checks and warnings")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs, data and results")
    args = parser.parse_args()
    node = interop.install_node(HERE)
    interop.build(args)
    work = Path(tempfile.mkdtemp(prefix="aerostack-conformance-"))
    gateway = None
    try:
        cells = [cell for cell in all_cells(node, args.direct) if re.search(args.only, cell.name)]
        urls = start_servers(args.examples, work, {cell.server for cell in cells})
        tokens = {}
        if not args.direct:
            gateway = interop.Gateway(args.bin, work)
            urls, tokens = set_up(gateway, urls)
        run = Run(node, work, urls, tokens)
        groups = {(cell.revision, cell.server): [] for cell in cells}
        for cell in cells:
            groups[cell.revision, cell.server].append(cell)
        began = time.monotonic()
        with ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(run.single, cells) if args.only else pool.map(run.whole, groups.values()))
        report(cells, args.list_failures)
        print(f"\n{time.monotonic() - began:.0f} s")
        if gateway and args.list_failures:
            print(f"\n--- gateway log\n{gateway.log.read_text(errors='replace')[-6000:]}")
        if gateway and gateway.child.poll() is not None:
            interop.stop("the gateway died")
    finally:
        interop.end_all()
        if args.keep:
            print(f"kept {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    failed = sum(not cell.ok for cell in cells)
    checks = sum(cell.count("SUCCESS") for cell in cells)
    print(f"{checks} checks passed, {sum(cell.count('FAILURE') for cell in cells)} failed, "
          f"{sum(cell.count('WARNING') for cell in cells)} warnings")
    print(f"{len(cells) - failed} passed, {failed} failed")
    return 1 if failed or not cells else 0


def start_servers(examples: Path, work: Path, wanted: set[str]) -> dict[str, str]:
    urls, waiting = {}, []
    for name, pinned in SERVERS.items():
        if name in wanted:
            port, log = interop.free_port(), work / f"{name}.log"
            command = [examples / "mcp_conformance", "--listen", f"127.0.0.1:{port}", *pinned]
            waiting.append((port, name, interop.spawn(command, log=log), log))
            urls[name] = f"http://127.0.0.1:{port}/mcp"
    for port, name, child, log in waiting:
        interop.wait_for(port, name, child, log)
    return urls


def set_up(gateway, servers: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """One workspace for each server, its names and URIs unchanged."""
    urls, tokens = {}, {}
    for name, url in servers.items():
        gateway.cli("workspace", "create", name)
        gateway.cli("mcp", "add", f"{name}-server", "--url", url)
        gateway.cli("mcp", "install", f"{name}-server", "--workspace", name, "--prefix", "")
        # The suite has its server change what it offers, and nobody there approves it.
        gateway.cli("mcp", "pins", "mode", f"{name}-server", "track", "--workspace", name)
        urls[name] = f"{gateway.base}/ws/{name}"
        tokens[name] = gateway.cli("workspace", "token", "create", name, "--name", "suite", "--output", "token",
                                   "--requests-per-minute", "10000")
    return urls, tokens


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    sys.exit(main())
