// Why OpenSSL failed. Only where it is built in.
#pragma once

#include <openssl/err.h>

#include <utility>

#include "base/no_memory.hpp"
#include "rushlight/error.hpp"

namespace rushlight::checksum {

// Before the first call of a piece of work: room for what it may have to say, and nothing of what others left.
inline void begin_openssl() noexcept {
  ERR_clear_error();
}

// What it recorded since then, which is forgotten.
struct OpensslErrors {
  bool any = false;
  bool out_of_memory = false;
};
inline OpensslErrors openssl_errors() noexcept {
  OpensslErrors errors;
  for (unsigned long code = ERR_get_error(); code != 0; code = ERR_get_error()) {
    errors.any = true;
    errors.out_of_memory = errors.out_of_memory || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
  }
  ERR_clear_error();  // frees what reading leaves
  return errors;
}

// After a call that failed: no_memory() where that was the reason, else `error`. OpenSSL that cannot even record why
// has no memory either.
inline Error openssl_failure(Error error) {
  const OpensslErrors errors = openssl_errors();
  return errors.any && !errors.out_of_memory ? std::move(error) : no_memory();
}

}  // namespace rushlight::checksum
