// torch.export: the state dict and constants of exported programs. The program itself is not read here.
// Source: torch/export/pt2_archive/_package.py, torch/_export/serde/schema.py (PayloadConfig, TensorMeta, ScalarType).
#include <algorithm>
#include <cassert>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/archive_reading.hpp"
#include "checkpoint/json_record.hpp"
#include "checkpoint/storage_table.hpp"
#include "tensor/memory.hpp"
#include "tensor/tensor_impl.hpp"
#include "value/graft.hpp"
#include "value/graph.hpp"

// rushlight:: stands before quoted() here, since simdjson.h brings std::quoted along, which look-up would prefer.
namespace rushlight::checkpoint {
namespace {

constexpr std::string_view kWeights = "data/weights/";
constexpr std::string_view kConstants = "data/constants/";
constexpr std::string_view kModels = "models/";
constexpr std::string_view kWeightsConfig = "_weights_config.json";
constexpr std::uint64_t kFormatBytes = 64;
constexpr std::int64_t kStrided = 7;  // schema.py, Layout

// schema.py, ScalarType: a numbering of its own.
struct DTypeCode {
  std::int64_t code;
  DType dtype;
};
constexpr DTypeCode kDTypes[] = {
    {1, DType::u8},           {2, DType::i8},           {3, DType::i16},         {4, DType::i32},
    {5, DType::i64},          {6, DType::f16},          {7, DType::f32},         {8, DType::f64},
    {9, DType::c32},          {10, DType::c64},         {11, DType::c128},       {12, DType::boolean},
    {13, DType::bf16},        {28, DType::u16},         {29, DType::f8_e4m3fn},  {30, DType::f8_e5m2},
    {31, DType::f8_e4m3fnuz}, {32, DType::f8_e5m2fnuz}, {33, DType::f8_e8m0fnu}, {34, DType::u32},
    {35, DType::u64},
};

// What one entry of a config says.
struct Payload {
  std::string_view path_name;
  bool is_param = false;
  bool use_pickle = false;
  std::optional<JsonElement> meta;
};

struct Geometry {
  DType dtype = DType::f32;
  std::vector<std::int64_t> sizes, strides;
  std::int64_t storage_offset = 0;
  bool requires_grad = false;
  std::string location;
};

// Units from the first to one past the last element; nullopt when that overflows or is no geometry.
std::optional<std::uint64_t> reach(const Geometry& geometry) {
  std::uint64_t units = 1;
  for (std::size_t i = 0; i < geometry.sizes.size() && i < geometry.strides.size(); ++i) {
    if (geometry.sizes[i] == 0) return 0;
    if (geometry.sizes[i] < 0 || geometry.strides[i] < 0) return std::nullopt;
    const auto step =
        checked_mul(static_cast<std::uint64_t>(geometry.sizes[i] - 1), static_cast<std::uint64_t>(geometry.strides[i]));
    const auto sum = step ? checked_add(units, *step) : std::nullopt;
    if (!sum) return std::nullopt;
    units = *sum;
  }
  if (geometry.storage_offset < 0) return std::nullopt;
  return checked_add(units, static_cast<std::uint64_t>(geometry.storage_offset));
}

// Tensors of one folder, by a JSON config or as one torch.save archive, put into a dict.
class Folder {
 public:
  Folder(ArchiveReading& reading, ValueGraphBuilder& builder, Grafter& grafter, NodeId dict, std::string_view folder,
         std::string_view key_prefix)
      : reading_(reading),
        builder_(builder),
        grafter_(grafter),
        dict_(dict),
        folder_(folder),
        key_prefix_(key_prefix),
        provider_(reading.container, folder),
        table_(provider_, reading.options.map_location) {}

  Status read_config(const zip::Entry& entry) {
    reading_.index.emplace_back(reading_.container.short_name(entry));
    RUSHLIGHT_TRY_ASSIGN(const JsonRecord json, JsonRecord::read(reading_.container, entry, reading_.options.limits));
    RUSHLIGHT_TRY_ASSIGN(const JsonObject top, json.object(json.root(), "the config"));
    RUSHLIGHT_TRY_ASSIGN(const JsonElement config, json.field(top, "the config", "config"));
    RUSHLIGHT_TRY_ASSIGN(const JsonObject entries, json.object(config, "config"));
    table_.reserve(entries.members().size());
    for (const auto& [name, element] : entries.members()) {
      if (builder_.graph().tensors.size() >= reading_.options.limits.tensors) {
        return json.error(Category::limit, "LIMIT-TENSORS",
                          "there are more tensors than the limit tensors, expected at most " +
                              std::to_string(reading_.options.limits.tensors));
      }
      const std::string where = "entry " + rushlight::quoted(name);
      RUSHLIGHT_TRY_ASSIGN(const Payload payload, parse_payload(json, element, where));
      RUSHLIGHT_TRY(add_payload(json, name, payload, where));
    }
    return {};
  }

