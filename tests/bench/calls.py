"""Calls of a made-up team over 90 days, written in bulk into a gateway's analytics database (SQLite file or Postgres).

Used by analytics.py. It knows two tables, `tool_calls` and `tool_call_sums`, and the stored form of a histogram; that it
knows them right is checked by asking the gateway for what was written. Standard library only; Postgres through psql.
"""

import os
import random
import sqlite3
import struct
import subprocess
import uuid
from collections import defaultdict

MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
MINUTES_KEPT = 26 * HOUR
NIL = bytes(16)
CALL_COLUMNS = ("id", "at_us", "workspace_id", "token_id", "account_id", "credential", "client", "era", "server_id",
                "server_slug", "tool", "outcome", "latency_us", "upstream_us", "bytes_in", "bytes_out")
SUM_COLUMNS = ("workspace_id", "cut", "grain", "slot", "token_id", "server_id", "tool", "server_slug", "calls",
               "tool_errors", "errors", "latency_us", "upstream_us", "bytes_in", "bytes_out", "last_us", "histogram")
SERVERS, TOOLS_EACH, TOOLS_PER_TOKEN, LATENCIES = 12, 8, 15, 4096


def bucket(value: int) -> int:
    power = max(value.bit_length() - 1 - 5, 0) if value else 0
    return power * 32 + (value >> power)


def leb(number: int) -> bytes:
    out = bytearray()
    while True:
        low, number = number & 0x7F, number >> 7
        if not number:
            out.append(low)
            return bytes(out)
        out.append(low | 0x80)


def stored(histogram: dict) -> bytes:
    out, before = bytearray([1]), 0
    for at in sorted(histogram):
        out += leb(at - before) + leb(histogram[at])
        before = at
    return bytes(out)


class Sum:
    __slots__ = ("numbers", "last", "histogram")

    def __init__(self):
        # calls, tool_errors, errors, latency_us, upstream_us, bytes_in, bytes_out
        self.numbers, self.last, self.histogram = [0] * 7, 0, {}

    def add(self, other):
        self.numbers = [a + b for a, b in zip(self.numbers, other.numbers)]
        self.last = max(self.last, other.last)
        own = self.histogram
        for at, count in other.histogram.items():
            own[at] = own.get(at, 0) + count


