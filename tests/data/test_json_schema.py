"""Spellings of types and of whole function schemas."""

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egpo_trl.data.json_schema import parse_type, to_function_schema, to_json_schema, to_tools

STRING, INTEGER, NUMBER, ARRAY, OBJECT = ({"type": t} for t in ("string", "integer", "number", "array", "object"))


def array(items):
    return {"type": "array", "items": items}


@pytest.mark.parametrize(
    ("spelling", "schema", "optional"),
    [
        ("dict", OBJECT, False),
        ("float", NUMBER, False),
        ("tuple", ARRAY, False),
        ("any", {}, False),
        ("Any", {}, False),
        ("list", ARRAY, False),
        ("set", ARRAY, False),
        ("str", STRING, False),
        ("String", STRING, False),
        ("bool", {"type": "boolean"}, False),
        ("HashMap", OBJECT, False),
        ("long", INTEGER, False),
        ("np.ndarray", {}, False),
        ("datetime.date", STRING, False),
        ("", {}, False),
        ("str, optional", STRING, True),
        ("int (optional)", INTEGER, True),
        ("string, required", STRING, False),
        ("str, default 'a, b'", STRING, True),
        ("List[str], optional", array(STRING), True),
        ("Optional[int]", {"type": ["integer", "null"]}, True),
        ("typing.Optional[int]", {"type": ["integer", "null"]}, True),
        ("int | None", {"type": ["integer", "null"]}, False),
        ("Union[int, str]", {"type": ["integer", "string"]}, False),
        ("Union[int, Any]", {}, False),
        ("Union[str, str]", STRING, False),
        ("Union[int, List[str]]", {"anyOf": [INTEGER, array(STRING)]}, False),
        ("int or str", {"type": ["integer", "string"]}, False),
        ("string/integer", {"type": ["string", "integer"]}, False),
        ("List[str]", array(STRING), False),
        ("list[list[int]]", array(array(INTEGER)), False),
        ("typing.List[Union[int, float]]", array({"type": ["integer", "number"]}), False),
        ("Tuple[int, int]", array(INTEGER), False),
        ("Tuple[int, ...]", array(INTEGER), False),
        ("Tuple[int, str]", ARRAY, False),
        ("List[Any]", ARRAY, False),
        ("list of strings", array(STRING), False),
        ("string[]", array(STRING), False),
        ("number[][]", array(array(NUMBER)), False),
        ("any[]", ARRAY, False),
        ("string[] | null", {"anyOf": [array(STRING), {"type": "null"}]}, False),
        ("Array<string>", array(STRING), False),
        ("java.util.List<Integer>", array(INTEGER), False),
        ("Map<String, List<Integer>>", {"type": "object", "additionalProperties": array(INTEGER)}, False),
        ("Dict[str, Any]", OBJECT, False),
        ("Dict[str, int]", {"type": "object", "additionalProperties": INTEGER}, False),
        ("Callable[[float], float]", {}, False),
        ("Literal['a, b', 'c']", {"enum": ["a, b", "c"], "type": "string"}, False),
        ("Literal[1, None, True]", {"enum": [1, None, True]}, False),
        ("Annotated[int, 'x']", INTEGER, False),
        ("List[", {}, False),
        ("x" * 501, {}, False),
        ("List[" * 100, {}, False),
    ],
)
def test_spellings(spelling, schema, optional):
    assert parse_type(spelling) == (schema, optional)


