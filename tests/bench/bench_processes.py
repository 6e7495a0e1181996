"""Processes, their CPU time, and the folders of a benchmark run: everything started or made here ends with the run."""
import contextlib
import copy
import dataclasses
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

START_TIMEOUT_S = 20
RUN_TIMEOUT_S = 600
STOP_TIMEOUT_S = 10


class BenchError(Exception):
    """A competitor that didn't do what it should; the message says which and shows its output."""


class Missing(Exception):
    """A program that isn't there."""


def cpu_clock_s(pid):
    """CPU seconds of a running process with all its threads, past ones too, in nanosecond steps."""
    return time.clock_gettime((~pid << 3) | 2)


def stat_fields(pid):
    """/proc/PID/stat from the third field on (the second may hold spaces)."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def children_of(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if int(stat_fields(entry)[1]) == pid:
                    found.append(int(entry))
    return found


def tree_cpu_s(pid):
    """CPU seconds of a process, its living descendants, and the children that any of them has waited for."""
    total = cpu_clock_s(pid)
    fields = stat_fields(pid)
    total += (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    for child in children_of(pid):
        with contextlib.suppress(OSError):
            total += tree_cpu_s(child)
    return total


class Server:
    """A process started for a group, stopped at its end. url is what its ready line says it listens on, if anything."""

    def __init__(self, work, name, command, ready_port=None, start_timeout_s=START_TIMEOUT_S, **popen):
        self.name = name
        self.log = work.path(f"{name}.log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **popen
            )
        self.url = None
        work.servers.append(self)
        deadline = time.monotonic() + start_timeout_s
        while not (listens(self.process.pid, ready_port) if ready_port else self._says_ready()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"{name} didn't start:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)

    def _says_ready(self):
        for line in self.log.read_text(errors="replace").splitlines():
            if "msg=ready" in line:
                match = re.search(r'listen="?((?:tcp|ipc)://[^\s",]+)', line)
                self.url = match.group(1) if match else None
                return True
        return False

    def cpu_s(self):
        return tree_cpu_s(self.process.pid)

    def wait_childless(self):
        """For servers that fork for a connection: until the child's CPU has gone over to its parent."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while children_of(self.process.pid) and time.monotonic() < deadline:
            time.sleep(0.005)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                print(f"note: {self.name} didn't end on SIGTERM within {STOP_TIMEOUT_S} s", file=sys.stderr)
                self.process.kill()
                self.process.wait()


@dataclasses.dataclass
class Finished:
    output: str
    seconds: float  # from start to exit
    cpu_s: float  # with the children that it waited for


def run(command, **popen):
    """Runs a command to its end. BenchError unless it exits with 0."""
    command = [str(part) for part in command]
    with tempfile.TemporaryFile() as output:
        started = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, **popen
        )
        signal.alarm(RUN_TIMEOUT_S)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            signal.alarm(0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode != 0:
        raise BenchError(f"{' '.join(command)}: exit code {process.returncode}\n{text[-2000:]}")
    return Finished(text, seconds, usage.ru_utime + usage.ru_stime)


def listens(pid, port):
    """Whether the process itself listens on the port: another one may have got hold of it."""
    inodes = set()
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
            inodes.add(f"socket:[{fields[9]}]")
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/{descriptor}") in inodes:
                    return True
    return False


def server_on_free_port(work, name, make_command):
    """For servers that want to be told their port, by make_command(port). Returns the server and its port; where another process
    takes the port first, another one is tried."""
    for last in (False, False, True):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        try:
            return Server(work, name, [str(part) for part in make_command(port)], ready_port=port), port
        except BenchError:
            if last:
                raise
            work.servers.pop().stop()


def program(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise Missing(name)
    return found


class Work:
    """The folders and servers of one run, and what the command line asked for."""

    def __init__(self, options):
        self.options = options
        self.servers = []
        self.folders = []
        self.scratch = self.temporary = self.folder(tempfile.gettempdir())

    def folder(self, parent):
        made = pathlib.Path(tempfile.mkdtemp(prefix="trove-bench-", dir=parent))
        self.folders.append(made)
        return made

    def path(self, name):
        """In the folder of the group that runs."""
        return self.scratch / name

    @contextlib.contextmanager
    def group(self):
        """A group's servers and folders live as long as this."""
        before = len(self.folders)
        self.scratch = self.folder(self.temporary)
        try:
            yield
        finally:
            self.stop_servers()
            while len(self.folders) > before:
                shutil.rmtree(self.folders.pop(), ignore_errors=True)

    def built(self, name):
        """A program of this project: from the build folder only, never another one that happens to be installed."""
        for path, _, files in os.walk(self.options.build):
            candidate = os.path.join(path, name)
            if name in files and os.access(candidate, os.X_OK):
                return candidate
        raise Missing(name)

    def then(self):
        """The same run with the programs of the build that it is compared against."""
        other = copy.copy(self)
        other.options = copy.copy(self.options)
        other.options.build = self.options.against
        return other

    def stop_servers(self):
        while self.servers:
            self.servers.pop().stop()

    def close(self):
        self.stop_servers()
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
