// Three steps: names are matched, elements compared, what is left over recognised under other names.
#include "rushlight/diff.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "checksum/xxh3.hpp"
#include "open/compare_elements.hpp"
#include "open/opened.hpp"
#include "rushlight/text.hpp"
#include "tensor/element_stream.hpp"
#include "tensor/meta.hpp"
#include "tensor/unfolded_bytes.hpp"

namespace rushlight {
namespace {

// Tensors are opened in rounds of about so many bytes; elements are compared in runs, on all threads.
constexpr std::uint64_t kPairRoundBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kRunBytes = std::uint64_t{1} << 20;
constexpr std::size_t kRunsAtOnce = 64;
constexpr std::size_t kNamedTied = 8;

// --- what can be compared

// Whether a file of that kind keeps strides, shared storages and plain values.
bool is_torchs(FileKind kind) noexcept {
  switch (kind) {
    case FileKind::torch_zip:
    case FileKind::torch_legacy:
    case FileKind::torch_tar:
    case FileKind::torchscript:
    case FileKind::torchscript_mobile:
    case FileKind::pt2:
    case FileKind::torch_package:
      return true;
    default:
      return false;
  }
}

// --- names

// Positions by name; the n-th of a name is matched with the n-th of the same name.
class ByName {
 public:
  template <class Entries>
  explicit ByName(const Entries& entries) {
    positions_.reserve(entries.size());
    for (std::size_t i = 0; i < entries.size(); ++i) positions_[entries[i].name].push_back(i);
  }
  std::optional<std::size_t> take(const std::string& name) {
    const auto found = positions_.find(name);
    if (found == positions_.end() || found->second.empty()) return std::nullopt;
    const std::size_t position = found->second.front();
    found->second.pop_front();
    return position;
  }

 private:
  std::unordered_map<std::string, std::deque<std::size_t>> positions_;
};

struct Matched {
  std::vector<std::pair<std::size_t, std::size_t>> both;
  std::vector<std::size_t> only_a;
  std::vector<std::size_t> only_b;
};
template <class Entries>
Matched match_names(const Entries& a, const Entries& b) {
  Matched matched;
  ByName by_name(b);
  std::vector<bool> taken(b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (const std::optional<std::size_t> j = by_name.take(a[i].name)) {
      taken[*j] = true;
      matched.both.emplace_back(i, *j);
    } else {
      matched.only_a.push_back(i);
    }
  }
  for (std::size_t j = 0; j < b.size(); ++j) {
    if (!taken[j]) matched.only_b.push_back(j);
  }
  return matched;
}

// The tensors and NumPy arrays of a checkpoint, or those that the pattern fits.
Result<std::vector<TensorEntry>> entries_of(Inspection& inspection, const std::string& pattern) {
  for (TensorEntry& array : array_entries(inspection)) inspection.tensors.push_back(std::move(array));
  if (pattern.empty()) return inspection.tensors;
  return find_tensors(inspection, pattern);
}

// --- values

template <class T>
bool same_bits(T a, T b) noexcept {
  return std::bit_cast<std::array<std::byte, sizeof(T)>>(a) == std::bit_cast<std::array<std::byte, sizeof(T)>>(b);
}

Result<bool> same_bytes(const Storage& a, const Storage& b) {
  if (a.size_bytes() != b.size_bytes()) return false;
  RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> p, a.bytes());
  RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> q, b.bytes());
  return std::ranges::equal(p, q);
}

