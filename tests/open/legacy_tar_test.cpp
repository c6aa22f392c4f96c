// The tar archive of torch.save before 0.1.10, read and refused: row L12 of the catalogue of hostile inputs.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "opened_bytes.hpp"
#include "support/legacy_builder.hpp"

namespace rushlight::test {
namespace {

using namespace std::string_literals;

PickleBuilder pickle_of(const std::function<void(PickleBuilder&)>& write) {
  PickleBuilder pickle;
  write(pickle.proto(2));
  return pickle.stop();
}

struct TarStorage {
  std::int64_t key = 1;
  const char* storage_class = "FloatStorage";
  Bytes data = bytes_of(std::vector<float>{0, 1, 2, 3, 4, 5});
  std::uint64_t numel = 6;
};
struct TarTensor {
  std::int64_t key = 10;
  std::int64_t storage_key = 1;
  std::int32_t dims = 2;
  std::vector<std::int64_t> geometry = {2, 3, 3, 1, 0};  // sizes, strides, offset
};

// The three members, each part of which a test may change.
struct Parts {
  std::int64_t storage_count = 1;
  std::vector<TarStorage> storages = {{}};
  std::function<void(PickleBuilder&)> views = [](PickleBuilder& p) {
    p.empty_list().mark().integer(2).integer(1).integer(2).integer(3).tuple().append();
  };
  std::int64_t tensor_count = 2;
  std::vector<TarTensor> tensors = {{}, {.key = 11, .storage_key = 2, .dims = 1, .geometry = {3, 1, 0}}};
  std::function<void(PickleBuilder&)> root = [](PickleBuilder& p) {
    p.empty_dict().text("a").text("10").binpersid().setitem().text("b").text("11").binpersid().setitem();
    p.text("s").text("1").binpersid().setitem();
  };

