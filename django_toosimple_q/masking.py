"""Which arguments of a task are sensitive, and what is shown in place of their values."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter
from typing import Any, TypeVar

from django_toosimple_q.exceptions import InvalidDefinition, did_you_mean, shown

F = TypeVar("F", bound=Callable[..., Any])
POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
# How Django names the function that sensitive_variables() returns, which its reporter looks for.
DJANGOS_WRAPPER = "sensitive_variables_wrapper"


class Mask:
    """Stands for a value that is not shown."""

    def __repr__(self) -> str:
        return "********"


MASK = Mask()


def read_sensitive(given: Any) -> bool | tuple[str, ...]:
    """Return True for all arguments, or a tuple of names. Raises ValueError with the cure."""
    if isinstance(given, bool):
        return given or ()
    if isinstance(given, str):
        given = (given,)
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise ValueError(SENSITIVE_CURE)
    names = tuple(dict.fromkeys(given))
    if not all(isinstance(name, str) and name.isidentifier() for name in names):
        raise ValueError(SENSITIVE_CURE)
    return names


SENSITIVE_CURE = 'Use a list of names of parameters, such as ["password"], or True for all.'


def check_names(task: Any) -> None:
    """Raise `InvalidDefinition` for a sensitive name that no argument of the task can have."""
    if task.sensitive is True or _name_of(task, Parameter.VAR_KEYWORD) is not None:
        return
    for name in task.sensitive:
        if name not in task.signature.parameters:
            known = ", ".join(task.signature.parameters)
            cure = did_you_mean(
                name,
                task.signature.parameters,
                f"It has: {known}." if known else "It takes no arguments. Remove the option.",
            )
            raise InvalidDefinition(
                f"task {task.name!r}: sensitive cannot be {shown(list(task.sensitive))}. "
                f"The function has no parameter {name!r}. {cure}"
            )


def masked(task: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Return the arguments of a call as they are shown.

    All are masked in a call that does not fit the signature, since an argument may then stand in
    the place of another. A payload that cannot be read stays as it is.
    """
    if not task.sensitive:
        return args, kwargs
    if not isinstance(args, Sequence) or not isinstance(kwargs, Mapping):
        # `payload.Unreadable` has a reason, which quotes nothing.
        refused = any(hasattr(one, "reason") for one in (args, kwargs))
        return (args, kwargs) if refused else ALL_MASKED
    try:
        task.signature.bind(*args, **kwargs)
    except TypeError:
        return [MASK] * len(args), dict.fromkeys(kwargs, MASK)
    names = [one.name for one in task.signature.parameters.values() if one.kind in POSITIONAL]
    # Those that are left belong to *args.
    names += [_name_of(task, Parameter.VAR_POSITIONAL) or ""] * (len(args) - len(names))
    hidden = _names(task)
    positional = [
        MASK if name in hidden else value for name, value in zip(names, args, strict=False)
    ]
    return positional, _masked_by_name(task, kwargs)


