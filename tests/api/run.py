#!/usr/bin/env python3
"""The admin API against its own OpenAPI document, by schemathesis: nothing breaks, and nothing is answered that the
document does not say. One run for each role, one for a stranger with an account, one for somebody without a key; each
on what there is, on what is another's and on nonsense. At most four minutes."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.error
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
ASKS_OTHERS = r"/doctor$|/mcp-servers/\{slug\}/(test|tools)$|/actors/\{name\}/restart$"
# Who asks these may end their own key or membership: they come last.
ENDS = r"/api-keys/\{id\}$|/team/members/\{member\}$"
ROLES = ["admin", "member", "viewer"]
PASSWORD = "violet tram sings"
# Seconds for each run.
SECONDS, LAST_SECONDS = 19, 3


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
        self.binary, self.folder = binary, pathlib.Path(folder)
        data = self.folder / "data"
        self.environment = environment = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "AEROSTACK_CONFIG_DIR": f"{folder}/config",
            "AEROSTACK_SERVER_NAMESPACE": "acme",
            "AEROSTACK_LIMITS_ADMIN_REQUESTS_PER_MINUTE": "1000000",
            "AEROSTACK_LIMITS_FAILED_AUTH_PER_MINUTE": "1000000",
            "AEROSTACK_PEOPLE_OPEN_REQUESTS_PER_MINUTE": "1000000",
            # Servers in the catalogue are elsewhere: nobody waits for what they offer.
            "AEROSTACK_UPSTREAM_LIST_WAIT_SECONDS": "0",
            "AEROSTACK_PEOPLE_PASSWORD_MEMORY_KIB": "64",
            "AEROSTACK_PEOPLE_PASSWORD_ROUNDS": "1",
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
        self.owner = (data / "admin-key").read_text().strip()

    def fresh_key(self):
        """Another key of the owner, made beside the gateway: a run may have revoked every one."""
        command = [self.binary, "admin", "reset-key", "--data-dir", str(self.folder / "data")]
        made = subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True)
        self.owner = made.stdout.strip()

    def ask(self, method, path, body=None, key=None):
        """The answer; what a refusal says when the thing is there already."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}/api/v1/admin{path}", data, method=method)
        if key != "":
            request.add_header("Authorization", f"Bearer {key or self.owner}")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            if refused.code != 409:
                raise RuntimeError(f"{method} {path}: {refused.read().decode()}") from refused
            return json.load(refused)

    def people(self):
        """A key of somebody of each role, and one of somebody who is no member."""
        keys = {"the owner": self.owner}
        self.fresh_key()
        for name in [*ROLES, "stranger"]:
            role = name if name in ROLES else "viewer"
            invite = self.ask("POST", "/team/invites", {"email": f"{name}@example.com", "role": role})
            code = invite["link"].rsplit("#", 1)[1]
            newcomer = {"username": f"{name}-person", "password": PASSWORD, "api_key_name": "first"}
            joined = self.ask("POST", f"/team/invites/{code}/accept", newcomer, key="")
            if name == "stranger":
                self.ask("DELETE", "/team/members/stranger-person")
                keys["a stranger with an account"] = joined["api_key"]
            else:
                bound = {"name": "acts in acme", "bound": True}
                key = self.ask("POST", "/api-keys?namespace=acme", bound, joined["api_key"])["key"]
                keys[f"a member of role {name}"] = key
        return {**keys, "somebody without a key": "aak_" + "x" * 36}

    def furnish(self, workspace, server):
        """Something to find, again before each run: what one role has removed, the next finds anew."""
        self.fresh_key()
        self.ask("POST", "/workspaces", {"slug": workspace})
        self.ask("POST", "/mcp-servers", {"slug": server, "url": "http://127.0.0.1:9/mcp"})
        self.ask("POST", f"/workspaces/{workspace}/servers", {"server": server})
        self.ask("POST", f"/mcp-servers/{server}/secrets", {"name": "GITHUB_TOKEN", "value": "x"})
        manifest = {"name": "deploy", "type": "skill", "version": "1.0.0", "description": "Plans deploys.",
                    "category": "developer-tools", "tool": {"name": "plan", "description": "Plans.", "input_schema": {"type": "object"}}}
        self.ask("POST", "/skills", {"manifest": manifest, "document": "# Deploy", "visibility": "team"})
        tokens = f"/workspaces/{workspace}/tokens"
        token = self.ask("POST", tokens, {"name": f"Alice {os.urandom(4).hex()}"})["id"]
        invite = self.ask("POST", "/team/invites", {"email": f"guest-of-{workspace}@example.com"})
        key = self.ask("POST", "/api-keys", {"name": "spare"})["id"]
        names = {
            "slug": [workspace, server],
            "server": [server, "@acme/deploy"],
            "namespace": ["acme", "stranger-person"],
            "name": ["GITHUB_TOKEN", "deploy"],
            "version": ["1.0.0"],
            "member": ["viewer-person", invite["email"], "acme"],
            "id": [token, invite["id"], key],
            "code": [invite["link"].rsplit("#", 1)[1]],
        }
        lines = []
        for name, values in names.items():
            lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}"]
        lines.append("[parameters]")
        for name in names:
            lines.append(f'"path.{name}" = {{ dictionary = "{name}", probability = 0.7 }}')
        lines.append('"query.namespace" = { dictionary = "namespace", probability = 0.3 }')
        (self.folder / "schemathesis.toml").write_text("\n".join(lines) + "\n")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, help="the aerostack binary")
    parser.add_argument("--examples", type=int, default=10, help="cases for each operation")
    given = parser.parse_args()
    program, failed = tool(), []
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(os.path.abspath(given.bin), folder)
        try:
            for number, (who, key) in enumerate(gateway.people().items()):
                print(f"as {who}", flush=True)
                gateway.furnish(f"engineering-{number}", f"github-{number}-mcp")
                command = [program, "run", f"{gateway.url}/openapi.json", "--no-color", "--seed", "1"]
                command += ["--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--no-shrink"]
                command += ["--max-examples", str(given.examples), "--generation-database", "none"]
                command += ["--warnings", "off", "-H", f"Authorization: Bearer {key}"]
                most = ["--exclude-path-regex", f"{ASKS_OTHERS}|{ENDS}", "--max-time", str(SECONDS)]
                last = ["--include-path-regex", ENDS, "--max-time", str(LAST_SECONDS)]
                if any([subprocess.run([*command, *which], cwd=folder).returncode for which in (most, last)]):
                    failed.append(who)
            if gateway.process.poll() is not None:
                failed.append("nobody: the gateway ended")
        finally:
            gateway.stop()
    if failed:
        sys.exit(f"not as the document says for {', '.join(failed)}")


if __name__ == "__main__":
    main()
