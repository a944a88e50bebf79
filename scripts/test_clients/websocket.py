#!/usr/bin/env python3
"""Python's `websockets`, as client and as origin: ws and wss, large and fragmented messages, pings, close codes."""

import asyncio
import os
import ssl

from support import Checks, Proxy
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

checks = Checks()
MOST = 32 << 20


async def echo(connection):
    """Sends back what it gets; `close CODE` closes, `pieces` sends a message in pieces, `ping` pings."""
    async for message in connection:
        if isinstance(message, str) and message.startswith("close "):
            await connection.close(int(message.split()[1]), "as asked")
            return
        elif message == "pieces":
            await connection.send(str(number) for number in range(1000))
        elif message == "ping":
            await (await connection.ping(b"from the server"))
            await connection.send("ponged")
        else:
            await connection.send(message)


async def visit(name, url, options):
    async with connect(url, max_size=MOST, **options) as socket:
        await socket.send("hello")
        checks.check(f"{name}: a text comes back", await socket.recv() == "hello")
        for size in (0, 1, 125, 126, 65_535, 65_536, 10_000_000):
            message = os.urandom(size)
            await socket.send(message)
            checks.check(f"{name}: {size} bytes come back", await socket.recv() == message)
        pieces = [os.urandom(10_000) for _ in range(100)]
        await socket.send(pieces)
        checks.check(f"{name}: a message in 100 pieces comes back", await socket.recv() == b"".join(pieces))
        await socket.send("pieces")
        expected = "".join(str(number) for number in range(1000))
        checks.check(f"{name}: the server's message in 1000 pieces", await socket.recv() == expected)
        await asyncio.wait_for(await socket.ping(b"from the client"), 10)
        checks.check(f"{name}: the client's ping is answered", True)
        await socket.send("ping")
        checks.check(f"{name}: the server's ping is answered", await socket.recv() == "ponged")
        for number in range(200):
            await socket.send(str(number))
        back = [await socket.recv() for _ in range(200)]
        checks.check(f"{name}: 200 messages in their order", back == [str(number) for number in range(200)])
    checks.check(f"{name}: the client closes with 1000", socket.close_code == 1000, socket.close_code)
    for code in (1000, 1001, 3000, 4001):
        async with connect(url, **options) as socket:
            await socket.send(f"close {code}")
            try:
                await socket.recv()
            except ConnectionClosed as closed:
                found = closed.rcvd and (closed.rcvd.code, closed.rcvd.reason)
                checks.check(f"{name}: the server closes with {code}", found == (code, "as asked"), found)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(once(url, options, str(number))) for number in range(100)]
    checks.check(f"{name}: 100 at a time", all(task.result() for task in tasks))


async def once(url, options, text):
    async with connect(url, **options) as socket:
        await socket.send(text)
        return await socket.recv() == text


def not_found(connection, request):
    if request.path == "/none":
        return connection.respond(404, "no WebSocket here\n")
    return None


async def main():
    async with serve(echo, "127.0.0.1", 0, max_size=MOST, process_request=not_found) as server:
        origin = server.sockets[0].getsockname()[1]
        with Proxy(origin) as proxy:
            trust = ssl.create_default_context(cafile=proxy.certificates.path("ca.pem"))
            await visit("ws", f"ws://127.0.0.1:{proxy.plain}/", {})
            await visit("wss", f"wss://localhost:{proxy.tls}/", {"ssl": trust, "host": "127.0.0.1"})
            try:
                async with connect(f"ws://127.0.0.1:{proxy.plain}/none"):
                    checks.check("a refusal of the server arrives", False, "a WebSocket")
            except InvalidStatus as refused:
                status = refused.response.status_code
                checks.check("a refusal of the server arrives", status == 404, status)


asyncio.run(asyncio.wait_for(main(), 240))
checks.end()
