#!/usr/bin/env python3
"""curl: HTTP/1.0, HTTP/1.1 and HTTP/2, plain and over TLS, with and without a client's certificate."""

import os
import subprocess
import tempfile

from support import Checks, Proxy, echo_origin

checks = Checks()
FORMAT = "\n%{http_code} %{http_version} %{num_connects}"


def curl(*arguments, code=0):
    """The body, then the status, the version and the number of connections; None unless curl ended so."""
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "30", "--write-out", FORMAT, *arguments],
        capture_output=True,
    )
    if (done.returncode == 0) != (code == 0):
        return None, f"curl ended with {done.returncode}: {done.stderr.decode()}"
    body, _, words = done.stdout.rpartition(b"\n")
    return body, words.decode()


def check(claim, arguments, body, words):
    found = curl(*arguments)
    same = found == (body, words)
    checks.check(claim, same, "" if same else f"{found[0] and found[0][:100]} {found[1]}")


def refused(claim, arguments):
    found = curl(*arguments, code=1)
    checks.check(claim, found[0] is not None, found[1])


with Proxy(echo_origin()) as proxy, tempfile.NamedTemporaryFile() as upload:
    large = os.urandom(5_000_000)
    upload.write(large)
    upload.flush()
    plain, tls, mutual = (
        f"{scheme}://localhost:{port}/a?b=c"
        for scheme, port in [("http", proxy.plain), ("https", proxy.tls), ("https", proxy.mutual)]
    )
    trust = ("-4", "--cacert", proxy.certificates.path("ca.pem"))

    def own(name):
        path = proxy.certificates.path
        return (*trust, "--cert", path(f"{name}.pem"), "--key", path(f"{name}.key"))

    get, data = b"GET /a?b=c", ("--data-binary", f"@{upload.name}")
    chunked = ("--header", "Transfer-Encoding: chunked", *data)
    check("HTTP/1.0", ["-4", "--http1.0", plain], get, "200 1.1 1")
    check("HTTP/1.1", ["-4", "--http1.1", plain], get, "200 1.1 1")
    check("HTTP/1.1: HEAD", ["-4", "--http1.1", "--head", "--output", "/dev/null", plain], b"", "200 1.1 1")
    check("HTTP/1.1: 5 MB up and down", ["-4", "--http1.1", *data, plain], large, "200 1.1 1")
    check("HTTP/1.1: 5 MB in chunks", ["-4", "--http1.1", *chunked, plain], large, "200 1.1 1")
    expect = ("--header", "Expect: 100-continue")
    check("HTTP/1.1: Expect: 100-continue", ["-4", "--http1.1", *expect, *data, plain], large, "200 1.1 1")
    kept = curl("-4", "--http1.1", plain, plain)
    checks.check("HTTP/1.1: the second request on the same connection", kept[1] == "200 1.1 0", kept)
    dotted = plain.replace("/a", "/x/../a")
    check("HTTP/1.1: a path gets its normal form", ["-4", "--path-as-is", dotted], get, "200 1.1 1")
    check("HTTP/2 with prior knowledge", ["-4", "--http2-prior-knowledge", plain], get, "200 2 1")
    check("HTTP/2 with prior knowledge: 5 MB", ["-4", "--http2-prior-knowledge", *data, plain], large, "200 2 1")
    check("an upgrade to h2c is not followed", ["-4", "--http2", plain], get, "200 1.1 1")
    check("TLS: HTTP/2 by ALPN", [*trust, "--http2", tls], get, "200 2 1")
    check("TLS: HTTP/2: 5 MB", [*trust, "--http2", *data, tls], large, "200 2 1")
    check("TLS: HTTP/1.1", [*trust, "--http1.1", tls], get, "200 1.1 1")
    check("TLS: HTTP/1.1: 5 MB in chunks", [*trust, "--http1.1", *chunked, tls], large, "200 1.1 1")
    check("TLS 1.2", [*trust, "--tlsv1.2", "--tls-max", "1.2", tls], get, "200 2 1")
    check("TLS 1.3", [*trust, "--tlsv1.3", tls], get, "200 2 1")
    old = ("--ciphers", "DEFAULT:@SECLEVEL=0", "--tlsv1.0", "--tls-max", "1.1")
    refused("TLS 1.1 is refused", [*trust, *old, tls])
    refused("a certificate that nobody trusted is refused by curl", ["-4", tls])
    for version in ("1.2", "1.3"):
        only = (f"--tlsv{version}", "--tls-max", version)
        check(f"TLS {version}: a client's certificate is taken", [*own("client"), *only, mutual], get, "200 2 1")
        refused(f"TLS {version}: none is refused", [*trust, *only, mutual])
        refused(f"TLS {version}: a stranger's is refused", [*own("unknown"), *only, mutual])
    check("a client's certificate with HTTP/1.1", [*own("client"), "--http1.1", mutual], get, "200 1.1 1")

checks.end()
