"""The benchmark's competitors, ours and the peers: how each is started, used once, and checked. bench.py compares them."""
import dataclasses
import filecmp
import json
import mmap
import os
import shutil

from bench_processes import BenchError, Server, program, run, server_on_free_port

GIB = 1 << 30
MIB = 1 << 20


@dataclasses.dataclass
class Sample:
    """One timed run. cpu_s is of both ends; amount is in the unit that value counts per second; figures are further ones by name,
    each with its unit."""

    value: float
    cpu_s: float
    amount: float
    latency: dict = dataclasses.field(default_factory=dict)
    figures: dict = dataclasses.field(default_factory=dict)


class Competitor:
    """start() brings its server up; run() gives a Sample; prepare() and clean(), untimed, come before and after it."""

    name = ""

    def __init__(self, work):
        self.work = work
        self.server = None

    def start(self):
        raise NotImplementedError

    def prepare(self):
        pass

    def run(self):
        raise NotImplementedError

    def clean(self):
        pass

    def check(self):
        """After the warm-up: did the bytes arrive?"""


class JsonClient(Competitor):
    """Anything whose client speaks the interface of bench_client.h."""

    def __init__(self, work, mode, transport, arguments):
        super().__init__(work)
        self.mode = mode
        self.transport = transport
        self.arguments = arguments

    def client(self):
        raise NotImplementedError

    def listen(self):
        if self.transport == "tcp":
            return "tcp://127.0.0.1:0"
        return f"ipc://{self.work.path(self.name + '.sock')}"

    def run(self):
        before = self.server.cpu_s()
        done = run([*self.client(), self.mode, "--server", self.server.url, *self.arguments])
        server_cpu_s = self.server.cpu_s() - before
        report = json.loads(done.output.strip().splitlines()[-1])
        stream = self.mode in ("up", "down", "both")
        amount = report["bytes"] / GIB if stream else report["ops"]
        latency = {key: report[key] for key in ("p50_us", "p99_us") if report.get(key) is not None}
        return Sample(amount / report["seconds"], report["cpu_client_s"] + server_cpu_s, amount, latency)


class Pump(JsonClient):
    name = "pump"

    def client(self):
        return [self.work.built("pump"), "client"]

    def start(self):
        self.server = Server(self.work, self.name, [self.work.built("pump"), "server", self.listen()])


class Grpc(JsonClient):
    name = "grpc"

    def client(self):
        return [self.work.built("grpc_peer"), "client"]

    def start(self):
        self.server = Server(self.work, self.name, [self.work.built("grpc_peer"), "server", self.listen()])


def start_troved(work, listen, store, name):
    """The server of ours; a store that keeps objects gets the bucket `bench`."""
    server = Server(work, name, [work.built("troved"), "--listen", listen, "--store", store, "--insecure"])
    if store != "null://":
        run([work.built("trove"), "--server", server.url, "mb", "bench"])
    return server


class Ours(JsonClient):
    name = "ours"

    def __init__(self, work, mode, transport, arguments, disk=None):
        super().__init__(work, mode, transport, arguments)
        self.disk = disk

    def client(self):
        return [self.work.built("trove_bench")]

    def start(self):
        store = "null://" if self.disk is None else f"local://{self.work.folder(self.disk)}"
        self.server = start_troved(self.work, self.listen(), store, f"troved-{self.name}")


class SealedPump(Pump):
    def __init__(self, work, mode, transport, arguments):
        super().__init__(work, mode, transport, [*arguments, "sealed"])


TLS_CONFIG = """
openssl_conf = library
[library]
ssl_conf = contexts
[contexts]
system_default = tls
[tls]
MinProtocol = TLSv1.3
Ciphersuites = TLS_AES_256_GCM_SHA384
"""


class SealedGrpc(Grpc):
    """TLS with the cipher that ours has, which is OpenSSL's first choice too; its server takes no other. The client trusts the one
    certificate and checks it and the name, as it would elsewhere."""

    def start(self):
        self.certificate, key, config = (self.work.path(f"{self.name}.{end}") for end in ("crt", "key", "cnf"))
        config.write_text(TLS_CONFIG)
        make = [program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2]
        make += ["-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", self.certificate]
        run(make)
        command = [self.work.built("grpc_peer"), "server", self.listen(), self.certificate, key]
        self.server = Server(self.work, self.name, command, env={**os.environ, "OPENSSL_CONF": str(config)})
        self.arguments = [*self.arguments, self.certificate]


