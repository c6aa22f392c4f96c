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
  if (!tensor) return std::move(tensor).error();
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
  Tensor tensor = *array;
  if (!declared.empty() && tensor.dim() + 1 == std::int64_t(declared.size())) {
    Shape shape(tensor.shape().begin(), tensor.shape().end());
    shape.insert(shape.begin(), 1);
    Strides strides(tensor.strides().begin(), tensor.strides().end());
    strides.insert(strides.begin(), 0);
    Result<Tensor> view = Tensor::view(tensor.storage(), tensor.dtype(), shape, strides, tensor.storage_offset());
    if (!view) return std::move(view).error();
    tensor = *view;
    input.notes.emplace_back("added a batch dimension of 1");
  }
  const DType wanted = graph.inputs().empty() ? DType::f32 : graph.inputs()[0].dtype;
  if (!converts(tensor.dtype(), wanted)) {
    return Error::of({.category = Category::argument,
                      .code = "ARG-INPUT",
                      .message = fmt::format("{}: the network's input is {}, this array {}", escaped(options.npy),
                                             to_string(wanted), to_string(tensor.dtype())),
                      .found = std::string(to_string(tensor.dtype())),
                      .expected = std::string(to_string(wanted))});
  }
  if (wanted != DType::f32) {
    Result<Tensor> indices = tensor.to(wanted);
    if (!indices) return std::move(indices).error();
    input.tensor = *std::move(indices);
    return input;
  }
  Result<Tensor> floats = tensor;
  if (tensor.dim() == 4 && (tensor.dtype() != DType::f32 || options.pictures.says_transform())) {
    Result<ImageTransform> transform = options.pictures.transform(graph.preprocessing());
    if (!transform) return std::move(transform).error();
    transform->channels = declared.size() == 4 && declared[1] > 0 ? declared[1] : 0;
    floats = transform_image(tensor, *transform, context.limits);
  } else if (tensor.dtype() != DType::f32 || options.pictures.says_transform()) {
    floats = tensor.to(DType::f32);
  }
  if (!floats) return std::move(floats).error();
  input.tensor = *std::move(floats);
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
  Result<Items> input = idx.empty() ? read_array(context, *this, graph) : read_set(context, *this, graph);
  if (!input) return input;
  if (declared_shape(graph).size() != 2 || input->tensor.dim() <= 2) return input;
  Result<Tensor> rows = as_rows(input->tensor, input->notes);
  if (!rows) return std::move(rows).error();
  input->tensor = *std::move(rows);
  return input;
}

}  // namespace rushlight::cli
