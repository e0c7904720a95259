"""``python -m tests.mutants`` (``make mutants``): each rule and each law check taken away in turn; some test must fail.

One process a mutant, patched in memory: no file changes. A rule is taken out of ``decide.TABLE``; a law check is a
condition of a function that ``CHECKS`` names, each of its ``if`` negated and each part of its ``and`` and ``or`` left
out in turn, by the functions' own syntax trees. The tests run in the order in which they are most likely to notice,
until one fails.
"""

from __future__ import annotations
import __future__

import argparse
import ast
import copy
import importlib
import inspect
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType, ModuleType

import pytest

TESTS = (
    ("tests/cases",),
    ("tests/tables", "tests/birth", "tests/properties"),
    ("tests/run",),
    ("tests/simulation/test_simulation.py",),
)
"""Folders by how soon they notice; each step is one pytest."""
LONGEST = 600.0
"""Seconds for the tests of one step: what takes longer hangs, which counts as noticed."""

CHECKS = (
    "peerboot.birth:may_be_born",
    "peerboot.birth:_own_disk",
    "peerboot.birth:_beyond",
    "peerboot.birth:_word_of",
    "peerboot.birth:_cluster_on",
    "peerboot.birth:_disagrees",
    "peerboot.birth:_unclear",
    "peerboot.birth:all_born",
    "peerboot.birth:may_renew",
    "peerboot.birth:holds_something",
    "peerboot.birth:_can_go_on",
    "peerboot.rules.words:word_now",
    "peerboot.rules.words:is_wanted",
    "peerboot.rules.words:lost_to_another",
    "peerboot.rules.words:in_range",
    "peerboot.rules.words:quorum_of",
    "peerboot.rules.words:healthy_voters",
    "peerboot.rules.words:is_serving",
    "peerboot.rules.words:stands_without",
    "peerboot.rules.words:allowed",
    "peerboot.rules.data:_removed",
    "peerboot.rules.unwanted:shrinks",
    "peerboot.rules.unwanted:is_there",
    "peerboot.rules.unwanted:uncounted",
    "peerboot.act:needs_fresh_look",
    "peerboot.decide:_held",
    "peerboot.run:Node._confirmed",
    "peerboot.permits:parts_of",
    "peerboot.permits:_is_plan",
    "peerboot.systems.etcd.config:permit_kind",
)
"""Where the laws are checked. ``quorum_of`` and ``permit_kind`` have their comparisons and choices turned."""

NEGATED = {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt}

SAME: dict[str, str] = {}
"""Mutants that change nothing that anybody could see, each with the reason."""


@dataclass(frozen=True)
class Mutant:
    """One thing taken away: a rule by name, or the so-manieth change of a function."""

    where: str
    number: int = 0
    say: str = ""

    @property
    def key(self) -> str:
        return f"{self.where}#{self.number}"


def rules() -> Iterator[Mutant]:
    """One for each row of the table."""
    from peerboot import decide

    for rule in decide.TABLE:
        yield Mutant(f"rule:{rule.__name__}", 0, "taken out of the table")


def checks() -> Iterator[Mutant]:
    """One for each change of each function."""
    for where in CHECKS:
        tree = _tree(where)
        for number, (say, _) in enumerate(_changes(tree)):
            yield Mutant(where, number, say)


def _found(where: str) -> tuple[ModuleType, object, str]:
    """Module, the module or class that has the function, and its name."""
    module_name, _, path = where.partition(":")
    module = importlib.import_module(module_name)
    owner: object = module
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    return module, owner, name


def _tree(where: str) -> ast.Module:
    _, owner, name = _found(where)
    source = inspect.getsource(getattr(owner, name))
    indent = len(source) - len(source.lstrip())
    return ast.parse("\n".join(line[indent:] for line in source.splitlines()))


def _changes(tree: ast.Module) -> Iterator[tuple[str, ast.Module]]:
    """Every change of a function, with what it says: one condition negated, or one part of it left out."""
    for index, node in enumerate(_conditions(tree)):
        for variant in range(_variants(node)):
            made = copy.deepcopy(tree)
            say = _change(_conditions(made)[index], variant)
            yield f"line {getattr(node, 'lineno', 0)}: {say}", ast.fix_missing_locations(made)


def _conditions(tree: ast.Module) -> list[ast.AST]:
    """Without comparisons that are the whole of an ``if``: that one is negated already."""
    kinds = ast.If | ast.IfExp | ast.BoolOp | ast.Compare | ast.comprehension
    whole = {id(node.test) for node in ast.walk(tree) if isinstance(node, ast.If | ast.IfExp)}
    return [node for node in ast.walk(tree) if isinstance(node, kinds) and id(node) not in whole]


