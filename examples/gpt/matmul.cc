#include "examples/gpt/matmul.h"

#include <algorithm>

namespace gpt {
namespace {

// Panels of b are this deep while they are in use, so that one stays in the first-level cache.
constexpr std::int64_t depth_of_block = 256;
// Panels of a that one task multiplies with one panel of b.
constexpr std::int64_t panels_of_task = 22;

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

void grow(std::vector<float>& buffer, std::int64_t size) {
  if (static_cast<std::int64_t>(buffer.size()) < size) buffer.resize(static_cast<std::size_t>(size));
}

// to[k][j] = from(k, first + j), with zeros beyond the last column. The inner loop follows memory.
template <class T, class Load>
void pack_panel(const T* from, std::int64_t k_stride, std::int64_t j_stride, std::int64_t depth, std::int64_t valid,
                std::int64_t width, float* to, Load load) {
  if (valid < width) std::fill(to, to + depth * width, 0.0f);
  if (j_stride == 1) {
    for (std::int64_t k = 0; k < depth; ++k) {
      for (std::int64_t j = 0; j < valid; ++j) to[k * width + j] = load(from[k * k_stride + j]);
    }
  } else {
    for (std::int64_t j = 0; j < valid; ++j) {
      for (std::int64_t k = 0; k < depth; ++k) to[k * width + j] = load(from[k * k_stride + j * j_stride]);
    }
  }
}

void pack_panel(const MatrixView& from, std::int64_t depth, std::int64_t columns, std::int64_t panel,
                std::int64_t width, float* to) {
  const std::int64_t first = panel * width;
  const std::int64_t valid = std::min(width, columns - first);
  float* at = to + panel * width * depth;
  if (from.f32) {
    pack_panel(from.f32 + first * from.column_stride, from.row_stride, from.column_stride, depth, valid, width, at,
               [](float x) { return x; });
  } else {
    pack_panel(from.bf16 + first * from.column_stride, from.row_stride, from.column_stride, depth, valid, width, at,
               [](Bf16 x) { return to_float(x); });
  }
}

// Panels [a_begin, a_end) of a, times one panel of b.
void multiply_panels(const Product& p, const PackedOperands& packed, std::int64_t a_begin, std::int64_t a_end,
                     std::int64_t b_panel, std::int64_t width) {
  const std::int64_t column = b_panel * width;
  const std::int64_t columns = std::min(width, p.columns - column);
  for (std::int64_t k = 0; k < p.depth; k += depth_of_block) {
    const std::int64_t depth = std::min(depth_of_block, p.depth - k);
    const bool accumulate = p.accumulate || k > 0;
    const float* b = packed.b.data() + b_panel * width * p.depth + k * width;
    for (std::int64_t panel = a_begin; panel < a_end; ++panel) {
      const float* a = packed.a.data() + panel * tile_rows * p.depth + k * tile_rows;
      const std::int64_t row = panel * tile_rows;
      const std::int64_t rows = std::min(tile_rows, p.rows - row);
      float* c = p.c + row * p.c_row_stride + column;
      if (rows == tile_rows && columns == width) {
        multiply_tile(depth, a, b, c, p.c_row_stride, accumulate);
        continue;
      }
      float tile[tile_rows * tile_columns_max];
      multiply_tile(depth, a, b, tile, width, false);
      for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < columns; ++j) {
          const float before = accumulate ? c[i * p.c_row_stride + j] : 0.0f;
          c[i * p.c_row_stride + j] = before + tile[i * width + j];
        }
      }
    }
  }
}

}  // namespace

void multiply(ThreadPool& pool, PackedOperands& scratch, const Product& p) {
  const std::int64_t width = tile_columns();
  const std::int64_t a_panels = divide_up(p.rows, tile_rows);
  const std::int64_t b_panels = divide_up(p.columns, width);
  grow(scratch.a, a_panels * tile_rows * p.depth);
  grow(scratch.b, b_panels * width * p.depth);
  const MatrixView a_columns = p.a.transposed();
  const std::int64_t a_groups = divide_up(a_panels, 8);
  pool.for_each(a_groups + b_panels, [&](std::int64_t i) {
    if (i >= a_groups) return pack_panel(p.b, p.depth, p.columns, i - a_groups, width, scratch.b.data());
    for (std::int64_t panel = i * 8; panel < std::min((i + 1) * 8, a_panels); ++panel) {
      pack_panel(a_columns, p.depth, p.rows, panel, tile_rows, scratch.a.data());
    }
  });
  const std::int64_t chunks = divide_up(a_panels, panels_of_task);
  pool.for_each(b_panels * chunks, [&](std::int64_t i) {
    const std::int64_t begin = i % chunks * panels_of_task;
    multiply_panels(p, scratch, begin, std::min(begin + panels_of_task, a_panels), i / chunks, width);
  });
}

void multiply(const Product& p) {
  thread_local PackedOperands scratch;
  const std::int64_t width = tile_columns();
  const std::int64_t a_panels = divide_up(p.rows, tile_rows);
  const std::int64_t b_panels = divide_up(p.columns, width);
  grow(scratch.a, a_panels * tile_rows * p.depth);
  grow(scratch.b, b_panels * width * p.depth);
  const MatrixView a_columns = p.a.transposed();
  for (std::int64_t i = 0; i < a_panels; ++i) pack_panel(a_columns, p.depth, p.rows, i, tile_rows, scratch.a.data());
  for (std::int64_t i = 0; i < b_panels; ++i) pack_panel(p.b, p.depth, p.columns, i, width, scratch.b.data());
  for (std::int64_t i = 0; i < b_panels; ++i) multiply_panels(p, scratch, 0, a_panels, i, width);
}

}  // namespace gpt
