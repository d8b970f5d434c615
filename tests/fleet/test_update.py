"""`protoserve fleet update`: a branch for each project, in which order, and what is left alone."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.rollouts import BRANCH, OUTCOMES, Rollouts, make_conflict, states
from protoserve.fleet.mirrors import Mirror, mirror
from protoserve.fleet.model import Fleet, Project
from protoserve.fleet.update.branches import BareRepository, Commit, IdentityError, Made, require_identity
from protoserve.fleet.update.command import selected
from protoserve.fleet.update.publishing import Publisher, PublishingError
from protoserve.fleet.update.report import Result, State, UpdateReport
from protoserve.fleet.update.run_folder import RunningError, run_folder
from releases import COMMANDS, Work, commit, git


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of commits that tests write by the functions of protoserve."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "T")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "t@example.com")


@pytest.fixture
def rollouts(first: Work, releases: Path, tmp_path: Path) -> Rollouts:
    return Rollouts(tmp_path, first, releases)


def test_updates_are_pushed_and_a_second_run_has_nothing_to_do(rollouts: Rollouts) -> None:
    with rollouts.project("a") as work:
        work.edit("README.md", "# iris", "# Iris")
    before = git(rollouts.folder / "a.git", "rev-parse", "main")

    report = rollouts.update("--push")

    assert states(report) == {"a": "updated"}
    assert rollouts.branches("a") == {BRANCH: report["a"]["commit"]}
    a = rollouts.folder / "a.git"
    assert git(a, "rev-parse", "main", f"{BRANCH}~1").split() == [before.strip()] * 2
    assert "_commit: v2.0.0\n" in git(a, "show", f"{BRANCH}:.copier-answers.yml")
    assert git(a, "show", f"{BRANCH}:README.md").startswith("# Iris\n")
    assert report["a"]["summary"] in git(a, "log", "-1", "--format=%B", BRANCH)

    again = rollouts.update("--push")
    assert states(again) == {"a": "unchanged"}
    assert again["a"]["commit"] == report["a"]["commit"]


MADE = Made("v2.0.0", "1" * 40, "2" * 40, "", {})
PLACES = ("", "services/churn", "services-churn", "services.churn", "a/b", "a b", "a-b", "ä", "rc1", "set-1a2b3c4d")


def test_two_updates_never_meet_on_one_branch() -> None:
    answers: list[dict[str, str]] = [{}, {"port": "9100"}, {"port": "9101"}, {"port": "9100", "team": "risk"}]
    branches = [
        replace(MADE, folder=folder, answers=given, onto=onto).branch
        for folder in PLACES
        for given in answers
        for onto in ("", "release", "release/1", "release-1")
    ]
    assert branches[0] == BRANCH
    assert replace(MADE, folder="services/churn").branch == f"{BRANCH}-services-churn"
    assert len({*branches}) == len(branches)
    folders = [branch for branch in branches if any(other.startswith(f"{branch}/") for other in branches)]
    assert not folders  # git keeps no branch below another


@pytest.mark.parametrize("version", ["feature/x", "v1.0..0", "HEAD~1", "v1.lock", "-v", "@{u}", "a b", "ü", "x" * 300])
def test_every_version_gives_a_name_that_git_takes(version: str, tmp_path: Path) -> None:
    git(tmp_path, "check-ref-format", "--branch", replace(MADE, version=version).branch)


@pytest.fixture
def bare(tmp_path: Path) -> BareRepository:
    """A repository with one commit, its branch main."""
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "--quiet", "--initial-branch=main")
    (work / "a").write_text("a\n", encoding="utf-8")
    commit(work, "first")
    git(tmp_path, "clone", "--quiet", "--bare", str(work), str(tmp_path / "bare.git"))
    return BareRepository(tmp_path / "bare.git")


def test_a_commit_is_ours_until_somebody_changes_it(bare: BareRepository) -> None:
    base, tree = bare.line("rev-parse", "main"), bare.line("rev-parse", "main^{tree}")
    made = replace(
        MADE, base=base, folder="a b", answers={"team": 'r"\n: x'}, checked=True, conflicts=("a\nb", "ü"), onto="ü/1"
    )
    written = bare.write_commit(made, tree, "Update", "## Summary\n\nTree: no\n\nProtoserve-Base: no")
    assert bare.commit(written.hash) == written

    other = bare.line("mktree", stdin=b"")
    message = bare.line("log", "-1", "--format=%B", written.hash).encode() + b"\n"
    amended = bare.line("commit-tree", other, "-p", base, stdin=bare.git("log", "-1", "--format=%B", written.hash))
    added = bare.line("commit-tree", tree, "-p", written.hash, stdin=message)
    rebased = bare.line("commit-tree", tree, stdin=bare.git("log", "-1", "--format=%B", written.hash))
    assert [bare.commit(value).made for value in (amended, added, rebased, base)] == [None] * 4


def test_canaries_come_first_and_shards_take_their_part_of_the_limit(tmp_path: Path) -> None:
    def project(number: int) -> Project:
        labels = ("canary",) if number in (5, 7) else ("eu",) if number % 2 else ()
        return Project(f"https://git.example/{number}.git", f"https://git.example/{number}.git", labels=labels)

    fleet = Fleet(tmp_path / "fleet.yaml", (), tuple(map(project, range(20))))

    def numbers(**given: object) -> list[int]:
        options = Namespace(**{"only": [], "label": [], "limit": None, "shard": None, **given})
        return [int(found.source.split("/")[-1].removesuffix(".git")) for found in selected(fleet, options)]

    assert numbers()[:5] == [5, 7, 0, 1, 2]
    assert numbers(limit=3) == [5, 7, 0]
    assert numbers(label=["eu"], limit=2) == [1, 3]
    parts = [numbers(limit=6, shard=f"{part}/3") for part in (1, 2, 3)]
    assert sorted(number for part in parts for number in part) == sorted(numbers(limit=6))


@pytest.mark.parametrize(
    ("states_", "code"),
    [
        (["updated", "unchanged", "newest"], 0),
        (["updated", "conflicts"], 3),
        (["taken"], 3),
        (["conflicts", "failed"], 1),
        (["refused"], 1),
    ],
)
def test_the_exit_code_says_whether_to_look(states_: list[str], code: int) -> None:
    report = UpdateReport([Result(str(number), State(state)) for number, state in enumerate(states_)], dry_run=False)
    assert report.exit_code == code


def test_without_an_identity_nothing_is_begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    require_identity()
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{role}_NAME")
        monkeypatch.delenv(f"GIT_{role}_EMAIL")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    with pytest.raises(IdentityError, match=r"git config --global user\.name"):
        require_identity()


def test_a_second_run_says_that_one_is_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with run_folder(), pytest.raises(RunningError, match=rf"is running \(process {os.getpid()}\)"), run_folder():
        pass
    with run_folder() as place:  # and when the first is done, it runs
        assert (place / "work").is_dir()


def test_a_branch_that_was_pushed_meanwhile_is_not_replaced(
    bare: BareRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody pushes to the branch after it was looked at: between that and the push, nothing is certain."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    address = f"file://{bare.folder}"
    seen = mirror(address)
    base = bare.line("rev-parse", "main")
    own = BareRepository(seen.folder)
    ours = own.line("commit-tree", f"{base}^{{tree}}", "-p", base, "-m", "ours")
    theirs = bare.line("commit-tree", f"{base}^{{tree}}", "-p", base, "-m", "theirs")
    update = Commit(ours, "ours", "", replace(MADE, base=base))
    publisher = Publisher(push=True, push_options=(), command=None, environment={})
    bare.set_reference(f"refs/heads/{BRANCH}", theirs, None)

    with pytest.raises(PublishingError, match="somebody has pushed"):
        publisher.publish(Project(address, address), seen, update, "updated")
    assert bare.reference(f"refs/heads/{BRANCH}") == theirs
    assert publisher.publish(Project(address, address), _again(seen), update, "updated")
    assert bare.reference(f"refs/heads/{BRANCH}") == ours


def _again(seen: Mirror) -> Mirror:
    return mirror(seen.address)


@pytest.mark.slow
def test_each_tree_is_what_a_lone_update_makes(rollouts: Rollouts) -> None:
    """Also in the folders of one repository, where files that the repository ignores are not committed."""
    with rollouts.project("a", labels=["canary"]) as work:
        work.edit("README.md", "# iris", "# Iris")
        work.write("tests/test_own.py", "def test_own() -> None:\n    pass\n")
        work.write(".gitignore", work.read(".gitignore") + "healthiness.py\n")
    entry = {"url": f"file://{rollouts.folder}/mono.git"}
    _make_monorepo(rollouts)
    rollouts.entries += [{**entry, "folder": "services/churn"}, {**entry, "folder": "risk"}]

    report = rollouts.update("--push")

    assert states(report) == {"a": "updated", "services/churn": "updated", "risk": "updated"}
    assert {*rollouts.branches("mono")} == {f"{BRANCH}-services-churn", f"{BRANCH}-risk"}
    changed = git(rollouts.folder / "mono.git", "diff", "--name-only", "main", f"{BRANCH}-risk").splitlines()
    assert changed
    assert all(name.startswith("risk/") for name in changed)
    for name, folder, branch in (
        ("a", "", BRANCH),
        ("mono", "services/churn", f"{BRANCH}-services-churn"),
    ):
        with rollouts.clone(name) as work:
            replace(work, path=work.path / folder).update()
            git(work.path, "add", "--all")
            tree = git(work.path, "write-tree")
            assert tree == git(rollouts.folder / f"{name}.git", "rev-parse", f"{branch}^{{tree}}"), folder
            git(work.path, "reset", "--quiet", "--hard")


def _make_monorepo(rollouts: Rollouts) -> None:
    bare, work = rollouts.folder / "mono.git", rollouts.folder / "mono"
    for folder in ("services/churn", "risk"):
        git(rollouts.folder, "clone", "--quiet", str(rollouts.first.path), str(work / folder))
        subprocess.run(["rm", "-rf", str(work / folder / ".git")], check=True)
    (work / ".gitignore").write_text("**/tests/test_server.py\n", encoding="utf-8")
    git(work, "init", "--quiet", "--initial-branch=main")
    commit(work, "made")
    git(rollouts.folder, "clone", "--quiet", "--bare", str(work), str(bare))


@pytest.mark.slow
def test_a_branch_follows_main_and_stays_with_those_who_work_on_it(rollouts: Rollouts) -> None:
    with rollouts.project("a"):
        pass
    with rollouts.project("b") as work:
        make_conflict(work)

    assert states(rollouts.update("--only", "b.git", exit_code=3)) == {"b": "conflicts"}
    assert rollouts.branches("b") == {}
    first = rollouts.update("--push", "--keep-conflicts", exit_code=3)
    assert states(first) == {"a": "updated", "b": "conflicts"}
    b = rollouts.folder / "b.git"
    assert "<<<<<<< before updating" in git(b, "show", f"{BRANCH}:{OUTCOMES}")
    with rollouts.clone("a") as work:
        work.write("notes.md", "main has moved\n")
    with rollouts.clone("b", BRANCH) as work:
        work.write("notes.md", "resolved\n")
    resolved = rollouts.branches("b")
    earlier = _make_earlier_branch(BareRepository(rollouts.folder / "a.git"))

    second = rollouts.update("--push", exit_code=3)

    assert states(second) == {"a": "updated", "b": "taken"}
    assert second["a"]["text"] == "the requests of these branches can be closed: protoserve/v1.1.0"
    assert rollouts.branches("b") == resolved
    a = rollouts.folder / "a.git"
    assert rollouts.branches("a") == {BRANCH: second["a"]["commit"], "protoserve/v1.1.0": earlier}
    assert git(a, "rev-parse", f"{BRANCH}~1") == git(a, "rev-parse", "main")
    with rollouts.clone("a") as work:
        git(work.path, "merge", "--quiet", "--ff-only", f"origin/{BRANCH}")
    assert states(rollouts.update("--push", "--only", "a.git")) == {"a": "newest"}


def _make_earlier_branch(bare: BareRepository) -> str:
    """The branch of an update to another version, as an earlier run has made it."""
    value = bare.line("rev-parse", BRANCH)
    made = bare.commit(value).made
    assert made is not None
    text = bare.git("log", "-1", "--format=%B", value).replace(b"v2.0.0", b"v1.1.0")
    earlier = bare.line("commit-tree", f"{value}^{{tree}}", "-p", made.base, stdin=text)
    bare.set_reference("refs/heads/protoserve/v1.1.0", earlier, None)
    return earlier


@pytest.mark.slow
def test_repositories_on_this_machine_get_a_branch_and_nothing_else(rollouts: Rollouts, tmp_path: Path) -> None:
    """Also one whose hashes are of SHA-256. A dry run makes no branch, and shows the diff."""
    for name, form in (("here", "sha1"), ("long", "sha256")):
        shutil.copytree(rollouts.first.path, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        git(tmp_path / name, "init", "--quiet", "--initial-branch=main", f"--object-format={form}")
        commit(tmp_path / name, "made")
        work = Work(tmp_path / name, rollouts.first.home)
        work.edit("README.md", "# iris", "# not committed")
        git(work.path, "add", "README.md")
        work.edit("README.md", "# not committed", "# not even staged")
    rollouts.entries.append({"path": "here"})
    rollouts.entries.append({"path": "lon*"})
    before = {name: Work(tmp_path / name, rollouts.first.home).state() for name in ("here", "long")}

    planned = rollouts.update("--dry-run", "--only", "long")["long"]
    assert "+_commit: v2.0.0\n" in planned["diff"]
    assert not git(Path(planned["mirror"]), "branch")
    rollouts.update("--push")

    for name in ("here", "long"):
        work = Work(tmp_path / name, rollouts.first.home)
        assert git(work.path, "branch", "--format=%(refname:short)").split() == ["main", BRANCH]
        assert git(work.path, "show", f"{BRANCH}:README.md").startswith("# iris\n")
        git(work.path, "branch", "-D", BRANCH)
        assert work.state() == before[name]


@pytest.mark.slow
def test_nothing_of_a_repository_runs(rollouts: Rollouts, tmp_path: Path) -> None:
    """No hook, neither the user's nor one of a repository on this machine, no filter, and no template that is not
    trusted."""
    trace = tmp_path / "trace"
    hook = f"#!/bin/sh\necho $0 >> {trace}\n"
    hooks = tmp_path / "hooks"
    with rollouts.project("a") as work:
        work.write(".gitattributes", "*.txt filter=trace\n")
        work.write("own.txt", "text\n")
    with rollouts.project("foreign") as work:
        work.edit(".copier-answers.yml", f"_src_path: {rollouts.template}", "_src_path: /elsewhere/models")
    with rollouts.project("none") as work:
        (work.path / ".copier-answers.yml").unlink()
    rollouts.entries.append(f"file://{tmp_path}/missing.git")
    for folder in (hooks, *(rollouts.folder / f"{name}.git" / "hooks" for name in ("a", "foreign", "none"))):
        folder.mkdir(exist_ok=True)
        for name in _HOOKS:
            (folder / name).write_text(hook, encoding="utf-8")
            (folder / name).chmod(0o755)
    settings = {"core.hooksPath": str(hooks), "filter.trace.clean": f"echo clean >> {trace}; cat"}
    settings["filter.trace.smudge"] = f"echo smudge >> {trace}; cat"
    variables = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings.items()):
        variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}

    report = rollouts.update("--push", exit_code=1, **variables)

    # requirements/dev.txt is a file of the template that the filter would change.
    assert states(report) == {"a": "failed", "foreign": "refused", "none": "failed", "missing": "failed"}
    assert "through a filter" in report["a"]["text"]
    assert "not among `templates`" in report["foreign"]["text"]
    assert not trace.exists()
    with rollouts.clone("a") as work:
        (work.path / ".gitattributes").unlink()
    trace.unlink()  # of the hooks that this very push has started
    assert states(rollouts.update("--push", "--only", "a.git", **variables)) == {"a": "updated"}
    assert [*rollouts.branches("a")] == [BRANCH]
    assert not trace.exists()


_HOOKS = ("pre-push", "post-checkout", "post-commit", "pre-commit", "reference-transaction", "pre-receive", "update")
_HOOKS += ("post-receive", "post-update", "post-index-change", "prepare-commit-msg", "commit-msg", "push-to-checkout")


@pytest.mark.slow
def test_answers_are_set_checked_and_announced(rollouts: Rollouts, tmp_path: Path) -> None:
    """`--set`, `--check` and `--open`, each of which is tried again until it succeeds."""
    with rollouts.project("a") as work:
        work.write("broken", "")
    make = tmp_path / "bin" / "make"
    make.parent.mkdir()
    make.write_text('#!/bin/sh\ntest "$*" = "check smoke" -a ! -e broken && grep 9100 README.md\n', encoding="utf-8")
    make.chmod(0o755)
    seen, done = tmp_path / "seen", tmp_path / "done"
    variables = "$PROTOSERVE_BRANCH $PROTOSERVE_BASE $PROTOSERVE_STATE $(head -1 $PROTOSERVE_SUMMARY)"
    command = f"echo {variables} >> {seen}; test -e {done}"
    options = ("--set", "port=9100", "--check", "--open", command)
    path = os.pathsep.join([str(make.parent), rollouts.environment["PATH"]])

    failed = rollouts.update(*options, exit_code=1, PATH=path)
    assert states(failed) == {"a": "failed"}
    assert "make check smoke` failed" in failed["a"]["text"]
    assert not seen.exists()

    with rollouts.clone("a") as work:
        (work.path / "broken").unlink()
    not_opened = rollouts.update(*options, exit_code=1, PATH=path)
    assert "--open failed" in not_opened["a"]["text"]
    done.touch()
    opened = rollouts.update(*options)
    assert rollouts.update(*options) == opened
    assert states(opened) == {"a": "unchanged"}
    branch = opened["a"]["branch"]
    assert branch.startswith("protoserve/v1.0.0.set-")
    line = f"{branch} main {{}} ## iris: answers changed, template v1.0.0"
    assert seen.read_text(encoding="utf-8").splitlines() == [line.format("updated"), line.format("unchanged")]
    assert "port: 9100\n" in git(Path(opened["a"]["mirror"]), "show", f"{branch}:.copier-answers.yml")
    assert rollouts.branches("a") == {}


@pytest.mark.slow
def test_an_interrupted_check_ends_at_once_and_makes_no_branch(rollouts: Rollouts, tmp_path: Path) -> None:
    with rollouts.project("a"):
        pass
    started, make = tmp_path / "started", tmp_path / "bin" / "make"
    make.parent.mkdir()
    make.write_text(f"#!/bin/sh\necho $$ > {started}.new\nmv {started}.new {started}\nsleep 300\n", encoding="utf-8")
    make.chmod(0o755)
    path = os.pathsep.join([str(make.parent), rollouts.environment["PATH"]])
    process = subprocess.Popen(
        [COMMANDS / "protoserve", "fleet", "update", rollouts.write(), "--push", "--check"],
        env={**rollouts.environment, "PATH": path},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not started.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)

    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "run the command again to continue" in printed
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text(encoding="utf-8")), 0)
    assert rollouts.branches("a") == {}


@pytest.mark.slow
def test_a_policy_refuses_an_answer_for_one_project(rollouts: Rollouts) -> None:
    """The policy is that of the version to update to; another project has an exception."""
    template = rollouts.folder / "models"
    git(rollouts.folder, "clone", "--quiet", str(rollouts.template), str(template))
    rules = "answers: {properties: {port: {minimum: 8000, maximum: 9999, why: the mesh routes these}}}\n"
    rules += "exceptions: [{project: churn, rule: answers.port, until: 2099-12-31, why: moves with the gateway}]\n"
    (template / "policy.yaml").write_text(rules, encoding="utf-8")
    commit(template, "policy")
    git(template, "tag", "v3.0.0")
    for name in ("fraud", "churn"):
        with rollouts.project(name) as work:
            work.edit(".copier-answers.yml", f"_src_path: {rollouts.template}", f"_src_path: {template}")
            work.edit(".copier-answers.yml", "project_name: iris", f"project_name: {name}")
            work.edit("README.md", "# iris", f"# {name}")
    rollouts.template = template

    report = rollouts.update("--to", "v3.0.0", "--set", "port=7000", exit_code=1)

    assert states(report) == {"fraud": "refused", "churn": "updated"}
    assert "the mesh routes these (answers.port in policy.yaml)" in report["fraud"]["text"]


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_that_the_next_one_does_not_finish(rollouts: Rollouts) -> None:
    """At two moments; `benchmarks/fleet.py --parts kills` has more."""
    with rollouts.project("a") as work:
        work.write("notes.md", "mine\n")
    file, a = rollouts.write(), rollouts.folder / "a.git"
    trees: set[str] = set()
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    for _ in range(2):
        process = subprocess.Popen(
            [COMMANDS / "protoserve", "fleet", "update", file, "--push"],
            env=rollouts.environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
        )
        time.sleep(moments.uniform(0, 4))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        rollouts.update("--push")
        assert [*rollouts.branches("a")] == [BRANCH], f"seed {seed}"
        trees.add(git(a, "rev-parse", f"{BRANCH}^{{tree}}"))
        git(a, "branch", "-D", BRANCH)
        unfinished = [path for path in (rollouts.first.home / "cache").rglob("*") if "unfinished" in path.name]
        assert not unfinished, f"seed {seed}"
    assert len(trees) == 1, f"seed {seed}"
