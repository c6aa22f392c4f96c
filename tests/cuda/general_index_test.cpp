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
#include "cuda/kernels/bags.cuh"
#include "cuda/kernels/batched_product.cuh"
#include "cuda/kernels/fold.cuh"
#include "cuda/kernels/gather.cuh"
#include "cuda/kernels/move.cuh"
#include "cuda/kernels/recurrence.cuh"
#include "cuda/kernels/sampling.cuh"
#include "cuda/kernels/team.cuh"
#include "cuda/kernels/volume.cuh"
#include "cuda/kernels/windows.cuh"

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

TEST(GeneralIndices, StatesOfAStepAreCoveredOnce) {
  for (const std::int64_t items : {1, 4, 5, 9}) {
    RecurrentStepArguments a;
    a.directions = 2;
    a.items = items;
    a.units = Divisor64(3);
    a.item_blocks = Divisor64(ceil_div<std::int64_t>(items, kRecurrentItems));
    std::set<std::tuple<int, std::int64_t, std::int64_t>> seen;
    for (std::int64_t warp = 0; warp < warps_of(a); ++warp) {
      const RecurrentPlace place = recurrent_place(a, warp);
      for (std::int64_t item = place.item; item < std::min(items, place.item + kRecurrentItems); ++item) {
        EXPECT_TRUE(seen.insert({place.direction, item, place.unit}).second);
      }
    }
    EXPECT_EQ(static_cast<std::int64_t>(seen.size()), 2 * items * 3);
    EXPECT_EQ(std::get<0>(*seen.rbegin()), 1);
    EXPECT_EQ(std::get<2>(*seen.rbegin()), 2);
  }
}

// The definition: the map is padded behind, rolled back, and cut.
TEST(GeneralIndices, WindowsShowTheRolledMap) {
  constexpr std::int64_t kChannels = 2;
  for (const auto& [height, width, window_h, window_w, shift_h, shift_w] :
       {std::array<std::int64_t, 6>{4, 6, 2, 3, 0, 0}, {4, 6, 2, 3, 1, 2}, {5, 7, 3, 4, 1, 3}, {3, 3, 5, 2, 2, 1}}) {
    WindowMoveArguments a;
    a.images = 2;
    a.channels = Divisor64(kChannels);
    a.down = WindowSide(height, window_h, shift_h);
    a.across = WindowSide(width, window_w, shift_w);
    const std::int64_t padded_h = ceil_div(height, window_h) * window_h;
    const std::int64_t padded_w = ceil_div(width, window_w) * window_w;
    const std::int64_t down = window_h >= padded_h ? 0 : shift_h;
    const std::int64_t across = window_w >= padded_w ? 0 : shift_w;
    std::vector<std::int64_t> expected;
    for (std::int64_t image = 0; image < 2; ++image) {
      for (std::int64_t window = 0; window < padded_h / window_h * (padded_w / window_w); ++window) {
        for (std::int64_t place = 0; place < window_h * window_w; ++place) {
          const std::int64_t rolled_h = window / (padded_w / window_w) * window_h + place / window_w;
          const std::int64_t rolled_w = window % (padded_w / window_w) * window_w + place % window_w;
          const std::int64_t h = (rolled_h + down) % padded_h;
          const std::int64_t w = (rolled_w + across) % padded_w;
          for (std::int64_t channel = 0; channel < kChannels; ++channel) {
            const bool is_inside = h < height && w < width;
            expected.push_back(is_inside ? ((image * height + h) * width + w) * kChannels + channel : -1);
          }
        }
      }
    }
    std::vector<std::int64_t> found;
    for (std::int64_t i = 0; i < elements_of(a); ++i) found.push_back(map_offset(a, i));
    EXPECT_EQ(found, expected);
  }
  // Two windows of 4 with a shift of 1: the last place of the second came from the other end.
  const WindowSide side(8, 4, 1);
  std::vector<int> parts;
  for (std::int64_t i = 0; i < 8; ++i) parts.push_back(part_of_map(side, i / 4, i % 4));
  EXPECT_EQ(parts, (std::vector<int>{0, 0, 0, 0, 1, 1, 1, 2}));
}

TEST(GeneralIndices, CoordinatesOutsideAreReflectedOrClipped) {
  // 4 places, of which -1 and 1 are the outer edges, or the centres of the first and the last.
  EXPECT_EQ(unnormalised(-1.0, 4, false), -0.5);
  EXPECT_EQ(unnormalised(1.0, 4, false), 3.5);
  EXPECT_EQ(unnormalised(-1.0, 4, true), 0.0);
  EXPECT_EQ(unnormalised(1.0, 4, true), 3.0);
  const auto row = [](SampleOutside outside, bool align_corners) {
    std::vector<double> places;
    for (const double x : {-6.0, -1.0, 0.0, 3.0, 4.0, 5.0})
      places.push_back(place_inside(x, 4, outside, align_corners));
    return places;
  };
  EXPECT_EQ(row(SampleOutside::zeros, false), (std::vector<double>{-6, -1, 0, 3, 4, 5}));
  EXPECT_EQ(row(SampleOutside::border, false), (std::vector<double>{0, 0, 0, 3, 3, 3}));
  EXPECT_EQ(row(SampleOutside::reflection, false), (std::vector<double>{2, 0, 0, 3, 3, 2}));  // at -0.5 and 3.5
  EXPECT_EQ(row(SampleOutside::reflection, true), (std::vector<double>{0, 1, 0, 3, 2, 1}));   // at 0 and 3
  EXPECT_EQ(place_or_none(std::numeric_limits<double>::quiet_NaN(), 4), -1);
  EXPECT_EQ(place_or_none(1e300, 4), -1);
  EXPECT_EQ(place_or_none(3.9, 4), 3);
  EXPECT_EQ(grid_coordinate(0, 4, true), -1.0);
  EXPECT_EQ(grid_coordinate(0, 4, false), -0.75);
  EXPECT_EQ(grid_coordinate(0, 1, false), 0.0);
}

