"""Writes the files that are generated from the types: `python -m statefulroute.api [--check] [ROOT]`.

With --check, writes nothing; the exit code is 1 if a file differs from the types.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from statefulroute.api import rbac
from statefulroute.api.admission import POLICIES
from statefulroute.api.crd import custom_resource_definition
from statefulroute.api.fields_page import fields_page
from statefulroute.api.podlink import PodLink
from statefulroute.api.statefulroute import StatefulRoute

_HEADER = "# Generated from the types in operator/statefulroute/api by `make generate`. Do not edit.\n"


def generated_files() -> Iterator[tuple[Path, str]]:
    """Yields the path, relative to the root of the repository, and the text of each generated file."""
    for model in (PodLink, StatefulRoute):
        yield Path("crds") / f"{model.names.plural}.yaml", _text(custom_resource_definition(model))
    for name, policy in POLICIES.items():
        yield Path("deploy/admission") / f"{name}.yaml", _text(*policy())
    yield Path("docs/reference/fields.md"), fields_page()
    yield Path("deploy/rbac/operator.yaml"), _text(rbac.operator_cluster_role(), rbac.lease_role())
    yield Path("deploy/rbac/operator-in-namespace.yaml"), _text(rbac.operator_role())
    yield Path("deploy/rbac/release.yaml"), _text(rbac.release_cluster_role())
    yield Path("deploy/rbac/server.yaml"), _text(rbac.server_role())
    yield Path("deploy/rbac/client.yaml"), _text(rbac.client_role())
    yield Path("deploy/rbac/people.yaml"), _text(rbac.view_cluster_role(), rbac.edit_cluster_role())
    yield Path("deploy/rbac/resolver.yaml"), _text(rbac.resolver_cluster_role())
    yield Path("deploy/rbac/resolver-in-namespace.yaml"), _text(rbac.resolver_role())
    yield Path("deploy/rbac/resolver-link-changes.yaml"), _text(rbac.resolver_link_changes_cluster_role())
    yield Path("deploy/rbac/resolver-link-changes-in-namespace.yaml"), _text(rbac.resolver_link_changes_role())
    yield Path("deploy/rbac/resolver-tokens.yaml"), _text(rbac.resolver_tokens_cluster_role())
    yield Path("deploy/rbac/metrics-reviews.yaml"), _text(rbac.metrics_reviews_cluster_role())
    yield Path("deploy/rbac/metrics-reader.yaml"), _text(rbac.metrics_reader_cluster_role())


def _text(*documents: dict[str, Any]) -> str:
    return _HEADER + yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Plain YAML: writes enum members as their values, and repeated values without anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 - the signature of the base class
        return True


_Dumper.add_multi_representer(str, lambda dumper, text: dumper.represent_str(str(text)))


def main(arguments: list[str] | None = None) -> int:
    """Writes the generated files, or with --check only compares them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m statefulroute.api", description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=Path.cwd(), help="the root of the repository")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file differs")
    options = parser.parse_args(arguments)
    stale = [(path, text) for path, text in generated_files() if _differs(options.root / path, text)]
    for path, text in stale:
        if options.check:
            sys.stderr.write(f"{path} differs from the types: run `make generate` and commit it\n")
        else:
            (options.root / path).parent.mkdir(parents=True, exist_ok=True)
            (options.root / path).write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path}\n")
    return 1 if options.check and stale else 0


def _differs(path: Path, text: str) -> bool:
    return not path.exists() or path.read_text(encoding="utf-8") != text


if __name__ == "__main__":
    sys.exit(main())
