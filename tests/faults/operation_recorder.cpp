#include "operation_recorder.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace rushlight::test {
namespace {

// The table holds plain functions, which have nowhere else to write.
struct State {
  OperationRecorder::Plan plan;
  std::vector<Operation> operations;
  std::map<int, int> files;  // descriptor of a created file -> its number
  std::set<int> folders;     // descriptors
  int created = 0;
  int seen = 0;
  bool has_failed = false;
};

State& state() {
  static State state;
  return state;
}

// True once, at the operation that the plan names.
bool fails() {
  if (state().seen++ != state().plan.fail_at) return false;
  state().has_failed = true;
  errno = EIO;
  return true;
}

int note(int result, Operation operation) {
  if (result == 0) state().operations.push_back(std::move(operation));
  return result;
}

const Operation* of_file(int fd, Operation& operation) {
  const auto found = state().files.find(fd);
  if (found == state().files.end()) return nullptr;
  operation.file = found->second;
  return &operation;
}

io::SystemCalls table() {
  io::SystemCalls c = io::real_system_calls();
  c.open = [](const char* path, int flags) {
    const int fd = io::real_system_calls().open(path, flags);
    if (fd >= 0 && (flags & O_DIRECTORY) != 0) state().folders.insert(fd);
    return fd;
  };
  c.close = [](int fd) {
    state().files.erase(fd);
    state().folders.erase(fd);
    return io::real_system_calls().close(fd);
  };
  c.openat = [](int folder, const char* name, int flags, unsigned mode) {
    if ((flags & O_CREAT) == 0) return io::real_system_calls().openat(folder, name, flags, mode);
    if (fails()) return -1;
    const int fd = io::real_system_calls().openat(folder, name, flags, mode);
    if (fd < 0) return fd;
    state().files[fd] = ++state().created;
    note(0, {.kind = Operation::Kind::create, .file = state().created, .name = name});
    return fd;
  };
  c.fallocate = [](int fd, off_t size_bytes) {
    Operation operation{.kind = Operation::Kind::allocate, .size_bytes = static_cast<std::size_t>(size_bytes)};
    if (of_file(fd, operation) == nullptr) return io::real_system_calls().fallocate(fd, size_bytes);
    if (fails()) return -1;
    return note(io::real_system_calls().fallocate(fd, size_bytes), std::move(operation));
  };
  c.write = [](int fd, const void* buffer, std::size_t count) -> ssize_t {
    Operation operation{.kind = Operation::Kind::write};
    if (of_file(fd, operation) == nullptr) return io::real_system_calls().write(fd, buffer, count);
    if (fails()) return -1;
    const ssize_t written = io::real_system_calls().write(fd, buffer, std::min(count, state().plan.most_bytes));
    if (written <= 0) return written;
    operation.bytes.assign(static_cast<const char*>(buffer), static_cast<std::size_t>(written));
    note(0, std::move(operation));
    return written;
  };
  c.ftruncate = [](int fd, off_t size_bytes) {
    Operation operation{.kind = Operation::Kind::truncate, .size_bytes = static_cast<std::size_t>(size_bytes)};
    if (of_file(fd, operation) == nullptr) return io::real_system_calls().ftruncate(fd, size_bytes);
    if (fails()) return -1;
    return note(io::real_system_calls().ftruncate(fd, size_bytes), std::move(operation));
  };
  // Nothing here needs the real one, which would only take its time.
  c.fsync = [](int fd) {
    Operation operation{.kind = Operation::Kind::sync_file};
    if (fails()) return -1;
    if (state().folders.contains(fd)) return note(0, {.kind = Operation::Kind::sync_folder});
    if (of_file(fd, operation) == nullptr) return 0;
    return note(0, std::move(operation));
  };
  c.renameat = [](int from_folder, const char* from, int to_folder, const char* to) {
    if (fails()) return -1;
    return note(io::real_system_calls().renameat(from_folder, from, to_folder, to),
                {.kind = Operation::Kind::rename, .name = from, .to = to});
  };
  c.renameat_noreplace = [](int from_folder, const char* from, int to_folder, const char* to) {
    if (fails()) {
      errno = EINVAL;  // a file system that cannot: the other way is recorded
      return -1;
    }
    return note(io::real_system_calls().renameat_noreplace(from_folder, from, to_folder, to),
                {.kind = Operation::Kind::rename, .name = from, .to = to});
  };
  c.linkat = [](int from_folder, const char* from, int to_folder, const char* to) {
    if (fails()) return -1;
    return note(io::real_system_calls().linkat(from_folder, from, to_folder, to),
                {.kind = Operation::Kind::link, .name = from, .to = to});
  };
  c.unlinkat = [](int folder, const char* name) {
    if (fails()) return -1;
    return note(io::real_system_calls().unlinkat(folder, name), {.kind = Operation::Kind::unlink, .name = name});
  };
  return c;
}

}  // namespace

OperationRecorder::OperationRecorder(Plan plan) {
  static const io::SystemCalls calls = table();
  state() = State{};
  state().plan = plan;
  scope_.emplace(calls);
}

OperationRecorder::~OperationRecorder() = default;

const std::vector<Operation>& OperationRecorder::operations() const noexcept {
  return state().operations;
}
bool OperationRecorder::has_failed() const noexcept {
  return state().has_failed;
}

}  // namespace rushlight::test
