// TorchScript of torch 1.0 to 1.2: model.json holds the tree of modules and a table of tensors, attributes.pkl (since
// 1.1) the values of attributes. Source: torch/csrc/jit/{export,import}.cpp and caffe2/proto/torch.proto of 1.2.
#include <algorithm>
#include <cassert>
#include <charconv>
#include <cstddef>
#include <deque>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/archive_reading.hpp"
#include "checkpoint/json_record.hpp"
#include "checkpoint/storage_table.hpp"
#include "tensor/tensor_impl.hpp"
#include "value/graft.hpp"
#include "value/graph.hpp"

// rushlight:: stands before quoted() here, since simdjson.h brings std::quoted along, which look-up would prefer.
namespace rushlight::checkpoint {
namespace {

// These releases wrote no class names.
constexpr std::string_view kModuleClass = "torch.jit.ScriptModule";

// caffe2/proto/caffe2.proto, TensorProto.DataType.
struct DTypeWord {
  std::string_view word;
  DType dtype;
};
constexpr DTypeWord kDTypeWords[] = {{"FLOAT", DType::f32}, {"INT32", DType::i32},   {"BOOL", DType::boolean},
                                     {"UINT8", DType::u8},  {"INT8", DType::i8},     {"INT16", DType::i16},
                                     {"INT64", DType::i64}, {"FLOAT16", DType::f16}, {"DOUBLE", DType::f64}};

// The table of tensors. attributes.pkl names them by number.
class TensorList final : public StorageProvider {
 public:
  TensorList(ArchiveReading& reading, const JsonRecord& json)
      : reading_(reading),
        json_(json),
        provider_(reading.container, ""),
        table_(provider_, reading.options.map_location) {}

  Status read(const JsonObject& model) {
    const std::optional<JsonElement> list = model.find("tensors");
    if (!list) return {};
    RUSHLIGHT_TRY_ASSIGN(const std::vector<JsonElement> items, json_.array(*list, "tensors"));
    if (items.size() > reading_.options.limits.tensors) {
      return json_.error(Category::limit, "LIMIT-TENSORS",
                         "there are more tensors than the limit tensors, expected at most " +
                             std::to_string(reading_.options.limits.tensors));
    }
    table_.reserve(items.size());
    for (const JsonElement item : items) {
      const std::string where = "tensor " + std::to_string(tensors_.size());
      Result<Tensor> tensor = parse(item, where);
      if (!tensor) {
        Error error = std::move(tensor).error();
        if (!error.finding.message.starts_with(where)) {
          error.finding.message = where + ": " + std::move(error.finding.message);
        }
        return json_.placed(std::move(error));
      }
      tensors_.push_back(*std::move(tensor));
    }
    return {};
  }

  // nullptr when there is none.
  [[nodiscard]] const Tensor* find(std::int64_t id) const noexcept {
    return id < 0 || static_cast<std::uint64_t>(id) >= tensors_.size() ? nullptr
                                                                       : &tensors_[static_cast<std::size_t>(id)];
  }
  [[nodiscard]] std::size_t size() const noexcept { return tensors_.size(); }

  // Nothing in attributes.pkl is a storage.
  Result<std::shared_ptr<Memory>> memory(const StorageRequest& request, std::uint64_t size_bytes) override {
    return provider_.memory(request, size_bytes);
  }
  Result<Keyed> keyed(std::string_view key) override {
    std::int64_t id = -1;
    std::from_chars(key.data(), key.data() + key.size(), id);
    const Tensor* tensor = find(id);
    if (tensor == nullptr) return StorageProvider::keyed(key);
    return Keyed{.tensor = *tensor, .storage = {}};
  }