// Of leaves, as listings have them.
Result<bool> same_value(const Value& a, const Value& b) {
  if (a.kind() != b.kind() || a.class_name() != b.class_name() || a.numpy_dtype() != b.numpy_dtype()) return false;
  switch (a.kind()) {
    case ValueKind::boolean:
      return a.as_bool() == b.as_bool();
    case ValueKind::integer:
      return a.as_decimal() == b.as_decimal();
    case ValueKind::real:
      return same_bits(a.as_double().value_or(0), b.as_double().value_or(0));
    case ValueKind::complex: {
      const std::complex<double> p = a.as_complex().value_or(0);
      const std::complex<double> q = b.as_complex().value_or(0);
      return same_bits(p.real(), q.real()) && same_bits(p.imag(), q.imag());
    }
    case ValueKind::string:
      return a.as_string() == b.as_string();
    case ValueKind::bytes:
    case ValueKind::bytearray:
      return std::ranges::equal(*a.as_bytes(), *b.as_bytes());
    case ValueKind::dtype:
      return a.as_dtype() == b.as_dtype();
    case ValueKind::device:
      return a.as_device() == b.as_device();
    case ValueKind::storage:
      if (a.as_dtype() != b.as_dtype()) return false;
      return same_bytes(*a.as_storage(), *b.as_storage());
    case ValueKind::size: {
      if (a.size() != b.size()) return false;
      for (std::size_t i = 0; i < a.size(); ++i) {
        if (a.item(i).as_int() != b.item(i).as_int()) return false;
      }
      return true;
    }
    case ValueKind::ndarray: {
      const NdArray& p = *a.as_ndarray();
      const NdArray& q = *b.as_ndarray();
      if (p.dtype != q.dtype || p.shape != q.shape) return false;
      // Those that are tensors were compared as such; objects are values of their own.
      if (p.tensor || !p.data || !q.data) return true;
      return p.order == q.order ? same_bytes(*p.data, *q.data) : false;
    }
    default:
      return true;  // None, empty containers, classes and objects of one class
  }
}

struct NamedValue {
  std::string name;
  Value value;
};
std::vector<NamedValue> values_of(const Checkpoint& checkpoint, const Inspection& inspection) {
  std::vector<NamedValue> values;
  values.reserve(inspection.values.size() + inspection.opaque.size());
  for (const ValueEntry& entry : inspection.values) {
    const NdArray* const array = entry.value.as_ndarray();
    if (array != nullptr && array->tensor) continue;  // among the tensors
    values.push_back({entry.name, entry.value});
  }
  for (const OpaqueEntry& entry : inspection.opaque) values.push_back({entry.name, checkpoint.root().at(entry.path)});
  return values;
}

// --- quantisers

Result<bool> same_elements(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || !std::ranges::equal(a.shape(), b.shape())) return false;
  RUSHLIGHT_TRY_ASSIGN(ElementStream p, ElementStream::open(a));
  RUSHLIGHT_TRY_ASSIGN(ElementStream q, ElementStream::open(b));
  for (ByteSpan piece = p.next(); !piece.empty(); piece = p.next()) {
    if (!std::ranges::equal(piece, q.next())) return false;
  }
  return true;
}

Result<bool> same_quantizer(const Quantizer* a, const Quantizer* b) {
  if (a == nullptr || b == nullptr) return a == b;
  if (a->is_per_channel() != b->is_per_channel()) return false;
  if (!a->is_per_channel()) return same_bits(a->scale, b->scale) && a->zero_point == b->zero_point;
  if (a->axis != b->axis) return false;
  RUSHLIGHT_TRY_ASSIGN(const bool scales, same_elements(a->scales, b->scales));
  if (!scales) return false;
  return same_elements(a->zero_points, b->zero_points);
}

// --- elements

struct Pair {
  const TensorEntry* a = nullptr;
  const TensorEntry* b = nullptr;
  DType dtype = DType::f32;  // of what is compared: the values of quantised tensors whose quantisers differ are float32
  std::optional<ElementStream> x;
  std::optional<ElementStream> y;
  std::optional<Error> error_a;
  std::optional<Error> error_b;
  bool without_data = false;  // of both: equal
  bool one_without_data = false;
  std::atomic<bool> differs = false;
  open::ElementTally tally;

  [[nodiscard]] bool is_open() const noexcept { return x && y; }
  [[nodiscard]] bool is_whole() const noexcept { return x->whole() && y->whole(); }
};

