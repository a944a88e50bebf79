#!/usr/bin/env python3
"""h2load: very many requests, many at a time on each connection; all of them succeed."""

import re
import subprocess

from support import Checks, Proxy, echo_origin

checks = Checks()
REQUESTS = 20_000


def load(claim, *arguments):
    done = subprocess.run(
        ["h2load", "--requests", str(REQUESTS), "--clients", "10", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.findall(r"^(?:requests|status codes): .*", done.stdout, re.MULTILINE)
    good = f"{REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout
    good = good and f"status codes: {REQUESTS} 2xx" in done.stdout
    checks.check(f"{claim}: {REQUESTS} of {REQUESTS}", good, found or done.stderr)


with Proxy(echo_origin()) as proxy:
    plain, tls = f"http://127.0.0.1:{proxy.plain}/", f"https://localhost:{proxy.tls}/"
    load("HTTP/1.1", "--h1", plain)
    load("HTTP/2 with prior knowledge", "--max-concurrent-streams", "20", plain)
    load("HTTP/2 over TLS", "--max-concurrent-streams", "20", tls)
    load("HTTP/1.1 over TLS", "--h1", tls)

checks.end()
