"""Replaces `eval` in official code: evaluates literals, and calls of the simulated functions."""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

MAX_CHARACTERS = 100_000
_BINARY: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip


def evaluate(source: str, objects: Mapping[str, Any]) -> Any:
    """Value of an expression of literals, arithmetic on them, and calls of public methods of the objects; no other name."""
    if len(source) > MAX_CHARACTERS:
        raise ValueError(f"more than {MAX_CHARACTERS} characters are not evaluated")
    return _value(ast.parse(source.lstrip(" \t"), "<string>", "eval").body, objects)  # eval strips it too


def _value(node: ast.expr, objects: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.List():
            return [_value(item, objects) for item in node.elts]
        case ast.Tuple():
            return tuple(_value(item, objects) for item in node.elts)
        case ast.Set():
            return {_value(item, objects) for item in node.elts}
        case ast.Dict() if None not in node.keys:
            return {
                _value(key, objects): _value(item, objects)  # type: ignore[arg-type]
                for key, item in zip(node.keys, node.values, strict=True)
            }
        case ast.UnaryOp(op=ast.USub()):
            return -_value(node.operand, objects)
        case ast.UnaryOp(op=ast.UAdd()):
            return +_value(node.operand, objects)
        case ast.BinOp() if type(node.op) in _BINARY:
            return _BINARY[type(node.op)](_value(node.left, objects), _value(node.right, objects))
        case ast.Call() if all(keyword.arg is not None for keyword in node.keywords):
            function = _function(node.func, objects)
            values = [_value(argument, objects) for argument in node.args]
            return function(*values, **{str(word.arg): _value(word.value, objects) for word in node.keywords})
        case ast.Name():
            raise NameError(f"name '{node.id}' is not defined")
    raise ValueError(f"{type(node).__name__} is not evaluated here")


def _function(node: ast.expr, objects: Mapping[str, Any]) -> Callable[..., Any]:
    match node:
        case ast.Name():
            raise NameError(f"name '{node.id}' is not defined")
        case ast.Attribute(value=ast.Name(id=name)) if name not in objects:
            raise NameError(f"name '{name}' is not defined")
        case ast.Attribute(value=ast.Name(id=name), attr=method) if not method.startswith("_"):
            function = getattr(objects[name], method)
            if callable(function):
                return function  # type: ignore[no-any-return]
    raise ValueError("only functions of the simulated interfaces can be called")
