"""Small changes to a module, each a mistake that somebody could make: see `mutants`."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FLIPPED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
}
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
UNORDERED = ("sorted", "reversed")
DECORATORS = {"in_transaction": "in_autocommit", "in_autocommit": "in_transaction"}
SMALL = 10
# A condition of an SQL statement that holds back rows: made to hold back none.
CONDITION = re.compile(
    r"(?<=WHERE |. AND )(?!\()([\w.]+ (?:(?:=|<=|<|>=|>|<>) (?:'\w*'|%s|[\w.]+)|IS (?:NOT )?NULL))"
)


@dataclass(frozen=True, order=True)
class Mutant:
    """A module with one change. `start` and `end` are offsets into its bytes."""

    path: str
    line: int
    start: int
    end: int
    original: str
    mutant: str
    # The lines by which tests are found that run this code.
    lines: tuple[int, ...] = ()
    # The constant that a module defines here: what reads it counts as running this code.
    constant: str = ""

    def apply(self, source: bytes) -> bytes:
        """Return the module with the change."""
        return source[: self.start] + self.mutant.encode() + source[self.end :]

    def __str__(self) -> str:
        return f"{self.path}:{self.line}  {flat(self.original)}  ->  {flat(self.mutant)}"


def flat(text: str) -> str:
    """Return a text in one line."""
    return " ".join(text.split())


def mutants(path: str, source: bytes) -> list[Mutant]:
    """Return every mutant of a module that compiles, in the order of its text."""
    found = sorted(set(Mutator(path, source).run()))
    return [one for one in found if compiles(one.apply(source))]


def compiles(source: bytes) -> bool:
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


class Mutator:
    """Walks through one module."""

    def __init__(self, path: str, source: bytes) -> None:
        self.path = path
        self.source = source
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def run(self) -> Iterator[Mutant]:
        yield from self._block(ast.parse(self.source).body, within=None)

    def _block(self, body: list[ast.stmt], within: ast.AST | None) -> Iterator[Mutant]:
        for statement in body:
            if isinstance(statement, ast.Import | ast.ImportFrom) or is_text(statement):
                continue
            if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test):
                continue
            if isinstance(within, ast.FunctionDef):
                yield from self._dropped(statement)
            yield from self._parts(statement, within)

    def _parts(self, statement: ast.stmt, within: ast.AST | None) -> Iterator[Mutant]:
        """Mutate the expressions of a statement, then the statements inside it."""
        lines = span(statement)
        constant = ""
        inner: list[ast.stmt] = []
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            within = statement
            lines = tuple(range(statement.body[0].lineno, (statement.end_lineno or 0) + 1))
        elif within is None or isinstance(within, ast.ClassDef):
            target = getattr(statement, "target", None) or getattr(statement, "targets", [None])[0]
            constant = target.id if isinstance(target, ast.Name) else ""
        for field, value in ast.iter_fields(statement):
            if field in ("annotation", "returns", "targets", "target", "type_comment"):
                continue
            for node in value if isinstance(value, list) else [value]:
                if isinstance(node, ast.stmt):
                    inner.append(node)
                elif isinstance(node, ast.ExceptHandler | ast.match_case):
                    inner += node.body
                    yield from self._handler(node)
                elif isinstance(node, ast.AST):
                    deciding = field == "test" and isinstance(node, ast.expr)
                    yield from self._expressions(node, lines, constant, deciding=deciding)
        if isinstance(statement, ast.FunctionDef):
            yield from self._decorators(statement, lines)
        yield from self._block(inner, within)

    def _dropped(self, statement: ast.stmt) -> Iterator[Mutant]:
        match statement:
            case ast.Expr(value=ast.Yield() | ast.YieldFrom() | ast.Await()):
                return
            case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Delete():
                yield self._replaced(statement, "pass", span(statement))
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]):
                yield self._replaced(statement, "pass", span(statement))
            case ast.Return(value=ast.expr() as value) if not is_none(value):
                yield self._replaced(statement, "return None", span(statement))
            case ast.Break():
                yield self._replaced(statement, "continue", span(statement))
            case ast.Continue():
                yield self._replaced(statement, "break", span(statement))

    def _handler(self, handler: ast.ExceptHandler | ast.match_case) -> Iterator[Mutant]:
        kinds = getattr(handler, "type", None)
        if isinstance(kinds, ast.Tuple):
            for number in range(len(kinds.elts)):
                fewer = kinds.elts[:number] + kinds.elts[number + 1 :]
                changed = ast.Tuple(fewer, ast.Load())
                yield self._replaced(kinds, ast.unparse(changed), span(handler.body[0]))

    def _decorators(self, function: ast.FunctionDef, lines: tuple[int, ...]) -> Iterator[Mutant]:
        for node in function.decorator_list:
            if isinstance(node, ast.Name) and node.id in DECORATORS:
                yield self._replaced(node, DECORATORS[node.id], lines)

    def _expressions(
        self, node: Any, lines: tuple[int, ...], constant: str, *, deciding: bool = False
    ) -> Iterator[Mutant]:
        if isinstance(node, ast.JoinedStr) or text_of(node):
            yield from self._conditions(node, lines)
            # Python 3.11 does not know where the parts of an f-string are.
            return
        for changed in (*changes(node), *(negation(node) if deciding else ())):
            try:
                text = ast.unparse(ast.fix_missing_locations(changed))
            except ValueError:  # nested quotes that it cannot write
                continue
            atom = isinstance(changed, ast.Constant | ast.Name | ast.Call)
            yield self._replaced(node, text if atom else f"({text})", lines, constant)
        for field, value in ast.iter_fields(node):
            if field == "annotation":
                continue
            if field == "ifs" and isinstance(node, ast.comprehension):
                yield from self._filters(value, lines)
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and getattr(node, "arg", "") != "strict":
                    yield from self._expressions(
                        child, lines, constant, deciding=field in ("test", "ifs")
                    )

    def _filters(self, tests: list[ast.expr], lines: tuple[int, ...]) -> Iterator[Mutant]:
        for test in tests:
            yield self._replaced(test, "True", lines)

    def _conditions(self, node: ast.expr, lines: tuple[int, ...]) -> Iterator[Mutant]:
        start, end = self._bounds(node)
        text = self.source[start:end].decode()
        for found in CONDITION.finditer(text):
            first = start + len(text[: found.start()].encode())
            last = first + len(found[0].encode())
            line = getattr(node, "lineno", 1) + text[: found.start()].count("\n")
            yield Mutant(self.path, line, first, last, found[0], f"({found[0]} OR 1 = 1)", lines)

    def _replaced(self, node: Any, text: str, lines: tuple[int, ...], constant: str = "") -> Mutant:
        start, end = self._bounds(node)
        original = self.source[start:end].decode()
        return Mutant(self.path, node.lineno, start, end, original, text, lines, constant)

    def _bounds(self, node: Any) -> tuple[int, int]:
        start = self.starts[node.lineno - 1] + node.col_offset
        return start, self.starts[node.end_lineno - 1] + node.end_col_offset


def changes(node: Any) -> Iterator[ast.expr]:
    """Return what an expression may be changed into."""
    match node:
        case ast.Compare(ops=[operator]):
            for flipped in FLIPPED[type(operator)]:
                yield changed(node, ops=[flipped()])
        case ast.BoolOp(op=operator, values=values):
            yield changed(node, op=ast.Or() if isinstance(operator, ast.And) else ast.And())
            for number in range(len(values)):
                fewer = values[:number] + values[number + 1 :]
                yield changed(node, values=fewer) if len(fewer) > 1 else copy.deepcopy(fewer[0])
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield copy.deepcopy(operand)
        case ast.BinOp(op=operator) if type(operator) in ARITHMETIC:
            yield changed(node, op=ARITHMETIC[type(operator)]())
        case ast.Constant(value=value):
            yield from (ast.Constant(other) for other in others(value))
        case ast.Call():
            yield from called_otherwise(node)


def called_otherwise(node: ast.Call) -> Iterator[ast.expr]:
    """Return a call without one of its keyword arguments, or of a function like it."""
    for number, keyword in enumerate(node.keywords):
        # `strict` finds mistakes only, so without it nothing changes.
        if keyword.arg not in (None, "strict"):
            fewer = node.keywords[:number] + node.keywords[number + 1 :]
            yield changed(node, keywords=fewer)
    if isinstance(node.func, ast.Name):
        name = node.func.id
        if name in CALLS:
            yield changed(node, func=ast.Name(CALLS[name], ast.Load()))
        if name in UNORDERED and node.args:
            yield ast.Call(ast.Name("list", ast.Load()), [copy.deepcopy(node.args[0])], [])


def negation(node: ast.expr) -> Iterator[ast.expr]:
    """Return the opposite of a condition that `changes` does not turn round."""
    if not isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant):
        yield ast.UnaryOp(ast.Not(), copy.deepcopy(node))


def others(value: object) -> list[bool | int | float]:
    """Return other values of a constant: its neighbours, or for a large one a size apart."""
    match value:
        case bool():
            return [not value]
        case int() if abs(value) < SMALL:
            return [value + 1, value - 1]
        case int():
            return [value * 10, value // 10]
        case float():
            return [value * 10, value / 10] if value else [1.0]
    return []


def changed(node: Any, **fields: Any) -> Any:
    """Return a copy of a node with other fields."""
    other = copy.deepcopy(node)
    for name, value in fields.items():
        setattr(other, name, copy.deepcopy(value))
    return other


def span(node: Any) -> tuple[int, ...]:
    """Return the lines of a node; of a statement with a body those before it."""
    last = node.end_lineno
    body = getattr(node, "body", None)
    if isinstance(body, list) and body:
        last = max(node.lineno, body[0].lineno - 1)
    return tuple(range(node.lineno, last + 1))


def text_of(node: Any) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def is_text(statement: ast.stmt) -> bool:
    """Return whether a statement is a docstring."""
    return isinstance(statement, ast.Expr) and text_of(statement.value)


def is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
