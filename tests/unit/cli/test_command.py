"""The `statefulroute` command: its output, its imports, and its errors."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions, requires, version
from pathlib import Path

import pytest
import typer
from tests.support.pod_certificates import PodAuthority
from tests.support.refused_connections import KUBECONFIG
from typer.testing import CliRunner, Result

from statefulroute.cli import PACKAGES_OF_EXTRAS
from statefulroute.cli.app import LazyCommand, app

#: The project and the extra of a requirement.
REQUIREMENT = re.compile(r"([\w.-]+).*; .*\bextra == ['\"](\w+)['\"]")

#: Runs the command in a new interpreter in which some packages are missing; then prints the imported modules.
RUN = """
import sys
absent, sys.argv[1:] = sys.argv[1].split(","), sys.argv[2:]

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from statefulroute.cli import {entry}
try:
    {entry}()
finally:
    print("LOADED", *sorted(sys.modules))
"""

#: Prints the help of each command, and after each the imported modules.
HELP = """
import sys
from contextlib import suppress
from statefulroute.cli import main
for command in sys.argv[1:]:
    sys.argv = ["statefulroute", command, "--help"]
    with suppress(SystemExit):
        main()
    print(f"{command}:", *sys.modules, file=sys.stderr)
"""

#: Runs command lines, and prints after each the imported modules. Then it prints how many CA certificates
#: the contexts of aiohttp have, and a context that is created now.
COMMAND_LINES = """
import ssl
import sys
from contextlib import suppress
from statefulroute.cli import main
for line in sys.argv[1:]:
    sys.argv = ["statefulroute", *line.split()]
    with suppress(SystemExit):
        main()
    print(f"LOADED {line}:", *sys.modules, file=sys.stderr)
from aiohttp import connector
contexts = connector._SSL_CONTEXT_VERIFIED, connector._SSL_CONTEXT_UNVERIFIED, ssl.create_default_context()
print("AUTHORITIES", *(context.cert_store_stats()["x509"] for context in contexts), file=sys.stderr)
"""

#: What takes longer to import than the rest of a command.
LARGE_PACKAGES = {"aiohttp", "kopf", "kubernetes", "pydantic", "rich", "structlog", "textual", "uvloop"}

#: Arguments with which each command sends a request to the cluster.
REQUESTS = {
    "routes": "",
    "pods": "game",
    "links": "game --phase Bound",
    "slots": "game",
    "whereis": "alice",
    "link": "game alice 1 --ttl 5m",
    "move": "game alice 1",
    "unlink": "game alice",
    "export": "game",
    "drain": "game game-0",
    "undrain": "game game-0",
    "scale": "game 2",
    "rollout": "status game",
    "set-state": "game Ready",
    "confirm-loss": "game --dry-run client",
    "check": "",
}

#: Commands that send no request by themselves, need a terminal, run until they are stopped, or work on many links: the
#: last ones import pydantic before their first request.
OTHER_COMMANDS = {
    "operator",
    "resolver",
    "sidecar",
    "version",
    "completion",
    "console",
    "top",
    "events",
    "import",
    "release",
}

COMMANDS: dict[str, object] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def run(
    *arguments: str, absent: str = "", env: dict[str, str] | None = None, entry: str = "main"
) -> subprocess.CompletedProcess[str]:
    """Run the command, or its completion for kubectl, in a new process."""
    program = RUN.replace("{entry}", entry)
    return subprocess.run(
        [sys.executable, "-c", program, absent, *arguments], capture_output=True, text=True, check=False, env=env
    )


def invoke(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, arguments, prog_name="statefulroute")


def plain(output: str) -> str:
    """Returns the output without colors, frames and line breaks."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", output).replace("│", " ").split())


@pytest.fixture(scope="module")
def cold_help() -> subprocess.CompletedProcess[str]:
    return run("--help")


def test_help_describes_every_command(cold_help: subprocess.CompletedProcess[str]) -> None:
    assert cold_help.returncode == 0
    assert "Sticky, stateful routing on Kubernetes" in cold_help.stdout
    assert "Print the version." in cold_help.stdout
    assert "Run the operator" in cold_help.stdout


@pytest.mark.parametrize(
    "package", ["kopf", "kubernetes", "aiohttp", "uvloop", "pydantic", "rich", "structlog", "textual"]
)
def test_help_does_not_import_a_large_package(cold_help: subprocess.CompletedProcess[str], package: str) -> None:
    loaded = cold_help.stdout.rpartition("LOADED")[2].split()
    assert "typer" in loaded
    assert package not in loaded


