"""The mutations are real changes, in the right place, and nothing that only people read is touched."""

from __future__ import annotations

import ast

import pytest

from tests.mutation.core import ROOT, core_files, guards
from tests.mutation.operators import lua_mutations, python_mutations
from tests.mutation.run import mutations, sample

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("source", "mutants"),
    [
        ("a < b", ["a <= b"]),
        ("a is not b", ["a is b"]),
        ("a in b", ["a not in b"]),
        ("x = a + 1", ["x = a - 1", "x = a + 2"]),
        ("x += n", ["x -= n"]),
        ("a and (b or c)", ["a or (b or c)", "a and (b and c)"]),
        ("if not a: b()", ["if a: b()", "if not a: pass"]),
        ("x = True", ["x = False"]),
        ("x = min(a, b)", ["x = max(a, b)"]),
        ("é = 'é'; a < b", ["é = 'é'; a <= b"]),
        ("def f(a=1):\n    g(a)", ["def f(a=2):\n    g(a)", "def f(a=1):\n    pass"]),
    ],
)
def test_each_construct_has_its_mutants(source: str, mutants: list[str]) -> None:
    assert [each.apply(source) for each in python_mutations(source)] == mutants


@pytest.mark.parametrize(
    "source",
    [
        '"""A < b, or 1."""',
        "log.info('a', n=1)",
        "x: Annotated[int, 3]",
        "raise ValueError(f'{a + 1}')",
        "x = 'a' + b",
    ],
)
def test_words_for_people_are_left_alone(source: str) -> None:
    assert python_mutations(source) == []


def test_lua_comments_and_strings_are_left_alone() -> None:
    source = "-- a < b\nif x == 1 then call('a == b') end -- and so\n"
    assert [each.apply(source) for each in lua_mutations(source)] == [source.replace("x == 1", "x ~= 1")]


def test_every_mutant_of_the_core_is_a_program_and_another_one() -> None:
    for file in core_files():
        if file.suffix == ".py":
            source = (ROOT / file).read_text()
            unchanged = ast.dump(ast.parse(source))
            for each in mutations(file)[::31]:
                assert ast.dump(ast.parse(each.apply(source))) != unchanged, each.describe(source)


def test_a_seed_draws_the_same_sample_and_every_file_has_guards() -> None:
    assert sample(30, 1, [""]) == sample(30, 1, [""]) != sample(30, 2, [""])
    assert all(any(guards(file)) for file in core_files())
