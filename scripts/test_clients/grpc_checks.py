#!/usr/bin/env python3
"""Active checks of type grpc against grpcio's own health service: what it says of a service, and services it does not know."""

import json
import tempfile
import time
import urllib.request
from concurrent import futures
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from support import Certificates, Checks, Proxy

checks = Checks()
STATUS = health_pb2.HealthCheckResponse


def serve(certificates=None):
    """The service `shop` and the server itself are SERVING."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    service = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(service, server)
    service.set("shop", STATUS.SERVING)
    if certificates is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        read = lambda name: Path(certificates.path(name)).read_bytes()
        pair = grpc.ssl_server_credentials([(read("server.key"), read("server.pem"))])
        port = server.add_secure_port("127.0.0.1:0", pair)
    server.start()
    return server, service, port


def seen(proxy):
    """What the proxy knows of its one server: its health, and what its last check saw."""
    with urllib.request.urlopen(f"http://127.0.0.1:{proxy.control}/v1/upstreams/web/servers", timeout=5) as answer:
        status = json.load(answer)[0]["status"]
    return status["health"], (status["last_check"] or {}).get("detail")


def becomes(claim, proxy, expected, within=10):
    deadline = time.monotonic() + within
    while (found := seen(proxy)) != expected and time.monotonic() < deadline:
        time.sleep(0.05)
    checks.check(claim, found == expected, found)


def checked(service, more=""):
    quick = "interval: 100ms, timeout: 2s, fall: 2, rise: 2"
    return f', protocol: h2, health: {{ type: grpc, {quick}, service: "{service}" }}{more}'


def plain():
    server, service, port = serve()
    with Proxy(port, checked("shop")) as proxy:
        becomes("a service that is SERVING is up", proxy, ("up", "SERVING"))
        service.set("shop", STATUS.NOT_SERVING)
        becomes("NOT_SERVING is down", proxy, ("down", "health status NOT_SERVING"))
        service.set("shop", STATUS.SERVING)
        becomes("SERVING again is up again", proxy, ("up", "SERVING"))
        service.set("shop", STATUS.UNKNOWN)
        becomes("UNKNOWN is down", proxy, ("down", "health status UNKNOWN"))
        service.set("shop", STATUS.SERVING)
        becomes("and up again", proxy, ("up", "SERVING"))
        service.enter_graceful_shutdown()
        becomes("a server that shuts down gracefully is down", proxy, ("down", "health status NOT_SERVING"))
    server.stop(0).wait()


def others():
    server, _, port = serve()
    with Proxy(port, checked("")) as proxy:
        becomes("the server as a whole is up", proxy, ("up", "SERVING"))
    with Proxy(port, checked("unheard-of")) as proxy:
        becomes("a service that the server does not know is down", proxy, ("down", "call status NOT_FOUND"))
    server.stop(0).wait()
    bare = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    port = bare.add_insecure_port("127.0.0.1:0")
    bare.start()
    with Proxy(port, checked("")) as proxy:
        becomes("a server without a health service is down", proxy, ("down", "call status UNIMPLEMENTED"))
    bare.stop(0).wait()


def over_tls(directory):
    certificates = Certificates(directory)
    server, _, port = serve(certificates)
    for sni, health_seen in (("localhost", "up"), ("other.example", "down")):
        tls = f', tls: {{ ca: "{certificates.path("ca.pem")}", sni: {sni} }}'
        with Proxy(port, checked("shop", tls)) as proxy:
            deadline = time.monotonic() + 10
            while (found := seen(proxy))[0] != health_seen and time.monotonic() < deadline:
                time.sleep(0.05)
            fits = found[0] == health_seen and (health_seen == "up" or "not valid for name" in found[1])
            checks.check(f"over TLS, asked for as {sni}: {health_seen}", fits, found)
    server.stop(0).wait()


if __name__ == "__main__":
    plain()
    others()
    with tempfile.TemporaryDirectory() as directory:
        over_tls(directory)
    checks.end()
