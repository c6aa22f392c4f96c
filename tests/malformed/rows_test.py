#!/usr/bin/env python3
"""The table of tests/malformed/README.md names tests that exist, and every test that names a row stands in it.

    rows_test.py PROJECT_ROOT             the test
    rows_test.py PROJECT_ROOT --update    puts tests that name a row into the table
"""
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(sys.argv[1])
PAGE = ROOT / "tests" / "malformed" / "README.md"
NOT_BUILT = "not built yet"
# The rows of the catalogue; numbers that are missing were given up there.
ROWS = {
    "A": "01 02 03 04 05 06 07 08 09 10 11",
    "Z": "01 02 03 05 06 07 08 10 11 12 13 14 16 17 18 19 20 21 22 23 24 25 27 28 29 31 32 33 34 35 36 38 39 40 42 43 "
         "44 45 46 48 49 50 51 52",
    "P": "01 02 03 04 05 07 08 09 11 12 13 14 15 16 17 18 19 21 23 24 25 26 27 28 29 30 32 33 34 36 37 39 41 42 45",
    "T": "01 02 04 06 07 09 10 11 12 13 14 16 18 19 20 23 25 26",
    "S": "01 04 07 08 09 10 12",
    "M": "01 02 03 04 05 07 08 09 11 12 14 15",
    "L": "01 02 04 05 08 09 11 12 13",
    "F": "01 02 05 07 08 09 10",
    "W": "01 02 03 05 06 07 08 10 11 12 14 15 16 17 18 19 20 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38",
}
IDS = [letter + number for letter, numbers in ROWS.items() for number in numbers.split()]


def table():
    """[(id, construct, verdict, tests)] in the order of the page."""
    rows = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"\| ([A-Z]\d\d) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|", line)
        if match:
            rows.append(match.groups())
    return rows


def names(cell):
    return re.findall(r"`([^`]+)`", cell)


def cpp_tests():
    """{Suite.Name: [files]} of every GoogleTest in the tree."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("*.cpp")):
        for suite, name in re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", path.read_text(encoding="utf-8"), re.M):
            found.setdefault(f"{suite}.{name}", []).append(path)
    return found


def ctest_names():
    found = set()
    for path in (ROOT / "tests").rglob("CMakeLists.txt"):
        found.update(re.findall(r"add_test\(NAME\s+(\S+)", path.read_text(encoding="utf-8")))
    return found


def rows_of(test):
    """The rows that the name of a test begins with: Z17 and Z18 of Suite.Z17_Z18_Words."""
    match = re.match(r"((?:[A-Z]\d\d_)+)", test.split(".", 1)[1])
    return match.group(1).rstrip("_").split("_") if match else []


class Rows(unittest.TestCase):
    def test_the_table_has_every_row_once_and_in_order(self):
        self.assertEqual([row[0] for row in table()], IDS)

    def test_every_row_names_a_test_or_says_that_it_is_not_built(self):
        for row, construct, verdict, cell in table():
            with self.subTest(row):
                self.assertTrue(construct.strip() and verdict.strip())
                self.assertNotEqual(bool(names(cell)), cell == NOT_BUILT, cell)

    def test_every_test_that_is_named_exists_and_is_built(self):
        tests, others = cpp_tests(), ctest_names()
        built = {path.parent: (path.parent / "CMakeLists.txt").read_text(encoding="utf-8")
                 for paths in tests.values() for path in paths if (path.parent / "CMakeLists.txt").exists()}
        for row, _, _, cell in table():
            for name in names(cell):
                with self.subTest(f"{row} {name}"):
                    if name in others:
                        continue
                    self.assertIn(name, tests)
                    self.assertEqual(len(tests[name]), 1, "two tests of one name")
                    [path] = tests[name]
                    self.assertRegex(built[path.parent], rf"(?<![\w.]){re.escape(path.name)}(?![\w.])")

    def test_every_test_that_names_a_row_stands_in_it(self):
        cells = {row: names(cell) for row, _, _, cell in table()}
        for test in cpp_tests():
            for row in rows_of(test):
                with self.subTest(f"{row} {test}"):
                    self.assertIn(row, cells, "the catalogue has no such row")
                    self.assertIn(test, cells[row], "rows_test.py PROJECT_ROOT --update puts it in")

    def test_no_name_stands_twice_in_a_row(self):
        for row, _, _, cell in table():
            with self.subTest(row):
                self.assertEqual(len(names(cell)), len(set(names(cell))))


def update():
    by_row = {}
    for test in sorted(cpp_tests()):
        for row in rows_of(test):
            by_row.setdefault(row, []).append(test)
    known = cpp_tests()
    lines = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"(\| ([A-Z]\d\d) \| [^|]+ \| [^|]+ \| )([^|]+) \|", line)
        if match:
            # Those that carry the row in their name, then what was listed by hand.
            by_hand = [name for name in names(match[3]) if name not in known or match[2] not in rows_of(name)]
            listed = by_row.get(match[2], []) + by_hand
            line = match[1] + (", ".join(f"`{name}`" for name in listed) or NOT_BUILT) + " |"
        lines.append(line)
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if sys.argv[2:] == ["--update"]:
    update()
else:
    unittest.main(argv=sys.argv[:1])
