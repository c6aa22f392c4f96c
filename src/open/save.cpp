#include "rushlight/save.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "checkpoint/unbuild_value.hpp"
#include "checkpoint/write_archive.hpp"
#include "checkpoint/write_legacy_stream.hpp"
#include "checkpoint/zip_layout.hpp"
#include "io/atomic_file.hpp"
#include "open/manifest_tensors.hpp"
#include "open/opened.hpp"
#include "open/save_checked.hpp"
#include "value/graft.hpp"
#include "value/graph.hpp"

namespace rushlight {
namespace {

using checkpoint::UnbuiltValue;
using checkpoint::ZipLayout;

Error wrong_option(std::string message, std::string found) {
  return Error::of({.category = Category::argument,
                    .code = "SAVE-OPTION",
                    .message = std::move(message),
                    .found = std::move(found)});
}

class CountingSink final : public Sink {
 public:
  explicit CountingSink(Sink& sink) noexcept : sink_(sink) {}
  Status write(std::span<const std::byte> bytes) override {
    RUSHLIGHT_TRY(sink_.write(bytes));
    written_ += bytes.size();
    return {};
  }
  [[nodiscard]] std::uint64_t written_bytes() const noexcept { return written_; }

 private:
  Sink& sink_;
  std::uint64_t written_ = 0;
};

// Everything but the bytes of the storages, before a file is touched.
class Saving {
 public:
  static Result<Saving> prepare(const Value& root, const SaveOptions& options, std::string_view path) {
    Saving saving(options);
    RUSHLIGHT_TRY(saving.choose(path));
    checkpoint::UnbuildOptions unbuild;
    unbuild.protocol = saving.protocol_;
    unbuild.limits = options.limits;
    // Before 1.13 there was no such mode, and whoever asks for it has a later torch.
    if (saving.release_ >= checkpoint::kFirstWeightsOnly) unbuild.weights_only = saving.release_;
    if (saving.legacy_) {
      unbuild.persistent_ids = checkpoint::PersistentIds::legacy;
      unbuild.keep_keys = saving.like_ != nullptr && saving.like_->container == open::Container::legacy;
    } else {
      unbuild.keep_keys = saving.layout_.keep_keys;
    }
    RUSHLIGHT_TRY_ASSIGN(saving.value_, checkpoint::unbuild_value(root, unbuild));
    RUSHLIGHT_TRY(saving.judge());
    if (options.manifest != ManifestLevel::none) RUSHLIGHT_TRY(saving.list_tensors(root));
    return saving;
  }

  // 0 where compression leaves it open.
  [[nodiscard]] Result<std::uint64_t> size_bytes() const {
    return legacy_ ? checkpoint::legacy_stream_bytes(value_, protocol_) : writer().size_bytes();
  }

  Result<SaveReport> write(Sink& sink) {
    CountingSink counting(sink);
    if (legacy_) {
      RUSHLIGHT_TRY(checkpoint::write_legacy_stream(value_, protocol_, counting, options_.progress));
    } else {
      RUSHLIGHT_TRY(writer().write(counting));
    }
    return SaveReport{.size_bytes = counting.written_bytes(), .findings = std::move(value_.findings)};
  }

 private:
  explicit Saving(const SaveOptions& options) : options_(options) {}

  [[nodiscard]] checkpoint::ArchiveWriter writer() const {
    return {value_,
            layout_,
            like_ == nullptr ? nullptr : like_->archive.get(),
            {.deflate = options_.deflate,
             .manifest = options_.manifest,
             .tensors = tensors_,
             .progress = options_.progress}};
  }

  Status choose(std::string_view path) {
    if (options_.like != nullptr) like_ = &options_.like->impl().opened;
    const FileKind of_like = like_ == nullptr ? FileKind::unknown : like_->format.kind;
    const bool torch_kind = of_like == FileKind::torch_zip || of_like == FileKind::torch_legacy;
    const FileKind kind = options_.kind != FileKind::unknown ? options_.kind
                          : torch_kind                       ? of_like
                                                             : FileKind::torch_zip;
    if (kind != FileKind::torch_zip && kind != FileKind::torch_legacy) {
      return wrong_option("save() writes torch-zip and torch-legacy, and no " + std::string(to_string(kind)),
                          std::string(to_string(kind)));
    }
    legacy_ = kind == FileKind::torch_legacy;
    if (!options_.torch.empty()) {
      RUSHLIGHT_TRY_ASSIGN(release_, checkpoint::TorchRelease::parse(options_.torch));
    }
    if (legacy_ && options_.manifest != ManifestLevel::none) {
      return wrong_option("torch-legacy has no room for a manifest", std::string(to_string(options_.manifest)));
    }
    if (legacy_ && options_.deflate) return wrong_option("torch-legacy cannot be compressed", "deflate");
    if (legacy_ && options_.storage_alignment != 0) {
      return wrong_option("in torch-legacy data are not aligned", std::to_string(options_.storage_alignment));
    }
    protocol_ = options_.protocol;
    if (protocol_ == 0) {
      protocol_ = torch_kind ? std::max(like_->format.pickle_protocol, 2) : 2;
    }
    if (protocol_ < 2 || protocol_ > 5) {
      return wrong_option("pickle protocol, expected 2 to 5, found " + std::to_string(protocol_),
                          std::to_string(protocol_));
    }
    return legacy_ ? Status() : choose_layout(path, of_like == FileKind::torch_zip);
  }

