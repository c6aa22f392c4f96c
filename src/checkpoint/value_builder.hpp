// The work of build_value(): pickle objects to value nodes, without recursion.
//
// Immutable objects (tuples, calls) can hold only what came before them in the stream, and the machine numbers objects
// in stream order. So nodes are made in one pass by ascending number, containers empty; a second pass fills the
// containers, which is where cycles close. Only objects that become values are visited: the arguments of the 20,000
// calls that make 20,000 tensors are read where they lie.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/build_value.hpp"
#include "checkpoint/globals_found.hpp"
#include "checkpoint/numpy_dtype.hpp"
#include "checkpoint/pickle_memory.hpp"
#include "checkpoint/storage_table.hpp"
#include "pickle/arena.hpp"
#include "value/graph.hpp"

namespace rushlight::checkpoint {

// What becomes of a call, or of a persistent id.
enum class Role : std::uint8_t {
  opaque,
  tensor,
  storage,
  dict,  // OrderedDict, Counter
  set,
  frozenset,
  bytes,
  bytearray,
  complex,
  size,
  device,
  layout,
  module_class,  // a persistent id that names a class and brings its source text
  keyed,         // a persistent id of the tar container: a tensor or storage by its key
  typed_value,   // TorchScript's note on the type of its first argument, which it stands for
  ndarray,
  numpy_scalar,
};

class Arguments;

class ValueBuilder {
 public:
  // `file_depth` counts the files around this one: a storage can be a whole file inside a pickle.
  ValueBuilder(const pickle::Pickle& pickle, const PickleBytes& bytes, StorageProvider& storages,
               const LoadOptions& options, int file_depth);

  // Everything reachable from the root.
  Result<Value> build();
  // Fills in where objects of unknown classes stand.
  void locate(std::vector<GlobalUse>& uses);
  // Tensors that are recognised and stay opaque: a warning for each kind.
  void report_opaque_tensors(std::vector<Finding>& findings);

 private:
  friend class Arguments;
  using ObjectId = pickle::ObjectId;
  using ObjectKind = pickle::ObjectKind;

  [[nodiscard]] ObjectKind kind_of(ObjectId id) const noexcept { return graph_.kind(id); }

  // --- roles (roles.cpp) ---
  void find_roles();
  [[nodiscard]] Role role_of_call(ObjectId call);
  [[nodiscard]] Role role_of_rebuild(Meaning meaning, std::span<const ObjectId> arguments) const;
  [[nodiscard]] Role role_of_persistent(ObjectId persistent) const;
  // What is called; where the legacy format brings a class with its source text, that class.
  [[nodiscard]] ObjectId callee_of(ObjectId call) const;
  [[nodiscard]] ObjectId class_of_module_id(ObjectId persistent) const;
  [[nodiscard]] bool is_unknown_name(ObjectId id) const;
  [[nodiscard]] bool holds_opaque_tensor(std::span<const ObjectId> arguments, std::size_t position) const;
  // The meaning of a callable; nullopt for what is not on the allow-list, or no name at all.
  [[nodiscard]] std::optional<KnownGlobal> known(ObjectId callable) const {
    return kind_of(callable) == ObjectKind::global ? names_[callable].known : std::nullopt;
  }
  [[nodiscard]] std::string class_of_call(ObjectId call) const;
  // What opaque tensor a call makes, if that is what it makes.
  [[nodiscard]] std::optional<Meaning> opaque_tensor(ObjectId call) const;
  void mark();
  void mark_call(ObjectId call, std::vector<ObjectId>& pending);

