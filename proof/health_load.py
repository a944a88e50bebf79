#!/usr/bin/env python3
"""What health checks cost requests: p99 with 2,000 servers probed every second, and without checks.

usage: health_load.py [--binary PATH] [--servers N] [--rate N] [--seconds N] [--rounds N] [--limit RATIO] [--unpinned]

Needs python3 and wrk; everything stays on loopback. One process listens as every probed server
(127.1.x.y, one port), another is the origin of the requests. wrk asks `pointsman run` at a steady rate below
saturation (in saturation any work beside the requests would show as latency, whoever does it), and the
checks of all groups are switched on and off by turns in the running process: what else the machine does
meanwhile falls on both. The median over the rounds is compared, and the lower quartile, which is what
quiet rounds say where the machine has other work. Exit status 1 when the medians' ratio is over the limit.
Figures of a debug build mean nothing.

With two cores or more, pointsman runs on the first alone, so that requests and checks compete for it,
and the rest on the others (--unpinned: everything anywhere, as in production); the listener of the
probed servers yields to the origin and to wrk, so that its own work is not taken for pointsman's.
"""
import argparse, contextlib, http.client, json, multiprocessing, os, re, resource, selectors, shutil, socket
import statistics, subprocess, sys, tempfile, time

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
WARM_UP = 10  # seconds at most until every server was probed twice
FIRST, REST = slice(0, 1), slice(1, None)  # of the cores
SCRIPT = """
math.randomseed(os.time())
function delay() return math.random(0, %d) end
function done(summary, latency, requests)
  local e = summary.errors
  print(string.format("p50 %%d p99 %%d requests %%d failed %%d", latency:percentile(50), latency:percentile(99),
    summary.requests, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def main():
    options = arguments()
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed (Debian: apt-get install wrk)")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    probes = multiprocessing.Value("Q", 0, lock=False)
    addresses = [f"127.1.{n // 250}.{n % 250 + 1}" for n in range(options.servers)]
    probed, origin = start_origins(addresses, probes, options.unpinned)
    try:
        return compare(options, addresses, probed.port, origin.port, probes)
    finally:
        for process in (probed, origin):
            process.terminate()
            process.join()


def arguments():
    parser = argparse.ArgumentParser(description="p99 with and without health checks")
    parser.add_argument("--binary", default="target/dist/pointsman")
    parser.add_argument("--servers", type=int, default=2000)
    parser.add_argument("--rate", type=int, default=2000, help="requests a second")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--limit", type=float, default=1.05)
    parser.add_argument("--unpinned", action="store_true", help="leave the choice of cores to the system")
    return parser.parse_args()


def compare(options, addresses, probed_port, origin_port, probes):
    rows = {"without": [], "with": []}
    print(f"{'round':5} {'checks':8} {'p50 us':>8} {'p99 us':>8} {'req/s':>8} {'failed':>7} {'probes/s':>9} {'CPU %':>6}")
    with running(options, addresses, probed_port, origin_port) as edge:
        for round_number in range(1, options.rounds + 1):
            # Which comes first alternates, so that a drift of the machine favours neither.
            for checks in sorted(rows, reverse=round_number % 2 == 0):
                edge.check(checks == "with", probes, len(addresses))
                row = measure(options, edge, probes)
                rows[checks].append(row)
                print(f"{round_number:5} {checks:8} {row['p50']:8} {row['p99']:8} {row['rate']:8.0f} {row['failed']:7}"
                      f" {row['probes']:9.0f} {row['cpu']:6.1f}", flush=True)
    failed = sum(row["failed"] for of in rows.values() for row in of)
    ratios = []
    for name, pick in (("median", statistics.median), ("lower quartile", lambda all: sorted(all)[len(all) // 4])):
        p99 = {checks: pick([row["p99"] for row in of]) for checks, of in rows.items()}
        ratios.append(p99["with"] / p99["without"])
        print(f"p99, {name}: {p99['without']:.0f} us without checks, {p99['with']:.0f} us with: ratio {ratios[-1]:.3f}")
    print(f"limit {options.limit}, {failed} requests failed, {cpu_per_probe(rows):.0f} us of CPU per probe")
    return 0 if ratios[0] <= options.limit and failed == 0 else 1


def cpu_per_probe(rows):
    cpu = {checks: statistics.median(row["cpu"] for row in of) for checks, of in rows.items()}
    rate = statistics.median(row["probes"] for row in rows["with"])
    return (cpu["with"] - cpu["without"]) / 100 * 1e6 / rate if rate else 0


def measure(options, edge, probes):
    began, probed, cpu = time.monotonic(), probes.value, cpu_seconds(edge.process.pid)
    row = run_wrk(options, edge.script, edge.port, options.seconds)
    took = time.monotonic() - began
    row["rate"] = row.pop("requests") / took
    row["probes"] = (probes.value - probed) / took
    row["cpu"] = (cpu_seconds(edge.process.pid) - cpu) / took * 100
    return row


@contextlib.contextmanager
def running(options, addresses, probed_port, origin_port):
    with tempfile.TemporaryDirectory() as directory:
        port, control = free_ports(2)
        config, script = (os.path.join(directory, name) for name in ("pointsman.yaml", "pace.lua"))
        with open(config, "w") as file:
            json.dump(configuration(addresses, probed_port, origin_port, port, control), file)
        with open(script, "w") as file:
            # A connection waits between 0 and twice the mean pause before each request.
            file.write(SCRIPT % round(2 * 1000 * options.connections / options.rate))
        log = open(os.path.join(directory, "log"), "w+")
        command = pinned([os.path.abspath(options.binary), "run", "-c", config], None if options.unpinned else FIRST)
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory)
        edge = Edge(process, port, control, script, log)
        try:
            edge.wait_for(lambda: answers(port), "it does not answer")
            run_wrk(options, script, port, seconds=2)
            yield edge
        finally:
            process.kill()
            process.wait()
            log.close()


class Edge:
    def __init__(self, process, port, control, script, log):
        self.process, self.port, self.control, self.script, self.log = process, port, control, script, log

    def check(self, on, probes, servers):
        """Switches the checks of all groups on or off, and waits until that is so."""
        state = json.loads(self.call("GET", None))
        state["defaults"] = {"health": {"interval": "1s", "timeout": "1s"}} if on else {}
        self.call("PUT", json.dumps(state))
        if on:
            enough = probes.value + 2 * servers
            self.wait_for(lambda: probes.value >= enough, "not every server is probed")
        else:
            time.sleep(1)

    def call(self, method, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.control, timeout=WARM_UP)
        connection.request(method, "/v1/state", body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            sys.exit(f"{method} /v1/state: {answer.status} {text[:1000]}")
        return text

    def wait_for(self, happened, complaint):
        deadline = time.monotonic() + WARM_UP
        while not happened():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                sys.exit(f"pointsman: {complaint}; its log:\n{self.log.read()}")
            time.sleep(0.02)


def configuration(addresses, probed_port, origin_port, edge, control):
    """JSON is YAML. Groups of 20 servers, as many would have them; they get no requests."""
    upstreams = {"requests": {"servers": [f"127.0.0.1:{origin_port}"], "health": {"type": "none"}}}
    for start in range(0, len(addresses), 20):
        upstreams[f"group-{start // 20}"] = {"servers": [f"{address}:{probed_port}" for address in addresses[start:start + 20]]}
    return {
        "listeners": [{"address": f"127.0.0.1:{edge}"}],
        "control": {"address": f"127.0.0.1:{control}"},
        "state": {"store": "memory"},
        "access_log": {"path": "off"},
        "upstreams": upstreams,
        "routes": [{"hosts": ["*"], "to": "requests"}],
    }


def run_wrk(options, script, port, seconds):
    command = ["wrk", "-t1", f"-c{options.connections}", f"-d{seconds}s", "-s", script, f"http://127.0.0.1:{port}/"]
    output = subprocess.run(pinned(command, None if options.unpinned else REST), capture_output=True, text=True).stdout
    found = re.search(r"p50 (\d+) p99 (\d+) requests (\d+) failed (\d+)", output)
    if not found:
        sys.exit(f"wrk said:\n{output}")
    return dict(zip(("p50", "p99", "requests", "failed"), map(int, found.groups())))


def pinned(command, part):
    cores = sorted(os.sched_getaffinity(0))
    if part is None or len(cores) < 2 or not shutil.which("taskset"):
        return command
    return ["taskset", "-c", ",".join(map(str, cores[part]))] + command


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_origins(addresses, probes, unpinned):
    """Both listen before this returns."""
    first = socket.create_server((addresses[0], 0), backlog=1024)
    port = first.getsockname()[1]
    listeners = [first] + [socket.create_server((address, port), backlog=64) for address in addresses[1:]]
    origin = socket.create_server(("127.0.0.1", 0), backlog=1024)
    processes = []
    for sockets, counter, yields in ((listeners, probes, True), ([origin], None, False)):
        process = multiprocessing.get_context("fork").Process(target=serve, args=(sockets, counter, yields, unpinned), daemon=True)
        process.port = sockets[0].getsockname()[1]
        process.start()
        processes.append(process)
    for each in listeners + [origin]:
        each.close()
    return processes


def serve(listeners, counter, yields, unpinned):
    """Answers every request on every connection, and counts them if asked to."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1 and not unpinned:
        os.sched_setaffinity(0, cores[REST])
    if yields:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    selector = selectors.EpollSelector()
    for listener in listeners:
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ, True)
    while True:
        for key, _ in selector.select():
            try:
                if key.data:
                    connection, _ = key.fileobj.accept()
                    connection.setblocking(False)
                    selector.register(connection, selectors.EVENT_READ, False)
                elif not answer(key.fileobj, counter):
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
            except BlockingIOError:
                pass


def answer(connection, counter):
    """Whether the connection stays open. A request of these clients arrives in one piece."""
    try:
        request = connection.recv(65536)
        if not request:
            return False
        connection.sendall(ANSWER)
    except BlockingIOError:
        return True
    except OSError:
        return False
    if counter is not None:
        counter.value += 1
    return b"onnection: close" not in request


if __name__ == "__main__":
    sys.exit(main())
