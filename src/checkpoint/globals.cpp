#include "checkpoint/globals.hpp"

#include <array>
#include <cstddef>
#include <string>

namespace rushlight::checkpoint {
namespace {

constexpr GlobalRow kRows[] = {
#define RUSHLIGHT_GLOBAL(module, name, meaning_, torch_) {module, name, {Meaning::meaning_, DType::f32, torch_}},
#include "checkpoint/globals.def"
};

// The old tensor classes (torch._tensor_classes): torch.FloatTensor is to FloatStorage what Tensor is to Storage.
std::optional<DType> dtype_from_tensor_class(std::string_view name) noexcept {
  constexpr std::string_view kTensor = "Tensor";
  constexpr std::string_view kStorage = "Storage";
  std::array<char, 32> storage{};
  if (!name.ends_with(kTensor) || name.size() > storage.size() - kStorage.size()) return std::nullopt;
  const std::size_t stem = name.substr(0, name.size() - kTensor.size()).copy(storage.data(), storage.size());
  const std::size_t size = stem + kStorage.copy(storage.data() + stem, kStorage.size());
  const std::optional<DType> dtype = dtype_from_storage_class({storage.data(), size});
  if (!dtype) return std::nullopt;
  const DTypeKind kind = info(*dtype).kind;
  const bool plain =
      kind == DTypeKind::boolean || kind == DTypeKind::integer || kind == DTypeKind::natural || kind == DTypeKind::real;
  return plain ? dtype : std::nullopt;
}

// Which releases take the name of the dtype itself; those of storages and tensors of it are older.
ReleaseRange releases_of_dtype(DType dtype) noexcept {
  switch (dtype) {
    case DType::c32:
    case DType::c64:
    case DType::c128:
    case DType::f16:
    case DType::f32:
    case DType::f64:
    case DType::i8:
    case DType::i16:
    case DType::i32:
    case DType::i64:
      return since(1, 13);
    case DType::f8_e5m2:
    case DType::f8_e4m3fn:
      return since(2, 2);
    case DType::f8_e5m2fnuz:
    case DType::f8_e4m3fnuz:
      return since(2, 3);
    case DType::u16:
    case DType::u32:
    case DType::u64:
      return since(2, 6);
    case DType::f8_e8m0fnu:
      return since(2, 7);
    case DType::f4_e2m1fn_x2:
      return since(2, 8);
    case DType::bc32:
      return since(2, 14);
    case DType::boolean:
    case DType::u8:
    case DType::bf16:
    case DType::qi8:
    case DType::qu8:
    case DType::qi32:
    case DType::qu4x2:
    case DType::qu2x4:
    case DType::bits1x8:
    case DType::bits2x4:
    case DType::bits4x2:
    case DType::bits8:
    case DType::bits16:
      return since(2, 4);
  }
  return never;
}

struct Renaming {
  PythonName from;  // an empty name stands for every name of the module
  PythonName to;    // an empty name keeps it
};
// Those renamings of CPython's Lib/_compat_pickle.py that occur in checkpoints or are of interest to a scan.
constexpr Renaming kRenamings[] = {
    {{"__builtin__", "xrange"}, {"builtins", "range"}},
    {{"__builtin__", "reduce"}, {"functools", "reduce"}},
    {{"__builtin__", "intern"}, {"sys", "intern"}},
    {{"__builtin__", "unichr"}, {"builtins", "chr"}},
    {{"__builtin__", "unicode"}, {"builtins", "str"}},
    {{"__builtin__", "basestring"}, {"builtins", "str"}},
    {{"__builtin__", "long"}, {"builtins", "int"}},
    {{"UserDict", "UserDict"}, {"collections", "UserDict"}},
    {{"UserDict", "IterableUserDict"}, {"collections", "UserDict"}},
    {{"UserList", "UserList"}, {"collections", "UserList"}},
    {{"UserString", "UserString"}, {"collections", "UserString"}},
    {{"__builtin__", ""}, {"builtins", ""}},
    {{"copy_reg", ""}, {"copyreg", ""}},
    {{"exceptions", ""}, {"builtins", ""}},
    {{"commands", ""}, {"subprocess", ""}},
    {{"cPickle", ""}, {"pickle", ""}},
    {{"Queue", ""}, {"queue", ""}},
    {{"thread", ""}, {"_thread", ""}},
    {{"StringIO", ""}, {"io", ""}},
    {{"cStringIO", ""}, {"io", ""}},
};

}  // namespace

std::optional<KnownGlobal> find_global(std::string_view module, std::string_view name) noexcept {
  for (const GlobalRow& row : kRows) {
    if (row.name == name && row.module == module) return row.known;
  }
  if (module == "__torch__" || module.starts_with("__torch__.")) {
    return KnownGlobal{.meaning = Meaning::script_class, .torch = never};
  }
  const bool torch = module == "torch";
  if (torch || module == "torch.cuda") {
    if (const auto dtype = dtype_from_storage_class(name); dtype && !name.empty()) {
      // torch.cuda has no classes of quantised storages.
      const bool is_there = torch || info(*dtype).kind != DTypeKind::quantized;
      return KnownGlobal{.meaning = Meaning::storage_class, .dtype = *dtype, .torch = is_there ? since(1, 13) : never};
    }
    if (const auto dtype = dtype_from_tensor_class(name)) {
      return KnownGlobal{.meaning = Meaning::old_tensor_class, .dtype = *dtype, .torch = since(1, 13)};
    }
  }
  if (torch) {
    if (const auto dtype = dtype_from_name(name)) {
      return KnownGlobal{.meaning = Meaning::dtype, .dtype = *dtype, .torch = releases_of_dtype(*dtype)};
    }
  }
  if (module == "torch.sparse" || module == "torch.cuda.sparse") {
    if (const auto dtype = dtype_from_tensor_class(name)) {
      return KnownGlobal{.meaning = Meaning::old_sparse_class,
                         .torch = *dtype == DType::boolean ? never : since(1, 13)};
    }
  }
  return std::nullopt;
}

PythonName python3_name(std::string_view module, std::string_view name, int protocol) noexcept {
  if (protocol <= 2) {
    for (const Renaming& row : kRenamings) {
      if (row.from.module != module || !(row.from.name.empty() || row.from.name == name)) continue;
      return {row.to.module, row.to.name.empty() ? name : row.to.name};
    }
  }
  return {module, name};
}

// CPython's reverse tables: the last row of a module counts, and one name is not the first that became it.
PythonName python2_name(std::string_view module, std::string_view name) noexcept {
  if (module == "collections" && name == "UserDict") return {"UserDict", "IterableUserDict"};
  if (module == "builtins" && name == "str") return {"__builtin__", "unicode"};
  const bool is_exception = name.ends_with("Error") || name.ends_with("Exception") || name.ends_with("Warning") ||
                            name.ends_with("Exit") || name == "KeyboardInterrupt" || name == "StopIteration";
  if (module == "builtins" && is_exception) return {"exceptions", name};
  PythonName found{module, name};
  for (const Renaming& row : kRenamings) {
    if (row.to.module != module) continue;
    if (!row.from.name.empty()) {
      if (row.to.name == name) return row.from;
      continue;
    }
    if (row.from.module != "exceptions") found = {row.from.module, name};
  }
  return found;
}

std::string dotted(PythonName name) {
  std::string text;
  text.reserve(name.module.size() + 1 + name.name.size());
  text.append(name.module).append(1, '.').append(name.name);
  return text;
}

std::size_t global_row_count() noexcept {
  return std::size(kRows);
}
const GlobalRow& global_row(std::size_t index) noexcept {
  return kRows[index];
}

}  // namespace rushlight::checkpoint
