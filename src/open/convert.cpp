#include "rushlight/convert.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "interchange/write_checked.hpp"
#include "io/atomic_file.hpp"
#include "open/opened.hpp"
#include "open/save_checked.hpp"
#include "rushlight/inspect.hpp"
#include "rushlight/interchange.hpp"
#include "rushlight/npy.hpp"
#include "tensor/element_stream.hpp"

namespace rushlight {
namespace {

Error wrong_request(ErrorCode code, std::string_view id, std::string message, std::string hint = {}) {
  return Error::of(code, {.category = Category::argument,
                          .code = std::string(id),
                          .message = std::move(message),
                          .hint = std::move(hint)});
}

bool is_torch(FileKind kind) noexcept {
  return kind == FileKind::torch_zip || kind == FileKind::torch_legacy;
}

// Bit for bit, in C order.
Result<bool> has_elements_of(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || !std::ranges::equal(a.shape(), b.shape())) return false;
  if (a.device() == Device::meta() || b.device() == Device::meta()) return a.device() == b.device();
  RUSHLIGHT_TRY_ASSIGN(const Tensor here, a.to(Device::cpu()));
  RUSHLIGHT_TRY_ASSIGN(ElementStream one, ElementStream::open(here));
  RUSHLIGHT_TRY_ASSIGN(ElementStream other, ElementStream::open(b));
  for (;;) {
    const ByteSpan left = one.next();
    const ByteSpan right = other.next();
    if (!std::ranges::equal(left, right)) return false;
    if (left.empty()) return true;
  }
}

class Conversion {
 public:
  Conversion(const Checkpoint& checkpoint, const std::filesystem::path& out, const ConvertOptions& options)
      : checkpoint_(checkpoint), out_(out), options_(options) {}

  Result<ConvertReport> run() {
    RUSHLIGHT_TRY(choose_kind());
    RUSHLIGHT_TRY(edit_first());
    RUSHLIGHT_TRY(is_torch(report_.kind) ? write_torch() : write_tensors());
    return std::move(report_);
  }

 private:
  Status choose_kind() {
    report_.kind = options_.kind;
    if (report_.kind == FileKind::unknown) {
      report_.kind = kind_of_name(out_).value_or(FileKind::unknown);
      // Both of torch's containers have the same names: a file stays what it is.
      const bool stays = checkpoint_.format().kind == FileKind::torch_legacy && options_.save.torch.empty();
      if (report_.kind == FileKind::torch_zip && stays) report_.kind = FileKind::torch_legacy;
    }
    switch (report_.kind) {
      case FileKind::torch_zip:
      case FileKind::torch_legacy:
      case FileKind::safetensors:
      case FileKind::npz:
      case FileKind::npy:
        break;
      default:
        return wrong_request(ErrorCode::invalid_argument, "CONVERT-KIND",
                             "what to write is not known: " + rushlight::quoted(out_.filename().string()),
                             "name the file .pt, .safetensors, .npz or .npy, or say what it is to be");
    }
    std::error_code ignored;
    if (!options_.overwrite && std::filesystem::exists(out_, ignored)) {
      return with_file(Error::of({.category = Category::io,
                                  .code = "IO-EXISTS",
                                  .message = "the file is there already",
                                  .hint = "choose another name, or overwrite it"}),
                       open::printable_file(out_.string()));
    }
    return {};
  }

  Status edit_first() {
    EditOptions edit_options = options_.edit;
    edit_options.progress = options_.progress;
    RUSHLIGHT_TRY_ASSIGN(report_.edit, edit(checkpoint_, edit_options));
    report_.findings = report_.edit.findings;
    const bool unchanged = report_.edit.casts.empty() && report_.edit.dropped.empty() && report_.edit.renamed.empty() &&
                           report_.edit.set.empty();
    // The checkpoint itself where there is nothing to do, so that its own spelling is kept.
    if (unchanged) report_.edit.value = checkpoint_.root();
    return {};
  }

