"""Reasons of skipped tests are one line each, and a summary says what installs that which is missing."""

import pytest

from support.skips import LONGEST_REASON, install_commands, shorten

pytest_plugins = ["pytester"]

QUIET = ("-o", "asyncio_default_fixture_loop_scope=function")

CONFTEST = """
import pytest
from support import skips

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    skips.shorten_report(report)
    return report

def pytest_terminal_summary(terminalreporter):
    skips.summarize(terminalreporter)
"""


@pytest.mark.parametrize(
    ("reason", "short"),
    [
        ("this cluster has no RBAC", "this cluster has no RBAC"),
        ('go cannot build it:\n{\n  "error": "a long output"\n}', "go cannot build it:"),
        ("x" * 300, "x" * (LONGEST_REASON - 1) + "…"),
        ("no programs\n(`make node-packages`)", "no programs `make node-packages` installs it."),
    ],
)
def test_reason_is_one_line(reason: str, short: str) -> None:
    assert shorten(reason) == short


def test_commands_are_listed_once() -> None:
    reasons = ["`make node-packages` as root", "by `make browser-packages`", "`make node-packages`", "`pip install x`"]
    assert install_commands(reasons) == ["make browser-packages", "make node-packages"]


def test_summary_of_a_run(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("""
        import pytest

        def test_browser():
            pytest.skip("there is no Chromium: `make browser-packages`")

        def test_node():
            pytest.skip("there is no runc, `make node-packages` installs it:\\n{\\n}")

        def test_here():
            pass
    """)
    output = pytester.runpytest("-ra", *QUIET).stdout
    output.fnmatch_lines(
        [
            "*2 tests were skipped; install what they need by: make browser-packages, make node-packages",
            "SKIPPED*there is no runc, `make node-packages` installs it:",
        ],
        consecutive=False,
    )
    output.no_fnmatch_line("{")


def test_no_summary_without_commands(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("import pytest\n\ndef test_rights():\n    pytest.skip('this cluster has no RBAC')\n")
    pytester.runpytest(*QUIET).stdout.no_fnmatch_line("*install what they need*")
