#include "cuda/general/projections.hpp"

namespace rushlight::cuda {

bool add_product(GeneralMaker& maker, BatchedProductArguments product) {
  const std::int64_t columns = ceil_div<std::int64_t>(product.n, kProductTile);
  product.column_tiles = Divisor64(columns);
  product.tiles = Divisor64(columns * ceil_div<std::int64_t>(product.m, kProductTile));
  if (grid_of(product).blocks > kMaxBlocks) return false;
  maker.add(product);
  return true;
}

bool add_projection(GeneralMaker& maker, std::int64_t items, std::int64_t rows, const ItemRows& from,
                    std::int64_t in_features, const float* weights, const float* bias, const ItemRows& to,
                    std::int64_t out_features) {
  if (rows == 0) return true;
  BatchedProductArguments a;
  a.m = rows;
  a.k = in_features;
  a.n = out_features;
  a.a = {from.first, from.row, 1};
  a.b = {weights, 1, in_features};
  a.addend = {bias, 0, 1};
  a.output = to.first;
  a.output_row = to.row;
  a.output_column = 1;
  const auto batches = strided<4>({items}, {Strides{to.item}, Strides{from.item}, Strides{0}, Strides{0}});
  if (!batches) return false;
  a.batches = *batches;
  return add_product(maker, a);
}

}  // namespace rushlight::cuda
