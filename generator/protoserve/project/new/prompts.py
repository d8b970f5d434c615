"""Prompts at a terminal, with questionary, and wrapped at the terminal's width.

What is asked, or why an answer was refused, is drawn by the prompt itself: once it can be read, keys are taken.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import questionary
from prompt_toolkit.completion import Completer
from prompt_toolkit.filters import Condition, to_filter
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent, merge_key_bindings
from prompt_toolkit.keys import Keys
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style
from questionary import Choice
from questionary.prompts.path import GreatUXPathCompleter
from rich.console import Console
from rich.text import Text

from protoserve.project.new.copier_session import Question, lenient_default
from protoserve.project.new.questionnaire import StartOver, WhyNot
from protoserve.project.new.schema_question import SchemaQuestion
from protoserve.schema.errors import SchemaError

_POINTER = " >"
_INSTRUCTIONS = {"select": "(arrow keys, Enter)", "checkbox": "(arrow keys, space selects, Enter)"}
# Of Copier's description of a question, what belongs to the prompt; the rest is done here.
_PROMPT_FIELDS = ("default", "choices", "multiline", "lexer", "placeholder")
# Copier marks a secret with two code points, for which terminals disagree about the width.
_MARK, _SECRET_MARK = "🎤", "🔑"
_QUESTION, _REASON = "bold", "fg:ansired nobold"
_GO_ON, _EDIT, _START_OVER = "go on", "edit", "start over"


class TerminalPrompter:
    """Asks at the terminal of this process."""

    def __init__(self, schema: SchemaQuestion) -> None:
        self._schema = schema
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a schema may have characters that this terminal cannot show
        self._console = Console(highlight=False, markup=False, emoji=False)
        # What the next prompt draws above its line, and how.
        self._above: list[str] = []
        self._style = _QUESTION
        self._refused = False

    def show(self, question: Question) -> None:
        """Shows what is asked."""
        self._refused = False
        mark = question.qmark or (_SECRET_MARK if question.secret else _MARK)
        self._draw(f"{mark} {_reflowed(question.get_message())}", _QUESTION)

    def ask(self, question: Question, text: str | None, why_not: WhyNot) -> Any:
        """The raw answer; `text` is what stands in the prompt, None for the default. Raises KeyboardInterrupt.

        Of choices and defaults only those are offered that the policy allows: `why_not` gives None for them.
        """
        fields = lenient_default(question).get_questionary_structure()
        kind = fields["type"]
        prompt = _allowed_only({name: fields[name] for name in _PROMPT_FIELDS if name in fields}, kind, why_not)
        if kind in ("input", "password", "path"):
            prompt["default"] = text if text is not None else _without_document_end(prompt.get("default", ""))
        elif kind in _INSTRUCTIONS:
            prompt["instruction"] = _INSTRUCTIONS[kind]
        completer = self._completer(question, kind)
        if completer is not None:
            kind = "input"
            prompt |= {"completer": completer, "complete_while_typing": False, "complete_style": CompleteStyle.COLUMN}
        if kind in ("input", "password"):
            prompt["is_password"] = kind == "password"
            return _run_text(prompt | self._head(), replaceable=text is None)
        if kind in _INSTRUCTIONS and self._refused:
            # What is wrong may be an earlier answer.
            prompt["instruction"] = "(Ctrl-R starts over)"
            return _run(_PROMPTS[kind](_POINTER, **prompt, **self._head()), _start_over_key())
        return _run(_PROMPTS[kind](_POINTER, **prompt, **self._head()))

    def refuse(self, reason: Exception) -> None:
        """Shows why the last answer is not allowed."""
        self._refused = True
        self._measure()
        lines = reason.lines(self._console.width) if isinstance(reason, SchemaError) else [str(reason)]
        self._draw("\n".join(lines), _REASON)

    def confirm(self, question: Question, answer: Any, answers: Mapping[str, Any]) -> bool:
        """Shows the contract that a schema stands for; other answers need no confirmation."""
        if question.var_name != self._schema.name:
            return True
        shown = self._schema.shown(answer, answers)
        if not shown:
            return True
        self._console.print(Text(f"\n{shown}"))
        self._draw(f"{_MARK} Is this what callers send and get?", _QUESTION)
        choices = [
            Choice("Yes, go on", _GO_ON),
            Choice("No, edit the answer", _EDIT),
            Choice("Start over with the first question", _START_OVER),
        ]
        decision = _run(questionary.select(_POINTER, choices, instruction=_INSTRUCTIONS["select"], **self._head()))
        if decision == _START_OVER:
            raise StartOver
        return bool(decision == _GO_ON)

    def _draw(self, text: str, style: str) -> None:
        """Puts a text above the line of the next prompt; one that is there already is printed."""
        self._print_above()
        self._measure()
        self._style = style
        self._above = [line.plain.rstrip() for line in Text(text).wrap(self._console, self._console.width)]
        if len(self._above) > self._console.height // 2:  # a prompt must fit on the screen
            last = self._above.pop()
            self._print_above()
            self._above = [last]

    def _measure(self) -> None:
        """Takes the size of the terminal as it is now, which COLUMNS in the environment may not be."""
        with suppress(OSError, ValueError):
            size = os.get_terminal_size(sys.stdout.fileno())
            self._console.size = size.columns, size.lines

    def _print_above(self) -> None:
        for line in self._above:
            self._console.print(Text(line, style="bold" if self._style == _QUESTION else "red"))
        self._above = []

    def _head(self) -> dict[str, Any]:
        """Of the next prompt what is above its line, as questionary takes it."""
        text = "".join(f"{line}\n" for line in self._above)
        self._above = []
        return {"qmark": text, "style": Style([("qmark", self._style)])}

    def _completer(self, question: Question, kind: str) -> Completer | None:
        if question.var_name == self._schema.name and kind == "input":
            return self._schema.completer()
        return GreatUXPathCompleter(expanduser=True) if kind == "path" else None


def _allowed_only(prompt: dict[str, Any], kind: str, why_not: WhyNot) -> dict[str, Any]:
    """The prompt with choices that say why they are not allowed, and another default than one that is not."""
    default = prompt.get("default")
    if kind == "select":
        return _allowed_choices(prompt, why_not)
    if default is None or kind == "checkbox" or why_not(default) is None:
        return prompt
    return {**prompt, "default": not default if kind == "confirm" else ""}


def _allowed_choices(prompt: dict[str, Any], why_not: WhyNot) -> dict[str, Any]:
    reasons = [why_not(choice.value) for choice in prompt["choices"]]
    if all(reasons) or not any(reasons):  # where none is allowed, an earlier answer is wrong
        return prompt
    choices = [
        Choice(choice.title, choice.value, disabled=choice.disabled or reason)
        for choice, reason in zip(prompt["choices"], reasons, strict=True)
    ]
    allowed = [choice for choice in choices if not choice.disabled]
    default = prompt.get("default")
    value = default.value if isinstance(default, Choice) else default
    return {**prompt, "choices": choices, "default": next((c for c in allowed if c.value == value), allowed[0])}


def _run_text(fields: Mapping[str, Any], *, replaceable: bool) -> Any:
    """Asks for a text. What is pasted into one line becomes one line.

    A replaceable default gives way to the first character typed, unless another key comes before it.
    """
    edited = not replaceable

    def edit(_: object) -> None:
        nonlocal edited
        edited = True

    def insert(event: KeyPressEvent) -> None:
        buffer, text = event.current_buffer, event.data
        if not edited:
            buffer.delete_before_cursor(len(buffer.text))
        if event.key_sequence[0].key == Keys.BracketedPaste:
            lines = text.splitlines()
            text = "\n".join(lines) if fields.get("multiline") else " ".join(line.strip() for line in lines)
        buffer.insert_text(text)

    bindings = KeyBindings()
    untouched = Condition(lambda: not edited)
    bindings.add(Keys.Any, filter=untouched)(insert)
    bindings.add(Keys.BracketedPaste)(insert)
    for key in (Keys.Right, Keys.End, Keys.ControlE):  # which move nothing at the end of the text
        bindings.add(key, filter=untouched)(edit)
    prompt = questionary.text(_POINTER, key_bindings=bindings, **fields)
    buffer = prompt.application.current_buffer
    buffer.on_text_changed += edit
    buffer.on_cursor_position_changed += edit
    return _run(prompt)


def _start_over_key() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add(Keys.ControlR, eager=True)
    def start_over(event: KeyPressEvent) -> None:
        event.app.exit(exception=StartOver())

    return bindings


def _run(prompt: questionary.Question, bindings: KeyBindings | None = None) -> Any:
    """The answer; `bindings` are keys besides those of the prompt. Raises KeyboardInterrupt."""
    if bindings is not None:
        prompt.application.key_bindings = merge_key_bindings(
            [prompt.application.key_bindings or KeyBindings(), bindings]
        )
    for window in prompt.application.layout.find_all_windows():
        window.wrap_lines = to_filter(True)
    try:
        return prompt.unsafe_ask()
    except EOFError:  # Ctrl-D
        raise KeyboardInterrupt from None


def _reflowed(text: str) -> str:
    """The text with a paragraph on one line; a line that is indented or begins as an item of a list stays one."""
    return re.sub(r"(?<=\S)[ \t]*\n(?=[^\s*•\-0-9])", " ", text.strip())


def _without_document_end(text: str) -> str:
    """The default of a `yaml` question without YAML's mark of the end (...), which Copier leaves after a scalar."""
    return text.removesuffix("\n...")


_PROMPTS: dict[str, Callable[..., questionary.Question]] = {
    "confirm": questionary.confirm,
    "select": questionary.select,
    "checkbox": questionary.checkbox,
}
