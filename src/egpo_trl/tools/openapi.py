"""Runs the operations of an OpenAPI document as tools: their schemas, and requests to the server that it names."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit
from uuid import uuid4

import yaml

from ..data.openapi import BODY, MULTIPART, URLENCODED, Operation, read_operations
from ..rollouts.tool_pool import ExecutedTool

_MAX_DOCUMENT = 50_000_000  # bytes
_MAX_RESULT = 1_000_000  # bytes of a response that are read; the trainer shows the model far less
_JSON = "application/json"


class _SameServer(urllib.request.HTTPRedirectHandler):
    """Follows redirects on the same server only: headers with keys must not go to another one."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if _origin(newurl) != _origin(req.full_url):
            raise urllib.error.HTTPError(newurl, code, "redirects to another server", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class OpenAPITools:
    """
    The operations of an OpenAPI document (2.0 to 3.1) as tools.

    Args:
        document (`str`, `Path` or `dict`):
            The document: a file or address (JSON or YAML), or decoded.
        base_url (`str`, *optional*):
            Address that the paths are relative to; by default the first server of the document.
        headers (`dict[str, str]`, *optional*):
            Headers of every request, such as a key. The model does not see them.
        timeout (`float`, *optional*, defaults to `30.0`):
            Seconds that a request may take without an answer.

    Attributes:
        schemas (`list[dict]`): Function schemas in the form of the chat-completions API.
        tools (`list[ExecutedTool]`): The same as executed tools, for `EGPOTrainer(tools=…)`.

    Raises:
        ValueError: If the document cannot be read.

    Example:

    ```python
    from egpo_trl.tools import OpenAPITools

    api = OpenAPITools("house.yaml", base_url="http://localhost:8080", headers={"X-Key": "…"})
    trainer = EGPOTrainer(..., tools=api.tools)
    ```
    """

    def __init__(
        self,
        document: str | Path | Mapping[str, Any],
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._timeout = timeout
        self._headers = dict(headers or {})
        self._opener = urllib.request.build_opener(_SameServer)
        decoded = document if isinstance(document, Mapping) else _load(str(document), self._opener, timeout)
        name = "the document" if isinstance(document, Mapping) else repr(str(document))
        try:
            self._operations = read_operations(decoded)
        except ValueError as error:
            raise ValueError(f"openapi: {name} {error}.") from None
        self._base_url = base_url or _first_server(decoded, str(document) if isinstance(document, str) else "")
        self.schemas = [operation.schema for operation in self._operations]
        self.tools = [ExecutedTool(self._function(operation), operation.schema) for operation in self._operations]

    def _function(self, operation: Operation) -> Callable[..., str]:
        def call(**arguments: Any) -> str:
            return self._request(operation, arguments)

        return call

    def _request(self, operation: Operation, arguments: Mapping[str, Any]) -> str:
        """The body of the response; raises `RuntimeError` with what the server says of a bad request."""
        request = self._prepare(operation, arguments)
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return str(response.read(_MAX_RESULT).decode("utf-8", "replace"))
        except urllib.error.HTTPError as error:
            body = error.read(_MAX_RESULT).decode("utf-8", "replace") if error.fp else ""
            raise RuntimeError(f"HTTP {error.code} {error.reason}: {body}".rstrip(": ")) from None
        except (OSError, ValueError) as error:
            raise RuntimeError(f"the request failed: {getattr(error, 'reason', error)}") from None

    def _prepare(self, operation: Operation, arguments: Mapping[str, Any]) -> urllib.request.Request:
        if not self._base_url.startswith(("http://", "https://")):
            raise RuntimeError("the document names no server: give base_url")
        path, body = operation.path, dict[str, Any]()
        query, headers, cookies = list[tuple[str, str]](), dict[str, str](), list[str]()
        unknown = [name for name in arguments if name not in operation.places]
        if unknown:
            raise RuntimeError(f"{operation.name} does not take the argument {unknown[0]!r}")
        for argument, value in arguments.items():
            place, name = operation.places[argument]
            if place == "path":
                path = path.replace(f"{{{name}}}", _path_segment(value))
            elif place == "query":
                query += [(name, _text(item)) for item in (value if isinstance(value, list) else [value])]
            elif place == "header":
                headers[name] = _text(value)
            elif place == "cookie":
                cookies.append(f"{quote(name)}={quote(_text(value))}")
            else:
                body[name] = value
        if "{" in path:
            raise RuntimeError(f"{operation.name} needs the arguments of its path {operation.path}")
        url = self._base_url.rstrip("/") + "/" + path.lstrip("/") + (f"?{urlencode(query)}" if query else "")
        data = None
        if any(place == BODY for place, _ in operation.places.values()):
            data, headers["Content-Type"] = _encoded(body.get(BODY) if operation.whole_body else body, operation)
        headers |= {"Accept": _JSON, **({"Cookie": "; ".join(cookies)} if cookies else {}), **self._headers}
        try:
            return urllib.request.Request(url, data, headers, method=operation.method.upper())
        except ValueError as error:
            raise RuntimeError(f"the request cannot be made: {error}") from None


def _encoded(body: Any, operation: Operation) -> tuple[bytes, str]:
    media_type = operation.media_type
    if media_type == MULTIPART and isinstance(body, dict):
        return _multipart(body, operation)
    if media_type == URLENCODED and isinstance(body, dict):
        return urlencode({name: _spelled(value) for name, value in body.items()}).encode(), media_type
    if "json" not in media_type and isinstance(body, str):
        return body.encode(), media_type
    return json.dumps(body, ensure_ascii=False).encode(), media_type if "json" in media_type else _JSON


def _multipart(body: Mapping[str, Any], operation: Operation) -> tuple[bytes, str]:
    """A form of parts: a list is a part for each item, an object is JSON, and a file has the text that is its content."""
    boundary, pieces = uuid4().hex, list[str]()
    properties = operation.schema["function"]["parameters"]["properties"]
    files = {name for argument, (_, name) in operation.places.items() if _is_file(properties[argument])}
    for name, value in body.items():
        quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        about = f'Content-Disposition: form-data; name="{quoted}"'
        about += f'; filename="{quoted}"\r\nContent-Type: application/octet-stream' if name in files else ""
        for item in value if isinstance(value, list) else [value]:
            kind = f"\r\nContent-Type: {_JSON}" if isinstance(item, (dict, list)) and name not in files else ""
            pieces.append(f"--{boundary}\r\n{about}{kind}\r\n\r\n{_spelled(item)}\r\n")
    return f"{''.join(pieces)}--{boundary}--\r\n".encode(), f"{MULTIPART}; boundary={boundary}"


def _is_file(schema: Mapping[str, Any]) -> bool:
    items = schema.get("items")
    is_binary = schema.get("format") == "binary" or "contentMediaType" in schema
    return is_binary or (isinstance(items, Mapping) and _is_file(items))


def _spelled(value: Any) -> str:
    """A value as text: JSON's spelling for all but strings."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text(value: Any) -> str:
    """A value in an address or a header."""
    text = _spelled(value)
    if "\n" in text or "\r" in text:
        raise RuntimeError("an argument of an address or a header must be one line")
    return text


def _path_segment(value: Any) -> str:
    """A value as one segment of a path, which cannot lead out of it."""
    text = _text(value)
    if text in ("", ".", ".."):
        raise RuntimeError(f"{text!r} cannot be a part of a path")
    return quote(text, safe="")


def _first_server(document: Mapping[str, Any], where: str) -> str:
    servers = document.get("servers")
    first = servers[0] if isinstance(servers, list) and servers and isinstance(servers[0], Mapping) else {}
    url = str(first.get("url") or "")
    variables = first.get("variables")
    for name, variable in variables.items() if isinstance(variables, Mapping) else ():
        if isinstance(variable, Mapping):
            url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
    if not url and document.get("host"):  # Swagger 2
        schemes = document.get("schemes") or ["https"]
        url = f"{schemes[0]}://{document['host']}{document.get('basePath', '')}"
    return urljoin(where, url) if where.startswith(("http://", "https://")) else url


def _load(where: str, opener: urllib.request.OpenerDirector, timeout: float) -> Any:
    try:
        if where.startswith(("http://", "https://")):
            with opener.open(where, timeout=timeout) as response:
                text = response.read(_MAX_DOCUMENT).decode("utf-8")
        else:
            text = Path(where).read_text(encoding="utf-8")
        return json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except OSError as error:
        raise ValueError(f"openapi: {where!r} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"openapi: {where!r} is neither JSON nor YAML: {str(error)[:200]}.") from None


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
