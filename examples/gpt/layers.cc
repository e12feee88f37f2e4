#include "examples/gpt/layers.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace gpt {
namespace {

constexpr std::int64_t rows_of_piece = 16;
constexpr std::int64_t columns_of_piece = 64;
constexpr std::int64_t elements_of_piece = 16384;

// The sum of term(0) ... term(count - 1), in eight interleaved parts: a fixed order that vectorises.
template <class Term> float sum(std::int64_t count, Term term) {
  std::array<float, 8> parts{};
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (std::int64_t j = 0; j < 8; ++j) parts[static_cast<std::size_t>(j)] += term(i + j);
  }
  for (; i < count; ++i) parts[static_cast<std::size_t>(i % 8)] += term(i);
  return ((parts[0] + parts[4]) + (parts[2] + parts[6])) + ((parts[1] + parts[5]) + (parts[3] + parts[7]));
}

std::vector<float> widened(const Parameter& parameter) {
  std::vector<float> result(static_cast<std::size_t>(parameter.count));
  std::transform(parameter.bf16, parameter.bf16 + parameter.count, result.begin(), to_float);
  return result;
}

}  // namespace

void linear(Compute compute, const Linear& layer, const float* x, float* y, std::int64_t rows, bool add) {
  const std::int64_t in = layer.w->shape[0];
  const std::int64_t out = layer.w->shape[1];
  if (layer.b) {
    const std::vector<float> bias = widened(*layer.b);
    compute.pool.for_pieces(rows, rows_of_piece, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        float* at = y + row * out;
        for (std::size_t j = 0; j < bias.size(); ++j) at[j] = (add ? at[j] : 0.0f) + bias[j];
      }
    });
  }
  multiply(compute.pool, compute.scratch,
           {.a = MatrixView::of(x, in),
            .b = MatrixView::of(layer.w->bf16, out),
            .c = y,
            .c_row_stride = out,
            .rows = rows,
            .columns = out,
            .depth = in,
            .accumulate = add || layer.b});
}

void linear_backward(Compute compute, const Linear& layer, const float* x, const float* dy, float* dx,
                     std::int64_t rows) {
  const std::int64_t in = layer.w->shape[0];
  const std::int64_t out = layer.w->shape[1];
  multiply(compute.pool, compute.scratch,
           {.a = MatrixView::of(x, in).transposed(),
            .b = MatrixView::of(dy, out),
            .c = layer.w->gradient,
            .c_row_stride = out,
            .rows = in,
            .columns = out,
            .depth = rows});
  multiply(compute.pool, compute.scratch,
           {.a = MatrixView::of(dy, out),
            .b = MatrixView::of(layer.w->bf16, out).transposed(),
            .c = dx,
            .c_row_stride = in,
            .rows = rows,
            .columns = in,
            .depth = out});
  if (!layer.b) return;
  compute.pool.for_pieces(out, columns_of_piece, [&](std::int64_t begin, std::int64_t end) {
    float* db = layer.b->gradient;
    std::fill(db + begin, db + end, 0.0f);
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t j = begin; j < end; ++j) db[j] += dy[row * out + j];
    }
  });
}

void norm(Compute compute, const Norm& layer, const float* x, float* y, float* moments, std::int64_t rows) {
  const std::int64_t width = layer.gain->count;
  const std::vector<float> gain = widened(*layer.gain);
  const std::vector<float> bias = widened(*layer.bias);
  const float per_element = 1.0f / static_cast<float>(width);
  compute.pool.for_pieces(rows, rows_of_piece, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* from = x + row * width;
      const float mean = sum(width, [from](std::int64_t i) { return from[i]; }) * per_element;
      const float variance =
          sum(width, [from, mean](std::int64_t i) { return (from[i] - mean) * (from[i] - mean); }) * per_element;
      const float scale = 1.0f / std::sqrt(variance + 1e-5f);
      float* to = y + row * width;
      for (std::size_t i = 0; i < gain.size(); ++i) to[i] = (from[i] - mean) * scale * gain[i] + bias[i];
      moments[2 * row] = mean;
      moments[2 * row + 1] = scale;
    }
  });
}

