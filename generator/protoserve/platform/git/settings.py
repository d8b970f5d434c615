"""The settings and the environment under which protoserve runs git.

Git's answer to one question depends on some two hundred settings and variables of its user
(https://git-scm.com/docs/git-config, https://git-scm.com/docs/git). Those that change what a command prints, or what a
copy contains, get git's defaults here. What belongs to the author stays: identity, filters, line ends, patterns of
ignored files, credentials, `url.*.insteadOf`, and which folders git trusts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

_COLOURED = (
    *("ui", "advice", "branch", "diff", "grep", "interactive", "pager", "push", "remote", "showBranch", "status"),
    "transport",
)
_COLUMNS = ("ui", "branch", "clean", "status", "tag")
# In their order: where a setting may be given several times, a later one adds to it.
Settings = Iterable[tuple[str, str]]

# For every command.
READING: Mapping[str, str] = {
    # Looking executes nothing: hooks (`post-index-change` is one of `git status`), and a program that watches files.
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.untrackedCache": "keep",
    # A repository that was committed as the files of another one brings its settings into every clone.
    "safe.bareRepository": "explicit",
    # Sources that run a program, or wait for a descriptor, and servers that do not answer.
    "protocol.ext.allow": "never",
    "protocol.fd.allow": "never",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
    # The form of what is printed.
    **{f"color.{name}": "false" for name in _COLOURED},
    **{f"column.{name}": "never" for name in _COLUMNS},
    "core.abbrev": "auto",
    "core.quotePath": "true",
    "core.safecrlf": "false",
    "core.bigFileThreshold": "512m",
    "diff.algorithm": "default",
    "diff.autoRefreshIndex": "true",
    "diff.colorMoved": "no",
    "diff.colorMovedWS": "no",
    "diff.context": "3",
    "diff.dirstat": "changes",
    "diff.dstPrefix": "b/",
    "diff.ignoreSubmodules": "none",
    "diff.indentHeuristic": "true",
    "diff.interHunkContext": "0",
    "diff.mnemonicPrefix": "false",
    "diff.noprefix": "false",
    "diff.orderFile": os.devnull,
    "diff.relative": "false",
    "diff.renameLimit": "1000",
    "diff.renames": "true",
    "diff.srcPrefix": "a/",
    "diff.submodule": "short",
    "diff.suppressBlankEmpty": "false",
    "diff.wsErrorHighlight": "none",
    "grep.column": "false",
    "grep.extendedRegexp": "false",
    "grep.fallbackToNoIndex": "false",
    "grep.fullName": "false",
    "grep.lineNumber": "false",
    "grep.patternType": "default",
    "merge.conflictStyle": "merge",
    "status.aheadBehind": "true",
    "status.branch": "false",
    "status.displayCommentPrefix": "false",
    "status.relativePaths": "true",
    "status.renames": "true",
    "status.short": "false",
    "status.showStash": "false",
    "status.showUntrackedFiles": "normal",
    "status.submoduleSummary": "false",
    "submodule.recurse": "false",
    "tar.umask": "0002",
    # What a new repository or clone contains.
    "init.templateDir": "",
    "init.defaultBranch": "main",
    "init.defaultRefFormat": "files",
    "clone.defaultRemoteName": "origin",
    "clone.rejectShallow": "false",
    "core.ignoreStat": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}

# Options that no setting can replace.
OPTIONS: Mapping[str, tuple[str, ...]] = {"diff": ("--no-ext-diff", "--no-textconv")}

# What `git rev-parse --local-env-vars` lists, except for the settings of `git -c`; git sets most of them for its hooks,
# and they would direct commands to another repository.
_OF_A_REPOSITORY = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
_OF_OUTPUT_OR_EFFECT = (
    "GIT_ATTR_SOURCE",
    "GIT_AUTHOR_DATE",
    "GIT_COMMITTER_DATE",
    "GIT_CURL_VERBOSE",
    "GIT_DEFAULT_HASH",
    "GIT_DEFAULT_REF_FORMAT",
    "GIT_DIFF_OPTS",
    "GIT_EXTERNAL_DIFF",
    "GIT_GLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
    "GIT_LITERAL_PATHSPECS",
    "GIT_NAMESPACE",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_PRINT_SHA1_ELLIPSIS",
    "GIT_REDIRECT_STDERR",
    "GIT_REDIRECT_STDIN",
    "GIT_REDIRECT_STDOUT",
    "GIT_REF_PARANOIA",
    "GIT_TEMPLATE_DIR",
)
_REMOVED = frozenset((*_OF_A_REPOSITORY, *_OF_OUTPUT_OR_EFFECT))
_TRACE = re.compile(r"GIT_TRACE(?:2|_|$)")
# Settings can send these to standard error, too.
_TRACES_OF_SETTINGS = ("GIT_TRACE2", "GIT_TRACE2_EVENT", "GIT_TRACE2_PERF")


def environment(settings: Settings) -> dict[str, str]:
    """The variables of a git command with these settings, which precede those of files and of `git -c`."""
    removed = removed_variables(os.environ)
    kept = {name: value for name, value in os.environ.items() if name not in removed}
    return {**kept, **added_variables(settings, kept)}


def added_variables(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables that give git these settings, besides those that `inherited` has."""
    # The form in which git hands the settings of `git -c` to its own commands; the last one counts.
    quoted = (_quoted(f"{name}={value}") if "=" not in name else _pair(name, value) for name, value in settings)
    parameters = " ".join([inherited.get("GIT_CONFIG_PARAMETERS", ""), *quoted]).strip()
    variables = {"GIT_CONFIG_PARAMETERS": parameters, "GIT_OPTIONAL_LOCKS": "0"}
    variables |= {name: "0" for name in _TRACES_OF_SETTINGS if not os.path.isabs(inherited.get(name, ""))}
    # English, for the causes of errors; LC_ALL would change what templates print as well.
    return {**variables, "LANGUAGE": "en"}


def _pair(name: str, value: str) -> str:
    """The form for a name with an equals sign, which git before 2.31 does not know."""
    return f"{_quoted(name)}={_quoted(value)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''").replace("!", "'\\!'") + "'"


def removed_variables(inherited: Mapping[str, str]) -> frozenset[str]:
    """The variables that no git command may see; a trace that goes into a file stays."""
    traces = (name for name, value in inherited.items() if _TRACE.match(name) and not os.path.isabs(value))
    return frozenset((*_REMOVED, *traces))


def clear_environment() -> None:
    """Removes the same variables from this process, for git commands that other programs run."""
    for name in removed_variables(os.environ):
        os.environ.pop(name, None)


def set_environment() -> None:
    """Gives the settings to all git commands that other programs run from now on, too."""
    clear_environment()
    os.environ.update(added_variables(READING.items(), os.environ))
