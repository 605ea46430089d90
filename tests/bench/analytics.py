#!/usr/bin/env python3
"""Do all figures come in time when there are many calls, and while many more are being made?

  tests/bench/analytics.py                                one million calls on SQLite and on Postgres
  tests/bench/analytics.py --calls 10000000 --database sqlite

For each database: a gateway with 120 tokens in three workspaces, calls of 90 days written in bulk, then every endpoint of
the analytics, every page of the dashboard that shows figures, and the command line are asked in turn while a load makes
calls at a steady rate. What is compared with the limit is the median of the rounds; the slowest is printed beside it. What
is above the limit is asked as many times again, and the median of all decides: something else that ran for a second on the
machine is no finding. The gateway must have counted every call, and no page may be more than 100 KB compressed with all
that it loads.
Standard library only; for Postgres its server's programs must be in PATH.
"""

import argparse
import functools
import gzip
import http.client
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import calls
import run

PORT, UPSTREAM = 9321, 9331
PASSWORD = "a password of the bench"
# What a page may be with all that it loads, and what is counted for the head of an answer.
FIRST_LOAD, HEAD = 100 * 1024, 600
WORKSPACES = {"engineering": 80, "sales": 30, "operations": 10}
CONFIG = """
[limits]
requests_per_minute = 0
notifications_per_minute = 1000000
admin_requests_per_minute = 1000000
calls_per_token = 1024
[upstream]
calls_per_server = 1024
idle_connections = 512
[telemetry]
log = "warn"
[analytics]
retention_days = 90
[database]
url = "{url}"
"""


class Postgres:
    """A server of its own, in a folder, on a free port of loopback."""

    def __init__(self, folder: Path):
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        as_other = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
        folder.mkdir()
        if as_other:
            shutil.chown(folder, "nobody", "nogroup")
            for parent in folder.parents:
                if parent.stat().st_mode & 0o001 == 0 and parent.owner() == "root" and str(parent).startswith(tempfile.gettempdir()):
                    parent.chmod(0o755)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
        subprocess.run([*as_other, "initdb", "-D", folder / "db", "-U", "bench", "-A", "trust", "-E", "UTF8", "--no-sync"],
                       check=True, **quiet)
        self.child = subprocess.Popen(
            [*as_other, "postgres", "-D", folder / "db", "-p", str(self.port), "-h", "127.0.0.1", "-k", folder,
             "-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB"], **quiet)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if subprocess.run(["psql", "-q", "-d", self.url("postgres"), "-c", "CREATE DATABASE aerostack"],
                              capture_output=True).returncode == 0:
                return
            time.sleep(0.2)
        sys.exit("Postgres does not start")

    def url(self, name="aerostack"):
        return f"postgres://bench@127.0.0.1:{self.port}/{name}"

    def stop(self):
        self.child.terminate()
        self.child.wait(60)


