"""Paint pictures as PPM, shrink them, and write them as PNG, with only the standard library."""

import random
import struct
import zlib

WIDTH, HEIGHT = 320, 240

Row = list[tuple[int, int, int]]


def paint(title: str) -> bytes:
    """Return a picture (PPM). The same title always gives the same picture."""
    dice = random.Random(title)
    top, bottom = _colour(dice), _colour(dice)
    discs = [_disc(dice) for _ in range(5)]
    body = bytearray()
    for y in range(HEIGHT):
        background = [a + (b - a) * y // HEIGHT for a, b in zip(top, bottom, strict=True)]
        line = bytearray(bytes(background) * WIDTH)
        for centre_x, centre_y, radius, colour in discs:
            inside = radius**2 - (y - centre_y) ** 2
            if inside > 0:
                half = int(inside**0.5)
                left, right = max(centre_x - half, 0), min(centre_x + half, WIDTH)
                line[left * 3 : right * 3] = bytes(colour) * max(right - left, 0)
        body += line
    return b"P6 %d %d 255\n" % (WIDTH, HEIGHT) + bytes(body)


def thumbnail(picture: bytes, factor: int) -> bytes:
    """Return a PPM picture as a PNG whose sides are `factor` times shorter."""
    header, _newline, pixels = picture.partition(b"\n")
    width, height = (int(number) for number in header.split()[1:3])
    rows = []
    for y in range(0, height - factor + 1, factor):
        lines = [pixels[(y + dy) * width * 3 : (y + dy + 1) * width * 3] for dy in range(factor)]
        rows.append([_average(lines, x, factor) for x in range(0, width - factor + 1, factor)])
    return _png(rows)


def _average(lines: list[bytes], x: int, factor: int) -> tuple[int, int, int]:
    red, green, blue = (
        sum(sum(line[x * 3 + channel : (x + factor) * 3 : 3]) for line in lines) // factor**2
        for channel in range(3)
    )
    return red, green, blue


def _png(rows: list[Row]) -> bytes:
    # Each line of a PNG begins with the number of its filter. 0 means none.
    raw = b"".join(b"\0" + bytes(part for pixel in row for part in pixel) for row in rows)
    size = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _colour(dice: random.Random) -> tuple[int, int, int]:
    return dice.randrange(40, 230), dice.randrange(40, 230), dice.randrange(40, 230)


def _disc(dice: random.Random) -> tuple[int, int, int, tuple[int, int, int]]:
    return dice.randrange(WIDTH), dice.randrange(HEIGHT), dice.randrange(20, 80), _colour(dice)
