"""The door to PyYAML: safe, bounded, duplicate keys refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peerboot.errors import SettingsError
from peerboot.printing import one_line
from peerboot.settings import as_mapping

LIMIT = 1 << 20
"""Characters of a document."""
MOST_WORDS = 200
"""Characters of what PyYAML says, which may quote the document."""
MOST_BITS = 64
"""Of a whole number. Python writes none of more than 4300 digits, while one in base 16 may be read."""


class YamlError(Exception):
    """One line: what is wrong, and where."""


def settings_of(text: str, source: str) -> Mapping[str, object]:
    """Names with values; raises ``SettingsError`` that names the ``source``."""
    try:
        return as_mapping(source, load(text))
    except YamlError as error:
        raise SettingsError(f"{source} is not YAML that can be used: {error}: correct it there") from None


def load(text: str) -> object:
    """Parse one YAML document; raises ``YamlError`` when it is none, too long, too deep, or has a key twice.

    Aliases (``*name``) are refused too: a short text with them can unfold to more than memory holds.
    """
    import yaml

    if len(text) > LIMIT:
        raise YamlError(f"it is longer than {LIMIT} characters")

    class Loader(yaml.SafeLoader):
        """SafeLoader that refuses a key given twice, of which PyYAML would silently keep the last."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise YamlError(f"line {self.current_event.start_mark.line + 1}: aliases (*) are not supported")
            return super().compose_node(parent, index)

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            where = f"line {node.start_mark.line + 1}"
            try:
                value = super().construct_object(node, deep)
            except (LookupError, AttributeError, TypeError):
                # What PyYAML's own constructors raise for `!!bool maybe`, `!!int ''` and the like.
                raise YamlError(f"{where}: a value is not what its tag (!!) says") from None
            if isinstance(value, int) and value.bit_length() > MOST_BITS:
                raise YamlError(f"{where}: a number of too many digits")
            return value

    def mapping(loader: Any, node: Any) -> dict[object, object]:
        result: dict[object, object] = {}
        for key_node, value_node in node.value:
            where = f"line {key_node.start_mark.line + 1}"
            key = loader.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | None):
                raise YamlError(f"{where}: a key must be a plain word")
            if key in result:
                raise YamlError(f"{where}: {one_line(repr(key), 80)} stands twice")
            result[key] = loader.construct_object(value_node, deep=True)
        return result

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        # The loader derives from SafeLoader.
        loaded: object = yaml.load(text, Loader=Loader)  # noqa: S506
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise YamlError(f"line {line}: a control character") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        say = str(getattr(error, "problem", None) or error)
        raise YamlError(where + one_line(say, MOST_WORDS)) from None
    except RecursionError:
        raise YamlError("it is nested too deeply") from None
    except ValueError as error:  # a date that is none, a number of too many digits
        raise YamlError(f"a value cannot be read: {one_line(str(error), MOST_WORDS)}") from None
    return loaded
