"""Tools of an OpenAPI document: schemas of every place of an argument, and requests to a real server on this machine."""

import json
import threading
from email.parser import BytesParser
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml

from egpo_trl.cli import main
from egpo_trl.tools import OpenAPITools

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "House", "version": "1"},
    "servers": [{"url": "https://house.example/v{n}", "variables": {"n": {"default": "2"}}}],
    "paths": {
        "/rooms/{room}/light": {
            "parameters": [{"$ref": "#/components/parameters/Room"}],
            "put": {
                "operationId": "setLight",
                "summary": "Sets a lamp.",
                "parameters": [
                    {"name": "fade", "in": "query", "schema": {"type": "array", "items": {"type": "number"}}},
                    {"name": "X-Scene", "in": "header", "schema": {"type": "string"}},
                    {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
                    {"name": "who", "in": "cookie", "schema": {"type": "string"}},
                ],
                "requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Level"}}}},
            },
        },
        "/rooms": {"get": {"description": "Lists the rooms.", "parameters": []}},
        "/notes": {"post": {"operationId": "add note", "requestBody": {"content": {"application/json": {"schema": {"type": "array", "items": {"type": "string"}}}}}}},
        "/form": {"post": {"operationId": "form", "requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": {"type": "object", "properties": {"a": {"type": "string"}}}}}}}},
        "/away": {"get": {"operationId": "away"}},
    },
    "components": {
        "parameters": {"Room": {"name": "room", "in": "path", "required": True, "description": "Room.", "schema": {"type": "string"}}},
        "schemas": {
            "Level": {"type": "object", "required": ["level", "id"], "properties": {
                "level": {"type": "integer", "maximum": 100}, "room": {"type": "string"}, "id": {"type": "string", "readOnly": True},
                "parent": {"$ref": "#/components/schemas/Level"}}},
        },
    },
}  # fmt: skip


