"""The report of an adoption: what was written, and where the author's code goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from protoserve.project.adopt.old_files import FILE
from protoserve.project.adopt.servicer import Note, Servicer
from protoserve.project.adopt.template_files import ASIDE, TemplateFiles
from protoserve.schema.model import Contract

_BRING_OVER = {
    "pyproject.toml": "the model's dependencies go into requirements/model.txt, tool settings into pyproject.toml",
    "Makefile": "targets go into local.mk, which the Makefile reads",
    "README.md": "what describes the project goes into README.md",
    "Dockerfile": "system packages that the model needs go into the Dockerfile",
    ".dockerignore": "the image gets only the files that it names",
    "setup.py": "the model's dependencies go into requirements/model.txt; pyproject.toml is the build",
    "setup.cfg": "the model's dependencies go into requirements/model.txt; pyproject.toml is the build",
}


@dataclass(frozen=True, slots=True)
class Report:
    """`stubs` are the old stubs, `ignored` new files that git would not add, `builds` files that build as before."""

    contract: Contract
    package: str
    proto: str
    files: TemplateFiles
    servicers: list[Servicer]
    requirements: list[Note]
    stubs: list[str]
    ignored: list[str]
    builds: list[str]
    in_subfolder: bool
    has_environment: bool

    def lines(self) -> Iterator[str]:
        package = self.package
        yield f"Adopted: {self.contract.full_service} from {self.proto}, as schema.yaml and src/{package}/."
        yield "The template's files were added; no line of your code was changed."
        yield from self._author_files()
        yield ""
        if not self.servicers:
            service = self.contract.service
            yield f"No class derives from {service}Servicer or is added by add_{service}Servicer_to_server:"
            yield "look for it yourself, or undo this and name its file with --servicer."
        for servicer in self.servicers:
            yield from self._servicer(servicer)
        yield from _section("Your requirements that the new ones lack:", self.requirements)
        yield ""
        yield f"`python -m {package}.server` replaces the code that starts your server."
        yield "model.py serves an example model, and train.py makes its artifact: put your own there."
        yield "The image has only src/ and artifacts/: what your code imports or opens elsewhere goes there."
        yield f"One process cannot load both the old stubs and {package}.contract: model.py imports the contract only."
        if self.stubs:
            more = ", ..." if len(self.stubs) > 4 else ""
            yield f"Old clients keep their stubs ({', '.join(self.stubs[:4])}{more}); the server needs none of them."
        if self.builds:
            yield f"These still build or test the project as before, change or delete them: {', '.join(self.builds)}."
        if self.in_subfolder:
            yield "Workflows are read at the top of a repository only: bring the steps of this project's over to yours."
        if self.has_environment:
            yield ".venv is there already, and make setup installs into it: rename it to keep the old environment."
        yield ""
        yield "Next: make setup, make check, make smoke, git add -A && git commit; then move the code, and make check."

    def _author_files(self) -> Iterator[str]:
        if self.files.merged:
            yield f"Lines of the template were added to {', '.join(self.files.merged)}."
        if self.files.aside:
            yield ""
            yield "These files made room for the template's: bring over what you need, then delete them."
            for name in self.files.aside:
                hint = _BRING_OVER.get(name.removesuffix(ASIDE))
                yield f"  {name}: {hint}" if hint else f"  {name}"
        if self.files.listed:
            yield ""
            count = len(self.files.listed)
            yield f"{FILE} lists {count} of your files, which the template's checks and pytest leave out."
            yield "Delete a line, and the checks apply to its file."
        if self.ignored:
            yield ""
            yield "Git ignores these files, which must be committed: change your ignore rules."
            yield from (f"  {name}" for name in self.ignored)

    def _servicer(self, servicer: Servicer) -> Iterator[str]:
        title = f"{servicer.name} ({servicer.file}:{servicer.line}) goes into src/{self.package}/model.py, class Model:"
        yield from _section(title, servicer.methods)
        for name in servicer.missing:
            yield f"  not implemented: {name}; write the method of Model, or let it raise"
        yield from _section("These go with it:", servicer.helpers)
        yield from _section("It uses the context, which a Model does not get:", servicer.context)


def _section(title: str, notes: Sequence[Note]) -> Iterator[str]:
    """The title and a table of the notes: place, code, and what replaces it."""
    if not notes:
        return
    yield title
    place_width = max(len(note.where) for note in notes)
    code_width = max(len(note.what) for note in notes)
    for note in notes:
        yield f"  {note.where.ljust(place_width)}  {note.what.ljust(code_width)}  -> {note.instead}"
