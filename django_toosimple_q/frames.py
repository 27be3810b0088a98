"""Take the frames of this package off the traceback of an error that a task has raised.

Tools that collect errors show the variables of each frame. Those of ours hold all arguments of a
call, whatever the function itself keeps out of reports.
"""

from types import TracebackType

# What stands between the worker's code and that of a task.
BETWEEN = (
    *("django_toosimple_q.worker", "django_toosimple_q.contrib.tasks"),
    *("django_toosimple_q.contrib.celery", "asgiref", "asyncio", "concurrent.futures"),
    *("threading", "django.views.decorators.debug", "django.tasks", "django_tasks"),
)


def without_own(error: BaseException) -> None:
    """Shorten the tracebacks of an error and of those that led to it. The last frame stays."""
    seen: set[int] = set()
    rest: list[BaseException | None] = [error]
    while rest:
        one = rest.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        # Past what a class of the project's may define under these names.
        base = BaseException.__dict__
        before = base["__traceback__"].__get__(one)
        after = _first_of_others(before)
        if after is not before:
            base["__traceback__"].__set__(one, after)
        rest += base["__cause__"].__get__(one), base["__context__"].__get__(one)


def _first_of_others(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_next is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if not any(f"{module}.".startswith(f"{own}.") for own in BETWEEN):
            break
        traceback = traceback.tb_next
    return traceback
