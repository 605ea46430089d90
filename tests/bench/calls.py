"""Calls of a made-up team over 90 days, written in bulk into a gateway's analytics database (SQLite file or Postgres).

Used by analytics.py. It knows two tables, `tool_calls` and `tool_call_sums`, and the stored form of a histogram; that it
knows them right is checked by asking the gateway for what was written. Standard library only; Postgres through psql.
"""

import itertools
import os
import random
import sqlite3
import subprocess
import uuid

MINUTE, HOUR = 60_000_000, 3_600_000_000
MINUTES_KEPT = 26 * HOUR
# Grains of sums, as they are stored.
BY_MINUTE, BY_HOUR, BY_DAY, BY_WEEK = range(4)
NIL = bytes(16)
CALL_COLUMNS = ("id", "at_us", "workspace_id", "token_id", "account_id", "credential", "client", "era", "server_id",
                "server_slug", "tool", "outcome", "latency_us", "upstream_us", "bytes_in", "bytes_out")
SUM_COLUMNS = ("workspace_id", "cut", "grain", "slot", "token_id", "server_id", "tool", "server_slug", "calls",
               "tool_errors", "errors", "latency_us", "upstream_us", "bytes_in", "bytes_out", "last_us", "histogram")
SERVERS, TOOLS_EACH, TOOLS_PER_TOKEN, LATENCIES = 12, 8, 15, 4096
BYTES_IN, BYTES_OUT = 300, 900


def bucket(value: int) -> int:
    power = max(value.bit_length() - 1 - 5, 0) if value else 0
    return power * 32 + (value >> power)


def stored(histogram: dict) -> bytes:
    out, before = bytearray([1]), 0
    for at in sorted(histogram):
        for number in (at - before, histogram[at]):
            while number > 0x7F:
                out.append(number & 0x7F | 0x80)
                number >>= 7
            out.append(number)
        before = at
    return bytes(out)


class Sum:
    __slots__ = ("calls", "tool_errors", "errors", "latency", "upstream", "last", "histogram")

    def __init__(self):
        self.calls = self.tool_errors = self.errors = self.latency = self.upstream = self.last = 0
        self.histogram = {}

    def add(self, other):
        self.calls += other.calls
        self.tool_errors += other.tool_errors
        self.errors += other.errors
        self.latency += other.latency
        self.upstream += other.upstream
        if other.last > self.last:
            self.last = other.last
        own = self.histogram
        for at, count in other.histogram.items():
            own[at] = own.get(at, 0) + count


