"""The cookbook as its readers have it: the lines of the manual page that a wsbridge prints, run by a shell."""

import os
import re
import shlex
import subprocess
from contextlib import contextmanager
from pathlib import Path

import common

ROFF = {"\\-": "-", "\\e": "\\", "\\&": "", "\\(aq": "'", "\\(dq": '"', "\\(ga": "`", "\\(ha": "^", "\\(ti": "~"}


def plain(line):
    """A line of roff as it is shown."""
    return re.sub(r"\\(?:\(..|.)", lambda found: ROFF[found[0]], line)


class Recipe:
    """The lines of one recipe, and a folder in which they are run.

    A line is named by how it begins. Names and ports are taken as they are: the names lead to this machine, whose ports are all
    free (see `cookbook`). What is changed is paths of files, and hashes that are others each time."""

    def __init__(self, title, lines, folder):
        self.title, self.lines, self.folder, self.untried = title, lines, folder, [line for line in lines if line]
        folder.mkdir()
        folder.chmod(0o755)

    def line(self, start, changes=()):
        """The one line that begins so, with these changes: pairs of what is there and what stands for it."""
        found = [line for line in self.lines if line.startswith(start)]
        assert len(found) == 1, f"{len(found)} lines begin with {start!r} in {self.lines}"
        line = found[0]
        if line in self.untried:
            self.untried.remove(line)
        for old, new in changes:
            assert old in line, f"{old!r} is not in {line!r}"
            line = line.replace(old, str(new))
        same_words = len(shlex.split(line)) == len(shlex.split(found[0]))
        assert same_words, f"more is changed than values: {line!r}"
        return line

    def block(self, first, last):
        """The lines from one to another, which are part of a file."""
        begin, end = self.lines.index(first), self.lines.index(last)
        lines = self.lines[begin : end + 1]
        self.untried = [line for line in self.untried if line not in lines]
        return lines

    def run(self, line, data=b"", **variables):
        """Runs a line to its end; gives exit status, output and messages."""
        done = subprocess.run(
            ["bash", "-c", line], input=data, capture_output=True, cwd=self.folder, env={**os.environ, **variables},
            timeout=common.PATIENCE,
        )  # fmt: skip
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def outputs(self, wanted, line, data=b"", status=0):
        """Runs a line that must end so and put out exactly this."""
        ended, output, said = self.run(line, data)
        common.same((ended, output), (status, wanted), f"{line}: {said!r}, (status, output)")

    def started(self, line, **variables):
        """A line that goes on, as a process whose standard output and messages are one."""
        return common.running("bash", "-c", line, cwd=self.folder, env={**os.environ, **variables})

    @contextmanager
    def serving(self, start, changes=(), **variables):
        """A line that listens, when it does."""
        with self.started(self.line(start, changes), **variables) as process:
            process.wait_for("listening on ")
            yield process


def recipes(folder):
    """All recipes of the page, by title."""
    done = subprocess.run([common.BINARY, "--generate", "man-cookbook"], capture_output=True, text=True, check=True)
    found = {}
    title, shown = None, False
    for line in done.stdout.splitlines():
        if line.startswith(".SH "):
            title = plain(line[4:].strip('"'))
        elif line == ".EX":
            found[title], shown = [], True
        elif line == ".EE":
            shown = False
        elif shown:
            found[title].append(plain(line))
    return {title: Recipe(title, lines, Path(folder, f"recipe-{nth}")) for nth, (title, lines) in enumerate(found.items())}
