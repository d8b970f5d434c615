"""Update the project to the newest version of its template on a branch of its own, and propose that branch.

    python scripts/propose_update.py update               commit the update to the branch protoserve/VERSION
    python scripts/propose_update.py (github | gitlab)    push that branch, and open a pull or merge request for it

A scheduled job in CI runs both. The first runs code of the template and of packages, and needs no access. The second
runs neither: it has a token in PROTOSERVE_TOKEN, and the variables that the service sets for a job.

An update with conflicts becomes a draft, whose files have the markers. A request that is open is updated; one that was
closed is not opened again. A branch with commits of anybody else is left as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import generate
import yaml

PROJECT = generate.PROJECT
TOKEN = "PROTOSERVE_TOKEN"
CONFLICTS = 3  # the exit code of `protoserve update`
IDENTITY = {"NAME": "protoserve", "EMAIL": "protoserve@localhost"}  # of the commits, where git has no other
MOST_CHARACTERS = 60_000  # of a request's text; GitHub takes 65536
SECONDS = 60  # for an answer of the service
# git asks this for the password, so that no command line, file or URL contains the token.
CREDENTIALS = f'!f() {{ test "$1" = get && printf "username=x-access-token\\npassword=%s\\n" "${TOKEN}"; }}; f'


class ProposalError(Exception):
    """The update cannot be proposed; the message says what to do."""


@dataclass(frozen=True)
class Proposal:
    """A branch with the update, and the texts of the request for it."""

    branch: str
    title: str
    text: str
    has_conflicts: bool


@dataclass(frozen=True)
class Request:
    """A pull or merge request; `declined` says that it was closed without a merge."""

    number: int
    url: str
    is_open: bool
    declined: bool
    draft: bool
    node: str = ""  # GitHub's other name for it


class Service(Protocol):
    """Where the repository is, and its requests."""

    url: str

    def requests(self, branch: str) -> list[Request]:
        """Those of the branch, open or not; none from forks."""

    def open(self, proposal: Proposal) -> str:
        """Opens a request for the branch; its URL."""

    def change(self, request: Request, proposal: Proposal) -> None:
        """Gives an open request the title, text and state of the proposal."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("step", choices=("update", "github", "gitlab"))
    step = parser.parse_args().step
    try:
        if step == "update":
            return update()
        return propose(GitHub() if step == "github" else GitLab())
    except (ProposalError, generate.GeneratorError) as error:
        print(f"propose_update: {error}", file=sys.stderr)
        return 1


def update() -> int:
    """Commits the update to a branch, and leaves the work tree as it was; the exit code of a failed update."""
    kept = _kept()
    kept.unlink(missing_ok=True)
    if git("status", "--porcelain"):
        raise ProposalError("there are changes that are not committed: commit them first")
    template = generate.find_template()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # uv is in .venv
    environment = {name: value for name, value in os.environ.items() if name != TOKEN} | {"PATH": path}
    command = [sys.executable, str(template / generate.RUN), "update", str(PROJECT)]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, encoding="utf-8", errors="replace", check=False
    )
    print(done.stdout, end="", flush=True)
    if done.returncode not in (0, CONFLICTS):
        return done.returncode
    if not git("status", "--porcelain"):
        return 0
    try:
        proposal = _commit(done.stdout, has_conflicts=done.returncode == CONFLICTS)
    finally:
        git("reset", "--quiet", "--hard")
        git("clean", "--quiet", "--force", "-d")
    kept.write_text(json.dumps(asdict(proposal)), encoding="utf-8")
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        Path(page).write_text(proposal.text, encoding="utf-8")
    return 0


def _commit(summary: str, *, has_conflicts: bool) -> Proposal:
    """Makes the branch with all that the update changed; no hook runs."""
    answers = yaml.safe_load(generate.ANSWERS.read_text(encoding="utf-8"))
    version = str(answers["_commit"])
    branch, base, title = f"protoserve/{version}", git("rev-parse", "HEAD"), f"Update the template to {version}"
    conflicts = [name for name in git("diff", "--name-only", "--diff-filter=U", "-z").split("\0") if name]
    git("add", "--all")
    tree = git("write-tree")
    # `protoserve fleet update` writes the same, and takes branches of both for its own.
    trailers = {
        "Version": version,
        "Template": (answers.get("_commit_hash") or {}).get(version, version),
        "Base": base,
        "Folder": json.dumps(git("rev-parse", "--show-prefix").rstrip("/")),
        "Set": "{}",
    }
    lines = [f"Protoserve-{name}: {value}" for name, value in trailers.items()]
    lines += [f"Protoserve-Conflict: {json.dumps(name)}" for name in conflicts]
    message = "\n".join([f"{title}\n\n{summary.strip()}\n", *lines, f"Protoserve-Tree: {tree}"])
    git("update-ref", f"refs/heads/{branch}", git("commit-tree", tree, "-p", base, stdin=message))
    if len(summary) > MOST_CHARACTERS:
        summary = summary[:MOST_CHARACTERS].rpartition("\n")[0] + "\n\nThe message of the commit has the rest.\n"
    return Proposal(branch, f"{title}{', with conflicts' if has_conflicts else ''}", summary, has_conflicts)


