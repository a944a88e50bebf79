#!/usr/bin/env python3
"""A server's host that vanishes without a word while a request waits for its answer.

Makes a network namespace for the server, joined to ours by a pair of interfaces, and takes its address away in the middle
of a request: no packet arrives any more, and none says so. The request must be answered by the other server in 6 s.
Needs root. usage: proof/half_open.py [BINARY]
"""
import http.client, http.server, os, signal, socket, subprocess, sys, tempfile, threading, time

NAMESPACE, OURS, THEIRS = f"half-open-{os.getpid()}", "10.213.7.1", "10.213.7.2"

SERVER = """
import socket, time
listener = socket.create_server(("%s", 8081))
while True:
    connection, _ = listener.accept()
    connection.recv(4096)
    time.sleep(60)
""" % THEIRS


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


class Other(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"other")

    def log_message(self, *_):
        pass


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def main():
    binary = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/pointsman")
    if os.geteuid() != 0:
        print("half_open: skipped, it needs root")
        return 0
    here, there = f"po{os.getpid() % 10000}a", f"po{os.getpid() % 10000}b"
    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    started = []
    ip("netns", "add", NAMESPACE)
    try:
        ip("link", "add", here, "type", "veth", "peer", "name", there)
        ip("link", "set", there, "netns", NAMESPACE)
        ip("addr", "add", f"{OURS}/24", "dev", here)
        ip("link", "set", here, "up")
        ip("-n", NAMESPACE, "addr", "add", f"{THEIRS}/24", "dev", there)
        ip("-n", NAMESPACE, "link", "set", there, "up")
        started.append(subprocess.Popen(["ip", "netns", "exec", NAMESPACE, sys.executable, "-c", SERVER]))
        with tempfile.TemporaryDirectory() as directory:
            edge, control = free_port(), free_port()
            path = os.path.join(directory, "pointsman.yaml")
            with open(path, "w") as file:
                file.write(f"""
listeners: [{{ address: 127.0.0.1:{edge} }}]
control: {{ address: 127.0.0.1:{control} }}
state: {{ store: 'sqlite:{directory}/state.db' }}
access_log: {{ path: {directory}/access.log }}
upstreams: {{ web: {{ servers: ['{THEIRS}:8081', {{ address: '127.0.0.1:{other.server_port}', backup: true }}] }} }}
routes: [{{ hosts: ['*'], to: web }}]
""")
            started.append(subprocess.Popen([binary, "run", "-c", path], stderr=subprocess.DEVNULL))
            for _ in range(100):
                try:
                    socket.create_connection(("127.0.0.1", edge)).close()
                    break
                except OSError:
                    time.sleep(0.05)
            client = http.client.HTTPConnection("127.0.0.1", edge, timeout=90)
            client.request("GET", "/")
            time.sleep(1)
            # Its address goes, not our way to it: then we would be told.
            ip("-n", NAMESPACE, "addr", "del", f"{THEIRS}/24", "dev", there)
            gone = time.monotonic()
            answer = client.getresponse()
            body, took = answer.read(), time.monotonic() - gone
            print(f"half_open: a host vanished; its request was answered {answer.status} {body.decode()!r} after {took:.1f} s")
            return 0 if answer.status == 200 and took <= 6 else 1
    finally:
        for process in started:
            process.send_signal(signal.SIGKILL)
            process.wait()
        subprocess.run(["ip", "link", "del", here], check=False)
        ip("netns", "del", NAMESPACE)


sys.exit(main())
