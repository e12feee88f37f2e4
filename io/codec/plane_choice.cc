#include "milepost/io/codec/plane_choice.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace milepost {
namespace {

constexpr std::size_t sample_run = 64;
constexpr std::size_t sample_runs = 16;
constexpr std::size_t sample_max = sample_run * sample_runs;

using Histogram = std::array<std::uint16_t, 256>;

struct Plan {
  PlaneChoice choice;
  double bits = 8;  // an element, estimated
};

// count * log2(count)
const std::array<double, sample_max + 1>& count_log_count() {
  static const auto table = [] {
    std::array<double, sample_max + 1> values{};
    for (std::size_t i = 2; i < values.size(); ++i) values[i] = static_cast<double>(i) * std::log2(i);
    return values;
  }();
  return table;
}

// Entropy in bits, with the correction (unique - 1) / (2 n ln 2) for small samples.
double entropy(const Histogram& histogram, std::size_t samples, std::size_t unique) {
  const auto& table = count_log_count();
  double sum = 0;
  for (const std::uint16_t count : histogram) sum += table[count];
  const auto n = static_cast<double>(samples);
  return std::max(0.0, std::log2(n) - sum / n + static_cast<double>(unique - 1) / (2 * n * 0.693147));
}

// The window of 15 neighbouring values (255 is followed by 0) that holds most of the sample.
std::uint8_t best_window(const Histogram& histogram, std::size_t& outside, std::size_t samples) {
  std::size_t inside = 0;
  for (std::size_t i = 0; i < nibble_escape; ++i) inside += histogram[i];
  std::size_t best = inside;
  std::size_t base = 0;
  for (std::size_t i = 1; i < 256; ++i) {
    inside += histogram[(i + nibble_escape - 1) % 256];
    inside -= histogram[i - 1];
    if (inside > best) {
      best = inside;
      base = i;
    }
  }
  outside = samples - best;
  // Centre the values in the window, so that what the sample has not seen is likely inside too.
  std::size_t first = 0;
  while (first < nibble_escape && histogram[(base + first) % 256] == 0) ++first;
  std::size_t last = nibble_escape;
  while (last > first && histogram[(base + last - 1) % 256] == 0) --last;
  const std::size_t slack = nibble_escape - (last - first);
  return static_cast<std::uint8_t>(base + first + 256 - slack / 2);
}

// Whether an eighth of the runs that were sampled hold one value each, as rows of zeros do.
bool has_runs(const std::byte* plane, std::size_t samples) {
  std::size_t constant = 0;
  for (std::size_t at = 0; at + sample_run <= samples; at += sample_run) {
    constant += std::memcmp(plane + at, plane + at + 1, sample_run - 1) == 0;
  }
  return constant * 8 * sample_run >= samples;
}

Plan choose_plane(const std::byte* plane, std::size_t samples, bool top) {
  Histogram histogram{};
  for (std::size_t i = 0; i < samples; ++i) ++histogram[static_cast<std::uint8_t>(plane[i])];
  const std::size_t unique = 256 - static_cast<std::size_t>(std::count(histogram.begin(), histogram.end(), 0));
  if (unique == 1) return {{PlaneMode::constant, 0, true}, 0};
  const double bits = entropy(histogram, samples, unique);
  const bool repetitive = bits < 0.5 || has_runs(plane, samples);
  // A plane is coded only when that saves more than the uncertainty of the sample, and is worth the
  // time: the top plane pays best.
  const double worth_coding = 8 * (top ? 0.985 : 0.97);
  std::size_t outside = 0;
  const std::uint8_t base = best_window(histogram, outside, samples);
  const double escape_rate = static_cast<double>(outside) / static_cast<double>(samples);
  if (escape_rate <= 0.02) {
    const double cost = std::max(repetitive ? 0.0 : 0.5, 1.005 * bits) + 8 * escape_rate;
    if (cost < worth_coding) return {{PlaneMode::nibbles, base, repetitive}, cost};
  }
  const double cost = std::max(repetitive ? 0.0 : 1.0, 1.005 * bits);
  if (cost < worth_coding) return {{PlaneMode::bytes, 0, repetitive}, cost};
  return {};
}

}  // namespace

PieceChoice choose_planes(std::size_t element_bytes, const std::byte* words, std::size_t count) {
  std::array<std::byte, sample_max * element_bytes_max> sample;
  std::size_t samples = 0;
  if (count <= sample_max) {
    samples = count;
    std::memcpy(sample.data(), words, count * element_bytes);
  } else {
    for (std::size_t run = 0; run < sample_runs; ++run) {
      const std::size_t at = (count - sample_run) * run / (sample_runs - 1);
      std::memcpy(sample.data() + samples * element_bytes, words + at * element_bytes, sample_run * element_bytes);
      samples += sample_run;
    }
  }

  PieceChoice piece;
  if (samples == 0) return piece;
  // Where all signs are equal, a rotation would waste a bit on them in a plane that stays raw.
  // Where the lowest bytes are equal, it would spoil a constant plane.
  const auto sign = [&](std::size_t i) { return sample[(i + 1) * element_bytes - 1] & std::byte{0x80}; };
  const auto lowest = [&](std::size_t i) { return sample[i * element_bytes]; };
  bool signs_differ = false;
  bool lowest_differ = false;
  for (std::size_t i = 1; i < samples; ++i) {
    signs_differ = signs_differ || sign(i) != sign(0);
    lowest_differ = lowest_differ || lowest(i) != lowest(0);
  }
  piece.rotate = signs_differ && lowest_differ;

  std::array<std::array<std::byte, sample_max>, element_bytes_max> split;
  PlanePointers planes;
  for (std::size_t k = 0; k < element_bytes_max; ++k) planes[k] = split[k].data();
  split_planes(element_bytes, piece.rotate, sample.data(), samples, planes);
  for (std::size_t k = 0; k < element_bytes; ++k) {
    const Plan plan = choose_plane(split[k].data(), samples, k + 1 == element_bytes);
    piece.planes[k] = plan.choice;
    piece.incompressible = piece.incompressible && plan.choice.mode == PlaneMode::raw;
  }
  std::size_t zeros = 0;
  const std::array<std::byte, element_bytes_max> zero{};
  for (std::size_t i = 0; i < samples; ++i) {
    zeros += std::memcmp(sample.data() + i * element_bytes, zero.data(), element_bytes) == 0;
  }
  piece.sparse = 4 * zeros >= 3 * samples && !piece.planes[element_bytes - 1].repetitive;
  return piece;
}

}  // namespace milepost
