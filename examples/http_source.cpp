// A checkpoint on a web server, read by ranges: what is listed or loaded is fetched, and nothing else.
//   http_source http://HOST[:PORT]/PATH                   lists the tensors
//   http_source http://HOST[:PORT]/PATH NAME OUT.npy      fetches one and writes it
//
// Plain HTTP/1.1 over POSIX sockets, one connection kept open. No TLS, no redirects, no proxies: whoever needs those
// has an HTTP library already and puts its range request into fetch(), which is all that this Source asks of one.
#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <list>
#include <mutex>
#include <optional>
#include <utility>

#include "rushlight/rushlight.hpp"

namespace rl = rushlight;

namespace {

// A checkpoint is opened by many small reads close to each other: the directory of an archive, its pickle. They are
// served from blocks of this size; reads of a block and more, which are tensors, are asked for as they are.
constexpr std::uint64_t kBlockBytes = 64 << 10;
constexpr std::size_t kBlocksKept = 16;
constexpr int kTimeoutSeconds = 30;  // to connect, and for each piece that is sent or received
constexpr std::size_t kHeadBytes = 16 << 10;

struct Url {
  std::string host, port, path;
};

// http://HOST[:PORT]/PATH, without blanks and control characters: they would end up in a request.
std::optional<Url> parse_url(std::string_view text) {
  constexpr std::string_view kScheme = "http://";
  const bool printable = std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
  if (!text.starts_with(kScheme) || !printable) return std::nullopt;
  text.remove_prefix(kScheme.size());
  const std::size_t slash = std::min(text.find('/'), text.size());
  const std::string_view authority = text.substr(0, slash);
  const std::size_t colon = authority.rfind(':');
  const bool has_port = colon != std::string_view::npos;
  Url url{std::string(authority.substr(0, colon)), has_port ? std::string(authority.substr(colon + 1)) : "80",
          slash < text.size() ? std::string(text.substr(slash)) : "/"};
  if (url.host.empty() || url.port.empty() || authority.find('@') != std::string_view::npos) return std::nullopt;
  return url;
}

// One TCP connection; closed with the object.
class Connection {
 public:
  Connection() = default;
  Connection(Connection&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
  Connection& operator=(Connection&& other) noexcept {
    std::swap(socket_, other.socket_);
    return *this;
  }
  ~Connection() {
    if (socket_ >= 0) close(socket_);
  }
  [[nodiscard]] bool is_open() const noexcept { return socket_ >= 0; }

  // False where nobody answers; `why` says it.
  bool open(const Url& url, std::string& why) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int failed = getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &found); failed != 0) {
      why = gai_strerror(failed);
      return false;
    }
    for (const addrinfo* address = found; address != nullptr && socket_ < 0; address = address->ai_next) {
      socket_ = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, address->ai_protocol);
      if (socket_ < 0) continue;
      const timeval timeout{.tv_sec = kTimeoutSeconds, .tv_usec = 0};
      setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
      setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);  // of connect() too, on Linux
      if (connect(socket_, address->ai_addr, address->ai_addrlen) == 0) continue;
      why = reason();
      close(std::exchange(socket_, -1));
    }
    freeaddrinfo(found);
    return socket_ >= 0;
  }

  bool send_all(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t count = send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }

  // How many bytes came: 0 at the end of the stream, negative for an error or after the timeout.
  ssize_t receive(std::span<std::byte> out) const {
    ssize_t count = 0;
    do count = recv(socket_, out.data(), out.size(), 0);
    while (count < 0 && errno == EINTR);
    return count;
  }

  static std::string reason() {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINPROGRESS ? "no answer in time" : std::strerror(errno);
  }

 private:
  int socket_ = -1;
};

// A decimal number in front of `text`, which then begins behind it.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

// The head of a response: "HTTP/1.1 206 Partial Content", then "Name: value" each.
struct Head {
  std::string text;

