// Checkpoints from bytes, opened in both ways: mapped, and read piece by piece. Both must say the same.
#pragma once

#include <optional>
#include <string>

#include "rushlight/checkpoint.hpp"
#include "rushlight/verify.hpp"
#include "support/pickle_builder.hpp"
#include "support/test_source.hpp"
#include "support/zip_builder.hpp"

namespace rushlight::test {

Result<Checkpoint> open_bytes(const Bytes& bytes, const LoadOptions& options = {});
// A torch file whose data.pkl is this, with storages "0" (eight floats) and "1" (four longs).
TorchZip zip_with(const PickleBuilder& pickle);
Result<Checkpoint> open_pickle(const PickleBuilder& pickle, const LoadOptions& options = {});

// "category CODE record at OFFSET: message": OFFSET in the file.
std::string line_of(const Finding& finding);
// The line of the error, "ok" where it opens.
std::string verdict_of(const Bytes& bytes, const LoadOptions& options = {});

VerifyReport verified(const Bytes& bytes, const VerifyOptions& options = {});
// The findings, a line each, notes left out.
std::string lines_of(const VerifyReport& report);

}  // namespace rushlight::test