def propose(service: Service) -> int:
    """Pushes the branch of the update, and opens a request or changes the open one."""
    kept = _kept()
    if not kept.exists():
        print("nothing to propose")
        return 0
    proposal = Proposal(**json.loads(kept.read_text(encoding="utf-8")))
    requests = service.requests(proposal.branch)
    opened = next((request for request in requests if request.is_open), None)
    declined = next((request for request in requests if request.declined), None)
    if opened is None and declined is not None:
        print(f"{declined.url} was closed: reopen it to get this update")
        return 0
    if not _push(service.url, proposal):
        print(f"{proposal.branch} has commits of somebody else: it is left as it is")
        return 0
    if opened is None:
        print(f"opened {service.open(proposal)}")
    else:
        service.change(opened, proposal)
        print(f"updated {opened.url}")
    return 0


def _push(url: str, proposal: Proposal) -> bool:
    """Pushes the branch if it is new or differs; False if the one that is there has commits of somebody else."""
    access = ("-c", "credential.helper=", "-c", f"credential.helper={CREDENTIALS}")
    reference = f"refs/heads/{proposal.branch}"
    there = git(*access, "ls-remote", "--", url, reference).partition("\t")[0]
    if there:
        git(*access, "fetch", "--quiet", "--no-tags", "--", url, reference)
        headers, trailers = _headers_and_trailers(there)
        if f"Protoserve-Base: {headers.get('parent')}" not in trailers:
            return False
        if f"Protoserve-Tree: {headers['tree']}" not in trailers:
            return False
        if headers == _headers_and_trailers(reference)[0]:
            return True
    try:
        git(*access, "push", "--quiet", f"--force-with-lease={reference}:{there}", "--", url, reference)
    except ProposalError as error:
        if "refusing to allow" not in str(error):
            raise
        raise ProposalError(
            f"the update changes workflows, which the token of a job may not push: make a token with write access to "
            f"contents, pull requests and workflows, and add it as the secret {TOKEN}"
        ) from error
    return True


def _headers_and_trailers(commit: str) -> tuple[dict[str, str], list[str]]:
    """The tree and the parent of a commit, and the lines of its message."""
    head, _, message = git("cat-file", "commit", commit).partition("\n\n")
    headers = dict(line.split(" ", 1) for line in head.splitlines() if line.startswith(("tree ", "parent ")))
    return headers, message.splitlines()


