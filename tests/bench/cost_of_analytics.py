#!/usr/bin/env python3
"""What do statistics cost a call? Two gateways that differ in `analytics.enabled` only, round against round.

  tests/bench/cost_of_analytics.py                        nine rounds at 64 connections
  tests/bench/cost_of_analytics.py --rate 5000            at a steady 5,000 calls a second
  tests/bench/cost_of_analytics.py --tokens 40            forty people call: more sums to add to

Both gateways are pinned to cpu 0 and idle while the other one is measured; load and upstream are pinned to cpu 1. Compared
are the medians of the rounds' ratios: CPU time per answered call (the gateway with all its threads) and p99. Run it on a
machine that does nothing else.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", help="the aerostack binary (default: a release build)")
    parser.add_argument("--conns", default="64")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.5)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--tokens", type=int, default=1, help="tokens that the connections share")
    parser.add_argument("--modern", action="store_true")
    parser.add_argument("--max-cpu", type=float, default=1.05)
    parser.add_argument("--max-p99", type=float, default=1.2)
    args = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("AEROSTACK_")]:
        os.environ.pop(name)
    bench, folder = run.build(args), Path(tempfile.mkdtemp(prefix="aerostack-cost-"))
    try:
        log = folder / "upstream.log"
        upstream = run.start([bench, "upstream", "--listen", f"127.0.0.1:{run.UPSTREAM}", "--auth", f"Bearer {run.SECRET}"],
                             "1", log)
        run.listening(run.UPSTREAM, upstream, log)
        targets = []
        for label, port in (("on", 9301), ("off", 9311)):
            run.GATEWAY = port
            (folder / label).mkdir()
            gateway = run.Gateway(args.bin, folder / label)
            os.environ["AEROSTACK_ANALYTICS_ENABLED"] = "true" if label == "on" else "false"
            child = gateway.serve("0")
            os.environ.pop("AEROSTACK_ANALYTICS_ENABLED")
            tokens = [gateway.prepare()]
            for nth in range(1, args.tokens):
                tokens.append(gateway.cli("workspace", "token", "create", "bench", "--name", f"bench {nth}", "--output", "token"))
            targets.append((label, f"http://127.0.0.1:{port}/ws/bench", child.pid, ",".join(tokens)))
        seen = {"on": [], "off": []}
        for turn in range(args.rounds):
            for label, url, pid, token in targets[turn % 2:] + targets[:turn % 2]:
                found = run.measure(bench, label, url, pid, args.conns, token, "fixture__echo", args)
                if found["errors"]:
                    sys.exit(f"{label}: {found['errors']} errors")
                seen[label].append(found)
        for label, runs in seen.items():
            middle = {key: statistics.median(one[key] for one in runs) for key in ("per_second", "p50_us", "p99_us", "cpu_us")}
            print(f"{label:>3}: {middle['per_second']:8.0f} calls/s  p50 {middle['p50_us']:7.0f} us  p99 {middle['p99_us']:7.0f} us  "
                  f"{middle['cpu_us']:6.2f} us of CPU a call")
        ratio = lambda key: statistics.median(on[key] / off[key] for on, off in zip(seen["on"], seen["off"]))
        cpu, p99 = ratio("cpu_us"), ratio("p99_us")
        print(f"on / off, median of {args.rounds} rounds: CPU {cpu:.3f} (at most {args.max_cpu}), p99 {p99:.3f} (at most {args.max_p99})")
        return 0 if cpu <= args.max_cpu and p99 <= args.max_p99 else 1
    finally:
        for started in reversed(run.children):
            run.end(started)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
