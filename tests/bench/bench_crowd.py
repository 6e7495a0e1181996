"""The benchmark beside a crowd of streams that stand still (trove_crowd.c): what they take from the others, and what they cost.

- Beside and Undisturbed: one transfer over tcp, while 1,000 connections with a download and an upload each stand still, and while
  nobody else is there. Each has a server of its own, so that the memory of one tells nothing of the other; the crowd comes before
  each run and is gone after it, untimed, so that what it may cost while it stands is not in the other's figure.
- OpenStreams: 1,000 connections with ten idle streams each, and the server's memory.

The store is local, in memory (tmpfs): the one that is meant to be used, in which an upload that stands holds a file and its place
in the store, as it wouldn't in null; mem would have to hold the transfer's object in its own bounded memory; and no disk is measured.
Streams of the crowd have small windows, for the clients' sake: they hold what comes down, all 1,000 in one process, which takes 2 GB
with the 10,000 streams. What each of those has moved, 128 KiB, is more than an object that is kept in the store's index has: they are files.

Descriptors: troved takes one a connection and one for each file it reads or writes, 11,000 and some for the 10,000 streams; the crowd
one a connection. Both raise their soft limit to the hard one, which must allow it (`ulimit -Hn`).
"""
import json
import pathlib
import re
import resource

from bench_competitors import MIB, Competitor, JsonClient, Sample, start_troved
from bench_processes import BenchError, Server, run

CONNECTIONS = 1000
CROWD_TIMEOUT_S = 120


class Crowd:
    def __init__(self, work, mode, streams, chunk, window):
        self.work = work
        self.arguments = [mode, "--connections", CONNECTIONS, "--count", streams, "--chunk", chunk, "--window", window]
        self.descriptors = CONNECTIONS + streams + 200
        self.server = None

    def come(self, troved, name):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard != resource.RLIM_INFINITY and hard < self.descriptors:
            raise BenchError(f"needs {self.descriptors} file descriptors a process, the hard limit (ulimit -Hn) is {hard}")
        command = [self.work.built("trove_crowd"), *self.arguments, "--server", troved.url]
        self.server = Server(self.work, name, [str(part) for part in command], start_timeout_s=CROWD_TIMEOUT_S)

    def go(self, troved):
        self.work.servers.remove(self.server)
        self.server.stop()
        troved_pool(self.work, troved, until_idle=True)


def troved_pool(work, troved, until_idle=False):
    """What the server says of its default pool, and with it of its memory."""
    trove = [work.built("trove"), "--json", "--server", troved.url, "pools"]
    while True:
        pool = json.loads(run(trove).output.splitlines()[0])
        if not until_idle or pool["streams_active"] == 0:
            return pool


def resident_mib(troved, field):
    status = pathlib.Path(f"/proc/{troved.process.pid}/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE).group(1)) / 1024


class Beside(JsonClient):
    """Its figures of memory are taken at the end of the transfer, while the crowd still stands."""

    name = "ours"
    crowded = True

    def __init__(self, work, mode, arguments):
        super().__init__(work, mode, "tcp", arguments)
        self.crowd = Crowd(work, "stalled", 2 * CONNECTIONS, 64 << 10, 4)

    def client(self):
        return [self.work.built("trove_bench")]

    def start(self):
        store = f"local://{self.work.folder('/dev/shm')}"
        self.server = start_troved(self.work, self.listen(), store, f"troved-{self.name}")
        if self.mode == "down":
            run([*self.client(), "up", "--server", self.server.url, *self.arguments])  # under the key that down reads

    def prepare(self):
        if self.crowded:
            self.crowd.come(self.server, f"crowd-{self.name}")

    def run(self):
        sample = super().run()
        pool = troved_pool(self.work, self.server)
        budget = pool["memory_budget_bytes"]
        if pool["memory_high_water_bytes"] > budget:
            raise BenchError(f"{self.name}: {pool['memory_high_water_bytes']} bytes were in use, the budget is {budget}")
        of_budget = f"MiB of {budget // MIB}"
        sample.figures = {
            "memory in use after it": (pool["memory_in_use_bytes"] / MIB, of_budget),
            "memory high water": (pool["memory_high_water_bytes"] / MIB, of_budget),
            "troved's RSS": (resident_mib(self.server, "VmRSS"), "MiB"),
        }
        return sample

    def clean(self):
        if self.crowded:
            self.crowd.go(self.server)


class Undisturbed(Beside):
    name = "none"
    crowded = False


class OpenStreams(Competitor):
    """A new server each time: some of what was used and freed stays resident, all of it for some seconds."""

    name = "ours"
    streams = 10_000

    def start(self):
        pass

    def prepare(self):
        store = f"local://{self.work.folder('/dev/shm')}"
        self.server = start_troved(self.work, "tcp://127.0.0.1:0", store, f"troved-{self.name}")

    def run(self):
        before = resident_mib(self.server, "VmRSS")
        Crowd(self.work, "open", self.streams, 64 << 10, 2).come(self.server, f"crowd-{self.name}")
        active = troved_pool(self.work, self.server)["streams_active"]
        if active != self.streams:
            raise BenchError(f"{active} streams are open, not {self.streams}")
        after = resident_mib(self.server, "VmRSS")
        megabytes = MIB / 1e6
        sample = Sample(0.0, 0.0, 0.0)
        sample.figures = {
            "RSS (goal: below 200)": (after * megabytes, "MB"),
            "RSS at its highest": (resident_mib(self.server, "VmHWM") * megabytes, "MB"),
            "RSS per stream, connections included": ((after - before) * MIB / 1e3 / self.streams, "kB"),
        }
        return sample

    def clean(self):
        for server in (self.work.servers.pop(), self.work.servers.pop()):
            server.stop()
