"""The scheduled job of a project: scripts/propose_update.py, with real repositories and services in memory."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from protoserve.fleet.update.branches import BareRepository, Made
from releases import Work, commit, git
from support import ROOT, copier_jinja, run

TOKEN = "secret-token"
BRANCH = "protoserve/v2.0.0"
OUTCOMES = "src/iris/server/core/outcomes.py"


@dataclass
class Service:
    """The requests of a repository, in memory, behind the APIs of both services; `calls` have all but the reads."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    refusal: str = ""

    def answer(self, method: str, path: str, fields: dict[str, Any]) -> Any:
        if method == "GET":
            return self.requests
        self.calls.append((method, path, fields))
        if path == "/graphql":
            return {"data": {}}
        if method == "POST":
            number = len(self.requests) + 1
            self.requests.append(self._request(number, path, fields))
            return self.requests[-1]
        return self.requests[int(path.rpartition("/")[2]) - 1]

    def _request(self, number: int, path: str, fields: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("/merge_requests"):
            draft = fields["title"].startswith("Draft: ")
            url = {"web_url": f"https://service.example/{number}"}
            return {"iid": number, "state": "opened", "draft": draft, "source_project_id": 7, **url}
        urls = {"html_url": f"https://service.example/{number}", "node_id": f"node{number}"}
        return {"number": number, "state": "open", "merged_at": None, "draft": fields["draft"], **urls}


@pytest.fixture
def service() -> Iterator[Service]:
    kept = Service()

    class Handler(BaseHTTPRequestHandler):
        tokens: ClassVar[tuple[str, ...]] = ("Bearer " + TOKEN, TOKEN)

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            assert (self.headers.get("Authorization") or self.headers.get("PRIVATE-TOKEN")) in self.tokens
            path = urlsplit(self.path)
            if self.command == "GET":
                (head,) = parse_qs(path.query).get("head") or parse_qs(path.query)["source_branch"]
                assert head in (f"owner:{BRANCH}", BRANCH)
            refused = kept.refusal if self.command != "GET" else ""
            answer = {"message": refused} if refused else kept.answer(self.command, path.path, json.loads(body or "{}"))
            self.send_response(403 if refused else 200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_POST = do_PATCH = do_PUT = _answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kept.url = f"http://127.0.0.1:{server.server_port}"
    yield kept
    server.shutdown()
    server.server_close()


@dataclass(frozen=True)
class Job:
    """A clone in CI: `origin` is beside it, and the services' variables are set."""

    path: Path
    service: Service

    @property
    def origin(self) -> Path:
        return self.path.parent / "owner" / "origin.git"

    def variables(self, token: str) -> dict[str, str]:
        """Those that the services set for a job, and the token."""
        folder = self.origin.parents[1].as_uri()
        return {
            "GITHUB_REPOSITORY": "owner/origin.git",
            "GITHUB_API_URL": self.service.url,
            "GITHUB_GRAPHQL_URL": f"{self.service.url}/graphql",
            "GITHUB_SERVER_URL": folder,
            "GITHUB_REF_NAME": "main",
            "CI_PROJECT_ID": "7",
            "CI_API_V4_URL": self.service.url,
            "CI_PROJECT_URL": f"{folder}/owner/origin",
            "CI_COMMIT_BRANCH": "main",
            "PROTOSERVE_TOKEN": token,
        }

    def run(self, step: str, *, token: str = TOKEN, check: bool = True, **variables: str) -> CompletedProcess[str]:
        command = [sys.executable, "scripts/propose_update.py", step]
        return run(command, cwd=self.path, env={**os.environ, **self.variables(token), **variables}, check=check)

    def propose(self, content: str, *, conflicts: bool = False) -> None:
        """Leaves what the step `update` leaves, for an update that writes `content` into a file."""
        (self.path / "updated.txt").write_text(content, encoding="utf-8")
        git(self.path, "add", "--all")
        tree, base = git(self.path, "write-tree").strip(), git(self.path, "rev-parse", "HEAD").strip()
        message = f"x\n\nProtoserve-Base: {base}\nProtoserve-Tree: {tree}\n"
        made = git(self.path, "commit-tree", tree, "-p", base, "-m", message).strip()
        git(self.path, "update-ref", f"refs/heads/{BRANCH}", made)
        git(self.path, "reset", "--quiet", "--hard")
        title = "Update the template to v2.0.0"
        proposal = {"branch": BRANCH, "title": title, "text": content, "has_conflicts": conflicts}
        (self.path / ".git/protoserve-proposal.json").write_text(json.dumps(proposal), encoding="utf-8")

    def pushed(self, revision: str = BRANCH) -> str:
        return git(self.origin, "rev-parse", revision).strip()


def add_origin(folder: Path) -> None:
    origin = folder.parent / "owner" / "origin.git"
    git(folder.parent, "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
    git(folder, "push", "--quiet", str(origin), "HEAD:refs/heads/main")


@pytest.fixture
def job(service: Service, tmp_path: Path) -> Job:
    """A repository that has nothing but the scripts."""
    scripts = tmp_path / "clone" / "scripts"
    scripts.mkdir(parents=True)
    conf = SimpleNamespace(answers_file=".copier-answers.yml")
    text = copier_jinja().get_template("template/scripts/generate.py.jinja").render(_copier_conf=conf)
    (scripts / "generate.py").write_text(text, encoding="utf-8")
    script = (ROOT / "template/scripts/propose_update.py").read_text(encoding="utf-8")
    (scripts / "propose_update.py").write_text(script, encoding="utf-8")
    git(tmp_path / "clone", "init", "--quiet", "--initial-branch=main")
    (tmp_path / "clone" / ".gitignore").write_text("__pycache__/\n", encoding="utf-8")
    commit(tmp_path / "clone", "made")
    add_origin(tmp_path / "clone")
    return Job(tmp_path / "clone", service)


def test_github_gets_one_request_which_follows_its_branch(job: Job) -> None:
    assert job.run("github").stdout == "nothing to propose\n"
    job.propose("one\n", conflicts=True)
    assert job.run("github").stdout == "opened https://service.example/1\n"
    texts = {"title": "Update the template to v2.0.0", "body": "one\n"}
    opened = ("POST", "/repos/owner/origin.git/pulls", {**texts, "head": BRANCH, "base": "main", "draft": True})
    assert job.service.calls == [opened]
    first = job.pushed()

    # Again, with nothing new: the branch stays as it is.
    job.propose("one\n", conflicts=True)
    assert job.run("github").stdout == "updated https://service.example/1\n"
    assert job.pushed() == first
    # With another update on top of a newer base, without conflicts: the branch is replaced, and the draft is ready.
    (job.path / "work.txt").write_text("work\n", encoding="utf-8")
    commit(job.path, "work")
    job.propose("two\n")
    job.run("github")
    assert git(job.origin, "show", f"{BRANCH}:updated.txt", f"{BRANCH}:work.txt") == "two\nwork\n"
    change, ready = job.service.calls[-2:]
    assert change == ("PATCH", "/repos/owner/origin.git/pulls/1", {**texts, "body": "two\n"})
    assert "markPullRequestReadyForReview" in ready[2]["query"]
    assert ready[2]["variables"] == {"id": "node1"}

    # Closed by somebody: neither pushed nor opened again.
    job.service.requests[0]["state"] = "closed"
    calls, before = len(job.service.calls), job.pushed()
    job.propose("three\n")
    assert job.run("github").stdout == "https://service.example/1 was closed: reopen it to get this update\n"
    assert (len(job.service.calls), job.pushed()) == (calls, before)


def test_gitlab_gets_one_request_and_commits_of_others_stay(job: Job) -> None:
    job.propose("one\n", conflicts=True)
    # That of a fork has a branch of the same name.
    fork = {"iid": 1, "web_url": "x", "state": "opened", "draft": False, "source_project_id": 8}
    job.service.requests.append(fork)
    assert job.run("gitlab").stdout == "opened https://service.example/2\n"
    texts = {"title": "Draft: Update the template to v2.0.0", "description": "one\n"}
    branches = {"source_branch": BRANCH, "target_branch": "main", "remove_source_branch": True}
    assert job.service.calls == [("POST", "/projects/7/merge_requests", {**texts, **branches})]
    job.propose("two\n")
    assert job.run("gitlab").stdout == "updated https://service.example/2\n"
    texts = {"title": "Update the template to v2.0.0", "description": "two\n"}
    assert job.service.calls[1:] == [("PUT", "/projects/7/merge_requests/2", texts)]

    git(job.path, "checkout", "--quiet", BRANCH)
    (job.path / "resolved.txt").write_text("by a person\n", encoding="utf-8")
    commit(job.path, "resolved")
    git(job.path, "push", "--quiet", str(job.origin), f"HEAD:{BRANCH}")
    git(job.path, "checkout", "--quiet", "main")
    job.propose("three\n")
    assert job.run("gitlab").stdout == f"{BRANCH} has commits of somebody else: it is left as it is\n"
    assert git(job.origin, "show", f"{BRANCH}:resolved.txt") == "by a person\n"
    assert len(job.service.calls) == 2


@pytest.mark.slow
def test_what_is_missing_is_named_with_its_remedy(job: Job) -> None:
    job.propose("one\n")
    done = job.run("gitlab", token="", check=False)
    assert (done.returncode, job.service.calls) == (1, [])
    assert done.stderr.startswith("propose_update: PROTOSERVE_TOKEN is not set: add a token that may push")
    job.service.refusal = "GitHub Actions is not permitted to create or approve pull requests."
    done = job.run("github", check=False)
    assert done.returncode == 1
    assert "allow it in the repository's settings (Actions, General), or add the secret PROTOSERVE_TOKEN" in done.stderr
    assert TOKEN not in done.stderr
    # A service that refuses changes of workflows.
    hook = job.origin / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'refusing to allow a GitHub App to update workflow'; exit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    job.propose("two\n")
    assert (
        "the update changes workflows, which the token of a job may not push" in job.run("github", check=False).stderr
    )


def test_the_update_has_no_token_and_a_refused_one_proposes_nothing(job: Job, tmp_path: Path) -> None:
    runner = tmp_path / "template" / "generator" / "run.py"
    runner.parent.mkdir(parents=True)
    runner.write_text(
        "import os, sys; sys.exit(f'{os.environ.get(\"PROTOSERVE_TOKEN\")} {sys.argv[1:]}')", encoding="utf-8"
    )
    job.propose("of an earlier run\n")
    done = job.run("update", check=False, PROTOSERVE_GENERATOR=str(tmp_path / "template"))
    assert (done.returncode, done.stderr) == (1, f"None {['update', str(job.path)]}\n")
    assert job.run("github").stdout == "nothing to propose\n"


def test_the_token_is_gits_password(job: Job) -> None:
    """git gets it from the environment, so that no command line contains it."""
    script = (ROOT / "template/scripts/propose_update.py").read_text(encoding="utf-8")
    helper = re.search(r"^CREDENTIALS = f'(.*)'$", script, re.MULTILINE)
    assert helper is not None
    text = helper[1].replace("{{", "{").replace("}}", "}").replace("{TOKEN}", "PROTOSERVE_TOKEN").replace("\\\\", "\\")
    asked = "protocol=https\nhost=example.com\n\n"
    command = f"printf '{asked}' | git -c credential.helper= -c 'credential.helper={text}' credential fill"
    environment = {**os.environ, "PROTOSERVE_TOKEN": TOKEN, "GIT_TERMINAL_PROMPT": "0"}
    done = run(["sh", "-c", command], cwd=job.path, env=environment)
    assert done.stdout.splitlines()[-2:] == ["username=x-access-token", f"password={TOKEN}"]


def commands(service: str) -> list[str]:
    """What the scheduled job of a project runs, without `make setup`."""
    path = {"github": ".github/workflows/template-update.yml", "gitlab": ".gitlab-ci.yml"}[service]
    answers = {"package": "iris", "python_version": "3.12", "platforms": []}
    conf = SimpleNamespace(answers_file=".copier-answers.yml")
    workflow = yaml.safe_load(copier_jinja().get_template(f"template/{path}.jinja").render(answers, _copier_conf=conf))
    if service == "github":
        lines = [step["run"] for step in workflow["jobs"]["update"]["steps"] if "run" in step]
    else:
        lines = workflow["template-update"]["script"]
    assert lines[0] == "make setup"
    return lines[1:]


@pytest.mark.slow
def test_the_jobs_propose_the_update_with_its_summary_as_a_draft_if_there_are_conflicts(
    work: Work, releases: Path, service: Service
) -> None:
    work.edit(OUTCOMES, "the server failed to answer this request", "no luck today")
    work.commit()
    add_origin(work.path)
    (work.path / ".venv").symlink_to(Path(sys.executable).parents[1])
    before, job = work.state(), Job(work.path, service)

    def shell(command: str) -> str:
        return work.run("bash", "-e", "-c", command, **job.variables(TOKEN)).stdout

    update, on_github = commands("github")
    assert commands("gitlab")[0] == update
    shell(update)
    assert shell(on_github).startswith("opened ")
    ((_, _, fields),) = service.calls
    assert fields["body"].startswith("## iris: template v1.0.0 → v2.0.0\n")
    assert (fields["title"], fields["draft"]) == ("Update the template to v2.0.0, with conflicts", True)
    page = (ROOT / "docs/update.md").read_text(encoding="utf-8")
    (markers,) = re.findall(r"^```text\n(<<<<<<<.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert markers in git(job.origin, "show", f"{BRANCH}:{OUTCOMES}")
    # `protoserve fleet update` takes the branch for its own.
    made = BareRepository(job.origin).commit(job.pushed()).made
    template = git(work.path.parent, "ls-remote", str(releases), "refs/tags/v2.0.0").split()[0]
    assert made == Made("v2.0.0", template, job.pushed("main"), "", {}, conflicts=(OUTCOMES,))
    assert made.branch == BRANCH
    # The clone is as it was, but for the branch.
    after = work.state()
    del before["(references)"], after["(references)"]
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert {path for path in changed if "__pycache__" not in path} == set()

    # Where the update is there, nothing more happens.
    git(work.path, "merge", "--quiet", BRANCH)
    shell(update)
    assert shell(commands("gitlab")[1]) == "nothing to propose\n"
    assert len(service.calls) == 1