Result<ElementStream> open_stream(const Tensor& tensor) {
  if (tensor.device().kind == Device::Kind::cpu) return ElementStream::open(tensor);
  RUSHLIGHT_TRY_ASSIGN(const Tensor on_host, tensor.to(Device::cpu()));
  return ElementStream::open(on_host);
}

void open_pair(Pair& pair) {
  const Tensor& a = pair.a->tensor;
  const Tensor& b = pair.b->tensor;
  pair.dtype = a.dtype();
  pair.without_data = is_meta(a) && is_meta(b);
  pair.one_without_data = is_meta(a) != is_meta(b);
  if (pair.without_data || pair.one_without_data) return;
  Tensor read_a = a;
  Tensor read_b = b;
  const Quantizer* const p = a.options().quantizer.get();
  const Quantizer* const q = b.options().quantizer.get();
  if (p != nullptr && q != nullptr) {
    const Result<bool> same = same_quantizer(p, q);
    if (!same) {
      pair.error_a = same.error();
      return;
    }
    if (!*same) {
      Result<Tensor> values_a = a.dequantize();
      Result<Tensor> values_b = b.dequantize();
      if (!values_a) pair.error_a = std::move(values_a).error();
      if (!values_b) pair.error_b = std::move(values_b).error();
      if (pair.error_a || pair.error_b) return;
      read_a = *std::move(values_a);
      read_b = *std::move(values_b);
      pair.dtype = read_a.dtype();
    }
  }
  Result<ElementStream> x = open_stream(read_a);
  Result<ElementStream> y = open_stream(read_b);
  if (!x) pair.error_a = std::move(x).error();
  if (!y) pair.error_b = std::move(y).error();
  if (!x || !y) return;
  pair.x.emplace(*std::move(x));
  pair.y.emplace(*std::move(y));
}

// A part of one pair's elements; all of them where they do not lie in one piece.
struct Run {
  Pair* pair = nullptr;
  std::uint64_t begin = 0;
  std::uint64_t bytes = 0;
  open::ElementTally tally{};

  [[nodiscard]] ByteSpan of(const ElementStream& stream) const {
    return stream.whole()->subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(bytes));
  }
};

void append_runs(Pair& pair, std::vector<Run>& runs) {
  if (!pair.is_whole()) {
    runs.push_back({&pair, 0, pair.a->tensor.size_bytes()});
    return;
  }
  const std::uint64_t size = pair.x->whole()->size();
  for (std::uint64_t begin = 0; begin < size; begin += kRunBytes) {
    runs.push_back({&pair, begin, std::min(kRunBytes, size - begin)});
  }
}

void find_difference(const Run& run) {
  Pair& pair = *run.pair;
  if (pair.differs.load(std::memory_order_relaxed)) return;
  bool differs = false;
  if (pair.is_whole()) {
    differs = std::memcmp(run.of(*pair.x).data(), run.of(*pair.y).data(), static_cast<std::size_t>(run.bytes)) != 0;
  } else {
    ElementStream x = *pair.x;  // the originals stay at the start
    ElementStream y = *pair.y;
    for (ByteSpan piece = x.next(); !piece.empty() && !differs; piece = x.next()) {
      differs = std::memcmp(piece.data(), y.next().data(), piece.size()) != 0;
    }
  }
  if (differs) pair.differs.store(true, std::memory_order_relaxed);
}

void measure(Run& run, const open::Tolerance& tolerance) {
  Pair& pair = *run.pair;
  if (pair.is_whole()) {
    run.tally = open::compare_elements(pair.dtype, run.of(*pair.x), run.of(*pair.y), tolerance);
    return;
  }
  for (ByteSpan piece = pair.x->next(); !piece.empty(); piece = pair.x->next()) {
    run.tally.append(open::compare_elements(pair.dtype, piece, pair.y->next(), tolerance));
  }
}

Shape index_of(std::int64_t position, std::span<const std::int64_t> shape) {
  Shape index(shape.size());
  for (std::size_t dim = shape.size(); dim-- > 0;) {
    index[dim] = position % shape[dim];
    position /= shape[dim];
  }
  return index;
}