 private:
  Result<Tensor> parse(JsonElement element, const std::string& where) {
    RUSHLIGHT_TRY_ASSIGN(const JsonObject object, json_.object(element, where));
    RUSHLIGHT_TRY_ASSIGN(const std::string_view word, json_.text(object, where, "dataType"));
    const auto row = std::find_if(std::begin(kDTypeWords), std::end(kDTypeWords),
                                  [&](const DTypeWord& known) { return known.word == word; });
    const bool quantized = object.find("isQuantized") && *json_.boolean(object, where, "isQuantized");
    if (row == std::end(kDTypeWords) || quantized) {
      return json_.error(
          Category::unsup, "SCRIPT-JSON-DTYPE",
          where + ": data type " + rushlight::quoted(word) + (quantized ? ", quantised," : "") + " is not read here");
    }
    std::vector<std::int64_t> sizes, strides;
    RUSHLIGHT_TRY(parse_sizes(object, where, "dims", sizes));
    RUSHLIGHT_TRY(parse_sizes(object, where, "strides", strides));
    std::int64_t offset = 0;
    if (const std::optional<JsonElement> number = object.find("offset")) {
      RUSHLIGHT_TRY_ASSIGN(offset, json_.integer(*number, where + ", offset"));
    }
    TensorOptions options;
    if (object.find("requiresGrad")) {
      RUSHLIGHT_TRY_ASSIGN(options.requires_grad, json_.boolean(object, where, "requiresGrad"));
    }
    std::string_view location = "cpu";
    if (object.find("device")) {
      RUSHLIGHT_TRY_ASSIGN(location, json_.text(object, where, "device"));
    }
    RUSHLIGHT_TRY_ASSIGN(const JsonElement data, json_.field(object, where, "data"));
    RUSHLIGHT_TRY_ASSIGN(const JsonObject place, json_.object(data, where + ", data"));
    RUSHLIGHT_TRY_ASSIGN(const std::string_view key, json_.text(place, where + ", data", "key"));
    const zip::Entry* entry = reading_.container.find(key);
    if (entry == nullptr || entry->is_directory()) {
      return json_.error(Category::store, "STORE-MISSING", where + ": there is no record " + rushlight::quoted(key));
    }
    const StorageRequest request{
        .key = key, .location = location, .numel = entry->size_bytes, .dtype = DType::u8, .untyped = true};
    RUSHLIGHT_TRY_ASSIGN(const std::uint32_t index, table_.find(request));
    return Tensor::Impl::view(table_.as_dtype(index, row->dtype), row->dtype, sizes, strides, offset, options);
  }

  // Absent where there are none.
  Status parse_sizes(const JsonObject& object, const std::string& where, std::string_view key,
                     std::vector<std::int64_t>& out) const {
    const std::optional<JsonElement> list = object.find(key);
    if (!list) return {};
    const std::string place = where + ", " + std::string(key);
    RUSHLIGHT_TRY_ASSIGN(const std::vector<JsonElement> items, json_.array(*list, place));
    for (const JsonElement item : items) {
      RUSHLIGHT_TRY_ASSIGN(const std::int64_t size, json_.integer(item, place));
      out.push_back(size);
    }
    return {};
  }

  ArchiveReading& reading_;
  const JsonRecord& json_;
  FolderStorages provider_;
  StorageTable table_;
  std::vector<Tensor> tensors_;
};

// The tree of modules, parents before children, without recursion.
class Modules {
 public:
  Modules(const JsonRecord& json, const TensorList& tensors, const Value& attributes)
      : json_(json), tensors_(tensors), attributes_(attributes) {}

  Result<Value> build(JsonElement main) {
    const NodeId root = add_module();
    pending_.push_back({main, root, ""});
    while (!pending_.empty()) {
      const Pending next = std::move(pending_.front());
      pending_.pop_front();
      RUSHLIGHT_TRY(fill(next));
    }
    return Value(std::move(builder_).finish(), root);
  }

 private:
  struct Pending {
    JsonElement element;
    NodeId module;
    std::string name;
  };

  NodeId add_module() {
    const NodeId module = builder_.opaque(kModuleClass, kNoNode);
    builder_.set_state(module, builder_.dict());
    return module;
  }

  Status fill(const Pending& module) {
    const std::string where = "module " + rushlight::quoted(module.name);
    RUSHLIGHT_TRY_ASSIGN(const JsonObject object, json_.object(module.element, where));
    RUSHLIGHT_TRY(each(object, where, "parameters",
                       [&](const JsonObject& item, const std::string& at) { return add_parameter(module, item, at); }));
    RUSHLIGHT_TRY(each(object, where, "attributes",
                       [&](const JsonObject& item, const std::string& at) { return add_attribute(module, item, at); }));
    const std::optional<JsonElement> submodules = object.find("submodules");
    if (!submodules) return {};
    RUSHLIGHT_TRY_ASSIGN(const std::vector<JsonElement> items, json_.array(*submodules, where + ", submodules"));
    for (const JsonElement item : items) {
      RUSHLIGHT_TRY_ASSIGN(const JsonObject child, json_.object(item, where + ", a submodule"));
      RUSHLIGHT_TRY_ASSIGN(const std::string_view name, json_.text(child, where + ", a submodule", "name"));
      const NodeId node = add_module();
      RUSHLIGHT_TRY(add(module, name, node));
      pending_.push_back({item, node, module.name.empty() ? std::string(name) : module.name + "." + std::string(name)});
    }
    return {};
  }

  template <class Visit>
  Status each(const JsonObject& object, const std::string& where, std::string_view key, Visit&& visit) {
    const std::optional<JsonElement> list = object.find(key);
    if (!list) return {};
    const std::string at = where + ", " + std::string(key);
    RUSHLIGHT_TRY_ASSIGN(const std::vector<JsonElement> items, json_.array(*list, at));
    for (const JsonElement item : items) {
      RUSHLIGHT_TRY_ASSIGN(const JsonObject members, json_.object(item, at));
      RUSHLIGHT_TRY(visit(members, at));
    }
    return {};
  }