  // --- nodes (value_builder.cpp) ---
  Result<NodeId> create(ObjectId id);
  Result<NodeId> create_call(ObjectId call);
  NodeId create_byte_string(ObjectId id);
  void remember_origin();
  NodeId key_node(ObjectId key);
  Result<NodeId> create_global(ObjectId id);
  Result<NodeId> create_persistent(ObjectId id);
  Result<NodeId> create_complex(ObjectId call, std::span<const ObjectId> arguments);
  Result<NodeId> create_size(ObjectId call, std::span<const ObjectId> arguments);
  Result<NodeId> create_device(ObjectId call, std::span<const ObjectId> arguments);
  Result<NodeId> create_layout(ObjectId call, std::span<const ObjectId> arguments);
  Result<NodeId> create_opaque(ObjectId call);
  Status fill(ObjectId id);
  Status fill_call(ObjectId call);
  Status fill_dict_call(ObjectId call);
  Status add_entry(ObjectId container, ObjectId key, ObjectId value);
  Status add_pairs(ObjectId container, std::span<const ObjectId> pairs);
  Status set_states(ObjectId object, std::span<const ObjectId> states);
  Status check_additions(ObjectId call, Role role) const;
  // The bytes that bytes objects, and calls that stand for them, hold.
  Result<std::string_view> bytes_of(ObjectId id, ObjectId site, std::string_view callee);
  Result<std::string_view> encoded_latin1(ObjectId text, ObjectId encoding, ObjectId site, std::string_view callee);
  Result<std::string> decoded_latin1(ObjectId text, ObjectId encoding, ObjectId site, std::string_view callee) const;
  std::string_view kept(ObjectId id);

  // --- tensors (rebuild.cpp) ---
  struct Rebuilt {
    Tensor tensor{};
    std::optional<CompositeTensor> composite{};  // instead of the tensor
    ObjectId state = pickle::kNoObject;          // attributes
    std::string_view class_name{};               // of a subclass; empty otherwise
    [[nodiscard]] TensorOptions options() const { return composite ? composite->options() : tensor.options(); }
  };
  Result<NodeId> create_tensor(ObjectId call);
  Result<Rebuilt> rebuild(ObjectId call);
  Result<Rebuilt> rebuild_by(const KnownGlobal& known, std::string_view callee, ObjectId call,
                             std::span<const ObjectId> items, int nesting);
  Result<Tensor> rebuild_strided(Meaning meaning, const Arguments& arguments);
  Result<Tensor> rebuild_meta(const Arguments& arguments);
  Result<Rebuilt> rebuild_typed(const Arguments& arguments);
  Result<Tensor> rebuild_quantized(const Arguments& arguments);
  Result<Quantizer> parse_quantizer(const Arguments& arguments, const Tensor& codes);
  Result<Tensor> quantizer_parameters(const Arguments& parameters, std::size_t position, std::string_view what);
  Result<Tensor> rebuild_wrapper(const Arguments& arguments);
  Result<Tensor> meta_tensor(DType dtype, std::int64_t storage_offset, const TensorOptions& options) const;
  Result<CompositeTensor> rebuild_sparse(const Arguments& arguments, bool csr);
  Result<CompositeTensor> rebuild_nested(const Arguments& arguments);
  Result<CompositeTensor> rebuild_jagged(const Arguments& arguments);
  Result<Rebuilt> rebuild_object(const KnownGlobal& known, const Arguments& made);
  [[nodiscard]] bool is_buffer(ObjectId state) const;
  Result<Tensor> tensor_of(const Arguments& arguments, std::size_t position, std::string_view what);
  // A tensor or a composite one.
  Result<Rebuilt> any_tensor_of(const Arguments& arguments, std::size_t position, std::string_view what);
  static Result<Tensor> with_options(const Tensor& tensor, TensorOptions options);
  static Status set_options(Rebuilt& rebuilt, TensorOptions options);
  struct StorageUse {
    const StorageTable::Entry* entry;
    std::uint32_t index;
    StorageRequest request;  // this one: an empty storage may be named under several classes
  };
  [[nodiscard]] bool is_storage(ObjectId id) const;
  // Of a persistent id, or of a call that reads a file inside the pickle.
  Result<StorageUse> storage_of(ObjectId id);
  Result<StorageUse> nested_storage(ObjectId call);
  Result<StorageUse> keyed_storage(ObjectId persistent);
  Result<StorageRequest> parse_storage(ObjectId persistent);
  Result<StorageProvider::Keyed> keyed(ObjectId persistent) const;

