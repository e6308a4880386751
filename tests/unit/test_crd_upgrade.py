"""Whether and how the cluster's CustomResourceDefinition is replaced by that of a chart."""

from __future__ import annotations

from typing import Any

import pytest
from contex_operator import crd


def definition(version: str | None, **spec: Any) -> dict[str, Any]:
    annotations = {} if version is None else {"redis.contex.io/version": version}
    return {
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "x", "annotations": annotations, "resourceVersion": "7"},
        "spec": spec,
    }


@pytest.mark.parametrize(
    ("live", "wanted", "replaced"),
    [
        (None, "0.3.0", True),
        ("0.2.9", "0.3.0", True),
        ("0.9.0", "0.10.0", True),
        ("0.3.0", "0.3.0", True),
        ("0.3.1", "0.3.0", False),
        ("0.10.0", "0.9.0", False),
        ("by hand", "0.3.0", True),
    ],
)
def test_only_what_is_not_newer_is_replaced(live: str | None, wanted: str, replaced: bool) -> None:
    body = crd.replacement(definition(live, a=1), definition(wanted, a=2))
    assert (body is not None) is replaced


def test_the_spec_is_replaced_as_a_whole_and_what_others_wrote_stays() -> None:
    live = definition("0.2.0", gone=True, conversion={"strategy": "None"})
    live["metadata"] |= {"labels": {"team": "x"}, "uid": "u"}
    live["metadata"]["annotations"]["note"] = "ours"
    body = crd.replacement(live, definition("0.3.0", new=True))
    assert body is not None
    assert body["spec"] == {"new": True, "conversion": {"strategy": "None"}}
    assert body["metadata"] == {
        "name": "x",
        "uid": "u",
        "resourceVersion": "7",
        "labels": {"team": "x"},
        "annotations": {"note": "ours", "redis.contex.io/version": "0.3.0"},
    }
    assert "gone" in live["spec"], "the snapshot is not touched"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [(None, "cannot be read"), ("a: [", "cannot be read"), ("kind: ConfigMap", "holds no CustomResource")],
)
def test_a_file_that_is_none_is_refused(
    text: str | None, sentence: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "crd.yaml"
    if text is not None:
        path.write_text(text)
    assert crd.main([str(path)]) == 1
    assert sentence in capsys.readouterr().err


def test_without_a_file_it_says_how_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert crd.main([]) == 2
    assert "contex_operator.crd FILE" in capsys.readouterr().err