class GitHub:
    """GitHub's REST API; a draft becomes ready by GraphQL alone."""

    def __init__(self) -> None:
        self._repository = _variable("GITHUB_REPOSITORY")
        self._api = f"{_variable('GITHUB_API_URL')}/repos/{self._repository}/pulls"
        self._base = _variable("GITHUB_REF_NAME")
        self.url = f"{_variable('GITHUB_SERVER_URL')}/{self._repository}"

    def requests(self, branch: str) -> list[Request]:
        owner = self._repository.partition("/")[0]
        found = self._ask("GET", f"{self._api}?state=all&per_page=100&head={quote(f'{owner}:{branch}', safe='')}")
        return [
            Request(
                item["number"],
                item["html_url"],
                item["state"] == "open",
                item["state"] == "closed" and not item["merged_at"],
                bool(item.get("draft")),
                item["node_id"],
            )
            for item in found
        ]

    def open(self, proposal: Proposal) -> str:
        fields = {"title": proposal.title, "body": proposal.text, "head": proposal.branch, "base": self._base}
        try:
            return str(self._ask("POST", self._api, {**fields, "draft": proposal.has_conflicts})["html_url"])
        except ProposalError as error:
            if not proposal.has_conflicts or "Draft pull requests are not supported" not in str(error):
                raise
            return str(self._ask("POST", self._api, fields)["html_url"])

    def change(self, request: Request, proposal: Proposal) -> None:
        self._ask("PATCH", f"{self._api}/{request.number}", {"title": proposal.title, "body": proposal.text})
        if request.draft != proposal.has_conflicts:
            change = "convertPullRequestToDraft" if proposal.has_conflicts else "markPullRequestReadyForReview"
            query = f"mutation($id: ID!) {{ {change}(input: {{pullRequestId: $id}}) {{ clientMutationId }} }}"
            answer = self._ask(
                "POST", _variable("GITHUB_GRAPHQL_URL"), {"query": query, "variables": {"id": request.node}}
            )
            if answer.get("errors"):
                print(
                    f"{request.url} stays {'a draft' if request.draft else 'ready'}: {answer['errors']}",
                    file=sys.stderr,
                )

    def _ask(self, method: str, url: str, fields: dict[str, Any] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {_variable(TOKEN)}", "Accept": "application/vnd.github+json"}
        return ask(method, url, headers, fields)


class GitLab:
    """GitLab's REST API; a draft is a matter of the title."""

    def __init__(self) -> None:
        self._project = _variable("CI_PROJECT_ID")
        self._api = f"{_variable('CI_API_V4_URL')}/projects/{self._project}/merge_requests"
        self._base = _variable("CI_COMMIT_BRANCH")
        self.url = f"{_variable('CI_PROJECT_URL')}.git"

    def requests(self, branch: str) -> list[Request]:
        found = self._ask("GET", f"{self._api}?per_page=100&source_branch={quote(branch, safe='')}")
        return [
            Request(
                item["iid"], item["web_url"], item["state"] == "opened", item["state"] == "closed", bool(item["draft"])
            )
            for item in found
            if str(item["source_project_id"]) == self._project
        ]

    def open(self, proposal: Proposal) -> str:
        branches = {"source_branch": proposal.branch, "target_branch": self._base, "remove_source_branch": True}
        return str(self._ask("POST", self._api, {**self._texts(proposal), **branches})["web_url"])

    def change(self, request: Request, proposal: Proposal) -> None:
        self._ask("PUT", f"{self._api}/{request.number}", self._texts(proposal))

    def _texts(self, proposal: Proposal) -> dict[str, Any]:
        draft = "Draft: " if proposal.has_conflicts else ""
        return {"title": draft + proposal.title, "description": proposal.text}

    def _ask(self, method: str, url: str, fields: dict[str, Any] | None = None) -> Any:
        return ask(method, url, {"PRIVATE-TOKEN": _variable(TOKEN)}, fields)


def ask(method: str, url: str, headers: dict[str, str], fields: dict[str, Any] | None) -> Any:
    """The answer of an API, as JSON. Raises ProposalError with the service's own reason."""
    body = None if fields is None else json.dumps(fields).encode()
    request = urllib.request.Request(url, body, {**headers, "Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        reason = error.read(2000).decode(errors="replace")
        remedy = f"{TOKEN} must be a token that may read and write requests"
        if "not permitted to create" in reason:
            remedy = f"allow it in the repository's settings (Actions, General), or add the secret {TOKEN}"
        raise ProposalError(f"{method} {url} answered {error.code}: {reason}: {remedy}") from error
    except (OSError, ValueError) as error:
        raise ProposalError(f"{method} {url} failed: {error}") from error


def git(*arguments: str, stdin: str = "") -> str:
    """The standard output of a git command in the project, without the user's hooks. Raises ProposalError."""
    command = ["git", "-c", f"core.hooksPath={os.devnull}", *arguments]
    roles = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in IDENTITY.items()}
    environment = {**roles, **os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=environment,
        input=stdin,
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="surrogateescape",
    )
    if done.returncode:
        words = next(word for word in arguments if not word.startswith(("-", "credential.")))
        raise ProposalError(f"`git {words}` failed: {done.stderr.strip()}")
    return done.stdout.strip()


def _kept() -> Path:
    """The file in which the first step leaves the proposal for the second."""
    return PROJECT / git("rev-parse", "--git-path", "protoserve-proposal.json")


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ProposalError(f"{name} is not set: {_REMEDIES.get(name, 'this step runs in a job of the service')}")
    return value


_REMEDIES = {TOKEN: "add a token that may push branches and open requests as a secret variable of this name"}


if __name__ == "__main__":
    raise SystemExit(main())
