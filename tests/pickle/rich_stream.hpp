// One right stream that holds every opcode the machine supports, for tests that cut and damage it.
#pragma once

#include "support/pickle_builder.hpp"

namespace rushlight::test {

inline PickleBuilder rich_body() {
  using namespace std::string_literals;
  PickleBuilder body;
  body.mark();
  // leaves
  body.none().boolean(true).boolean(false).integer(7).integer(70'000).integer(300).real(1.5);
  body.long1("\x01\x02\x03").long1(std::string(9, '\x11')).long4(3, "\x01\x02\x03");
  body.line('I', "01").line('I', "-5").line('L', "123456789012345678901L").line('F', "2.5");
  body.line('S', R"('a\x41')").line('V', R"(\u2192)").byte_string("py2").counted4('T', 3, "py2");
  body.text("weight").short_text("bias").counted8('\x8d', 4, "long");
  body.bytes_value("\x00\x01"s).counted4('B', 2, "bb").counted8('\x8e', 2, "cc").bytearray_value("dd");
  // containers
  body.empty_tuple().none().tuple1().none().none().tuple2().none().none().none().tuple3().mark().none().tuple();
  body.empty_list().put(0).integer(1).append().mark().integer(2).get(0).appends().mark().integer(3).list();
  body.empty_dict().put(300).text("k").integer(1).setitem().mark().text("l").get(300).setitems();
  body.mark().text("m").none().dict().empty_set().mark().integer(1).additems().mark().integer(2).frozenset();
  // names, calls, persistent objects
  body.global("torch", "Size").line('p', "5").short_text("torch").short_text("device").stack_global().memoize();
  body.line('g', "5").empty_tuple().reduce().empty_dict().build();
  body.global("m", "C").empty_tuple().newobj().global("m", "D").empty_tuple().empty_dict().newobj_ex();
  body.mark().integer(1).inst("m", "E").mark().global("m", "F").integer(2).obj();
  body.line('P', "12").storage("FloatStorage", "0", 4);
  // the stack
  body.none().dup().pop().mark().none().pop_mark().get(300).put(301).get(301);
  return body.tuple().stop();
}

inline PickleBuilder rich_stream() {
  const PickleBuilder body = rich_body();
  return PickleBuilder().proto(5).frame(body.size()).raw(body.str());
}

}  // namespace rushlight::test
