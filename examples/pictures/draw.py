"""Draws cells of a terminal as SVG: still, or as a film of them that needs no script."""

from itertools import groupby
from xml.sax.saxutils import escape

from terminal import COLUMNS

CELL, LINE, SIZE = 8.4, 18, 14  # width and height of a cell, size of its letters
MARGIN, BAR = 14, 30
FONTS = "'DejaVu Sans Mono','Liberation Mono',Menlo,Consolas,monospace"
PAPER, INK, FRAME, TITLE = "#15181e", "#d5d9e0", "#272c36", "#98a1b0"
COLOURS = {
    "black": "#3b4252",
    "red": "#f07178",
    "green": "#98c379",
    "brown": "#e5c07b",
    "blue": "#61afef",
    "magenta": "#c678dd",
    "cyan": "#56b6c2",
    "white": INK,
    "brightblack": "#7f8896",
    "default": INK,
    "reverse": PAPER,
}


def colour(name):
    return COLOURS.get(name) or COLOURS.get(name.removeprefix("bright")) or f"#{name}"


def number(value):
    return f"{value:.2f}".rstrip("0").rstrip(".")


def place(row, column):
    """The upper left corner of a cell."""
    return MARGIN + column * CELL, BAR + MARGIN / 2 + row * LINE


def run(row, column, text, style):
    """Characters of one style in one row, where blanks are holes."""
    x, y = place(row, column)
    width = number(len(text) * CELL)
    parts = []
    if style.bg != "default":
        back = INK if style.bg == "reverse" else colour(style.bg)
        parts.append(f'<rect x="{number(x)}" y="{number(y)}" width="{width}" height="{LINE}" fill="{back}"/>')
    if set(text) == {"─"}:
        parts.append(f'<rect x="{number(x)}" y="{number(y + LINE / 2)}" width="{width}" height="1" fill="{colour(style.fg)}"/>')
    elif text.strip():
        look = "" if style.fg == "default" else f' fill="{colour(style.fg)}"'
        look += ' font-weight="bold"' if style.bold else ""
        look += ' font-style="italic"' if style.italic else ""
        look += ' text-decoration="underline"' if style.underline else ""
        look += f' textLength="{width}"' if len(text) > 1 else ""
        parts.append(f'<text x="{number(x)}" y="{number(y + 13)}"{look}>{escape(text)}</text>')
    return "".join(parts)


def runs(cells):
    """Joins the cells of a row that have all but the character in common; blanks between them cost nothing."""
    rows = {}
    for (row, column), (character, style) in cells.items():
        rows.setdefault((row, style), {})[column] = character
    for (row, style), columns in sorted(rows.items()):
        for start, text in pieces(columns, style):
            yield row, start, text, style


def pieces(columns, style):
    """The texts of a row and where they begin. A background and a drawn line are cut where the blanks are."""
    first, last = min(columns), max(columns)
    text = "".join(columns.get(column, " ") for column in range(first, last + 1))
    if style.bg == "default" and not style.underline and "─" not in text:
        return [(first, text)]
    kinds = [(column in columns, columns.get(column) == "─") for column in range(first, last + 1)]
    found, at = [], 0
    for kind, group in groupby(kinds):
        length = len(list(group))
        if kind[0]:
            found.append((first + at, text[at : at + length]))
        at += length
    return found


def window(rows, title, style, body):
    """A sober window around what is drawn."""
    width, height = number(COLUMNS * CELL + 2 * MARGIN), number(BAR + rows * LINE + 1.5 * MARGIN)
    dots = "".join(f'<circle cx="{18 + 18 * at}" cy="15" r="5"/>' for at in range(3))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'xml:space="preserve" font-family="{FONTS}" font-size="{SIZE}" fill="{INK}">'
        f"<title>{escape(title)}</title><style>text{{white-space:pre}}{style}</style>"
        f'<rect width="100%" height="100%" rx="8" fill="{FRAME}"/>'
        f'<path d="M1 {BAR}H{number(float(width) - 1)}V{number(float(height) - 8)}a7 7 0 0 1-7 7'
        f'H8a7 7 0 0 1-7-7z" fill="{PAPER}"/>'
        f'<g fill="#4a5260">{dots}</g>'
        f'<text x="50%" y="20" text-anchor="middle" font-size="12" fill="{TITLE}">{escape(title)}</text>'
        f"{body}</svg>\n"
    )


def still(cells, rows, title):
    """One picture of the first rows of a screen."""
    inside = {where: cell for where, cell in cells.items() if where[0] < rows}
    return window(rows, title, "", "".join(run(*piece) for piece in runs(inside)))


def lifetimes(frames, end):
    """Each character that was ever shown, by row, column and when it came: with its style and when it went."""
    lives, shown = [], {}
    for when, cells, _ in [*frames, (end, {}, None)]:
        for where, (cell, since) in list(shown.items()):
            if cells.get(where) != cell:
                del shown[where]
                if when > since:
                    lives.append((where, cell, since, when))
        for where, cell in cells.items():
            shown.setdefault(where, (cell, when))
    return lives


def film(frames, end, rows, title):
    """A picture that moves: each run is seen from when it came until it went, then all begins anew."""

    def percent(when):
        return number(100 * when / end) + "%"

    spans, names, style = {}, {}, []
    for where, (character, look), since, until in lifetimes(frames, end):
        spans.setdefault((since, until), {})[where] = (character, look)
    body = []
    for (since, until), cells in sorted(spans.items()):
        drawn = "".join(run(*piece) for piece in runs(cells))
        if (since, until) == (0, end):
            body.append(drawn)
            continue
        name = names.setdefault((since, until), f"k{len(names)}")
        seen = "{visibility:visible}"
        gone = "{visibility:hidden}"
        steps = f"0%{seen if since == 0 else gone}" + (f"{percent(since)}{seen}" if since else "")
        steps += f"{percent(until)}{gone}" if until < end else f"to{seen}"
        style.append(f"@keyframes {name}{{{steps}}}")
        last = ' class="m z"' if until == end else ' class="m"'
        body.append(f'<g{last} style="animation-name:{name}">{drawn}</g>')

    steps, before = [], None
    for when, _, cursor in frames:
        at = f"transform:translate({number(cursor[1] * CELL)}px,{cursor[0] * LINE}px)" if cursor else "transform:translate(0,-99px)"
        if at != before:
            steps.append(f"{percent(when)}{{{at}}}")
            before = at
    style.append(f"@keyframes c{{{''.join(steps)}to{{{before}}}}}")
    x, y = place(0, 0)
    body.append(
        f'<rect class="c" x="{number(x)}" y="{number(y)}" width="{CELL}" height="{LINE - 1}" '
        f'fill="{INK}" fill-opacity=".45" style="{before}"/>'
    )
    rules = f".m,.c{{animation:{number(end)}s step-end infinite}}.c{{animation-name:c}}.m{{visibility:hidden}}.z{{visibility:visible}}"
    calm = "@media(prefers-reduced-motion:reduce){.m,.c{animation:none!important}}"
    return window(rows, title, rules + calm + "".join(style), "".join(body))
