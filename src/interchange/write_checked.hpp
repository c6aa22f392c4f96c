// The writers of tensors to a path, with a look at the new file before it takes the old one's place.
#pragma once

#include <cstdint>
#include <filesystem>

#include "io/atomic_file.hpp"
#include "rushlight/interchange.hpp"
#include "rushlight/npy.hpp"
#include "rushlight/result.hpp"

namespace rushlight::interchange {

// Each gives the size of the file. Nothing that can fail comes after `check` but the renaming itself.
Result<std::uint64_t> write_safetensors_checked(const StateDict& tensors, const std::filesystem::path& path,
                                                const SafetensorsOptions& options,
                                                const io::AtomicFile::Check& check = {});
Result<std::uint64_t> write_npz_checked(const StateDict& tensors, const std::filesystem::path& path,
                                        const NpzOptions& options, const io::AtomicFile::Check& check = {});
Result<std::uint64_t> write_npy_checked(const Tensor& tensor, const std::filesystem::path& path,
                                        const NpyOptions& options, const io::AtomicFile::Check& check = {});

}  // namespace rushlight::interchange