def _variants(node: ast.AST) -> int:
    match node:
        case ast.BoolOp():
            return len(node.values)
        case ast.comprehension():
            return len(node.ifs)
        case ast.Compare():
            return int(len(node.ops) == 1 and type(node.ops[0]) in NEGATED)
    return 1


def _change(node: ast.AST, variant: int) -> str:
    match node:
        case ast.If() | ast.IfExp():
            say = f"negated: {ast.unparse(node.test)}"
            node.test = ast.UnaryOp(ast.Not(), node.test)
        case ast.BoolOp():
            say = f"left out: {ast.unparse(node.values[variant])}"
            del node.values[variant]
            if len(node.values) == 1:
                node.values.append(node.values[0])
        case ast.comprehension():
            say = f"left out: if {ast.unparse(node.ifs[variant])}"
            del node.ifs[variant]
        case ast.Compare():
            say = f"turned: {ast.unparse(node)}"
            node.ops[0] = NEGATED[type(node.ops[0])]()
        case _:
            raise TypeError(node)
    return say


def plant(key: str) -> None:
    """Patch this process."""
    where, _, number = key.rpartition("#")
    if where.startswith("rule:"):
        from peerboot import decide

        decide.TABLE = tuple(rule for rule in decide.TABLE if rule.__name__ != where.removeprefix("rule:"))
        return
    module, owner, name = _found(where)
    _, tree = list(_changes(_tree(where)))[int(number)]
    space: dict[str, object] = {}
    code = compile(tree, f"<mutant {key}>", "exec", dont_inherit=True, flags=__future__.annotations.compiler_flag)
    exec(code, module.__dict__, space)  # noqa: S102 - peerboot's own source, changed on purpose
    new, old = space[name], getattr(owner, name)
    if not isinstance(new, FunctionType) or not isinstance(old, FunctionType):
        raise TypeError(f"{where} is no plain function")
    # The very object that everybody has imported gets the new code.
    old.__code__ = new.__code__


def noticed(key: str, steps: int = len(TESTS)) -> tuple[str, float]:
    """The step of the tests that noticed this mutant, empty when none did; and the seconds that it took."""
    begun = time.monotonic()
    for step in TESTS[:steps]:
        child = os.fork()
        if not child:
            os._exit(_tested(key, step))
        end = time.monotonic() + LONGEST
        while (done := os.waitpid(child, os.WNOHANG)) == (0, 0):
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return f"{step[0]} (hangs)", time.monotonic() - begun
            time.sleep(0.05)
        if done[1]:
            return step[0], time.monotonic() - begun
    return "", time.monotonic() - begun


def _tested(key: str, step: tuple[str, ...]) -> int:
    """In a process of its own: pytest's exit code with the mutant in place."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        if key:
            plant(key)
        return int(pytest.main([*step, "-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--no-header"]))
    except BaseException:  # noqa: BLE001 - whatever it is, it was noticed
        return 70


def main() -> int:
    """Exit code 1: a mutant survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("only", nargs="*", help="only mutants with one of these texts in their key")
    parser.add_argument("--list", action="store_true", help="name them and do nothing")
    parser.add_argument("--within", type=float, default=0.0, help="stop after so many seconds, as a failure")
    parser.add_argument("--steps", type=int, default=len(TESTS), help="only so many steps of the tests: a quick look")
    parser.add_argument("--unproven", action="store_true", help="do not run the tests without a mutant first")
    args = parser.parse_args()
    mutants = [m for m in (*rules(), *checks()) if not args.only or any(text in m.key for text in args.only)]
    if args.list:
        print(*(f"{m.key}: {m.say}" for m in mutants), sep="\n")
        return 0
    begun, survived = time.monotonic(), []
    if not args.unproven and (step := noticed("", args.steps)[0]):
        print(f"without any mutant {step} fails: mend that first", file=sys.stderr)
        return 2
    for mutant in mutants:
        if args.within and time.monotonic() - begun > args.within:
            print(f"stopped after {args.within:g} s, before {mutant.key}")
            return 1
        step, seconds = noticed(mutant.key, args.steps)
        if not step:
            survived.append(mutant)
        why = SAME.get(mutant.key, "")
        print(f"{seconds:6.1f} s  {step or why or 'SURVIVED':36} {mutant.key}: {mutant.say}", flush=True)
    left = [m for m in survived if m.key not in SAME]
    print(f"{len(mutants)} mutants, {len(left)} survived, in {time.monotonic() - begun:.0f} s")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
