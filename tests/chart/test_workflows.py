"""Tests the workflows of GitHub Actions: actionlint reports no errors, and each action is pinned by its commit."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from helmchart import programs
from helmchart.chart_file import OLDEST_KUBERNETES
from image import fips
from localcluster.images import Platform
from localcluster.programs import kubernetes_versions
from localcluster.progress import PlainProgress
from pythons import SUPPORTED

ACTION = re.compile(r"uses: [\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

Workflows = dict[str, dict[Any, Any]]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PATH = f"{Path(sys.executable).parent}:{os.defpath}"

#: The jobs that have more permissions than to read the repository, and these.
PERMISSIONS = {
    "codeql.analyze": {"contents": "read", "security-events": "write"},
    "docs.publish": {"contents": "write"},
    "release.build": {"contents": "read"},
    "release.scan": {},
    "release.image": {"contents": "read", "id-token": "write", "attestations": "write"},
    "release.build-fips": {"contents": "read"},
    "release.scan-fips": {},
    "release.image-fips": {"contents": "read", "id-token": "write", "attestations": "write"},
    "release.chart": {"contents": "read", "id-token": "write", "attestations": "write"},
    "release.bundle": {"contents": "read", "id-token": "write", "attestations": "write"},
    "release.package": {"contents": "read", "id-token": "write", "attestations": "write"},
    "release.plugin": {"contents": "read"},
    "release.plugin-windows": {"contents": "read"},
    "release.pages": {"contents": "write"},
    "release.release": {"contents": "write", "id-token": "write", "attestations": "write"},
    "scorecard.rating": {"contents": "read", "security-events": "write", "id-token": "write"},
}


@pytest.fixture(scope="module")
def actionlint() -> Path:
    return programs.actionlint(PlainProgress())


@pytest.fixture
def workflows(root: Path) -> Workflows:
    return {file.stem: yaml.safe_load(file.read_text()) for file in sorted((root / ".github/workflows").glob("*.yaml"))}


def test_actionlint_reports_no_errors(actionlint: Path, root: Path) -> None:
    completed = subprocess.run([actionlint, "-no-color"], cwd=root, capture_output=True, text=True, check=False)
    assert (completed.returncode, completed.stdout + completed.stderr) == (0, "")


def test_each_action_is_pinned_by_its_commit(root: Path) -> None:
    lines = [line for file in (root / ".github/workflows").glob("*.yaml") for line in file.read_text().splitlines()]
    used = [line.strip().removeprefix("- ") for line in lines if "uses: " in line and "uses: ./" not in line]
    assert used
    assert [action for action in used if not ACTION.fullmatch(action)] == []


@pytest.mark.parametrize(("name", "main"), [("ci", "release"), ("codeql", "codeql"), ("audit", "audit")])
def test_branches_of_supported_versions_are_checked_like_main(workflows: Workflows, name: str, main: str) -> None:
    # The workflow `release` runs CI for main.
    triggers = workflows[name][True]  # YAML reads `on` as true
    assert triggers["push"]["branches"] == (["main", "release-*"] if main == name else ["release-*"])
    assert "main" in workflows[main][True]["push"]["branches"]
    assert "branches" not in (triggers["pull_request"] or {})


def test_all_tests_run_on_every_supported_python(workflows: Workflows) -> None:
    assert tuple(workflows["ci"]["jobs"]["test"]["strategy"]["matrix"]["python"]) == SUPPORTED


def test_the_linters_of_a_release_run_for_every_change(workflows: Workflows) -> None:
    assert {"run": "make lint-release"} in workflows["ci"]["jobs"]["lint-release"]["steps"]


def test_tests_run_on_every_kubernetes_of_the_support_table(root: Path, workflows: Workflows) -> None:
    newest, *older = kubernetes_versions()
    assert older[-1] == OLDEST_KUBERNETES
    assert workflows["ci"]["jobs"]["kubernetes"]["strategy"]["matrix"]["kubernetes"] == older
    assert f"$(or $(KUBERNETES),{OLDEST_KUBERNETES})" in (root / "Makefile").read_text()
    (row,) = re.findall(r"^\| Kubernetes \|.*$", (root / "docs/reference/versions.md").read_text(), re.MULTILINE)
    assert set(re.findall(r"1\.\d+", row)) == {newest, *older}


def test_pods_run_in_kind_on_every_kubernetes_of_the_support_table(workflows: Workflows) -> None:
    _, *older = kubernetes_versions()
    newest_job, job = (workflows["ci"]["jobs"][name] for name in ("kind", "kind-older"))
    entries = job["strategy"]["matrix"]["include"]
    assert [entry["kubernetes"] for entry in entries] == older
    for entry in entries:
        assert re.fullmatch(
            rf"kindest/node:v{re.escape(entry['kubernetes'])}\.\d+@sha256:[0-9a-f]{{64}}", entry["image"]
        )
    assert job["if"] == "github.event_name != 'pull_request'"
    assert "if" not in newest_job
    assert newest_job["steps"][-1] == {"run": ".ci/kind"}
    assert job["steps"][-1] == {"run": ".ci/kind", "env": {"STATEFULROUTE_KIND_IMAGE": "${{ matrix.image }}"}}


def test_no_job_may_do_more_than_it_must_or_run_without_a_timeout(workflows: Workflows) -> None:
    for workflow in workflows.values():
        assert workflow["permissions"] == {"contents": "read"}
        assert all("timeout-minutes" in job or "uses" in job for job in workflow["jobs"].values())
    jobs = {f"{file}.{name}": job for file, workflow in workflows.items() for name, job in workflow["jobs"].items()}
    assert {name: job["permissions"] for name, job in jobs.items() if "permissions" in job} == PERMISSIONS
    assert jobs["docs.publish"]["if"] == "github.event_name != 'pull_request'"


def test_a_release_publishes_only_what_its_tests_have_passed(workflows: Workflows) -> None:
    jobs = workflows["release"]["jobs"]
    assert jobs["tests"]["uses"] == "./.github/workflows/ci.yaml"
    assert "workflow_call" in workflows["ci"][True]  # YAML's `on`

    def before(name: str) -> set[str]:
        direct = jobs[name].get("needs", [])
        return set(direct).union(*map(before, direct))

    published = [name.removeprefix("release.") for name in PERMISSIONS if name.startswith("release.")]
    assert all("tests" in before(name) for name in published)
    assert {"build", "scan"} <= before("image")
    assert {"build-fips", "scan-fips"} <= before("image-fips")


@pytest.mark.parametrize(
    ("project", "ref", "outputs"),
    [
        ("1.2.3", "refs/tags/v1.2.3", "version=1.2.3\nprerelease=false\n"),
        ("1.2.3-rc.1", "refs/tags/v1.2.3-rc.1", "version=1.2.3-rc.1\nprerelease=true\n"),
        ("1.2.3", "refs/heads/main", f"version=0.0.0-main-{COMMIT[:12]}\nprerelease=true\n"),
        ("1.2.3", "refs/tags/v1.2.4", None),
        ("1.2.3", "refs/tags/v1.2.3-rc.1", None),
        ("1.2.3rc1", "refs/tags/v1.2.3rc1", None),
    ],
)
def test_version_of_a_run_is_that_of_its_tag_or_of_its_commit(
    project: str, ref: str, outputs: str | None, tmp_path: Path, workflows: Workflows
) -> None:
    (step,) = [step for step in workflows["release"]["jobs"]["version"]["steps"] if step.get("id") == "version"]
    (tmp_path / "pyproject.toml").write_text(f'[project]\nversion = "{project}"\n')
    (tmp_path / "tools").symlink_to(Path(__file__).parents[2] / "tools")
    environment = {"GITHUB_REF": ref, "GITHUB_SHA": COMMIT, "GITHUB_OUTPUT": "outputs", "PATH": PATH, **step["env"]}
    command = ["/bin/bash", "-e", "-o", "pipefail", "-c", step["run"]]
    completed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    if outputs is None:
        assert completed.returncode != 0
        assert completed.stderr.startswith("::error::")
        assert (tmp_path / "outputs").read_text() == ""
    else:
        assert completed.returncode == 0, completed.stderr
        assert (tmp_path / "outputs").read_text() == outputs


@pytest.mark.parametrize(("tag", "code"), [("v1.2.3", 1), ("v1.2.4", 0), ("v1.2", 0)])
def test_a_released_version_is_not_built_again(workflows: Workflows, tmp_path: Path, tag: str, code: int) -> None:
    step = workflows["release"]["jobs"]["version"]["steps"][-1]
    assert step["if"] == "github.ref_type == 'tag'"
    (tmp_path / "gh").write_text("#!/bin/sh\nprintf 'v1.2.3-rc.1\\nv1.2.3\\nv0.1.0\\n'\n")
    (tmp_path / "gh").chmod(0o755)
    environment = {"GITHUB_REF_NAME": tag, "PATH": f"{tmp_path}:{PATH}"}
    command = ["/bin/bash", "-e", "-o", "pipefail", "-c", step["run"]]
    assert subprocess.run(command, cwd=tmp_path, env=environment, check=False).returncode == code


def test_package_index_gets_a_version_only_after_all_else_is_built_and_scanned(workflows: Workflows) -> None:
    jobs = workflows["release"]["jobs"]
    assert {"image", "image-fips", "chart", "bundle", "plugin"} < set(jobs["package"]["needs"])
    assert set(jobs["release"]["needs"]) == {*jobs["package"]["needs"], "package"}


def test_of_main_only_image_and_charts_are_published(workflows: Workflows) -> None:
    release = workflows["release"]
    assert release[True] == {"push": {"branches": ["main"], "tags": ["v*.*.*"]}}  # YAML's `on`
    tags_only = {name for name, job in release["jobs"].items() if job.get("if") == "github.ref_type == 'tag'"}
    assert release["jobs"].keys() - tags_only == {"tests", "version", "build", "scan", "image", "chart"}
    assert release["jobs"]["version"]["if"] == "github.ref_type == 'tag' || vars.IMAGE_REPOSITORY != ''"
    # A catalogue lists all versions in the repository of a chart.
    assert release["env"]["CHART_REPOSITORY"].endswith("${{ github.ref_type == 'branch' && '/main' || '' }}")
    # GitHub cancels a run that waits when another one of its group comes: each tag has a group of its own.
    assert release["concurrency"] == {"group": "release-${{ github.ref_type == 'tag' && github.ref || 'main' }}"}
    jobs = release["jobs"]
    assert 'make chart VERSION="$VERSION"' in " ".join(step.get("run", "") for step in jobs["chart"]["steps"])
    publish = jobs["release"]["steps"][-1]
    assert '--prerelease="$PRERELEASE"' in publish["run"]
    assert publish["env"]["PRERELEASE"] == "${{ needs.version.outputs.prerelease }}"
    (documentation,) = [step for step in jobs["pages"]["steps"] if "docs-version" in step.get("run", "")]
    assert documentation["if"] == "needs.version.outputs.prerelease == 'false'"
    assert jobs["version"]["outputs"]["prerelease"] == "${{ steps.version.outputs.prerelease }}"


def test_each_chart_is_pushed_signed_and_attested(root: Path, workflows: Workflows) -> None:
    charts = {folder.name for folder in (root / "charts").iterdir()}
    steps = workflows["release"]["jobs"]["chart"]["steps"]
    scripts = {step["name"]: step["run"] for step in steps if "run" in step}
    (pushed,) = re.findall(r"for chart in (.+); do", scripts["Push the charts"])
    assert set(pushed.split()) == charts
    assert set(re.findall(r"\$CHART_REPOSITORY/([\w-]+)@", scripts["Sign the charts"])) == charts
    subjects = [step["with"] for step in steps if "attest-build-provenance" in step.get("uses", "")]
    assert {subject["subject-name"].rpartition("/")[2]: subject["subject-digest"] for subject in subjects} == {
        chart: f"${{{{ steps.push.outputs.{chart} }}}}" for chart in charts
    }


def test_bundle_is_pushed_signed_and_attested_by_the_digest_of_its_image(workflows: Workflows) -> None:
    job = workflows["release"]["jobs"]["bundle"]
    steps = {step.get("name", step.get("uses", "").partition("@")[0]): step for step in job["steps"]}
    pushed = "${{ steps.push.outputs.digest }}"
    assert steps["Push the image of the bundle"]["id"] == "push"
    assert steps["Sign the image of the bundle"]["env"] == {"DIGEST": pushed}
    assert steps["actions/attest-build-provenance"]["with"]["subject-digest"] == pushed
    assert "--recursive" not in steps["Sign the image of the bundle"]["run"]  # one manifest, not an index


def test_all_files_of_a_release_have_checksums_are_attested_and_published(workflows: Workflows, tmp_path: Path) -> None:
    steps = workflows["release"]["jobs"]["release"]["steps"]
    (collect,) = [step["run"] for step in steps if step.get("name") == "Collect the files, and write their checksums"]
    names = ("install.yaml", "statefulroute-1.2.3.tgz", "statefulroute-bundle-1.2.3.tar.gz", "another.kind")
    (tmp_path / "dist" / "bundle").mkdir(parents=True)
    for name in (*names, "release-notes.md"):
        (tmp_path / "dist" / name).write_text(name)
    subprocess.run(["/bin/bash", "-e", "-c", collect], cwd=tmp_path, check=True)
    assert {file.name for file in (tmp_path / "files").iterdir()} == {*names, "checksums.txt"}
    assert (tmp_path / "files" / "checksums.txt").read_text() == "".join(
        f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in sorted(names)
    )
    # The charts are those that were pushed: an archive that is packed again has another digest.
    (download,) = [step["with"] for step in steps if step.get("uses", "").startswith("actions/download-artifact@")]
    assert download == {"pattern": "{charts,plugin-*}", "path": "dist", "merge-multiple": True}
    *_, attest, _, publish = steps
    assert attest["uses"].startswith("actions/attest-build-provenance@")
    assert attest["with"] == {"subject-path": "files/*"}
    assert publish["run"].endswith(" --notes-file dist/release-notes.md files/*")


@pytest.mark.parametrize(("version", "output"), [("1.3.0", "latest=true\n"), ("1.1.9", "latest=false\n")])
def test_a_fix_of_an_earlier_version_is_not_the_latest_release(
    workflows: Workflows, root: Path, tmp_path: Path, version: str, output: str
) -> None:
    *_, find, publish = workflows["release"]["jobs"]["release"]["steps"]
    (tmp_path / "tools").symlink_to(root / "tools")
    (tmp_path / "gh").write_text('#!/bin/sh\necho \'[{"tagName": "v1.2.3"}]\'\n')
    (tmp_path / "gh").chmod(0o755)
    environment = {"GITHUB_OUTPUT": "outputs", "VERSION": version, "PATH": f"{tmp_path}:{PATH}", "PYTHONPATH": "tools"}
    subprocess.run(["/bin/bash", "-e", "-c", find["run"]], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "outputs").read_text() == output
    assert '--latest="$LATEST"' in publish["run"]
    assert publish["env"]["LATEST"] == "${{ steps.latest.outputs.latest }}"


def test_package_is_attested_on_github_and_at_the_index(workflows: Workflows) -> None:
    *_, build, provenance, attest, publish = workflows["release"]["jobs"]["package"]["steps"]
    # The second action writes its attestations beside the files; the first one must not attest them.
    assert provenance["uses"].startswith("actions/attest-build-provenance@")
    assert attest["uses"].startswith("astral-sh/attest-action@")
    files = "dist/statefulroute-*"
    assert (provenance["with"], attest["with"]) == ({"subject-path": files}, {"paths": files})
    assert publish["run"].endswith(f" {files}")
    assert "--no-attestations" not in publish["run"]
    assert 'echo "$PWD/.venv/bin" >> "$GITHUB_PATH"' in build["run"]


@pytest.mark.parametrize(("workflow", "job", "release"), [("docs", "publish", ""), ("release", "pages", "$VERSION")])
def test_pages_of_a_version_are_pushed_alone_by_the_only_step_with_a_token(
    workflows: Workflows, workflow: str, job: str, release: str
) -> None:
    publishing = workflows[workflow]["jobs"][job]
    # Without `queue`, a run of main would cancel that of a release while both wait.
    assert publishing["concurrency"] == {"group": "pages", "queue": "max"}
    *others, last = (step for step in publishing["steps"] if "run" in step)
    assert last["run"].splitlines() == ["gh auth setup-git", "git push origin gh-pages"]
    assert last["env"] == {"GH_TOKEN": "${{ github.token }}"}
    assert not any("GH_TOKEN" in step.get("env", {}) for step in others)
    assert any(
        step["run"].endswith(f'make docs-version RELEASE="{release}"\n' if release else "make docs-version\n")
        for step in others
    )


def test_charts_get_into_the_repository_as_they_were_pushed_signed_and_released(
    workflows: Workflows,
) -> None:
    jobs = workflows["release"]["jobs"]
    steps = jobs["pages"]["steps"]
    assert {"name": "charts", "path": "dist"} in [step.get("with") for step in steps]
    assert {"name": "charts", "path": "dist/*.tgz", "if-no-files-found": "error"} in [
        step.get("with") for step in jobs["chart"]["steps"]
    ]
    (script,) = [step["run"] for step in steps if "make chart-repository" in step.get("run", "")]
    assert "DESTINATION=dist" in script
    assert 'URL="$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/releases/download/$GITHUB_REF_NAME"' in script


@pytest.mark.parametrize("branches", [["main"], ["main", "gh-pages"]])
def test_charts_get_into_the_repository_even_before_pages_are_published(
    workflows: Workflows, tmp_path: Path, branches: list[str]
) -> None:
    job = workflows["release"]["jobs"]["pages"]
    (script,) = [step["run"] for step in job["steps"] if "make chart-repository" in step.get("run", "")]
    checkout = tmp_path / "checkout"
    environment = {**job["env"], "GITHUB_REF_NAME": "v1.2.3", "PATH": f"{tmp_path}:{os.defpath}", "HOME": str(tmp_path)}
    environment |= {"GITHUB_SERVER_URL": "https://git.example", "GITHUB_REPOSITORY": "us/statefulroute"}
    (tmp_path / "make").write_text("#!/bin/sh\nmkdir -p pages/charts && touch pages/charts/index.yaml\n")
    (tmp_path / "make").chmod(0o755)
    start = (
        "git init --quiet --initial-branch=main checkout; cd checkout; git commit --quiet --allow-empty --message=Start"
    )
    for command in (start, *(f"cd checkout; git branch --force {name} HEAD" for name in branches[1:])):
        subprocess.run(["/bin/bash", "-e", "-c", command], cwd=tmp_path, env=environment, check=True)
    subprocess.run(["/bin/bash", "-e", "-c", script], cwd=checkout, env=environment, check=True)
    show = ["git", "ls-tree", "-r", "--name-only", "gh-pages"]
    listed = subprocess.run(show, cwd=checkout, env=environment, capture_output=True, text=True, check=True).stdout
    assert listed == "charts/index.yaml\n"


def test_codeql_analyses_each_language_of_the_sources(root: Path, workflows: Workflows) -> None:
    languages = workflows["codeql"]["jobs"]["analyze"]["strategy"]["matrix"]["include"]
    assert {entry["language"] for entry in languages} == {"python", "javascript-typescript", "go", "actions"}
    # These are the languages that need a build, which only Go is set up for.
    assert [entry["language"] for entry in languages if entry["build"] != "none"] == ["go"]
    steps = workflows["codeql"]["jobs"]["analyze"]["steps"]
    (script,) = [step["run"] for step in steps if "run" in step]
    (modules,) = re.findall(r"for module in (.+); do", script)
    assert all((root / module / "go.mod").exists() for module in modules.split())
    (init,) = [step["with"] for step in steps if "codeql-action/init" in step.get("uses", "")]
    assert all((root / path).is_dir() for path in yaml.safe_load(init["config"])["paths-ignore"])


def test_scorecard_meets_what_its_service_requires_of_the_workflow(workflows: Workflows) -> None:
    workflow = workflows["scorecard"]
    assert not workflow.keys() & {"env", "defaults"}
    (job,) = workflow["jobs"].values()
    assert not job.keys() & {"env", "defaults", "container", "services"}
    assert job["runs-on"].startswith("ubuntu-")
    assert [step["uses"].partition("@")[0] for step in job["steps"]] == [
        "actions/checkout",
        "ossf/scorecard-action",
        "actions/upload-artifact",
        "github/codeql-action/upload-sarif",
    ]
    assert job["steps"][1]["with"]["publish_results"] is True
    assert "pull_request" not in workflow[True]  # YAML's `on`; a rating is of the default branch


def test_each_pull_request_is_reviewed_for_vulnerable_dependencies(workflows: Workflows) -> None:
    workflow = workflows["dependency-review"]
    assert workflow[True] == {"pull_request": None}  # YAML's `on`; no filter of paths
    review = workflow["jobs"]["review"]["steps"][-1]
    assert review["uses"].startswith("actions/dependency-review-action@")
    assert review["with"] == {"fail-on-scopes": "runtime, development, unknown"}


@pytest.mark.parametrize(("kind", "expected"), [("tag", list(Platform)), ("branch", ["linux/amd64", "linux/arm64"])])
def test_the_image_of_a_release_is_for_all_platforms(
    workflows: Workflows, tmp_path: Path, kind: str, expected: list[str]
) -> None:
    jobs = workflows["release"]["jobs"]
    (choose,) = [step for step in jobs["build"]["steps"] if step.get("id") == "platforms"]
    environment = {"GITHUB_OUTPUT": "outputs", "GITHUB_REF_TYPE": kind}
    subprocess.run(["/bin/bash", "-e", "-c", choose["run"]], cwd=tmp_path, env=environment, check=True)
    name, _, value = (tmp_path / "outputs").read_text().partition("=")
    assert (name, json.loads(value)) == ("platforms", expected)
    (build,) = [step for step in jobs["build"]["steps"] if "platforms" in step.get("with", {})]
    assert build["with"]["platforms"] == "${{ join(fromJSON(steps.platforms.outputs.platforms)) }}"
    assert jobs["scan"]["strategy"]["matrix"]["platform"] == "${{ fromJSON(needs.build.outputs.platforms) }}"


#: The platforms of the image for FIPS.
FIPS_PLATFORMS = [each for each in Platform if each.removeprefix("linux/") in fips.PLATFORMS]


def test_image_for_fips_is_published_like_the_other(workflows: Workflows) -> None:
    jobs = workflows["release"]["jobs"]
    (build,) = [step for step in jobs["build-fips"]["steps"] if step.get("id") == "build"]
    (other,) = [step for step in jobs["build"]["steps"] if step.get("id") == "build"]
    arguments = build["with"].pop("build-args").splitlines()
    assert arguments == ["VARIANT=fips", *other["with"].pop("build-args").splitlines()]
    assert build["with"] == other["with"] | {"platforms": ",".join(FIPS_PLATFORMS)}
    assert jobs["scan-fips"]["strategy"]["matrix"]["platform"] == FIPS_PLATFORMS
    for name in ("scan", "image"):
        steps = json.dumps(jobs[name]["steps"]).replace("needs.build.outputs", "needs.build-fips.outputs")
        assert json.dumps(jobs[f"{name}-fips"]["steps"]) == steps.replace(':$VERSION\\"', ':$VERSION-fips\\"')


@pytest.mark.parametrize("variant", ["", "-fips"])
def test_an_image_gets_its_tag_last(workflows: Workflows, variant: str) -> None:
    jobs = workflows["release"]["jobs"]
    (pushed,) = [step["with"] for step in jobs[f"build{variant}"]["steps"] if step.get("id") == "build"]
    assert "tags" not in pushed
    assert {"push=true", "push-by-digest=true"} <= {*pushed["outputs"].split(",")}
    *before, last = jobs[f"image{variant}"]["steps"]
    assert " --tag " in last["run"]
    assert "--tag" not in json.dumps(before)


def test_images_of_supported_versions_are_scanned_by_the_rule_of_a_release(
    workflows: Workflows, root: Path, tmp_path: Path
) -> None:
    scan = workflows["scan"]
    assert scan[True].keys() == {"schedule", "workflow_dispatch"}  # YAML's `on`
    (step,) = scan["jobs"]["image"]["steps"]
    released = workflows["release"]["jobs"]["scan"]["steps"][-1]
    tag = "${{ matrix.version }}${{ matrix.variant }}"
    assert step["with"] == released["with"] | {"image": f"${{{{ vars.IMAGE_REPOSITORY }}}}:{tag}"}
    # Without a platform, the scanner reads only the image for the platform of the runner.
    assert step["env"] == released["env"] == {"GRYPE_PLATFORM": "${{ matrix.platform }}"}
    matrix = scan["jobs"]["image"]["strategy"]["matrix"]
    assert (matrix["platform"], matrix["variant"]) == (list(Platform), ["", "-fips"])
    assert [each["platform"] for each in matrix["exclude"]] == [each for each in Platform if each not in FIPS_PLATFORMS]
    assert {each["variant"] for each in matrix["exclude"]} == {"-fips"}
    (find,) = [step for step in scan["jobs"]["versions"]["steps"] if step.get("id") == "versions"]
    (tmp_path / "tools").symlink_to(root / "tools")
    releases = [{"tagName": "v1.2.3", "publishedAt": "2026-11-29T06:00:00Z"}]
    (tmp_path / "gh").write_text(f"#!/bin/sh\necho '{json.dumps(releases)}'\n")
    (tmp_path / "gh").chmod(0o755)
    environment = {"GITHUB_OUTPUT": "outputs", "PATH": f"{tmp_path}:{PATH}", "PYTHONPATH": find["env"]["PYTHONPATH"]}
    subprocess.run(["/bin/bash", "-e", "-c", find["run"]], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "outputs").read_text() == 'versions=["1.2.3"]\n'


def test_long_forms_of_the_tests_run_every_week(workflows: Workflows, root: Path) -> None:
    weekly = workflows["weekly"]
    assert weekly[True].keys() == {"schedule", "workflow_dispatch"}  # YAML's `on`
    rules = re.findall(r"^([a-z-]+): .*\n((?:\t.*\n)+)", (root / "Makefile").read_text(), re.MULTILINE)
    settings = ("STATEFULROUTE_LONG=1", "STATEFULROUTE_PROPERTY_OPERATIONS=", "STATEFULROUTE_BAD_OBJECTS=")
    long_forms = {name for name, recipe in rules if any(each in recipe for each in settings)} | {"chaos", "fuzz"}
    # The head of the workflow says why three of them are missing; CI has the linters.
    missing = {"lint-release", "test-node", "test-console", "test-docs"}
    as_root = {"test-fips"}
    assert set(weekly["jobs"]["tests"]["strategy"]["matrix"]["target"]) == long_forms - missing - as_root
    assert weekly["jobs"]["fips"]["steps"][-1]["run"].endswith(" make test-fips")
    others = [each for each in Platform if each != Platform.AMD64]
    assert weekly["jobs"]["platforms"]["strategy"]["matrix"]["platform"] == others
    head = (root / ".github/workflows/weekly.yaml").read_text().partition("name: Weekly")[0]
    assert all(f"`make {name}`" in head for name in missing - {"lint-release"})


def test_records_of_failed_long_tests_are_kept(workflows: Workflows, root: Path, tmp_path: Path) -> None:
    steps = workflows["weekly"]["jobs"]["tests"]["steps"]
    (run,) = [step for step in steps if step.get("name") == "Run the tests"]
    environment = {"PATH": PATH, "TARGET": "chaos", "SEED": "7", "RUNNER_TEMP": "records-of-the-runner"}
    planned = run["run"].replace("make ", "make --dry-run --assume-old setup ", 1)
    command = ["/bin/bash", "-e", "-c", planned]
    lines = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout
    assert "run.py --seed 7 --folder records-of-the-runner/records --minutes 30 --faults 200" in lines
    assert run["env"]["PYTEST_ADDOPTS"] == "--basetemp=${{ runner.temp }}/records"
    pack, upload = steps[-2:]
    assert (pack["if"], upload["if"]) == ("failure()", "failure()")
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "record.jsonl").write_text("{}")
    subprocess.run(["/bin/bash", "-e", "-c", pack["run"]], env={"PATH": PATH, "RUNNER_TEMP": str(tmp_path)}, check=True)
    with tarfile.open(tmp_path / "records.tar.gz") as archive:
        assert "records/record.jsonl" in archive.getnames()
    assert upload["with"]["path"] == "${{ runner.temp }}/records.tar.gz"


def test_benchmarks_of_the_week_exist(workflows: Workflows, root: Path) -> None:
    names = workflows["weekly"]["jobs"]["benchmarks"]["strategy"]["matrix"]["name"]
    assert all((root / f"benchmarks/{name}.py").is_file() for name in names)
