// MatMul and its kin. Anything of a product is strided: rows, columns and batches of every operand.
#include <algorithm>
#include <array>

#include "cuda/general/projections.hpp"

namespace rushlight::cuda {
namespace {

// torch.matmul: vectors are rows on the left and columns on the right.
bool add_matmul(GeneralMaker& maker, std::size_t left, std::size_t right, BatchedProductArguments a) {
  runtime::Operand x = maker.input(left);
  runtime::Operand y = maker.input(right);
  if (x.shape.size() == 1) {
    x.shape.insert(x.shape.begin(), 1);
    x.strides.insert(x.strides.begin(), 0);
  }
  if (y.shape.size() == 1) {
    y.shape.push_back(1);
    y.strides.push_back(1);
  }
  const std::size_t x_rank = x.shape.size();
  const std::size_t y_rank = y.shape.size();
  a.m = x.shape[x_rank - 2];
  a.k = x.shape[x_rank - 1];
  a.n = y.shape[y_rank - 1];
  a.a = {maker.floats_in(left), x.strides[x_rank - 2], x.strides[x_rank - 1]};
  a.b = {maker.floats_in(right), y.strides[y_rank - 2], y.strides[y_rank - 1]};
  a.output = maker.floats_out();
  // Dense: the output's dimensions are batches, rows and columns, without those of vectors.
  a.output_row = a.n;
  a.output_column = 1;
  const std::size_t rank = std::max(x_rank, y_rank) - 2;
  Shape batches(rank, 1);
  std::array<Strides, 4> strides;
  strides.fill(Strides(rank, 0));
  const auto see = [&](const runtime::Operand& operand, Strides& into) {
    const std::size_t own = operand.shape.size() - 2;
    for (std::size_t d = 0; d < own; ++d) {
      if (operand.shape[d] == 1) continue;
      batches[rank - own + d] = operand.shape[d];
      into[rank - own + d] = operand.strides[d];
    }
  };
  see(x, strides[1]);
  see(y, strides[2]);
  std::int64_t step = a.m * a.n;
  for (std::size_t d = rank; d-- > 0;) {
    strides[0][d] = step;
    step *= batches[d];
  }
  const auto walk = strided<4>(batches, strides);
  if (!walk) return false;
  a.batches = *walk;
  return add_product(maker, a);
}

// beta * x + alpha * (a b).
bool add_addmm(GeneralMaker& maker, const AddMM& op) {
  BatchedProductArguments a;
  a.alpha = op.alpha;
  a.beta = op.beta;
  if (op.beta != 0) {
    const Strides strides = broadcast_strides(maker.input(0), maker.output().shape);
    a.addend = {maker.floats_in(0), strides[0], strides[1]};
  }
  return add_matmul(maker, 1, 2, a);
}

}  // namespace

bool make_products(GeneralMaker& maker) {
  if (maker.op().kind() == OperatorKind::AddMM) return add_addmm(maker, maker.get<AddMM>());
  return add_matmul(maker, 0, 1, {});
}

}  // namespace rushlight::cuda
