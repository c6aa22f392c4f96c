// windows[window][place][channel] = map[image][h][w][channel] and back, what a window's heads gain for the distance of
// two places, and which places do not see each other: ShiftedWindowAttention's road to the kernels of attention.
//
// The map is padded with zeros behind to whole windows and rolled back by the shift: place i of window k along a side
// shows (k * window + i + shift) % padded. One thread moves one element, makes the bias of one head for one distance,
// or the mask of one pair of places. Bytes moved: each element of the windows once in and once out; 4 a pair of places
// for the mask. Accuracy: exact; the bias of the second version in double, rounded once.
// Tests: GeneralIndices.WindowsShowTheRolledMap, operator_emulation_test.cpp.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/kernels/divisor.cuh"
#include "cuda/kernels/execution.cuh"

namespace rushlight::cuda {

// Height or width.
struct WindowSide {
  std::int64_t size = 0;  // of the map
  std::int64_t shift = 0;
  Divisor64 padded;   // a multiple of the window
  Divisor64 windows;  // in it
  Divisor64 window;

  WindowSide() = default;
  // Where one window covers all nothing is shifted, as in torchvision.
  WindowSide(std::int64_t map_size, std::int64_t window_size, std::int64_t shift_size)
      : size(map_size), windows(ceil_div(map_size, window_size)), window(window_size) {
    padded = Divisor64(windows.divisor() * window_size);
    shift = window_size >= padded.divisor() ? 0 : shift_size % padded.divisor();
  }
};

// Where place `i` of window `k` lies in the padded map.
RUSHLIGHT_HOST_DEVICE inline std::int64_t place_in_map(const WindowSide& side, std::int64_t k, std::int64_t i) {
  const std::int64_t rolled = k * side.window.divisor() + i + side.shift;
  return rolled < side.padded.divisor() ? rolled : rolled - side.padded.divisor();
}
// Which part of the rolled map it belongs to: parts that were no neighbours before do not see each other.
RUSHLIGHT_HOST_DEVICE inline int part_of_map(const WindowSide& side, std::int64_t k, std::int64_t i) {
  if (side.shift == 0) return 0;
  const std::int64_t rolled = k * side.window.divisor() + i;
  if (rolled + side.shift >= side.padded.divisor()) return 2;
  return rolled + side.window.divisor() < side.padded.divisor() ? 0 : 1;
}

// --- to windows and back ---

struct WindowMoveArguments {
  bool is_back = false;
  float* map = nullptr;      // [image][height][width][channel]
  float* windows = nullptr;  // [image][window down][window across][place][channel]
  std::int64_t images = 0;
  Divisor64 channels;
  WindowSide down;
  WindowSide across;
};

RUSHLIGHT_HOST_DEVICE inline std::int64_t elements_of(const WindowMoveArguments& a) {
  return a.images * a.down.padded.divisor() * a.across.padded.divisor() * a.channels.divisor();
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const WindowMoveArguments& a) {
  return grid_for_elements(elements_of(a));
}

// Where element `element` of the windows lies in the map; -1: in the padding.
RUSHLIGHT_HOST_DEVICE inline std::int64_t map_offset(const WindowMoveArguments& a, std::int64_t element) {
  const std::int64_t row = a.channels.quotient(element);
  const std::int64_t channel = a.channels.remainder(element, row);
  const std::int64_t line = a.across.window.quotient(row);
  const std::int64_t w = a.across.window.remainder(row, line);
  const std::int64_t window = a.down.window.quotient(line);
  const std::int64_t h = a.down.window.remainder(line, window);
  const std::int64_t row_of_windows = a.across.windows.quotient(window);
  const std::int64_t image = a.down.windows.quotient(row_of_windows);
  const std::int64_t map_h = place_in_map(a.down, a.down.windows.remainder(row_of_windows, image), h);
  const std::int64_t map_w = place_in_map(a.across, a.across.windows.remainder(window, row_of_windows), w);
  if (map_h >= a.down.size || map_w >= a.across.size) return -1;
  return ((image * a.down.size + map_h) * a.across.size + map_w) * a.channels.divisor() + channel;
}

template <class Block>
RUSHLIGHT_KERNEL void window_move_kernel(Block& block, const WindowMoveArguments& a) {
  for_each_element(block, elements_of(a), [&](std::int64_t element) {
    const std::int64_t offset = map_offset(a, element);
    if (!a.is_back) {
      a.windows[element] = offset < 0 ? 0.0F : a.map[offset];
    } else if (offset >= 0) {
      a.map[offset] = a.windows[element];
    }
  });
}

// --- which places see each other ---

inline constexpr float kApart = -100;  // torchvision's: not infinity

struct WindowMaskArguments {
  float* mask = nullptr;  // [window down][window across][place][place]
  Divisor64 places;
  WindowSide down;
  WindowSide across;
};

RUSHLIGHT_HOST_DEVICE inline std::int64_t elements_of(const WindowMaskArguments& a) {
  return a.down.windows.divisor() * a.across.windows.divisor() * a.places.divisor() * a.places.divisor();
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const WindowMaskArguments& a) {
  return grid_for_elements(elements_of(a));
}

template <class Block>
RUSHLIGHT_KERNEL void window_mask_kernel(Block& block, const WindowMaskArguments& a) {
  for_each_element(block, elements_of(a), [&](std::int64_t element) {
    const std::int64_t row = a.places.quotient(element);
    const std::int64_t key = a.places.remainder(element, row);
    const std::int64_t window = a.places.quotient(row);
    const std::int64_t query = a.places.remainder(row, window);
    const std::int64_t down = a.across.windows.quotient(window);
    const std::int64_t across = a.across.windows.remainder(window, down);
    const auto part = [&](std::int64_t place) {
      const std::int64_t h = a.across.window.quotient(place);
      return 3 * part_of_map(a.down, down, h) + part_of_map(a.across, across, a.across.window.remainder(place, h));
    };
    a.mask[element] = part(query) == part(key) ? 0.0F : kApart;
  });
}

// --- the bias of the second version ---

// A small network over the logarithms of distances.
struct DistanceBiasArguments {
  const float* first = nullptr;       // [hidden][2]
  const float* first_bias = nullptr;  // [hidden]
  const float* second = nullptr;      // [head][hidden]
  float* table = nullptr;             // [distance down][distance across][head]
  std::int64_t hidden = 0;
  std::int64_t window_h = 0;
  std::int64_t window_w = 0;
  Divisor64 across;  // 2 * window_w - 1
  Divisor64 heads;
};

RUSHLIGHT_HOST_DEVICE inline std::int64_t elements_of(const DistanceBiasArguments& a) {
  return (2 * a.window_h - 1) * a.across.divisor() * a.heads.divisor();
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const DistanceBiasArguments& a) {
  return grid_for_elements(elements_of(a));
}

// From -log2(9) / 3 to as much; a side of one place has 0 / 0: NaN, as in torchvision.
RUSHLIGHT_HOST_DEVICE inline double scaled_distance(std::int64_t place, std::int64_t window) {
  const double far = 8 * static_cast<double>(place - (window - 1)) / static_cast<double>(window - 1);
  return ::copysign(::log2(::fabs(far) + 1) / 3, far);
}

template <class Block>
RUSHLIGHT_KERNEL void distance_bias_kernel(Block& block, const DistanceBiasArguments& a) {
  for_each_element(block, elements_of(a), [&](std::int64_t element) {
    const std::int64_t place = a.heads.quotient(element);
    const std::int64_t head = a.heads.remainder(element, place);
    const std::int64_t row = a.across.quotient(place);
    const double down = scaled_distance(row, a.window_h);
    const double across = scaled_distance(a.across.remainder(place, row), a.window_w);
    double sum = 0;
    for (std::int64_t k = 0; k < a.hidden; ++k) {
      const double unit = down * static_cast<double>(load_constant(a.first + 2 * k)) +
                          across * static_cast<double>(load_constant(a.first + 2 * k + 1)) +
                          static_cast<double>(load_constant(a.first_bias + k));
      sum += (unit < 0 ? 0.0 : unit) * static_cast<double>(load_constant(a.second + head * a.hidden + k));
    }
    a.table[element] = static_cast<float>(16 / (1 + ::exp(-sum)));
  });
}

}  // namespace rushlight::cuda
