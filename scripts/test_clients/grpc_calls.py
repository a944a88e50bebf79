#!/usr/bin/env python3
"""grpcio, as client and as server: calls of every kind, statuses, metadata, deadlines, cancels; over h2c and over TLS.

Not called grpc.py: that would be the module that it imports.
"""

import tempfile
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
from support import Certificates, Checks, Proxy, free_port

checks = Checks()
LARGE = 3 << 20


class Service(grpc.GenericRpcHandler):
    """Messages are bytes: what a call carries is not gRPC's business."""

    def __init__(self):
        self.cancelled = threading.Event()

    def service(self, call):
        kinds = {
            "/test/Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "/test/Down": grpc.unary_stream_rpc_method_handler(self.down),
            "/test/Up": grpc.stream_unary_rpc_method_handler(self.up),
            "/test/Both": grpc.stream_stream_rpc_method_handler(self.both),
            "/test/Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "/test/FailLate": grpc.unary_stream_rpc_method_handler(self.fail_late),
            "/test/Silent": grpc.unary_unary_rpc_method_handler(self.silent),
        }
        return kinds.get(call.method)

    def unary(self, message, context):
        context.set_trailing_metadata((("x-trailer", "after"), ("x-trailer-bin", b"\0\xff")))
        context.send_initial_metadata((("x-head", dict(context.invocation_metadata()).get("x-ask", "")),))
        return message

    def down(self, message, _):
        for number in range(int(message)):
            yield str(number).encode()

    def up(self, messages, _):
        return str(sum(len(message) for message in messages)).encode()

    def both(self, messages, _):
        for message in messages:
            yield message.upper()

    def fail(self, _message, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: 100 % \u00e9")

    def fail_late(self, _message, context):
        yield b"one"
        context.abort(grpc.StatusCode.DATA_LOSS, "lost")

    def silent(self, message, context):
        ended = threading.Event()
        context.add_callback(ended.set)
        ended.wait(20)
        self.cancelled.set()
        return message


def serve(certificates):
    service = Service()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64), handlers=(service,))
    if certificates is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        read = lambda name: Path(certificates.path(name)).read_bytes()
        pair = grpc.ssl_server_credentials([(read("server.key"), read("server.pem"))])
        port = server.add_secure_port("127.0.0.1:0", pair)
    server.start()
    return service, server, port


def refused(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    return None


def visit(name, channel, service):
    unary = channel.unary_unary("/test/Unary")
    for size in (0, 1, 65_536, LARGE):
        checks.check(f"{name}: unary, {size} bytes", unary(b"x" * size, timeout=20) == b"x" * size)
    _, call = unary.with_call(b"m", metadata=(("x-ask", "asked"),), timeout=20)
    head, trailers = dict(call.initial_metadata()), dict(call.trailing_metadata())
    checks.check(f"{name}: metadata before the answer", head.get("x-head") == "asked", head)
    found = (trailers.get("x-trailer"), trailers.get("x-trailer-bin"))
    checks.check(f"{name}: metadata after the answer", found == ("after", b"\0\xff"), found)

    down = list(channel.unary_stream("/test/Down")(b"1000", timeout=20))
    checks.check(f"{name}: server streaming, 1000 messages in order", down == [b"%d" % n for n in range(1000)])
    up = channel.stream_unary("/test/Up")((b"x" * 1000 for _ in range(2000)), timeout=20)
    checks.check(f"{name}: client streaming, 2 MB", up == b"2000000", up)

    answered = threading.Event()
    answered.set()

    def turns():
        for number in range(100):
            # The next message only when the last one's answer has come: neither side is held back.
            if not answered.wait(20):
                return
            answered.clear()
            yield b"turn %d" % number

    back = []
    for message in channel.stream_stream("/test/Both")(turns(), timeout=40):
        back.append(message)
        answered.set()
    checks.check(f"{name}: bidirectional streaming, in turns", back == [b"TURN %d" % n for n in range(100)], len(back))

    error = refused(lambda: channel.unary_unary("/test/Fail")(b"", timeout=20))
    found = error and (error.code(), error.details())
    expected = (grpc.StatusCode.FAILED_PRECONDITION, "not today: 100 % \u00e9")
    checks.check(f"{name}: a failed call's status and message", found == expected, found)
    got = []
    error = refused(lambda: got.extend(channel.unary_stream("/test/FailLate")(b"", timeout=20)))
    found = error and error.code()
    checks.check(f"{name}: a call that fails after a message", found == grpc.StatusCode.DATA_LOSS, found)
    error = refused(lambda: channel.unary_unary("/test/Missing")(b"", timeout=20))
    found = error and error.code()
    checks.check(f"{name}: a method that is not there", found == grpc.StatusCode.UNIMPLEMENTED, found)

    silent = channel.unary_unary("/test/Silent")
    began = time.monotonic()
    error = refused(lambda: silent(b"", timeout=0.5))
    took = time.monotonic() - began
    found = (error and error.code(), took)
    checks.check(
        f"{name}: a deadline", found[0] == grpc.StatusCode.DEADLINE_EXCEEDED and took < 5, found
    )
    checks.check(f"{name}: the server hears of it", service.cancelled.wait(10))
    service.cancelled.clear()
    call = silent.future(b"", timeout=20)
    time.sleep(0.2)
    call.cancel()
    checks.check(f"{name}: a cancel", call.cancelled())
    checks.check(f"{name}: the server hears of it", service.cancelled.wait(10))
    service.cancelled.clear()

    calls = [unary.future(b"%d" % number, timeout=20) for number in range(500)]
    back = [call.result() for call in calls]
    checks.check(f"{name}: 500 calls at a time", back == [b"%d" % n for n in range(500)])


def plain_to_plain():
    service, server, port = serve(None)
    with Proxy(port, ", protocol: h2") as proxy:
        with grpc.insecure_channel(f"127.0.0.1:{proxy.plain}") as channel:
            visit("h2c", channel, service)
            server.stop(0).wait()
            error = refused(lambda: channel.unary_unary("/test/Unary")(b"", timeout=20))
            found = error and (error.code(), error.details())
            # By a reset where the call meets the connection that the server is closing: nobody repeats it then.
            expected = [(grpc.StatusCode.UNAVAILABLE, f"502 {reason}") for reason in ("connect_failed", "upstream_reset")]
            checks.check("h2c: a server that is gone is unavailable", found in expected, found)


def tls_to_tls(directory):
    certificates = Certificates(directory)
    service, server, port = serve(certificates)
    tls = f', protocol: h2, tls: {{ ca: "{certificates.path("ca.pem")}", sni: localhost }}'
    with Proxy(port, tls) as proxy:
        ca = Path(proxy.certificates.path("ca.pem")).read_bytes()
        with grpc.secure_channel(f"localhost:{proxy.tls}", grpc.ssl_channel_credentials(ca)) as channel:
            visit("tls", channel, service)
    server.stop(0).wait()


def nobody():
    with Proxy(free_port(), ", protocol: h2") as proxy:
        with grpc.insecure_channel(f"127.0.0.1:{proxy.plain}") as channel:
            error = refused(lambda: channel.unary_unary("/test/Unary")(b"", timeout=20))
            found = error and error.code()
            checks.check("a call that no server takes is unavailable", found == grpc.StatusCode.UNAVAILABLE, found)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        plain_to_plain()
        tls_to_tls(directory)
        nobody()
    checks.end()