def masked_in_part(task: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Return some arguments of a call as they are shown; more may come before the positional."""
    if not task.sensitive:
        return args, kwargs
    return [MASK] * len(args), _masked_by_name(task, kwargs)


def arguments_of(row: Any, read: Callable[[Any, str], Any] = getattr) -> tuple[Any, Any]:
    """Return the arguments of a `TaskExec` as they are shown.

    Of a task that this code does not have, the payload tells whether any argument is sensitive.
    Then all are masked. `read` returns a payload of a row by its name.
    """
    task = row.task
    if task is not None:
        args, kwargs = read(row, "args"), read(row, "kwargs")
        return masked(task, args, kwargs) if task.sensitive else (args, kwargs)
    stored = (row.__dict__.get(name) for name in ("args", "kwargs"))
    if any(getattr(one, "is_sensitive", False) for one in stored):
        return ALL_MASKED
    return read(row, "args"), read(row, "kwargs")


def signature_of(task: Any) -> str:
    """Return the signature of a task as text, with defaults of sensitive parameters masked."""
    if not task.sensitive:
        return str(task.signature)
    hidden = _names(task)
    parameters = [
        one.replace(default=MASK) if one.name in hidden and one.default is not one.empty else one
        for one in task.signature.parameters.values()
    ]
    return str(task.signature.replace(parameters=parameters))


def masking_in_reports(task: Any) -> Callable[..., Any]:
    """Return the function of a task, marked so that Django's error reports mask its variables.

    Raises `InvalidDefinition` when the function has a mark of its own that would win.
    """
    # It takes much of Django along, so only where it is needed.
    from django.views.decorators.debug import (
        coroutine_functions_to_sensitive_variables,
        sensitive_variables,
    )

    function: Callable[..., Any] = task.func
    names = _names(task)
    others = _name_of(task, Parameter.VAR_KEYWORD)
    if others is not None and not names.issubset(task.signature.parameters):
        # An argument without a parameter of its own is in that one.
        names = names | {others}
    if not names or getattr(function, "_toosimpleq_masking", None) == names:
        return function
    try:
        innermost = inspect.unwrap(function)
        code = innermost.__code__
        known = coroutine_functions_to_sensitive_variables.get(
            hash(f"{code.co_filename}:{code.co_firstlineno}"), ()
        )
        if known == "__ALL__":
            return function
        _refuse_other_mark(task, names)
        mark = sensitive_variables(*sorted(names.union(known)))
        if inspect.iscoroutinefunction(innermost):
            # Reports know it by its place in the code, not by what calls it.
            mark(innermost)
        marked: Callable[..., Any] = mark(function)
    except (AttributeError, ValueError) as error:
        if isinstance(error, InvalidDefinition):
            raise
        raise InvalidDefinition(
            f"task {task.name!r}: the variables of {function!r} cannot be kept out of error "
            "reports. Wrap it in a function of your own."
        ) from error
    if marked is not function:
        marked._toosimpleq_masking = names  # type: ignore[attr-defined]
    return marked


def hiding_variables(function: F) -> F:
    """Return a function whose variables, and those of what it calls, no error report shows."""
    from django.views.decorators.debug import sensitive_variables

    hiding: F = sensitive_variables()(function)
    return hiding


def _refuse_other_mark(task: Any, names: frozenset[str]) -> None:
    """Refuse @sensitive_variables that lacks a name: reports follow the nearest one only."""
    function = task.func
    while function is not None:
        code = getattr(function, "__code__", None)
        if code is not None and code.co_name == DJANGOS_WRAPPER:
            cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
            given = cells["variables"].cell_contents if "variables" in cells else ()
            missing = sorted(names.difference(given)) if given else []
            if missing:
                raise InvalidDefinition(
                    f"task {task.name!r}: sensitive has {missing[0]!r}, which "
                    f"@sensitive_variables({', '.join(map(repr, given))}) of the same function "
                    f"lacks, and error reports follow that. Add {missing[0]!r} to it."
                )
        function = getattr(function, "__wrapped__", None)


def _masked_by_name(task: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    hidden = _names(task)
    if _name_of(task, Parameter.VAR_KEYWORD) in hidden:
        hidden = hidden.union(set(kwargs).difference(task.signature.parameters))
    return {name: MASK if name in hidden else value for name, value in kwargs.items()}


def _names(task: Any) -> frozenset[str]:
    """Return the names of the sensitive parameters, or arguments."""
    named = task.signature.parameters if task.sensitive is True else task.sensitive
    return frozenset(named)


def _name_of(task: Any, kind: Any) -> str | None:
    """Return the name of the parameter of this kind, such as "kwargs", or None."""
    names = (one.name for one in task.signature.parameters.values() if one.kind is kind)
    return next(names, None)


ALL_MASKED: tuple[Any, Any] = ([MASK], {})