class Use:
    """A token and a tool that it calls: what calls have in common, and under which keys they are summed up."""

    def __init__(self, workspace, token, account, server, slug, tool, weight, always):
        self.columns = (workspace, token, account, "", "bench", "modern", server, slug, tool)
        self.weight, self.always = weight, always
        self.keys = ((workspace, 0, NIL, NIL, "", ""), (workspace, 1, token, NIL, "", ""),
                     (workspace, 2, NIL, server, tool, slug), (workspace, 3, token, server, tool, slug))


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
                self.uses.append(Use(workspace, token, account, server, slug, tool, weight / (rank + 1), always))
        self.latencies = []
        for _ in range(LATENCIES):
            took = min(int(self.random.lognormvariate(10.5, 1.1)), 60_000_000)
            self.latencies.append((took, took * 9 // 10, bucket(took)))

    def hours(self, now_us: int, days: int):
        """(hour, share of all calls for people)."""
        end = now_us // HOUR
        for hour in range(end - days * 24 + 1, end + 1):
            of_day, weekday = hour % 24, (hour // 24 + 3) % 7
            people = (0.15 if weekday >= 5 else 1.0) * (1.0 if 8 <= of_day < 18 else 0.08)
            yield hour, people


def generate(team: Team, many: int, now_us: int, days: int, put_calls, put_sums):
    """Writes `many` calls. `put_calls` takes calls as `call` makes them, `put_sums` rows in the order of the columns."""
    hours = list(team.hours(now_us, days))
    people = sum(use.weight for use in team.uses if not use.always)
    always = sum(use.weight for use in team.uses if use.always)
    scale = many / (people * sum(share for _, share in hours) + always * len(hours) * 0.4)
    written, weeks = 0, {}
    for day, of_day in itertools.groupby(hours, lambda hour: hour[0] // 24):
        by_day: dict = {}
        for hour, share in of_day:
            left = many - written
            calls = hour_of_calls(team, hour, now_us, (share * scale, 0.4 * scale), left if hour == hours[-1][0] else None)[:left]
            written += len(calls)
            put_calls(calls)
            by_hour: dict = {}
            if hour * HOUR < now_us - MINUTES_KEPT:
                add_up(by_hour, cuts(calls))
            else:
                for minute, of_minute in itertools.groupby(calls, lambda call: call[1] // MINUTE):
                    by_minute = cuts(of_minute)
                    put_sums(rows(by_minute, BY_MINUTE, minute))
                    add_up(by_hour, by_minute)
            put_sums(rows(by_hour, BY_HOUR, hour))
            add_up(by_day, by_hour)
        put_sums(rows(by_day, BY_DAY, day))
        add_up(weeks.setdefault(day // 7, {}), by_day)
    for week, sums in weeks.items():
        put_sums(rows(sums, BY_WEEK, week))
    return written


def hour_of_calls(team, hour, now_us, scales, exactly):
    rnd, begin = team.random, hour * HOUR
    length = min(HOUR, now_us - begin)
    calls = []
    for use in team.uses:
        expected = use.weight * scales[use.always] * length / HOUR
        calls += [call(team, begin, length, use) for _ in range(int(expected) + (rnd.random() < expected % 1))]
    while exactly is not None and len(calls) < exactly:
        calls.append(call(team, begin, length, rnd.choice(team.uses)))
    calls.sort(key=lambda call: call[1])
    return calls


def call(team, begin, length, use):
    """(id, when, who and what, outcome, (latency, upstream's part of it, its bucket))."""
    rnd = team.random
    at = begin + int(rnd.random() * length)
    odd = rnd.random()
    outcome = 0 if odd > 0.03 else 1 if odd > 0.01 else -32011
    bits = rnd.getrandbits(74)
    id = (at // 1000) << 80 | 0x7 << 76 | bits >> 62 << 64 | 0x2 << 62 | bits & 0x3FFFFFFFFFFFFFFF
    return id.to_bytes(16), at, use, outcome, team.latencies[int(rnd.random() * LATENCIES)]


def cuts(calls):
    """Calls of one slot, summed up in each way."""
    by_use: dict = {}
    for _, at, use, outcome, (took, upstream, bucket_of_it) in calls:
        one = by_use.get(use)
        if one is None:
            one = by_use[use] = Sum()
        one.calls += 1
        if outcome:
            one.tool_errors += outcome == 1
            one.errors += outcome < 0
        one.latency += took
        one.upstream += upstream
        one.last = at if at > one.last else one.last
        one.histogram[bucket_of_it] = one.histogram.get(bucket_of_it, 0) + 1
    sums: dict = {}
    for use, one in by_use.items():
        for key in use.keys:
            into = sums.get(key)
            if into is None:
                into = sums[key] = Sum()
            into.add(one)
    return sums


def add_up(into, sums):
    for key, one in sums.items():
        own = into.get(key)
        if own is None:
            own = into[key] = Sum()
        own.add(one)


def rows(sums, grain, slot):
    for key in sorted(sums):
        (workspace, cut, token, server, tool, slug), one = key, sums[key]
        yield (workspace, cut, grain, slot, token, server, tool, slug, one.calls, one.tool_errors, one.errors, one.latency,
               one.upstream, one.calls * BYTES_IN, one.calls * BYTES_OUT, one.last, stored(one.histogram))


def into_sqlite(path, team, many, now_us, days):
    """In one transaction."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -200000")

    def insertion(table, columns):
        return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"

    def put_calls(calls):
        db.executemany(insertion("tool_calls", CALL_COLUMNS),
                       ((id, at, *use.columns, outcome, took[0], took[1], BYTES_IN, BYTES_OUT) for id, at, use, outcome, took in calls))

    def put_sums(sums):
        db.executemany(insertion("tool_call_sums", SUM_COLUMNS), sums)

    written = generate(team, many, now_us, days, put_calls, put_sums)
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
        return "\\N" if value is None else value.hex() if isinstance(value, bytes) else str(value)

    of_use = {use: "\t".join(map(text, use.columns)) for use in team.uses}
    calls, sums = copier("tool_calls", CALL_COLUMNS), copier("tool_call_sums", SUM_COLUMNS)

    def put_calls(some):
        lines = [f"{id.hex()}\t{at}\t{of_use[use]}\t{outcome}\t{took[0]}\t{took[1]}\t{BYTES_IN}\t{BYTES_OUT}\n"
                 for id, at, use, outcome, took in some]
        calls.stdin.write("".join(lines).encode())

    def put_sums(some):
        # The last column of sums is bytes, those before it are ids.
        lines = ["\t".join(map(text, row[:-1])) + "\t\\\\x" + row[-1].hex() + "\n" for row in some]
        sums.stdin.write("".join(lines).encode())

    written = generate(team, many, now_us, days, put_calls, put_sums)
    for copy in (calls, sums):
        copy.stdin.close()
        if copy.wait() != 0:
            raise SystemExit("psql could not copy")
    subprocess.run(["psql", "-q", "-d", url, "-c", "ANALYZE tool_calls", "-c", "ANALYZE tool_call_sums"], check=True)
    return written
