"""Seeded damage to texts and bytes: what typing errors, broken transfers and hostile senders make of them."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Sequence

SCALARS = (
    *("", "0", "-1", "1e18", "-1e308", "1e308", "1e-320", "1e400", ".inf", "-.inf", ".nan", "~", "yes", "[]", "{}"),
    *("1:60:99", "1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1", "1" + ":59" * 300, "1" + ":59" * 300 + ".5", "0x", "0b", "0o7"),
    *("0x" + "f" * 5000, "9" * 400, "9" * 5000, "1_0", "_", "-", "--", "'", '"', "'a", "|", ">", "? x", "<<: 1"),
    *('!!int ""', '!!float ""', "!!int 0x", "!!float abc", "!!bool maybe", "!!null 3", "!!timestamp 2026", "!!map [1]"),
    *("!!seq {a: 1}", "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1]", "!!binary '@@'", "!!str [1]", "!!merge x"),
    *("!!python/object:os.system {}", "!!python/name:os.system", "!unknown 3", "!<tag:yaml.org,2002:int> x", "!!map x"),
    *("2026-13-45", "2026-02-30", "0000-00-00", "2026-01-01 25:00:00 +99:99", "9999-12-31 23:59:59 -23:59", "=", "<<"),
    *(
        "&a [*a]",
        "&a {<<: *a}",
        "*a",
        "&a 1",
        '"\\UFFFFFFFF"',
        '"\\U00110000"',
        '"\\ud800"',
        '"\\x"',
        "!%ff x",
        "@",
        "`",
    ),
    *(
        "[" * 60 + "]" * 60,
        "{a: " * 60 + "}" * 60,
        "[" * 2000,
        "x" * 5000,
        "\t",
        "\x07",
        "\u2028",
        "\ufeff",
        "\U0001f600",
    ),
    *("[1, 2, 3]", "{a: 1}", "[[1, 2], [3]]", "2147483648", "9223372036854775808", "1e-31", "1e-46", "180", "Infinity"),
)
LINES = (
    *(
        "%YAML 1.1",
        "%YAML 9.9",
        "%YAML " + "9" * 5000 + ".1",
        "%TAG ! tag:x,2026:",
        "---",
        "...",
        "- a",
        "a: &a b",
        "# x",
    ),
    *("<<: *a", "<<: {a: 1}", "<<: [*a, *a]", "? [1, 2]", ": 1", "a: |\n  text", "a: >-\n  text", "\0", "a:\n\tb: 1"),
    "l0: &l0 {x: 1}\n" + "".join(f"l{n}: &l{n} {{<<: [{', '.join([f'*l{n - 1}'] * 10)}]}}\n" for n in range(1, 9)),
    "l0: &l0 [x]\n" + "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 9)),
)
BYTES = (0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x20)


_BOMBS = zlib.compress(bytes(1000), 9), zlib.compress(bytes(3_000_000), 9)


def damaged_text(text: str, rng: random.Random) -> bytes:
    """A YAML or other text with one to four mistakes."""
    lines = text.splitlines()
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(lines)) if lines else 0
        line = lines[at] if lines else ""
        kind = rng.randrange(9)
        if kind == 0:
            lines[at : at + 1] = [rng.choice(LINES)]
        elif kind == 1:
            lines.insert(at, rng.choice(LINES))
        elif kind == 2:
            lines.insert(at, line)
        elif kind == 3:
            del lines[at : at + 1]
        elif kind == 4 and ":" in line:
            lines[at : at + 1] = [line.partition(":")[0] + ": " + rng.choice(SCALARS)]
        elif kind == 5:
            lines[at : at + 1] = [line[: rng.randint(0, len(line))]]
        elif kind == 6:
            lines[at : at + 1] = [" " * rng.randint(0, 4) + line.lstrip()]
        else:
            lines[at : at + 1] = [_with_token_replaced(line, rng)]
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    return damaged_bytes(content, rng) if rng.random() < 0.1 else content


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """Bytes of which some are replaced, cut out, doubled or inserted."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(damaged) + 1) if rng.random() < 0.5 else rng.randrange(min(len(damaged), 64) + 1)
        kind = rng.randrange(6)
        if kind == 0:
            damaged[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            damaged[at : at + 1] = bytes([rng.choice(BYTES)])
        elif kind == 2:
            damaged[at : at + 4] = struct.pack(rng.choice("<>") + "I", _number(rng))
        elif kind == 3:
            del damaged[at : at + rng.choice((1, 2, 8, 100, 10_000))]
        elif kind == 4:
            damaged[at:at] = damaged[at : at + rng.choice((1, 4, 12, 200))]
        else:
            damaged[at:at] = rng.randbytes(rng.choice((1, 4, 50)))
    return bytes(damaged)


def damaged_png(content: bytes, rng: random.Random) -> bytes:
    """A PNG with other chunks and right checksums, which the decoder does not refuse at once."""
    chunks = []
    position = 8
    while position + 12 <= len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        chunks.append((content[position + 4 : position + 8], content[position + 8 : position + 8 + length]))
        position += 12 + length
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(chunks))
        kind = rng.randrange(6)
        if kind == 0:
            sides = (_number(rng), _number(rng)) if rng.random() < 0.5 else rng.choice(SIDES)
            layout = rng.choice((1, 2, 4, 8, 16, 3)), rng.choice((0, 2, 3, 4, 6, 7)), 0, 0, rng.choice((0, 1))
            chunks[0] = b"IHDR", struct.pack(">IIBBBBB", *sides, *layout)
        elif kind == 1:
            chunks[at] = chunks[at][0], damaged_bytes(chunks[at][1] or b"\0", rng)
        elif kind == 2:
            bomb = rng.choice(_BOMBS)
            note = rng.choice(
                (b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"IDAT", b"qqqq")
            )
            chunks[at:at] = [(note, rng.choice((b"a\0\0", b"a\0\1\0\0\0", b"")) + bomb)] * rng.choice((1, 1, 50))
        elif kind == 3:
            del chunks[at]
        elif kind == 4:
            chunks.insert(at, rng.choice(chunks))
        else:
            chunks = [(name, _BOMBS[1]) if name == b"IDAT" else (name, data) for name, data in chunks]
        if not chunks:
            break
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return content[:8] + b"".join(parts)


