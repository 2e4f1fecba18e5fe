"""Wrong command lines, told by option, value and what there is, instead of in the words of the library that parses them."""

from typing import Any

NUMBERS = {
    "int_parsing": "is no whole number",
    "float_parsing": "is no number",
    "greater_than_equal": "is too little: {ge} is the least",
    "less_than_equal": "is too much: {le} is the most",
}
"""What the parser's errors about numbers mean. Their limits are by name."""


def describe_usage(error: Exception, command: str) -> str:
    """The text for a usage error of a command line. command: the one to ask for help. A command without subcommand gets
    its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return str(error)
    return f"usage: {_said(error).rstrip('.')}; `{command} --help` shows what there is"


def _said(error: Exception) -> str:
    parameter = getattr(error, "param", None)
    if parameter is None:
        return str(error)
    where = _shown(parameter)
    if type(error).__name__ == "MissingParameter":
        return f"{where} is missing"
    text = _about_value(error.__cause__) or str(error).removeprefix("Value error, ").replace("'", "")
    return f"{where}: {text}"


def _shown(parameter: Any) -> str:
    """`--output` or `KIND`."""
    if getattr(parameter, "param_type_name", "") == "argument":
        return str(getattr(parameter, "metavar", None) or parameter.name).upper()
    return max(parameter.opts, key=len, default=str(parameter.name))


def _about_value(cause: BaseException | None) -> str:
    """What is wrong with a number; empty where that is not known."""
    found = cause.errors() if cause is not None and hasattr(cause, "errors") else []
    pattern = NUMBERS.get(found[0]["type"]) if found else None
    return f"{found[0]['input']} {pattern.format(**found[0].get('ctx', {}))}" if pattern else ""