ElementDifferences differences_of(const Pair& pair) {
  const open::ElementTally& tally = pair.tally;
  ElementDifferences out;
  out.elements = tally.elements;
  out.different = tally.different;
  out.nan = tally.nan;
  if (!open::has_numbers(pair.dtype)) return out;
  if (tally.max_abs >= 0) {
    out.max_abs = tally.max_abs;
    out.max_rel = tally.max_rel;
    if (open::has_ulps(pair.dtype)) out.max_ulp = tally.max_ulp;
    out.max_abs_index = index_of(tally.max_abs_at, pair.a->tensor.shape());
  }
  if (std::isfinite(tally.sum_aa) && std::isfinite(tally.sum_bb) && tally.sum_aa > 0) {
    out.rel_l2 = std::sqrt(tally.sum_dd) / std::sqrt(tally.sum_aa);
    // Of complex numbers the real part of the inner product.
    if (tally.sum_bb > 0) out.cosine = tally.sum_ab / (std::sqrt(tally.sum_aa) * std::sqrt(tally.sum_bb));
  }
  return out;
}

class Comparison {
 public:
  Comparison(const DiffOptions& options, std::uint64_t total_bytes)
      : executor_(options.executor),
        progress_(options.progress),
        tolerance_{options.rtol, options.atol},
        total_bytes_(total_bytes) {}

  // As many of the pairs as make a round; gives how many.
  Result<std::size_t> compare(std::span<Pair> pairs) {
    std::size_t count = 0;
    for (std::uint64_t bytes = 0; count < pairs.size() && (count == 0 || bytes < kPairRoundBytes); ++count) {
      bytes += size_of(pairs[count]);
    }
    for_each(count, [&](std::size_t i) { open_pair(pairs[i]); });
    std::vector<Run> runs;
    for (Pair& pair : pairs.first(count)) {
      if (!pair.is_open()) continue;
      append_runs(pair, runs);
    }
    RUSHLIGHT_TRY(run_all(runs, true, [](Run& run) { find_difference(run); }));
    std::erase_if(runs, [](const Run& run) { return !run.pair->differs.load(std::memory_order_relaxed); });
    RUSHLIGHT_TRY(run_all(runs, false, [&](Run& run) { measure(run, tolerance_); }));
    for (const Run& run : runs) run.pair->tally.append(run.tally);
    for (Pair& pair : pairs.first(count)) {
      pair.x.reset();
      pair.y.reset();
    }
    return count;
  }

  template <class F>
  void for_each(std::size_t count, F&& f) {
    if (executor_ != nullptr && count > 1) {
      for_each_index(*executor_, count, f);
    } else {
      for (std::size_t i = 0; i < count; ++i) f(i);
    }
  }

  Status advance(std::uint64_t bytes) {
    done_bytes_ += bytes;
    if (progress_ == nullptr || progress_->on_progress("diff", std::min(done_bytes_, total_bytes_), total_bytes_)) {
      return {};
    }
    return Error::of(ErrorCode::cancelled,
                     {.category = Category::io, .code = "CANCELLED", .message = "the comparison was cancelled"});
  }

 private:
  static std::uint64_t size_of(const Pair& pair) { return is_meta(pair.a->tensor) ? 0 : pair.a->tensor.size_bytes(); }

  template <class F>
  Status run_all(std::span<Run> runs, bool counts, F&& f) {
    for (std::size_t begin = 0; begin < runs.size(); begin += kRunsAtOnce) {
      const std::span<Run> batch = runs.subspan(begin, std::min(kRunsAtOnce, runs.size() - begin));
      for_each(batch.size(), [&](std::size_t i) { f(batch[i]); });
      std::uint64_t bytes = 0;
      for (const Run& run : batch) bytes += run.bytes;
      RUSHLIGHT_TRY(advance(counts ? bytes : 0));
    }
    return {};
  }

