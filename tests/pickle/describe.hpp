// An object graph as text, for tests.
#pragma once

#include <string>

#include "pickle/object.hpp"

namespace rushlight::test {

// Short and readable, much like Python:
//   [1, 'a', (None, True)]                       containers
//   'a'  s'a'  b'a'  bytearray(b'a')             str, Python 2 str, bytes
//   big(000000000000000001)                      the bytes of a large integer, in hexadecimal, little-endian
//   collections.OrderedDict                      a global
//   reduce(collections.OrderedDict, ()) [1] {'k': 2} <- {'state': 3}
//                                                a call, with what APPEND, SETITEM and BUILD gave it
//   persistent('0')
//   ^2                                           the object 2 levels up: a cycle
std::string describe(const pickle::ObjectGraph& graph);
std::string describe(const pickle::ObjectGraph& graph, pickle::ObjectId id);

// Complete, identities included, and any depth: JSON with a flat list of containers. tests/pickle/inert.py writes the
// same from CPython's own unpickler.
std::string dump_json(const pickle::ObjectGraph& graph);

}  // namespace rushlight::test
