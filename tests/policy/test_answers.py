"""The rules of answers: what each form of a rule allows and says, whatever form an answer is recorded in."""

from __future__ import annotations

import time
from datetime import date
from typing import Any

import pytest

from policies import AUDITED, TODAY, read
from protoserve.policy.load import Questions, loads


def sentences(rules: str, answers: dict[str, Any], today: date = TODAY) -> list[str]:
    return [item.sentence for item in read(f"answers: {rules}").answers(answers, today)]


def messages(rules: str, answers: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item.rule, item.message) for item in read(f"answers: {rules}").answers(answers, TODAY)]


# A rule of one answer, an answer that is allowed, one that is not, and what is said of that.
RULES: list[tuple[str, Any, Any, str]] = [
    ("enum: [python, sklearn]", "sklearn", "xgboost", "must be python or sklearn, not xgboost"),
    ("enum: [a, b, c]", "c", "d", "must be a, b or c, not d"),
    ("enum: [3.11, 3.12]", "3.12", "3.13", "must be 3.11 or 3.12, not 3.13"),
    ("enum: ['9000']", 9000, 9001, "must be 9000, not 9001"),
    ("const: 9000", "9000", "90", "must be 9000, not 90"),
    ("const: [kubernetes]", "[kubernetes]", ["vertex-ai"], "must be [kubernetes], not [vertex-ai]"),
    ("const: true", "true", False, "must be true, not false"),
    ("minimum: 8000, maximum: 9999", "8000", "7999", "must be from 8000 to 9999, not 7999"),
    ("minimum: 8000, maximum: 9999", 9999, 10000, "must be from 8000 to 9999, not 10000"),
    ("minimum: 8000, maximum: 8000", "8000", "7999", "must be 8000, not 7999"),
    ("minLength: 1", "x", "", "must not be empty"),
    ("minimum: 8000", "no number", "80", "must be at least 8000, not 80"),
    ("maximum: 9999", 9999, "10000", "must be at most 9999, not 10000"),
    ("exclusiveMinimum: 8000", "8001", "8000", "must be more than 8000, not 8000"),
    ("exclusiveMaximum: 10", 9.5, "10", "must be less than 10, not 10"),
    ("multipleOf: 10", "8010", "8011", "must be a multiple of 10, not 8011"),
    ("pattern: '^9'", 9000, 8000, "must match ^9, not 8000"),
    ("minLength: 5, type: string", 90000, 9000, "must be at least 5 characters long, not 9000"),
    ("maxLength: 3", "abc", "abcd", "must be at most 3 characters long, not abcd"),
    ("type: integer", "9000", "port", "must be an integer, not port"),
    ("type: boolean", "true", "yes", "must be true or false, not yes"),
    ("type: [integer, 'null']", None, "x", "must be an integer or empty, not x"),
    ("not: {enum: [xgboost, onnx]}", "python", "onnx", "must not be xgboost or onnx"),
    ("not: {const: root}", "user", "root", "must not be root"),
    ("anyOf: [{const: 8080}, {minimum: 9000}]", "9001", "8081", "must be 8080, or be at least 9000, not 8081"),
    ("items: {enum: [kubernetes]}", "[kubernetes]", ["vertex-ai"], "each of port must be kubernetes, not vertex-ai"),
    ("maxItems: 1", "[a]", "[a, b]", "must list at most 1, not [a, b]"),
    (
        "contains: {const: kubernetes}",
        ["kubernetes", "x"],
        "[]",
        "must contain kubernetes, not []",
    ),
]


@pytest.mark.parametrize(("rule", "allowed", "refused", "said"), RULES, ids=[f"{row[0]} {row[2]}" for row in RULES])
def test_a_rule_of_one_answer(rule: str, allowed: Any, refused: Any, said: str) -> None:
    rules = f"{{properties: {{port: {{{rule}, why: w}}}}}}"
    assert messages(rules, {"port": allowed}) == []
    said = said if said.startswith("each of") else f"port {said}"
    assert messages(rules, {"port": refused}) == [("answers.port", said)]
    assert messages(rules, {}) == []


def test_rules_of_several_answers() -> None:
    assert messages("{required: [team, port], why: w}", {"port": 1}) == [("answers.team", "team must be answered")]
    closed = "{properties: {port: true}, additionalProperties: false, why: w}"
    assert messages(closed, {"port": 1, "team": "x", "_commit": "v1", "created": {}}) == [
        ("answers.team", "team must not be answered")
    ]
    condition = (
        "{if: {properties: {framework: {const: onnx}}, required: [framework]}, "
        "then: {properties: {port: {const: 1}}}, why: w}"
    )
    assert messages(condition, {"framework": "python", "port": 2}) == []
    assert messages(condition, {"framework": "onnx", "port": 2}) == [("answers.port", "port must be 1, not 2")]
    either = "{anyOf: [{required: [team]}, {properties: {port: {const: 1}}}], why: w}"
    assert messages(either, {"port": 2}) == [
        ("answers", "the answers together must have team, or have port that must be 1")
    ]
    assert messages("{properties: {team: false}, why: w}", {"team": "x"}) == [
        ("answers.team", "team must not be answered")
    ]