  Executor* executor_;
  Progress* progress_;
  open::Tolerance tolerance_;
  std::uint64_t total_bytes_;
  std::uint64_t done_bytes_ = 0;
};

// --- ties

// Which of the tensors that both have lie on one storage. Two tensors are tied alike when the same others share theirs.
class Ties {
 public:
  explicit Ties(std::span<const Pair> pairs) : pairs_(pairs) {
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      if (!has_storage(pairs[i])) continue;
      a_[memory(pairs[i].a)].push_back(i);
      b_[memory(pairs[i].b)].push_back(i);
      ++both_[{memory(pairs[i].a), memory(pairs[i].b)}];
    }
  }

  [[nodiscard]] bool differ(std::size_t i) const {
    if (!has_storage(pairs_[i])) return false;
    const Memory* const a = memory(pairs_[i].a);
    const Memory* const b = memory(pairs_[i].b);
    const std::size_t common = both_.at({a, b});
    return a_.at(a).size() != common || b_.at(b).size() != common;
  }
  [[nodiscard]] std::vector<std::string> others_of_a(std::size_t i) const {
    return others(a_.at(memory(pairs_[i].a)), i);
  }
  [[nodiscard]] std::vector<std::string> others_of_b(std::size_t i) const {
    return others(b_.at(memory(pairs_[i].b)), i);
  }

 private:
  using Groups = std::map<const Memory*, std::vector<std::size_t>>;

  static const Memory* memory(const TensorEntry* entry) noexcept { return entry->tensor.storage().memory().get(); }
  // Tensors without elements have no bytes to share, whatever they point at.
  static bool has_storage(const Pair& pair) noexcept {
    return pair.a->tensor.numel() > 0 && pair.b->tensor.numel() > 0 && !is_meta(pair.a->tensor) &&
           !is_meta(pair.b->tensor);
  }
  [[nodiscard]] std::vector<std::string> others(const std::vector<std::size_t>& group, std::size_t self) const {
    std::vector<std::string> names;
    for (const std::size_t i : group) {
      if (i == self) continue;
      if (names.size() == kNamedTied) break;
      names.push_back(pairs_[i].a->name);
    }
    return names;
  }

  std::span<const Pair> pairs_;
  Groups a_;
  Groups b_;
  std::map<std::pair<const Memory*, const Memory*>, std::size_t> both_;
};

bool strides_differ(const Tensor& a, const Tensor& b) {
  if (a.is_contiguous() && b.is_contiguous()) return false;
  // Those of dimensions of size 1 lead nowhere.
  for (std::size_t dim = 0; dim < a.shape().size(); ++dim) {
    if (a.shape()[dim] > 1 && a.strides()[dim] != b.strides()[dim]) return true;
  }
  return false;
}

// --- other names

using Likeness = std::tuple<DType, Shape>;

Likeness likeness_of(const Tensor& tensor) {
  return {tensor.dtype(), Shape(tensor.shape().begin(), tensor.shape().end())};
}

Result<std::string> digest_of(const Tensor& tensor) {
  if (is_meta(tensor)) return std::string("meta");
  RUSHLIGHT_TRY_ASSIGN(ElementStream elements, open_stream(tensor));
  checksum::Xxh3Stream hash;
  for (ByteSpan piece = elements.next(); !piece.empty(); piece = elements.next()) hash.update(piece);
  return checksum::to_hex(hash.digest());
}

Error of_file(Error error, const TensorEntry& entry, const std::string& file) {
  if (error.finding.tensors.empty()) error.finding.tensors.push_back(entry.name);
  return with_file(std::move(error), file);
}

}  // namespace

std::string_view to_string(TensorChange::Kind kind) noexcept {
  switch (kind) {
    case TensorChange::Kind::values:
      return "values";
    case TensorChange::Kind::shape:
      return "shape";
    case TensorChange::Kind::dtype:
      return "dtype";
    case TensorChange::Kind::strides:
      return "strides";
    case TensorChange::Kind::tying:
      return "tying";
  }
  return "?";
}