class SealedOurs(Ours):
    """Ours with keys: everything is encrypted."""

    def start(self):
        folder = self.work.folder("/dev/shm")
        own, server = (self._make_key(os.path.join(folder, name)) for name in ("own", "server"))
        authorized = os.path.join(folder, "authorized_keys")
        config = os.path.join(folder, "troved.yaml")
        with open(authorized, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(f"bench {own} all\n")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"key_file: {folder}/server\nauthorized_keys: {authorized}\n")
        command = [self.work.built("troved"), "--config", config, "--listen", self.listen(), "--store", "null://"]
        self.server = Server(self.work, f"troved-sealed-{self.name}", command)
        self.server.url += f"?key={server}"
        self.key_file = os.path.join(folder, "own")

    def _make_key(self, path):
        done = run([self.work.built("trove"), "--quiet", "keygen", "--output", path])
        return done.output.strip()

    def client(self):
        return ["env", f"TROVE_KEY_FILE={self.key_file}", self.work.built("trove_bench")]


class Redis(Competitor):
    name = "redis"

    def __init__(self, work, disk, count):
        super().__init__(work)
        self.disk = disk
        self.count = count

    def start(self):
        command = [program("redis-server"), "--bind", "127.0.0.1", "--dir", self.work.folder(self.disk)]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        command += ["--auto-aof-rewrite-percentage", 0]  # no rewrite of the log in the middle of a run
        self.server, self.port = server_on_free_port(self.work, self.name, lambda port: [*command, "--port", port])

    def run(self):
        before = self.server.cpu_s()
        command = [program("redis-benchmark"), "-p", self.port, "-t", "set", "-d", 1024, "-c", 50, "-P", 16]
        done = run([*command, "-n", self.count, "-r", self.count, "--csv"])
        cpu_s = done.cpu_s + self.server.cpu_s() - before
        line = done.output.strip().splitlines()[-1].replace('"', "").split(",")
        return Sample(float(line[1]), cpu_s, self.count)


class FileCompetitor(Competitor):
    """Moves the group's file to the server (put) or from it (get). served is the server's folder."""

    def __init__(self, work, files, get):
        super().__init__(work)
        self.files = files
        self.get = get
        self.served = files.folder / f"served-{self.name}"
        self.destination = files.folder / f"got-{self.name}" if get else self.served / "object"

    def make_served(self):
        """For get the server finds the source under the name `object`; a link is as good as a copy for reading."""
        self.served.mkdir()
        if self.get:
            os.link(self.files.source, self.served / "object")

    def prepare(self):
        self.files.settle()

    def clean(self):
        self.destination.unlink(missing_ok=True)

    def command(self):
        raise NotImplementedError

    def transfer(self):
        """Runs the client; returns wall and CPU seconds."""
        done = run(self.command())
        return done.seconds, done.cpu_s

    def run(self):
        before = self.server.cpu_s()
        seconds, cpu_s = self.transfer()
        if self.forks:
            self.server.wait_childless()
        cpu_s += self.server.cpu_s() - before
        gib = self.files.bytes / GIB
        return Sample(gib / seconds, cpu_s, gib)

    forks = False

    def check(self):
        if not filecmp.cmp(self.files.source, self.destination, shallow=False):
            raise BenchError(f"{self.name}: {self.destination} differs from its source")


class FilePump(FileCompetitor):
    name = "pump"

    def start(self):
        self.make_served()
        command = [self.work.built("pump"), "server", "tcp://127.0.0.1:0", "--root", self.served]
        self.server = Server(self.work, self.name, command + ["--durable"] * self.files.durable)

    def command(self):
        client = [self.work.built("pump"), "client", "file-get" if self.get else "file-put", "--server", self.server.url]
        return [*client, "object", self.destination] if self.get else [*client, self.files.source, "object"]


NGINX_CONFIG = """
{user}
daemon off;
worker_processes 1;
pid {run}/nginx.pid;
error_log stderr error;
events {{ worker_connections 64; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    client_max_body_size 0;
    client_body_buffer_size 1m;
    client_body_temp_path {served}/.body;
    proxy_temp_path {run}/proxy;
    fastcgi_temp_path {run}/fastcgi;
    uwsgi_temp_path {run}/uwsgi;
    scgi_temp_path {run}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {served};
        location / {{ dav_methods PUT; }}
    }}
}}
"""


