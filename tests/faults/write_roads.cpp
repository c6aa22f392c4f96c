#include "write_roads.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string_view>

#include "checksum/ed25519.hpp"
#include "open/sealed_file.hpp"
#include "rushlight/calibration.hpp"
#include "rushlight/convert.hpp"
#include "rushlight/interchange.hpp"
#include "rushlight/npy.hpp"
#include "rushlight/salvage.hpp"
#include "rushlight/tuning.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_keys.hpp"

namespace rushlight::test {
namespace {

namespace fs = std::filesystem;

// Moves the error: a copy would allocate.
template <class T>
Status status_of(Result<T>&& result) {
  return result ? Status() : Status(std::move(result).error());
}

StateDict other_state() {
  StateDict state;
  state.insert("old", Tensor::from_values<float>(std::vector<float>(500, 1.5F), {5, 100}).value());
  return state;
}

std::string golden(const char* name) {
  return read_file(fs::path(RUSHLIGHT_GOLDEN_DIR) / name);
}

ManifestLevel best_level() {
  return checksum::ed25519_available() ? ManifestLevel::sha256 : ManifestLevel::xxh3;
}

// A byte of a tensor is another one, or the file ends in the last tensor.
std::string damaged(std::string archive, bool cut) {
  const Range data = data_of(archive, "data/0");
  if (cut) {
    archive.resize(data_of(archive, "data/1").begin);
  } else {
    archive[data.begin] ^= 1;
  }
  return archive;
}

// Opens "in.pt" and converts it, so that reading is part of what fails.
std::function<Status()> conversion(const fs::path& folder, const std::string& out, const ConvertOptions& options) {
  return [in = folder / "in.pt", to = folder / out, options] {
    Result<Checkpoint> checkpoint = Checkpoint::open(in);
    return status_of(checkpoint ? convert(*checkpoint, to, options) : std::move(checkpoint).error());
  };
}

}  // namespace

std::vector<Road> write_roads() {
  const std::string old = saved(other_state(), {.manifest = ManifestLevel::xxh3});
  const std::string plain = saved_small(ManifestLevel::none);
  const std::string sealed = saved_small(best_level());
  std::vector<Road> roads;
  const auto add = [&](std::string name, std::map<std::string, std::string> before, std::string out, auto prepare) {
    Road& road = roads.emplace_back(Road{std::move(name), std::move(before), std::move(out), std::move(prepare)});
    road.reserves = road.name != "write_npz";  // how far that shrinks is known in the end
    road.signs = road.name.find("sign") != std::string::npos;
  };
  add("save a state dict with its manifest", {{"a.pt", old}}, "a.pt", [](const fs::path& folder) {
    return [state = small_state(), to = folder / "a.pt", options = SaveOptions{.manifest = best_level()}] {
      return status_of(save(state, to, options));
    };
  });
  // Files of torch, replaced by themselves with a manifest, and read in both ways.
  for (const FileAccess access : {FileAccess::mapped, FileAccess::pread}) {
    const std::string how = access == FileAccess::mapped ? ", mapped" : ", read on request";
    add("save a checkpoint over itself with a manifest" + how, {{"a.pt", golden("format/state_dicts/cnn.pt")}}, "a.pt",
        [access](const fs::path& folder) {
          return [file = folder / "a.pt", load = LoadOptions{.access = access},
                  options = SaveOptions{.manifest = ManifestLevel::xxh3}] {
            Result<Checkpoint> checkpoint = Checkpoint::open(file, load);
            return status_of(checkpoint ? save(*checkpoint, file, options) : std::move(checkpoint).error());
          };
        });
    add("put a manifest into a file" + how, {{"a.pt", plain}}, "a.pt", [access](const fs::path& folder) {
      return [file = folder / "a.pt", options = ManifestOptions{.level = best_level(), .access = access}] {
        return status_of(add_manifest(file, file, options));
      };
    });
  }
  add("put a manifest into a copy", {{"in.pt", plain}, {"a.pt", old}}, "a.pt", [](const fs::path& folder) {
    return [from = folder / "in.pt", to = folder / "a.pt"] { return status_of(add_manifest(from, to)); };
  });
  add("put a manifest beside a file", {{"a.pt", plain}, {"a.json", "an older manifest"}}, "a.json",
      [](const fs::path& folder) {
        return [file = folder / "a.pt", to = folder / "a.json"] { return status_of(write_manifest_sidecar(file, to)); };
      });
  add("put a manifest beside a file that is no archive", {{"a.pt", saved_legacy()}, {"a.json", "an older manifest"}},
      "a.json", [](const fs::path& folder) {
        return [file = folder / "a.pt", to = folder / "a.json", options = ManifestOptions{.level = best_level()}] {
          return status_of(write_manifest_sidecar(file, to, options));
        };
      });
  if (checksum::ed25519_available()) {
    const SignOptions key{.private_key_pem = std::string(kPrivateKey)};
    add("sign a file", {{"a.pt", sealed}}, "a.pt", [key](const fs::path& folder) {
      return [file = folder / "a.pt", key] { return status_of(sign(file, file, key)); };
    });
    add("put a signature beside a file", {{"a.pt", sealed}, {"a.sig", "an older signature"}}, "a.sig",
        [key](const fs::path& folder) {
          return
              [file = folder / "a.pt", to = folder / "a.sig", key] { return status_of(sign_detached(file, to, key)); };
        });
  }
  for (const std::string out : {"a.safetensors", "a.npz", "a.pt"}) {
    for (const bool verify : {false, true}) {
      add("convert to " + out + (verify ? " and read it back" : ""), {{"in.pt", plain}, {out, old}}, out,
          [=](const fs::path& folder) { return conversion(folder, out, {.verify = verify}); });
    }
  }
  add("convert to a legacy stream", {{"in.pt", plain}, {"a.pt", old}}, "a.pt",
      [](const fs::path& folder) { return conversion(folder, "a.pt", {.kind = FileKind::torch_legacy}); });
  const CastRule to_half{.match = {}, .from = {}, .to = DType::f16};
  add("convert with casts and read it back", {{"in.pt", plain}, {"a.pt", old}}, "a.pt",
      [to_half](const fs::path& folder) {
        ConvertOptions options{.verify = true};
        options.edit.casts = {to_half};
        return conversion(folder, "a.pt", options);
      });
  // One tensor of it is lost; where the central directory is, the walk through the records finds the others.
  for (const bool cut : {false, true}) {
    add(std::string("salvage ") + (cut ? "a cut file" : "a damaged file"),
        {{"in.pt", damaged(plain, cut)}, {"a.pt", old}}, "a.pt", [](const fs::path& folder) {
          return [from = folder / "in.pt", to = folder / "a.pt"] {
            Result<SalvageReport> report = salvage(from, to, {.overwrite = true});
            if (report && !report->written) {
              return Status(Error::of({.category = Category::trunc, .code = "TEST", .message = "nothing saved"}));
            }
            return status_of(std::move(report));
          };
        });
  }
  add("convert a tensor to .npy", {{"in.pt", plain}, {"a.npy", old}}, "a.npy",
      [](const fs::path& folder) { return conversion(folder, "a.npy", {.parts = {"weight"}, .verify = true}); });
  // The path versions of the writers themselves.
  add("write_safetensors", {{"a.safetensors", old}}, "a.safetensors", [](const fs::path& folder) {
    return [state = small_state(), to = folder / "a.safetensors"] { return write_safetensors(state, to); };
  });
  add("write_npz", {{"a.npz", old}}, "a.npz", [](const fs::path& folder) {
    return [state = small_state(), to = folder / "a.npz"] { return write_npz(state, to, {.compressed = true}); };
  });
  add("write_calibration", {{"a.json", "older ranges"}}, "a.json", [](const fs::path& folder) {
    Calibration calibration;
    calibration.layers["conv1"] = {.low = -1, .high = 2, .least = -1, .most = 3};
    return [calibration, to = folder / "a.json"] { return write_calibration(calibration, to); };
  });
  add("write_npy", {{"a.npy", old}}, "a.npy", [](const fs::path& folder) {
    return [tensor = small_state().begin()->second, to = folder / "a.npy"] { return write_npy(tensor, to); };
  });
  add("save_tuning", {{"a.tuning", old}}, "a.tuning", [](const fs::path& folder) {
    auto tuning = std::make_shared<const Tuning>(
        Tuning::parse("rushlight tuning 1\nmachine a\nconv3x3 x : direct\n").value());
    return [tuning, to = folder / "a.tuning"] { return save_tuning(*tuning, to); };
  });
  return roads;
}

}  // namespace rushlight::test