  [[nodiscard]] Bytes storages_member() const {
    Bytes member = pickle_of([&](PickleBuilder& p) { p.integer(storage_count); }).copy();
    for (const TarStorage& storage : storages) {
      append(member, pickle_of([&](PickleBuilder& p) {
                       p.mark().integer(storage.key).text("cpu").global("torch", storage.storage_class).tuple();
                     }).bytes());
      append_number(member, storage.numel);
      append(member, storage.data);
    }
    append(member, pickle_of(views).bytes());
    return member;
  }
  [[nodiscard]] Bytes tensors_member() const {
    Bytes member = pickle_of([&](PickleBuilder& p) { p.integer(tensor_count); }).copy();
    for (const TarTensor& tensor : tensors) {
      append(member, pickle_of([&](PickleBuilder& p) {
                       p.mark().integer(tensor.key).integer(tensor.storage_key).global("torch", "FloatTensor").tuple();
                     }).bytes());
      append_number(member, tensor.dims);
      append_number(member, std::int32_t{0});
      for (const std::int64_t number : tensor.geometry) append_number(member, number);
    }
    return member;
  }
  [[nodiscard]] TarFile file() const {
    TarFile tar;
    tar.add("sys_info", pickle_of([](PickleBuilder& p) { p.empty_dict(); }).copy());
    tar.add("pickle", pickle_of(root).copy()).add("tensors", tensors_member()).add("storages", storages_member());
    return tar;
  }
};

void expect_good(const Result<Checkpoint>& checkpoint) {
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_EQ(checkpoint->format().kind, FileKind::torch_tar);
  const Tensor a = checkpoint->root()["a"].as_tensor().value();
  const Tensor b = checkpoint->root()["b"].as_tensor().value();
  EXPECT_EQ(Shape(a.shape().begin(), a.shape().end()), (Shape{2, 3}));
  EXPECT_EQ(a.values<float>().value()[4], 4.0f);
  EXPECT_EQ(b.values<float>().value()[0], 2.0f);
  // A view on the same storage.
  EXPECT_EQ(b.bytes().value().data(), a.bytes().value().data() + 8);
  EXPECT_EQ(checkpoint->root()["s"].kind(), ValueKind::storage);
  EXPECT_EQ(checkpoint->root()["s"].as_dtype(), DType::f32);
}

// Offsets left out: the rows below are about messages; that offsets are right is judged where they are stated.
std::string said_of(const Parts& parts) {
  TarFile tar = parts.file();
  return verdict_of(tar.build());
}

TEST(LegacyTar, AGoodFileIsRead) {
  TarFile tar = Parts().file();
  const Bytes bytes = tar.build();
  const Result<Checkpoint> checkpoint = open_bytes(bytes, {.strict = true});
  expect_good(checkpoint);
  const VerifyReport report = verified(bytes);
  EXPECT_TRUE(report.ok) << lines_of(report);
  EXPECT_EQ(report.tensors.size(), 2u);
}

TEST(LegacyTar, L12_CountsMustFit) {
  Parts parts;
  const TarFile tar = [&] {
    TarFile file = parts.file();
    (void)file.build();
    return file;
  }();
  const std::string storages = hex(tar.data("storages"));
  for (const std::int64_t count : {std::int64_t{-1}, std::numeric_limits<std::int64_t>::min()}) {
    parts.storage_count = count;
    EXPECT_EQ(said_of(parts), "type TAR-ENTRY storages at " + storages + ": an entry is no number of storages");
  }
  parts.storage_count = std::int64_t{1} << 60;
  const std::size_t left =
      parts.storages_member().size() - pickle_of([](PickleBuilder& p) { p.integer(std::int64_t{1} << 60); }).size();
  EXPECT_EQ(said_of(parts), "store TAR-COUNT at " + storages +
                                ": there are said to be 1152921504606846976 storages, and " + std::to_string(left) +
                                " bytes are left");
  // One less: the second storage stands where the list of views should. One more: the other way round.
  parts.storage_count = 0;
  EXPECT_TRUE(said_of(parts).starts_with("type TAR-ENTRY storages at 0x")) << said_of(parts);
  EXPECT_TRUE(said_of(parts).ends_with(": an entry is no list of views on storages"));
  parts.storage_count = 2;
  EXPECT_TRUE(said_of(parts).ends_with(": an entry is no tuple of a key, a location and a storage class"));
  parts = Parts();
  parts.tensor_count = 3;
  EXPECT_TRUE(said_of(parts).starts_with("pkl PKL-TRUNCATED tensors at 0x")) << said_of(parts);
  parts.tensor_count = 1;
  EXPECT_TRUE(said_of(parts).ends_with(": nothing has the key '11'")) << said_of(parts);
}

TEST(LegacyTar, L12_ViewsMustFit) {
  const auto said_of_view = [](const std::function<void(PickleBuilder&)>& view) {
    Parts parts;
    parts.views = [&](PickleBuilder& p) {
      view(p.empty_list().mark());
      p.tuple().append();
    };
    return said_of(parts);
  };
  EXPECT_TRUE(said_of_view([](PickleBuilder& p) {
                p.integer(2).integer(1).integer(2);
              }).ends_with(": an entry is no view: two keys, an offset and a size"));
  EXPECT_TRUE(said_of_view([](PickleBuilder& p) {
                p.integer(2).text("1").integer(2).integer(3);
              }).ends_with(": an entry is no view: two keys, an offset and a size"));
  EXPECT_TRUE(said_of_view([](PickleBuilder& p) {
                p.integer(1).integer(1).integer(2).integer(3);
              }).ends_with(": key 1 comes twice"));
}

TEST(LegacyTar, L12_PersistentIdsMustFit) {
  const auto said_of_root = [](const std::function<void(PickleBuilder&)>& root) {
    Parts parts;
    parts.root = root;
    return said_of(parts);
  };
  const std::vector<std::int64_t> shape = {6};
  EXPECT_TRUE(said_of_root([&](PickleBuilder& p) {
                p.tensor("FloatStorage", "1", shape);
              }).ends_with(": storage '1' is named in the way of later releases"));
  const std::string said = said_of_root([&](PickleBuilder& p) {
    p.global("torch._utils", "_rebuild_tensor_v2").mark().text("10").binpersid();
    rest_of_tensor(p, shape).tuple().reduce();
  });
  EXPECT_TRUE(said.ends_with(": a storage was expected, and key '10' is that of a tensor")) << said;
}

TEST(LegacyTar, L12_TensorsHaveALimit) {
  TarFile tar = Parts().file();
  LoadOptions options;
  options.limits.tensors = 1;
  const Result<Checkpoint> checkpoint = open_bytes(tar.build(), options);
  ASSERT_FALSE(checkpoint);
  EXPECT_EQ(checkpoint.error().finding.code, "LIMIT-TENSORS");
  EXPECT_EQ(checkpoint.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(checkpoint.error().finding.message, "there are 2 tensors, more than the limit tensors, expected at most 1");
}

TEST(LegacyTar, L12_StoragesMustFit) {
  Parts parts;
  parts.storages[0].numel = std::uint64_t{1} << 30;
  EXPECT_TRUE(said_of(parts).starts_with("trunc TAR-TRUNCATED at 0x")) << said_of(parts);
  EXPECT_NE(said_of(parts).find(": storage 1 of 1073741824 elements ends early, found "), std::string::npos);
  parts.storages[0].numel = ~std::uint64_t{0};
  EXPECT_NE(said_of(parts).find(": storage 1 of -1 elements ends early, found "), std::string::npos);
  parts = Parts();
  parts.storages[0].storage_class = "Evil";
  EXPECT_TRUE(said_of(parts).ends_with(": a storage is of a class that is not known here: 'torch.Evil'"));
  parts = Parts();
  parts.storages.push_back({});
  parts.storage_count = 2;
  EXPECT_TRUE(said_of(parts).ends_with(": storage 1 comes twice")) << said_of(parts);
  const auto with_views = [](std::int64_t whole, std::int64_t offset, std::int64_t numel) {
    Parts other;
    other.views = [=](PickleBuilder& p) {
      p.empty_list().mark().integer(2).integer(whole).integer(offset).integer(numel).tuple().append();
    };
    return said_of(other);
  };
  EXPECT_TRUE(with_views(7, 0, 1).ends_with(": a view names storage 7, which is not there"));
  for (const auto& [offset, numel] :
       {std::pair<std::int64_t, std::int64_t>(4, 3),
        {-1, 3},
        {0, -1},
        {7, 0},
        {std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::max()}}) {
    EXPECT_TRUE(with_views(1, offset, numel)
                    .ends_with(": view 2 of storage 1 reaches beyond it: offset " + std::to_string(offset) + ", " +
                               std::to_string(numel) + " elements"));
  }
}

TEST(LegacyTar, L12_TensorsMustFit) {
  const auto with = [](TarTensor tensor) {
    Parts parts;
    parts.tensors[0] = std::move(tensor);
    const std::string said = said_of(parts);
    return said.substr(0, said.find(" at ")) + said.substr(std::min(said.size(), said.find(": ")));
  };
  for (const std::int32_t dims :
       {-1, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max(), 65}) {
    EXPECT_EQ(with({.dims = dims}),
              "tensor TENSOR-DIMS: tensor 10 has " + std::to_string(dims) + " dimensions, expected 0 to 64");
  }
  // Numbers are missing: the next pickle is taken for them.
  EXPECT_TRUE(
      with({.dims = 64}).starts_with("trunc TAR-TRUNCATED: tar member 'tensors' ends early, expected 8 bytes, found "));
  EXPECT_EQ(with({.storage_key = 3}), "store STORE-MISSING: tensor 10 names storage 3, which is not there");
  EXPECT_TRUE(with({.geometry = {2, 3, 3, 1, 1}}).starts_with("tensor TENSOR-")) << with({.geometry = {2, 3, 3, 1, 1}});
  EXPECT_TRUE(with({.geometry = {-2, 3, 3, 1, 0}}).starts_with("tensor TENSOR-"));
  EXPECT_TRUE(with({.geometry = {2, 3, std::int64_t{1} << 62, 1, 0}}).starts_with("tensor TENSOR-"));
  EXPECT_EQ(with({.key = 11}), "store TAR-KEY-TWICE: key 11 comes twice");
}

TEST(LegacyTar, L12_LinksAreRefusedAndForeignMembersNeverLookedAt) {
  for (const char type : {'1', '2', '3', '5', '6', 'S'}) {
    TarFile tar = Parts().file();
    tar.member("storages").type = type;
    tar.member("storages").link_name = "/etc/passwd";
    const Bytes bytes = tar.build();
    EXPECT_EQ(verdict_of(bytes),
              "unsup TAR-LINK at " + hex(tar.header("storages")) + ": tar member 'storages' is no plain file");
  }
  // A path is no member of a checkpoint; nothing is ever written, so it leads nowhere.
  TarFile beside = Parts().file();
  beside.add("../storages", to_bytes("evil")).add("/etc/passwd", to_bytes("evil"));
  beside.add({.name = "link", .type = '2', .link_name = "/etc/passwd"});
  expect_good(open_bytes(beside.build()));
  TarFile instead = Parts().file();
  instead.member("storages").name = "../storages";
  EXPECT_EQ(verdict_of(instead.build()), "store TAR-MEMBER at 0x0: the tar archive has no member 'storages'");
  TarFile none = Parts().file();
  none.member("pickle").name = "pickles";
  EXPECT_EQ(verdict_of(none.build()), "store TAR-MEMBER at 0x0: the tar archive has no member 'pickle'");
}

TEST(LegacyTar, L12_ExtendedHeadersAreReadAndTheirSizesMustFit) {
  const auto with = [](std::string_view key, std::string_view value) {
    TarFile tar;
    tar.add("sys_info", pickle_of([](PickleBuilder& p) { p.empty_dict(); }).copy());
    const std::uint64_t header = 1024 + 1024;  // behind sys_info and the extended header
    tar.add_extended(key, value);
    const Parts parts;
    tar.add("pickle", pickle_of(parts.root).copy()).add("tensors", parts.tensors_member());
    tar.add("storages", parts.storages_member());
    return std::pair(tar.build(), header);
  };
  const auto [huge, header] = with("size", std::to_string(std::uint64_t{1} << 60));
  EXPECT_EQ(verdict_of(huge), "trunc TAR-TRUNCATED at " + hex(header) +
                                  ": tar member 'pickle' ends early, expected 1152921504606846976 bytes, found " +
                                  std::to_string(huge.size() - header - 512));
  for (const char* wrong : {"-1", "x", "99999999999999999999999", "1e3"}) {
    EXPECT_EQ(verdict_of(with("size", wrong).first), "zip TAR-EXTENDED at 0x400: an extended tar header is malformed");
  }
  expect_good(open_bytes(with("mtime", "1234567890.125").first));
  // The path names the member.
  TarFile renamed = Parts().file();
  TarMember last = renamed.member("storages");
  renamed.member("storages").name = "other";
  renamed.add_extended("path", "storages");
  last.name = "anything";
  renamed.add(std::move(last));
  expect_good(open_bytes(renamed.build()));
  TarFile garbage = Parts().file();
  garbage.add({.name = "x", .data = to_bytes("nonsense"), .type = 'x'}).add("y", {});
  const Bytes bytes = garbage.build();
  EXPECT_EQ(verdict_of(bytes),
            "zip TAR-EXTENDED at " + hex(garbage.header("x")) + ": an extended tar header is malformed");
  TarFile large = Parts().file();
  large.add({.name = "x", .data = repeated((64 << 10) + 1, '1'), .type = 'x'});
  const Bytes more = large.build();
  EXPECT_EQ(verdict_of(more),
            "limit LIMIT-TAR-HEADER at " + hex(large.header("x")) + ": an extended tar header is too long");
}

TEST(LegacyTar, L12_SizesAreOctalNumbers) {
  for (const std::string& field :
       {"0000000009x"s, "zzzzzzzzzzz"s, "-0000000001"s, "\x80\0\0\0\0\0\0\0\0\0\1\0"s, "1 2"s}) {
    TarFile tar = Parts().file();
    tar.member("pickle").size_field = field;
    const Bytes bytes = tar.build();
    EXPECT_EQ(verdict_of(bytes),
              "zip TAR-SIZE at " + hex(tar.header("pickle")) + ": the size of a tar member is no octal number")
        << field;
  }
  TarFile large = Parts().file();
  large.member("pickle").size_field = "77777777777";
  const Bytes bytes = large.build();
  EXPECT_EQ(verdict_of(bytes), "trunc TAR-TRUNCATED at " + hex(large.header("pickle")) +
                                   ": tar member 'pickle' ends early, expected 8589934591 bytes, found " +
                                   std::to_string(bytes.size() - large.data("pickle")));
}

TEST(LegacyTar, L12_NoCutReadsAndMembersHaveALimit) {
  TarFile tar = Parts().file();
  const Bytes good = tar.build();
  // Behind the last byte of the last member there are only zeros.
  const std::size_t needed = tar.data("storages") + Parts().storages_member().size();
  for (std::size_t size = 512; size < needed; ++size) {
    const std::string verdict = verdict_of(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)));
    EXPECT_TRUE(verdict.starts_with("trunc TAR-TRUNCATED at ") || verdict.starts_with("store TAR-MEMBER at "))
        << size << ": " << verdict;
  }
  expect_good(open_bytes(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(needed))));
  TarFile many = Parts().file();
  for (int i = 0; i < 1024; ++i) many.add("m" + std::to_string(i), {});
  const Bytes bytes = many.build();
  EXPECT_EQ(verdict_of(bytes),
            "limit LIMIT-TAR-MEMBERS at " + hex(many.header("m1020")) + ": the tar archive has more than 1024 members");
}

}  // namespace
}  // namespace rushlight::test
