#!/usr/bin/env python3
"""The admin API against its own OpenAPI document, by schemathesis: nothing breaks, and nothing is answered that the
document does not say. One run for the owner and one for somebody without a key."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request
import venv

HERE = pathlib.Path(__file__).resolve().parent
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]
# These ask an MCP server, whose failures are 502 and 504, or end what is being asked.
ASKS_OTHERS = r"/mcp-servers/\{slug\}/(test|tools)$|/actors/\{name\}/restart$"


def tool():
    """schemathesis, in a folder of its own beside this file."""
    folder = HERE / ".venv"
    program = folder / "bin" / "schemathesis"
    if not program.exists():
        venv.create(folder, with_pip=True, clear=True)
        requirements = str(HERE / "requirements.txt")
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", "-r", requirements], check=True)
    return program


class Gateway:
    def __init__(self, binary, folder):
        self.folder = pathlib.Path(folder)
        data = self.folder / "data"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "AEROSTACK_CONFIG_DIR": f"{folder}/config",
            "AEROSTACK_LIMITS_ADMIN_REQUESTS_PER_MINUTE": "1000000",
            "AEROSTACK_LIMITS_FAILED_AUTH_PER_MINUTE": "1000000",
        }
        arguments = ["serve", "--bind", "127.0.0.1:0", "--ops-bind", "127.0.0.1:0", "--data-dir", str(data)]
        self.log = open(self.folder / "log", "w")
        self.process = subprocess.Popen(
            [binary, *arguments], env=environment, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        for line in self.process.stdout:
            if line.strip().startswith("Gateway"):
                self.url = line.split()[-1].removesuffix("/ws/<workspace>")
            if line.strip().startswith("Next"):
                break
        self.key = (data / "admin-key").read_text().strip()

    def post(self, path, body):
        request = urllib.request.Request(f"{self.url}/api/v1/admin{path}", json.dumps(body).encode(), method="POST")
        request.add_header("Authorization", f"Bearer {self.key}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def furnish(self):
        """Something to find: the names that the document's examples have."""
        self.post("/workspaces", {"slug": "engineering"})
        self.post("/workspaces/engineering/tokens", {"name": "Alice Chen"})
        self.post("/mcp-servers", {"slug": "github-mcp", "url": "http://127.0.0.1:9/mcp"})
        self.post("/workspaces/engineering/servers", {"server": "github-mcp"})

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, help="the aerostack binary")
    parser.add_argument("--examples", type=int, default=20, help="cases for each operation")
    given = parser.parse_args()
    program, failed = tool(), []
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(given.bin, folder)
        try:
            gateway.furnish()
            for who, key in [("the owner", gateway.key), ("a stranger", "aak_" + "x" * 36)]:
                print(f"as {who}", flush=True)
                command = [program, "run", f"{gateway.url}/openapi.json", "--no-color", "--seed", "1", "--warnings", "off"]
                command += ["--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--no-shrink"]
                command += ["--max-examples", str(given.examples), "--generation-database", "none"]
                command += ["-H", f"Authorization: Bearer {key}", "--exclude-path-regex", ASKS_OTHERS]
                if subprocess.run(command, cwd=folder).returncode != 0:
                    failed.append(who)
            if gateway.process.poll() is not None:
                failed.append("nobody: the gateway ended")
        finally:
            gateway.stop()
    if failed:
        sys.exit(f"not as the document says for {', '.join(failed)}")


if __name__ == "__main__":
    main()
