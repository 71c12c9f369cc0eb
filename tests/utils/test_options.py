"""Fields of configs: what they are by default, which values they take."""

from dataclasses import dataclass, fields

import pytest

from egpo_trl.utils.options import check_choices, check_least, option


@dataclass(kw_only=True)
class Config:
    folder: str = option("Where files go.")
    kind: str = option("Kind.", "a", ("a", "b"))
    mode: int | None = option("Mode.", None, (1, 2))
    size: int | None = option("Size.", None)

    def __post_init__(self):
        check_choices(self)
        check_least(self, 1, "size")


def test_fields_have_defaults_and_help():
    assert Config(folder="x") == Config(folder="x", kind="a", mode=None, size=None)
    assert [one.metadata["help"] for one in fields(Config)] == ["Where files go.", "Kind.", "Mode.", "Size."]
    with pytest.raises(TypeError, match="folder"):
        Config()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "c"}, "kind must be one of a, b, got 'c'"),
        ({"kind": None}, "kind must be one of a, b, got None"),
        ({"mode": 3}, "mode must be one of 1, 2, got 3"),
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"size": float("nan")}, "size must be at least 1, got nan"),
    ],
)
def test_other_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Config(folder="x", **values)