# Rules of several answers, answers, and what is said of each rule that is broken.
TOGETHER: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "oneOf: [{required: [team]}, {required: [port]}]",
        {},
        ["answers: the answers together must have team, or have port"],
    ),
    ("dependentRequired: {team: [port]}", {"team": 1}, ["answers.port: port must be answered"]),
    ("dependentSchemas: {team: {required: [port]}}", {"team": 1}, ["answers.port: port must be answered"]),
    ("maxProperties: 1", {"team": 1, "port": 2}, ["answers: the answers together must be 1 or fewer"]),
    ("propertyNames: {pattern: ^p}", {"team": 1}, ["answers: the name team of an answer must match ^p"]),
    ("patternProperties: {^p: {const: 3}}", {"team": 1, "port": 2}, ["answers.port: port must be 3, not 2"]),
    (
        "not: {required: [team, port]}",
        {"team": 1, "port": 2},
        ["answers: the answers together must not have team with port"],
    ),
    (
        "properties: {framework: {enum: []}}",
        {"framework": "a"},
        ["answers.framework: framework must be left out, not a"],
    ),
    (
        "properties: {platforms: {prefixItems: [{const: a}], items: false}}",
        {"platforms": ["b", "c"]},
        [
            "answers.platforms: each of platforms must be a, not b",
            "answers.platforms: platforms must list nothing else, not [b, c]",
        ],
    ),
]


@pytest.mark.parametrize(("rule", "answers", "lines"), TOGETHER, ids=[row[0] for row in TOGETHER])
def test_rules_of_other_forms(rule: str, answers: dict[str, Any], lines: list[str]) -> None:
    said = [f"{name}: {message}" for name, message in messages(f"{{{rule}, why: w}}", answers)]
    assert sorted(said) == lines


def test_an_answer_that_is_secret_is_not_shown() -> None:
    policy = loads("answers: {why: w, properties: {team: {pattern: '^x'}}}", Questions(None, frozenset({"team"})))
    assert [item.message for item in policy.answer("team", {"team": "hidden"}, TODAY)] == ["team must match ^x"]


def test_the_nearest_why_is_given() -> None:
    rules = (
        "{why: outer, properties: {port: {minimum: 5, allOf: [{maximum: 3, why: inner}]}, team: {const: x, why: own}}}"
    )
    assert [text.partition(": ")[2] for text in sentences(rules, {"port": 4, "team": "y"})] == [
        "outer (answers.port in policy.yaml)",
        "inner (answers.port in policy.yaml)",
        "own (answers.team in policy.yaml)",
    ]


def test_a_rule_is_judged_at_the_question_that_completes_it() -> None:
    policy = read(
        "answers: {why: w, required: [team], properties: {port: {minimum: 5}}, if: {properties: {team: {const: a}}}, "
        "then: {properties: {port: {const: 7}}}}"
    )
    assert [item.message for item in policy.answer("port", {"port": 4}, TODAY)] == ["port must be at least 5, not 4"]
    assert policy.answer("port", {"port": 6}, TODAY) == []
    assert policy.answer("team", {"port": 6, "team": "b"}, TODAY) == []
    assert [item.message for item in policy.answer("team", {"port": 6, "team": "a"}, TODAY)] == [
        "port must be 7, not 6"
    ]


def test_only_what_is_new_is_refused() -> None:
    policy = read(AUDITED)
    before = {"framework": "xgboost", "port": 7000}
    assert policy.new_answers(before, before, TODAY) == []
    assert [item.rule for item in policy.new_answers(before, {**before, "port": 7001}, TODAY)] == ["answers.port"]
    assert policy.new_answers(before, {**before, "port": 8000}, TODAY) == []
    assert [item.rule for item in policy.new_answers({}, before, TODAY)] == ["answers.framework", "answers.port"]


def test_an_exception_holds_through_its_last_day() -> None:
    policy, answers = read(AUDITED), {"project_name": "legacy-churn", "port": 7000}
    (excepted,) = policy.answers(answers, date(2027, 3, 31))
    assert excepted.exception is not None
    assert excepted.sentence == (
        "port must be from 8000 to 9999, not 7000: the mesh routes these (answers.port in policy.yaml); "
        "excepted until 2027-03-31: moves with the old gateway"
    )
    assert policy.new_answers({}, answers, date(2027, 3, 31)) == []
    (over,) = policy.answers(answers, date(2027, 4, 1))
    assert over.exception is None
    assert over.sentence.endswith("(answers.port in policy.yaml); its exception ended on 2027-03-31")
    assert policy.answers({**answers, "project_name": "other"}, TODAY)[0].exception is None
    assert policy.answers({**answers, "framework": "onnx"}, TODAY)[0].exception is None


@pytest.mark.parametrize(
    "answer",
    [
        [{"a": {}}] * 100_000,
        ["x"] * 100_000,
        "x" * 10_000_000,
        10**5000,
        10**300,
        float("nan"),
        float("-inf"),
        {(1, 2): 3, None: 4},
        {1: {2: [3, date(2026, 1, 1)]}},
        b"bytes",
        {"x", "y"},
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_answers_that_nobody_gave(answer: Any) -> None:
    """A repository may record anything: it is judged, in bounded time, and reported in few lines."""
    keywords = "uniqueItems: true, items: {const: 1}, multipleOf: 0.1, minimum: 1, pattern: a, minLength: 1, "
    keywords += "patternProperties: {a: false}, propertyNames: {pattern: b}, additionalProperties: {type: string}"
    rules = f"{{why: w, properties: {{port: {{{keywords}, enum: [1]}}}}}}"
    start = time.process_time()
    lines = sentences(rules, {"port": answer})
    assert lines
    assert len("".join(lines)) < 30_000
    assert time.process_time() - start < 2


def test_what_others_wrote_is_shown_on_one_line() -> None:
    (text,) = sentences("{properties: {team: {const: x, why: w}}}", {"team": "a\nb\x1b[31m" + "c" * 100})
    assert text.startswith("team must be x, not a\\nb\\x1b[31mccc")
    assert len(text) < 160
