#!/usr/bin/env python3
"""The benchmark's runner: ours and its peers side by side in one run.

A group is a task that ours and one or more peers do. Each round runs all of them once, one after the other, in an order
that changes, after one uncounted round that warms memory, disk and caches. A row compares ours with one peer: the medians
of both, and the median over the rounds of ours divided by the peer's (so a slow phase of the machine hits both). CPU rows
count both ends: client and server process with all their children. What the kernel does in threads of its own (writing
back to disk) is in nobody's figure.

How each competitor is used:
- pump and grpc are peers/pump.h and peers/grpc_peer.h; the clients' interface is bench_client.h, for ours too.
- Encrypted: ours with keys on both sides, the pump with the same cipher (AES-256-GCM, which the machine must have) and records of
  the same size; both sum their chunks besides. The pump has no handshake. grpc has TLS 1.3 with that cipher (OpenSSL's
  TLS_AES_256_GCM_SHA384, in its records of 16 KiB) and a certificate that its client checks.
- redis: appendfsync always, redis-benchmark with 50 clients, pipelined by 16, random keys.
- nginx and rsync do not checksum on disk what they store, and rsync and curl are timed from start to exit, as are trove's
  put and get and the pump's file modes.
- Durable: trove and the pump sync file, name and folder before they answer. rsync gets --fsync (file only). nginx can't
  sync: `sync -d FILE` on what it stored is timed along with curl. Both get away without syncing the folder.
- Getting to disk is not synced by anyone. Before every disk run all dirty pages are written back, untimed.
- Destination files are deleted after every run, untimed, for all the same; memory is touched before it (warm_memory).

With --against the only peer is ours as it was at another commit (run.sh builds it), called "then": its server, its client and its
library. What then hadn't got yet is skipped, or fails.

Rows that compare ours with nobody else (bench_crowd.py says how, and what they need):
- "up beside 1,000 stalled peers vs none": ours while that many clients' downloads and uploads stand still, "peer" without them. The
  others' throughput is to stay within 10 %: a ratio of 0.9 or more. The server's memory likewise; past its budget, the row fails.
- "1,000 connections, 10,000 open streams": the server's resident memory, which is to stay below 200 MB; no peer, no ratio.

bench_competitors.py uses each of the others, bench_processes.py starts and ends what runs. Only the standard library. Every
server listens on 127.0.0.1 on a port of its own or on a unix socket below one temporary folder; processes are ended by id
and folders removed at exit.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import re
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable

from bench_competitors import GIB, MIB, Files, FileOurs, FilePump, Grpc, Nginx, Ours, Pump, Redis, Rsync
from bench_competitors import SealedGrpc, SealedOurs, SealedPump
from bench_crowd import CONNECTIONS, Beside, OpenStreams, Undisturbed
from bench_processes import RUN_TIMEOUT_S, BenchError, Missing, Work


@dataclasses.dataclass
class Group:
    name: str
    unit: str
    amount: str | None  # what CPU is counted per: GiB, or call; None: nothing is timed, the samples' figures are the rows
    needs: tuple  # programs of ours
    make: Callable  # () -> [(class, arguments)] of ours and its peers, if any
    rounds_max: int = 1000


def stream_group(work, name, mode, transport, gib):
    size = gib * GIB // (4 if work.options.quick else 1)
    arguments = ["--bytes", size, "--chunk", MIB, "--window", 16]
    task = (work, mode, transport, arguments)
    needs = ("troved", "trove_bench")
    return Group(f"{name} {transport}", "GiB/s", "GiB", needs, lambda: [(Ours, task), (Pump, task), (Grpc, task)])


def sealed_group(work, name, mode, gib):
    arguments = ["--bytes", gib * GIB // (4 if work.options.quick else 1), "--chunk", MIB, "--window", 16]
    task = (work, mode, "tcp", arguments)
    needs = ("troved", "trove", "trove_bench")
    kinds = (SealedOurs, SealedPump, SealedGrpc)
    return Group(f"{name} encrypted tcp", "GiB/s", "GiB", needs, lambda: [(kind, task) for kind in kinds])


def unary_group(work, name, mode, count, window):
    count = count // 4 if work.options.quick else count
    task = (work, mode, "tcp", ["--count", count, "--chunk", 1024, "--window", window])
    return Group(name, "calls/s", "call", ("troved", "trove_bench"), lambda: [(Ours, task), (Grpc, task)])


def durable_group(work):
    count = 100_000 if work.options.quick else 400_000
    disk = work.options.disk
    ours = (work, "durable-put", "tcp", ["--count", count, "--chunk", 1024, "--connections", 50, "--window", 16], disk)
    needs = ("troved", "trove_bench", "trove")
    return Group("durable put 1 KiB", "puts/s", "call", needs, lambda: [(Ours, ours), (Redis, (work, disk, count))])


def file_group(work, name, get, on_disk):
    file_bytes = 256 * MIB if work.options.quick else GIB
    parent = work.options.disk if on_disk else "/dev/shm"

    def make():
        files = Files(work, parent, file_bytes, on_disk)
        return [(kind, (work, files, get)) for kind in (FileOurs, FilePump, Nginx, Rsync)]

    return Group(name, "GiB/s", "GiB", ("troved", "trove"), make)


def beside_group(work, mode):
    task = (work, mode, ["--bytes", GIB // (4 if work.options.quick else 1), "--chunk", MIB, "--window", 16])
    name = f"{mode} beside {CONNECTIONS:,} stalled peers"
    needs = ("troved", "trove", "trove_bench", "trove_crowd")
    return Group(name, "GiB/s", "GiB", needs, lambda: [(Beside, task), (Undisturbed, task)])


def open_group(work):
    name = f"{CONNECTIONS:,} connections, {OpenStreams.streams:,} open streams"
    needs = ("troved", "trove", "trove_crowd")
    return Group(name, "", None, needs, lambda: [(OpenStreams, (work,))], rounds_max=3)


def all_groups(work):
    streams = [("up", "up", 4), ("down", "down", 4), ("two-way", "both", 2)]  # GiB each way
    groups = [stream_group(work, *stream[:2], transport, stream[2]) for stream in streams for transport in ("tcp", "ipc")]
    groups += [sealed_group(work, mode, mode, 2) for mode in ("up", "down")]
    groups.append(unary_group(work, "unary 1 KiB pipelined", "unary-pipelined", 400_000, 128))
    groups.append(unary_group(work, "unary 1 KiB one at a time", "unary-one", 40_000, 1))
    groups.append(durable_group(work))
    groups.append(file_group(work, "file put tmpfs", get=False, on_disk=False))
    groups.append(file_group(work, "file get tmpfs", get=True, on_disk=False))
    groups.append(file_group(work, "file put disk durable", get=False, on_disk=True))
    groups.append(file_group(work, "file get disk", get=True, on_disk=True))
    groups += [beside_group(work, "up"), beside_group(work, "down"), open_group(work)]
    return groups


def in_turn(competitors, number):
    """Another one begins each round until all have, then the same backwards: nobody always runs first, or after the same one."""
    count = len(competitors)
    first = number % count
    order = competitors[first:] + competitors[:first]
    return order if number // count % 2 == 0 else order[::-1]


def measure(competitors, rounds):
    """{competitor's name: [Sample per round]}, after an uncounted and checked round."""
    samples = {competitor.name: [] for competitor in competitors}
    for number in range(-1, rounds):
        for competitor in in_turn(competitors, number + 1):
            competitor.prepare()
            sample = competitor.run()
            if number < 0:
                competitor.check()
            else:
                samples[competitor.name].append(sample)
            competitor.clean()
    return samples


def row(name, unit, ours, peers):
    """ours and peers: the same figure, round by round."""
    ratios = [mine / theirs for mine, theirs in zip(ours, peers) if theirs > 0]
    return {
        "name": name,
        "ours": statistics.median(ours),
        "peer": statistics.median(peers),
        "ratio": statistics.median(ratios) if ratios else None,
        "unit": unit,
    }


def figure_rows(name, ours, peers):
    """The further figures that all samples have; peers: None where there is nobody to compare with."""
    rows = []
    for label, (_, unit) in ours[0].figures.items():
        mine = [s.figures[label][0] for s in ours]
        if peers is None:
            median = statistics.median(mine)
            rows.append({"name": f"{name}, {label}", "ours": median, "peer": None, "ratio": None, "unit": unit})
        else:
            rows.append(row(f"{name}, {label}", unit, mine, [s.figures[label][0] for s in peers]))
    return rows


def rows_of(group, ours, peer_name, peers):
    name = f"{group.name} vs {peer_name}"
    if group.amount is None:
        return figure_rows(name, ours, peers)
    rows = [row(name, group.unit, [s.value for s in ours], [s.value for s in peers])]
    for key in ("p50_us", "p99_us"):
        if group.name.endswith("one at a time") and all(key in s.latency for s in ours + peers):
            label = f"{name}, {key.removesuffix('_us')}"
            rows.append(row(label, "us", [s.latency[key] for s in ours], [s.latency[key] for s in peers]))
    scale, unit = (1.0, "cpu-s/GiB") if group.amount == "GiB" else (1e6, "cpu-us/call")
    cpu = [[scale * s.cpu_s / s.amount for s in side] for side in (ours, peers)]
    rows.append(row(f"{name}, cpu", unit, *cpu))
    return rows + figure_rows(name, ours, peers)


def competitors_of(work, group):
    """Ours first. When calibrating, the first peer once more in the place of ours. Against a commit, ours of then in the place of
    all peers."""
    if not work.options.calibrate:
        for name in group.needs:
            work.built(name)
    entries = group.make()
    if work.options.against:
        kind, task = entries[0]
        entries = [entries[0], (type("Then", (kind,), {"name": "then"}), (work.then(), *task[1:]))]
    if work.options.calibrate:
        if len(entries) == 1:
            raise Missing("peer of it")
        peer, task = entries[1]
        entries[0] = (type("StandIn", (peer,), {"name": "ours"}), task)
    return [kind(*task) for kind, task in entries]


def run_group(work, group):
    competitors = competitors_of(work, group)
    for competitor in competitors:
        competitor.start()
    samples = measure(competitors, min(work.options.rounds, group.rounds_max))
    if len(competitors) == 1:
        return figure_rows(group.name, samples["ours"], None)
    rows = []
    for peer in competitors[1:]:
        rows += rows_of(group, samples["ours"], peer.name, samples[peer.name])
    return rows


def run_all(work):
    """Rows, and how many groups failed; one that fails doesn't keep the others from running."""
    rows = []
    failed = 0
    for group in all_groups(work):
        if work.options.only and not re.search(work.options.only, group.name):
            continue
        print(f"... {group.name}", file=sys.stderr)
        try:
            with work.group():
                rows += run_group(work, group)
        except Missing as missing:
            print(f"note: {group.name} skipped: there is no {missing}", file=sys.stderr)
        except BenchError as error:
            failed += 1
            print(f"error: {group.name}: {error}", file=sys.stderr)
    return rows, failed


def print_table(rows, calibrate):
    first = "stand-in" if calibrate else "ours"
    width = max([len(r["name"]) for r in rows] + [4])
    print(f"{'row':{width}}  {first:>11}  {'peer':>11}  {'ratio':>6}  unit")
    for r in rows:
        ratio = "-" if r["ratio"] is None else f"{r['ratio']:.2f}"
        print(f"{r['name']:{width}}  {figure(r['ours']):>11}  {figure(r['peer']):>11}  {ratio:>6}  {r['unit']}")
    print("ratio: median over the rounds of ours / peer; above 1 is better for .../s, below 1 for us, cpu and memory")


def figure(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def parse_options():
    parser = argparse.ArgumentParser(description="ours and its peers side by side")
    parser.add_argument("--build", required=True, type=pathlib.Path, help="folder with the built programs")
    parser.add_argument("--quick", action="store_true", help="3 rounds and smaller sizes")
    parser.add_argument("--rounds", type=int, help="counted rounds (9, quick 3)")
    parser.add_argument("--json", type=pathlib.Path, help="also write the rows to this file")
    parser.add_argument("--disk", default=tempfile.gettempdir(), help="folder on the disk to measure")
    parser.add_argument("--only", help="only groups whose name matches this regular expression")
    parser.add_argument("--against", type=pathlib.Path, help="folder with ours of another time, the only peer then")
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="without ours: the first peer of each group stands in for it, so the ratio against it shows the noise",
    )
    options = parser.parse_args()
    if options.against and options.calibrate:
        parser.error("--calibrate is without ours, --against is ours alone")
    options.rounds = options.rounds or (3 if options.quick else 9)
    return options


def on_signal(number, _frame):
    if number == signal.SIGALRM:
        raise BenchError(f"a run took longer than {RUN_TIMEOUT_S} s")
    raise SystemExit(128 + number)


def main():
    options = parse_options()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, on_signal)
    work = Work(options)
    try:
        rows, failed = run_all(work)
    finally:
        work.close()
    print_table(rows, options.calibrate)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
