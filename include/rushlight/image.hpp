/// \file
/// Pictures: reading them as PIL does, and making input of them as torchvision's transforms do.
///
///     Result<Tensor> pixels = read_image("cat.jpg", {.channels = 3});
///     Result<Tensor> input = transform_image(*pixels, ImageTransform::imagenet());   // float32 [1, 3, 224, 224]
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "rushlight/graph.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight {

/// IDX files as of the MNIST sets (yann.lecun.com/exdb/mnist): images uint8 [N, H, W], labels uint8 [N].
RUSHLIGHT_API Result<Tensor> read_idx(const std::filesystem::path& path, const Limits& limits = {});

/// How a picture is read.
struct ReadImageOptions {
  /// 1: grey, by the weights of PIL's convert("L"). 3: red, green, blue, as convert("RGB"). 0: 1 for pictures that are
  /// stored grey, else 3.
  std::int64_t channels = 0;
  /// Turned upright by the orientation in its EXIF or XMP metadata, as PIL.ImageOps.exif_transpose does.
  bool upright = true;
  Limits limits = {};
};

/// One picture as uint8 [C, H, W], equal to what PIL's convert() gives: PNG, JPEG, PGM and PPM.
///
/// PNG of every kind: palettes and alpha lose their transparency, samples of 16 bits keep their high byte, grey ones of
/// 16 bits are cut off at 255 (as PIL has it). JPEG: baseline, progressive and arithmetic, grey, YCbCr, RGB, CMYK and
/// YCCK, 8 bits. PGM and PPM: binary or text, 8 or 16 bits.
///
/// What is wrong in a picture is an error, also where other programs show the rest of it. Other formats are
/// ErrorCode::unsupported by name, and so is PNG or JPEG in a build without libpng or libjpeg-turbo
/// (build_info().find("png")). A picture larger than limits.image_pixels is ErrorCode::limit_exceeded, before memory is
/// taken for it.
RUSHLIGHT_API Result<Tensor> read_image(const std::filesystem::path& path, const ReadImageOptions& options = {});
/// The same of the bytes of such a file.
RUSHLIGHT_API Result<Tensor> decode_image(std::span<const std::byte> file, const ReadImageOptions& options = {});

/// Pixels [N, C, H, W] of any real dtype to float32 [N, C, H, W]. What is left out is added: [H, W] is one grey
/// picture, [C, H, W] with 1 or 3 channels one picture, any other [N, H, W] a set of grey ones. Three channels become
/// one by PIL's "L" weights, one becomes three, when `channels` asks for it (0: as they are). `preprocessing` has no
/// mean and std, one of each for all channels, or one a channel; computed in float32, as torchvision does.
RUSHLIGHT_API Result<Tensor> to_input(const Tensor& pixels, const Preprocessing& preprocessing,
                                      std::int64_t channels = 0);

enum class Interpolation : std::uint8_t { nearest, bilinear, bicubic };

/// torchvision resizes pictures of PIL and uint8 tensors by different code, whose results differ in the last bit.
enum class Resampling : std::uint8_t {
  pil,               ///< Resize of a PIL picture, and what the usual training scripts do: equal bit for bit
  tensor,            ///< Resize of a uint8 tensor on a CPU with AVX2, antialias=True
  tensor_not_smooth  ///< likewise, antialias=False
};

/// What torchvision's Resize is given: Resize(256) is 256, Resize((20, 37)) is {20, 37}.
struct ResizeTo {
  std::int64_t height = 0;  ///< of the shorter side, where width is 0; 0 as well: no resizing
  std::int64_t width = 0;
  constexpr ResizeTo() noexcept = default;
  constexpr ResizeTo(std::int64_t shorter_side) noexcept
      : height(shorter_side) {}  // NOLINT(google-explicit-constructor)
  constexpr ResizeTo(std::int64_t height_in, std::int64_t width_in) noexcept : height(height_in), width(width_in) {}
  friend constexpr bool operator==(const ResizeTo&, const ResizeTo&) = default;
};

/// torchvision's usual chain, in its order: Resize, CenterCrop, ToTensor (or ToDtype with scale), Normalize.
struct ImageTransform {
  ResizeTo resize = {};
  IntPair center_crop = {};  ///< zeros are added where the picture is smaller; 0: no cropping
  Interpolation interpolation = Interpolation::bilinear;
  Resampling resampling = Resampling::pil;
  std::int64_t channels = 0;  ///< as of to_input(); pixels become grey before they are resized
  Preprocessing preprocessing = {.scale = 255};

  /// Resize(256), CenterCrop(224), and the mean and standard deviation of ImageNet.
  RUSHLIGHT_API static ImageTransform imagenet();
};

/// Pixels as of to_input() through all of the chain, to float32 [N, C, H, W]. Where they are resized or cropped they
/// are uint8. The picture after the resize, and after the crop, has at most limits.image_pixels pixels.
RUSHLIGHT_API Result<Tensor> transform_image(const Tensor& pixels, const ImageTransform& transform,
                                             const Limits& limits = {});
/// Several pictures, each as uint8 [C, H, W], to one batch. ErrorCode::mismatch where they do not come out alike.
RUSHLIGHT_API Result<Tensor> transform_images(std::span<const Tensor> pictures, const ImageTransform& transform,
                                              const Limits& limits = {});
/// The part of the chain before ToTensor: uint8 [N, C, H, W].
RUSHLIGHT_API Result<Tensor> resize_and_crop(const Tensor& pixels, const ImageTransform& transform,
                                             const Limits& limits = {});

}  // namespace rushlight
