"""Recipes of tunnels: SSH, PostgreSQL, proxies, and two machines with a pin."""

import getpass
import os
import re
import signal
import subprocess

import common
from common import check, same
from recipes import servers
from recipes.pages import client

SSHD = """
Port 22
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile none
UsePAM no
StrictModes no
AuthorizedKeysFile {folder}/user.pub
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
"""
SSH = """
Host *
    User {user}
    IdentityFile {folder}/user
    IdentitiesOnly yes
    BatchMode yes
    HostKeyAlias there
    StrictHostKeyChecking yes
    UserKnownHostsFile {folder}/known
"""
TINYPROXY = "Port 3128\nListen 127.0.0.1\nTimeout 60\nAllow 127.0.0.1\nConnectPort {port}\nLogLevel Info\n"
DANTE = """
logoutput: stderr
internal: 127.0.0.1 port = 1080
external: 127.0.0.1
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass { from: 127.0.0.0/8 to: 127.0.0.0/8 }
socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 log: connect }
"""
PG = """
        location /pg {
            if ($http_authorization != "Bearer open-sesame") { return 401; }
            proxy_pass http://localhost:8080;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $http_connection;
        }
"""


def ssh(recipe):
    folder, home = recipe.folder, recipe.folder.parent
    for name in "host", "user":
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "known").write_text("there " + (folder / "host.pub").read_text())
    (folder / "sshd_config").write_text(SSHD.format(folder=folder))
    own = SSH.format(folder=folder, user=getpass.getuser())
    (folder / "plain").write_text(own)
    lines = recipe.block("# in ~/.ssh/config", "    ProxyCommand wsbridge -q wss://%h/ssh")
    (folder / "config").write_text("\n".join(lines) + own)
    os.makedirs("/run/sshd", exist_ok=True)
    certificate = [("/etc/wsbridge", home)]
    with servers.ready("Server listening", "/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd_config"):
        with recipe.serving("wsbridge 'wss-l:*:443/ssh", certificate):
            # ssh does not look for its files below $HOME.
            line = recipe.line("ssh ")
            with check("ssh: a shell by the line, and its exit status"):
                recipe.outputs("there 42\n", line.replace("ssh ", f"ssh -F {folder}/plain ", 1), b"echo there $((40 + 2)); exit 3", 3)
            with check("ssh: a shell by the lines of the file"):
                recipe.outputs("there\n", f"ssh -F {folder}/config example.com echo there")
            with check("ssh: scp goes the same way"):
                data = os.urandom(1 << 20)
                (folder / "sent").write_bytes(data)
                recipe.outputs("", f"scp -q -F {folder}/config sent example.com:{folder}/come")
                same((folder / "come").read_bytes() == data, True, "the same bytes")


def postgres(recipe):
    folder = recipe.folder
    (folder / "token").write_text("open-sesame\n")
    with servers.postgres() as place, servers.nginx(folder, PG):
        made = f"psql -q -h {place} -U postgres -c 'CREATE DATABASE app'"
        recipe.outputs("", made)
        line = recipe.line("psql ")
        with recipe.serving("wsbridge ws-l:8080/pg", [("/var/run/postgresql", place)]) as near:
            with recipe.serving("wsbridge tcp-l:5433", [("/etc/wsbridge", folder)]), check("postgres: psql through both bridges and nginx"):
                os.environ.update(PGUSER="postgres", PSQLRC="/dev/null")
                rows = "".join(f"{nth} \n" for nth in range(100_000))
                sums = b"\\pset format unaligned\n\\pset tuples_only\nSELECT nth, '' FROM generate_series(0, 99999) AS t(nth);\n"
                status, output, said = recipe.run(f"{line} -q -F ' '", sums)
                same((status, output == rows), (0, True), f"{said!r}, {output[:80]!r}, (status, all rows)")
            with recipe.serving("wsbridge tcp-l:5433", [("/etc/wsbridge", folder)]), check("postgres: one that is cut is told so"):
                with recipe.started(f"{line} -q -A -t") as one:
                    one.child.stdin.write(b"SELECT 40 + 2;\n")
                    one.child.stdin.flush()
                    one.wait_for("^42$")
                    near.child.send_signal(signal.SIGKILL)
                    near.child.wait()
                    one.child.stdin.write(b"SELECT 1;\n")
                    one.child.stdin.close()
                    same(one.child.wait(common.PATIENCE), 2, f"{one.text()}, exit status")
        (folder / "token").write_text("shut\n")
        with recipe.serving("wsbridge tcp-l:5433", [("/etc/wsbridge", folder)]) as far, check("postgres: a wrong token is the web server's no"):
            same(recipe.run(line)[0], 2, "exit status")
            far.wait_for("401")


