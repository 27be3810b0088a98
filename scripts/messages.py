"""Keep the catalogues of translations in step with the texts of the code.

    python scripts/messages.py           take over the texts of the code, and compile the catalogues
    python scripts/messages.py --check   say what is missing, superfluous, wrong or not compiled

New texts stand in the catalogues without a translation until somebody writes one. A text that
Django translates already is left to Django, unless a catalogue has it.
"""

import ast
import io
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import django
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation.template import templatize

PACKAGE = Path(__file__).resolve().parent.parent / "django_toosimple_q"
LOCALE = PACKAGE / "locale"
LANGUAGES = ("de", "es", "fr")
# The catalogues that every admin has loaded.
DJANGOS = ("conf", "contrib/admin", "contrib/auth")
# The calls that mark a text: the parts that their first arguments are.
CALLS = {
    **dict.fromkeys(["_", "gettext", "gettext_lazy", "gettext_noop"], ("id",)),
    **dict.fromkeys(["ngettext", "ngettext_lazy"], ("id", "plural")),
    **dict.fromkeys(["pgettext", "pgettext_lazy"], ("context", "id")),
    **dict.fromkeys(["npgettext", "npgettext_lazy"], ("context", "id", "plural")),
}
TEXT = r"""u'(?:[^'\\]|\\.)*'|u"(?:[^"\\]|\\.)*\""""
TEMPLATE_CALL = re.compile(rf"""n?p?gettext\((?:{TEXT}|[^'")])*\)""")
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[a-z%]")
WIDTH = 100

# The context and the text, of a plural the singular.
Key = tuple[str | None, str]


def texts() -> dict[Key, Message]:
    """Return the texts of the code, sorted by file and line."""
    catalog = Catalog()
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.html")]):
        source = path.read_text(encoding="utf-8")
        if path.suffix == ".html":
            # Of what `templatize` makes, the calls alone are Python.
            source = "\n".join(TEMPLATE_CALL.findall(templatize(source)))
        for parts in marked(source):
            text = (parts["id"], parts["plural"]) if "plural" in parts else parts["id"]
            catalog.add(text, context=parts.get("context"))
    return by_key(catalog)


def marked(source: str) -> Iterator[dict[str, str]]:
    """Yield the parts of each text that Python code marks, in the order of the lines."""
    # Not Babel's extraction, which reads f-strings on some releases of Python only.
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    for node in sorted(nodes, key=lambda one: (one.lineno, one.col_offset)):
        names = CALLS.get(getattr(node.func, "id", getattr(node.func, "attr", "")), ())
        values = [getattr(argument, "value", None) for argument in node.args[: len(names)]]
        if names and all(isinstance(value, str) for value in values):
            yield {name: str(value) for name, value in zip(names, values, strict=True)}


def by_key(catalog: Catalog) -> dict[Key, Message]:
    """Return the messages of a catalogue without its header."""
    return {(one.context, _ids(one)[0]): one for one in catalog if one.id}


def _ids(message: Message) -> list[str]:
    return [message.id] if isinstance(message.id, str) else list(message.id)


def _strings(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string or [""])


def po(language: str) -> Path:
    """Return where the catalogue of a language is."""
    return LOCALE / language / "LC_MESSAGES" / "django.po"


def read(language: str) -> Catalog:
    """Return the catalogue of a language."""
    with po(language).open("rb") as file:
        return read_po(file, locale=language)


@cache
def djangos(language: str) -> dict[Key, Message]:
    """Return what Django translates itself."""
    found: dict[Key, Message] = {}
    for part in DJANGOS:
        folder = Path(django.__file__).parent / part / "locale" / language / "LC_MESSAGES"
        with (folder / "django.mo").open("rb") as file:
            found |= by_key(read_mo(file))
    return found


def update(language: str) -> None:
    """Bring a catalogue to the texts of the code, and compile it."""
    catalog = read(language)
    known = by_key(catalog)
    template = Catalog()
    for key, message in texts().items():
        if key in known or key not in djangos(language):
            template.add(message.id, context=message.context)
    catalog.update(template, no_fuzzy_matching=True, update_creation_date=False)
    catalog.obsolete.clear()
    # Written by hand: the words of the glossary, and nothing that changes with each run.
    header, blank, _messages = po(language).read_text(encoding="utf-8").partition("\n\n")
    body = io.BytesIO()
    write_po(body, catalog, width=WIDTH, no_location=True, omit_header=True)
    po(language).write_bytes(f"{header}{blank}".encode() + body.getvalue())
    po(language).with_suffix(".mo").write_bytes(compiled(catalog))


def problems(language: str) -> Iterator[str]:
    """Yield what is wrong with a catalogue."""
    catalog, code = read(language), texts()
    known = by_key(catalog)
    for key in sorted(code.keys() - known.keys() - djangos(language).keys(), key=str):
        yield f"lacks {key[1]!r}"
    for key in sorted(known.keys() - code.keys(), key=str):
        yield f"has {key[1]!r}, which the code has not"
    for key, message in known.items():
        yield from (f"{fault} {key[1]!r}" for fault in faults(message, djangos(language).get(key)))
    path = po(language).with_suffix(".mo")
    stored = path.read_bytes() if path.exists() else compiled(Catalog())
    if _contents(stored) != _contents(compiled(catalog)):
        yield "is not what its .mo was compiled from"


def compiled(catalog: Catalog) -> bytes:
    """Return a catalogue as Django loads it."""
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def _contents(mo: bytes) -> dict[Key, list[str]]:
    # Not the header, which names the release of Babel.
    return {key: _strings(one) for key, one in by_key(read_mo(io.BytesIO(mo))).items()}


def faults(message: Message, django_s: Message | None) -> Iterator[str]:
    """Yield what is wrong with a message. `django_s` is Django's own of the same text."""
    strings = _strings(message)
    if message.fuzzy:
        yield "is not sure of"
    if not all(strings):
        yield "does not translate"
    allowed = [placeholders(text) for text in _ids(message)]
    if any(text and placeholders(text) not in allowed for text in strings):
        yield "has other placeholders in"
    if django_s is not None and _strings(django_s) != strings:
        # Django merges the catalogues of all apps.
        yield "would change what Django's own pages show for"


def placeholders(text: str) -> list[str]:
    """Return the placeholders of a text."""
    return sorted(PLACEHOLDER.findall(text))


def main(arguments: list[str]) -> int:
    settings.configure(USE_I18N=True)
    if arguments == ["--check"]:
        found = [f"{po(one)}: {problem}" for one in LANGUAGES for problem in problems(one)]
        for line in found:
            print(line, file=sys.stderr)
        if found:
            print("Run `make messages`, and translate what it adds.", file=sys.stderr)
        return 1 if found else 0
    for language in LANGUAGES:
        update(language)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
