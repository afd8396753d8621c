"""Which parameters of an engine the tests of its folder show at work."""

import ast
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytest_lem.engines.driven import drives
from pytest_lem.spec import catalogue
from pytest_lem.spec.parameters.about import HARNESS


def no_cases(name: str, table: ast.expr) -> Iterable[str]:
    """No table of cases names a parameter."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Shown is what `proves` marks name, and what `cases` reads out of a table.

    `elsewhere` has those that no test here can show, and why.
    """

    backend: str
    folder: Path
    driven: Collection[str]
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    cases: Callable[[str, ast.expr], Iterable[str]] = no_cases

    def shown(self) -> set[str]:
        """The paths that are named in any test of the folder."""
        found: set[str] = set()
        for path in self.folder.glob("test_*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and (
                    ast.unparse(node.func).endswith("proves")
                ):
                    found |= {ast.literal_eval(one) for one in node.args}
                elif isinstance(node, ast.Assign):
                    found |= {*self.cases(ast.unparse(node.targets[0]), node.value)}
        return found

    def parameters(self) -> set[str]:
        """Every parameter that reaches an object of the engine's library."""
        universal = (
            row
            for row in catalogue.rows(catalogue.UNIVERSAL)
            if row.targets.get(self.backend, HARNESS) != HARNESS
        )
        return {row.path for row in (*universal, *catalogue.rows(self.backend))}

    def check_share(self, least: float) -> None:
        """See that so many of those that can be shown here are; print the others."""
        possible = self.parameters() - {*self.elsewhere}
        left = sorted(possible - self.shown())
        share = 1 - len(left) / len(possible)
        shown = len(possible) - len(left)
        print(f"{shown} of {len(possible)} parameters ({share:.1%})")
        print(*(f"not shown: {path}" for path in left), sep="\n")
        print(*(f"{path}: {why}" for path, why in self.elsewhere.items()), sep="\n")
        assert share >= least, left

    def check_names(self) -> None:
        """See that every name is a parameter's: misspelt it would count as nothing."""
        assert self.shown() <= self.parameters()
        assert {*self.elsewhere} <= self.parameters()

    def check_driven(self) -> None:
        """See that nothing is said to be obeyed which collection refuses."""
        for path in self.shown():
            assert drives(path, self.driven, section=self.backend), path
