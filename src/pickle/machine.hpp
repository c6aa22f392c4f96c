// The pickle interpreter: protocols 0 to 5, from one table (opcodes.def), iterative, budgeted. It executes nothing.
// Source: CPython Lib/pickle.py, Lib/pickletools.py; PyTorch torch/_weights_only_unpickler.py for what torch accepts.
// The rules are in format-spec/03-pickle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "pickle/object.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"

namespace rushlight::pickle {

// A name that GLOBAL, STACK_GLOBAL or INST mentions, called or not. It owns its texts, exactly as the stream has them.
struct NamedGlobal {
  std::string module;
  std::string name;
  std::uint64_t offset = 0;  // of the opcode
};

struct Pickle {
  ObjectGraph graph;
  int protocol = 0;            // highest PROTO seen; 0 without one
  std::size_t bytes_used = 0;  // up to and with STOP
  std::uint64_t opcode_count = 0;
  std::vector<NamedGlobal> globals;  // distinct names, at their first use, in stream order
};

// Reads one pickle from the start of `bytes`, which must outlive the result. Bytes behind STOP are the caller's
// business (legacy files hold several pickles in a row), and so is a limit on their number: limits.pickle_bytes bounds
// what is read here. Errors carry record_offset, the opcode's name and number, found and expected; offset in the file
// is the caller's to add.
Result<Pickle> read_pickle(ByteSpan bytes, const Limits& limits);

// All names a stream mentions, found without building objects, also behind damage to the stack and behind STOP: what
// `scan` shows for broken files. It ends at the first byte that cannot be an opcode with its argument. A name of
// STACK_GLOBAL that is not known (made by a call, say) is empty.
std::vector<NamedGlobal> list_globals(ByteSpan bytes);

// One line per opcode, as `python3 -m pickletools` prints it: "   11: c    GLOBAL     'collections OrderedDict'".
// Stops behind STOP, and with the error of the first opcode that cannot be read. What CPython refuses to print although
// it can be read (a memo index stored twice, integers of more than 4,300 digits) is printed.
Result<std::string> disassemble(ByteSpan bytes);

}  // namespace rushlight::pickle
