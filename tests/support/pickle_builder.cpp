#include "support/pickle_builder.hpp"

#include <bit>
#include <limits>

namespace rushlight::test {

PickleBuilder& PickleBuilder::byte(unsigned value) {
  stream_ += static_cast<char>(static_cast<unsigned char>(value));
  return *this;
}
template <std::integral T>
PickleBuilder& PickleBuilder::number(T value) {
  std::byte buffer[sizeof(T)];
  store_le(buffer, value);
  return raw(as_text(buffer));
}

PickleBuilder& PickleBuilder::raw(std::string_view bytes) {
  stream_ += bytes;
  return *this;
}
PickleBuilder& PickleBuilder::raw(std::initializer_list<unsigned> bytes) {
  for (const unsigned value : bytes) byte(value);
  return *this;
}

PickleBuilder& PickleBuilder::proto(unsigned version) {
  return byte(0x80).byte(version);
}
PickleBuilder& PickleBuilder::frame(std::uint64_t size_bytes) {
  return byte(0x95).number(size_bytes);
}
PickleBuilder& PickleBuilder::stop() {
  return raw(".");
}

PickleBuilder& PickleBuilder::mark() {
  return raw("(");
}
PickleBuilder& PickleBuilder::pop() {
  return raw("0");
}
PickleBuilder& PickleBuilder::pop_mark() {
  return raw("1");
}
PickleBuilder& PickleBuilder::dup() {
  return raw("2");
}

PickleBuilder& PickleBuilder::none() {
  return raw("N");
}
PickleBuilder& PickleBuilder::boolean(bool value) {
  return byte(value ? 0x88 : 0x89);
}
PickleBuilder& PickleBuilder::integer(std::int64_t value) {
  if (value >= 0 && value <= 0xFF) return raw("K").number(static_cast<std::uint8_t>(value));
  if (value >= 0 && value <= 0xFFFF) return raw("M").number(static_cast<std::uint16_t>(value));
  if (value >= std::numeric_limits<std::int32_t>::min() && value <= std::numeric_limits<std::int32_t>::max()) {
    return raw("J").number(static_cast<std::int32_t>(value));
  }
  return byte(0x8A).byte(8).number(value);
}
PickleBuilder& PickleBuilder::long1(std::string_view twos_complement) {
  return byte(0x8A).byte(static_cast<unsigned>(twos_complement.size())).raw(twos_complement);
}
PickleBuilder& PickleBuilder::long4(std::int32_t length, std::string_view twos_complement) {
  return byte(0x8B).number(length).raw(twos_complement);
}
PickleBuilder& PickleBuilder::real(double value) {
  return raw("G").number(byte_swapped(std::bit_cast<std::uint64_t>(value)));
}
PickleBuilder& PickleBuilder::text(std::string_view utf8) {
  return counted4('X', static_cast<std::uint32_t>(utf8.size()), utf8);
}
PickleBuilder& PickleBuilder::short_text(std::string_view utf8) {
  return byte(0x8C).byte(static_cast<unsigned>(utf8.size())).raw(utf8);
}
PickleBuilder& PickleBuilder::byte_string(std::string_view bytes) {
  if (bytes.size() > 0xFF) return counted4('T', static_cast<std::uint32_t>(bytes.size()), bytes);
  return raw("U").byte(static_cast<unsigned>(bytes.size())).raw(bytes);
}
PickleBuilder& PickleBuilder::bytes_value(std::string_view bytes) {
  if (bytes.size() > 0xFF) return counted4('B', static_cast<std::uint32_t>(bytes.size()), bytes);
  return raw("C").byte(static_cast<unsigned>(bytes.size())).raw(bytes);
}
PickleBuilder& PickleBuilder::bytearray_value(std::string_view bytes) {
  return counted8('\x96', bytes.size(), bytes);
}
PickleBuilder& PickleBuilder::counted4(char opcode, std::uint32_t length, std::string_view bytes) {
  stream_ += opcode;
  return number(length).raw(bytes);
}
PickleBuilder& PickleBuilder::counted8(char opcode, std::uint64_t length, std::string_view bytes) {
  stream_ += opcode;
  return number(length).raw(bytes);
}
PickleBuilder& PickleBuilder::line(char opcode, std::string_view text) {
  stream_ += opcode;
  return raw(text).raw("\n");
}

PickleBuilder& PickleBuilder::empty_tuple() {
  return raw(")");
}
PickleBuilder& PickleBuilder::tuple() {
  return raw("t");
}
PickleBuilder& PickleBuilder::tuple1() {
  return byte(0x85);
}
PickleBuilder& PickleBuilder::tuple2() {
  return byte(0x86);
}
PickleBuilder& PickleBuilder::tuple3() {
  return byte(0x87);
}
PickleBuilder& PickleBuilder::empty_list() {
  return raw("]");
}
PickleBuilder& PickleBuilder::list() {
  return raw("l");
}
PickleBuilder& PickleBuilder::append() {
  return raw("a");
}
PickleBuilder& PickleBuilder::appends() {
  return raw("e");
}
PickleBuilder& PickleBuilder::empty_dict() {
  return raw("}");
}
PickleBuilder& PickleBuilder::dict() {
  return raw("d");
}
PickleBuilder& PickleBuilder::setitem() {
  return raw("s");
}
PickleBuilder& PickleBuilder::setitems() {
  return raw("u");
}
PickleBuilder& PickleBuilder::empty_set() {
  return byte(0x8F);
}
PickleBuilder& PickleBuilder::additems() {
  return byte(0x90);
}
PickleBuilder& PickleBuilder::frozenset() {
  return byte(0x91);
}

PickleBuilder& PickleBuilder::global(std::string_view module, std::string_view name) {
  return line('c', module).raw(name).raw("\n");
}
PickleBuilder& PickleBuilder::stack_global() {
  return byte(0x93);
}
PickleBuilder& PickleBuilder::inst(std::string_view module, std::string_view name) {
  return line('i', module).raw(name).raw("\n");
}
PickleBuilder& PickleBuilder::obj() {
  return raw("o");
}
PickleBuilder& PickleBuilder::reduce() {
  return raw("R");
}
PickleBuilder& PickleBuilder::newobj() {
  return byte(0x81);
}
PickleBuilder& PickleBuilder::newobj_ex() {
  return byte(0x92);
}
PickleBuilder& PickleBuilder::build() {
  return raw("b");
}
PickleBuilder& PickleBuilder::binpersid() {
  return raw("Q");
}

PickleBuilder& PickleBuilder::put(std::uint32_t index) {
  if (index <= 0xFF) return raw("q").byte(index);
  return raw("r").number(index);
}
PickleBuilder& PickleBuilder::get(std::uint32_t index) {
  if (index <= 0xFF) return raw("h").byte(index);
  return raw("j").number(index);
}
PickleBuilder& PickleBuilder::memoize() {
  return byte(0x94);
}

PickleBuilder& PickleBuilder::storage(std::string_view storage_class, std::string_view key, std::int64_t numel,
                                      std::string_view location) {
  mark().text("storage").global("torch", storage_class).text(key).text(location).integer(numel).tuple();
  return binpersid();
}
PickleBuilder& PickleBuilder::tensor(std::string_view storage_class, std::string_view key,
                                     std::span<const std::int64_t> shape, std::int64_t storage_offset) {
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t numel = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = numel;
    numel *= shape[i];
  }
  global("torch._utils", "_rebuild_tensor_v2").mark().storage(storage_class, key, storage_offset + numel);
  integer(storage_offset).integers(shape).integers(strides).boolean(false);
  return global("collections", "OrderedDict").empty_tuple().reduce().tuple().reduce();
}
PickleBuilder& PickleBuilder::integers(std::span<const std::int64_t> values) {
  mark();
  for (const std::int64_t value : values) integer(value);
  return tuple();
}

}  // namespace rushlight::test
