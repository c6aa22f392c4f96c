// The work of unbuild_value(): value nodes to pickle objects, without recursion. Every object is made empty when it is
// first met and filled later, so cycles need no care.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/globals.hpp"
#include "checkpoint/pickle_origin.hpp"
#include "checkpoint/unbuild_value.hpp"
#include "pickle/machine.hpp"
#include "pickle/object_builder.hpp"
#include "value/graph.hpp"

namespace rushlight::checkpoint {

class ObjectMaker {
 public:
  // Storages share the objects of their keys with other texts of the same file, or each has one of its own.
  ObjectMaker(const ValueGraph& graph, const UnbuildOptions& options, bool shares_keys);

  Status make(NodeId root);

  struct MadeStorage {
    Storage storage;
    DType dtype = DType::u8;
    bool untyped = false;
    std::uint64_t numel = 0;
    std::string_view first_key;  // in the file; empty for new ones
    pickle::ObjectId key = pickle::kNoObject;
  };
  [[nodiscard]] const pickle::ObjectGraph& objects() const noexcept { return objects_.graph(); }
  [[nodiscard]] std::vector<MadeStorage>& storages() noexcept { return storages_; }
  // That a persistent id names; nullopt for a class.
  [[nodiscard]] std::optional<std::uint32_t> storage_of(pickle::ObjectId persistent) const {
    const auto found = persistent_.find(persistent);
    return found == persistent_.end() ? std::nullopt : std::optional(found->second);
  }
  [[nodiscard]] bool set_key(std::uint32_t storage, std::string_view key);
  // Names that torch.load(weights_only=True) does not take, in the order in which they were met.
  struct RefusedName {
    std::string name;
    NodeId at;  // where it was met
  };
  [[nodiscard]] const std::vector<RefusedName>& refused_names() const noexcept { return refused_; }

 private:
  using ObjectId = pickle::ObjectId;
  using ObjectKind = pickle::ObjectKind;

  // A pickle that nodes came from, read again.
  struct Source {
    const PickleOrigin* origin = nullptr;
    std::optional<pickle::Pickle> pickle;
    std::vector<NodeId> nodes;                       // by object: the node it became
    std::vector<ObjectId> made;                      // by object
    std::map<std::string_view, std::uint32_t> keys;  // to the origin's storages
    std::uint32_t number = 0;                        // among the graph's origins
    bool spells_tensors = false;                     // its way to name storages is one of those written here
  };
  // What is still to be filled.
  struct Pending {
    ObjectId object;
    std::uint32_t source;  // kNoSource: `from` is a node
    std::uint32_t from;
  };
  static constexpr std::uint32_t kNoSource = 0xFFFFFFFFu;

  // --- nodes (object_maker.cpp) ---
  Result<ObjectId> object_of(NodeId node);
  Result<ObjectId> shell_of(NodeId node);
  Status fill(const Pending& pending);
  Status fill_node(ObjectId object, NodeId node);
  Status add_nodes(ObjectId container, std::span<const NodeId> items, bool pairs);
  Result<ObjectId> dict_object(NodeId node);
  Result<ObjectId> class_of_dict(NodeId node, std::string_view name);
  Result<ObjectId> set_object(NodeId node);
  Result<ObjectId> bytes_object(std::string_view bytes);
  Result<ObjectId> bytearray_object(std::string_view bytes);
  Result<ObjectId> device_object(std::string_view device);
  Result<ObjectId> named_object(NodeId node);
  Result<ObjectId> opaque_object(NodeId node);
  Status fill_opaque(ObjectId object, NodeId node);
  [[nodiscard]] Error cannot_write(NodeId node, std::string what, std::string hint = {}) const;

  // --- objects that a file had (object_maker.cpp) ---
  Result<Source*> source_of(NodeOrigin origin);
  // The object that became a node, and its source; nullptr where there is none.
  Result<Source*> origin_of(NodeId node, ObjectId& object);
  [[nodiscard]] std::optional<KnownGlobal> known(const Source& source, ObjectId callable) const;
  // The same object, written anew: a node's where it became one.
  Result<ObjectId> adopted(Source& source, ObjectId object);
  Result<ObjectId> adopted_shell(Source& source, ObjectId object);
  Status fill_adopted(ObjectId object, Source& source, ObjectId from);
  Result<ObjectId> adopted_global(Source& source, ObjectId global);
  Result<ObjectId> adopted_call(Source& source, ObjectId call);
  Result<ObjectId> adopted_persistent(Source& source, ObjectId persistent);
  [[nodiscard]] std::string_view latin1_of(const Source& source, ObjectId call, std::string& room) const;

  // --- tensors (tensor_objects.cpp) ---
  Result<ObjectId> tensor_object(NodeId node);
  Result<ObjectId> composite_object(NodeId node);
  Result<ObjectId> storage_object(NodeId node);
  // The source's call may stand for the node: nobody changed its attributes.
  [[nodiscard]] bool is_spelt(const Source& source, ObjectId call, NodeId node) const;
  // The call that makes a plain tensor, without class and attributes; `function` and `arguments` of it.
  struct Making {
    ObjectId function = pickle::kNoObject;
    std::vector<ObjectId> arguments{};
  };
  Result<Making> making_of(const Tensor& tensor, NodeId node);
  Result<Making> making_of_quantized(const Tensor& tensor, NodeId node);
  Result<ObjectId> plain_tensor(const Tensor& tensor, NodeId node);
  Result<ObjectId> with_class(Making making, TensorClass tensor_class, bool requires_grad, NodeId node);
  Result<ObjectId> persistent_of(const Tensor& tensor, NodeId node);
  Result<ObjectId> storage_persistent(std::uint32_t storage, ObjectId word, ObjectId storage_class, ObjectId location);
  Result<std::uint32_t> index_of(const Storage& storage, DType dtype, bool untyped, NodeId node);

  // --- small objects (object_maker.cpp) ---
  // Texts that Python keeps once, such as literals in torch's own code.
  ObjectId kept(ObjectId object) noexcept;
  void keep(bool done) noexcept;
  ObjectId constant(std::string_view text);
  ObjectId fresh_text(std::string_view text);
  // "torch._utils", "_rebuild_tensor_v2": each pair of names is one object. Names are Python 3's.
  ObjectId global(std::string_view module, std::string_view name);
  void note_if_refused(PythonName name);
  ObjectId tuple(std::span<const ObjectId> items);
  ObjectId integers(std::span<const std::int64_t> values);
  ObjectId call(ObjectId callable, std::span<const ObjectId> arguments);
  ObjectId empty_ordered_dict();

  const ValueGraph& graph_;
  const UnbuildOptions& options_;
  bool shares_keys_;
  pickle::ObjectGraphBuilder objects_;
  std::vector<ObjectId> made_;  // by node
  std::vector<Pending> pending_;
  std::vector<std::unique_ptr<Source>> sources_;  // by origin of the graph
  std::map<std::string, ObjectId, std::less<>> constants_;
  std::map<std::pair<std::string, std::string>, ObjectId, std::less<>> globals_;
  std::vector<MadeStorage> storages_;
  std::map<const Memory*, std::uint32_t> storage_index_;
  std::map<ObjectId, std::uint32_t> persistent_;  // to the storage it names
  std::vector<RefusedName> refused_;
  NodeId current_ = kNoNode;  // the node being made, for messages
  ObjectId none_ = pickle::kNoObject;
  bool out_of_memory_ = false;
};

}  // namespace rushlight::checkpoint
