#!/usr/bin/env python3
"""No name in an anonymous namespace is that of something which a header declares in a namespace around it.

    hidden_names_test.py SOURCE_DIR

Where files are joined into units (CMAKE_UNITY_BUILD), such a name would be the one that the next files of its layer mean: the
same sources would be another program, without a word from the compiler.
"""
import collections
import pathlib
import re
import sys

TYPE = re.compile(r"(?:template <.*> )?(?:class|struct|union|enum class|enum|using|concept) "
                  r"(?:\[\[nodiscard\]\] |RUSHLIGHT_API )*(\w+)")
NO_DECLARATION = re.compile(r"(?:return|using namespace|namespace|static_assert|template <[^>]*>$|RUSHLIGHT_)")
# A function, a variable or a constant; not a member's definition (Type::name).
OTHER = re.compile(r"[^(=;{]*?(?<![:\w])(\w+)(?:\[[^\]]*\])*(?: ?[(={;]|$)")


def names(text):
    """(name, namespace, whether within an anonymous one) of what is declared at namespace scope: lines without indentation."""
    space, anonymous = "", False
    for line in text.splitlines():
        opened = re.match(r"namespace ([\w:]+) \{", line)
        if opened:
            space = opened[1]
        elif line.startswith("namespace {"):
            anonymous = True
        elif line.startswith("}  // namespace"):
            anonymous = False
        if not line or not (line[0].isalpha() or line[0] == "["):
            continue
        found = TYPE.match(line) or (None if NO_DECLARATION.match(line) else OTHER.match(line))
        if found:
            yield found[1], space, anonymous


def check(root):
    declared = collections.defaultdict(set)
    for folder in ("src", "include", "cuda"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".hpp", ".cuh"):
                for name, space, _ in names(path.read_text(encoding="utf-8")):
                    declared[name].add((space, str(path.relative_to(root))))
    problems, count = [], 0
    for folder in ("src", "cuda"):
        for path in sorted((root / folder).rglob("*.cpp")):
            for name, space, anonymous in names(path.read_text(encoding="utf-8")):
                if not anonymous:
                    continue
                count += 1
                for outer, header in sorted(declared.get(name, ())):
                    if space.startswith(outer + "::"):
                        problems.append(f"{path.relative_to(root)}: {name} hides {outer}::{name} of {header}")
    if count < 1000:
        problems.append(f"only {count} names were seen: is {root} the source tree?")
    return problems


def main():
    problems = check(pathlib.Path(sys.argv[1]))
    for problem in problems:
        print(problem)
    print("hidden names: " + ("none" if not problems else f"{len(problems)} problems"))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