def test_what_is_given_may_be_changed():
    parse_type("List[str]")[0]["items"]["type"] = "changed"
    assert parse_type("List[str]")[0] == array(STRING)


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="[](),|'\"/. ", max_size=60) | st.lists(
    st.sampled_from("List Optional Union Dict str int [ ] , | or ( ) ' optional default Literal".split()), max_size=40
).map(" ".join))  # fmt: skip
def test_any_spelling_gives_a_schema(spelling):
    schema, _ = parse_type(spelling)
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        ({"type": "dict", "properties": {"a": {"type": "float"}}}, {"type": "object", "properties": {"a": NUMBER}}),
        ({"properties": {"a": "int"}, "required": ["a", 3]}, {"type": "object", "properties": {"a": INTEGER}, "required": ["a"]}),
        # Arrow's padding; a null default means something
        ({"type": "object", "properties": {"a": None, "b": {"type": "str", "enum": None, "default": None}}, "required": None},
         {"type": "object", "properties": {"b": {"type": "string", "default": None}}}),
        # a boolean `required` in the property
        ({"properties": {"a": {"type": "int", "required": True}, "b": {"type": "int", "required": False}}},
         {"type": "object", "properties": {"a": INTEGER, "b": INTEGER}, "required": ["a"]}),
        # an enum of the items written beside them
        ({"type": "array", "items": {"type": "str"}, "enum": ["a"]}, array({"type": "string", "enum": ["a"]})),
        ({"type": "list", "enum": ["a"]}, array({"enum": ["a"]})),
        ({"type": "array", "enum": [["a"]]}, {"type": "array", "enum": [["a"]]}),
        ({"type": "tuple", "items": [{"type": "int"}]}, array(INTEGER)),
        ({"type": "tuple", "items": [{"type": "int"}, {"type": "str"}]}, array({})),
        ({"type": "array", "items": "float"}, array(NUMBER)),
        ({"anyOf": [{"type": "dict"}, "float"], "additionalProperties": {"type": "dict"}},
         {"anyOf": [OBJECT, NUMBER], "additionalProperties": OBJECT}),
        ({"type": ["str", "int"]}, {"type": ["string", "integer"]}),
        ({"type": 3, "minimum": 1}, {"minimum": 1}),
    ],
)  # fmt: skip
def test_schemas(schema, wanted):
    assert to_json_schema(schema) == wanted
    assert to_json_schema(wanted) == wanted


@pytest.mark.parametrize("schema", [{"properties": []}, {"properties": {"a": 3}}, {"items": 3}, {"anyOf": [None]}])
def test_what_is_no_schema(schema):
    with pytest.raises(ValueError, match="must be an object"):
        to_json_schema(schema)


def test_depth_is_bounded():
    schema = {}
    for _ in range(100):
        schema = {"items": schema}
    with pytest.raises(ValueError, match="nested too deeply"):
        to_json_schema(schema)


def test_functions():
    parameters = {"type": "object", "properties": {"a": INTEGER}, "required": ["a"]}
    wanted = {"type": "function", "function": {"name": "f", "description": "d", "parameters": parameters}}
    bare = wanted["function"]
    mapping = {"a": {"type": "int"}}
    assert to_function_schema(wanted) == to_function_schema(bare) == wanted
    assert to_function_schema({**bare, "parameters": mapping}) == wanted
    assert to_function_schema({**bare, "parameters": None, "arguments": {"a": "int"}}) == wanted
    assert to_function_schema({**bare, "parameters": {"properties": mapping}, "required": ["a"]}) == wanted
    listed = to_function_schema({**bare, "parameters": {"a": "int", "b": "int"}, "required": ["b"]})  # Seal-Tools
    assert listed["function"]["parameters"]["required"] == ["b"]
    assert to_function_schema({"name": "f"})["function"]["parameters"] == {
        "type": "object",
        "properties": {},
        "required": [],
    }
    assert to_tools(bare) == to_tools([bare, wanted]) == [wanted]
    reference = {"$ref": "#/$defs/x", "$defs": {"x": parameters}}
    assert to_function_schema({**bare, "parameters": reference})["function"]["parameters"] == reference
    for name in ("properties", "type", "required", "items", "$filter", "$ref", "$defs", "anyOf"):  # of a parameter
        mapping = {name: {"type": "str", "description": "d"}, "a": {"type": "int", "default": 1}}
        assert to_function_schema({**bare, "parameters": mapping})["function"]["parameters"] == {
            "type": "object",
            "properties": {name: {"type": "string", "description": "d"}, "a": {"type": "integer", "default": 1}},
            "required": [name],
        }
    with pytest.raises(ValueError, match="must be a list of function schemas, got str"):
        to_tools(json.dumps([bare]))