  // --- torch's formats: any value ---
  Status write_torch() {
    RUSHLIGHT_TRY_ASSIGN(const Value value, chosen_value());
    SaveOptions save_options = options_.save;
    save_options.kind = report_.kind;
    save_options.overwrite = options_.overwrite;
    save_options.progress = options_.progress;
    const bool whole = value.same_object(report_.edit.value);
    if (save_options.like == nullptr && is_torch(checkpoint_.format().kind) && whole) save_options.like = &checkpoint_;
    report_.edit.value = value;
    RUSHLIGHT_TRY_ASSIGN(const Inspection inspection, inspect_edited());
    report_.tensors = static_cast<std::int64_t>(inspection.tensors.size());
    RUSHLIGHT_TRY(open::save_checked(
        value, out_, save_options, [this](const std::filesystem::path& temporary, const SaveReport& saved) {
          report_.size_bytes = saved.size_bytes;
          report_.findings.insert(report_.findings.end(), saved.findings.begin(), saved.findings.end());
          return check(temporary);
        }));
    return {};
  }

  Result<Value> chosen_value() {
    const Value& root = report_.edit.value;
    if (options_.parts.empty()) return root;
    if (options_.parts.size() == 1) {
      if (Value part = root.at(options_.parts[0]); part.exists()) return part;
    }
    RUSHLIGHT_TRY_ASSIGN(const StateDict tensors, named_tensors());
    return to_value(tensors);
  }

  // --- formats of tensors ---
  Status write_tensors() {
    RUSHLIGHT_TRY_ASSIGN(const StateDict tensors, chosen_tensors());
    report_.tensors = static_cast<std::int64_t>(tensors.size());
    if (options_.parts.empty()) RUSHLIGHT_TRY(list_left_behind(tensors));
    if (report_.kind == FileKind::npy && tensors.size() != 1) {
      return wrong_request(ErrorCode::invalid_argument, "CONVERT-ONE",
                           "a .npy file holds one array, these are " + std::to_string(tensors.size()) + " tensors",
                           "name one of them, or write a .npz");
    }
    written_ = tensors;
    RUSHLIGHT_TRY_ASSIGN(report_.size_bytes, write_tensors(tensors, [this](const std::filesystem::path& temporary) {
                           return check(temporary);
                         }));
    return {};
  }

  Result<std::uint64_t> write_tensors(const StateDict& tensors, const io::AtomicFile::Check& check) {
    switch (report_.kind) {
      case FileKind::safetensors: {
        SafetensorsOptions how;
        how.metadata = {{"format", "pt"}};  // what Python's loaders look for
        how.overwrite = options_.overwrite;
        how.progress = options_.progress;
        return interchange::write_safetensors_checked(tensors, out_, how, check);
      }
      case FileKind::npz:
        return interchange::write_npz_checked(tensors, out_,
                                              {.compressed = options_.compressed,
                                               .overwrite = options_.overwrite,
                                               .executor = options_.executor,
                                               .progress = options_.progress},
                                              check);
      default:
        return interchange::write_npy_checked(tensors.begin()->second, out_,
                                              {.overwrite = options_.overwrite, .progress = options_.progress}, check);
    }
  }

  // The state dict as it is now: edits are of the root.
  Result<StateDict> chosen_tensors() {
    if (!options_.parts.empty()) return named_tensors();
    RUSHLIGHT_TRY_ASSIGN(const StateDict before, checkpoint_.state_dict());
    path_ = before.path();
    const Value dict = path_.empty() ? report_.edit.value : report_.edit.value.at(path_);
    StateDict tensors;
    RUSHLIGHT_TRY(collect(dict, {}, tensors));
    return tensors;
  }

  Result<StateDict> named_tensors() {
    StateDict tensors;
    RUSHLIGHT_TRY_ASSIGN(const Inspection inspection, inspect_edited());
    for (const std::string& part : options_.parts) {
      const Value value = report_.edit.value.at(part);
      if (value.exists() && value.kind() != ValueKind::tensor) {
        RUSHLIGHT_TRY(collect(value, {}, tensors));
        continue;
      }
      RUSHLIGHT_TRY_ASSIGN(const std::vector<TensorEntry> found, find_tensors(inspection, part));
      for (const TensorEntry& entry : found) tensors.insert(entry.name, entry.tensor);
    }
    return tensors;
  }

  // Under the names that listings give them.
  Status collect(const Value& value, const std::string& prefix, StateDict& tensors) {
    RUSHLIGHT_TRY_ASSIGN(const Inspection inspection, inspect(value, options_.edit.limits));
    for (const TensorEntry& entry : inspection.tensors) {
      if (!entry.persistent) continue;
      const std::string name = prefix + entry.name;
      if (tensors.find(name) != nullptr) {
        return wrong_request(ErrorCode::ambiguous, "CONVERT-NAMES",
                             "two tensors are called " + rushlight::quoted(name));
      }
      tensors.insert(name.empty() ? std::string("tensor") : name, entry.tensor);
    }
    return {};
  }