  [[nodiscard]] int status() const {
    std::string_view rest = text;
    rest.remove_prefix(std::min(rest.find(' ') + 1, rest.size()));
    return static_cast<int>(text.starts_with("HTTP/1.") ? take_number(rest).value_or(0) : 0);
  }
  [[nodiscard]] std::string_view field(std::string_view name) const {
    for (std::size_t at = text.find("\r\n"); at != std::string::npos; at = text.find("\r\n", at)) {
      at += 2;
      const std::string_view line = std::string_view(text).substr(at, text.find("\r\n", at) - at);
      const std::size_t colon = std::min(line.find(':'), line.size());
      const bool same =
          std::ranges::equal(line.substr(0, colon), name, [](char a, char b) { return (a | 32) == (b | 32); });
      if (!same || colon == line.size()) continue;
      std::string_view value = line.substr(colon + 1);
      value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
      return value.substr(0, value.find_last_not_of(" \t") + 1);
    }
    return {};
  }
};

class HttpSource final : public rl::Source {
 public:
  static rl::Result<std::shared_ptr<const HttpSource>> open(std::string_view text) {
    const std::optional<Url> url = parse_url(text);
    if (!url) {
      return rl::Error::of({.category = rl::Category::argument,
                            .code = "HTTP-URL",
                            .message = "not of the form http://HOST[:PORT]/PATH: '" + rl::escaped(text) + "'"});
    }
    std::shared_ptr<HttpSource> source(new HttpSource(*url, std::string(text)));
    // The first block says how long the file is and which version of it this is.
    std::vector<std::byte> bytes(kBlockBytes);
    auto range = source->request(0, bytes);
    if (!range) return std::move(range).error();
    bytes.resize(range->count);
    source->size_bytes_ = range->file_bytes;
    source->version_ = std::move(range->version);
    source->keep(0, std::move(bytes));
    return std::shared_ptr<const HttpSource>(std::move(source));
  }

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return size_bytes_; }
  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  [[nodiscard]] std::uint64_t requests() const noexcept { return requests_; }
  [[nodiscard]] std::uint64_t bytes_fetched() const noexcept { return bytes_fetched_; }

  // One connection, so one thread at a time.
  rl::Status read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    const std::lock_guard lock(mutex_);
    if (out.size() >= kBlockBytes) return fetch(offset, out);
    while (!out.empty()) {
      const std::uint64_t begin = offset / kBlockBytes * kBlockBytes;
      auto block = std::ranges::find(blocks_, begin, &Block::offset);
      if (block == blocks_.end()) {
        std::vector<std::byte> bytes(std::min(kBlockBytes, size_bytes_ - begin));
        if (auto fetched = fetch(begin, bytes); !fetched) return fetched;
        keep(begin, std::move(bytes));
        block = blocks_.begin();
      }
      blocks_.splice(blocks_.begin(), blocks_, block);  // the most recent in front
      const std::size_t skipped = offset - begin;
      const std::size_t count = std::min(out.size(), block->bytes.size() - skipped);
      std::memcpy(out.data(), block->bytes.data() + skipped, count);
      offset += count;
      out = out.subspan(count);
    }
    return {};
  }

 private:
  struct Block {
    std::uint64_t offset;
    std::vector<std::byte> bytes;
  };
  // What a response says about itself.
  struct Range {
    std::size_t count = 0;  // bytes of it
    std::uint64_t file_bytes = 0;
    std::string version;
  };

  HttpSource(Url url, std::string name) : url_(std::move(url)), name_(std::move(name)) {}

  [[nodiscard]] rl::Error failure(rl::Category category, const char* code, std::string message) const {
    return rl::Error::of(
        {.category = category, .code = code, .message = std::move(message), .file = rl::escaped(name_, 4096)});
  }

  void keep(std::uint64_t offset, std::vector<std::byte> bytes) const {
    if (blocks_.size() == kBlocksKept) blocks_.pop_back();
    blocks_.push_front({offset, std::move(bytes)});
  }

  // All of `out`, of the file that was there at first.
  rl::Status fetch(std::uint64_t offset, std::span<std::byte> out) const {
    const auto range = request(offset, out);
    if (!range) return range.error();
    if (range->file_bytes != size_bytes_ || range->version != version_) {
      return failure(rl::Category::changed, "HTTP-CHANGED",
                     "the file changed while it was read: it was " + rl::escaped(version_) + " of " +
                         std::to_string(size_bytes_) + " bytes, now it is " + rl::escaped(range->version) + " of " +
                         std::to_string(range->file_bytes));
    }
    if (range->count == out.size()) return {};
    return failure(rl::Category::io, "HTTP-RANGE",
                   "the server sent a part of the range that was asked for, expected " + std::to_string(out.size()) +
                       " bytes, found " + std::to_string(range->count));
  }

  // Asks for a range. What comes may be shorter, never longer.
  rl::Result<Range> request(std::uint64_t offset, std::span<std::byte> out) const {
    const std::string text = "GET " + url_.path + " HTTP/1.1\r\nHost: " + url_.host + ":" + url_.port +
                             "\r\nRange: bytes=" + std::to_string(offset) + "-" +
                             std::to_string(offset + out.size() - 1) + "\r\nAccept-Encoding: identity\r\n\r\n";
    std::vector<std::byte> body;  // what came of it with the head
    auto head = exchange(text, body);
    if (!head) return std::move(head).error();
    ++requests_;
    auto range = parse_range(*head, offset, out.size());
    if (!range) {
      connection_ = Connection();  // whatever body follows, nobody reads it
      return range;
    }
    out = out.first(range->count);
    std::size_t filled = std::min(body.size(), out.size());
    std::copy_n(body.begin(), filled, out.begin());
    while (filled < out.size()) {
      const ssize_t received = connection_.receive(out.subspan(filled));
      if (received <= 0) {
        const std::string why = received < 0 ? Connection::reason() : "the server closed the connection";
        connection_ = Connection();
        return failure(received < 0 ? rl::Category::io : rl::Category::trunc, "HTTP-BODY",
                       "a response ends early: " + why + ", expected " + std::to_string(out.size()) + " bytes, found " +
                           std::to_string(filled));
      }
      filled += static_cast<std::size_t>(received);
    }
    bytes_fetched_ += filled;
    if (head->field("Connection") == "close" || body.size() > out.size()) connection_ = Connection();
    return range;
  }

  // Sends a request and reads the head of the response. A server may close a connection that waited; then, and only
  // then, the request is sent once more.
  rl::Result<Head> exchange(const std::string& text, std::vector<std::byte>& body) const {
    for (;;) {
      const bool is_reused = connection_.is_open();
      std::string why;
      if (!is_reused && !connection_.open(url_, why)) {
        return failure(rl::Category::io, "HTTP-CONNECT", "the server cannot be reached: " + why);
      }
      Head head;
      std::array<char, 4096> piece{};
      ssize_t received = connection_.send_all(text) ? 1 : -1;
      while (received > 0 && head.text.size() < kHeadBytes) {
        received = connection_.receive(std::as_writable_bytes(std::span(piece)));
        if (received <= 0) break;
        head.text.append(piece.data(), static_cast<std::size_t>(received));
        const std::size_t end = head.text.find("\r\n\r\n");
        if (end == std::string::npos) continue;
        const auto behind = std::as_bytes(std::span(head.text).subspan(end + 4));
        body.assign(behind.begin(), behind.end());
        head.text.resize(end + 2);
        return head;
      }
      why = received < 0 ? Connection::reason() : "that is no head of an HTTP response";
      const bool may_have_been_closed = is_reused && head.text.empty() && (received == 0 || errno != EAGAIN);
      connection_ = Connection();
      if (!may_have_been_closed) {
        return failure(rl::Category::io, "HTTP-RESPONSE", "the server did not answer: " + why);
      }
    }
  }

  // That a response is a range which begins at `offset` and has at most `most` bytes.
  rl::Result<Range> parse_range(const Head& head, std::uint64_t offset, std::size_t most) const {
    const int status = head.status();
    if (status == 200) {
      return failure(rl::Category::unsup, "HTTP-NO-RANGES",
                     "the server ignores ranges and sends the whole file, expected status 206, found 200");
    }
    if (status == 416) {
      return failure(rl::Category::trunc, "HTTP-SHORT",
                     "there are no bytes from " + std::to_string(offset) + " on: the file is empty, or became shorter");
    }
    if (status != 206) {
      const std::string_view elsewhere = head.field("Location");
      return failure(rl::Category::io, "HTTP-STATUS",
                     "expected status 206, found " + std::to_string(status) +
                         (elsewhere.empty() ? "" : ", moved to '" + rl::escaped(elsewhere) + "'"));
    }
    // "bytes FIRST-LAST/SIZE", and the length said once more: a body in chunks has none.
    std::string_view text = head.field("Content-Range");
    const auto take = [&](std::string_view expected) {
      const bool found = text.starts_with(expected);
      if (found) text.remove_prefix(expected.size());
      return found;
    };
    const bool is_bytes = take("bytes ");
    const auto first = take_number(text);
    const bool has_last = take("-");
    const auto last = take_number(text);
    const bool has_size = take("/");
    const auto size = take_number(text);
    std::string_view length_text = head.field("Content-Length");
    const auto length = take_number(length_text);
    const bool is_complete = is_bytes && has_last && has_size && first && last && size && length && text.empty();
    if (!is_complete || *first != offset || *last < *first || *last >= *size || *length != *last - *first + 1 ||
        *length > most) {
      return failure(rl::Category::io, "HTTP-RANGE",
                     "the response is not the range that was asked for, expected bytes " + std::to_string(offset) +
                         "-" + std::to_string(offset + most - 1) + ", found '" +
                         rl::escaped(head.field("Content-Range")) + "' with Content-Length '" +
                         rl::escaped(head.field("Content-Length")) + "'");
    }
    // A strong ETag differs where a byte does. A weak one, or a date where there is no tag, may miss a quick change.
    const std::string_view tag = head.field("ETag");
    return Range{*length, *size, std::string(tag.empty() ? head.field("Last-Modified") : tag)};
  }

  const Url url_;
  const std::string name_;
  std::uint64_t size_bytes_ = 0;
  std::string version_;
  // Under the mutex.
  mutable std::mutex mutex_;
  mutable Connection connection_;
  mutable std::list<Block> blocks_;
  mutable std::uint64_t requests_ = 0;
  mutable std::uint64_t bytes_fetched_ = 0;
};

int report(const rl::Error& error) {
  std::fprintf(stderr, "error: %s\n", to_string(error).c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 4) return 2;
  const auto source = HttpSource::open(argv[1]);
  if (!source) return report(source.error());
  const auto checkpoint = rl::Checkpoint::open(*source);
  if (!checkpoint) return report(checkpoint.error());
  const auto weights = checkpoint->state_dict();
  if (!weights) return report(weights.error());
  if (argc == 4) {
    const auto tensor = weights->at(argv[2]);
    if (!tensor) return report(tensor.error());
    if (const auto written = rl::write_npy(*tensor, argv[3]); !written) return report(written.error());
  } else {
    for (const auto& [name, tensor] : *weights) {
      std::printf("%s  %s  %lld elements\n", rl::escaped(name).c_str(), std::string(to_string(tensor.dtype())).c_str(),
                  static_cast<long long>(tensor.numel()));
    }
  }
  std::printf("%llu requests, %llu of %llu bytes\n", static_cast<unsigned long long>((*source)->requests()),
              static_cast<unsigned long long>((*source)->bytes_fetched()),
              static_cast<unsigned long long>((*source)->size_bytes()));
}