  // torch 2.8 and older: a dict that torch.save wrote.
  Status read_saved_dict(const zip::Entry& entry) {
    RUSHLIGHT_TRY_ASSIGN(const Value saved, read_nested_archive(reading_, entry));
    if (saved.kind() != ValueKind::dict) {
      return reading_.container.context().placed(
          Error::of({.category = Category::type,
                     .code = "PT2-SAVED-DICT",
                     .message = "the saved object is no dict, found " + escaped(saved.class_name()),
                     .found = escaped(saved.class_name()),
                     .expected = "dict"}),
          entry);
    }
    for (std::size_t i = 0; i < saved.entry_count(); ++i) {
      const auto [key, value] = saved.entry(i);
      const std::optional<std::string_view> name = key.as_string();
      RUSHLIGHT_TRY(add(name ? *name : key.class_name(), grafter_.graft(builder_, value)));
    }
    return {};
  }

 private:
  Result<Payload> parse_payload(const JsonRecord& json, JsonElement element, std::string_view where) const {
    RUSHLIGHT_TRY_ASSIGN(const JsonObject object, json.object(element, where));
    Payload payload;
    RUSHLIGHT_TRY_ASSIGN(payload.path_name, json.text(object, where, "path_name"));
    RUSHLIGHT_TRY_ASSIGN(payload.is_param, json.boolean(object, where, "is_param"));
    RUSHLIGHT_TRY_ASSIGN(payload.use_pickle, json.boolean(object, where, "use_pickle"));
    payload.meta = object.find("tensor_meta");
    return payload;
  }

  Status add_payload(const JsonRecord& json, std::string_view name, const Payload& payload, std::string_view where) {
    if (payload.path_name.starts_with("custom_obj_")) return add_custom_object(name, payload);
    if (payload.use_pickle) {
      RUSHLIGHT_TRY_ASSIGN(const zip::Entry* const entry, find_record(json, name, payload));
      RUSHLIGHT_TRY_ASSIGN(const Value value, read_nested_archive(reading_, *entry));
      return add(name, grafter_.graft(builder_, value));
    }
    if (!payload.meta || payload.meta->is_null()) {
      return json.error(Category::type, "JSON-FIELD",
                        std::string(where) + " has no field 'tensor_meta', and is no pickle");
    }
    RUSHLIGHT_TRY_ASSIGN(const Geometry geometry,
                         parse_meta(json, *payload.meta, std::string(where) + ", tensor_meta"));
    Result<Tensor> tensor = make_tensor(json, name, payload, geometry);
    if (!tensor) {
      Error error = std::move(tensor).error();
      if (error.finding.tensors.empty()) {
        error.finding.message = "tensor " + rushlight::quoted(name) + ": " + std::move(error.finding.message);
        error.finding.tensors.push_back(escaped(name));
      }
      return json.placed(std::move(error));
    }
    return add(name, builder_.tensor(*std::move(tensor)));
  }

  Result<const zip::Entry*> find_record(const JsonRecord& json, std::string_view name, const Payload& payload) const {
    const std::string record = std::string(folder_).append(payload.path_name);
    const zip::Entry* entry = reading_.container.find(record);
    if (entry != nullptr && !entry->is_directory()) return entry;
    Error error = json.error(Category::store, "STORE-MISSING",
                             "tensor " + rushlight::quoted(name) + ": there is no record " + rushlight::quoted(record));
    error.finding.tensors.push_back(escaped(name));
    return error;
  }

