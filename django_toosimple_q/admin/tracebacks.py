"""Show a stored traceback: the project's own frames open, those of libraries folded."""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import ngettext

from django_toosimple_q.admin import markup
from django_toosimple_q.text import cut_middle, shortened

# As Python writes a frame; those of an exception group stand behind bars.
FRAME = re.compile(r'(?P<before>[ |+-]*)  File "(?P<path>[^"]*)", line \d+')
# Where packages are installed, and Python's own modules, on whatever machine the worker runs.
INSTALLED = (
    re.compile(r"[/\\](?:site-packages|dist-packages)[/\\]([^/\\]+)"),
    re.compile(r"[/\\]lib(?:64)?[/\\]python\d[^/\\]*[/\\]([^/\\]+)"),
    re.compile(r"^<frozen ([^>.]+)"),
    re.compile(r"[/\\](django_toosimple_q)[/\\](?:worker|contrib)[/\\]"),
)
NAMED = 3


class Part(NamedTuple):
    """Some lines of a traceback; `library` is whose frame they are, "" for any other line."""

    library: str
    text: str


def folded(text: str | None, own: str = "") -> SafeString:
    """Return an error's traceback with the frames of libraries folded; other errors as they are.

    `own` is a package of the project that may be installed as libraries are.
    """
    if not text:
        return markup.NOTHING
    found = parts(cut_middle(text, markup.TEXT_LENGTH))
    blocks = groupby(found, lambda part: part.library not in ("", own))
    shown = [
        _fold(list(some)) if of_libraries else "".join(part.text for part in some)
        for of_libraries, some in blocks
    ]
    inside = format_html_join("", "{}", ((one,) for one in shown))
    box = '<div class="tsq-text tsq-traceback"{}>{}</div>'
    return format_html(box, markup.reachable(text), inside)


def parts(text: str) -> Iterator[Part]:
    """Yield a traceback frame by frame, and the lines between them one by one."""
    frame: list[str] = []
    library = inside = ""
    for line in text.splitlines(keepends=True):
        if frame and line.startswith((f"{inside}    ", f"{inside}  [")):
            frame.append(line)
            continue
        if frame:
            yield Part(library, "".join(frame))
            frame = []
        found = FRAME.match(line)
        if found is None:
            yield Part("", line)
            continue
        frame, inside, library = [line], found["before"], library_of(found["path"])
    if frame:
        yield Part(library, "".join(frame))


def library_of(path: str) -> str:
    """Return the name of the package that a file belongs to, or "" for one of the project's."""
    found = next(filter(None, (one.search(path) for one in INSTALLED)), None)
    return found[1].removesuffix(".py") if found else ""


def _fold(frames: list[Part]) -> SafeString:
    names = list(dict.fromkeys(one.library for one in frames))
    named = ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")
    summary = ngettext("%(count)d frame of %(names)s", "%(count)d frames of %(names)s", len(frames))
    return format_html(
        "<details><summary>{}</summary>{}</details>",
        summary % {"count": len(frames), "names": shortened(named, 100)},
        "".join(one.text for one in frames),
    )
