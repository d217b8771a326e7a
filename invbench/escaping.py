r"""Text that others chose, as a name or a reason, inside what we write: one function a format.

Records, baselines and folders may come from anybody, so what they say is shown and never obeyed:
it cannot move a terminal's cursor, begin a heading or a row, become a link or a formula, or be
taken for a command by the runner of a job.
"""

from __future__ import annotations

import re
import unicodedata

from markupsafe import Markup, escape

# Control and format characters (which reverse or hide text), lone surrogates, separators of lines
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_MARKUP = re.compile(
    r"[\\`*\[\]<|~$&]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # within a word it is itself
    r"|:(?=//)|(?<=www)\.",  # addresses become links without any brackets
    re.IGNORECASE,
)
_BLOCK = re.compile(r"(\d+)(?=[.)](?:\s|$))|(?=[#=>]|[-+](?![\w.]|$))")  # at the start of a line
_LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # in full width, too


def plain(text: str) -> str:
    r"""Write what cannot be seen as an escape, so that one line stays; part of every format.

    >>> plain("red\x1b[31m\nnew")
    'red\\x1b[31m\\nnew'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in _UNSEEN else c for c in text)


def terminal(text: str) -> str:
    r"""Return text as one line of a terminal or of a job's log.

    >>> terminal("::error::forged")
    '\\x3a:error::forged'
    """
    line = re.sub(r"^(\s*)::", r"\1\\x3a:", plain(text))
    return line.replace("##[", r"#\x23[")


def terminal_lines(text: str) -> str:
    r"""Return text for a terminal whose lines stay lines, as a traceback.

    >>> terminal_lines("at once:\n::error::forged")
    'at once:\n\\x3a:error::forged'
    """
    return "\n".join(terminal(line.expandtabs()) for line in text.split("\n"))


def error_text(error: Exception) -> str:
    r"""Return an error's name and message for a terminal; lines after the first are indented.

    >>> error_text(ValueError("two things:\nthis"))
    'ValueError: two things:\n  this'
    """
    first, *others = f"{type(error).__name__}: {error}".split("\n")
    return "\n  ".join([terminal(first), *(terminal(line.removeprefix("  ")) for line in others)])


def markdown(text: str) -> str:
    r"""Return text as one line or cell of Markdown, in which it is itself and no markup.

    >>> markdown("a | b\n# [c](https://d) lpips_vgg")
    'a \\| b # \\[c\\](https\\://d) lpips_vgg'
    """
    line = _MARKUP.sub(r"\\\g<0>", plain(" ".join(text.split())))
    if block := _BLOCK.match(line):
        line = f"{block[0]}\\{line[block.end() :]}"
    return line.replace("@", "@\u2060")  # a joiner, without which GitHub calls people


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, which takes an s unless it is one.

    >>> counted(1, "photograph"), counted(0, "case")
    ('1 photograph', '0 cases')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def html(value: object) -> Markup:
    """Return a value as text of HTML, or of an attribute in quotes.

    >>> str(html("<b>"))
    '&lt;b&gt;'
    """
    return value if isinstance(value, Markup) else escape(plain(str(value)))


def csv_cell(value: object) -> object:
    """Return a value as a cell; text that a spreadsheet would compute gets an apostrophe first.

    >>> csv_cell("=1+1"), csv_cell(-1.5)
    ("'=1+1", -1.5)
    """
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def latex(text: str) -> str:
    r"""Return text as text of LaTeX, in which no character is a command.

    >>> latex(r"50 % of a_b\input{c}")
    '50 \\% of a\\_b\\textbackslash{}input\\{c\\}'
    """
    return "".join(_LATEX.get(character, character) for character in plain(text))


def toml_key(name: str) -> str:
    r"""Return a name as one key of TOML; a lone surrogate, which TOML cannot hold, is replaced.

    >>> toml_key("chimle-sr16"), toml_key('a.b"]')
    ('chimle-sr16', '"a.b\\"]"')
    """
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return name
    escaped = re.sub(r'[\\"]', r"\\\g<0>", name.encode(errors="replace").decode())
    hidden = (unicodedata.category(c) in _UNSEEN for c in escaped)
    shown = (f"\\U{ord(c):08x}" if h else c for c, h in zip(escaped, hidden, strict=True))
    return f'"{"".join(shown)}"'
