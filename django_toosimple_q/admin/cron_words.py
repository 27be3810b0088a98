"""Say a cron expression in words, with cron-descriptor. Without it, the extra `admin`, nothing."""

import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from django.utils.translation import get_language, gettext, to_locale

from django_toosimple_q.cron import HOUR, MINUTE, SECOND, Cron

ENGLISH = "en_US"
# Where the library's name of a language differs from Django's.
LOCALES = {"zh_Hans": "zh_CN", "zh_Hant": "zh_TW"}
# The library takes these names from the process, whose locale is seldom the reader's.
NAMES = re.compile(
    "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday|January|February|March|April|May|June"
    "|July|August|September|October|November|December"
)
EVERY = re.compile(r"(?:\*|\b\d+)/(\d+)")


def cron_words(cron: Cron) -> str:
    """Return an expression in words, in the active language; "" where there are none.

    There are words for the five fields. The library reads a sixth one as something else than we do,
    an `H` not at all, and of steps such as `*/40` it says what is not so.
    """
    if cron.manual or len(cron.fields) > SECOND or not find_spec("cron_descriptor"):
        return ""
    if any(part.startswith("h") for field in cron.fields for part in field.split(",")):
        return ""
    if _is_uneven(cron.fields[MINUTE], 60) or _is_uneven(cron.fields[HOUR], 24):
        return ""
    locale = _locale(to_locale(get_language() or "en"))
    words = _described(" ".join(cron.fields), locale)
    return words if locale == ENGLISH else NAMES.sub(lambda name: gettext(name[0]), words)


def _is_uneven(field: str, size: int) -> bool:
    """Return whether steps through a field begin anew before the last one is over."""
    return any(int(step) == 0 or size % int(step) for step in EVERY.findall(field))


@lru_cache(maxsize=100)
def _locale(wanted: str) -> str:
    """Return the library's name of a locale, else of one with its language, else of English."""
    import cron_descriptor

    found = Path(cron_descriptor.__file__).parent.glob("locale/*.mo")
    names = sorted(path.stem for path in found)
    wanted = LOCALES.get(wanted, wanted)
    language = wanted.partition("_")[0]
    same = [name for name in names if name.startswith(f"{language}_") and language != "en"]
    return wanted if wanted in same else next(iter(same), ENGLISH)


@lru_cache(maxsize=1000)
def _described(expression: str, locale: str) -> str:
    from cron_descriptor import Options, get_description

    try:
        options = Options(locale_code=locale, use_24hour_time_format=True)
        return str(get_description(expression, options))
    except Exception:  # what the library does not know: the expression speaks for itself
        return ""