SIDES = (
    (1, 25_000_000),
    (5000, 5000),
    (5001, 5000),
    (65536, 380),
    (100_000, 1),
    (2**31, 2**31),
    (20_000, 20_000),
    (0, 5),
)


def number(rng: random.Random) -> float:
    """A number as a file or a message may hold it, mostly an absurd one."""
    return rng.choice(
        (0.0, -0.0, 1.0, -1.0, 0.1, 1e-6, 1e-300, 5e-324, 1e6, 1e18, -1e18, 1e154, 1e308, -1e308, rng.gauss(0, 1),
         rng.gauss(0, 1000), float("inf"), float("nan"), 2**31, 2**63)
    )  # fmt: skip


def some(items: Sequence[float], rng: random.Random) -> list[float]:
    """The numbers with one or two replaced."""
    changed = list(items)
    for _ in range(rng.randint(0, 2)):
        if changed:
            changed[rng.randrange(len(changed))] = number(rng)
    if changed and rng.random() < 0.05:
        changed.pop()
    return changed


def _number(rng: random.Random) -> int:
    return rng.choice(
        (0, 1, 2, 255, 5000, 5001, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1, rng.randrange(2**32))
    )


def _with_token_replaced(line: str, rng: random.Random) -> str:
    words = line.split(" ")
    at = rng.randrange(len(words))
    word = words[at]
    head = word[: len(word) - len(word.lstrip("[{"))]
    tail = word[len(word.rstrip(",]}:")) :]
    words[at] = head + rng.choice(SCALARS) + tail
    return " ".join(words)