def proxies(recipe):
    folder, home = recipe.folder, recipe.folder.parent
    feed = '{"nth":0}\n{"nth":1}\n{"nth":2}\n'
    config = folder / "tinyproxy.conf"
    config.write_text(TINYPROXY.format(port=443))
    named, by_socks, found = recipe.line("wsbridge --proxy http:"), "wsbridge --proxy socks5h:", recipe.line("https_proxy=")
    with servers.python("api", 443, "news", home):
        with servers.ready("Accepting connections", "tinyproxy", "-d", "-c", config) as proxy:
            for what, line in ("by --proxy", named), ("by https_proxy", found):
                with check(f"tinyproxy {what}"):
                    recipe.outputs(feed, line)
                    proxy.wait_for(r"CONNECT example\.com:443 ")
        config.write_text(TINYPROXY.format(port=8443))
        with servers.ready("Accepting connections", "tinyproxy", "-d", "-c", config), check("tinyproxy: its no is exit status 97"):
            recipe.outputs("", named, status=97)
        with check("a proxy without an address is exit status 5"):
            recipe.outputs("", "wsbridge --proxy http://proxy.invalid:3128 wss://example.com/feed", status=5)

    broker = folder / "mosquitto.conf"
    broker.write_text(
        "allow_anonymous true\nlistener 1883 127.0.0.1\nlistener 443 127.0.0.1\nprotocol websockets\nuser root\n"
        f"certfile {home}/chain.pem\nkeyfile {home}/key.pem\n"
    )
    (folder / "danted.conf").write_text(DANTE)
    with servers.ready(" running$", "mosquitto", "-v", "-c", broker):
        with servers.ready(r"v1\.\d.* running", "danted", "-f", folder / "danted.conf") as socks, recipe.serving(by_socks):
            client("mqtt", 2, "MQTT through dante", "mqtt://localhost:8883", "mqtt://localhost:1883")
            with check("MQTT went through dante"):
                socks.wait_for(r"pass\(1\): tcp/connect .*\.443$")


def pin(recipe):
    with recipe.serving("wsbridge 'wss-l:*:8443,self-signed'") as bridge:
        printed = re.search(r"--pin-sha256 (\S+)", "\n".join(bridge.lines)) or bridge.wait_for(r"--pin-sha256 (\S+)")
        line = recipe.line("wsbridge wss://server:8443")
        shown = line.split()[-1]
        with check("pin: who knows it gets in"):
            status, output, said = recipe.run(line.replace(shown, printed[1]))
            same((status, "load average" in output), (0, True), f"{said!r}, {output!r}, (status, uptime)")
        with check("pin: the one of the page is another key's, exit status 60"):
            recipe.outputs("", line, status=60)
    with check("pin: a key that stays, as the remark makes it"):
        made = "openssl req -x509 -nodes -newkey rsa:2048 -days 3650 -subj /CN=server -keyout key.pem -out cert.pem"
        same(recipe.run(made)[0], 0, "exit status")
        with recipe.started("wsbridge 'wss-l:*:8443' --cert cert.pem --key key.pem echo:") as bridge:
            bridge.wait_for("listening on")
            der = "openssl x509 -in cert.pem -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64"
            own = recipe.run(der)[1].strip()
            recipe.outputs("moin\n", f"echo moin | wsbridge -1 wss://server:8443 --pin-sha256 sha256//{own}")
