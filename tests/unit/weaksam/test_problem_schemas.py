"""The bytes of a problem document."""

from __future__ import annotations

import json

from weaksam.problem_schemas import Problem, UnknownTagRow, problem_type


def test_a_body_has_the_members_that_are_known_and_holds_any_text() -> None:
    members = {
        "type": problem_type("unknown_tag"),
        "title": "Grün",
        "status": 422,
        "detail": "half of a pair: \ud800",
        "code": "unknown_tag",
        "remedy": "",
        "request_id": "1",
    }
    assert json.loads(Problem.model_validate(members).body()) == members
    row = UnknownTagRow(tag="blot", nearest=("bolt",))
    body = Problem.model_validate(members | {"unknown": (row,)}).body()
    assert json.loads(body)["unknown"] == [{"tag": "blot", "nearest": ["bolt"]}]
