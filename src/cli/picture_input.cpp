#include "cli/picture_input.hpp"

#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "cli/format.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

Error wrong_argument(std::string message, std::string hint = {}) {
  return Error::of(
      {.category = Category::argument, .code = "ARG-IMAGE", .message = std::move(message), .hint = std::move(hint)});
}

std::string suffix_of(const std::filesystem::path& path) {
  std::string suffix = path.extension().string();
  for (char& c : suffix) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return suffix;
}

bool is_picture(const std::filesystem::path& path) {
  constexpr std::array<std::string_view, 6> kSuffixes = {".png", ".jpg", ".jpeg", ".pgm", ".ppm", ".npy"};
  return std::find(kSuffixes.begin(), kSuffixes.end(), suffix_of(path)) != kSuffixes.end();
}

// "N" or "HxW"; a width of 0 for the first.
Result<ResizeTo> parse_size(const char* option, std::string_view text) {
  const auto number = [](std::string_view digits) -> std::optional<std::int64_t> {
    std::int64_t value = 0;
    const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (problem != std::errc() || end != digits.data() + digits.size() || value < 1) return std::nullopt;
    return value;
  };
  const std::size_t x = text.find('x');
  const std::optional<std::int64_t> height = number(text.substr(0, x));
  const std::optional<std::int64_t> width = x == std::string_view::npos ? 0 : number(text.substr(x + 1));
  if (height && width) return ResizeTo(*height, *width);
  return wrong_argument(fmt::format("{}: expected N or HxW, found '{}'", option, escaped(text)));
}

Result<std::vector<std::string>> folder_files(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code problem;
  std::filesystem::directory_iterator entry(folder, problem);
  for (; !problem && entry != std::filesystem::directory_iterator(); entry.increment(problem)) {
    if (is_picture(entry->path())) files.push_back(entry->path().string());
  }
  if (problem) {
    return Error::of({.category = Category::io,
                      .code = "IO-FOLDER",
                      .message = fmt::format("cannot list the folder: {}", problem.message()),
                      .file = escaped_file(folder)});
  }
  std::sort(files.begin(), files.end());
  return files;
}

// As a shell would expand it, when the shell has not.
std::vector<std::string> matching_files(const std::string& pattern) {
  std::vector<std::string> files;
  glob_t found{};
  if (glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found) == 0) {
    files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  }
  globfree(&found);
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

void PictureInput::add_to(OptionTable& table) {
  table.add("--image", &image, "one picture: PNG, JPEG, PGM, PPM, or .npy of uint8 pixels").in("Input");
  table.add("--images", &images, "the pictures of a folder, or of a pattern in quotes: 'shots/*.png'").in("Input");
  table.add("--preset", &preset, "imagenet: --resize 256 --crop 224 --scale 255, its mean and std")
      .one_of({"imagenet"})
      .in("Pictures");
  table.add("--resize", &resize, "N: the shorter side; HxW: height and width").in("Pictures");
  table.add("--crop", &crop, "the middle, N or HxW; zeros around smaller pictures").in("Pictures");
  table.add("--interpolation", &interpolation, "of --resize: bilinear, bicubic or nearest")
      .one_of({"bilinear", "bicubic", "nearest"})
      .idle_when([this] { return resize.empty() && preset.empty(); }, "without --resize")
      .in("Pictures");
  table.add("--scale", &scale, "pixels are divided by this").in("Pictures");
  table.add("--mean", &mean, "subtracted from each channel").separated_by(',').in("Pictures");
  table.add("--std", &std, "then divides each channel").separated_by(',').in("Pictures");
}

bool PictureInput::says_transform() const noexcept {
  return !preset.empty() || !resize.empty() || !crop.empty() || scale || !mean.empty() || !std.empty();
}

Result<ImageTransform> PictureInput::transform(const Preprocessing& of_network) const {
  ImageTransform chosen;
  if (preset.empty()) {
    chosen.preprocessing = of_network;
  } else {
    chosen = ImageTransform::imagenet();
  }
  if (!resize.empty()) {
    Result<ResizeTo> size = parse_size("--resize", resize);
    if (!size) return std::move(size).error();
    chosen.resize = *size;
  }
  if (!crop.empty()) {
    Result<ResizeTo> size = parse_size("--crop", crop);
    if (!size) return std::move(size).error();
    chosen.center_crop = size->width == 0 ? IntPair(size->height) : IntPair(size->height, size->width);
  }
  if (interpolation == "bicubic") chosen.interpolation = Interpolation::bicubic;
  if (interpolation == "nearest") chosen.interpolation = Interpolation::nearest;
  if (scale) chosen.preprocessing.scale = *scale;
  if (!mean.empty()) chosen.preprocessing.mean = mean;
  if (!std.empty()) chosen.preprocessing.std = std;
  return chosen;
}

