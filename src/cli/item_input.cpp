#include "cli/item_input.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/format.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

Shape declared_shape(const Graph& graph) {
  return graph.inputs().empty() ? Shape{} : graph.inputs()[0].shape;
}

// "[N, 1, 28, 28]", or of one item "[1, 28, 28]"; sizes that are left open as question marks.
std::string declared_text(const Shape& declared, bool has_batch) {
  std::string text;
  for (std::size_t i = has_batch ? 0 : 1; i < declared.size(); ++i) {
    if (!text.empty()) text += ", ";
    text += declared[i] >= 0 ? std::to_string(declared[i]) : i == 0 ? "N" : "?";
  }
  return "[" + text + "]";
}

// In which way a shape is not the declared one; empty where it is, or where none is declared. Whether a set fills
// batches is evaluate()'s to say.
std::string misfit(const Shape& declared, std::span<const std::int64_t> shape) {
  if (declared.empty()) return "";
  if (shape.size() != declared.size()) {
    return fmt::format("{} instead of {}", plural(std::ssize(shape), "dimension"), declared.size());
  }
  std::string text;
  for (std::size_t i = 1; i < shape.size(); ++i) {
    if (declared[i] < 0 || declared[i] == shape[i]) continue;
    if (!text.empty()) text += ", ";
    if (shape.size() == 2) {
      text += fmt::format("{} an item instead of {}", plural(shape[i], "number"), format_count(declared[i]));
    } else if (shape.size() == 4 && i == 1) {
      text += fmt::format("{} instead of {}", plural(shape[i], "channel"), declared[i]);
    } else if (shape.size() == 4) {
      text += fmt::format("a {} of {} instead of {}", i == 2 ? "height" : "width", shape[i], declared[i]);
    } else {
      text += fmt::format("{} instead of {} in dimension {}", shape[i], declared[i], i);
    }
  }
  return text;
}

Finding shape_finding(const std::string& file, std::string_view what, const std::string& expected,
                      std::string_view why) {
  return {.category = Category::argument,
          .code = "RUN-INPUT-SHAPE",
          .message = fmt::format("{}, expected {}: {}", what, expected, why),
          .file = escaped_file(file),
          .expected = expected};
}

// [N, H, W, C] where [N, C, H, W] is expected.
bool has_channels_last(const Shape& declared, std::span<const std::int64_t> shape) {
  const auto is = [&](std::size_t i, std::int64_t size) { return declared[i] < 0 || declared[i] == size; };
  return declared.size() == 4 && shape.size() == 4 && declared[1] == shape[3] && is(2, shape[1]) && is(3, shape[2]);
}

// An array that is no set of pictures: of what becomes of pixels only numbers that are the same for all have a meaning.
Result<Tensor> scaled(const Tensor& tensor, const ImageTransform& transform, const std::string& file) {
  const Preprocessing& preprocessing = transform.preprocessing;
  if (transform.resize != ResizeTo() || transform.center_crop != IntPair() || preprocessing.mean.size() > 1 ||
      preprocessing.std.size() > 1) {
    return Error::of({.category = Category::argument,
                      .code = "ARG-IMAGE",
                      .message = fmt::format("resizing, cropping and numbers for each channel are for pictures "
                                             "[N, C, H, W], the array is {}",
                                             format_shape(tensor.shape())),
                      .file = escaped_file(file)});
  }
  const Result<Tensor> floats = tensor.to(DType::f32);
  if (!floats) return floats;
  Result<Tensor> dense = floats->contiguous();
  if (!dense) return dense;
  const Shape shape(dense->shape().begin(), dense->shape().end());
  const Shape plane = {1, 1, 1, dense->numel()};
  Result<Tensor> pixels =
      Tensor::view(dense->storage(), dense->dtype(), plane, contiguous_strides(plane), dense->storage_offset());
  if (!pixels) return pixels;
  const Result<Tensor> input = to_input(*pixels, preprocessing);
  if (!input) return input;
  return Tensor::view(input->storage(), input->dtype(), shape, contiguous_strides(shape), input->storage_offset());
}

