// Assembles pickle streams opcode by opcode, right or wrong, for tests.
//
//   PickleBuilder pickle;
//   pickle.proto(2).global("os", "system").text("true").tuple1().reduce().stop();
//   read_pickle(pickle.bytes(), limits);
//
// Opcodes are written out here once more instead of taken from src/pickle/opcodes.def, so that tests do not judge the
// table by itself. Nothing is checked: a stream may be as wrong as a test needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"

namespace rushlight::test {

class PickleBuilder {
 public:
  PickleBuilder& raw(std::string_view bytes);
  PickleBuilder& raw(std::initializer_list<unsigned> bytes);

  // Structure of the stream.
  PickleBuilder& proto(unsigned version);
  PickleBuilder& frame(std::uint64_t size_bytes);
  PickleBuilder& stop();
  // The stack.
  PickleBuilder& mark();
  PickleBuilder& pop();
  PickleBuilder& pop_mark();
  PickleBuilder& dup();

  // Leaves. integer() takes the shortest form of protocol 2; so do text() and bytes_value() of protocols 2 and 3.
  PickleBuilder& none();
  PickleBuilder& boolean(bool value);
  PickleBuilder& integer(std::int64_t value);
  PickleBuilder& long1(std::string_view twos_complement);
  PickleBuilder& long4(std::int32_t length, std::string_view twos_complement);
  PickleBuilder& real(double value);
  PickleBuilder& text(std::string_view utf8);
  PickleBuilder& short_text(std::string_view utf8);        // SHORT_BINUNICODE, protocol 4
  PickleBuilder& byte_string(std::string_view bytes);      // SHORT_BINSTRING or BINSTRING, Python 2's str
  PickleBuilder& bytes_value(std::string_view bytes);      // SHORT_BINBYTES or BINBYTES
  PickleBuilder& bytearray_value(std::string_view bytes);  // BYTEARRAY8
  // An opcode with a length of its own, which need not be that of the bytes.
  PickleBuilder& counted4(char opcode, std::uint32_t length, std::string_view bytes);
  PickleBuilder& counted8(char opcode, std::uint64_t length, std::string_view bytes);
  // An opcode with lines of text: INT, LONG, FLOAT, STRING, UNICODE, PERSID, GET, PUT.
  PickleBuilder& line(char opcode, std::string_view text);

  // Containers.
  PickleBuilder& empty_tuple();
  PickleBuilder& tuple();
  PickleBuilder& tuple1();
  PickleBuilder& tuple2();
  PickleBuilder& tuple3();
  PickleBuilder& empty_list();
  PickleBuilder& list();
  PickleBuilder& append();
  PickleBuilder& appends();
  PickleBuilder& empty_dict();
  PickleBuilder& dict();
  PickleBuilder& setitem();
  PickleBuilder& setitems();
  PickleBuilder& empty_set();
  PickleBuilder& additems();
  PickleBuilder& frozenset();

  // Names and calls.
  PickleBuilder& global(std::string_view module, std::string_view name);
  PickleBuilder& stack_global();
  PickleBuilder& inst(std::string_view module, std::string_view name);
  PickleBuilder& obj();
  PickleBuilder& reduce();
  PickleBuilder& newobj();
  PickleBuilder& newobj_ex();
  PickleBuilder& build();
  PickleBuilder& binpersid();

  // The memo: BINPUT and BINGET, or their long forms beyond 255.
  PickleBuilder& put(std::uint32_t index);
  PickleBuilder& get(std::uint32_t index);
  PickleBuilder& memoize();

  // What torch.save writes: ("storage", torch.CLASS, key, location, numel) as a persistent id, and a call of
  // torch._utils._rebuild_tensor_v2 with C-order strides.
  PickleBuilder& storage(std::string_view storage_class, std::string_view key, std::int64_t numel,
                         std::string_view location = "cpu");
  PickleBuilder& tensor(std::string_view storage_class, std::string_view key, std::span<const std::int64_t> shape,
                        std::int64_t storage_offset = 0);
  PickleBuilder& integers(std::span<const std::int64_t> values);  // as a tuple

  [[nodiscard]] std::size_t size() const noexcept { return stream_.size(); }
  // A view: valid until the builder changes.
  [[nodiscard]] ByteSpan bytes() const noexcept { return as_byte_span(stream_); }
  [[nodiscard]] const std::string& str() const noexcept { return stream_; }
  [[nodiscard]] std::vector<std::byte> copy() const { return {bytes().begin(), bytes().end()}; }

 private:
  PickleBuilder& byte(unsigned value);
  template <std::integral T>
  PickleBuilder& number(T value);

  std::string stream_;
};

}  // namespace rushlight::test
