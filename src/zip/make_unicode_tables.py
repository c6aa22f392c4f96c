#!/usr/bin/env python3
"""Writes unicode_tables.inc: canonical decompositions and combining marks, from Python's own Unicode database.

    make_unicode_tables.py > unicode_tables.inc
"""
import sys
import unicodedata

HANGUL = range(0xAC00, 0xD7A4)  # decomposed by arithmetic


def main() -> None:
    pairs, marks = [], []
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        mapping = unicodedata.decomposition(character)
        if mapping and not mapping.startswith("<") and code not in HANGUL:
            first, second = ([int(part, 16) for part in mapping.split()] + [0])[:2]
            pairs.append(code << 42 | first << 21 | second)
        if unicodedata.combining(character):
            if marks and marks[-1][1] == code - 1:
                marks[-1][1] = code
            else:
                marks.append([code, code])
    print(f"// Made by make_unicode_tables.py from Unicode {unicodedata.unidata_version}. Do not edit.")
    print("// character << 42 | first << 21 | second; second is 0 where a character stands for another one.")
    print(f"inline constexpr std::array<std::uint64_t, {len(pairs)}> kDecompositions{{{{")
    for i in range(0, len(pairs), 5):
        print("    " + ", ".join(f"0x{pair:016X}" for pair in pairs[i:i + 5]) + ",")
    print("}};")
    print("// Characters with a canonical combining class: first << 32 | last.")
    print(f"inline constexpr std::array<std::uint64_t, {len(marks)}> kCombiningMarks{{{{")
    for i in range(0, len(marks), 5):
        print("    " + ", ".join(f"0x{first << 32 | last:016X}" for first, last in marks[i:i + 5]) + ",")
    print("}};")


if __name__ == "__main__":
    main()
