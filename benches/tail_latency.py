#!/usr/bin/env python3
"""Tail latency with one server of four 20 times slower at times, by balancer, beside HAProxy and nginx.

usage: tail_latency.py [--binary PATH] [--rate N] [--seconds N]

Four origins answer after 20 ms, four requests at a time each (the rest waits there): 800 requests a second in all. In one
second of three one of them takes 400 ms for each answer. Requests come at random times
(Poisson) at 60 % of what the origins can do without that, whether or not the ones before have been answered; the time of
each counts from when it was due. The same times for each proxy, each alone. Everything stays on loopback.
"""
import argparse, asyncio, multiprocessing, os, random, shutil, signal, socket, subprocess, sys, tempfile, time

SERVICE, SLOWER, AT_A_TIME, ORIGINS = 0.020, 20, 4, 4
EVERY, SLOW_FOR = 3.0, 1.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OURS = ["round_robin", "least_connections", "random_two", "least_time"]


def origins(ports, began):
    async def main():
        for number, port in enumerate(ports):
            await serve(number, port, began)
        await asyncio.Event().wait()

    asyncio.run(main())


async def serve(number, port, began):
    places = asyncio.Semaphore(AT_A_TIME)

    async def client(reader, writer):
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                async with places:
                    since = time.monotonic() - began.value
                    is_slow = began.value and since % EVERY < SLOW_FOR and number == 0
                    await asyncio.sleep(SERVICE * (SLOWER if is_slow else 1))
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    await asyncio.start_server(client, "127.0.0.1", port, backlog=1024)


async def load(port, rate, seconds, began):
    """The latency of each request in seconds, and how many failed."""
    idle, latencies, failed = [], [], 0

    async def one(due):
        nonlocal failed
        try:
            reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(length)
            if b" 200 " not in head.split(b"\r\n")[0]:
                failed += 1
            idle.append((reader, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            failed += 1
        latencies.append(time.monotonic() - due)

    dice, tasks = random.Random(7), []
    began.value = start = time.monotonic()
    due = start
    while due < start + seconds:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        tasks.append(asyncio.create_task(one(due)))
        due += dice.expovariate(rate)
    await asyncio.gather(*tasks)
    return sorted(latencies), failed


def ours(policy, port, ports, directory, binary):
    with socket.create_server(("127.0.0.1", 0)) as free:
        control = free.getsockname()[1]
    path = write(directory, f"{policy}.yaml", f"""
server: {{ threads: 1 }}
listeners: [{{ address: 127.0.0.1:{port} }}]
control: {{ address: 127.0.0.1:{control} }}
state: {{ store: 'sqlite:{directory}/{policy}.db' }}
access_log: {{ path: 'off' }}
upstreams: {{ web: {{ balance: {policy}, servers: [{', '.join(f'"127.0.0.1:{it}"' for it in ports)}] }} }}
routes: [{{ hosts: ['*'], to: web }}]
""")
    return [binary, "run", "-c", path]


def haproxy(port, ports, directory):
    servers = "\n".join(f"  server s{it} 127.0.0.1:{it}" for it in ports)
    return ["haproxy", "-db", "-f", write(directory, "haproxy.cfg", f"""
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  balance leastconn
{servers}
""")]


def nginx(port, ports, directory):
    servers = " ".join(f"server 127.0.0.1:{it};" for it in ports)
    return ["nginx", "-p", directory, "-c", write(directory, "nginx.conf", f"""
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000;
  upstream web {{ least_conn; {servers} keepalive 256; }}
  server {{ listen 127.0.0.1:{port};
    location / {{ proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection ""; }} }} }}
""")]


def write(directory, name, text):
    path = os.path.join(directory, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def listening(port):
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing listens on {port}")


def main():
    parser = argparse.ArgumentParser(description="tail latency with a server that is slow at times")
    parser.add_argument("--binary", default="target/dist/pointsman")
    parser.add_argument("--rate", type=float, default=0.6 * ORIGINS * AT_A_TIME / SERVICE)
    parser.add_argument("--seconds", type=float, default=24)
    options = parser.parse_args()
    binary, ports = os.path.abspath(options.binary), free_ports(ORIGINS)
    began = multiprocessing.Value("d", 0.0, lock=False)
    serving = multiprocessing.Process(target=origins, args=(ports, began), daemon=True)
    serving.start()
    listening(ports[-1])
    print(f"{options.rate:.0f} requests a second for {options.seconds:.0f} s; ms")
    print(f"{'':28} {'p50':>7} {'p90':>7} {'p99':>7} {'p99.9':>7} {'failed':>7} of")
    with tempfile.TemporaryDirectory() as directory:
        runs = [(f"pointsman {policy}", lambda port, policy=policy: ours(policy, port, ports, directory, binary)) for policy in OURS]
        if shutil.which("haproxy"):
            runs.append(("HAProxy leastconn", lambda port: haproxy(port, ports, directory)))
        if shutil.which("nginx"):
            runs.append(("nginx least_conn", lambda port: nginx(port, ports, directory)))
        for name, command in runs:
            [port] = free_ports(1)
            proxy = subprocess.Popen(command(port), stderr=subprocess.DEVNULL)
            try:
                listening(port)
                latencies, failed = asyncio.run(load(port, options.rate, options.seconds, began))
            finally:
                proxy.send_signal(signal.SIGTERM)
                proxy.wait(20)
            at = lambda share: 1000 * latencies[min(len(latencies) - 1, int(share * len(latencies)))]
            print(f"{name:28} {at(.5):7.1f} {at(.9):7.1f} {at(.99):7.1f} {at(.999):7.1f} {failed:7} {len(latencies)}", flush=True)
    serving.terminate()


main()