void norm_backward(Compute compute, const Norm& layer, const float* x, const float* moments, const float* dy, float* dx,
                   std::int64_t rows) {
  const std::int64_t width = layer.gain->count;
  const std::vector<float> gain_values = widened(*layer.gain);
  const float* gain = gain_values.data();
  const float per_element = 1.0f / static_cast<float>(width);
  compute.pool.for_pieces(rows, rows_of_piece, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* from = x + row * width;
      const float* slope = dy + row * width;
      const float mean = moments[2 * row];
      const float scale = moments[2 * row + 1];
      auto unit = [=](std::int64_t i) { return (from[i] - mean) * scale; };
      const float mean_slope = sum(width, [=](std::int64_t i) { return slope[i] * gain[i]; }) * per_element;
      const float mean_along = sum(width, [=](std::int64_t i) { return slope[i] * gain[i] * unit(i); }) * per_element;
      float* to = dx + row * width;
      for (std::int64_t i = 0; i < width; ++i) {
        to[i] += scale * (slope[i] * gain[i] - mean_slope - unit(i) * mean_along);
      }
    }
  });
  compute.pool.for_pieces(width, columns_of_piece, [&](std::int64_t begin, std::int64_t end) {
    float* dgain = layer.gain->gradient;
    float* dbias = layer.bias->gradient;
    std::fill(dgain + begin, dgain + end, 0.0f);
    std::fill(dbias + begin, dbias + end, 0.0f);
    for (std::int64_t row = 0; row < rows; ++row) {
      const float mean = moments[2 * row];
      const float scale = moments[2 * row + 1];
      for (std::int64_t j = begin; j < end; ++j) {
        const float slope = dy[row * width + j];
        dgain[j] += slope * (x[row * width + j] - mean) * scale;
        dbias[j] += slope;
      }
    }
  });
}

void attention(Compute compute, const AttentionShape& shape, const float* qkv, float* weights, float* y) {
  const std::int64_t context = shape.context;
  const std::int64_t width = shape.width();
  const float scale = 1.0f / std::sqrt(static_cast<float>(shape.head_width));
  compute.pool.for_each(shape.batch * shape.heads, [&](std::int64_t i) {
    const std::int64_t first_row = i / shape.heads * context;
    const std::int64_t column = i % shape.heads * shape.head_width;
    const float* q = qkv + first_row * 3 * width + column;
    const MatrixView k = MatrixView::of(q + width, 3 * width);
    const MatrixView v = MatrixView::of(q + 2 * width, 3 * width);
    float* p = weights + i * context * context;
    multiply({.a = MatrixView::of(q, 3 * width),
              .b = k.transposed(),
              .c = p,
              .c_row_stride = context,
              .rows = context,
              .columns = context,
              .depth = shape.head_width});
    for (std::int64_t row = 0; row < context; ++row) {
      float* at = p + row * context;
      const std::int64_t seen = row + 1;
      for (std::int64_t j = 0; j < seen; ++j) at[j] *= scale;
      exp_shifted(at, seen, *std::max_element(at, at + seen));
      const float normalise = 1.0f / sum(seen, [at](std::int64_t j) { return at[j]; });
      for (std::int64_t j = 0; j < seen; ++j) at[j] *= normalise;
      std::fill(at + seen, at + context, 0.0f);
    }
    multiply({.a = MatrixView::of(p, context),
              .b = v,
              .c = y + first_row * width + column,
              .c_row_stride = width,
              .rows = context,
              .columns = shape.head_width,
              .depth = context});
  });
}

void attention_backward(Compute compute, const AttentionShape& shape, const float* qkv, const float* weights,
                        const float* dy, float* dqkv) {
  const std::int64_t context = shape.context;
  const std::int64_t width = shape.width();
  const float scale = 1.0f / std::sqrt(static_cast<float>(shape.head_width));
  compute.pool.for_each(shape.batch * shape.heads, [&](std::int64_t i) {
    const std::int64_t first_row = i / shape.heads * context;
    const std::int64_t column = i % shape.heads * shape.head_width;
    const float* q = qkv + first_row * 3 * width + column;
    float* dq = dqkv + first_row * 3 * width + column;
    const float* p = weights + i * context * context;
    const MatrixView out = MatrixView::of(dy + first_row * width + column, width);
    auto multiply_head = [&](const MatrixView& a, const MatrixView& b, float* c) {
      multiply({.a = a,
                .b = b,
                .c = c,
                .c_row_stride = 3 * width,
                .rows = context,
                .columns = shape.head_width,
                .depth = context});
    };
    multiply_head(MatrixView::of(p, context).transposed(), out, dq + 2 * width);  // dv
    thread_local std::vector<float> scores_buffer;
    scores_buffer.resize(static_cast<std::size_t>(context * context));
    float* scores = scores_buffer.data();
    multiply({.a = out,
              .b = MatrixView::of(q + 2 * width, 3 * width).transposed(),
              .c = scores,
              .c_row_stride = context,
              .rows = context,
              .columns = context,
              .depth = shape.head_width});
    for (std::int64_t row = 0; row < context; ++row) {
      const float* weight = p + row * context;
      float* slope = scores + row * context;
      const float mean = sum(context, [=](std::int64_t j) { return weight[j] * slope[j]; });
      for (std::int64_t j = 0; j < context; ++j) slope[j] = weight[j] * (slope[j] - mean) * scale;
    }
    const MatrixView dscores = MatrixView::of(scores, context);
    multiply_head(dscores, MatrixView::of(q + width, 3 * width), dq);
    multiply_head(dscores.transposed(), MatrixView::of(q, 3 * width), dq + width);
  });
}