  // --- arrays and scalars of NumPy (rebuild_numpy.cpp) ---
  struct NumpyDType {
    NumpyTypeCode code{};
    std::string text{};                     // as NdArray::dtype
    bool is_whole = true;                   // the text says all there is to say
    ObjectId names = pickle::kNoObject;     // of fields: a tuple
    ObjectId fields = pickle::kNoObject;    // a dict
    ObjectId subarray = pickle::kNoObject;  // (base, shape)
  };
  // What hangs on an array as values of their own.
  struct NumpyParts {
    ObjectId objects = pickle::kNoObject;  // a list
    ObjectId dtype = pickle::kNoObject;
  };
  Result<std::optional<NumpyDType>> numpy_dtype(ObjectId id);
  Result<std::optional<NumpyDType>> bare_numpy_dtype(ObjectId id);
  Result<bool> apply_dtype_state(ObjectId call, ObjectId state, NumpyDType& dtype);
  Status apply_time_unit(const Arguments& state, NumpyDType& dtype);
  std::string text_of_fields(const NumpyDType& dtype);
  std::string text_of_field(std::string_view name, std::span<const ObjectId> pairs);
  Role role_of_numpy(Meaning meaning, ObjectId call);
  NumpyParts numpy_parts(ObjectId call);
  Result<NodeId> create_ndarray(ObjectId call);
  Result<NodeId> create_numpy_scalar(ObjectId call);
  Result<NdArray> make_ndarray(ObjectId call);
  Status apply_order(const Arguments& arguments, NdArray& array);
  Status fill_ndarray(const Arguments& parts, std::size_t dtype_at, std::size_t data_at, NdArray& array);
  Status hang_on_ndarray(ObjectId call);
  Result<std::shared_ptr<PickleMemory>> pickled_memory(const Arguments& parts, std::size_t position);
  std::shared_ptr<Memory> swapped(const std::shared_ptr<Memory>& memory, std::uint32_t unit);
  NodeId scalar_node(const NumpyTypeCode& code, std::string_view stored);
  Result<Tensor> rebuild_from_numpy(const Arguments& arguments);

  // --- errors ---
  [[nodiscard]] Error failure(Category category, std::string_view code, ObjectId at, std::string message,
                              std::string found = {}, std::string expected = {}) const;
  // Adds the place of a call, and the tensor it makes.
  [[nodiscard]] Error of_tensor(Error error, ObjectId call, std::string_view what = "tensor");
  [[nodiscard]] Error numpy_size_error(ObjectId call, const NdArray& array, const std::string& expected,
                                       const std::string& found) const;
  // "a str", "global 'os.system'", "an object of 'argparse.Namespace'".
  [[nodiscard]] std::string describe(ObjectId id) const;
  [[nodiscard]] ObjectPaths& paths();

  [[nodiscard]] std::string_view text(ObjectId id) const { return graph_.text(id); }
  [[nodiscard]] bool is_text(ObjectId id) const noexcept {
    return kind_of(id) == ObjectKind::string || kind_of(id) == ObjectKind::byte_string;
  }
  [[nodiscard]] bool is_borrowed(std::string_view text) const noexcept;

  const pickle::ObjectGraph& graph_;
  const PickleBytes& bytes_;
  const LoadOptions& options_;
  int file_depth_;
  FoundNames names_;
  StorageProvider& provider_;
  StorageTable storages_;
  ValueGraphBuilder values_;

  bool any_opaque_ = false;                                          // of the calls
  std::vector<Role> roles_;                                          // by object, of calls and persistent ids
  std::vector<std::uint8_t> marked_;                                 // 1: becomes a value
  std::vector<NodeId> nodes_;                                        // by object
  std::map<std::pair<std::uint32_t, DType>, NodeId> storage_nodes_;  // by index into storages_, and class
  std::map<ObjectId, NodeId> key_texts_;                             // strings of Python 2 that are keys, as text
  std::map<ObjectId, std::string_view> decoded_;                     // texts turned to bytes, in the arena
  std::map<ObjectId, std::uint32_t> nested_files_;                   // by their bytes: index into storages_
  std::map<std::string_view, std::uint32_t> keyed_storages_;         // by key: index into storages_
  std::map<std::string_view, NodeId> keyed_nodes_;                   // by key
  std::array<NodeId, 256> dtype_nodes_;                              // by DType: one object each, as in torch
  std::vector<std::int64_t> shape_, strides_;                        // of the tensor being made
  std::uint64_t ndarrays_ = 0;
  std::map<ObjectId, std::optional<NumpyDType>> numpy_dtypes_;
  std::map<ObjectId, std::shared_ptr<PickleMemory>> pickled_;                           // by the object with the bytes
  std::map<std::pair<const Memory*, std::uint32_t>, std::shared_ptr<Memory>> swapped_;  // by original and unit
  std::unique_ptr<ObjectPaths> paths_;
};

}  // namespace rushlight::checkpoint