namespace {

class Differ {
 public:
  Differ(const Checkpoint& a, const Checkpoint& b, const DiffOptions& options) : a_(a), b_(b), options_(options) {
    report_.file_a = a.file();
    report_.file_b = b.file();
  }

  Result<DiffReport> run() {
    RUSHLIGHT_TRY_ASSIGN(Inspection in_a, inspect(a_, options_.limits));
    RUSHLIGHT_TRY_ASSIGN(Inspection in_b, inspect(b_, options_.limits));
    const FileKind kind_a = in_a.format.kind;
    const FileKind kind_b = in_b.format.kind;
    report_.compared_strides = report_.compared_tying = is_torchs(kind_a) && is_torchs(kind_b);
    report_.compared_values =
        options_.values && options_.match.empty() && (report_.compared_strides || kind_a == kind_b);
    RUSHLIGHT_TRY(find_entries(in_a, in_b));
    const Matched matched = match_names(entries_a_, entries_b_);
    RUSHLIGHT_TRY(check_size(matched));
    Comparison comparison(options_, total_bytes_);
    RUSHLIGHT_TRY(compare_tensors(matched, comparison));
    RUSHLIGHT_TRY(find_renamed(matched, comparison));
    if (options_.match.empty()) compare_composites(in_a.composites, in_b.composites);
    if (report_.compared_values) RUSHLIGHT_TRY(compare_values(values_of(a_, in_a), values_of(b_, in_b)));
    const bool is_damaged = std::ranges::any_of(
        report_.findings, [](const Finding& finding) { return finding.severity == Severity::error; });
    report_.same = report_.added.empty() && report_.removed.empty() && report_.renamed.empty() &&
                   report_.changed.empty() && report_.values.empty() && !is_damaged;
    return std::move(report_);
  }

 private:
  // A pattern may fit names of one of the two alone.
  Status find_entries(Inspection& in_a, Inspection& in_b) {
    Result<std::vector<TensorEntry>> found_a = entries_of(in_a, options_.match);
    Result<std::vector<TensorEntry>> found_b = entries_of(in_b, options_.match);
    const auto is_nothing = [](const Result<std::vector<TensorEntry>>& found) {
      return !found && found.error().code == ErrorCode::not_found;
    };
    if (!found_a && (!is_nothing(found_a) || is_nothing(found_b))) return std::move(found_a).error();
    if (!found_b && !is_nothing(found_b)) return std::move(found_b).error();
    if (found_a) entries_a_ = *std::move(found_a);
    if (found_b) entries_b_ = *std::move(found_b);
    return {};
  }

  // Views of a few bytes can claim terabytes.
  Status check_size(const Matched& matched) {
    std::vector<const Tensor*> tensors;
    for (const auto& [i, j] : matched.both) tensors.push_back(&entries_a_[i].tensor);
    for (const std::size_t i : matched.only_a) tensors.push_back(&entries_a_[i].tensor);
    Result<std::uint64_t> total = unfolded_bytes(tensors, "LIMIT-DIFF", "to be compared");
    if (!total) return with_file(std::move(total).error(), report_.file_a);
    tensors.clear();
    for (const std::size_t j : matched.only_b) tensors.push_back(&entries_b_[j].tensor);
    const Result<std::uint64_t> rest = unfolded_bytes(tensors, "LIMIT-DIFF", "to be compared");
    if (!rest) return with_file(rest.error(), report_.file_b);
    total_bytes_ = *total;
    return {};
  }

  void change(const Pair& pair, TensorChange::Kind kind, ElementDifferences differences = {}) {
    report_.changed.push_back({.name = pair.a->name,
                               .kind = kind,
                               .a = pair.a->tensor,
                               .b = pair.b->tensor,
                               .differences = std::move(differences),
                               .tied_a = {},
                               .tied_b = {}});
  }

  Status unreadable(Error error, const TensorEntry& entry, const std::string& file) {
    error = of_file(std::move(error), entry, file);
    if (open::could_not_look(error)) return error;
    report_.findings.push_back(std::move(error.finding));
    return {};
  }