void gelu_all(Compute compute, const float* x, float* y, std::int64_t count) {
  compute.pool.for_pieces(count, elements_of_piece,
                          [=](std::int64_t begin, std::int64_t end) { gelu(x + begin, y + begin, end - begin); });
}

void gelu_backward_all(Compute compute, const float* x, float* dy, std::int64_t count) {
  compute.pool.for_pieces(count, elements_of_piece, [=](std::int64_t begin, std::int64_t end) {
    gelu_backward(x + begin, dy + begin, dy + begin, end - begin);
  });
}

void embed(Compute compute, const Parameter& token, const Parameter& position, std::span<const std::int32_t> tokens,
           float* y) {
  const std::int64_t context = position.shape[0];
  const std::int64_t width = position.shape[1];
  compute.pool.for_pieces(std::ssize(tokens), rows_of_piece, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const Bf16* what = token.bf16 + tokens[static_cast<std::size_t>(row)] * width;
      const Bf16* where = position.bf16 + row % context * width;
      for (std::int64_t j = 0; j < width; ++j) y[row * width + j] = to_float(what[j]) + to_float(where[j]);
    }
  });
}

void embed_backward(Compute compute, const Parameter& token, const Parameter& position,
                    std::span<const std::int32_t> tokens, const float* dy) {
  const std::int64_t context = position.shape[0];
  const std::int64_t width = position.shape[1];
  // Several rows add to one token: so by columns, each of which takes the rows in order.
  compute.pool.for_pieces(width, columns_of_piece, [&](std::int64_t begin, std::int64_t end) {
    for (const Parameter* parameter : {&token, &position}) {
      for (std::int64_t row = 0; row < parameter->shape[0]; ++row) {
        std::fill(parameter->gradient + row * width + begin, parameter->gradient + row * width + end, 0.0f);
      }
    }
    for (std::int64_t row = 0; row < std::ssize(tokens); ++row) {
      float* what = token.gradient + tokens[static_cast<std::size_t>(row)] * width;
      float* where = position.gradient + row % context * width;
      for (std::int64_t j = begin; j < end; ++j) {
        what[j] += dy[row * width + j];
        where[j] += dy[row * width + j];
      }
    }
  });
}

double cross_entropy(Compute compute, std::span<const std::int32_t> targets, std::int64_t vocabulary, float* logits) {
  std::vector<double> losses(targets.size());
  const float per_row = 1.0f / static_cast<float>(targets.size());
  compute.pool.for_pieces(std::ssize(targets), rows_of_piece, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      float* at = logits + row * vocabulary;
      const std::int32_t target = targets[static_cast<std::size_t>(row)];
      const float max = *std::max_element(at, at + vocabulary);
      const double margin = static_cast<double>(max) - static_cast<double>(at[target]);
      exp_shifted(at, vocabulary, max);
      const float total = sum(vocabulary, [at](std::int64_t j) { return at[j]; });
      losses[static_cast<std::size_t>(row)] = margin + std::log(static_cast<double>(total));
      for (std::int64_t j = 0; j < vocabulary; ++j) at[j] *= per_row / total;
      at[target] -= per_row;
    }
  });
  double loss = 0;
  for (const double of_row : losses) loss += of_row;
  return loss / static_cast<double>(targets.size());
}

}  // namespace gpt