void PictureInput::note_unscaled(const ImageTransform& transform, std::vector<std::string>& notes) const {
  if (scale || !preset.empty() || transform.preprocessing.scale != 1) return;
  notes.emplace_back("pixels go in as 0 to 255; --scale 255 makes 0 to 1 of them");
}

Result<std::vector<std::string>> PictureInput::files() const {
  std::error_code ignored;
  const bool is_folder = std::filesystem::is_directory(images, ignored);
  Result<std::vector<std::string>> files = is_folder ? folder_files(images) : matching_files(images);
  if (!files || !files->empty()) return files;
  if (is_folder) {
    return wrong_argument(fmt::format("'{}' holds no pictures", escaped(images)),
                          "they are found by their names: .png .jpg .jpeg .pgm .ppm .npy");
  }
  Error error = Error::of(ErrorCode::not_found, {.category = Category::io,
                                                 .code = "IO-NOT-FOUND",
                                                 .message = "no such folder, and no file matches",
                                                 .file = escaped_file(images)});
  return with_path_suggestion(std::move(error), images);
}

Result<Tensor> read_picture(const std::string& path, const Limits& limits) {
  if (suffix_of(path) != ".npy") {
    ReadImageOptions options;
    options.limits = limits;
    Result<Tensor> pixels = read_image(path, options);
    if (!pixels) return with_path_suggestion(std::move(pixels).error(), path);
    return pixels;
  }
  Result<Tensor> array = read_npy(path, limits);
  if (!array) return with_path_suggestion(std::move(array).error(), path);
  const auto shape = array->shape();
  const auto strides = array->strides();
  const auto view = [&](Shape sizes, Strides steps) {
    return Tensor::view(array->storage(), array->dtype(), std::move(sizes), std::move(steps), array->storage_offset());
  };
  const auto has_channels = [&](std::size_t dim) { return shape[dim] == 1 || shape[dim] == 3; };
  if (array->dtype() == DType::u8 && shape.size() == 2) {
    return view({1, shape[0], shape[1]}, {0, strides[0], strides[1]});
  }
  if (array->dtype() == DType::u8 && shape.size() == 3 && has_channels(0)) return array;
  if (array->dtype() == DType::u8 && shape.size() == 3 && has_channels(2)) {
    return view({shape[2], shape[0], shape[1]}, {strides[2], strides[0], strides[1]});
  }
  return Error::of(
      {.category = Category::kind,
       .code = "IMAGE-FORMAT",
       .message = fmt::format("the array is no picture: expected uint8 [H, W], [H, W, C] or [C, H, W] with 1 or 3 "
                              "channels, found {} {}",
                              to_string(array->dtype()), format_shape(shape)),
       .file = escaped_file(path),
       .hint = "--input takes arrays of any shape"});
}

PictureForm form_for(const Graph& graph, std::span<const std::int64_t> picture) {
  if (graph.inputs().size() != 1) return {};
  const Shape& declared = graph.inputs()[0].shape;
  if (declared.size() == 4) return {std::max<std::int64_t>(declared[1], 0), false};
  // As it is stored where that fits, then in colour, then grey.
  const std::array<std::int64_t, 3> all = {picture[1], 3, 1};
  const std::int64_t plane = picture[2] * picture[3];
  if (!declared.empty()) {
    for (const std::int64_t channels : all) {
      if (declared.size() == 2 && declared[1] == channels * plane) return {channels, true};
    }
    return {0, declared.size() == 2};
  }
  for (const bool as_row : {false, true}) {
    for (const std::int64_t channels : all) {
      const Shape shape = as_row ? Shape{1, channels * plane} : Shape{1, channels, picture[2], picture[3]};
      if (graph.infer_shapes(std::span(&shape, 1))) return {channels, as_row};
    }
  }
  return {};
}

}  // namespace rushlight::cli
