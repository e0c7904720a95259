"""The door to PyYAML: safe, bounded, duplicate keys refused."""

from __future__ import annotations

from typing import Any

LIMIT = 1 << 20


class YamlError(Exception):
    """One line: what is wrong, and where."""


def load(text: str) -> object:
    """Parse one YAML document; raises ``YamlError``."""
    import yaml

    if len(text) > LIMIT:
        raise YamlError(f"longer than {LIMIT} bytes")

    class Loader(yaml.SafeLoader):
        """SafeLoader that refuses a key given twice, of which PyYAML would silently keep the last."""

    def mapping(loader: Any, node: Any) -> dict[object, object]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = loader.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise YamlError(f"line {key_node.start_mark.line + 1}: a key must be a plain word")
            if key in seen:
                raise YamlError(f"line {key_node.start_mark.line + 1}: {key!r} stands twice")
            seen.add(key)
        loader.flatten_mapping(node)
        result: dict[object, object] = loader.construct_mapping(node, deep=True)
        return result

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        # The loader derives from SafeLoader.
        loaded: object = yaml.load(text, Loader=Loader)  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise YamlError(where + str(getattr(error, "problem", None) or error).replace("\n", " ")) from None
    except RecursionError:
        raise YamlError("nested too deeply") from None
    return loaded
