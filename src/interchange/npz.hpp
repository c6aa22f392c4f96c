// NumPy's .npz: a zip of .npy files, as numpy.savez and numpy.savez_compressed write. format-spec/09-interchange.md.
// Source: numpy/lib/_npyio_impl.py, `_savez` and `NpzFile`.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "interchange/named_tensor.hpp"
#include "rushlight/checkpoint.hpp"
#include "rushlight/interchange.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/source.hpp"
#include "rushlight/tensor.hpp"
#include "zip/archive.hpp"

namespace rushlight::interchange {

struct NpzArray {
  std::string name;  // without ".npy"
  // ErrorCode::unsupported where the elements are nothing that a tensor can hold (objects, strings, structures): such
  // an array does not keep the others from being read.
  Result<Tensor> tensor;
};

struct Npz {
  std::vector<NpzArray> arrays;   // in the order of the archive's directory
  std::vector<Finding> findings;  // warnings: of the container, and members that are no arrays
};

// By the names of its records: all of them end with ".npy".
[[nodiscard]] bool is_npz(const zip::Archive& archive) noexcept;

// Reads the headers; elements are read, and their record's CRC-32 checked, when they are first asked for. Of a deflated
// member the header can only be had by inflating it, which is done twice rather than keep what nobody asked for; all
// members together meet limits.inflated_bytes.
Result<Npz> read_npz(std::shared_ptr<const Source> source, const Limits& limits,
                     Checksums checksums = Checksums::on_first_read);

// The same for an archive that is open already; `file` is its name in messages. Its own oddities are not said again.
Result<Npz> read_npz(std::shared_ptr<const zip::Archive> archive, std::string file, const Limits& limits,
                     Checksums checksums);

// write_npz() for any tensors: names that stand twice are NPZ-DUPLICATE.
Status write_npz(std::span<const NamedTensor> tensors, Sink& sink, const NpzOptions& options);

}  // namespace rushlight::interchange
