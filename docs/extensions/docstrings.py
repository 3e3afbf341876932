"""Docstrings of the API reference: field comments of dataclasses are added, members of other packages omitted."""

import ast
import dataclasses
import inspect
import io
import re
import textwrap
import tokenize
from pathlib import Path

from sphinx.application import Sphinx


def read_field_comments(cls: type) -> dict[str, str]:
    """Read the comments of a dataclass: {field: the comment above it or at the end of its lines}.

    Args:
        cls: a class whose source file exists.

    Returns:
        The fields that have a comment; the lines of a longer comment are joined.
    """
    source = textwrap.dedent(inspect.getsource(cls))
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    comments = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    whole_lines = {t.start[0] for t in tokens if t.type == tokenize.COMMENT and t.line.lstrip().startswith("#")}
    found = {}
    for node in ast.parse(source).body[0].body:
        if isinstance(node, ast.AnnAssign):
            first = node.lineno
            while first - 1 in whole_lines:  # comment lines above the field
                first -= 1
            lines = [comments[line] for line in range(first, node.end_lineno + 1) if line in comments]
            if lines:
                found[node.target.id] = " ".join(lines)
    return found


def add_fields(app: Sphinx, what: str, name: str, cls: object, options: object, lines: list[str]) -> None:
    """Append a list of the fields to the docstring of a dataclass."""
    if what != "class" or not dataclasses.is_dataclass(cls):
        return
    comments = read_field_comments(cls)
    if comments:
        lines += ["", "**Fields**", ""]
        for field, comment in comments.items():
            text = comment.replace("\\", "\\\\").replace("*", "\\*").replace("|", "\\|")
            lines += [f"``{field}``", f"    {text}", ""]


def name_returned(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Format a section Returns with several lines "name: meaning" as a list; Napoleon expects a single value.

    Args:
        lines: lines of a docstring; changed in place.
    """
    for start, line in enumerate(lines):
        if line.strip() == "Returns:":
            indent = " " * (len(line) - len(line.lstrip()) + 4)
            end = next((k for k, text in enumerate(lines) if k > start and text and not text.startswith(indent)), None)
            if sum(bool(re.match(indent + r"\w+: ", text)) for text in lines[start + 1 : end]) > 1:
                lines[start] = line.replace("Returns:", "Returned:")


def skip_imported(app: Sphinx, what: str, name: str, member: object, skip: bool, options: object) -> bool | None:
    """Skip members that a module imports from other packages, even if they are decorated."""
    module = getattr(member, "__module__", None) or ""
    return True if callable(member) and module.split(".")[0] not in ("ssdie", "builtins", "") else None


def shorten_signature(
    app: Sphinx, what: str, name: str, obj: object, options: object, arguments: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Write `...` for the default of a field with a default_factory; Sphinx cannot parse `<factory>`."""
    return arguments and arguments.replace("<factory>", "..."), returned


def remove_old_pages(app: Sphinx, config: object) -> None:
    """Remove outdated pages of autosummary: of removed modules, and of packages, whose lists of modules may change."""
    for page in (Path(app.srcdir) / "generated" / "api").glob("*.rst"):
        module = Path(app.srcdir).parent / page.stem.replace(".", "/")
        if module.is_dir() or not module.with_suffix(".py").is_file():
            page.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to autodoc."""
    app.connect("config-inited", remove_old_pages)
    app.connect("autodoc-skip-member", skip_imported)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-process-docstring", name_returned, priority=400)  # before Napoleon
    app.connect("autodoc-process-docstring", add_fields)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
