#include "interchange/npy_header.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"

namespace rushlight::interchange {
namespace {

struct Descr {
  std::string_view code;  // without the byte order
  DType dtype;
};
constexpr std::array kDescrs = {
    Descr{"b1", DType::boolean}, Descr{"u1", DType::u8},    Descr{"i1", DType::i8},  Descr{"u2", DType::u16},
    Descr{"i2", DType::i16},     Descr{"u4", DType::u32},   Descr{"i4", DType::i32}, Descr{"u8", DType::u64},
    Descr{"i8", DType::i64},     Descr{"f2", DType::f16},   Descr{"f4", DType::f32}, Descr{"f8", DType::f64},
    Descr{"c8", DType::c64},     Descr{"c16", DType::c128},
};

class Parser {
 public:
  Parser(std::string_view text, std::uint64_t offset, const Limits& limits)
      : text_(text), offset_(offset), limits_(limits) {}

  Result<NpyHeader> parse() {
    bool has_descr = false;
    bool has_order = false;
    bool has_shape = false;
    RUSHLIGHT_TRY(expect('{'));
    while (!accept('}')) {
      const std::size_t key_at = at_;
      RUSHLIGHT_TRY_ASSIGN(const std::string_view key, string());
      bool* seen = key == "descr"           ? &has_descr
                   : key == "fortran_order" ? &has_order
                   : key == "shape"         ? &has_shape
                                            : nullptr;
      if (seen == nullptr) return wrong(key_at, "unknown key " + quoted(key));
      if (*seen) return wrong(key_at, "key " + quoted(key) + " stands twice");
      *seen = true;
      RUSHLIGHT_TRY(expect(':'));
      if (seen == &has_descr) {
        RUSHLIGHT_TRY(descr());
      } else if (seen == &has_order) {
        RUSHLIGHT_TRY(order());
      } else {
        RUSHLIGHT_TRY(shape());
      }
      if (accept(',')) continue;
      RUSHLIGHT_TRY(expect('}'));
      break;
    }
    skip_space();
    if (at_ != text_.size()) return wrong(at_, "text follows the dict");
    for (const auto& [seen, key] :
         {std::pair(has_descr, "descr"), std::pair(has_order, "fortran_order"), std::pair(has_shape, "shape")}) {
      if (!seen) return wrong(0, "key " + quoted(key) + " is missing");
    }
    return std::move(header_);
  }

