// Where a pickle lies, and where an object of it stands: what errors and findings about it say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pickle/object.hpp"
#include "rushlight/error.hpp"
#include "rushlight/value.hpp"

namespace rushlight::checkpoint {

struct PicklePlace {
  std::string file;
  std::string record;                        // "data.pkl"; of a stream, which pickle it is, or empty
  std::optional<std::uint64_t> file_offset;  // of the record's bytes; nullopt where they are deflated

  // Fills in what is not there yet. `record_offset` counts from the start of the pickle.
  void fill(Finding& finding, std::uint64_t record_offset) const;
};

// Where each object of a pickle stands below the root, by the shortest way found first. Made when it is needed: for
// errors and findings.
class ObjectPaths {
 public:
  explicit ObjectPaths(const pickle::ObjectGraph& graph);

  // Empty for the root, and for objects that cannot be reached from it.
  [[nodiscard]] Path path(pickle::ObjectId id) const;
  // The readable form as listings have it: parts of modules without `_modules`, `_parameters` and `_buffers`.
  [[nodiscard]] std::string name(pickle::ObjectId id) const;

 private:
  enum class Edge : std::uint8_t { none, inside, index, key, attr };
  struct Parent {
    pickle::ObjectId id = pickle::kNoObject;
    pickle::ObjectId step = 0;  // of Edge::index the position, of key and attr the key object
    Edge edge = Edge::none;
  };
  void visit(pickle::ObjectId parent, pickle::ObjectId child, Edge edge, pickle::ObjectId step,
             std::vector<pickle::ObjectId>& pending);
  void visit_children(pickle::ObjectId id, std::vector<pickle::ObjectId>& pending);
  void visit_initial_pairs(pickle::ObjectId call, std::vector<pickle::ObjectId>& pending);

  const pickle::ObjectGraph& graph_;
  std::vector<Parent> parents_;
};

// Leaves out the attribute steps that only modules have (format-spec/05, "names").
std::string listed_name(const Path& path);

}  // namespace rushlight::checkpoint
