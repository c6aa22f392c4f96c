#include "checkpoint/storage_provider.hpp"

#include <string>

#include "base/quote.hpp"

namespace rushlight::checkpoint {

Result<StorageProvider::Keyed> StorageProvider::keyed(std::string_view key) {
  return Error::of({.category = Category::store,
                    .code = "STORE-MISSING",
                    .message = "nothing has the key " + quoted(key),
                    .found = escaped(key)});
}

}  // namespace rushlight::checkpoint