class House(BaseHTTPRequestHandler):
    """Tells what was asked."""

    def _answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        if self.path == "/v2/away":
            self.send_response(302)
            self.send_header("Location", "http://localhost:1/elsewhere")
            self.end_headers()
            return
        told = {"method": self.command, "path": self.path, "body": body, "headers": dict(self.headers)}
        text = json.dumps(told).encode()
        self.send_response(404 if "attic" in self.path else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_POST = _answer

    def log_message(self, *args):
        """Silent."""


@pytest.fixture(scope="module")
def base_url():
    server = HTTPServer(("127.0.0.1", 0), House)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v2"
    server.shutdown()


@pytest.fixture
def tools(base_url):
    api = OpenAPITools(DOCUMENT, base_url, headers={"X-Key": "secret"}, timeout=10)
    return {tool.__name__: tool for tool in api.tools}


def test_schemas(tools):
    assert list(tools) == ["setLight", "get_rooms", "add_note", "form", "away"]
    schema = tools["setLight"].schema["function"]
    assert schema["description"] == "Sets a lamp."
    properties = schema["parameters"]["properties"]
    assert list(properties) == ["room", "fade", "X-Scene", "who", "level", "room_body", "parent"]
    assert properties["room"] == {"description": "Room.", "type": "string"}
    assert properties["level"] == {"type": "integer", "maximum": 100}
    assert schema["parameters"]["required"] == ["room", "level"]
    assert "$ref" not in json.dumps(schema)
    assert list(tools["add_note"].schema["function"]["parameters"]["properties"]) == ["body"]
    assert tools["get_rooms"].schema["function"]["description"] == "Lists the rooms."


def test_every_argument_goes_to_its_place(tools):
    told = json.loads(
        tools["setLight"](room="a/../b?c", level=4, fade=[1, 2.5], who="me", room_body="hall", **{"X-Scene": "dinner"})
    )
    assert told["method"] == "PUT"
    assert told["path"] == "/v2/rooms/a%2F..%2Fb%3Fc/light?fade=1&fade=2.5"
    assert json.loads(told["body"]) == {"level": 4, "room": "hall"}
    assert told["headers"]["X-Scene"] == "dinner"
    assert told["headers"]["X-Key"] == "secret"
    assert told["headers"]["Cookie"] == "who=me"
    assert json.loads(json.loads(tools["add_note"](body=["x"]))["body"]) == ["x"]
    assert json.loads(tools["form"](a="b c"))["body"] == "a=b+c"
    assert json.loads(tools["get_rooms"]())["body"] == ""


FIELDS = {
    "file": {"type": "string", "format": "binary"}, "rooms": {"type": "array", "items": {"type": "integer"}},
    "about": {"type": "object", "properties": {"by": {"type": "string"}}}, "plan": {"contentMediaType": "text/csv"},
}  # fmt: skip
SWAGGER = [
    {"name": "file", "in": "formData", "type": "file", "required": True},
    {"name": "rooms", "in": "formData", "type": "array", "items": {"type": "integer"}},
]
UPLOADS = [  # described, arguments, (name of a part, whether it is a file, its type, its text)
    ({"requestBody": {"content": {"multipart/form-data": {"schema": {"type": "object", "properties": FIELDS}}}}},
     {"file": "line 1\nline 2", "rooms": [1, 2], "about": {"by": "Ä"}, "plan": "a,b"},
     [("file", True, "application/octet-stream", "line 1\nline 2"), ("rooms", False, "text/plain", "1"), ("rooms", False, "text/plain", "2"),
      ("about", False, "application/json", '{"by": "Ä"}'), ("plan", True, "application/octet-stream", "a,b")]),
    ({"parameters": SWAGGER}, {"file": "x", "rooms": [3]},
     [("file", True, "application/octet-stream", "x"), ("rooms", False, "text/plain", "3")]),
    ({"parameters": SWAGGER[1:], "consumes": ["multipart/form-data"]}, {"rooms": [3]}, [("rooms", False, "text/plain", "3")]),
]  # fmt: skip


@pytest.mark.parametrize(("described", "arguments", "parts"), UPLOADS)
def test_an_upload_is_a_form_of_parts(base_url, described, arguments, parts):
    (tool,) = OpenAPITools({"paths": {"/plans": {"post": described}}}, base_url, timeout=10).tools
    told = json.loads(tool(**arguments))
    message = BytesParser(policy=default).parsebytes(
        f"Content-Type: {told['headers']['Content-Type']}\r\n\r\n{told['body']}".encode()
    )
    found = [
        (p.get_param("name", header="content-disposition"), p.get_filename() is not None, p.get_content_type(), p.get_payload(decode=True).decode().replace("\r\n", "\n"))
        for p in message.iter_parts()
    ]  # fmt: skip
    assert found == parts


def test_a_form_takes_texts_of_several_lines(tools):
    assert json.loads(tools["form"](a="b\nc"))["body"] == "a=b%0Ac"


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("setLight", {"room": "..", "level": 1}, "cannot be a part of a path"),
        ("setLight", {"room": "", "level": 1}, "cannot be a part of a path"),
        ("setLight", {"level": 1}, "needs the arguments of its path"),
        ("setLight", {"room": "a", "X-Scene": "a\r\nX-Key: b"}, "must be one line"),
        ("setLight", {"room": "a", "surprise": 1}, "does not take the argument 'surprise'"),
        ("setLight", {"room": "attic", "level": 1}, "HTTP 404 Not Found: "),
        ("away", {}, "redirects to another server"),
    ],
)
def test_bad_calls_are_errors(tools, name, arguments, message):
    with pytest.raises(RuntimeError, match=message):
        tools[name](**arguments)


def test_a_server_that_is_not_there():
    (tool, *_) = OpenAPITools(DOCUMENT, "http://127.0.0.1:9", timeout=2).tools
    with pytest.raises(RuntimeError, match="the request failed: "):
        tool(room="a", level=1)
    (tool, *_) = OpenAPITools({**DOCUMENT, "servers": []}).tools
    with pytest.raises(RuntimeError, match="give base_url"):
        tool(room="a", level=1)
    (tool, *_) = OpenAPITools(DOCUMENT, "file:///etc").tools
    with pytest.raises(RuntimeError, match="give base_url"):
        tool(room="passwd", level=1)