class Nginx(FileCompetitor):
    """client_body_temp_path lies in the served folder, so that storing is a rename and not a copy."""

    name = "nginx"

    def start(self):
        self.make_served()
        folder = self.work.folder(self.work.scratch)
        user = "user root;" if os.geteuid() == 0 else ""
        config = folder / "nginx.conf"

        def command(port):
            config.write_text(NGINX_CONFIG.format(user=user, run=folder, served=self.served, port=port))
            return [program("nginx"), "-p", folder, "-c", config, "-e", "stderr"]

        self.server, self.port = server_on_free_port(self.work, self.name, command)

    def command(self):
        curl = [program("curl"), "--silent", "--show-error", "--fail", f"http://127.0.0.1:{self.port}/object"]
        if self.get:
            return [*curl, "--output", self.destination]
        return [*curl, "--header", "Expect:", "--upload-file", self.files.source]

    def transfer(self):
        seconds, cpu_s = super().transfer()
        if self.files.durable and not self.get:
            synced = run(["sync", "-d", self.destination])
            seconds += synced.seconds
            cpu_s += synced.cpu_s
        return seconds, cpu_s


RSYNC_CONFIG = """
port = {port}
address = 127.0.0.1
use chroot = no
reverse lookup = no
{user}
[bench]
path = {served}
read only = no
"""


class Rsync(FileCompetitor):
    name = "rsync"
    forks = True

    def start(self):
        self.make_served()
        user = "uid = root\ngid = root" if os.geteuid() == 0 else ""
        config = self.work.path(f"{self.name}.conf")

        def command(port):
            config.write_text(RSYNC_CONFIG.format(port=port, user=user, served=self.served))
            return [program("rsync"), "--daemon", "--no-detach", f"--config={config}"]

        self.server, self.port = server_on_free_port(self.work, self.name, command)

    def command(self):
        url = f"rsync://127.0.0.1:{self.port}/bench/object"
        client = [program("rsync"), "--whole-file"] + ["--fsync"] * (self.files.durable and not self.get)
        return [*client, url, self.destination] if self.get else [*client, self.files.source, url]


class FileOurs(FileCompetitor):
    name = "ours"

    def trove(self, *arguments):
        return [self.work.built("trove"), "--server", self.server.url, *arguments]

    def start(self):
        self.served.mkdir(mode=0o700)
        self.server = start_troved(self.work, "tcp://127.0.0.1:0", f"local://{self.served}", f"troved-{self.name}")
        if self.get:
            run(self.trove("put", self.files.source, "bench/object"))

    def clean(self):
        if self.get:
            super().clean()
        else:
            run(self.trove("rm", "bench/object"))

    def command(self):
        if self.get:
            return self.trove("get", "bench/object", self.destination)
        return self.trove("put", self.files.source, "bench/object")

    def check(self):
        if self.get:
            super().check()
            return
        back = self.files.folder / "back"
        run(self.trove("get", "bench/object", back))
        same = filecmp.cmp(self.files.source, back, shallow=False)
        back.unlink()
        if not same:
            raise BenchError("ours: the object differs from its source")


def warm_memory(size):
    """Touches and frees memory. A virtual machine may give free pages back to its host within seconds, and the next one
    to use them waits for the host: measured here, the same copy took six times as long."""
    zeros = bytes(MIB)
    with mmap.mmap(-1, size) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)  # large pieces are what the host gets back
        for _ in range(size // MIB):
            memory.write(zeros)


class Files:
    """One file group's folder and source file, both on the file system under test."""

    def __init__(self, work, parent, file_bytes, on_disk):
        self.folder = work.folder(parent)
        self.source = self.folder / "source"
        self.bytes = file_bytes
        self.on_disk = on_disk
        self.durable = on_disk
        needed = file_bytes * 4
        if shutil.disk_usage(self.folder).free < needed:
            raise BenchError(f"{parent}: needs {needed / GIB:.1f} GiB free")
        with open(self.source, "wb") as source:
            for _ in range(file_bytes // MIB):
                source.write(os.urandom(MIB))

    def settle(self):
        """Nobody is to pay for what another one has left dirty, nor for memory that a hypervisor has taken back."""
        if self.on_disk:
            os.sync()
        warm_memory(2 * self.bytes)
