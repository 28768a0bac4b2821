"""Recipes whose caller is a page: Redis, VNC, a shell, MQTT, a language server."""

import base64
import hashlib
import os

import common
from common import check, same
from recipes import servers


def browsed(recipe, what, expected, label):
    """Opens a page of `page.mjs` in a Chromium that knows our certificate by its key."""
    home = recipe.folder.parent
    public = servers.openssl("x509", "-in", home / "chain.pem", "-noout", "-pubkey")
    (recipe.folder / "public.pem").write_bytes(public)
    der = servers.openssl("pkey", "-pubin", "-in", recipe.folder / "public.pem", "-outform", "der")
    known = f"--ignore-certificate-errors-spki-list={base64.b64encode(hashlib.sha256(der).digest()).decode()}"
    profile = recipe.folder / f"profile-{what}"
    command = ["node", common.HERE / "recipes/page.mjs", what, home, profile, *common.CHROMIUM, known]
    common.helper(label, command, expected)


def client(what, expected, label, *words):
    """Runs a client of `clients.mjs`."""
    common.helper(label, ["node", common.HERE / "recipes/clients.mjs", what], expected, *words)


def redis(recipe):
    with servers.redis(recipe.folder), recipe.serving("wsbridge ws-l:8080/redis"):
        with check("redis: the line with echo gets its answer"):
            recipe.outputs("+PONG\r\n", recipe.line("echo "))
        browsed(recipe, "redis", 2, "redis in Chromium")


def vnc(recipe):
    screen = ["-geometry", "640x480", "-depth", "24", "-rfbport", "5901", "-localhost", "-SecurityTypes", "None"]
    with common.running("Xtigervnc", "-displayfd", "1", *screen) as desktop:
        os.environ["DISPLAY"] = f":{desktop.wait_for('^([0-9]+)$')[1]}"
        with recipe.serving("wsbridge ws-l:6080 "):
            browsed(recipe, "vnc", 3, "VNC in Chromium")
        home = recipe.folder.parent
        with recipe.serving("wsbridge 'wss-l:*:6080,", [("/etc/wsbridge", home)]):
            browsed(recipe, "vnc-tls", 3, "VNC in Chromium over TLS")


def shell(recipe):
    with recipe.serving("wsbridge ws-l:8080/shell") as bridge:
        client("shell", 6, "shell")
        with check("shell: one whose tab is gone was told so"):
            for _ in range(2):
                bridge.wait_for("closed caller")
            same((recipe.folder / "hangup").read_text(), "gone\n")


def mqtt(recipe):
    config = recipe.folder / "mosquitto.conf"
    config.write_text("listener 1883 127.0.0.1\nallow_anonymous true\n")
    with servers.ready(" running$", "mosquitto", "-v", "-c", config), recipe.serving("wsbridge "):
        client("mqtt", 2, "mqtt.js and mosquitto", "ws://localhost:8083/mqtt", "mqtt://localhost:1883")
        client("subprotocols", 3, "MQTT")


def language_server(recipe):
    with recipe.serving("wsbridge "):
        client("language-server", 5, "typescript-language-server", recipe.folder)