class Team:
    """Who calls what: `tokens` is [(workspace id, token id, account id or None, calls around the clock)]."""

    def __init__(self, tokens, seed=7):
        self.random = random.Random(seed)
        servers = [(uuid.UUID(int=0xBE11C0 + n).bytes, f"server-{n:02}-mcp") for n in range(SERVERS)]
        tools = [(*server, f"server_{n:02}__tool_{t}") for n, server in enumerate(servers) for t in range(TOOLS_EACH)]
        self.uses = []
        for workspace, token, account, always in tokens:
            chosen = self.random.sample(tools, TOOLS_PER_TOKEN)
            weight = self.random.paretovariate(1.2)
            for rank, (server, slug, tool) in enumerate(chosen):
                self.uses.append((workspace, token, account, server, slug, tool, weight / (rank + 1), always))
        self.latencies = []
        for _ in range(LATENCIES):
            took = min(int(self.random.lognormvariate(10.5, 1.1)), 60_000_000)
            self.latencies.append((took, bucket(took)))

    def hours(self, now_us: int, days: int):
        """(hour, share of all calls for people, for machines)."""
        end = now_us // HOUR
        for hour in range(end - days * 24 + 1, end + 1):
            of_day, weekday = hour % 24, (hour // 24 + 3) % 7
            people = (0.15 if weekday >= 5 else 1.0) * (1.0 if 8 <= of_day < 18 else 0.08)
            yield hour, people


def generate(team: Team, many: int, now_us: int, days: int, put_calls, put_sums):
    """Writes `many` calls. `put_calls(rows)` and `put_sums(rows)` take rows in the order of the columns above."""
    hours = list(team.hours(now_us, days))
    people = sum(use[6] for use in team.uses if not use[7])
    always = sum(use[6] for use in team.uses if use[7])
    scale = many / (people * sum(share for _, share in hours) + always * len(hours) * 0.4)
    day_sums: dict = defaultdict(Sum)
    written, day = 0, None
    for nth, (hour, share) in enumerate(hours):
        if day is not None and hour // 24 != day:
            put_sums(sum_rows(day_sums, 2))
            day_sums = defaultdict(Sum)
        day = hour // 24
        last = nth == len(hours) - 1
        calls, sums = hour_of_calls(team, hour, now_us, (share * scale, 0.4 * scale), many - written if last else None)
        calls = calls[:many - written]
        written += len(calls)
        put_calls(calls)
        minutes = hour * HOUR >= now_us - MINUTES_KEPT
        by_grain = {1: defaultdict(Sum), 0: defaultdict(Sum)}
        for (minute, use), one in tally(calls, sums, minutes).items():
            for grain, slot, into in ((0, minute, by_grain[0]), (1, hour, by_grain[1]), (2, day, day_sums)):
                if grain == 0 and not minutes:
                    continue
                workspace, token, _, server, slug, tool = use
                for cut in range(4):
                    key = (workspace, cut, slot, token if cut & 1 else NIL, server if cut & 2 else NIL,
                           tool if cut & 2 else "", slug if cut & 2 else "")
                    into[key].add(one)
        put_sums(sum_rows(by_grain[1], 1))
        put_sums(sum_rows(by_grain[0], 0))
    put_sums(sum_rows(day_sums, 2))
    return written


def hour_of_calls(team, hour, now_us, scales, exactly):
    rnd, pool, begin = team.random, team.latencies, hour * HOUR
    length = min(HOUR, now_us - begin)
    calls, uses = [], {}
    for use in team.uses:
        expected = use[6] * scales[1 if use[7] else 0] * length / HOUR
        n = int(expected) + (rnd.random() < expected % 1)
        for _ in range(n):
            calls.append(one_call(rnd, pool, begin, length, use))
        uses[use[1], use[5]] = use[:6]
    while exactly is not None and len(calls) < exactly:
        calls.append(one_call(rnd, pool, begin, length, rnd.choice(team.uses)))
    calls.sort(key=lambda call: call[0])
    return calls, uses


def one_call(rnd, pool, begin, length, use):
    at = begin + int(rnd.random() * length)
    took, _ = pool[int(rnd.random() * LATENCIES)]
    odd = rnd.random()
    outcome = 0 if odd > 0.03 else 1 if odd > 0.01 else -32011
    bits = rnd.getrandbits(74)
    id = struct.pack(">QQ", (at // 1000) << 16 | 0x7000 | bits >> 62, 0x8000000000000000 | bits & 0x3FFFFFFFFFFFFFFF)
    return (id, at, use[0], use[1], use[2], "", "bench", "modern", use[3], use[4], use[5], outcome, took, took * 9 // 10,
            300, 900)


def tally(calls, uses, by_minute):
    found: dict = {}
    for call in calls:
        use = uses.get((call[3], call[10])) or (call[2], call[3], call[4], call[8], call[9], call[10])
        key = (call[1] // MINUTE if by_minute else 0, use)
        one = found.get(key)
        if one is None:
            one = found[key] = Sum()
        numbers, took = one.numbers, call[12]
        numbers[0] += 1
        numbers[1] += call[11] == 1
        numbers[2] += call[11] < 0
        numbers[3] += took
        numbers[4] += call[13]
        numbers[5] += call[14]
        numbers[6] += call[15]
        one.last = max(one.last, call[1])
        at = bucket(took)
        one.histogram[at] = one.histogram.get(at, 0) + 1
    return found


def sum_rows(sums, grain):
    for key in sorted(sums):
        workspace, cut, slot, token, server, tool, slug = key
        one = sums[key]
        yield (workspace, cut, grain, slot, token, server, tool, slug, *one.numbers, one.last, stored(one.histogram))


def into_sqlite(path, team, many, now_us, days):
    db = sqlite3.connect(path)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -200000")

    def put(table, columns):
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        return lambda rows: db.executemany(sql, rows)

    written = generate(team, many, now_us, days, put("tool_calls", CALL_COLUMNS), put("tool_call_sums", SUM_COLUMNS))
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return written


def into_postgres(url, team, many, now_us, days):
    """Through COPY, calls and sums at once over two connections."""

    def copier(table, columns):
        command = ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", f"\\copy {table} ({', '.join(columns)}) from pstdin"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, "PGOPTIONS": "-c synchronous_commit=off"})

    def text(value):
        if value is None:
            return "\\N"
        if isinstance(value, bytes):
            return str(uuid.UUID(bytes=value)) if len(value) == 16 else "\\\\x" + value.hex()
        return str(value)

    def put(copy):
        def write(rows):
            for row in rows:
                # The last column of sums is no id, however long it is.
                cells = [text(value) for value in row[:-1]]
                cells.append("\\\\x" + row[-1].hex() if isinstance(row[-1], bytes) else text(row[-1]))
                copy.stdin.write(("\t".join(cells) + "\n").encode())
        return write

    calls, sums = copier("tool_calls", CALL_COLUMNS), copier("tool_call_sums", SUM_COLUMNS)
    written = generate(team, many, now_us, days, put(calls), put(sums))
    for copy in (calls, sums):
        copy.stdin.close()
        if copy.wait() != 0:
            raise SystemExit("psql could not copy")
    subprocess.run(["psql", "-q", "-d", url, "-c", "ANALYZE tool_calls", "-c", "ANALYZE tool_call_sums"], check=True)
    return written