// Widened filters overlap, and weights that are normalised add up to 1.
TEST(GeneralIndices, FiltersAgainstAliasesCoverTheirOutputs) {
  for (const bool is_cubic : {false, true}) {
    for (const auto& [in, out] : {std::pair<std::int64_t, std::int64_t>{4, 4}, {12, 3}, {7, 5}, {3, 8}}) {
      std::vector<bool> seen(static_cast<std::size_t>(in), false);
      for (std::int64_t o = 0; o < out; ++o) {
        const AntialiasFilter filter =
            antialias_filter(is_cubic, static_cast<double>(in) / static_cast<double>(out), o, in);
        ASSERT_GE(filter.first, 0);
        ASSERT_LT(filter.first, filter.last);
        ASSERT_LE(filter.last, in);
        double sum = 0;
        for (std::int64_t i = filter.first; i < filter.last; ++i) {
          seen[static_cast<std::size_t>(i)] = true;
          sum += antialias_weight(is_cubic, filter, i) / filter.sum;
        }
        EXPECT_NEAR(sum, 1, 1e-12);
      }
      EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](bool was) { return was; }));
    }
  }
}

TEST(GeneralIndices, ColumnsOfAPictureAreThoseOfTheDefinition) {
  // 2 planes of 4 x 5, windows of 2 x 3 that step by 2 and 1, padded by 1 across: 2 x 5 of them.
  FoldArguments a;
  a.planes = 2;
  a.sizes[0] = Divisor64(4);
  a.sizes[1] = Divisor64(5);
  a.taps[0] = {2, 2, 0, 1};
  a.taps[1] = {3, 1, 1, 1};
  a.windows[0] = Divisor64(2);
  a.windows[1] = Divisor64(5);
  a.kernel_columns = Divisor64(3);
  a.taps_of_window = Divisor64(6);
  std::vector<std::int64_t> expected;
  for (std::int64_t plane = 0; plane < 2; ++plane) {
    for (std::int64_t tap = 0; tap < 6; ++tap) {
      for (std::int64_t window = 0; window < 10; ++window) {
        const std::int64_t h = window / 5 * 2 + tap / 3;
        const std::int64_t w = window % 5 - 1 + tap % 3;
        expected.push_back(w < 0 || w >= 5 ? -1 : plane * 20 + h * 5 + w);
      }
    }
  }
  ASSERT_EQ(elements_of(a), static_cast<std::int64_t>(expected.size()));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(place_of_column(a, static_cast<std::int64_t>(i)), expected[i]);
  }
  a.is_fold = true;
  EXPECT_EQ(elements_of(a), 40);
}

TEST(GeneralIndices, BagsAreWhatTheirOffsetsSay) {
  const std::vector<std::int64_t> offsets = {0, 3, 3, 9};
  BagArguments a;
  a.members = 7;
  a.bags = 4;
  a.offsets = offsets.data();
  a.offset_count = 4;
  const auto members = [&a](std::int64_t bag) {
    const BagMembers found = members_of(a, bag);
    return std::pair(found.first, found.last);
  };
  using Members = std::pair<std::int64_t, std::int64_t>;
  EXPECT_EQ(members(0), Members(0, 3));
  EXPECT_EQ(members(1), Members(3, 3));
  EXPECT_EQ(members(2), Members(3, 7));  // never beyond the last member, whatever a bad offset says
  EXPECT_EQ(members(3), Members(7, 7));
  a.offsets = nullptr;
  a.bag_size = 2;
  EXPECT_EQ(members(3), Members(6, 8));
}

// Of two values with one index the last stays, whichever thread is faster.
TEST(GeneralIndices, OfTwoValuesWithOneIndexTheLastStays) {
  constexpr std::int64_t kCount = 600;
  std::vector<std::int64_t> indices;
  std::vector<float> values;
  std::vector<float> expected(100, 0.0F);
  for (std::int64_t i = 0; i < 2 * kCount; ++i) {
    indices.push_back(i * 7 % 40 + 3);
    values.push_back(static_cast<float>(i + 1));
  }
  indices[5] = -1;
  indices[6] = 50;
  for (std::size_t i = 0; i < indices.size(); ++i) {
    if (indices[i] < 0 || indices[i] >= 50) continue;
    expected[(i / static_cast<std::size_t>(kCount)) * 50 + static_cast<std::size_t>(indices[i])] = values[i];
  }
  for (const emulation::Order order :
       {emulation::Order::forward, emulation::Order::backward, emulation::Order::shuffled}) {
    std::vector<float> output(100, -1.0F);
    UnpoolArguments a;
    a.values = values.data();
    a.indices = indices.data();
    a.output = output.data();
    a.planes = 2;
    a.count = kCount;
    a.size = 50;
    emulation::Emulator emulator(order);
    emulator.run_with_shared<UnpoolShared>(
        grid_of(a), [&](emulation::EmulatedBlock& block, UnpoolShared& shared) { unpool_kernel(block, shared, a); });
    ASSERT_EQ(emulator.failure(), "");
    EXPECT_EQ(output, expected);
  }
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
