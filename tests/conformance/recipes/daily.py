"""Recipes of a terminal and of scripts: JSON APIs, and a feed that connects again."""

import json
import os
import signal
import socket

import common
from common import check, same
from recipes import servers

SUBSCRIBE = '{\n  "op": "subscribe",\n  "what": "ü"\n}\n'


def scripts(recipe):
    folder, home = recipe.folder, recipe.folder.parent
    (folder / "subscribe.json").write_text(SUBSCRIBE)
    with servers.python("api", 443, "api", home):
        with check("JSON: a question, its answer and jq"):
            recipe.outputs("2026-11-21T12:00:00Z\n", recipe.line("wsbridge --send '{"))
        with check("JSON: a stream is there line by line, while it goes on"):
            with recipe.started(recipe.line("wsbridge --send @subscribe.json")) as stream:
                stream.wait_for('^{"nth":1}$')
                recipe.outputs("{}\n", """wsbridge --send '{"op":"go"}' -1 wss://api.example.com/ws""")
                same(stream.child.wait(common.PATIENCE), 0, "exit status")
                stream.reader.join()
                same(stream.lines, ['{"nth":1}', '{"nth":2}', '{"nth":3}'])
        record = recipe.line("wsbridge --framing json")

        def played(*said):
            (folder / "said.jsonl").write_text("".join(json.dumps(one) + "\n" for one in said))
            status, output, messages = recipe.run(record)
            same(output, "", f"{messages!r}, output")
            return status, [json.loads(line) for line in (folder / "heard.jsonl").read_text().splitlines()]

        with check("JSON: a record of text and bytes is played, and what comes is one"):
            asked = {"kind": "text", "text": '{"op":"time"}'}
            data = {"kind": "binary", "base64": "AP8K"}
            wanted = [{"kind": "text", "text": '{"time":"2026-11-21T12:00:00Z"}'}, data]
            wanted.append({"kind": "close", "code": 1000, "reason": ""})
            same(played(asked, data), (0, wanted), "(status, heard)")
        with check("JSON: a Close with an error is in the record, and exit status 111"):
            wanted = [{"kind": "close", "code": 4000, "reason": "bye"}]
            same(played({"kind": "text", "text": '{"op":"bye"}'}), (111, wanted), "(status, heard)")
    with servers.node("jsonrpc", 8545), check("JSON: a call by JSON-RPC"):
        recipe.outputs("3\n", recipe.line("echo 'add 1, 2'"))


def gone(server):
    """Kills a server: no connection is closed."""
    os.killpg(server.child.pid, signal.SIGKILL)
    server.child.wait()


def feed(recipe):
    folder, home = recipe.folder, recipe.folder.parent
    (folder / "subscribe.json").write_text(SUBSCRIBE)
    heard = folder / "feed.jsonl"
    heard.write_text('{"from":"before"}\n')
    with check("feed: goes on with another server, is asked again, and tells of the gap"):
        with servers.python("api", 443, "one", home) as first, recipe.started(recipe.line("wsbridge --reconnect")) as client:
            with common.running("tail", "-n", "+1", "-f", heard) as seen:
                seen.wait_for('^{"from":"one","asked":"subscribe"}$')
                gone(first)
                with servers.python("api", 443, "two", home):
                    seen.wait_for('^{"from":"two","asked":"subscribe"}$')
                    client.wait_for("warning: reconnected to wss://feed.example.com/v1 after .*, gap: ")
                wanted = ['{"from":"before"}'] + [f'{{"from":"{name}"{asked}}}' for name in ("one", "two") for asked in ("", ',"asked":"subscribe"')]
                same(heard.read_text().splitlines(), wanted, "record")

    with recipe.serving("wsbridge tcp-l:9000"), check("feed: a TCP caller stays while the server behind is another"):
        with servers.python("api", 80, "one") as first, socket.create_connection(("localhost", 9000), common.PATIENCE) as caller:

            def hears(wanted):
                heard = b""
                while len(heard) < len(wanted) and (more := caller.recv(len(wanted) - len(heard))):
                    heard += more
                same(heard, wanted, "heard")

            caller.settimeout(common.PATIENCE)
            hears(b'{"from":"one"}')
            gone(first)
            with servers.python("api", 80, "two"):
                hears(b'{"from":"two"}')
                caller.sendall(b'{"op":"ask"}')
                hears(b'{"from":"two","asked":"ask"}')
