"""Plays a demo in two panes of tmux, typed as a person types, and records the terminal that shows them."""

import os
import subprocess

from scenes import CLEAR, ENTER, INTERRUPT
from terminal import Terminal

ROWS = 24
KEY, THOUGHT = 0.028, 0.15  # seconds for a key, and before and after a line
SETTINGS = [
    "set -g status off",
    "set -g pane-border-status top",
    "set -g pane-border-style fg=brightblack",
    "set -g pane-active-border-style fg=brightblack",
    "set -g pane-border-format ' #[fg=cyan]#{pane_title}#[default] '",
    "set -g default-terminal tmux-256color",
    "set -sg escape-time 0",
    "set -ga terminal-overrides ',*:indn@:rin@:rep@'",  # pyte knows none of these
    "set -g allow-rename off",
]


class Recorder:
    """Two shells, one above the other. With `pace` 0 nobody needs time to read."""

    def __init__(self, shell, variables, folder, pace=1):
        self.socket, self.variables, self.pace = folder / "tmux", variables, pace
        settings = folder / "tmux.conf"
        settings.write_text("\n".join([*SETTINGS, f"set -g default-command '{' '.join(shell)}'\n"]))
        words = ["tmux", "-S", str(self.socket), "-f", str(settings), "new-session", "-s", "demo", "-n", "demo"]
        self.terminal = Terminal(words, variables, folder / "home", ROWS)
        self.terminal.until("a prompt", lambda: self.pane(0).startswith("\n$"))
        self.tmux("split-window", "-v", "-t", "demo")
        self.tmux("select-pane", "-t", "demo.1", "-T", "another terminal")
        self.tmux("select-pane", "-t", "demo.0", "-T", "wsbridge")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tmux("kill-server")
        os.close(self.terminal.fd)
        os.waitpid(self.terminal.pid, 0)

    def tmux(self, *words):
        done = subprocess.run(["tmux", "-S", str(self.socket), *words], env=self.variables, capture_output=True, text=True, timeout=20)
        if done.returncode:
            raise SystemExit(f"tmux {words[0]}: {done.stderr}")
        return done.stdout

    def pane(self, pane):
        """What stands in a pane."""
        rows = self.terminal.rows()
        half = ROWS // 2
        return "\n" + "\n".join(rows[1:half] if pane == 0 else rows[half + 1 :]).rstrip("\n")

    def play(self, steps):
        for pane in (0, 1):
            self.shows(pane, "\n$")
        self.terminal.record()
        for verb, *what in steps:
            getattr(self, verb)(*what)

    def scene(self, title):
        """Names what comes, in panes that are empty but for a prompt."""
        for pane in (1, 0):
            self.look(pane)
            self.terminal.write(CLEAR)
            self.terminal.until("an empty pane", lambda: self.pane(pane) == "\n$")
        self.tmux("select-pane", "-t", "demo.0", "-T", title)

    def look(self, pane):
        self.tmux("select-pane", "-t", f"demo.{pane}")

    def type(self, pane, text):
        self.look(pane)
        self.rest(THOUGHT)
        for key in text:
            self.terminal.write(key)
            self.rest(KEY)
        self.rest(THOUGHT)
        self.terminal.write(ENTER)

    def press(self, pane, key):
        self.look(pane)
        self.rest(THOUGHT)
        self.terminal.write(key)

    def stop(self, pane):
        """Ends the server that runs in a pane."""
        self.press(pane, INTERRUPT)
        self.terminal.until("a prompt", lambda: self.pane(pane).endswith("\n$"))

    def shows(self, pane, text):
        """Waits for a text, or for the last one if it ends with a prompt."""
        found = str.endswith if text.endswith("$") else str.__contains__
        self.terminal.until(f"{text!r} in pane {pane}", lambda: found(self.pane(pane), text))

    def rest(self, seconds):
        self.terminal.rest(self.pace * seconds)
