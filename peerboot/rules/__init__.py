"""The rules that ``decide.py`` lists in order, grouped by what this Pod's disk holds.

Each rule is a pure function ``Facts -> Decision | None`` whose docstring has two parts, ``When:`` and
``Then:``; ``docs/decisions.md`` is made from them.
"""
