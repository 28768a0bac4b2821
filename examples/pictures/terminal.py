"""A terminal of 80 columns with a shell in it: what it shows, cell by cell and with colours, and when."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections import namedtuple

import pyte

COLUMNS = 80
PATIENCE = 20  # seconds that any single wait may take
READY = b"\x1b]133;A\x07"  # what our prompt says unseen: the shell is ready
PROMPT = r"\[\e]133;A\a\e[32m\]$\[\e[0m\] "

Style = namedtuple("Style", "fg bg bold italic underline")


def shell(folder):
    """The words that start a shell that nobody has configured but for its prompt."""
    settings = folder / "shell"
    settings.write_text(f"PS1='{PROMPT}'\nunset HISTFILE\n")
    return ["bash", "--noprofile", "--rcfile", str(settings), "-i"]


def environment(home, path):
    """What that shell finds: a terminal, and `wsbridge` in the folder `path`."""
    return {
        "HOME": str(home),
        "PATH": f"{path}:/usr/local/bin:/usr/bin:/bin",
        "TERM": "xterm-256color",
        "LC_ALL": "C.UTF-8",
        "PAGER": "cat",
        "SHELL": "/bin/bash",
    }


class Terminal:
    """A program in a pty; `frames` has what the screen showed since `record()`, `bytes` what was written to it."""

    def __init__(self, words, variables, folder, rows):
        self.screen = pyte.Screen(COLUMNS, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.bytes = b""
        self.events, self.frames, self.start = [], [], None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, COLUMNS, 0, 0))
            os.execvpe(words[0], words, variables)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, COLUMNS, 0, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)
        os.kill(self.pid, signal.SIGHUP)
        os.waitpid(self.pid, 0)

    def record(self):
        """From now on keeps frames and events; the time is now 0."""
        self.start = time.monotonic()
        self.frames = [(0.0, self.cells(), self.cursor())]

    def now(self):
        return time.monotonic() - self.start

    def read(self, seconds):
        """Shows what the program writes within this time, and returns as soon as it has written something."""
        if not select.select([self.fd], [], [], max(seconds, 0))[0]:
            return
        try:
            data = os.read(self.fd, 1 << 16)
        except OSError:  # the program has ended
            data = b""
        if not data:
            raise SystemExit(f"the terminal has ended; it shows\n{self.text()}")
        self.bytes += data
        self.stream.feed(data)
        if self.start is not None:
            self.events.append((self.now(), data))
            self.frames.append((self.now(), self.cells(), self.cursor()))

    def rest(self, seconds):
        """Goes on showing for this time: the pace of a recording."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.read(left)

    def until(self, what, holds):
        limit = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > limit:
                raise SystemExit(f"waited in vain for {what}; the terminal shows\n{self.text()}")
            self.read(limit - time.monotonic())

    def write(self, text):
        os.write(self.fd, text.encode())

    def run(self, line):
        """Types a line into the shell, which must be ready, and waits until it is ready again."""
        self.until("a prompt", lambda: READY in self.bytes)
        count = self.bytes.count(READY)
        self.write(line + "\n")
        self.until(f"the end of: {line}", lambda: self.bytes.count(READY) > count)

    def text(self):
        return "\n".join(row.rstrip() for row in self.screen.display).rstrip("\n")

    def rows(self):
        """What stands on each row, without the blanks at its end."""
        return [row.rstrip() for row in self.screen.display]

    def cursor(self):
        cursor = self.screen.cursor
        return None if cursor.hidden else (cursor.y, min(cursor.x, COLUMNS - 1))

    def cells(self):
        """All that is not blank: (row, column) to (character, Style)."""
        shown = {}
        for row, line in self.screen.buffer.items():
            for column, cell in line.items():
                fg, bg = (cell.bg, cell.fg) if cell.reverse else (cell.fg, cell.bg)
                style = Style(fg, bg, cell.bold, cell.italics, cell.underscore)
                if cell.reverse and style[:2] == ("default", "default"):
                    style = style._replace(fg="reverse", bg="reverse")
                if cell.data.strip() or style.bg != "default" or style.underline:
                    shown[row, column] = (cell.data, style)
        return shown
