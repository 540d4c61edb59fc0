"""A terminal's screen with its escape sequences, from standard input, as SVG on standard output.

    svg.py COLUMNS ROWS TITLE < SCREEN > PICTURE

Nothing is drawn that is not on the screen. Each run of equal style is one text of exactly the width of its cells, so that the picture
is aligned in every font; bars and shades are drawn as rectangles, which no font draws without gaps.
"""

import re
import sys
from xml.sax.saxutils import escape

WIDTH, HEIGHT, BASE, SIZE = 8, 17, 13, 13.3  # of a cell and its text, pixels
MARGIN, BAR = 12, 28
INK, GROUND = "#d4d8de", "#14171c"
SIXTEEN = ["#1c1f26", "#d05a5a", "#6fae62", "#c8a24a", "#5c8ed6", "#a878c8", "#4fa9ab", "#c8ccd2",
           "#6b7280", "#ef7b7b", "#8fcf80", "#e8c468", "#7daef0", "#c79be6", "#6fcbcd", "#ffffff"]
EIGHTHS = {chr(0x2580 + n): n / 8 for n in range(1, 9)}  # from the bottom: one eighth to all
SHADES = {"░": 0.25, "▒": 0.5, "▓": 0.75}


def cube(n):
    """A colour of the 256."""
    if n < 16:
        return SIXTEEN[n]
    if n >= 232:
        return "#" + f"{8 + 10 * (n - 232):02x}" * 3
    n -= 16
    return "#" + "".join(f"{v and 55 + 40 * v:02x}" for v in (n // 36, n // 6 % 6, n % 6))


def restyle(style, codes):
    """The style after an SGR sequence: ink, ground, bold, dim, reverse."""
    codes = [int(c or 0) for c in codes]
    while codes:
        c = codes.pop(0)
        if c == 0:
            style = (None, None, False, False, False)
        elif c in (1, 2, 7, 22, 27):
            bold, dim, reverse = style[2:]
            bold, dim = (True, dim) if c == 1 else (bold, True) if c == 2 else (False, False) if c == 22 else (bold, dim)
            reverse = {7: True, 27: False}.get(c, reverse)
            style = style[:2] + (bold, dim, reverse)
        elif c in (38, 48):
            if codes.pop(0) == 5:
                colour = cube(codes.pop(0))
            else:
                colour, codes = "#" + "".join(f"{v:02x}" for v in codes[:3]), codes[3:]
            style = (colour,) + style[1:] if c == 38 else style[:1] + (colour,) + style[2:]
        elif c in (39, 49):
            style = (None,) + style[1:] if c == 39 else style[:1] + (None,) + style[2:]
        elif 30 <= c <= 37 or 90 <= c <= 97:
            style = (SIXTEEN[c - 30 if c < 90 else c - 82],) + style[1:]
        elif 40 <= c <= 47 or 100 <= c <= 107:
            style = style[:1] + (SIXTEEN[c - 40 if c < 100 else c - 92],) + style[2:]
    return style


def cells(line, style):
    """Characters of a line with their styles, and the style after it."""
    out = []
    for text, codes in re.findall(r"([^\x1b]+)|\x1b\[([0-9;:]*)m", line):
        if text:
            out += [(c, style) for c in text]
        else:
            style = restyle(style, re.split("[;:]", codes))
    return out, style


def look(style):
    """Ink, ground and weight as they are drawn."""
    ink, ground, bold, dim, reverse = style
    if reverse:
        ink, ground = ground or GROUND, ink or INK
    return ink or INK, ground, bold, dim


def rectangle(x, y, width, height, colour, opacity=1.0):
    shade = f' fill-opacity="{opacity}"' if opacity < 1 else ""
    return f'<path d="M{x:g} {y:g}h{width:g}v{height:g}h-{width:g}z" fill="{colour}"{shade}/>'


def draw(x, y, text, style):
    """A run of cells of one style."""
    ink, ground, bold, dim = look(style)
    width = WIDTH * len(text)
    out = [rectangle(x, y, width, HEIGHT, ground)] if ground else []
    opacity = 0.62 if dim else 1.0
    for match in re.finditer(r"(?P<block>([▁-█░▒▓])\2*)|(?P<words>[^\s▁-█░▒▓](?:[^▁-█░▒▓]*[^\s▁-█░▒▓])?)", text):
        at, wide = x + WIDTH * match.start(), WIDTH * len(match.group())
        if match["block"]:
            share, shade = EIGHTHS.get(match.group()[0], 1.0), SHADES.get(match.group()[0], 1.0)
            tall = HEIGHT * share
            out.append(rectangle(at, y + HEIGHT - tall, wide, tall, ink, shade * opacity))
        else:
            weight = ' font-weight="bold"' if bold else ""
            pale = f' fill-opacity="{opacity}"' if dim else ""
            # Browsers collapse plain blanks of a picture inside a page, whatever it says of them.
            words = escape(match.group()).replace(" ", "\u00a0")
            out.append(f'<text x="{at:g}" y="{y + BASE:g}" textLength="{wide:g}" fill="{ink}"{weight}{pale}>{words}</text>')
    return "".join(out)


def main():
    columns, rows, title = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    lines = sys.stdin.read().split("\n")[:rows]
    width, height = columns * WIDTH + 2 * MARGIN, rows * HEIGHT + MARGIN + BAR
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
          f'font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,\'DejaVu Sans Mono\',monospace" font-size="{SIZE}" xml:space="preserve">')
    print(f"<title>{escape(title)}</title>")
    print(f'<rect width="{width}" height="{height}" rx="6" fill="{GROUND}"/>')
    print(f'<text x="{width / 2:g}" y="18" text-anchor="middle" fill="#8b93a0">{escape(title)}</text>')
    style = (None, None, False, False, False)
    for row, line in enumerate(lines):
        found, style = cells(line, style)
        start = 0
        while start < len(found):
            end = start
            while end < len(found) and found[end][1] == found[start][1]:
                end += 1
            text = "".join(c for c, _ in found[start:end])
            drawn = draw(MARGIN + start * WIDTH, BAR + row * HEIGHT, text, found[start][1])
            if drawn:
                print(drawn)
            start = end
    print("</svg>")


main()