// One row an item, as view(N, -1).
Result<Tensor> as_rows(const Tensor& input, std::vector<std::string>& notes) {
  Result<Tensor> dense = input.contiguous();
  if (!dense) return dense;
  const std::int64_t items = dense->shape()[0];
  std::int64_t features = 1;
  for (const std::int64_t size : dense->shape().subspan(1)) features *= size;
  Result<Tensor> rows =
      Tensor::view(dense->storage(), dense->dtype(), {items, features}, {features, 1}, dense->storage_offset());
  const std::string note = rows ? fmt::format("flattened to {}", format_shape(rows->shape())) : std::string();
  if (rows && std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
  return rows;
}

// With a batch dimension of 1 in front.
Result<Tensor> with_batch(const Tensor& item) {
  Shape shape(item.shape().begin(), item.shape().end());
  shape.insert(shape.begin(), 1);
  Strides strides(item.strides().begin(), item.strides().end());
  strides.insert(strides.begin(), 0);
  return Tensor::view(item.storage(), item.dtype(), shape, strides, item.storage_offset());
}

// That the network takes `shape`, into which an array of shape `own` was made; the message names the array's own.
Status check_shape(const Graph& graph, const std::string& file, std::span<const std::int64_t> own,
                   std::span<const std::int64_t> shape) {
  const Shape declared = declared_shape(graph);
  const std::string why = misfit(declared, shape);
  if (why.empty()) return {};
  std::string expected = declared_text(declared, true);
  if (own.size() + 1 == declared.size()) expected += " or " + declared_text(declared, false);
  Shape batch(own.begin(), own.end());
  if (batch.size() + 1 == shape.size()) batch.insert(batch.begin(), 1);
  // What was made rows is told by its numbers.
  const bool is_changed = batch.size() == shape.size() && !std::ranges::equal(batch, shape);
  const std::string becomes = is_changed ? fmt::format(" and becomes {}", format_shape(shape)) : std::string();
  Finding finding = shape_finding(file, fmt::format("the array is {}{}", format_shape(own), becomes), expected, why);
  finding.found = format_shape(own);
  if (has_channels_last(declared, shape)) finding.hint = "channels stand before height and width, as in torch";
  return Error::of(std::move(finding));
}

}  // namespace

Result<Tensor> picture_item(const Tensor& pixels, ImageTransform transform, const Graph& graph, const Limits& limits,
                            std::vector<std::string>& notes) {
  const Shape declared = declared_shape(graph);
  transform.channels = declared.size() == 4 ? std::max<std::int64_t>(declared[1], 0) : 0;
  Result<Tensor> input = transform_image(pixels, transform, limits);
  if (!input) return input;
  const PictureForm form = form_for(graph, input->shape());
  if (form.channels != 0 && form.channels != input->shape()[1]) {
    transform.channels = form.channels;
    input = transform_image(pixels, transform, limits);
    if (!input) return input;
  }
  return form.as_row ? as_rows(*input, notes) : input;
}

Status check_given_shape(const Graph& graph, std::span<const std::int64_t> shape) {
  const Shape declared = declared_shape(graph);
  const std::string why = misfit(declared, shape);
  if (why.empty()) return {};
  Finding finding =
      shape_finding("", fmt::format("--input is {}", format_shape(shape)), declared_text(declared, true), why);
  finding.found = format_shape(shape);
  return Error::of(std::move(finding));
}

Status check_picture(const Graph& graph, const std::string& file, std::span<const std::int64_t> shape) {
  const Shape declared = declared_shape(graph);
  const std::string why = misfit(declared, shape);
  if (why.empty()) return {};
  Finding finding = shape_finding(file, fmt::format("the picture becomes {}", format_shape(shape)),
                                  declared_text(declared, true), why);
  finding.found = format_shape(shape);
  const bool has_size = declared.size() == 4 && shape.size() == 4 && declared[2] > 0 && declared[3] > 0;
  if (has_size && (shape[2] != declared[2] || shape[3] != declared[3])) {
    finding.hint = fmt::format("--resize {}x{} makes it fit", declared[2], declared[3]);
  }
  return Error::of(std::move(finding));
}

