"""Find the task of a row whose module this process has not imported.

Django tasks live wherever their author put them. A row is signed under its name, which is the
path of its function: when the signature matches, this project's own code enqueued it, and so
imported that very module before. Only then is the path imported, and only a Django Task that the
backend of that alias accepts is taken from it.
"""

import logging
from importlib import import_module
from typing import Any

from django_toosimple_q import payload
from django_toosimple_q.contrib.tasks.definition import (
    Definition,
    define,
    make_definition,
    split_name,
)
from django_toosimple_q.contrib.tasks.framework import loaded
from django_toosimple_q.exceptions import said
from django_toosimple_q.log.write import write
from django_toosimple_q.registry import tasks_registry

# What could not be imported: once is enough for a process.
missing: set[str] = set()


def find(claimed: Any) -> Definition | None:
    """Return the definition of a claimed row, importing its module when its signature matches."""
    return find_signed(claimed.task_name, claimed.args, claimed.kwargs)


def find_row(row: Any) -> Definition | None:
    """Return the definition of a TaskExec; see `find`."""
    texts = [getattr(row.__dict__.get(name), "text", "") for name in ("args", "kwargs")]
    return find_signed(row.task_name, *texts)


def find_signed(name: str, args: str, kwargs: str) -> Definition | None:
    """Return the definition of this name, given the stored payloads that vouch for it."""
    known = tasks_registry.get(name)
    if known is not None:
        return known if isinstance(known, Definition) else None
    named = split_name(name)
    if named is None or name in missing or not _signed(name, args=args, kwargs=kwargs):
        return None
    found = _import(name, *named)
    if found is None:
        missing.add(name)
    return found


def _signed(name: str, **texts: str) -> bool:
    # Unsigned rows, which TOOSIMPLEQ_ACCEPT_UNSIGNED_UNTIL lets in for a while, vouch for nothing.
    return all(payload.is_signed(text, field, name) for field, text in texts.items())


def _import(name: str, path: str, alias: str) -> Definition | None:
    try:
        found = resolve(path)
    except (Exception, SystemExit) as error:  # a module runs as it is imported
        line = "task cannot be imported: name=%s error=%s"
        write(logging.WARNING, line, name, said(error), task_name=name)
        return None
    # Its module has registered it by now, unless it was made for another alias.
    known = tasks_registry.get(name)
    if isinstance(known, Definition):
        return known
    for framework in loaded():
        backend = framework.backend(alias)
        if isinstance(found, framework.Task) and backend is not None:
            made = define(found, backend)
            if made.name != name:
                # It has moved, and is still found at its old path: rows go on under that name.
                made = make_definition(made.django_task, backend, name)
                tasks_registry.register(made)
            return made
    return None


def resolve(path: str) -> Any:
    """Return what stands at a path; also `module.Class.function`. None when nothing does."""
    parts = path.split(".")
    for count in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:count])
        try:
            found: Any = import_module(module)
        except ModuleNotFoundError as error:
            # Of a class, not of a module; an error of the module's own imports is told.
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            missing_error = error
            continue
        for part in parts[count:]:
            found = getattr(found, part, None)
        return found
    raise missing_error