  Result<Inspection> inspect_edited() const { return inspect(report_.edit.value, options_.edit.limits); }

  Status list_left_behind(const StateDict& tensors) {
    RUSHLIGHT_TRY_ASSIGN(const Inspection inspection, inspect_edited());
    const std::string prefix = path_.empty() ? std::string() : path_ + ".";
    for (const TensorEntry& entry : inspection.tensors) {
      const bool below = entry.name.starts_with(prefix);
      const bool written =
          tensors.find(entry.name) != nullptr || (below && tensors.find(entry.name.substr(prefix.size())) != nullptr);
      if (!written) report_.left_behind.push_back(entry.name);
    }
    // The versions of modules are torch's own book-keeping, which it makes again.
    const std::string versions = prefix + "_metadata.";
    for (const ValueEntry& entry : inspection.values) {
      if (!entry.name.starts_with(versions)) report_.left_behind.push_back(entry.name);
    }
    return {};
  }

  // --- reading back ---
  // Before the new file takes the old one's place, so that one that differs never does.
  Status check(const std::filesystem::path& temporary) {
    Status status = options_.verify ? verify(temporary) : Status();
    if (status) return status;
    Error error = std::move(status).error();
    if (error.finding.file == open::printable_file(temporary.string())) error.finding.file.clear();
    return with_file(std::move(error), open::printable_file(out_.string()));
  }

  Status verify(const std::filesystem::path& file) {
    RUSHLIGHT_TRY_ASSIGN(const Checkpoint written,
                         Checkpoint::open(file, {.checksums = Checksums::all_at_open, .limits = options_.edit.limits}));
    RUSHLIGHT_TRY_ASSIGN(const Inspection now, inspect(written, options_.edit.limits));
    StateDict expected = written_;
    if (is_torch(report_.kind)) RUSHLIGHT_TRY(collect_all(report_.edit.value, expected));
    std::size_t compared = 0;
    for (const TensorEntry& entry : now.tensors) {
      const bool one_array = report_.kind == FileKind::npy;
      const Tensor* const tensor = one_array ? &expected.begin()->second : expected.find(entry.name);
      if (tensor == nullptr) return differs(entry.name, "was not to be written");
      RUSHLIGHT_TRY_ASSIGN(const bool same, has_elements_of(*tensor, entry.tensor));
      if (!same) return differs(entry.name, "reads back as another one");
      ++compared;
    }
    if (compared != expected.size()) return differs(out_.filename().string(), "holds fewer tensors than were written");
    report_.verified = true;
    return {};
  }

  Status collect_all(const Value& value, StateDict& tensors) const {
    RUSHLIGHT_TRY_ASSIGN(const Inspection inspection, inspect(value, options_.edit.limits));
    for (const TensorEntry& entry : inspection.tensors) tensors.insert(entry.name, entry.tensor);
    return {};
  }

  [[nodiscard]] static Error differs(const std::string& name, std::string_view what) {
    return Error::of(ErrorCode::mismatch, {.category = Category::mani,
                                           .code = "CONVERT-VERIFY",
                                           .message = rushlight::quoted(name) + " " + std::string(what),
                                           .tensors = {name}});
  }

  const Checkpoint& checkpoint_;
  const std::filesystem::path& out_;
  const ConvertOptions& options_;
  ConvertReport report_;
  std::string path_;   // of the state dict
  StateDict written_;  // in formats of tensors
};

}  // namespace

std::optional<FileKind> kind_of_name(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  for (const std::string_view torch : {".pt", ".pth", ".bin", ".ckpt", ".tar", ".pkl"}) {
    if (extension == torch) return FileKind::torch_zip;
  }
  if (extension == ".safetensors") return FileKind::safetensors;
  if (extension == ".npz") return FileKind::npz;
  if (extension == ".npy") return FileKind::npy;
  return std::nullopt;
}

Result<ConvertReport> convert(const Checkpoint& checkpoint, const std::filesystem::path& out,
                              const ConvertOptions& options) {
  return or_no_memory([&]() -> Result<ConvertReport> { return Conversion(checkpoint, out, options).run(); });
}

}  // namespace rushlight
