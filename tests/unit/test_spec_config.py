"""What may stand in .spec.config: the quoting of redis.conf and the values of the directives that are known."""

from __future__ import annotations

import pytest
from contex_operator import quantity, spec_config
from hypothesis import given
from hypothesis import strategies as st

from tests.redis_directives import GOOD, WRONG


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("", []),
        ("one", ["one"]),
        ("  one   two\tthree ", ["one", "two", "three"]),
        ('""', [""]),
        ("''", [""]),
        ('"a b" c', ["a b", "c"]),
        ("'a b' c", ["a b", "c"]),
        (r'"a \" b"', [r"a \" b"]),
        (r"'a \' b'", [r"a \' b"]),
        (r'"ends with \\"', [r"ends with \\"]),
        ('pre"fix d"', ["prefix d"]),
        ("it's", None),
        ('"open', None),
        ('"closed"then', None),
        ("'closed'then", None),
        (r'"escaped \"', None),
        (r"'not \\ escaped", None),
    ],
)
def test_splits_a_line_as_redis_does(line: str, arguments: list[str] | None) -> None:
    assert spec_config.split_arguments(line) == arguments


@given(
    st.lists(
        st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="\"'"), min_size=1)
    )
)
def test_words_without_quotes_are_the_arguments(words: list[str]) -> None:
    assert spec_config.split_arguments(" ".join(words)) == words


@given(st.text(max_size=30))
def test_any_text_is_split_or_refused_and_always_ends(text: str) -> None:
    arguments = spec_config.split_arguments(text)
    assert arguments is None or all(isinstance(argument, str) for argument in arguments)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in GOOD.items() for value in values]
)
def test_takes_good_values(name: str, value: str) -> None:
    assert spec_config.problem(name, value) is None


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_refuses_wrong_values_with_a_sentence(name: str, value: str) -> None:
    found = spec_config.problem(name, value)
    assert found is not None
    assert found.split(" ", 1)[0] in {"must", "takes", "has"}


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("maxclients", "x", "must be a whole number at least 32, not x"),
        ("hz", "501", "must be a whole number from 1 to 500, not 501"),
        ("timeout", "9", "must be a whole number at least 10, or 0, not 9"),
        ("loglevel", "info", "must be one of debug, verbose, notice, warning, nothing, not info"),
        ("hz", "1 2", "takes one value, not 2"),
        ("maxmemory", "1Mi", "must be a size that Redis knows, like 268435456, 256mb or 1gb, not 1Mi"),
    ],
)
def test_says_what_would_be_right(name: str, value: str, sentence: str) -> None:
    assert spec_config.problem(name, value) == sentence


def test_every_known_directive_is_in_the_tables() -> None:
    assert set(GOOD) == set(spec_config.KNOWN)
    assert set(WRONG) == set(spec_config.KNOWN)


def test_no_known_directive_is_the_operators() -> None:
    assert [name for name in spec_config.KNOWN if spec_config.owner_of(name)] == []


@pytest.mark.parametrize("value", ["1\n2", "1\r", "\x00", "\x7f", "\x1b[0m"])
def test_refuses_control_characters_in_directives_that_it_does_not_know(value: str) -> None:
    assert "control character" in (spec_config.problem("search-timeout", value) or "")


def test_a_refusal_of_quotes_does_not_repeat_the_value() -> None:
    found = spec_config.problem("some-secret", '"hunter2')
    assert found == "has unbalanced quotes in its value"


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("512Mi", 512 * 2**20), ("1G", 10**9), ("1.5Gi", 1.5 * 2**30), ("250m", 0.25), ("2", 2), ("1e3", 1000),
        ("2E", 2 * 10**18), ("1E2", 100), (".5", 0.5), ("3Ei", 3 * 2**60), ("100n", 1e-7), ("1k", 1000),
        ("5u", 5e-6), ("1Ti", 2**40), ("1P", 10**15), ("+1", 1), ("12e-1", 1.2),
    ],
)  # fmt: skip
def test_reads_quantities_of_kubernetes(text: str, amount: float) -> None:
    assert float(quantity.amount(text)) == pytest.approx(amount)


@pytest.mark.parametrize("text", ["", "1 Gi", "1gb", "-1", "one", "1mi", "1KI", "1e", ".", "1Gi2"])
def test_refuses_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is not a Kubernetes quantity"):
        quantity.amount(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1b", 1),
        ("1k", 1000),
        ("1KB", 1024),
        ("2m", 2 * 10**6),
        ("2mb", 2**21),
        ("3Gb", 3 * 2**30),
        ("3g", 3 * 10**9),
    ],
)
def test_reads_sizes_of_redis(text: str, size: int) -> None:
    assert quantity.redis_memory(text) == size


@pytest.mark.parametrize("text", ["", "1Mi", "1.5gb", "-1", "1 gb", "gb"])
def test_refuses_what_is_no_size_of_redis(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size that Redis knows"):
        quantity.redis_memory(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(512 * 2**20, "512Mi"), (1536 * 2**20, "1.5Gi"), (2048, "2Ki"), (1023, "1023"), (0, "0")],
)
def test_writes_sizes_for_people(size: int, text: str) -> None:
    assert quantity.for_people(size) == text