def test_help_of_no_command_imports_a_large_package() -> None:
    done = subprocess.run([sys.executable, "-c", HELP, *sorted(COMMANDS)], capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    loaded = {name: {*modules.split()} for name, _, modules in (line.partition(": ") for line in lines)}
    assert loaded.keys() == COMMANDS.keys()
    assert [name for name, modules in loaded.items() if LARGE_PACKAGES & modules] == []
    assert "statefulroute.cli.commands.check" in loaded["check"]


@pytest.mark.parametrize("words", [[""], ["pods", "--"], ["pods", "game", "-o", ""]], ids=" ".join)
def test_completion_of_commands_and_options_imports_no_large_package(words: list[str]) -> None:
    result = run(*words, entry="complete")
    assert result.stdout.count("\n") > 2
    assert LARGE_PACKAGES & {*result.stdout.rpartition("LOADED")[2].split()} == set()


@pytest.fixture(scope="module")
def requesting(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What commands print whose API server refuses connections, where the system trusts one certificate authority."""
    kubeconfig = tmp_path_factory.mktemp("cluster") / "config"
    kubeconfig.write_text(KUBECONFIG)
    authority = PodAuthority().write(kubeconfig.parent).ca
    lines = [f"{command} {arguments} --kubeconfig {kubeconfig}" for command, arguments in REQUESTS.items()]
    environment = {"SSL_CERT_FILE": str(authority)}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND_LINES, *lines], capture_output=True, text=True, check=True, env=environment
    )
    return done.stderr.splitlines()


def test_every_command_is_tested_with_a_request_or_sends_none() -> None:
    assert REQUESTS.keys() | OTHER_COMMANDS == COMMANDS.keys()


def test_commands_import_only_the_http_client_of_the_large_packages_before_their_first_request(
    requesting: list[str],
) -> None:
    assert sum("127.0.0.1:9" in line for line in requesting) == len(REQUESTS)
    loaded = {line.split()[1]: {*line.split()} for line in requesting if line.startswith("LOADED")}
    assert loaded.keys() == REQUESTS.keys()
    others = {command: LARGE_PACKAGES & modules - {"aiohttp"} for command, modules in loaded.items()}
    assert others == {command: set() for command in REQUESTS}


def test_http_client_of_commands_does_not_read_the_certificates_of_the_system(requesting: list[str]) -> None:
    assert requesting[-1] == "AUTHORITIES 0 0 1"


@pytest.mark.parametrize("name", typer.main.get_command(app).list_commands(None))  # type: ignore[attr-defined]
def test_list_of_commands_shows_the_help_of_each_command(name: str) -> None:
    command = typer.main.get_command(app).get_command(None, name)  # type: ignore[attr-defined]
    if isinstance(command, LazyCommand):
        assert command.get_short_help_str(200) == command.load().get_short_help_str(200)


@pytest.mark.parametrize("argument", ["version", "--version"])
def test_version_prints_the_installed_version(argument: str) -> None:
    result = invoke(argument)
    assert (result.exit_code, result.output) == (0, f"{version('statefulroute')}\n")


def test_prints_help_without_a_command() -> None:
    result = invoke()
    assert result.exit_code == 2
    assert "Usage: statefulroute" in plain(result.output)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--unheard-of"], "--unheard-of"),
        (["dance"], "dance"),
        (["version", "1"], "1"),
        (["-n", "play"], "Missing command"),
        (
            ["link", "game", "alice", "1", "--ttl", "soon"],
            "'soon' is not a duration: write seconds (300), or 5m, 1h30m",
        ),
        (["link", "game", "alice", "1", "--ttl", "0s"], "'0s' is not a number of whole seconds from 1 to 2147483647"),
        (["link", "game", "alice", "1", "--ttl", "1.5s"], "'1.5s' is not a number of whole seconds"),
        (["unlink", "game", "alice", "--grace", "-1"], "'-1' is not a duration"),
        (["release", "--timeout", "500ms"], "'500ms' is less than 1 s"),
        (["--namespace", "play", "dance"], "dance"),
        (["-A", "pods", "game"], "-A"),
        (["operator", "--unheard-of"], "--unheard-of"),
        (["operator", "--parallel-writes", "0"], "--parallel-writes"),
        (["operator", "--parallel-writes", "257"], "--parallel-writes"),
        (["operator", "--parallel-writes", "many"], "--parallel-writes"),
        (["operator", "--log-level", "loud"], "loud"),
        (["operator", "--log-format", "verse"], "verse"),
        (["operator", "--metrics-tls-min-version", "1.2"], "VersionTLS12"),
        (["operator", "--metrics-tls-cipher-suites", "AES128-SHA"], "AES128-SHA"),
        (["operator", "--metrics-tls-min-version", "VersionTLS13"], "need --metrics-address"),
        (["resolver", "--tls-min-version", "VersionTLS13"], "need --tls-certificate"),
    ],
    ids=str,
)
def test_names_an_invalid_argument_and_exits_with_2(arguments: list[str], words: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert words in plain(result.output)


@pytest.mark.parametrize(
    ("option", "duration", "deadline"),
    [("--lease-duration-seconds=10", "10", "10"), ("--renew-deadline-seconds=2.4", "15", "2.4")],
)
def test_rejects_lease_times_with_which_two_operators_could_write(option: str, duration: str, deadline: str) -> None:
    result = invoke("operator", option)
    assert result.exit_code == 2
    assert (
        f"the lease duration ({duration} s) must be longer than the renew deadline ({deadline} s), and that longer "
        "than 1.2 times the retry period (2 s)"
    ) in plain(result.output)


def test_help_after_an_option_is_that_of_the_subcommand() -> None:
    result = invoke("-n", "play", "routes", "--help")
    assert (result.exit_code, "Show services and their state." in plain(result.output)) == (0, True)


def test_operator_help_describes_its_options() -> None:
    result = invoke("operator", "--help")
    assert result.exit_code == 0
    for option in ("--kubeconfig", "--context", "--parallel-writes", "--log-level", "--log-format"):
        assert option in plain(result.output)


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        ("operator", "typer", "operator"),
        ("operator", "kopf", "operator"),
        ("operator", "uvloop", "operator"),
        ("operator", "prometheus_client", "operator"),
        ("resolver", "typer", "resolver"),
        ("resolver", "uvloop", "resolver"),
        ("resolver", "structlog", "resolver"),
        ("operator", "structlog", "operator"),
        ("routes", "typer", "cli"),
        ("-A routes operator", "typer", "cli"),
        ("--help", "typer", "cli"),
        ("", "typer", "cli"),
    ],
)
def test_names_the_extra_of_a_missing_package(arguments: str, package: str, extra: str) -> None:
    result = run(*arguments.split(), absent=package)
    message = f"The command is not installed: pip install 'statefulroute[{extra}]'\n"
    assert (result.returncode, result.stderr) == (1, message)


def test_every_package_of_an_extra_has_a_hint() -> None:
    requirements = (REQUIREMENT.match(each) for each in requires("statefulroute") or ())
    projects = {each[1] for each in requirements if each and each[2] in {"operator", "resolver", "cli"}}
    owners = {name: {each.replace("_", "-") for each in found} for name, found in packages_distributions().items()}
    installed = {name for name in owners if projects & owners[name]}
    of_windows = {"colorama"}
    with_own_message = {"kubernetes", "truststore"}  # for a kubeconfig that needs it
    assert installed - with_own_message | of_windows == PACKAGES_OF_EXTRAS


def test_completion_without_its_packages_shows_how_to_install_them() -> None:
    result = run("routes", "", absent="typer", entry="complete")
    hint = "The command is not installed: pip install 'statefulroute[cli]'"
    assert (result.returncode, result.stderr) == (0, f"{hint}\n")
    assert result.stdout.splitlines()[:2] == [f"_activeHelp_ {hint}", ":4"]


def test_shows_the_import_error_of_a_broken_installation() -> None:
    result = run("operator", absent="msgspec")
    assert result.returncode == 1
    assert "No module named 'msgspec'" in result.stderr
    assert "not installed" not in result.stderr


@pytest.fixture
def without_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home directory of a user without a cluster."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("without_cluster")
def test_operator_without_a_cluster_prints_the_fix_and_exits_with_1() -> None:
    result = run("operator")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("statefulroute: cannot load the cluster's configuration (there is no file ")
    assert line.endswith("name a kubeconfig with --kubeconfig or $KUBECONFIG")