class Gateway:
    def __init__(self, binary: Path, folder: Path, url: str):
        self.binary, self.folder, self.key, self.child, self.cookie = binary, folder, None, None, ""
        self.crossed = {}
        self.config = folder / "config.toml"
        self.config.write_text(CONFIG.format(url=url))
        self.environment = {**os.environ, "AEROSTACK_CONFIG_DIR": str(folder / "profile"), "NO_COLOR": "1"}

    def start(self):
        log = open(self.folder / "gateway.log", "ab")
        self.child = subprocess.Popen(
            [self.binary, "serve", "--config", self.config, "--bind", f"127.0.0.1:{PORT}", "--data-dir", self.folder / "data"],
            stdout=log, stderr=subprocess.STDOUT, env=self.environment)
        until = time.monotonic() + 120
        while time.monotonic() < until and self.child.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=2)
                break
            except OSError:
                time.sleep(0.1)
        else:
            sys.exit(f"the gateway does not get ready:\n{(self.folder / 'gateway.log').read_text()[-2000:]}")
        self.key = (self.folder / "data" / "admin-key").read_text().strip()

    def stop(self):
        self.child.terminate()
        self.child.wait(60)

    def ask(self, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{PORT}/api/v1/admin{path}", method="POST" if body else "GET")
        request.add_header("Authorization", f"Bearer {self.key}")
        if body:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, json.dumps(body).encode() if body else None, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as refused:
            sys.exit(f"{path}: {refused.code} {refused.read()[:500]}")
        return text if "format=csv" in path else json.loads(text)

    def sign_in(self):
        self.ask("/account/password", {"new": PASSWORD})
        form = {"username": self.ask("/whoami")["username"], "password": PASSWORD}
        there = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        there.request("POST", "/signin", urllib.parse.urlencode(form), {
            "Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://127.0.0.1:{PORT}"})
        answer = there.getresponse()
        self.cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
        if answer.status != 303 or not self.cookie:
            sys.exit(f"signing in: {answer.status}")

    def page(self, path):
        """As a browser asks for it, and what it loads too."""
        there = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        there.request("GET", path, headers={"Cookie": self.cookie, "Accept-Encoding": "gzip"})
        answer = there.getresponse()
        packed = answer.read()
        if answer.status != 200:
            sys.exit(f"{path}: {answer.status} {packed[:500]}")
        self.crossed[path] = len(packed) + HEAD
        return (gzip.decompress(packed) if answer.getheader("Content-Encoding") == "gzip" else packed).decode()

    def first_load(self, path):
        """The bytes of a page with everything that it and its scripts name."""
        named = re.findall(r"(/ui/[0-9a-f]+/)([\w.]+)", self.page(path))
        folder, names, seen, total = named[0][0], {name for _, name in named}, set(), self.crossed[path]
        while names - seen:
            name = min(names - seen)
            seen.add(name)
            names.update(re.findall(r"""(?:from|import\()\s*"\./([\w.]+)\"""", self.page(folder + name)))
            total += self.crossed[folder + name]
        return total

    def cli(self, *words):
        done = subprocess.run([self.binary, "--gateway", f"http://127.0.0.1:{PORT}", *words], capture_output=True, text=True,
                              env=self.environment)
        if done.returncode != 0:
            sys.exit(f"aerostack {' '.join(words)}: {done.stderr}")

    def sink(self):
        return self.ask("/actors/AnalyticsSink")["observed"]


def members(gateway):
    """The tokens, and for the load their values."""
    team, values = [], []
    gateway.ask("/mcp-servers", {"slug": "fixture", "url": f"http://127.0.0.1:{UPSTREAM}/mcp"})
    for slug, many in WORKSPACES.items():
        workspace = gateway.ask("/workspaces", {"slug": slug})["id"]
        gateway.ask(f"/workspaces/{slug}/servers", {"server": "fixture"})
        for nth in range(many):
            made = gateway.ask(f"/workspaces/{slug}/tokens", {"name": f"Person {nth} of {slug}"})
            always = slug == "operations"
            team.append((uuid.UUID(workspace.removeprefix("ws_")).bytes, uuid.UUID(made["id"].removeprefix("tok_")).bytes, None, always))
            if slug == "engineering":
                values.append(made["token"])
    return team, values


def endpoints():
    """What can be asked for: each range, each way to look at it, with and without filters."""
    person, tool = urllib.parse.quote("Person 3 of engineering"), "server_03__tool_2"
    for period in ("1h", "24h", "7d", "30d", "90d"):
        for place in ("/workspaces/engineering", ""):
            yield f"{place}/analytics/figures?period={period}&by=user"
            yield f"{place}/analytics/figures?period={period}&by=tool"
            for by in ("user", "tool", "server"):
                yield f"{place}/analytics/table?period={period}&by={by}"
            yield f"{place}/calls?period={period}"
            yield f"{place}/calls?period={period}&tool={tool}&outcome=failed"
        yield f"/workspaces/engineering/analytics?period={period}"
        yield f"/workspaces/engineering/analytics/figures?period={period}&user={person}&by=tool"
        yield f"/workspaces/engineering/analytics/figures?period={period}&server=server-03-mcp"
        yield f"/workspaces/engineering/analytics/figures?period={period}&tool={tool}"
        yield f"/workspaces/engineering/analytics/figures?period={period}&user={person}&server=server-03-mcp&by=tool"
        yield f"/workspaces/engineering/calls?period={period}&user={person}"
    yield "/overview"
    yield "/analytics/table?period=90d&by=workspace"
    yield "/analytics/figures?period=90d&format=csv"
    yield "/calls?limit=1000&format=csv"


def pages():
    """Of the dashboard."""
    person, tool = urllib.parse.quote("Person 3 of engineering"), "server_03__tool_2"
    yield "/overview"
    for period in ("1h", "24h", "7d", "30d", "90d"):
        yield f"/workspaces/engineering/analytics?period={period}"
        yield f"/workspaces/engineering/calls?period={period}"
    yield "/workspaces/engineering/analytics?period=90d&by=tool&rows=all"
    for one in (f"user={person}", "server=server-03-mcp", f"tool={tool}"):
        yield f"/workspaces/engineering/analytics?period=90d&{one}"
    yield f"/workspaces/engineering/calls?period=90d&tool={tool}&show=failed"
    yield "/workspaces/engineering/diet"
    yield "/workspaces/engineering/members"


COMMANDS = ("analytics --workspace engineering --period 90d", "analytics --workspace engineering --by user --period 90d",
            "analytics --all --by tool --period 90d")


def questions(gateway):
    """By what is shown of them."""
    asked = {path: functools.partial(gateway.ask, path) for path in endpoints()}
    asked |= {f"page {path}": functools.partial(gateway.page, path) for path in pages()}
    return asked | {f"aerostack {words}": functools.partial(gateway.cli, *words.split()) for words in COMMANDS}


def measure(gateway, args):
    asked = questions(gateway)
    seen = {name: [] for name in asked}

    def ask(name):
        begun = time.perf_counter()
        asked[name]()
        seen[name].append((time.perf_counter() - begun) * 1000)

    for _ in range(args.rounds):
        for name in asked:
            ask(name)
    for name in [name for name, took in seen.items() if statistics.median(took) > args.limit_ms]:
        for _ in range(args.rounds):
            ask(name)
    slow = sorted(((statistics.median(took), max(took), question) for question, took in seen.items()), reverse=True)
    for median, worst, question in slow[:args.show]:
        print(f"  {median:7.1f} ms  {worst:7.1f} ms  {question}")
    return [row for row in slow if row[0] > args.limit_ms]


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check(name, binary, bench, folder, args):
    folder.mkdir()
    postgres = Postgres(folder / "postgres") if name == "postgres" else None
    gateway = Gateway(binary, folder, postgres.url() if postgres else "")
    load = None
    log = folder / "upstream.log"
    upstream = run.start([bench, "upstream", "--listen", f"127.0.0.1:{UPSTREAM}"], None, log)
    try:
        run.listening(UPSTREAM, upstream, log)
        gateway.start()
        tokens, values = members(gateway)
        gateway.stop()
        begun, now_us = time.monotonic(), int(time.time() * 1_000_000)
        team = calls.Team(tokens)
        if postgres:
            written = calls.into_postgres(postgres.url(), team, args.calls, now_us, 90)
        else:
            written = calls.into_sqlite(folder / "data" / "analytics.db", team, args.calls, now_us, 90)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
        print(f"{name}: {written} calls written in {time.monotonic() - begun:.0f} s, {size:.0f} MB")
        gateway.start()
        gateway.sign_in()
        total = gateway.ask("/analytics/table?period=90d&by=workspace")["data"]
        counted = sum(row["calls"] for row in total)
        # The first of the 90 days is counted whole, the generator's begins at this hour.
        if counted != written:
            sys.exit(f"{name}: the gateway counts {counted} calls")
        seconds = 3600
        load = subprocess.Popen(
            [bench, "load", "--url", f"http://127.0.0.1:{PORT}/ws/engineering", "--token", ",".join(values), "--tool",
             "fixture__echo", "--conns", "40", "--rate", str(args.per_second), "--seconds", str(seconds)],
            stdout=subprocess.DEVNULL, stderr=open(folder / "load.log", "wb"))
        time.sleep(3)
        before, begun, busy = gateway.sink(), time.monotonic(), cpu_seconds(gateway.child.pid)
        late = measure(gateway, args)
        after, took = gateway.sink(), time.monotonic() - begun
        rate, dropped = (after["written"] - before["written"]) / took, after["dropped"]
        print(f"{name}: {rate:.0f} calls a second were written meanwhile, {dropped} dropped, {after['queued']} waiting; the "
              f"gateway took {(cpu_seconds(gateway.child.pid) - busy) / took:.2f} of a processor; load of the machine {os.getloadavg()[0]:.1f}")
        if load.poll() is not None:
            sys.exit(f"{name}: the load ended: {(folder / 'load.log').read_text()[-500:]}")
        heavy = sorted(((gateway.first_load(path), path) for path in pages()), reverse=True)
        print(f"{name}: a first load is {heavy[0][0] / 1024:.0f} KB at most ({heavy[0][1]}) and {heavy[-1][0] / 1024:.0f} KB at least")
        for median, worst, question in late:
            print(f"{name}: {question} takes {median:.0f} ms, more than {args.limit_ms:.0f}", file=sys.stderr)
        slow_load = rate < 0.95 * args.per_second
        if slow_load:
            print(f"{name}: the machine makes {rate:.0f} calls a second, not {args.per_second}", file=sys.stderr)
        if heavy[0][0] > FIRST_LOAD:
            print(f"{name}: {heavy[0][1]} is more than {FIRST_LOAD / 1024:.0f} KB with all that it loads", file=sys.stderr)
            return False
        return not late and not dropped and not (slow_load and args.strict)
    finally:
        if load:
            load.kill()
        if gateway.child and gateway.child.poll() is None:
            gateway.stop()
        run.end(upstream)
        if postgres:
            postgres.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", help="the aerostack binary (default: a release build)")
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--per-second", type=int, default=5000)
    parser.add_argument("--limit-ms", type=float, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--show", type=int, default=8, help="how many of the slowest to print")
    parser.add_argument("--strict", action="store_true", help="fail if the machine cannot make that many calls a second")
    args = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("AEROSTACK_")]:
        os.environ.pop(name)
    bench = run.build(args)
    folder = Path(tempfile.mkdtemp(prefix="aerostack-analytics-"))
    try:
        names = ["sqlite", "postgres"] if args.database == "both" else [args.database]
        return 0 if all([check(name, Path(args.bin).resolve(), bench, folder / name, args) for name in names]) else 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