  Status compare_tensors(const Matched& matched, Comparison& comparison) {
    std::vector<Pair> all(matched.both.size());
    std::vector<std::size_t> comparable;  // of one dtype and shape
    for (std::size_t i = 0; i < all.size(); ++i) {
      all[i].a = &entries_a_[matched.both[i].first];
      all[i].b = &entries_b_[matched.both[i].second];
      if (likeness_of(all[i].a->tensor) == likeness_of(all[i].b->tensor)) comparable.push_back(i);
    }
    std::vector<Pair> compared(comparable.size());
    for (std::size_t i = 0; i < comparable.size(); ++i) {
      compared[i].a = all[comparable[i]].a;
      compared[i].b = all[comparable[i]].b;
    }
    for (std::size_t begin = 0; begin < compared.size();) {
      RUSHLIGHT_TRY_ASSIGN(const std::size_t count, comparison.compare(std::span(compared).subspan(begin)));
      begin += count;
    }
    const Ties ties(all);
    std::size_t next = 0;  // of compared
    for (std::size_t i = 0; i < all.size(); ++i) {
      const bool was_compared = next < comparable.size() && comparable[next] == i;
      const Pair& pair = was_compared ? compared[next++] : all[i];
      const std::size_t changes = report_.changed.size();
      if (pair.error_a) RUSHLIGHT_TRY(unreadable(*pair.error_a, *pair.a, report_.file_a));
      if (pair.error_b) RUSHLIGHT_TRY(unreadable(*pair.error_b, *pair.b, report_.file_b));
      const Tensor& a = pair.a->tensor;
      const Tensor& b = pair.b->tensor;
      if (a.dtype() != b.dtype()) change(pair, TensorChange::Kind::dtype);
      if (!std::ranges::equal(a.shape(), b.shape())) change(pair, TensorChange::Kind::shape);
      if (pair.one_without_data) {
        change(pair, TensorChange::Kind::values, {.elements = a.numel(), .different = a.numel()});
      }
      if (pair.tally.different > 0) change(pair, TensorChange::Kind::values, differences_of(pair));
      if (report_.compared_strides && was_compared && strides_differ(a, b)) change(pair, TensorChange::Kind::strides);
      if (report_.compared_tying && ties.differ(i)) {
        change(pair, TensorChange::Kind::tying);
        report_.changed.back().tied_a = ties.others_of_a(i);
        report_.changed.back().tied_b = ties.others_of_b(i);
      }
      if (pair.error_a || pair.error_b || report_.changed.size() > changes) continue;
      ++(pair.tally.unequal > 0 ? report_.close : report_.equal);
    }
    return {};
  }

  struct Candidate {
    const TensorEntry* entry = nullptr;
    std::string digest{};  // empty: unreadable
    std::optional<Error> error{};
  };

  // Of those of `positions` that have a likeness on the other side: the others need no reading.
  static std::vector<Candidate> candidates(const std::vector<TensorEntry>& entries,
                                           const std::vector<std::size_t>& positions,
                                           const std::set<Likeness>& other_side) {
    std::vector<Candidate> found;
    for (const std::size_t i : positions) {
      const bool is_one = other_side.contains(likeness_of(entries[i].tensor));
      found.push_back({is_one ? &entries[i] : nullptr});
    }
    return found;
  }

  Status read_candidates(std::vector<Candidate>& candidates, const std::string& file, Comparison& comparison) {
    comparison.for_each(candidates.size(), [&](std::size_t i) {
      Candidate& candidate = candidates[i];
      if (candidate.entry == nullptr) return;
      Result<std::string> digest = digest_of(candidate.entry->tensor);
      if (digest) {
        candidate.digest = *std::move(digest);
      } else {
        candidate.error = std::move(digest).error();
      }
    });
    for (Candidate& candidate : candidates) {
      if (candidate.error) RUSHLIGHT_TRY(unreadable(*std::move(candidate.error), *candidate.entry, file));
    }
    return comparison.advance(0);
  }

