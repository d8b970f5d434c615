"""What the author can do about the usual errors of a model's code and artifact. It imports no framework."""

import re
import sys
from collections.abc import Callable

PACKAGE = __package__.rpartition(".")[0]


def remedy(error: BaseException) -> str:
    """What to do about an error, as lines; empty if nothing is known."""
    for kinds, advise in REMEDIES:
        if kinds & {kind.__name__ for kind in type(error).__mro__} and (advice := advise(error)):
            return advice
    return ""


def _missing_module(error: BaseException) -> str:
    name = getattr(error, "name", None) or ""
    if name.split(".")[0] == PACKAGE.split(".")[0]:
        return f"src/{name.replace('.', '/')}.py does not exist."
    top = name.split(".")[0]
    return (
        f"If {top} is a package from an index, add it to requirements/model.txt and run `make lock setup`.\n"
        f"If it is a module of your own, which the artifact may need too, put it into src/ (src/{top}.py)."
    )


def _missing_name(error: BaseException) -> str:
    """For an artifact that pickle reads, which looks for each class where it was when the artifact was written."""
    missing = re.search(r"Can't get attribute '(.+?)' on <module '(.+?)'", str(error))
    if missing is None:
        return ""
    name, module = missing.groups()
    if module in ("__main__", "__mp_main__"):
        return (
            f"The script that wrote the artifact defined {name} itself. Move it to a module in src/, import it from\n"
            "there in the script and in model.py, and write the artifact again."
        )
    return f"The artifact needs {name} in the module {module}: put it back, or write the artifact again."


def _untrusted_types(error: BaseException) -> str:
    """For skops, whose error lists every type that it does not know and that was not trusted."""
    listed = re.search(r"\[(.*?)\]", str(error), re.DOTALL)
    trusted = getattr(sys.modules.get(f"{PACKAGE}.model"), "TRUSTED", ())
    untrusted = re.findall(r"'([^']+)'", listed[1] if listed else "")
    names = {*untrusted, *(name for name in trusted if isinstance(name, str))}
    lines = "".join(f'    "{name}",\n' for name in sorted(names))
    return (
        "Review these types: the file can have them do all that their code can.\n"
        f"Then put this list into model.py, and load with trusted=TRUSTED:\n\nTRUSTED = [\n{lines}]\n"
    )


def _missing_file(_: BaseException) -> str:
    return "Put the model's files into artifacts/, which the image has too, and open them below artifact.parent."


def _naive_time(error: BaseException) -> str:
    if not re.search("offset-naive|tz-naive|timezone-naive", str(error)):
        return ""
    return "Timestamps of the contract are datetimes with the time zone UTC: datetime.now(UTC), not datetime.now()."


def _one_request(error: BaseException) -> str:
    """For a method that takes the one request that it gets for a batch."""
    taken = re.search(r"'(\w+)' object is not (?:iterable|subscriptable)|'(\w+)' has no len\(\)", str(error))
    contract = sys.modules.get(f"{PACKAGE}.contract")
    if taken is None or not hasattr(contract, taken[1] or taken[2]):
        return ""
    return "A method gets one request, not a batch, if it is `async def` or streams."


def _batch(error: BaseException) -> str:
    """For a method that takes the batch that it gets for one request."""
    if not re.match(r"'list' object has no attribute", str(error)):
        return ""
    return "If the list is what the method got: it gets one request only if it is `async def` or streams, else a batch."


def _start_method(error: BaseException) -> str:
    if str(error) != "context has already been set":
        return ""
    return (
        'The server has set the start method forkserver. For another one write multiprocessing.get_context("spawn"),\n'
        "and use its Pool, or pass it as mp_context or multiprocessing_context."
    )


# By the names of exceptions, so that no framework is imported; the first that has advice counts.
REMEDIES: list[tuple[set[str], Callable[[BaseException], str]]] = [
    ({"ModuleNotFoundError"}, _missing_module),
    ({"UntrustedTypesFoundException"}, _untrusted_types),
    ({"FileNotFoundError"}, _missing_file),
    ({"AttributeError"}, _missing_name),
    ({"AttributeError"}, _batch),
    ({"TypeError"}, _naive_time),
    ({"TypeError"}, _one_request),
    ({"RuntimeError"}, _start_method),
]
