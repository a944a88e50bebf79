"""What the checks with real clients stand on: free ports, certificates, an origin, the proxy, and a line for each check."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

POINTSMAN = os.environ["POINTSMAN"]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Checks:
    """Prints a line for each; `end` ends the script."""

    def __init__(self):
        self.failed = 0

    def check(self, claim, holds, found=""):
        self.failed += not holds
        print(f"{'ok    ' if holds else 'FAILED'} {claim}" + ("" if holds else f": {found}"), flush=True)

    def end(self):
        sys.exit(1 if self.failed else 0)


class Certificates:
    """An authority with a certificate for `localhost`, one for a client, and a stranger's client."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.authority("ca")
        self.authority("stranger")
        self.signed("server", "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self.signed("client", "ca", "extendedKeyUsage=clientAuth")
        self.signed("unknown", "stranger", "extendedKeyUsage=clientAuth")

    def path(self, name):
        return str(self.directory / name)

    def authority(self, name):
        self.openssl(
            "req", "-x509", "-days", "2", "-subj", f"/CN={name}", *self.new_key(name), "-out", self.path(f"{name}.pem")
        )

    def signed(self, name, authority, extension):
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(extension + "\n")
        request = self.path(f"{name}.csr")
        self.openssl("req", "-subj", f"/CN={name}", *self.new_key(name), "-out", request)
        self.openssl(
            *("x509", "-req", "-days", "2", "-in", request, "-CAcreateserial", "-extfile", str(extensions)),
            *("-CA", self.path(f"{authority}.pem"), "-CAkey", self.path(f"{authority}.key")),
            *("-out", self.path(f"{name}.pem")),
        )

    def new_key(self, name):
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
        return (*curve, "-nodes", "-keyout", self.path(f"{name}.key"))

    @staticmethod
    def openssl(*arguments):
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"openssl {' '.join(arguments)}: {done.stderr}")


class Echo(BaseHTTPRequestHandler):
    """Answers with what it got: the body, or the method and the path."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        body = self.body() or f"{self.command} {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Seen-Proto", self.headers.get("X-Forwarded-Proto", ""))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    do_GET = do_POST = do_PUT = do_HEAD = answer

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def echo_origin():
    server = Server(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


class Proxy:
    """`with Proxy(origin) as proxy`: three listeners to one origin. `plain`, `tls` and `mutual` are their ports."""

    def __init__(self, origin, upstream=""):
        self.directory = tempfile.TemporaryDirectory()
        self.certificates = Certificates(self.directory.name)
        self.plain, self.tls, self.mutual, self.control = (free_port() for _ in range(4))
        path = self.certificates.path
        pair = f'certificates: [{{ cert: "{path("server.pem")}", key: "{path("server.key")}" }}]'
        self.file = Path(path("pointsman.yaml"))
        self.file.write_text(
            f"""
server: {{ threads: 2, shutdown_grace: 2s }}
listeners:
  - {{ address: "127.0.0.1:{self.plain}" }}
  - {{ address: "127.0.0.1:{self.tls}", tls: {{ {pair} }} }}
  - {{ address: "127.0.0.1:{self.mutual}", tls: {{ {pair}, client_ca: "{path("ca.pem")}" }} }}
control: {{ address: "127.0.0.1:{self.control}" }}
state: {{ store: memory }}
access_log: {{ path: "{path("access.log")}" }}
upstreams: {{ web: {{ servers: ["127.0.0.1:{origin}"] {upstream} }} }}
routes: [{{ to: web }}]
"""
        )

    def __enter__(self):
        with open(self.certificates.path("log"), "w") as log:
            self.process = subprocess.Popen([POINTSMAN, "run", "-c", str(self.file)], stderr=log, stdout=log)
        deadline = time.monotonic() + 20
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                sys.exit("the proxy did not start:\n" + Path(self.certificates.path("log")).read_text())
            time.sleep(0.05)
        return self

    def is_ready(self):
        try:
            with socket.create_connection(("127.0.0.1", self.control), 1) as one:
                one.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return b" 200 " in one.recv(100)
        except OSError:
            return False

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.directory.cleanup()