  Result<Geometry> parse_meta(const JsonRecord& json, JsonElement element, const std::string& where) const {
    RUSHLIGHT_TRY_ASSIGN(const JsonObject meta, json.object(element, where));
    Geometry geometry;
    RUSHLIGHT_TRY_ASSIGN(const JsonElement dtype, json.field(meta, where, "dtype"));
    RUSHLIGHT_TRY_ASSIGN(const std::int64_t code, json.integer(dtype, where + ", dtype"));
    const auto row = std::find_if(std::begin(kDTypes), std::end(kDTypes),
                                  [&](const DTypeCode& known) { return known.code == code; });
    if (row == std::end(kDTypes)) {
      return json.error(Category::unsup, "PT2-DTYPE",
                        where + ": dtype " + std::to_string(code) + " is not one that is known");
    }
    geometry.dtype = row->dtype;
    RUSHLIGHT_TRY(parse_sizes(json, meta, where, "sizes", geometry.sizes));
    RUSHLIGHT_TRY(parse_sizes(json, meta, where, "strides", geometry.strides));
    RUSHLIGHT_TRY_ASSIGN(const JsonElement offset, json.field(meta, where, "storage_offset"));
    RUSHLIGHT_TRY_ASSIGN(geometry.storage_offset, parse_size(json, offset, where + ", storage_offset"));
    RUSHLIGHT_TRY_ASSIGN(geometry.requires_grad, json.boolean(meta, where, "requires_grad"));
    if (const std::optional<JsonElement> layout = meta.find("layout")) {
      RUSHLIGHT_TRY_ASSIGN(const std::int64_t number, json.integer(*layout, where + ", layout"));
      if (number != kStrided) {
        return json.error(Category::unsup, "PT2-LAYOUT",
                          where + ": layout " + std::to_string(number) + ", expected 7 (strided)");
      }
    }
    geometry.location = "cpu";
    if (const std::optional<JsonElement> element_of_device = meta.find("device")) {
      RUSHLIGHT_TRY_ASSIGN(const JsonObject device, json.object(*element_of_device, where + ", device"));
      RUSHLIGHT_TRY_ASSIGN(const std::string_view type, json.text(device, where + ", device", "type"));
      geometry.location = type;
      if (const std::optional<JsonElement> index = device.find("index"); index && !index->is_null()) {
        RUSHLIGHT_TRY_ASSIGN(const std::int64_t number, json.integer(*index, where + ", device, index"));
        geometry.location += ":" + std::to_string(number);
      }
    }
    return geometry;
  }

  Status parse_sizes(const JsonRecord& json, const JsonObject& meta, const std::string& where, std::string_view key,
                     std::vector<std::int64_t>& out) const {
    RUSHLIGHT_TRY_ASSIGN(const JsonElement element, json.field(meta, where, key));
    const std::string place = where + ", " + std::string(key);
    RUSHLIGHT_TRY_ASSIGN(const std::vector<JsonElement> items, json.array(element, place));
    for (const JsonElement item : items) {
      RUSHLIGHT_TRY_ASSIGN(const std::int64_t size, parse_size(json, item, place));
      out.push_back(size);
    }
    return {};
  }

  // {"as_int": 3}; the size of a weight is never an expression.
  static Result<std::int64_t> parse_size(const JsonRecord& json, JsonElement element, const std::string& where) {
    RUSHLIGHT_TRY_ASSIGN(const JsonObject object, json.object(element, where));
    RUSHLIGHT_TRY_ASSIGN(const JsonElement number, json.field(object, where, "as_int"));
    return json.integer(number, where);
  }

  // A record holds a whole storage; entries that name it again are views of the same.
  Result<Tensor> make_tensor(const JsonRecord& json, std::string_view name, const Payload& payload,
                             const Geometry& geometry) {
    RUSHLIGHT_TRY_ASSIGN(const zip::Entry* const entry, find_record(json, name, payload));
    TensorOptions options;
    options.requires_grad = geometry.requires_grad;
    options.tensor_class = payload.is_param ? TensorClass::parameter : TensorClass::tensor;
    const std::optional<std::uint64_t> units = reach(geometry);
    if (entry->size_bytes == 0 && units && *units > 0) {
      // A fake tensor has no bytes to write.
      note_without_bytes(name);
      reading_.container.mark_used(*entry);
      const std::uint64_t bytes = checked_mul(*units, std::uint64_t{size_bytes(geometry.dtype)}).value_or(0);
      return Tensor::Impl::view(Storage(make_meta_memory(bytes)), geometry.dtype, geometry.sizes, geometry.strides,
                                geometry.storage_offset, options);
    }
    if (const std::uint64_t unit = size_bytes(geometry.dtype); entry->size_bytes % unit != 0) {
      Error error = json.error(Category::store, "STORE-SIZE",
                               "tensor " + rushlight::quoted(name) + ": record " +
                                   rushlight::quoted(reading_.container.context().short_name(*entry)) + " holds " +
                                   std::to_string(entry->size_bytes) + " bytes, expected a multiple of the " +
                                   std::to_string(unit) + " of " + std::string(to_string(geometry.dtype)));
      error.finding.tensors.push_back(escaped(name));
      return error;
    }
    const StorageRequest request{.key = payload.path_name,
                                 .location = geometry.location,
                                 .numel = entry->size_bytes,
                                 .dtype = DType::u8,
                                 .untyped = true};
    RUSHLIGHT_TRY_ASSIGN(const std::uint32_t index, find_storage(request));
    return Tensor::Impl::view(table_.as_dtype(index, geometry.dtype), geometry.dtype, geometry.sizes, geometry.strides,
                              geometry.storage_offset, options);
  }