 private:
  [[nodiscard]] Error wrong(std::size_t at, std::string what) const {
    return Error::of({.category = Category::tensor,
                      .code = "NPY-HEADER",
                      .message = "the header is no array description: " + std::move(what),
                      .offset = offset_ + at});
  }

  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\n\r").find(text_[at_]) != std::string_view::npos) ++at_;
  }
  bool accept(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  Status expect(char c) {
    if (accept(c)) return {};
    const std::string found = at_ == text_.size() ? "the end" : quoted(text_.substr(at_, 1));
    return wrong(at_, "expected " + quoted(std::string_view(&c, 1)) + ", found " + found);
  }
  bool accept_word(std::string_view word) {
    skip_space();
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  Result<std::string_view> string() {
    skip_space();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    const std::size_t end = quote == '\'' || quote == '"' ? text_.find(quote, at_ + 1) : std::string_view::npos;
    if (end == std::string_view::npos) return wrong(at_, "expected a string");
    const std::string_view content = text_.substr(at_ + 1, end - at_ - 1);
    if (content.find('\\') != std::string_view::npos) return wrong(at_, "escapes in a string");
    at_ = end + 1;
    return content;
  }

  Error unsupported(std::size_t at, std::string what, std::string found) const {
    return Error::of({.category = Category::unsup,
                      .code = "NPY-DTYPE",
                      .message = std::move(what),
                      .offset = offset_ + at,
                      .found = std::move(found),
                      .expected = "bool, integers, floats or complex numbers"});
  }

  Status descr() {
    skip_space();
    const std::size_t at = at_;
    if (at_ < text_.size() && (text_[at_] == '[' || text_[at_] == '(' || text_[at_] == '{')) {
      return unsupported(at, "arrays of structured elements cannot be read", {});
    }
    RUSHLIGHT_TRY_ASSIGN(const std::string_view text, string());
    const std::string found = escaped(text);
    if (text == "|O" || text == "O") {
      return unsupported(at, "object arrays hold pickles instead of elements and are refused", found);
    }
    const bool has_order = !text.empty() && std::string_view("<>|=").find(text[0]) != std::string_view::npos;
    const std::string_view code = has_order ? text.substr(1) : text;
    const auto* row =
        std::find_if(kDescrs.begin(), kDescrs.end(), [code](const Descr& descr) { return descr.code == code; });
    if (row == kDescrs.end()) return unsupported(at, "elements of type " + quoted(text) + " cannot be read", found);
    // '=' is the order of the machine that wrote it, '|' says that there is none.
    const bool one_byte = size_bytes(row->dtype) == 1;
    if (!one_byte && (!has_order || text[0] == '|' || text[0] == '=')) {
      return wrong(at, "the byte order of " + quoted(text) + " is not given");
    }
    header_.dtype = row->dtype;
    header_.big_endian = !one_byte && text[0] == '>';
    return {};
  }

  Status order() {
    if (accept_word("True")) {
      header_.fortran_order = true;
      return {};
    }
    if (accept_word("False")) return {};
    return wrong(at_, "expected True or False");
  }

  Status shape() {
    RUSHLIGHT_TRY(expect('('));
    bool comma = true;  // whether another size may follow
    while (!accept(')')) {
      skip_space();
      if (!comma) return wrong(at_, "expected ',' or ')'");
      std::int64_t size = 0;
      const char* const begin = text_.data() + at_;
      const auto [end, problem] = std::from_chars(begin, text_.data() + text_.size(), size);
      if (problem != std::errc()) {
        return wrong(at_,
                     problem == std::errc::result_out_of_range ? "a size does not fit 64 bits" : "expected a size");
      }
      at_ += static_cast<std::size_t>(end - begin);
      accept_word("L");  // Python 2
      if (header_.shape.size() == limits_.tensor_dims) {
        return Error::of(
            {.category = Category::limit,
             .code = "LIMIT-TENSOR-DIMS",
             .message = "the array has more than " + std::to_string(limits_.tensor_dims) + " dimensions (tensor_dims)",
             .offset = offset_ + at_});
      }
      header_.shape.push_back(size);
      comma = accept(',');
    }
    // (3) is a number, (3,) a tuple.
    if (header_.shape.size() == 1 && !comma) return wrong(at_, "the shape is no tuple");
    return {};
  }

  std::string_view text_;
  std::uint64_t offset_;
  const Limits& limits_;
  std::size_t at_ = 0;
  NpyHeader header_;
};

}  // namespace

Result<NpyHeader> parse_npy_header(std::string_view text, std::uint64_t offset, const Limits& limits) {
  return Parser(text, offset, limits).parse();
}

Result<std::string> format_npy_header(DType dtype, std::span<const std::int64_t> shape, bool fortran_order) {
  const auto* row =
      std::find_if(kDescrs.begin(), kDescrs.end(), [dtype](const Descr& descr) { return descr.dtype == dtype; });
  if (row == kDescrs.end()) {
    const std::string name(to_string(dtype));
    return Error::of({.category = Category::unsup,
                      .code = "NPY-DTYPE",
                      .message = "NumPy has no dtype for " + name,
                      .found = name,
                      .hint = "convert the tensor first, to float32 for example"});
  }
  std::string dict = "{'descr': '";
  dict += size_bytes(dtype) == 1 ? '|' : '<';
  dict += row->code;
  dict += "', 'fortran_order': ";
  dict += fortran_order ? "True" : "False";
  dict += ", 'shape': (";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) dict += ", ";
    dict += std::to_string(shape[i]);
  }
  dict += shape.size() == 1 ? ",), }" : "), }";
  // Room for the size of the outermost dimension to grow to 21 digits in place.
  constexpr std::size_t kGrowthDigits = 21;
  if (!shape.empty()) {
    const std::int64_t outermost = fortran_order ? shape.back() : shape.front();
    dict.append(kGrowthDigits - std::to_string(outermost).size(), ' ');
  }
  constexpr std::size_t kAlignment = 64;
  const std::size_t before = kNpyMagic.size() + 2 + 2;
  dict.append(kAlignment - (before + dict.size() + 1) % kAlignment, ' ');
  dict += '\n';

  std::string header(kNpyMagic);
  header += {'\x01', '\x00'};
  header += static_cast<char>(dict.size() & 0xFF);  // at most 64 dimensions of 19 digits: well below 65,536
  header += static_cast<char>(dict.size() >> 8);
  return header + dict;
}

}  // namespace rushlight::interchange
