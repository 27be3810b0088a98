"""Which code a process runs: with equal versions, each can begin the calls of the other.

A call may be queued by code that is newer than a worker's: with a parameter, a class or a key that
the worker does not have.
"""

import site
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.signals import setting_changed

from django_toosimple_q import conf

LENGTH = 32
DIGEST_BYTES = 8
SETTINGS = ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "TOOSIMPLEQ_CODE_VERSION")


@lru_cache(maxsize=1)
def own() -> str:
    """Return the version of this process's code, as it was when this was asked for first.

    TOOSIMPLEQ_CODE_VERSION, or a digest: of the project's Python files, of the names and versions
    of the installed packages, and of the signing keys.
    """
    given = conf.get("TOOSIMPLEQ_CODE_VERSION")
    if given is not None:
        return str(given)[:LENGTH]
    digest = blake2b(files_digest(), digest_size=DIGEST_BYTES)
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        digest.update(blake2b(str(secret).encode()).digest())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def files_digest() -> bytes:
    """Return a digest of what is installed and of the project's files.

    Not of their dates: hosts get the same files at different times.
    """
    digest = blake2b(repr((sys.version_info[:2], installed())).encode())
    for root in roots():
        for path in python_files(root):
            with suppress(OSError):  # what cannot be read is no code that runs
                content = path.read_bytes()
                # A directory may be another one on another host.
                digest.update(str(path.relative_to(root)).encode("utf-8", "surrogatepass"))
                digest.update(blake2b(content).digest())
    return digest.digest()


def installed() -> list[str]:
    """Return the installed packages with their versions, by the names of their metadata."""
    found = {
        entry.name
        for directory in installed_directories()
        if directory.is_dir()
        for entry in directory.iterdir()
        if entry.suffix in (".dist-info", ".egg-info")
    }
    return sorted(found)


def installed_directories() -> list[Path]:
    """Return where packages are installed: what is there changes with its version only."""
    paths = sysconfig.get_paths()
    given = [paths["purelib"], paths["platlib"], site.getusersitepackages()]
    return [Path(one) for one in dict.fromkeys([*given, *site.getsitepackages()])]


def roots() -> list[Path]:
    """Return the directories from which the project's apps and its settings are imported."""
    names = {config.name for config in apps.get_app_configs()} | {settings.SETTINGS_MODULE or ""}
    foreign = [*installed_directories(), Path(sysconfig.get_paths()["stdlib"])]
    found = set()
    for name in names:
        module: Any = sys.modules.get(name.partition(".")[0])
        for directory in getattr(module, "__path__", None) or [getattr(module, "__file__", None)]:
            path = Path(directory).absolute() if directory else None
            if path and not any(path.is_relative_to(one) for one in foreign):
                found.add(path.parent)
    return sorted(found)


def python_files(root: Path) -> Iterator[Path]:
    """Yield the modules in a directory and in the packages below it, in a fixed order."""
    for path in sorted(root.iterdir()):
        if path.suffix == ".py" and path.is_file():
            yield path
        elif _is_package(path):
            yield from python_files(path)


def _is_package(path: Path) -> bool:
    # A link may lead back to what holds it.
    named = path.name.isidentifier() and not path.is_symlink()
    return named and (path / "__init__.py").is_file()


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting in SETTINGS:
        own.cache_clear()


setting_changed.connect(_forget)