  // The table keeps the texts of the first request for a key: the location must outlive it.
  Result<std::uint32_t> find_storage(StorageRequest request) {
    const auto known = std::find(locations_.begin(), locations_.end(), request.location);
    request.location = known != locations_.end() ? *known : locations_.emplace_back(request.location);
    return table_.find(request);
  }

  void note_without_bytes(std::string_view name) {
    if (without_bytes_++ > 0) return;
    reading_.findings.push_back({.severity = Severity::warning,
                                 .category = Category::store,
                                 .code = "PT2-NO-BYTES",
                                 .message = "tensor " + rushlight::quoted(name) +
                                            " was saved without bytes: it and others like it are on the meta device",
                                 .file = escaped(reading_.container.context().file, 4096),
                                 .tensors = {escaped(name)}});
  }

  // An object of a C++ class (torch.ScriptObject), pickled by that class: no tensor.
  Status add_custom_object(std::string_view name, const Payload& payload) {
    const std::string record = std::string(folder_).append(payload.path_name);
    if (const zip::Entry* entry = reading_.container.find(record)) reading_.container.mark_used(*entry);
    reading_.findings.push_back(
        {.severity = Severity::warning,
         .category = Category::unsup,
         .code = "PT2-CUSTOM-OBJECT",
         .message = "entry " + rushlight::quoted(name) +
                    " is an object of a C++ class: it is kept as an opaque value without content",
         .file = escaped(reading_.container.context().file, 4096),
         .record = escaped(record)});
    return add(name, builder_.opaque("torch.ScriptObject", kNoNode));
  }

  Status add(std::string_view name, NodeId value) {
    const std::string key = std::string(key_prefix_).append(name);
    if (builder_.graph().find_text(dict_, key)) {
      return with_file(Error::of({.category = Category::ambig,
                                  .code = "PT2-DUPLICATE",
                                  .message = "there are two entries " + rushlight::quoted(key),
                                  .found = escaped(key)}),
                       reading_.container.context().file);
    }
    [[maybe_unused]] const bool added = builder_.set_item(dict_, builder_.string(key), value);
    assert(added);
    return {};
  }

