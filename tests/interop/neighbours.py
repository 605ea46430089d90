#!/usr/bin/env python3
"""Programs that flood, hang, take everything or end at once must not slow their neighbours down.

One gateway with a good program and bad ones. Nine rounds; each takes turns, a few hundred calls without the bad ones
(stopped by a signal) and as many with them (going on), so that what else the machine does weighs on both alike. The
median of the ratios of the good one's 99th percentile must not be above the limit. The good one is the hardest case: a
program too, it shares the thread that reads the others' output.
"""

import argparse
import gc
import http.client
import json
import multiprocessing
import os
import pathlib
import signal
import statistics
import subprocess
import tempfile
import time

ROUNDS, TURNS, CALLS, LIMIT = 9, 10, 400, 1.2
BAD = {"out": ["flood-stdout"], "err": ["flood-stderr"], "deaf": ["both"], "stubborn": ["stubborn", "family"], "dies": ["die"]}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Gateway:
    def __init__(self, binary, child, folder):
        self.folder = pathlib.Path(folder)
        data = self.folder / "data"
        definitions = data / "servers.d"
        definitions.mkdir(parents=True)
        for slug, modes in {"good": [], **BAD}.items():
            file = definitions / f"{slug}.toml"
            file.write_text(f"command = {json.dumps(str(child))}\nargs = {json.dumps(modes)}\n")
            file.chmod(0o600)
        settings = {
            "LIMITS_REQUESTS_PER_MINUTE": "0",
            "LIMITS_ADMIN_REQUESTS_PER_MINUTE": "1000000",
            "STDIO_RESTARTS": "100000",
            "STDIO_BACKOFF_MAX_SECONDS": "1",
            "STDIO_WRITE_TIMEOUT_SECONDS": "2",
        }
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "AEROSTACK_CONFIG_DIR": f"{folder}/config"}
        environment |= {f"AEROSTACK_{name}": value for name, value in settings.items()}
        arguments = ["serve", "--bind", "127.0.0.1:0", "--ops-bind", "127.0.0.1:0", "--data-dir", str(data)]
        self.log = open(self.folder / "log", "w")
        self.process = subprocess.Popen(
            [binary, *arguments], env=environment, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        self.address = None
        for line in self.process.stdout:
            if line.strip().startswith("Gateway"):
                self.address = line.split("://")[1].split("/")[0]
            if line.strip().startswith("Next"):
                break
        self.key = (data / "admin-key").read_text().strip()

    def admin(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.address, timeout=60)
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        connection.request(method, f"/api/v1/admin{path}", json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status < 300, (path, answer.status, text)
        return json.loads(text)

    def bad_processes(self):
        """Every process of the bad programs: those whose HOME is the folder of one of them."""
        ids = {server["id"].removeprefix("srv_").replace("-", "") for server in self.servers if server["slug"] in BAD}
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    environ = (entry / "environ").read_bytes().decode(errors="replace")
                except OSError:
                    continue
                ours = (entry / "cmdline").read_bytes().split(b"\0")[1:2]
                if any(f"children/{one}" in environ for one in ids) and ours not in ([b"__spawn"], [b"__watch"]):
                    found.append(int(entry.name))
        return found

    def signal_bad(self, what):
        for pid in self.bad_processes():
            try:
                os.kill(pid, what)
            except ProcessLookupError:
                pass


class Editor:
    def __init__(self, gateway, token):
        self.connection = http.client.HTTPConnection(gateway.address, timeout=60)
        self.token = token

    def call(self, tool):
        self.send(tool, {"a": 1})
        return self.connection.getresponse().read()

    def send(self, tool, arguments):
        params = {"name": tool, "arguments": arguments, "_meta": META}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        headers = {
            "authorization": f"Bearer {self.token}",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": tool,
        }
        self.connection.request("POST", "/ws/eng", body, headers)

    def times(self):
        """How long each of some calls takes, in milliseconds."""
        times = []
        for _ in range(CALLS):
            begun = time.perf_counter()
            answer = self.call("good__echo")
            times.append((time.perf_counter() - begun) * 1000)
            assert b"result" in answer, answer
        return times


def p99(times):
    return sorted(times)[int(len(times) * 0.99)]


def keep_bad_busy(gateway, token, going, ended):
    """Has the one that ends at once started again and again, and writes to the one that does not read. A process of its
    own: the one that measures must not share its interpreter."""
    while not ended.is_set():
        if not going.wait(0.1):
            continue
        gateway.admin("POST", "/mcp-servers/dies/test", {})
        Editor(gateway, token).send("deaf__deaf", {})
        Editor(gateway, token).send("deaf__echo", {"text": "x" * (128 << 10)})
        time.sleep(1)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bin", required=True)
    arguments.add_argument("--examples", required=True)
    given = arguments.parse_args()
    child = pathlib.Path(given.examples).resolve() / "stdio_child"
    with tempfile.TemporaryDirectory(prefix="aerostack-neighbours-") as folder:
        gateway = Gateway(str(pathlib.Path(given.bin).resolve()), child, folder)
        try:
            gateway.admin("POST", "/workspaces", {"slug": "eng"})
            for slug in ["good", *BAD]:
                gateway.admin("POST", "/workspaces/eng/servers", {"server": slug})
            gateway.servers = gateway.admin("GET", "/mcp-servers")["data"]
            token = gateway.admin("POST", "/workspaces/eng/tokens", {"name": "neighbour"})["token"]
            editor = Editor(gateway, token)
            while b'"result"' not in editor.call("good__echo"):
                time.sleep(0.1)
            going, ended = multiprocessing.Event(), multiprocessing.Event()
            busy = multiprocessing.Process(target=keep_bad_busy, args=(gateway, token, going, ended), daemon=True)
            busy.start()
            gc.disable()  # its pauses are the editor's, and longer than a call
            editor.times()
            ratios = []
            for number in range(ROUNDS):
                without, beside = [], []
                for _ in range(TURNS):
                    going.clear()
                    gateway.signal_bad(signal.SIGSTOP)
                    without += editor.times()
                    gateway.signal_bad(signal.SIGCONT)
                    going.set()
                    beside += editor.times()
                ratios.append(p99(beside) / p99(without))
                figures = f"p99 {p99(without):.2f} ms without, {p99(beside):.2f} ms with: {ratios[-1]:.2f} x"
                print(f"round {number + 1}: {figures}", flush=True)
            going.clear()
            ended.set()
            gateway.signal_bad(signal.SIGCONT)
            median = statistics.median(ratios)
            print(f"median {median:.2f} x (limit {LIMIT} x)")
            assert median <= LIMIT, "bad programs slow their neighbours down"
        finally:
            gateway.process.terminate()
            gateway.process.wait(30)


if __name__ == "__main__":
    main()
