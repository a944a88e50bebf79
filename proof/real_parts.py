#!/usr/bin/env python3
"""Traffic through real parts: nginx as origins, wrk and curl as clients, while groups are switched
and origins are killed and started again. Nothing may fail.

usage: real_parts.py [--binary target/release/pointsman] [--seconds 600] [--connections 24]

Needs nginx, wrk and curl (`make proof` installs them). Everything listens on 127.0.0.1 and ends with
this script. Prints what wrk and curl saw, what was done, and every line of the access log that has a reason.
"""
import argparse, collections, json, os, random, re, shutil, signal, socket, subprocess, sys, tempfile, time, urllib.request

ORIGIN = """worker_processes 1; daemon off; pid {dir}/origin-{port}.pid; error_log {dir}/origin-{port}.err warn;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_timeout 75; client_body_temp_path {dir}/b{port}; proxy_temp_path {dir}/p{port};
fastcgi_temp_path {dir}/f{port}; uwsgi_temp_path {dir}/u{port}; scgi_temp_path {dir}/s{port};
server {{ listen 127.0.0.1:{port}; location / {{ default_type text/plain; return 200 "origin {port}\\n"; }} }} }}
"""

EDGE = """server: {{ threads: 1 }}
listeners: [{{ address: "127.0.0.1:{edge}" }}]
control: {{ address: "127.0.0.1:{control}" }}
state: {{ store: "sqlite:{dir}/state.db" }}
access_log: {{ path: "{dir}/access.log" }}
defaults: {{ health: {{ interval: 500ms, timeout: 400ms, fall: 2, rise: 1, start: up }} }}
upstreams:
  blue: {{ servers: ["127.0.0.1:{p0}", "127.0.0.1:{p1}"] }}
  green: {{ servers: ["127.0.0.1:{p2}", "127.0.0.1:{p3}"] }}
routes: [{{ id: all, to: blue }}]
"""

PACE = "local gap = {gap}\nfunction delay() return gap end\n"  # wrk's own hook: milliseconds between two requests


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def until(what, probe, seconds=15):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if probe():
            return
        time.sleep(0.02)
    sys.exit(f"{what}: not within {seconds} s")


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


class Origins:
    def __init__(self, directory, ports):
        self.directory, self.ports, self.running = directory, ports, {}
        for port in ports:
            with open(f"{directory}/origin-{port}.conf", "w") as file:
                file.write(ORIGIN.format(dir=directory, port=port))
            self.start(port)

    def start(self, port):
        command = ["nginx", "-p", self.directory, "-c", f"{self.directory}/origin-{port}.conf"]
        # A session of its own: master and worker are killed together.
        self.running[port] = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
        until(f"nginx on {port}", lambda: listens(port))

    def kill(self, port):
        process = self.running.pop(port)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self):
        for port in list(self.running):
            self.kill(port)


def curl(port):
    out = subprocess.run(["curl", "-s", "-m", "5", "-w", "%{http_code}", f"http://127.0.0.1:{port}/"], capture_output=True, text=True)
    return out.stdout


def switch(control, to):
    request = urllib.request.Request(f"http://127.0.0.1:{control}/v1/routes/all/switch", data=json.dumps({"to": to}).encode(), headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.status


def storm(args, origins, ports, edge, control):
    """Switches, kills, starts and asks until the time is over. Answers what was done, and curl's failures."""
    groups, serving, dead, done, failed = {"blue": ports[:2], "green": ports[2:]}, "blue", None, collections.Counter(), []
    end, turn = time.monotonic() + args.seconds, 0
    while time.monotonic() < end:
        turn += 1
        if turn % 5 == 0:
            serving = "green" if serving == "blue" else "blue"
            switch(control, serving)
            done["switches"] += 1
        if turn % 7 == 0 and dead is None:
            dead = random.choice(groups[serving])
            origins.kill(dead)
            done["kills"] += 1
        elif turn % 7 == 4 and dead is not None:
            origins.start(dead)
            done["restarts"], dead = done["restarts"] + 1, None
        answer = curl(edge)
        done["curls"] += 1
        if not answer.endswith("200") or int(re.search(r"\d+", answer)[0]) not in groups[serving]:
            failed.append((turn, serving, answer))
        time.sleep(0.2)
    return done, failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="target/release/pointsman")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--connections", type=int, default=24)
    args = parser.parse_args()
    for tool in ["nginx", "wrk", "curl"]:
        shutil.which(tool) or sys.exit(f"{tool} is missing: `make proof` installs it")
    directory = tempfile.mkdtemp(prefix="pointsman-proof-")
    edge, control, *ports = free_ports(6)
    origins = Origins(directory, ports)
    config, pace = f"{directory}/pointsman.yaml", f"{directory}/pace.lua"
    open(config, "w").write(EDGE.format(dir=directory, edge=edge, control=control, p0=ports[0], p1=ports[1], p2=ports[2], p3=ports[3]))
    open(pace, "w").write(PACE.format(gap=15))
    proxy = subprocess.Popen([args.binary, "run", "-c", config], stderr=open(f"{directory}/log", "w"))
    try:
        until("pointsman", lambda: listens(edge) and listens(control))
        load = subprocess.Popen(["wrk", "-t1", f"-c{args.connections}", f"-d{args.seconds}s", "--timeout", "10s", "-s", pace, "--latency", f"http://127.0.0.1:{edge}/"], stdout=subprocess.PIPE, text=True)
        done, failed = storm(args, origins, ports, edge, control)
        report = load.communicate(timeout=60)[0]
    finally:
        proxy.send_signal(signal.SIGTERM)
        proxy.wait(timeout=40)
        origins.stop()
    lines = [json.loads(line) for line in open(f"{directory}/access.log")]
    bad = [line for line in lines if line["reason"] or line["status"] >= 400]
    retried = sum(1 for line in lines if line["attempt_count"] > 1)
    print(report)
    print(f"{dict(done)}; {len(lines)} requests in the access log, {retried} of them answered by another server after a failed attempt")
    for line in bad[:20]:
        print("failed:", line)
    for one in failed[:20]:
        print("curl:", one)
    print(f"{len(bad)} of {len(lines)} failed, {len(failed)} of {done['curls']} curls failed")
    wrk_errors = re.findall(r"(?:Non-2xx|Socket errors).*", report)
    shutil.rmtree(directory, ignore_errors=True)
    sys.exit(1 if bad or failed or wrk_errors else 0)


main()
