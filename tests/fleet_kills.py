"""`protoserve fleet update --push`, killed at random moments and run again: to the same result as a run left alone."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from fleet_projects import Fleet, Planted
from releases import COMMANDS, environment, git

# What differs from run to run in the caches: names of the objects of git, and what it writes about the last fetch.
_UNCOMPARED = ("/objects/", "/FETCH_HEAD", "/packed-refs", "/logs/", "/refs/remotes/")
# Objects that a killed git did not finish.
_UNFINISHED = ("tmp_obj_", "tmp_pack_", "tmp_idx_", ".lock")


@dataclass(frozen=True)
class Result:
    """What a run leads to: the exit code, the trees of the branches that it pushed, and the files in its caches."""

    exit_code: int
    branches: dict[str, dict[str, str]]
    cached: frozenset[str]


def branches(project: Planted) -> dict[str, str]:
    """The trees of the branches of a project, by name, without the branch that it is on.

    In a repository with several projects those of the others are left out: a branch has the name of its folder.
    """
    if not project.repository.is_dir():
        return {}
    lines = git(project.repository, "for-each-ref", "--format=%(refname:short) %(tree)", "refs/heads").splitlines()
    trees = dict(line.split() for line in lines)
    del trees["main"]
    return {name: tree for name, tree in trees.items() if project.folder.rpartition("/")[2] in name}


def kill_rounds(fleet: Fleet, count: int, seed: int, say: Callable[[str], None] = print) -> Iterator[str]:
    """Kills an update of the fleet in each round, in every third one twice, and yields what the next run makes wrong.

    Odd rounds begin with the mirrors of an earlier run. The fleet must be new.
    """
    random_moments = random.Random(seed)
    say(f"seed {seed}")
    world = _World(fleet)
    began = time.perf_counter()
    whole = world.update()
    seconds = time.perf_counter() - began
    if not any(whole.branches.values()):
        yield f"a whole run pushes nothing: exit code {whole.exit_code}"
    for number in range(count):
        world.reset(keep_caches=number % 2 == 1)
        moments = [random_moments.uniform(0, seconds) for _ in range(2 if number % 3 == 2 else 1)]
        say(f"round {number}: killed after {', '.join(f'{moment:.2f} s' for moment in moments)} of {seconds:.2f} s")
        for moment in moments:
            world.killed_update(moment)
            yield from (f"round {number}: {line}" for line in _too_much(world.branches(), whole.branches))
        yield from (f"round {number}: {line}" for line in _unlike(world.update(), whole, world))


class _World:
    """A fleet whose repositories and caches can be put back to where they were."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.temporary = fleet.folder / "tmp"
        self.temporary.mkdir()
        self._changing = (fleet.folder / "projects", fleet.home)
        self._kept = fleet.folder / "kept"
        for folder in self._changing:
            shutil.copytree(folder, self._kept / folder.name, symlinks=True)

    def reset(self, *, keep_caches: bool) -> None:
        """Puts back the repositories, and empties the caches unless they are kept, and the temporary folder."""
        for folder in (self.fleet.folder / "projects", *(() if keep_caches else (self.fleet.home,))):
            shutil.rmtree(folder)
            shutil.copytree(self._kept / folder.name, folder, symlinks=True)
        shutil.rmtree(self.temporary)
        self.temporary.mkdir()

    def update(self) -> Result:
        """A whole run."""
        exit_code = self._start().wait()
        cache = self.fleet.home / "cache"
        paths = (f"/{path.relative_to(cache)}" for path in cache.rglob("*"))
        cached = frozenset(
            path
            for path in paths
            if not any(part in path for part in _UNCOMPARED) or any(part in path for part in _UNFINISHED)
        )
        return Result(exit_code, self.branches(), cached)

    def killed_update(self, seconds: float) -> None:
        """A run that is killed after that time, with all the processes of its group."""
        process = self._start()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=seconds)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def branches(self) -> dict[str, dict[str, str]]:
        """The trees of all branches that were pushed, by the names of the project and the branch."""
        return {project.name: branches(project) for project in self.fleet.projects}

    def left_in_temporary_folder(self) -> list[str]:
        return sorted(path.name for path in self.temporary.iterdir())

    def _start(self) -> subprocess.Popen[bytes]:
        command = [COMMANDS / "protoserve", "fleet", "update", self.fleet.file, "--push"]
        env = {**environment(self.fleet.home), "TMPDIR": str(self.temporary)}
        return subprocess.Popen(
            command,
            cwd=self.fleet.folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def _too_much(pushed: dict[str, dict[str, str]], whole: dict[str, dict[str, str]]) -> Iterator[str]:
    """What was pushed and is not in the result of a whole run: nothing unfinished may be."""
    for name, trees in pushed.items():
        for branch, tree in trees.items():
            if whole[name].get(branch) != tree:
                yield f"{name}: {branch} has tree {tree}, a whole run pushes {whole[name] or 'nothing'}"


def _unlike(result: Result, whole: Result, world: _World) -> Iterator[str]:
    if result.exit_code != whole.exit_code:
        yield f"exit code {result.exit_code}, not {whole.exit_code}"
    for name, trees in whole.branches.items():
        if result.branches[name] != trees:
            yield f"{name}: {result.branches[name] or 'nothing'} was pushed, a whole run pushes {trees or 'nothing'}"
    for path in sorted(result.cached - whole.cached):
        yield f"left in the cache: {path}"
    for path in sorted(whole.cached - result.cached):
        yield f"missing in the cache: {path}"
    if left := world.left_in_temporary_folder():
        yield f"left in the temporary folder: {', '.join(left)}"