  Status choose_layout(std::string_view path, bool like_is_zip) {
    if (options_.storage_alignment > 65536) {
      return wrong_option(
          "storage alignment, expected at most 65536, found " + std::to_string(options_.storage_alignment),
          std::to_string(options_.storage_alignment));
    }
    if (like_is_zip && options_.torch.empty()) {
      const std::string& root = like_->format.root;
      RUSHLIGHT_TRY_ASSIGN(layout_, checkpoint::layout_of_file(*like_->archive, root.empty() ? root : root + "/"));
      if (options_.storage_alignment != 0) layout_.set_alignment(options_.storage_alignment);
    } else {
      layout_ = checkpoint::layout_of_release(release_, checkpoint::root_of_path(path),
                                              options_.storage_alignment == 0 ? 64 : options_.storage_alignment);
    }
    if (options_.root.find_first_of("/\\") != std::string::npos) {
      return wrong_option("the root folder has one name, found " + rushlight::quoted(options_.root),
                          escaped(options_.root));
    }
    if (!options_.root.empty()) layout_.root = options_.root + "/";
    layout_.crc = layout_.crc && options_.crc;
    return {};
  }

  // As a listing of the file will have them: with the records that their storages go to.
  Status list_tensors(const Value& root) {
    std::map<const Memory*, std::string> records;
    for (const checkpoint::NamedStorage& storage : value_.storages) {
      records.emplace(storage.storage.memory().get(), layout_.storage_folder + storage.key);
    }
    RUSHLIGHT_TRY_ASSIGN(tensors_, open::manifest_tensors(root, options_.limits, [&](const Storage& storage) {
                           const auto found = records.find(storage.memory().get());
                           return found != records.end() ? found->second : std::string();
                         }));
    return {};
  }

  Status judge() {
    if (protocol_ > 2) {
      value_.findings.push_back(
          {.severity = Severity::warning,
           .category = Category::pkl,
           .code = "SAVE-NOT-SAFE",
           .message = "torch.load(weights_only=True) does not read pickle protocol " + std::to_string(protocol_),
           .found = std::to_string(protocol_),
           .expected = "2"});
    }
    if (!options_.weights_only || value_.findings.empty()) return {};
    Finding first = value_.findings.front();
    first.severity = Severity::error;
    return Error::of(ErrorCode::forbidden, std::move(first));
  }

  const SaveOptions& options_;
  const open::Opened* like_ = nullptr;
  bool legacy_ = false;
  checkpoint::TorchRelease release_ = checkpoint::kCurrentRelease;
  int protocol_ = 2;
  ZipLayout layout_;
  UnbuiltValue value_;
  std::vector<ManifestTensor> tensors_;  // for the manifest
};

SaveOptions like(const Checkpoint& checkpoint, const SaveOptions& options) {
  SaveOptions same = options;
  if (same.like == nullptr) same.like = &checkpoint;
  return same;
}

}  // namespace

Result<SaveReport> open::save_checked(const Value& root, const std::filesystem::path& path, const SaveOptions& options,
                                      const SaveCheck& check) {
  const std::string name = path.string();
  Result<Saving> saving = Saving::prepare(root, options, name);
  if (!saving) return with_file(std::move(saving).error(), open::printable_file(name));
  RUSHLIGHT_TRY_ASSIGN(const std::uint64_t expected, saving->size_bytes());
  RUSHLIGHT_TRY_ASSIGN(const std::unique_ptr<io::AtomicFile> file,
                       io::AtomicFile::create(path, expected, {.overwrite = options.overwrite}));
  RUSHLIGHT_TRY_ASSIGN(SaveReport report, saving->write(*file));
  RUSHLIGHT_TRY(file->commit(
      [&](const std::filesystem::path& temporary) { return check ? check(temporary, report) : Status(); }));
  return report;
}

Value to_value(const StateDict& state) {
  ValueGraphBuilder builder;
  Grafter grafter;
  const NodeId root = builder.dict();
  builder.set_class(root, "collections.OrderedDict");
  for (const auto& [name, tensor] : state) {
    // A string is hashable: it cannot fail.
    static_cast<void>(builder.set_item(root, builder.string(name), builder.tensor(tensor)));
  }
  if (!state.metadata().is_none()) {
    const NodeId attributes = builder.dict();
    const NodeId metadata = grafter.graft(builder, state.metadata());
    static_cast<void>(builder.set_item(attributes, builder.string("_metadata"), metadata));
    builder.set_state(root, attributes);
  }
  return Value(std::move(builder).finish(), root);
}

Result<SaveReport> save(const Value& root, const std::filesystem::path& path, const SaveOptions& options) {
  return or_no_memory([&]() -> Result<SaveReport> { return open::save_checked(root, path, options, {}); });
}
Result<SaveReport> save(const StateDict& state, const std::filesystem::path& path, const SaveOptions& options) {
  return or_no_memory([&]() -> Result<SaveReport> { return open::save_checked(to_value(state), path, options, {}); });
}
Result<SaveReport> save(const Checkpoint& checkpoint, const std::filesystem::path& path, const SaveOptions& options) {
  return or_no_memory([&]() -> Result<SaveReport> {
    return open::save_checked(checkpoint.root(), path, like(checkpoint, options), {});
  });
}

Result<SaveReport> save(const Value& root, Sink& sink, const SaveOptions& options) {
  return or_no_memory([&]() -> Result<SaveReport> {
    RUSHLIGHT_TRY_ASSIGN(Saving saving, Saving::prepare(root, options, {}));
    return saving.write(sink);
  });
}
Result<SaveReport> save(const StateDict& state, Sink& sink, const SaveOptions& options) {
  return or_no_memory([&]() -> Result<SaveReport> { return save(to_value(state), sink, options); });
}
Result<SaveReport> save(const Checkpoint& checkpoint, Sink& sink, const SaveOptions& options) {
  return or_no_memory([&]() -> Result<SaveReport> { return save(checkpoint.root(), sink, like(checkpoint, options)); });
}

}  // namespace rushlight
