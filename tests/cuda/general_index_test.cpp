// Index arithmetic of the kernels for general operators, and the teams that share an item.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <tuple>
#include <vector>

#include "cuda/emulator.hpp"
#include "cuda/general/maker.hpp"
#include "cuda/kernels/batched_product.cuh"
#include "cuda/kernels/gather.cuh"
#include "cuda/kernels/move.cuh"
#include "cuda/kernels/team.cuh"
#include "cuda/kernels/volume.cuh"

namespace rushlight::cuda {
namespace {

// Places of all elements of `shape` in both operands, by the definition, as a set: the walk has an order of its own.
std::set<std::pair<std::int64_t, std::int64_t>> places_by_definition(const Shape& shape, const Strides& a,
                                                                     const Strides& b) {
  std::set<std::pair<std::int64_t, std::int64_t>> places = {{0, 0}};
  for (std::size_t d = 0; d < shape.size(); ++d) {
    std::set<std::pair<std::int64_t, std::int64_t>> next;
    for (const auto& [x, y] : places) {
      for (std::int64_t i = 0; i < shape[d]; ++i) next.insert({x + i * a[d], y + i * b[d]});
    }
    places = std::move(next);
  }
  return places;
}

TEST(GeneralIndices, PlacesAreThoseOfTheStrides) {
  struct Case {
    Shape shape;
    Strides output;
    Strides input;
  };
  const Case cases[] = {
      {{}, {}, {}},
      {{5}, {1}, {0}},
      {{2, 3, 4}, {12, 4, 1}, {12, 4, 1}},
      {{2, 3, 4, 5}, {60, 1, 15, 3}, {60, 20, 5, 1}},  // channels last from C order
      {{3, 1, 4}, {4, 9, 1}, {-4, 7, -1}},             // reversed
      {{2, 3, 2}, {6, 2, 1}, {0, 1, 0}},
  };
  for (const Case& one : cases) {
    for (const bool in_c_order : {false, true}) {
      const auto shape = strided<2>(one.shape, {one.output, one.input}, in_c_order);
      ASSERT_TRUE(shape);
      std::set<std::pair<std::int64_t, std::int64_t>> found;
      std::int64_t last = -1;
      bool ascends = true;
      for (std::int64_t i = 0; i < shape->elements; ++i) {
        const StridedPlaces<2> places = places_of(*shape, i);
        found.insert({places.at[0], places.at[1]});
        ascends = ascends && places.at[0] > last;
        last = places.at[0];
      }
      EXPECT_EQ(found, places_by_definition(one.shape, one.output, one.input));
      EXPECT_EQ(static_cast<std::int64_t>(found.size()), shape->elements);
      if (!in_c_order) {
        EXPECT_TRUE(ascends) << "neighbours write neighbours";
      }
    }
  }
}

TEST(GeneralIndices, DimensionsAreJoinedInTheOrderOfMemory) {
  const auto dims = [](const Shape& shape, const Strides& output, const Strides& input, bool in_c_order) {
    return strided<2>(shape, {output, input}, in_c_order)->dims;
  };
  EXPECT_EQ(dims({2, 3, 4}, {12, 4, 1}, {12, 4, 1}, false), 1);
  EXPECT_EQ(dims({2, 3, 4}, {12, 4, 1}, {0, 4, 1}, false), 2);
  EXPECT_EQ(dims({2, 3, 4, 5}, {60, 1, 15, 3}, {60, 1, 15, 3}, false), 1);
  EXPECT_EQ(dims({2, 3, 4, 5}, {60, 1, 15, 3}, {60, 1, 15, 3}, true), 3);
  EXPECT_EQ(dims({1, 1}, {5, 7}, {3, 2}, false), 0);
  // More than a kernel walks: 2 x ... x 2, every other dimension broadcast.
  const Shape many(20, 2);
  Strides output(20);
  Strides input(20, 0);
  for (std::size_t d = 20; d-- > 0;) {
    output[d] = std::int64_t{1} << (19 - d);
    if (d % 2 == 0) input[d] = 1;
  }
  EXPECT_FALSE(strided<2>(many, {output, input}));
}

TEST(GeneralIndices, PlacesBeyondTheEdgeAreThoseOfTorch) {
  const auto row = [](Beyond beyond, std::int64_t size, std::int64_t before, std::int64_t after) {
    std::vector<std::int64_t> places;
    for (std::int64_t i = -before; i < size + after; ++i) places.push_back(place_beyond(beyond, i, size));
    return places;
  };
  using Places = std::vector<std::int64_t>;
  EXPECT_EQ(row(Beyond::fill, 3, 2, 1), (Places{-1, -1, 0, 1, 2, -1}));
  EXPECT_EQ(row(Beyond::replicate, 3, 2, 2), (Places{0, 0, 0, 1, 2, 2, 2}));
  EXPECT_EQ(row(Beyond::reflect, 4, 3, 3), (Places{3, 2, 1, 0, 1, 2, 3, 2, 1, 0}));
  EXPECT_EQ(row(Beyond::circular, 3, 3, 3), (Places{0, 1, 2, 0, 1, 2, 0, 1, 2}));
}

TEST(GeneralIndices, TilesOfAProductCoverItOnce) {
  for (const auto& [m, n] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {63, 64}, {65, 129}, {200, 3}}) {
    BatchedProductArguments a;
    a.m = m;
    a.n = n;
    a.batches.elements = 3;
    const std::int64_t columns = ceil_div<std::int64_t>(n, kProductTile);
    a.column_tiles = Divisor64(columns);
    a.tiles = Divisor64(columns * ceil_div<std::int64_t>(m, kProductTile));
    std::set<std::tuple<std::int64_t, std::int64_t, std::int64_t>> seen;
    for (std::int64_t block = 0; block < grid_of(a).blocks; ++block) {
      const ProductTilePlace tile = product_tile(a, block);
      for (std::int64_t r = tile.row; r < std::min(m, tile.row + kProductTile); ++r) {
        for (std::int64_t c = tile.column; c < std::min(n, tile.column + kProductTile); ++c) {
          EXPECT_TRUE(seen.insert({tile.batch, r, c}).second);
        }
      }
    }
    EXPECT_EQ(static_cast<std::int64_t>(seen.size()), 3 * m * n);
  }
  for (const bool depth_is_adjacent : {false, true}) {
    std::set<std::pair<int, int>> seen;
    for (int i = 0; i < kProductSlab * kProductTile; ++i) {
      const SlabPlace place = slab_place(i, depth_is_adjacent);
      EXPECT_LT(place.line, kProductTile);
      EXPECT_LT(place.depth, kProductSlab);
      seen.insert({place.line, place.depth});
    }
    EXPECT_EQ(seen.size(), static_cast<std::size_t>(kProductSlab * kProductTile));
  }
}

TEST(GeneralIndices, OutputsOfAVolumeAreCoveredOnce) {
  Volume volume;
  volume.images = 2;
  volume.channels = Divisor64(5);
  const std::int64_t sizes[] = {1, 3, 4};
  volume.image_stride = 60;
  volume.channel_stride = 1;
  const std::int64_t strides[] = {60, 20, 5};
  for (int i = 0; i < kSpatialDims; ++i) {
    volume.sizes[i] = Divisor64(sizes[i]);
    volume.strides[i] = strides[i];
  }
  ASSERT_EQ(elements_of(volume), 120);
  // Dense and channels last: element i lies at i.
  for (std::int64_t i = 0; i < 120; ++i) EXPECT_EQ(offset_of(volume, volume_place(volume, i)), i);
}

TEST(GeneralIndices, TapsMeetTheirSources) {
  for (const std::int64_t size : {1, 4, 7}) {
    for (const VolumeTaps& taps :
         {VolumeTaps{1, 1, 0, 1}, VolumeTaps{3, 2, 1, 1}, VolumeTaps{2, 3, 1, 2}, VolumeTaps{3, 1, 2, 3}}) {
      const std::int64_t outputs = 9;
      for (std::int64_t o = 0; o < outputs; ++o) {
        std::vector<std::int64_t> inside;
        for (std::int64_t tap = 0; tap < taps.kernel; ++tap) {
          const std::int64_t place = o * taps.stride - taps.padding + tap * taps.dilation;
          const bool is_inside = place >= 0 && place < size;
          if (is_inside) inside.push_back(place);
          EXPECT_EQ(source_of(false, taps, o, tap, size), is_inside ? place : -1);
        }
        const WindowPlaces window = places_inside(taps, o, size);
        ASSERT_EQ(window.count, static_cast<std::int64_t>(inside.size()));
        for (std::int64_t i = 0; i < window.count; ++i) {
          EXPECT_EQ(window.first + i * taps.dilation, inside[static_cast<std::size_t>(i)]);
        }
        // Transposed: what an input would be scattered to is what an output gathers from.
        for (std::int64_t tap = 0; tap < taps.kernel; ++tap) {
          std::int64_t source = -1;
          for (std::int64_t i = 0; i < size; ++i) {
            if (i * taps.stride - taps.padding + tap * taps.dilation == o) source = i;
          }
          EXPECT_EQ(source_of(true, taps, o, tap, size), source);
        }
      }
    }
    for (std::int64_t outputs = 1; outputs < 10; ++outputs) {
      std::vector<bool> seen(static_cast<std::size_t>(size), false);
      for (std::int64_t o = 0; o < outputs; ++o) {
        const WindowPlaces window = adaptive_places(o, size, outputs);
        EXPECT_GT(window.count, 0);
        for (std::int64_t i = window.first; i < window.first + window.count; ++i)
          seen[static_cast<std::size_t>(i)] = true;
      }
      EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](bool was) { return was; }));
    }
  }
}