SWAGGER = {"swagger": "2.0", "host": "house.example", "basePath": "/v1", "schemes": ["http"], "paths": {"/l": {"post": {
    "operationId": "l", "parameters": [
        {"name": "n", "in": "query", "type": "integer", "required": True},
        {"name": "b", "in": "body", "schema": {"$ref": "#/definitions/B"}}]}}},
    "definitions": {"B": {"type": "object", "properties": {"x": {"type": "string"}}}}}  # fmt: skip


def test_files_and_swagger_by_command(tmp_path, capsys):
    (tmp_path / "house.yaml").write_text(yaml.safe_dump(SWAGGER))
    (tmp_path / "house.json").write_text(json.dumps(SWAGGER))
    for name in ("house.yaml", "house.json"):
        main(["tools", "--openapi", str(tmp_path / name)])
        (schema,) = json.loads(capsys.readouterr().out)
        assert list(schema["function"]["parameters"]["properties"]) == ["n", "x"]
        assert schema["function"]["parameters"]["required"] == ["n"]
    assert OpenAPITools(SWAGGER)._base_url == "http://house.example/v1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "lacks 'paths'"), ("[]", "lacks 'paths'"), ("{", "neither JSON nor YAML"), ("a: [", "neither JSON nor YAML"),
        ('{"paths": {"/a": {}}}', "are without operations"),
        (json.dumps({"paths": {"/a": {"get": {"operationId": "x"}}, "/b": {"get": {"operationId": "x"}}}}), "two operations called 'x'"),
        (None, "No such file"),
    ],
)  # fmt: skip
def test_bad_documents(tmp_path, text, message):
    if text is not None:
        (tmp_path / "d.yaml").write_text(text)
    with pytest.raises(SystemExit, match=f"egpo-trl tools: openapi: .*{message}"):
        main(["tools", "--openapi", str(tmp_path / "d.yaml")])


def test_a_hostile_document_takes_no_time():
    """Schemas that refer to each other twice at every level."""
    schemas = {
        f"S{n}": {"type": "object", "properties": {k: {"$ref": f"#/components/schemas/S{n + 1}"} for k in "abcdefgh"}}
        for n in range(40)
    }
    document = {"paths": {"/a": {"post": {"operationId": "a", "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S0"}}}}}}},
                "components": {"schemas": schemas}}  # fmt: skip
    (schema,) = OpenAPITools(document).schemas
    assert len(json.dumps(schema)) < 2_000_000


NAMED = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
AGED = {"properties": {"age": {"type": "integer"}}}

# Schema of a body, and the arguments that it becomes. A further kind is a line.
BODIES = {
    "fields": (NAMED, {"name": {"type": "string"}}, ["name"]),
    "a reference": ({"$ref": "#/definitions/Named"}, {"name": {"type": "string"}}, ["name"]),
    "all of several": (
        {"allOf": [{"$ref": "#/definitions/Named"}, AGED], "required": ["age"]},
        {"name": {"type": "string"}, "age": {"type": "integer"}}, ["name", "age"],
    ),
    "all of what differs": (
        {"allOf": [NAMED, {"properties": {"name": {"type": "integer"}}}]},
        {"body": {"allOf": [NAMED, {"type": "object", "properties": {"name": {"type": "integer"}}}]}}, ["body"],
    ),
    "one of several": ({"oneOf": [NAMED, {"type": "string"}]}, {"body": {"oneOf": [NAMED, {"type": "string"}]}}, ["body"]),
    "itself": ({"$ref": "#/definitions/Tree"}, {"children": {"type": "array", "items": {}}}, []),
}  # fmt: skip


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("version", ["2.0", "3.1"])
def test_bodies(kind, version):
    schema, properties, required = BODIES[kind]
    body = (
        {"parameters": [{"in": "body", "name": "b", "required": True, "schema": schema}]}
        if version == "2.0"
        else {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
    )
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/definitions/Tree"}}}}
    document = {"paths": {"/x": {"post": body}}, "definitions": {"Named": NAMED, "Tree": tree}}
    (tool,) = OpenAPITools(document).schemas
    assert tool["function"]["name"] == "post_x"
    assert tool["function"]["parameters"] == {"type": "object", "properties": properties, "required": required}
