// Values from containers of tensors that torch.save did not write: safetensors, NumPy, GGUF.
#pragma once

#include "open/opened.hpp"

namespace rushlight::open {

// The root becomes an OrderedDict from names to tensors, in the order of the file; what else the file says is an
// attribute of it, "metadata". Of the options: limits, checksums, map_location.
Status load_safetensors(const LoadOptions& options, Opened& opened);
Status load_npz(const LoadOptions& options, Opened& opened);
// Tensors of block types become opaque values, with a finding that names the types.
Status load_gguf(const LoadOptions& options, Opened& opened);
// The root becomes the tensor.
Status load_npy(const LoadOptions& options, Opened& opened);

}  // namespace rushlight::open