  ArchiveReading& reading_;
  ValueGraphBuilder& builder_;
  Grafter& grafter_;
  NodeId dict_;
  std::string_view folder_;
  std::string_view key_prefix_;
  FolderStorages provider_;
  StorageTable table_;
  std::deque<std::string> locations_;
  std::size_t without_bytes_ = 0;
};

NodeId ordered_dict(ValueGraphBuilder& builder) {
  const NodeId dict = builder.dict();
  builder.set_class(dict, "collections.OrderedDict");
  return dict;
}

// torch.export.save of 2.1 to 2.7. The suffix .json of the first releases is no JSON either.
Result<Value> read_plain(ArchiveReading& reading) {
  ZipContainer& container = reading.container;
  ValueGraphBuilder builder;
  Grafter grafter;
  const NodeId dict = ordered_dict(builder);
  const auto read = [&](std::string_view stem, std::string_view key_prefix) -> Result<bool> {
    for (const std::string_view suffix : {".pt", ".json"}) {
      const zip::Entry* entry = container.find(std::string(stem).append(suffix));
      if (entry == nullptr || entry->is_directory()) continue;
      Folder folder(reading, builder, grafter, dict, "", key_prefix);
      RUSHLIGHT_TRY(folder.read_saved_dict(*entry));
      return true;
    }
    return false;
  };
  RUSHLIGHT_TRY_ASSIGN(const bool found, read("serialized_state_dict", ""));
  if (!found) {
    return with_file(Error::of({.category = Category::zip,
                                .code = "PT2-NO-WEIGHTS",
                                .message = "there is no record 'serialized_state_dict.pt' beside "
                                           "'serialized_exported_program.json'"}),
                     container.context().file);
  }
  RUSHLIGHT_TRY(read("serialized_constants", "constants."));
  for (const std::string_view prefix :
       {"serialized_exported_program.json", "serialized_example_inputs", "version", "extra_files/"}) {
    container.mark_used_below(prefix);
  }
  return Value(std::move(builder).finish(), dict);
}

// The names of the programs: models/NAME.json.
std::vector<std::string_view> find_models(const ZipContainer& container) {
  constexpr std::string_view kSuffix = ".json";
  std::vector<std::string_view> models;
  for (const zip::Entry& entry : container.context().archive->entries()) {
    std::string_view name = container.short_name(entry);
    if (!name.starts_with(kModels) || !name.ends_with(kSuffix)) continue;
    name = name.substr(kModels.size(), name.size() - kModels.size() - kSuffix.size());
    if (!name.empty() && name.find('/') == std::string_view::npos) models.push_back(name);
  }
  return models;
}

Status check_format(ArchiveReading& reading) {
  ZipContainer& container = reading.container;
  const zip::Entry* entry = container.find("archive_format");
  assert(entry != nullptr);
  RUSHLIGHT_TRY_ASSIGN(const zip::RecordBytes record, container.read(*entry, kFormatBytes));
  std::string_view format = as_text(record.span());
  if (format.ends_with('\n')) format.remove_suffix(1);
  if (format == "pt2") return {};
  return container.context().placed(
      Error::of(
          {.category = Category::unsup,
           .code = "KIND-UNSUPPORTED",
           .message = "archive format is not one that is known, expected 'pt2', found " + rushlight::quoted(format),
           .found = escaped(format),
           .expected = "pt2"}),
      *entry);
}

Status read_model(ArchiveReading& reading, std::string_view model, ValueGraphBuilder& builder, Grafter& grafter,
                  NodeId dict) {
  ZipContainer& container = reading.container;
  struct Part {
    std::string_view folder, config_suffix, key_prefix;
  };
  for (const Part& part :
       {Part{kWeights, kWeightsConfig, ""}, Part{kConstants, "_constants_config.json", "constants."}}) {
    const std::string stem = std::string(part.folder).append(model);
    const zip::Entry* const config = container.find(stem + std::string(part.config_suffix));
    const zip::Entry* const saved = container.find(stem + ".pt");
    Folder folder(reading, builder, grafter, dict, part.folder, part.key_prefix);
    if (config != nullptr && saved != nullptr) {
      return with_file(Error::of({.category = Category::ambig,
                                  .code = "PT2-TWO-FORMS",
                                  .message = rushlight::quoted(container.short_name(*config)) + " and " +
                                             rushlight::quoted(container.short_name(*saved)) +
                                             " both hold the tensors of model " + rushlight::quoted(model)}),
                       container.context().file);
    }
    if (config != nullptr) {
      RUSHLIGHT_TRY(folder.read_config(*config));
    } else if (saved != nullptr) {
      RUSHLIGHT_TRY(folder.read_saved_dict(*saved));
    } else if (part.key_prefix.empty()) {
      return with_file(
          Error::of({.category = Category::zip,
                     .code = "PT2-NO-WEIGHTS",
                     .message = "there is no record " + rushlight::quoted(stem + std::string(part.config_suffix)) +
                                " beside " + rushlight::quoted(std::string(kModels).append(model) + ".json")}),
          container.context().file);
    }
  }
  return {};
}

}  // namespace

Result<Value> read_exported(ArchiveReading& reading) {
  ZipContainer& container = reading.container;
  if (container.find("archive_format") == nullptr) return read_plain(reading);
  RUSHLIGHT_TRY(check_format(reading));
  for (const std::string_view prefix :
       {"models/", "data/sample_inputs/", "data/aotinductor/", "data/executorch/", "extra/", "archive_version"}) {
    container.mark_used_below(prefix);
  }
  const std::vector<std::string_view> models = find_models(container);
  if (models.empty()) {
    return with_file(
        Error::of({.category = Category::unsup,
                   .code = "PT2-NO-MODEL",
                   .message = "the torch.export archive holds no program (models/NAME.json), so no weights",
                   .hint = "compiled code (AOTInductor) keeps its weights inside: export the program again"}),
        container.context().file);
  }
  ValueGraphBuilder builder;
  Grafter grafter;
  if (models.size() == 1) {
    const NodeId dict = ordered_dict(builder);
    RUSHLIGHT_TRY(read_model(reading, models.front(), builder, grafter, dict));
    return Value(std::move(builder).finish(), dict);
  }
  const NodeId root = builder.dict();
  for (const std::string_view model : models) {
    const NodeId dict = ordered_dict(builder);
    RUSHLIGHT_TRY(read_model(reading, model, builder, grafter, dict));
    [[maybe_unused]] const bool added = builder.set_item(root, builder.string(model), dict);
    assert(added);
  }
  return Value(std::move(builder).finish(), root);
}

}  // namespace rushlight::checkpoint