  // Removed and added tensors of the same dtype, shape and digest, in their order.
  Status find_renamed(const Matched& matched, Comparison& comparison) {
    std::set<Likeness> in_a;
    std::set<Likeness> in_b;
    for (const std::size_t i : matched.only_a) in_a.insert(likeness_of(entries_a_[i].tensor));
    for (const std::size_t j : matched.only_b) in_b.insert(likeness_of(entries_b_[j].tensor));
    std::vector<Candidate> gone = candidates(entries_a_, matched.only_a, in_b);
    std::vector<Candidate> come = candidates(entries_b_, matched.only_b, in_a);
    RUSHLIGHT_TRY(read_candidates(gone, report_.file_a, comparison));
    RUSHLIGHT_TRY(read_candidates(come, report_.file_b, comparison));
    std::map<std::pair<Likeness, std::string>, std::deque<std::size_t>> by_content;
    for (std::size_t j = 0; j < come.size(); ++j) {
      if (!come[j].digest.empty()) by_content[{likeness_of(come[j].entry->tensor), come[j].digest}].push_back(j);
    }
    std::vector<bool> is_new_name(come.size());
    for (std::size_t i = 0; i < gone.size(); ++i) {
      const TensorEntry& entry = entries_a_[matched.only_a[i]];
      const auto same =
          gone[i].digest.empty() ? by_content.end() : by_content.find({likeness_of(entry.tensor), gone[i].digest});
      if (same == by_content.end() || same->second.empty()) {
        report_.removed.push_back(entry);
        continue;
      }
      is_new_name[same->second.front()] = true;
      report_.renamed.push_back({entry.name, come[same->second.front()].entry->name});
      same->second.pop_front();
    }
    for (std::size_t j = 0; j < come.size(); ++j) {
      if (!is_new_name[j]) report_.added.push_back(entries_b_[matched.only_b[j]]);
    }
    return {};
  }

  // Their parts were compared as tensors; the shape of the whole is in none of them.
  void compare_composites(const std::vector<CompositeEntry>& a, const std::vector<CompositeEntry>& b) {
    for (const auto& [i, j] : match_names(a, b).both) {
      const CompositeTensor& p = a[i].tensor;
      const CompositeTensor& q = b[j].tensor;
      if (p.layout() == q.layout() && p.shape() == q.shape() && p.ragged_dim() == q.ragged_dim()) continue;
      report_.values.push_back({a[i].name, Value(p), Value(q)});
    }
  }

  Status compare_values(const std::vector<NamedValue>& a, const std::vector<NamedValue>& b) {
    const Matched matched = match_names(a, b);
    for (const auto& [i, j] : matched.both) {
      RUSHLIGHT_TRY_ASSIGN(const bool same, same_value(a[i].value, b[j].value));
      if (!same) report_.values.push_back({a[i].name, a[i].value, b[j].value});
    }
    for (const std::size_t i : matched.only_a) report_.values.push_back({a[i].name, a[i].value, std::nullopt});
    for (const std::size_t j : matched.only_b) report_.values.push_back({b[j].name, std::nullopt, b[j].value});
    return {};
  }

  const Checkpoint& a_;
  const Checkpoint& b_;
  const DiffOptions& options_;
  DiffReport report_;
  std::vector<TensorEntry> entries_a_;
  std::vector<TensorEntry> entries_b_;
  std::uint64_t total_bytes_ = 0;
};

}  // namespace

Result<DiffReport> diff(const Checkpoint& a, const Checkpoint& b, const DiffOptions& options) {
  return or_no_memory([&]() -> Result<DiffReport> {
    if (!(options.rtol >= 0) || !(options.atol >= 0)) {
      return Error::of({.category = Category::argument,
                        .code = "ARG-TOLERANCE",
                        .message = "a tolerance is below 0 or no number",
                        .expected = "0 or more"});
    }
    return Differ(a, b, options).run();
  });
}

}  // namespace rushlight
