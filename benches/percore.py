#!/usr/bin/env python3
"""CPU time per request of several proxies, side by side.

usage: percore.py [--connections N] [--seconds N] [--rounds N] NAME=URL,PID...

Each round sends load by wrk (one thread, pinned to the last core) through each proxy in turn, in alternating order, so
that what else the machine does hits all alike. CPU time is what the scheduler accounted for the process's threads
(/proc/PID/task/*/schedstat, nanoseconds). Printed: the median over the rounds, and for each proxy after the first the
median of its ratios to the first, round by round, with the lowest and the highest; then the best round of each, which
others on the machine's caches have disturbed least, and the ratio of these.
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys


def cpu_nanoseconds(pid):
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def load(url, connections, seconds):
    core = os.cpu_count() - 1
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    requests = re.search(r"(\d+) requests in", said)
    failed = re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", said)
    if not requests or failed:
        sys.exit(f"{url}: {failed[0] if failed else said}")
    return int(requests[1]), re.search(r"99%\s+(\S+)", said)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("proxies", nargs="+", metavar="NAME=URL,PID")
    options = parser.parse_args()
    proxies = {}
    for text in options.proxies:
        name, _, rest = text.partition("=")
        url, _, pid = rest.rpartition(",")
        proxies[name] = (url, int(pid))
    costs = {name: [] for name in proxies}
    tails = {}
    for number in range(options.rounds):
        order = list(proxies) if number % 2 == 0 else list(reversed(proxies))
        for name in order:
            url, pid = proxies[name]
            before = cpu_nanoseconds(pid)
            requests, tails[name] = load(url, options.connections, options.seconds)
            costs[name].append((cpu_nanoseconds(pid) - before) / requests / 1000)
    first = costs[next(iter(proxies))]
    print(f"{'':20}{'us a request':>14}{'ratio':>8}{'lowest':>8}{'highest':>9}{'best us':>9}{'ratio':>8}   p99")
    for name, own in costs.items():
        ratios = [mine / its for mine, its in zip(own, first)]
        middle = statistics.median(ratios)
        best = min(own)
        print(
            f"{name:20}{statistics.median(own):14.2f}{middle:8.3f}{min(ratios):8.3f}{max(ratios):9.3f}"
            f"{best:9.2f}{best / min(first):8.3f}   {tails[name]}"
        )


main()
