#!/usr/bin/env python3
"""What does one hop cost? An upstream directly, nginx as a plain proxy, and the gateway, interleaved.

  tests/bench/run.py                            builds all, five rounds at 64 connections
  tests/bench/run.py --conns 1,16,64,256 --modern
  tests/bench/run.py prepare DIR                only prepares a gateway in DIR (for compare.sh), prints its token

Whatever is in the middle is pinned to cpu 0; the load and the upstream are pinned to cpu 1. Times belong to the machine:
read the ratios within one run. Standard library only; nginx and taskset must be installed.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# compare.py of the other harness expects the upstream here.
UPSTREAM, DIRECT, NGINX, GATEWAY = 9001, 9003, 9101, 9301
SECRET = "bench-upstream-secret"
NGINX_CONF = """
worker_processes 1; daemon off; pid nginx.pid; error_log nginx.err warn; worker_rlimit_nofile 20000;
events {{ worker_connections 16000; multi_accept on; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 3600; client_max_body_size 16m;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream bench {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 1000000000; }}
  map $http_authorization $known {{ default 0; "~^Bearer " 1; }}
  server {{
    listen 127.0.0.1:{listen} backlog=8192;
    location / {{
      if ($known = 0) {{ return 401; }}
      proxy_pass http://bench; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer {secret}"; proxy_buffering {buffering};
    }}
  }}
}}
"""

children: list[subprocess.Popen] = []


def start(command, cpu, log) -> subprocess.Popen:
    pinned = ["taskset", "-c", cpu, *map(str, command)] if cpu else [str(part) for part in command]
    child = subprocess.Popen(pinned, stdin=subprocess.DEVNULL, stdout=open(log, "ab"), stderr=subprocess.STDOUT,
                             start_new_session=True, env={**os.environ, "NO_COLOR": "1"})
    children.append(child)
    return child


def end(child) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, sign)
            child.wait(30)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def listening(port, child, log, seconds=30) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if child.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}:\n{Path(log).read_text(errors='replace')[-2000:]}")


class Gateway:
    """`aerostack serve` with the committed configuration, in a folder of its own."""

    def __init__(self, binary, folder: Path):
        self.binary, self.folder = Path(binary).resolve(), folder
        os.environ["AEROSTACK_CONFIG_DIR"] = str(folder / "config")

    def serve_command(self) -> list[str]:
        return [str(self.binary), "serve", "--config", str(HERE / "gateway.toml"),
                "--bind", f"127.0.0.1:{GATEWAY}", "--data-dir", str(self.folder / "data")]

    def serve(self, cpu) -> subprocess.Popen:
        log = self.folder / "gateway.log"
        child = start(self.serve_command(), cpu, log)
        listening(GATEWAY, child, log)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{GATEWAY}/readyz", timeout=2)
                return child
            except OSError:
                time.sleep(0.1)
        sys.exit(f"the gateway does not get ready:\n{log.read_text(errors='replace')[-2000:]}")

    def cli(self, *words) -> str:
        done = subprocess.run([str(self.binary), *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"aerostack {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def prepare(self) -> str:
        """A workspace with the upstream, its secret injected as a bearer, and a token. The gateway must be running."""
        self.cli("workspace", "create", "bench")
        self.cli("mcp", "add", "fixture", "--url", f"http://127.0.0.1:{UPSTREAM}/mcp")
        self.cli("mcp", "install", "fixture", "--workspace", "bench")
        # The other harness has a server of its own there, whose tool is described otherwise.
        self.cli("mcp", "pins", "mode", "fixture", "track", "--workspace", "bench")
        self.cli("secrets", "set", "fixture", "TOKEN", SECRET)
        self.cli("secrets", "inject", "fixture", "TOKEN", "--bearer")
        return self.cli("workspace", "token", "create", "bench", "--name", "bench", "--output", "token")


def build(args) -> Path:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    if not args.bin:
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
        args.bin = target / "release/aerostack"
    own = target / "bench"
    subprocess.run(["cargo", "build", "--release", "--quiet", "--locked", "--target-dir", own], cwd=HERE, check=True)
    return own / "release/aerostack-bench"


def measure(bench, label, url, pid, conns, token, tool, args):
    command = ["taskset", "-c", "1", bench, "load", "--label", label, "--url", url, "--pid", pid, "--conns", conns,
               "--seconds", args.seconds, "--token", token, "--tool", tool, *(["--modern"] if args.modern else []),
               *(["--rate", args.rate] if getattr(args, "rate", 0) else [])]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        sys.exit(f"{label}: {done.stderr.strip()[:1000]}")
    found = json.loads(done.stdout)
    if found["errors"]:
        print(f"{label}: {found['errors']} errors, the first: {found['first_error']}", file=sys.stderr)
    return found


def compare(args) -> int:
    if not shutil.which("nginx") or not shutil.which("taskset"):
        sys.exit("nginx and taskset must be installed")
    bench = build(args)
    folder = Path(tempfile.mkdtemp(prefix="aerostack-bench-"))
    try:
        sse = ["--sse"] if args.sse else []
        log = folder / "upstream.log"
        # The upstream refuses whoever does not bring the secret: the injection is part of what is measured.
        upstream = start([bench, "upstream", "--listen", f"127.0.0.1:{UPSTREAM}", "--auth", f"Bearer {SECRET}", *sse],
                         "1", log)
        direct = start([bench, "upstream", "--listen", f"127.0.0.1:{DIRECT}", *sse], "0", log)
        (folder / "nginx.conf").write_text(NGINX_CONF.format(
            upstream=UPSTREAM, listen=NGINX, secret=SECRET, buffering="off" if args.sse else "on"))
        nginx = start(["nginx", "-p", folder, "-c", folder / "nginx.conf"], "0", folder / "nginx.log")
        for port, child in ((UPSTREAM, upstream), (DIRECT, direct), (NGINX, nginx)):
            listening(port, child, log)
        gateway = Gateway(args.bin, folder)
        child = gateway.serve("0")
        token = gateway.prepare()
        targets = [("direct", f"http://127.0.0.1:{DIRECT}/mcp", direct.pid, "echo"),
                   ("nginx", f"http://127.0.0.1:{NGINX}/mcp", nginx.pid, "echo"),
                   ("gateway", f"http://127.0.0.1:{GATEWAY}/ws/bench", child.pid, "fixture__echo")]
        if args.modern:
            print("direct and nginx speak 2025-11-25 to the upstream, the client of the gateway speaks 2026-07-28")
        seen = {}
        for turn in range(args.rounds):
            for conns in args.conns.split(","):
                # The order rotates, so that a slow stretch of the machine falls on all of them.
                for label, url, pid, tool in targets[turn % 3:] + targets[:turn % 3]:
                    own = argparse.Namespace(seconds=args.seconds, modern=args.modern and label == "gateway")
                    found = measure(bench, label, url, pid, conns, token, tool, own)
                    seen.setdefault((conns, label), []).append(found)
        return show(args, seen)
    finally:
        for started in reversed(children):
            end(started)
        shutil.rmtree(folder, ignore_errors=True)


def show(args, seen) -> int:
    worst = 0.0
    print(f"{'CONNS':>5} {'TARGET':<8} {'CALLS/S':>8} {'P50 US':>8} {'P99 US':>8} {'CPU US':>7} {'× NGINX':>8} {'SPREAD':>11} ERRORS")
    for conns in args.conns.split(","):
        nginx = [found["cpu_us"] for found in seen[conns, "nginx"]]
        for label in ("direct", "nginx", "gateway"):
            runs = seen[conns, label]
            middle = {key: statistics.median(run[key] for run in runs) for key in ("per_second", "p50_us", "p99_us", "cpu_us")}
            # Round against round: both saw the same machine.
            ratios = sorted(run["cpu_us"] / other for run, other in zip(runs, nginx))
            ratio = statistics.median(ratios)
            if label == "gateway":
                worst = max(worst, ratio)
            print(f"{conns:>5} {label:<8} {middle['per_second']:>8.0f} {middle['p50_us']:>8.0f} {middle['p99_us']:>8.0f} "
                  f"{middle['cpu_us']:>7.1f} {ratio:>8.2f} {ratios[0]:>5.2f}–{ratios[-1]:<5.2f} {sum(run['errors'] for run in runs)}")
    errors = sum(run["errors"] for runs in seen.values() for run in runs)
    if args.max_ratio and worst > args.max_ratio:
        print(f"the gateway takes {worst:.2f} × nginx's CPU time a call, more than {args.max_ratio}")
        return 1
    return 1 if errors else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", nargs="?", choices=["run", "prepare"], default="run")
    parser.add_argument("folder", nargs="?", help="for prepare: data and CLI profile are written here")
    parser.add_argument("--bin", help="the aerostack binary (default: a release build)")
    parser.add_argument("--conns", default="64")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.5)
    parser.add_argument("--sse", action="store_true", help="the upstream answers with event streams")
    parser.add_argument("--modern", action="store_true", help="the gateway's client speaks 2026-07-28")
    parser.add_argument("--max-ratio", type=float, help="fail above this multiple of nginx's CPU time")
    args = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("AEROSTACK_")]:
        os.environ.pop(name)
    if args.verb == "run":
        return compare(args)
    bench, folder = build(args), Path(args.folder).resolve()
    try:
        log = folder / "upstream.log"
        upstream = start([bench, "upstream", "--listen", f"127.0.0.1:{UPSTREAM}"], None, log)
        listening(UPSTREAM, upstream, log)
        gateway = Gateway(args.bin, folder)
        gateway.serve(None)
        print(gateway.prepare())
        print(" ".join(gateway.serve_command()))
    finally:
        for started in reversed(children):
            end(started)
    return 0


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    sys.exit(main())
