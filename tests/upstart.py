"""A strict reader of Upstart's job files, after init(5): what Upstart would not take raises ValueError.

There is no Upstart any more to ask; ``init-checkconf`` went with it.
"""

import re
import signal
from typing import Any

ON_OFF = ("start", "stop")
SCRIPTS = ("pre-start", "post-start", "pre-stop", "post-stop")
WORDS = {  # stanzas of words: how many there are
    "description": 1, "author": 1, "version": 1, "usage": 1, "env": 1, "instance": 1, "chdir": 1, "chroot": 1,
    "setuid": 1, "setgid": 1, "manual": 0, "task": 0,
}  # fmt: skip
CONSOLES = ("none", "log", "output", "owner")
OPERATORS = ("and", "or")


def tokens(text: str) -> list[str]:
    """The words of a stanza, by Upstart's quoting: both quotes, and a backslash before any character."""
    found, word, quote, begun = [], "", "", False
    letters = iter(text)
    for letter in letters:
        if letter == "\\":
            word, begun = word + next(letters, ""), True
        elif quote:
            quote, word = ("", word) if letter == quote else (quote, word + letter)
        elif letter in "\"'":
            quote, begun = letter, True
        elif letter.isspace():
            found, word, begun = ([*found, word], "", False) if begun or word else (found, "", False)
        elif letter == "#" and not word and not begun:
            break
        else:
            word += letter
    if quote:
        raise ValueError(f"a quote without an end: {text}")
    return [*found, word] if begun or word else found


def events(text: str) -> list[list[str]]:
    """The events of ``on EXPRESSION``, each with what it is to match."""
    words = tokens(re.sub(r"([()])", r" \1 ", text))
    depth, found, open_event = 0, [], False
    for word in words:
        if word == "(":
            if open_event:
                raise ValueError(f"no operator before a parenthesis: {text}")
            depth += 1
        elif word == ")":
            depth -= 1
            if depth < 0:
                raise ValueError(f"too many parentheses: {text}")
        elif word in OPERATORS:
            if not open_event:
                raise ValueError(f"an operator between no events: {text}")
            open_event = False
        elif open_event:
            found[-1].append(word)
        else:
            found.append([word])
            open_event = True
    if depth or not open_event:
        raise ValueError(f"an expression without an end: {text}")
    return found


def parse(text: str) -> dict[str, Any]:
    """The stanzas by name: words, events (``start on``), the text of scripts."""
    job: dict[str, Any] = {"env": {}}
    lines = iter(text.split("\n"))
    for line in lines:
        name, _, rest = line.strip().partition(" ")
        while rest.endswith("\\"):
            rest = rest[:-1] + next(lines)
        if not name or name.startswith("#"):
            continue
        key, value = stanza(name, rest.strip(), lines)
        if key == "env":
            variable, equals, said = value.partition("=")
            if not equals or not re.fullmatch(r"\w+", variable):
                raise ValueError(f"no variable: {line}")
            job["env"][variable] = said
        elif key in job:
            raise ValueError(f"said twice: {line}")
        else:
            job[key] = value
    if len({"exec", "script"} & set(job)) > 1:
        raise ValueError("exec and script")
    return job


def stanza(name: str, rest: str, lines: Any) -> tuple[str, Any]:
    """One stanza's name and what it says; a block's lines are taken."""
    words = tokens(rest) if name not in ("exec", "script") else []
    if name in ON_OFF and words[:1] == ["on"]:
        return f"{name} on", events(rest.removeprefix("on"))
    if name == "script" and not rest:
        return name, block(lines)
    if name == "exec" and rest:
        return name, rest
    if name in SCRIPTS and words == ["script"]:
        return name, block(lines)
    if name == "respawn" and not words:
        return name, True
    if name == "respawn" and words[0] == "limit" and (words[1:] == ["unlimited"] or is_numbers(words[1:], 2)):
        return "respawn limit", words[1:]
    if name == "kill" and words[:1] == ["timeout"] and is_numbers(words[1:], 1):
        return "kill timeout", int(words[1])
    if name == "kill" and words[:1] == ["signal"] and len(words) == 2:
        return "kill signal", signal.Signals[f"SIG{words[1].removeprefix('SIG')}"]
    if name == "console" and len(words) == 1 and words[0] in CONSOLES:
        return name, words[0]
    if WORDS.get(name) == len(words):
        return name, "".join(words)
    raise ValueError(f"unknown, or said wrongly: {name} {rest}")


def is_numbers(words: list[str], count: int) -> bool:
    return len(words) == count and all(word.isascii() and word.isdigit() for word in words)


def block(lines: Any) -> str:
    """Up to its ``end script``, however that is indented."""
    found = []
    for line in lines:
        if re.fullmatch(r"\s*end\s+script\s*(#.*)?", line):
            return "\n".join(found) + "\n"
        found.append(line)
    raise ValueError("a script without an end")
