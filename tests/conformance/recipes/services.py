"""Recipes of a service: a chat, programs, a MUD, a unit of systemd, a container."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import common
from common import check, same
from recipes import servers
from recipes.pages import client

COUNT = "#!/bin/sh\nfor nth in 1 2 3; do echo $nth; done\nexit 3\n"
ANSWER = """import os, sys
for line in sys.stdin:
    print(os.getpid(), os.environ['WSBRIDGE_HTTP_COOKIE'], os.environ['QUERY_STRING'], os.environ['REMOTE_ADDR'], line.upper(), end='')
"""
LOGIN = "#!/bin/sh\nprintf 'name: '\nread -r name\necho \"hello $name\"\n"
# What every image of Debian has.
LIBRARIES = {"libc", "libgcc_s", "libm", "ld-linux-x86-64", "ld-linux-aarch64", "linux-vdso"}


def says(process, line):
    process.child.stdin.write(f"{line}\n".encode())
    process.child.stdin.flush()


def chat(recipe):
    terminal = recipe.line("wsbridge ws://localhost:8080/kitchen")
    with ExitStack() as stack:
        stack.enter_context(recipe.serving("wsbridge ws-l:8080 hub:{path}"))
        one = stack.enter_context(recipe.started(terminal))
        with check("chat: two in a room hear who comes and what each says"):
            one.wait_for(r"^\* 1 joined \(1 here\)$")
            two = stack.enter_context(recipe.started(terminal))
            one.wait_for(r"^\* 2 joined \(2 here\)$")
            says(one, "hello")
            two.wait_for("^1: hello$")
            says(two, "moin 🦀")
            one.wait_for("^2: moin 🦀$")
        with check("chat: who comes later hears what was said, and another room nothing of it"):
            three = stack.enter_context(recipe.started(terminal))
            three.wait_for("^2: moin 🦀$")
            hall = stack.enter_context(recipe.started("wsbridge ws://localhost:8080/hall"))
            hall.wait_for(r"^\* . joined \(1 here\)$")
            says(one, "bye")
            three.wait_for("^1: bye$")
            hall.end()
            assert not re.search("hello|moin|bye", hall.text()), hall.text()


def programs(recipe):
    (recipe.folder / "count.sh").write_text(COUNT)
    (recipe.folder / "count.sh").chmod(0o755)
    (recipe.folder / "answer.py").write_text(ANSWER)
    with recipe.serving("wsbridge ws-l:8080 -- ./count.sh"), check("program: its lines, and its status as close code 4003"):
        recipe.outputs("1\n2\n3\n", "wsbridge ws://localhost:8080", status=111)
        recipe.outputs("1\n2\n3\n", "wsbridge --exit-status peer ws://localhost:8080", status=3)
    caller = "wsbridge -n -H 'Cookie: who=me' 'ws://localhost:8080/ask?x=1'"
    with recipe.serving("wsbridge ws-l:8080 --env-header Cookie"), ExitStack() as stack:
        callers = [stack.enter_context(recipe.started(caller)) for _ in range(20)]
        with check("program: one for each of 20 callers, which knows who calls"):
            found = set()
            for one in callers:
                says(one, "grüße")
                found.add(one.wait_for(r"^(\d+) who=me x=1 (127\.0\.0\.1|::1) GRÜSSE$")[1])
            same(len(found), 20, "processes")
        with check("program: no caller more gets one, until one has left"):
            status, _, said = recipe.run("wsbridge ws://localhost:8080")
            same((status, "503" in said), (22, True), said)
            callers[0].child.stdin.close()
            same(callers[0].end(), 143, "exit status")


def telnet(recipe):
    game = recipe.folder / "mud"
    game.mkdir()
    (game / "bin").symlink_to("/usr/lib/tinymux/game/bin")
    shutil.copytree("/usr/share/tinymux/game", game, dirs_exist_ok=True)
    config = game / "netmux.conf"
    config.write_text(re.sub(r"(?m)^port .*", "port 4000\nip_address 127.0.0.1", config.read_text()))
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "nobody", game], check=True)
    server = servers.as_nobody("env", f"LD_LIBRARY_PATH={game}/bin", f"{game}/bin/netmux", "-c", "netmux.conf", "-e", game)
    with servers.accepting(4000, *server, cwd=game), recipe.serving("wsbridge ws-l:4001 "):
        client("mud", 3, "TinyMUX")

    login = recipe.folder / "login"
    login.write_text(LOGIN)
    login.chmod(0o755)
    listen = ["socat", "-d", "-d", "TCP-LISTEN:23,bind=127.0.0.1,fork", f"EXEC:telnetd -h -E {login},nofork"]
    with servers.ready("listening on", *listen), recipe.serving("wsbridge ws-l:4002 "):
        client("telnetd", 2, "telnetd")

    with common.running("redis-server", "--port", 7000, "--save", "", cwd=recipe.folder) as lines:
        lines.wait_for("Ready to accept connections")
        with recipe.serving("wsbridge ws-l:4003 "):
            client("lines", 1, "a port of lines")


def systemd(recipe):
    unit = recipe.folder / "wsbridge.service"
    lines = recipe.block("# /etc/systemd/system/wsbridge.service", "WantedBy=multi-user.target")
    with check("systemd: it has nothing to say about the unit"):
        unit.write_text("\n".join(lines).replace("/usr/bin/wsbridge", common.BINARY) + "\n")
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60)
        said = [line for line in done.stderr.splitlines() if "wsbridge" in line]
        same((done.returncode, said), (0, []), f"{done.stderr!r}, (status, complaints)")
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    start = values["ExecStart"].replace("/usr/bin/", "")
    with servers.redis(recipe.folder), ExitStack() as stack, check("systemd: who is told that it stops comes again"):
        first = stack.enter_context(recipe.started(start))
        first.wait_for("listening on")
        caller = stack.enter_context(recipe.started("wsbridge --reconnect -v -n -b ws://localhost:8080"))
        says(caller, "PING")
        caller.wait_for(r"^\+PONG")
        same(values["ExecReload"], "/bin/kill -HUP $MAINPID", "reload")
        os.kill(first.child.pid, signal.SIGHUP)
        first.wait_for("SIGHUP: nothing to read again")
        os.kill(first.child.pid, signal.SIGUSR1)
        first.wait_for("SIGUSR1: 1 session")
        os.kill(first.child.pid, signal.SIGTERM)
        caller.wait_for("1001")
        same(first.child.wait(common.PATIENCE), 0, "exit status")
        second = stack.enter_context(recipe.started(start))
        second.wait_for("listening on")
        says(caller, "PING")
        caller.wait_for(r"^\+PONG")


def container(recipe):
    lines = recipe.block("FROM debian:stable-slim", 'ENTRYPOINT ["wsbridge"]')
    made = dict(line.split(" ", 1) for line in lines)
    words = shlex.split(recipe.line("docker run "))
    image = words.index("wsbridge")
    with check("container: the file has what a build wants, the run what is published"):
        same(list(made), ["FROM", "COPY", "USER", "EXPOSE", "ENTRYPOINT"], "instructions")
        same(made["COPY"], "wsbridge /usr/bin/wsbridge", "what is copied")
        same(words[:image], ["docker", "run", "-p", f"127.0.0.1:8080:{made['EXPOSE']}"], "before the image")
    with check("container: the image has all libraries"):
        linked = subprocess.run(["ldd", common.BINARY], capture_output=True, text=True).stdout
        names = {Path(line.split()[0]).name.split(".so")[0] for line in linked.splitlines() if ".so" in line}
        same(names - LIBRARIES, set(), "libraries")
    # The address that a container has on the bridge of Docker, in this network of our own.
    subprocess.run(["ip", "address", "add", "172.17.0.2/16", "dev", "lo"], check=True)
    entry = json.loads(made["ENTRYPOINT"]) + words[image + 1 :]
    same(made["USER"], "nobody", "user")
    with servers.redis(recipe.folder), common.running(*servers.as_nobody(*entry), cwd="/") as bridge:
        bridge.wait_for("listening on")
        ask = "echo PING | wsbridge --connect-to ::172.17.0.2:8080"
        with check("container: who asks for localhost from outside reaches Redis"):
            recipe.outputs("+PONG\r\n", f"{ask} ws://localhost:8080")
        with check("container: a page that has given its own name to the address does not"):
            status, output, said = recipe.run(f"{ask} ws://example.com:8080")
            same((status, output, "421" in said), (22, "", True), f"{said!r}, (status, output, 421)")
        with check("container: it stops when docker says so"):
            os.kill(bridge.child.pid, signal.SIGTERM)
            same(bridge.child.wait(common.PATIENCE), 0, "exit status")
