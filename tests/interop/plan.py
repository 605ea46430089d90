"""What every Python client here does once it is connected; the same as plan.mjs."""

import asyncio
import json
import os
import sys
import traceback

URL = os.environ["URL"]
TRANSPORT = os.environ.get("TRANSPORT", "http")
ERA = os.environ.get("ERA", "legacy")
TOKEN = os.environ.get("TOKEN", "")
HEADERS = {"Authorization": f"Bearer {TOKEN}"} if TOKEN else {}


def check(condition, message) -> None:
    if not condition:
        raise AssertionError(message)


async def carry_out(version, tools, call) -> None:
    plan = json.loads(os.environ.get("PLAN", "[]"))
    names, cursor, total = [], None, 0
    while True:
        page, cursor = await tools(cursor)
        names += [tool.name for tool in page]
        if cursor is None:
            break
    for step in plan:
        tool, wanted, seen = step["tool"], step.get("progress", 0), []

        async def progress(amount, _total, _message, seen=seen) -> None:
            seen.append(amount)

        check(tool in names, f"tools/list does not show {tool}; it shows {', '.join(names)}")
        is_error, content = await call(tool, step.get("arguments", {}), progress if wanted else None)
        text = "".join(getattr(block, "text", "") for block in content)
        check(not is_error, f"{tool} answered with an error: {text}")
        check(step["expect"] in text, f"{tool}: expected {step['expect']!r} in {text!r}")
        check(step.get("refuse") is None or step["refuse"] not in text, f"{tool}: the answer shows what it must not show")
        for _ in range(50):
            if len(seen) >= wanted:
                break
            await asyncio.sleep(0.02)
        check(len(seen) >= wanted, f"{tool}: {len(seen)} progress notifications came, expected {wanted}")
        total += len(seen)
    print(f"ok {version} tools={len(names)} calls={len(plan)} progress={total}")


def main(run) -> None:
    try:
        asyncio.run(asyncio.wait_for(run(), 60))
    except BaseException:
        print("FAILED:", traceback.format_exc(), file=sys.stderr)
        sys.exit(1)
