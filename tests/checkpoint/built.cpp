#include "built.hpp"

#include <utility>

#include "base/fail.hpp"
#include "pickle/machine.hpp"
#include "tensor/memory.hpp"

namespace rushlight::test {

MemoryStorages& MemoryStorages::add(std::string key, std::uint64_t size_bytes) {
  sizes_.emplace(std::move(key), size_bytes);
  return *this;
}

Result<std::shared_ptr<Memory>> MemoryStorages::memory(const checkpoint::StorageRequest& request,
                                                       std::uint64_t size_bytes) {
  ++asked_;
  const auto found = sizes_.find(request.key);
  if (found == sizes_.end()) {
    return Error::of({.category = Category::store, .code = "STORE-MISSING", .message = "no such storage"});
  }
  if (found->second != size_bytes) {
    return Error::of(
        {.category = Category::store,
         .code = "STORE-SIZE",
         .message = "expected " + std::to_string(size_bytes) + " bytes, found " + std::to_string(found->second)});
  }
  Result<std::shared_ptr<Memory>> memory = make_host_memory(size_bytes);
  const auto bytes = (*memory)->mutable_bytes().value();
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  return memory;
}

MemoryStorages usual_storages() {
  MemoryStorages storages;
  storages.add("0", 32).add("1", 16).add("e", 0);
  return storages;
}

std::string line_of(const Finding& finding) {
  std::string line = std::string(to_string(finding.category)) + " " + finding.code;
  if (finding.record_offset) line += " at " + hex(*finding.record_offset);
  return line + ": " + finding.message;
}

Built build(const PickleBuilder& pickle, MemoryStorages& storages, const LoadOptions& options) {
  Built built;
  const auto stream = std::make_shared<const std::vector<std::byte>>(pickle.copy());
  const checkpoint::PickleBytes bytes{*stream, stream, {.file = "test.pt", .record = "data.pkl", .file_offset = 0x40}};
  const auto failed = [&](Error error) {
    built.error = std::move(error);
    built.line = line_of(built.error.finding);
    return built;
  };
  Result<pickle::Pickle> read = pickle::read_pickle(bytes.bytes, options.limits);
  if (!read) return failed(std::move(read).error());
  Result<checkpoint::BuiltValue> value = checkpoint::build_value(*read, bytes, storages, options, built.findings);
  if (!value) return failed(std::move(value).error());
  built.ok = true;
  built.root = std::move(value->root);
  built.globals = std::move(value->globals);
  return built;
}

Built build(const PickleBuilder& pickle, const LoadOptions& options) {
  MemoryStorages storages = usual_storages();
  return build(pickle, storages, options);
}

}  // namespace rushlight::test