TEST(GeneralIndices, TheFirstIndexThatPointsNowhereIsNoted) {
  std::vector<std::int64_t> indices(100, 4);
  CheckIndicesArguments a;
  a.indices = indices.data();
  a.size = 5;
  a.places.elements = 50;
  a.places.dims = 1;
  a.places.sizes[0] = Divisor64(50);
  a.places.strides[0][0] = 2;
  const auto check = [&a] {
    IndexNote note{7, 7};
    a.note = &note;
    emulation::Emulator emulator(emulation::Order::shuffled);
    emulator.run(grid_of(a), [&](emulation::EmulatedBlock& block) { check_indices_kernel(block, a); });
    return std::pair(note.place, note.index);
  };
  using Found = std::pair<std::int64_t, std::int64_t>;
  EXPECT_EQ(check(), Found(-1, 0));
  indices[1] = 9;  // between the places
  EXPECT_EQ(check(), Found(-1, 0));
  indices[98] = -1;
  EXPECT_EQ(check(), Found(49, -1));
  indices[66] = 5;
  EXPECT_EQ(check(), Found(33, 5));
}

// --- teams ---

// Each item i joins the numbers i * 1000 + lane of its lanes, and every lane writes what it was given.
template <int kLanes>
void expect_teams_agree() {
  constexpr std::int64_t kItems = 11;
  for (const emulation::Order order :
       {emulation::Order::forward, emulation::Order::backward, emulation::Order::shuffled}) {
    std::vector<double> sums(static_cast<std::size_t>(kItems * kLanes), -1);
    std::vector<double> most(static_cast<std::size_t>(kItems * kLanes), -1);
    emulation::Emulator emulator(order);
    emulator.run_with_shared<TeamShared>(grid_for_teams(kItems, kLanes),
                                         [&](emulation::EmulatedBlock& block, TeamShared& shared) {
                                           Team<kLanes, emulation::EmulatedBlock> team(block, shared);
                                           team.for_each_item(kItems, [&](std::int64_t item) {
                                             const double own = static_cast<double>(item * 1000 + team.lane());
                                             const auto place = static_cast<std::size_t>(item * kLanes + team.lane());
                                             sums[place] = team.sum(own);
                                             most[place] = team.largest(own);
                                           });
                                         });
    ASSERT_EQ(emulator.failure(), "");
    for (std::int64_t item = 0; item < kItems; ++item) {
      for (std::int64_t lane = 0; lane < kLanes; ++lane) {
        const auto place = static_cast<std::size_t>(item * kLanes + lane);
        EXPECT_EQ(sums[place], static_cast<double>(kLanes * item * 1000 + kLanes * (kLanes - 1) / 2));
        EXPECT_EQ(most[place], static_cast<double>(item * 1000 + kLanes - 1));
      }
    }
  }
}

TEST(GeneralTeams, EveryLaneHasWhatAllFound) {
  expect_teams_agree<1>();
  expect_teams_agree<kWarpThreads>();
  expect_teams_agree<kTeamThreads>();
}

}  // namespace
}  // namespace rushlight::cuda
