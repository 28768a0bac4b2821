"""What the conformance scripts share: counting checks, and starting and ending the processes they check."""

import os
import queue
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TOOLS = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "conformance"
PATIENCE = 60  # seconds that any single wait may take
LONG = "--long" in sys.argv[2:]  # whether the long checks run, too
PEERS = {
    "ws": lambda helper: ["node", HERE / f"{helper}.mjs"],
    "websockets": lambda helper: [TOOLS / "python/bin/python", "-B", HERE / f"{helper}.py"],
}
CHROMIUM = [
    "chromium",
    *"--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --no-proxy-server".split(),
    *"--disable-background-networking --disable-component-update --disable-sync --disable-default-apps".split(),
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP evil.test 127.0.0.1",
]

os.environ["CONFORMANCE_NODE"] = str(TOOLS / "node")
passed = failed = 0
given_ports = set()


def report(name, why=None):
    """Prints and counts one check; `why` says what was wrong, nothing when it held."""
    global passed, failed
    if why is None:
        passed += 1
        print(f"ok {name}", flush=True)
    else:
        failed += 1
        print(f"FAIL {name}: {' '.join(str(why).split())[:600]}", flush=True)


def reason(error):
    return str(error) if isinstance(error, AssertionError) else repr(error)


@contextmanager
def check(name):
    """One check: its body raises when the check does not hold."""
    try:
        yield
    except Exception as error:
        report(name, reason(error))
    else:
        report(name)


def same(got, wanted, what="got"):
    assert got == wanted, f"{what} {got!r:.200}, wanted {wanted!r:.200}"


class Process:
    """A started program whose output lines are kept and can be waited for."""

    def __init__(self, *command, **options):
        self.child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )
        self.lines = []
        self.fresh = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.child.stdout:
            line = line.decode(errors="replace").rstrip("\n")
            self.lines.append(line)
            self.fresh.put(line)
        self.fresh.put(None)

    def next_line(self, deadline):
        """The next line not read yet, None at the end of the output."""
        try:
            return self.fresh.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"no more output from {self.child.args[0]} in time: {self.text()[-300:]!r}") from None

    def wait_for(self, pattern):
        """The match of the first line not read yet that has the pattern."""
        deadline = time.monotonic() + PATIENCE
        while (line := self.next_line(deadline)) is not None:
            if match := re.search(pattern, line):
                return match
        raise AssertionError(f"{self.child.args[0]} ended without a line {pattern!r}: {self.text()}")

    def text(self):
        return "\n".join(self.lines)

    def end(self):
        """Asks the process to end with SIGTERM, kills it when it does not, and gives its exit status."""
        if self.child.poll() is None:
            self.child.terminate()
        try:
            return self.child.wait(15)
        except subprocess.TimeoutExpired:
            return "still running 15 s after SIGTERM"
        finally:
            # The process leads a group of its own, so what it started ends with it.
            try:
                os.killpg(self.child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.child.wait()
            self.reader.join()
            self.child.stdin.close()
            self.child.stdout.close()


@contextmanager
def running(*command, **options):
    process = Process(*command, **options)
    try:
        yield process
    finally:
        process.end()


@contextmanager
def bridge(*arguments):
    """A listening wsbridge; gives the process, with the port it listens on as `port`."""
    with running(BINARY, *arguments) as process:
        process.port = int(process.wait_for(r"listening on \w+://127\.0\.0\.1:(\d+)")[1])
        yield process


@contextmanager
def redis(folder):
    """A redis-server of our own that keeps nothing; gives the process with its `port`."""
    for _ in range(20):
        port = free_port()
        command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", folder]
        with running(*command, "--save", "", "--appendonly", "no") as process:
            try:
                process.wait_for("Ready to accept connections")
            except AssertionError:
                if "in use" in process.text():
                    continue
                raise
            process.port = port
            yield process
            return
    raise AssertionError("no free port for redis-server")


def free_port():
    """A port that nobody has, below those that the system gives out by itself: nobody gets it before it is used."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    below = range(max(1024, first - 12000), first)
    # Where it gives out all, one of them is as good as can be had.
    for port in random.sample(below, min(len(below), 100)) or [0] * 100:
        with socket.socket() as listener:
            try:
                listener.bind(("", port))
            except OSError:
                continue
            port = listener.getsockname()[1]
        if port not in given_ports:
            given_ports.add(port)
            return port
    raise AssertionError("no free port")


def helper(label, command, expected, *arguments):
    """Runs a helper that prints `ok NAME` and `FAIL NAME: why` lines, and counts its checks as ours.

    A helper that ends early has failed: it must print `expected` lines and exit 0."""
    seen = 0
    with running(*command, *arguments) as process:
        try:
            deadline = time.monotonic() + 3 * PATIENCE
            while (line := process.next_line(deadline)) is not None:
                if match := re.match(r"ok (.+)$", line):
                    report(f"{label}: {match[1]}")
                elif match := re.match(r"FAIL (`.*`|[^:]+): (.*)$", line):
                    report(f"{label}: {match[1]}", match[2])
                else:
                    continue
                seen += 1
            same((seen, process.child.wait(PATIENCE)), (expected, 0), "(lines, exit status)")
        except (AssertionError, subprocess.TimeoutExpired) as error:
            report(f"{label}: all checks ran", f"{error}; its output ends {process.text()[-300:]!r}")


def main(checks):
    """Installs what is missing, runs the checks in a temporary folder, prints the totals and exits."""
    global BINARY
    if len(sys.argv) != 2 + LONG:
        sys.exit(f"usage: {sys.argv[0]} WSBRIDGE [--long]")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    found = shutil.which(sys.argv[1])
    BINARY = found and os.path.abspath(found)
    if not BINARY:
        report("wsbridge", f"{sys.argv[1]} is not a program")
    elif subprocess.run([HERE / "install"]).returncode:
        report("install", "a tool is missing, see above")
    else:
        with tempfile.TemporaryDirectory(prefix="wsbridge-", ignore_cleanup_errors=True) as folder:
            try:
                checks(folder)
            except Exception as error:
                report("run", reason(error))
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
