"""Servers that recipes lead to, each a real one, at the port where a recipe expects it."""

import glob
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager

import common

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr notice;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    server {{
        listen 443 ssl;
        ssl_certificate {folder}/chain.pem;
        ssl_certificate_key {folder}/key.pem;
        {locations}
    }}
}}
"""


def openssl(*words):
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True).stdout


def certificate(folder):
    """An authority, ca.pem, and what it certifies for every name of the recipes: chain.pem and key.pem."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2]
    openssl("req", "-x509", *key, "-subj", "/CN=cookbook", "-addext", "keyUsage=critical,keyCertSign",
            "-keyout", folder / "ca.key", "-out", folder / "ca.pem")  # fmt: skip
    openssl("req", *key[:-2], "-subj", "/CN=example.com", "-keyout", folder / "key.pem", "-out", folder / "csr.pem")
    (folder / "names").write_text("subjectAltName=DNS:localhost,DNS:example.com,DNS:*.example.com\n")
    openssl("x509", "-req", "-in", folder / "csr.pem", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key",
            "-CAcreateserial", "-days", 2, "-extfile", folder / "names", "-out", folder / "chain.pem")  # fmt: skip
    for name in "key.pem", "chain.pem", "ca.pem":
        (folder / name).chmod(0o644)


def as_nobody(*command):
    """A command of a program that does not run as root."""
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]
    return [*nobody, *command] if os.geteuid() == 0 else list(command)


@contextmanager
def ready(pattern, *command, **options):
    """A server that is there when it has said so."""
    with common.running(*command, **options) as process:
        process.wait_for(pattern)
        yield process


@contextmanager
def accepting(port, *command, **options):
    """A server that says nothing, and is there when its port is."""
    with common.running(*command, **options) as process:
        until = time.monotonic() + common.PATIENCE
        while True:
            with socket.socket() as caller:
                if caller.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.child.poll() is None and time.monotonic() < until, f"{command[0]}: {process.text()}"
            time.sleep(0.05)
        yield process


def redis(folder):
    command = ["redis-server", "--port", 6379, "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
    return ready("Ready to accept connections", *command)


def nginx(folder, locations):
    """A web server in front, on port 443; its certificate is in the folder above."""
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder.parent, locations=locations))
    return ready("start worker process ", "nginx", "-p", folder, "-c", config)


def node(name, *words):
    """A server of ours in Node."""
    return ready("^ready", "node", common.HERE / "recipes" / f"{name}.mjs", *words)


def python(name, *words):
    """A server of ours in Python, with its package websockets."""
    return ready("^ready", common.TOOLS / "python/bin/python", "-B", "-u", common.HERE / "recipes" / f"{name}.py", *words)


@contextmanager
def postgres():
    """A PostgreSQL that is reached by its socket alone, whose folder is given."""
    folder = tempfile.mkdtemp(prefix="wsbridge-", dir="/tmp")
    try:
        if os.geteuid() == 0:
            os.chown(folder, *pwd.getpwnam("nobody")[2:4])
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        command = as_nobody(f"{programs}/initdb", "-D", f"{folder}/data", "-U", "postgres", "-A", "trust", "--no-sync")
        with common.running(*command, cwd="/") as made:
            common.same(made.child.wait(common.PATIENCE), 0, f"initdb {made.text()}")
        command = as_nobody(f"{programs}/postgres", "-D", f"{folder}/data", "-k", folder, "-F", "-c", "listen_addresses=")
        with ready("ready to accept connections", *command, cwd="/"):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