  Status add_parameter(const Pending& module, const JsonObject& item, const std::string& where) {
    RUSHLIGHT_TRY_ASSIGN(const std::string_view name, json_.text(item, where, "name"));
    RUSHLIGHT_TRY_ASSIGN(const JsonElement number, json_.field(item, where, "tensorId"));
    const std::string at = where + " " + rushlight::quoted(name);
    RUSHLIGHT_TRY_ASSIGN(const std::int64_t id, json_.integer(number, at + ", tensorId"));
    bool is_buffer = false;
    if (item.find("isBuffer")) {
      RUSHLIGHT_TRY_ASSIGN(is_buffer, json_.boolean(item, where, "isBuffer"));
    }
    const Tensor* tensor = tensors_.find(id);
    if (tensor == nullptr) return out_of_range(at, "tensor", id, tensors_.size());
    return add_tensor(module, name, *tensor, is_buffer ? TensorClass::buffer : TensorClass::parameter);
  }

  // torch 1.1 and 1.2 keep buffers as attributes of type Tensor.
  Status add_attribute(const Pending& module, const JsonObject& item, const std::string& where) {
    RUSHLIGHT_TRY_ASSIGN(const std::string_view name, json_.text(item, where, "name"));
    RUSHLIGHT_TRY_ASSIGN(const JsonElement number, json_.field(item, where, "id"));
    const std::string at = where + " " + rushlight::quoted(name);
    RUSHLIGHT_TRY_ASSIGN(const std::int64_t id, json_.integer(number, at + ", id"));
    const std::size_t count = attributes_.item_count();
    if (id < 0 || static_cast<std::uint64_t>(id) >= count) return out_of_range(at, "value", id, count);
    const Value value = attributes_.item(static_cast<std::size_t>(id));
    if (const std::optional<Tensor> tensor = value.as_tensor()) {
      return add_tensor(module, name, *tensor, TensorClass::buffer);
    }
    return add(module, name, grafter_.graft(builder_, value));
  }

  Status add_tensor(const Pending& module, std::string_view name, const Tensor& tensor, TensorClass tensor_class) {
    TensorOptions options = tensor.options();
    options.tensor_class = tensor_class;
    RUSHLIGHT_TRY_ASSIGN(Tensor with, Tensor::Impl::view(tensor.storage(), tensor.dtype(), tensor.shape(),
                                                         tensor.strides(), tensor.storage_offset(), options));
    return add(module, name, builder_.tensor(std::move(with)));
  }

  Status add(const Pending& module, std::string_view name, NodeId value) {
    const NodeId state = builder_.graph().state(module.module);
    if (builder_.graph().find_text(state, name)) {
      return json_.error(Category::ambig, "JSON-DUPLICATE",
                         "module " + rushlight::quoted(module.name) + ": " + rushlight::quoted(name) + " comes twice");
    }
    [[maybe_unused]] const bool added = builder_.set_item(state, builder_.string(name), value);
    assert(added);
    return {};
  }

  [[nodiscard]] Error out_of_range(const std::string& where, std::string_view what, std::int64_t id,
                                   std::size_t count) const {
    return json_.error(Category::type, "SCRIPT-JSON-ID",
                       where + " is " + std::string(what) + " " + std::to_string(id) + " of " + std::to_string(count));
  }

  const JsonRecord& json_;
  const TensorList& tensors_;
  const Value& attributes_;
  ValueGraphBuilder builder_;
  Grafter grafter_;
  std::deque<Pending> pending_;
};

}  // namespace

Result<Value> read_script_json(ArchiveReading& reading) {
  ZipContainer& container = reading.container;
  for (const std::string_view prefix : {"code/", "debug/", "extra/"}) container.mark_used_below(prefix);
  const zip::Entry* entry = container.find("model.json");
  assert(entry != nullptr);
  reading.index.emplace_back("model.json");
  RUSHLIGHT_TRY_ASSIGN(const JsonRecord json, JsonRecord::read(container, *entry, reading.options.limits));
  RUSHLIGHT_TRY_ASSIGN(const JsonObject model, json.object(json.root(), "the model"));
  TensorList tensors(reading, json);
  RUSHLIGHT_TRY(tensors.read(model));
  Value attributes;
  if (const zip::Entry* pickle = container.find("attributes.pkl"); pickle != nullptr) {
    RUSHLIGHT_TRY_ASSIGN(attributes, read_pickle_record(reading, *pickle, tensors));
  }
  RUSHLIGHT_TRY_ASSIGN(const JsonElement main, json.field(model, "the model", "mainModule"));
  return Modules(json, tensors, attributes).build(main);
}

}  // namespace rushlight::checkpoint
