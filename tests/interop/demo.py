#!/usr/bin/env python3
"""The README's first command as a newcomer sees it: `serve --demo` comes up, shows a call, and what it prints works."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from run import free_port

SECONDS = 60


def post(url, token, body, **headers):
    request = urllib.request.Request(url, json.dumps(body).encode(), {
        "Authorization": f"Bearer {token}", "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream", **headers})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def main() -> None:
    binary, port = os.path.abspath(sys.argv[1]), free_port(pair=True)
    with tempfile.TemporaryDirectory(prefix="aerostack-demo-") as folder:
        env = {k: v for k, v in os.environ.items() if not k.startswith("AEROSTACK_")}
        env |= {"AEROSTACK_CONFIG_DIR": os.path.join(folder, "config"), "TMPDIR": folder, "NO_COLOR": "1"}
        child = subprocess.Popen([binary, "serve", "--demo", "--bind", f"127.0.0.1:{port}"], cwd=folder, env=env,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.extend(child.stdout), daemon=True)
        reader.start()
        try:
            check(child, port, said)
            child.send_signal(signal.SIGTERM)
            assert child.wait(40) == 0, f"it stopped with {child.returncode}"
        except BaseException:
            print("".join(said), file=sys.stderr)
            raise
        finally:
            child.kill()
            child.wait()


def check(child, port, said) -> None:
    until, token = time.monotonic() + SECONDS, None
    url = f"http://127.0.0.1:{port}/ws/demo"
    while time.monotonic() < until and not token:
        text = "".join(said)
        assert child.poll() is None, f"it ended by itself with {child.returncode}"
        if url in text and "mcpServers" in text and (found := re.search(r"mwt_[A-Za-z0-9_-]{20,}", text)):
            token = found[0]
        time.sleep(0.05)
    assert token, "no address, token and client configuration were printed"
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}}
    modern = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/list"}
    status, body = post(url, token, listing, **modern)
    assert status == 200, f"tools/list with the printed token: {status} {body}"
    tools = [tool["name"] for tool in json.loads(body[body.index("{"):].splitlines()[0])["result"]["tools"]]
    assert tools, "the demo shows no tools"
    status, body = post(url, token[:-1] + ("a" if token[-1] != "a" else "b"), listing, **modern)
    assert status == 401, f"another token: {status} {body}"
    print(f"demo: {len(tools)} tools through {url}")


if __name__ == "__main__":
    main()