namespace {

Result<Items> read_set(const Context& context, const ItemInput& options, const Graph& graph) {
  Result<Tensor> read = read_idx(options.idx, context.limits);
  if (!read) return with_path_suggestion(std::move(read).error(), options.idx);
  Tensor pixels = *read;
  if (pixels.dim() == 3) {  // [N, H, W]: one channel each
    const auto shape = pixels.shape();
    Result<Tensor> view =
        Tensor::view(pixels.storage(), pixels.dtype(), {shape[0], 1, shape[1], shape[2]},
                     contiguous_strides(Shape{shape[0], 1, shape[1], shape[2]}), pixels.storage_offset());
    if (!view) return std::move(view).error();
    pixels = *view;
  }
  Result<ImageTransform> transform = options.pictures.transform(graph.preprocessing());
  if (!transform) return std::move(transform).error();
  const Shape declared = declared_shape(graph);
  transform->channels = declared.size() == 4 && declared[1] > 0 ? declared[1] : 0;
  Items input;
  options.pictures.note_unscaled(*transform, input.notes);
  Result<Tensor> tensor = transform_image(pixels, *transform, context.limits);
  if (tensor && declared.size() == 2) tensor = as_rows(*tensor, input.notes);
  if (!tensor) return std::move(tensor).error();
  if (const Status fits = check_shape(graph, options.idx, read->shape(), tensor->shape()); !fits) return fits.error();
  input.tensor = *std::move(tensor);
  return input;
}

// Numbers become float32, all integers indices; a mask is one already. Nothing takes half of a complex number.
bool converts(DType from, DType to) {
  const DTypeKind kind = info(from).kind;
  const bool is_integer = kind == DTypeKind::integer || kind == DTypeKind::natural;
  if (to == DType::boolean) return kind == DTypeKind::boolean;
  if (to != DType::f32) return is_integer;
  return is_integer || kind == DTypeKind::real || kind == DTypeKind::boolean;
}

Result<Items> read_array(const Context& context, const ItemInput& options, const Graph& graph) {
  Items input;
  const Shape declared = declared_shape(graph);
  Result<Tensor> array = read_npy(options.npy, context.limits);
  if (!array) return with_path_suggestion(std::move(array).error(), options.npy);
  Result<Tensor> tensor = *array;
  if (!declared.empty() && array->dim() + 1 == std::int64_t(declared.size())) {
    tensor = with_batch(*array);
    if (!tensor) return std::move(tensor).error();
    input.notes.emplace_back("added a batch dimension of 1");
  }
  const DType wanted = graph.inputs().empty() ? DType::f32 : graph.inputs()[0].dtype;
  if (!converts(array->dtype(), wanted)) {
    return Error::of({.category = Category::argument,
                      .code = "ARG-INPUT",
                      .message = fmt::format("the network's input is {}, this array {}", to_string(wanted),
                                             to_string(array->dtype())),
                      .file = escaped_file(options.npy),
                      .found = std::string(to_string(array->dtype())),
                      .expected = std::string(to_string(wanted))});
  }
  if (wanted != DType::f32) {
    if (options.pictures.says_transform()) {
      return Error::of({.category = Category::argument,
                        .code = "ARG-IMAGE",
                        .message = fmt::format("what becomes of pixels has no meaning for {}, which the network takes",
                                               to_string(wanted)),
                        .file = escaped_file(options.npy)});
    }
    tensor = tensor->to(wanted);
  } else if (info(array->dtype()).kind == DTypeKind::real && !options.pictures.says_transform()) {
    tensor = tensor->to(DType::f32);  // floats of any width are what the network takes, not pixels that become it
  } else {
    Result<ImageTransform> transform = options.pictures.transform(graph.preprocessing());
    if (!transform) return std::move(transform).error();
    if (tensor->dim() == 4) {
      transform->channels = declared.size() == 4 && declared[1] > 0 ? declared[1] : 0;
      tensor = transform_image(*tensor, *transform, context.limits);
    } else {
      tensor = scaled(*tensor, *transform, options.npy);
    }
  }
  if (!tensor) return std::move(tensor).error();
  if (declared.size() == 2 && tensor->dim() > 2) tensor = as_rows(*tensor, input.notes);
  if (!tensor) return std::move(tensor).error();
  if (const Status fits = check_shape(graph, options.npy, array->shape(), tensor->shape()); !fits) return fits.error();
  input.tensor = *std::move(tensor);
  return input;
}

}  // namespace

void ItemInput::add_to(OptionTable& table) {
  table.add("--input", &npy, "an .npy array, NCHW as torch").in("Input");
  pictures.add_to(table);
  table.add("--idx", &idx, "a set of pictures in IDX form (MNIST)").in("Input");
}

bool ItemInput::has_pictures() const noexcept {
  return !pictures.image.empty() || !pictures.images.empty();
}

Status ItemInput::check_one() const {
  const int given =
      int(!npy.empty()) + int(!pictures.image.empty()) + int(!pictures.images.empty()) + int(!idx.empty());
  if (given == 1) return {};
  return Error::of({.category = Category::argument,
                    .code = "ARG-INPUT",
                    .message = "give one of --input, --image, --images and --idx",
                    .found = std::to_string(given),
                    .expected = "1"});
}

Result<Items> ItemInput::read_items(const Context& context, const Graph& graph) const {
  return idx.empty() ? read_array(context, *this, graph) : read_set(context, *this, graph);
}

}  // namespace rushlight::cli
