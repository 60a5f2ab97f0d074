"""Values of recipe fields: checked against their types on the way in, plain on the way out to YAML and JSON."""

import difflib
import types
import typing
from collections.abc import Mapping


class RecipeError(ValueError):
    """A recipe, preset, field or value that does not exist or does not fit."""


def unknown(what: str, received, known) -> str:
    """Text that says what is not known, what was perhaps meant, and what was received."""
    close = difflib.get_close_matches(str(received), list(known), n=1)
    hint = f"did you mean `{close[0]}`? " if close else ""
    if not close or len(known) <= 8:
        hint += f"There are {', '.join(map(str, known))}. "
    return f"unknown {what}: {hint}Received: {received!r}"


def plain(value):
    """Lists for tuples, throughout."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def coerce(value, expected, what: str):
    """Return `value` as type `expected` (YAML has no tuples, and reads ``1e-5`` as text), or raise `RecipeError`."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        options = [option for option in arguments if option is not type(None)]
        for option in options:
            try:
                return coerce(value, option, what)
            except RecipeError:
                continue
        raise RecipeError(f"{what} must be {' or '.join(_type_name(a) for a in arguments)}. Received: {value!r}")
    if origin is tuple and isinstance(value, (list, tuple)):
        if arguments[-1] is Ellipsis:
            return tuple(coerce(item, arguments[0], what) for item in value)
        if len(value) == len(arguments):
            return tuple(coerce(item, kind, what) for item, kind in zip(value, arguments))
    elif origin is dict and isinstance(value, Mapping):
        return {coerce(k, arguments[0], what): coerce(v, arguments[1], what) for k, v in value.items()}
    elif expected is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    elif (expected is int and isinstance(value, int) and not isinstance(value, bool)) or (
        expected in (bool, str) and isinstance(value, expected)
    ):
        return value
    raise RecipeError(f"{what} must be {_type_name(expected)}. Received: {value!r}")


def _type_name(kind) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    return names.get(kind, str(kind))


def check_choices(recipe, **choices):
    """Refuse fields of a recipe whose values are not among their choices, with a suggestion."""
    from abaw_tf.labels import check_option

    for key, allowed in choices.items():
        try:
            check_option(key, getattr(recipe, key), allowed)
        except ValueError as error:
            raise RecipeError(str(error)) from None


def refusal(recipe, key, value):
    """What a recipe says against a change of one field, or None."""
    try:
        recipe.replace(**{key: value})
    except ValueError as error:
        return str(error)
    return None
