"""What an adoption tells: what was written, and what of the author's code goes where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from protoserve.project.adopt.belongings import Belongings
from protoserve.project.adopt.files import ASIDE, Adoption
from protoserve.project.adopt.servicer import Note, Servicer
from protoserve.schema.model import Contract

_WHERE_TO = {
    "pyproject.toml": "dependencies of the model go to requirements/model.txt, tools' settings into pyproject.toml",
    "Makefile": "targets go to local.mk, which the Makefile reads",
    "README.md": "what is about the project goes into README.md",
    "Dockerfile": "what the model needs of the system goes into the Dockerfile",
    ".dockerignore": "the image gets only what is named there",
}


def lines(
    contract: Contract,
    package: str,
    proto: str,
    adopted: Adoption,
    found: list[tuple[Servicer, Belongings]],
    wanted: list[Note],
    served: list[Note],
    stubs: list[str],
    ignored: list[str],
) -> Iterator[str]:
    """The report, for a terminal or a pull request."""
    yield f"Adopted: {contract.full_service} from {proto}, as schema.yaml and src/{package}/."
    yield "The files of the template are there; no line of your code was changed."
    yield from _aside(adopted)
    if ignored:
        yield ""
        yield "Ignored by git, and to be committed: take these out of your ignore rules"
        yield from (f"  {name}" for name in ignored)
    model = f"src/{package}/model.py"
    yield ""
    if not found:
        yield f"No class that derives from {contract.service}Servicer was found: name its file with --servicer."
    for servicer, needs in found:
        yield f"{servicer.name} ({servicer.file}:{servicer.line}) goes into {model}, class Model:"
        yield from _table(servicer.methods)
        for name in servicer.missing:
            yield f"  not there: {name}; write Model's method for it, or let it raise"
        yield from _section("What goes with it:", servicer.helpers)
        yield from _section("Modules of yours that it imports; the image has src/ alone:", needs.modules, package)
        yield from _section("Old stubs in these modules:", needs.stubs, package)
        yield from _section("Files that it opens; the image has artifacts/ and src/ alone:", needs.files, package)
        yield from _section("The context, which a Model does not get:", servicer.context)
        yield from _section(f"Messages are dataclasses of {package}.contract, with the same fields:", servicer.messages)
    yield from _section("What you have installed, and the new requirements have not:", wanted)
    yield from _section(
        "What starts the server by hand; `python -m PACKAGE.server` does it now:".replace("PACKAGE", package),
        served,
        package,
    )
    yield ""
    yield "train.py makes the artifact of the example model that model.py serves so far: put what makes yours there."
    yield f"One process cannot have the old stubs and {package}.contract: model.py imports the contract alone."
    if stubs:
        more = ", ..." if len(stubs) > 4 else ""
        yield f"Old clients keep their stubs ({', '.join(stubs[:4])}{more}); the server needs none."
    if proto.startswith("proto/"):
        yield f"buf reads all of proto/, and {proto} has the names of the generated one: move it out, or delete it."
    yield ""
    yield "Next: git add -A && git commit, make setup, make smoke; then move the code, and again make smoke."


def _aside(adopted: Adoption) -> Iterator[str]:
    if adopted.joined:
        yield f"Lines of the template were added to {', '.join(adopted.joined)}."
    if adopted.aside:
        yield ""
        yield "The template has these files; yours are beside them, for you to bring over and delete:"
        for name in adopted.aside:
            known = _WHERE_TO.get(name.removesuffix(ASIDE), "")
            yield f"  {name}{f': {known}' if known else ''}"


def _section(title: str, notes: Iterable[Note], package: str = "") -> Iterator[str]:
    notes = list(notes)
    if notes:
        yield title if title.startswith(" ") else f"{title}"
        yield from _table(notes, package)


def _table(notes: Iterable[Note], package: str = "") -> Iterator[str]:
    rows = [(note.where, note.what, note.instead.replace("PACKAGE", package or "PACKAGE")) for note in notes]
    widths = [max((len(row[index]) for row in rows), default=0) for index in (0, 1)]
    for where, what, instead in rows:
        yield f"  {where.ljust(widths[0])}  {what.ljust(widths[1])}  -> {instead}"
