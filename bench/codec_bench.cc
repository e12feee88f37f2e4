// What do the codecs cost, and what do they save?
//
//   cmake --build build/dev --target codec_bench && build/dev/bench/codec_bench
//
// One core; 64 MiB of each kind of state, in chunks of 4 MiB. Of every pass the best is kept. Columns:
//   GB/s       raw bytes
//   of_memcpy  that, as a share of a memcpy of the same chunks, timed in turn with it
//   ratio      raw / stored
//   over_h0    stored / the order-0 limit - 1: the limit is the sum over the byte planes of every
//              piece, rotated or not as codes smaller, of the entropy of their bytes
// stream_copy: `of_memcpy` is its time as a share of memcpy's, for which the goal is 0.65 or less.
#include "milepost/io/codec/codec.h"
#include "milepost/io/stream_copy.h"
#include "bench/entropy.h"
#include "bench/sample_data.h"

#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <string>

namespace milepost {
namespace {

constexpr std::size_t total_bytes = std::size_t{64} << 20;
constexpr std::size_t chunk_bytes = std::size_t{4} << 20;
constexpr double never = std::numeric_limits<double>::infinity();

// Of this thread's processor time, so that what else the machine does weighs less.
template <class Function> double seconds(Function function) {
  const auto now = [] {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double start = now();
  function();
  return now() - start;
}

const std::vector<std::byte>& data_of(const std::string& kind) {
  static std::map<std::string, std::vector<std::byte>> made;
  auto& data = made[kind];
  if (data.empty()) data = sample::make(kind, total_bytes);
  return data;
}

ElementKind element_kind_of(const std::string& kind) {
  if (kind == "bf16") return ElementKind::bf16;
  if (kind == "fp16") return ElementKind::f16;
  if (kind == "f64") return ElementKind::f64;
  if (kind == "text") return ElementKind::other;
  return ElementKind::f32;
}

void copy_chunks(std::span<const std::byte> from, std::span<std::byte> to) {
  for (std::size_t at = 0; at < from.size(); at += chunk_bytes) {
    std::memcpy(to.data() + at, from.data() + at, std::min(chunk_bytes, from.size() - at));
  }
}

void codec_bench(benchmark::State& state, const std::string& kind, const Codec& codec, bool decoding) {
  const auto& data = data_of(kind);
  const ElementKind element_kind = element_kind_of(kind);
  std::vector<std::byte> stored(data.size());
  std::vector<std::byte> copy(data.size());
  std::vector<std::byte> target(data.size());
  std::vector<EncodedChunk> chunks((data.size() + chunk_bytes - 1) / chunk_bytes);
  ChunkEncoder encoder;
  ChunkDecoder decoder;
  const auto raw_chunk = [&](std::size_t i) {
    return std::span(data).subspan(i * chunk_bytes, std::min(chunk_bytes, data.size() - i * chunk_bytes));
  };
  const auto encode = [&] {
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      const auto raw = raw_chunk(i);
      const auto out = std::span(stored).subspan(i * chunk_bytes, raw.size());
      chunks[i] = encoder.encode(codec, element_kind, raw, out).value();
    }
  };
  const auto decode = [&] {
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      const EncodedChunk& chunk = chunks[i];
      const auto raw = raw_chunk(i);
      const auto* from = chunk.encoding == ChunkEncoding::raw ? raw.data() : stored.data() + i * chunk_bytes;
      decoder
          .decode(chunk.encoding, element_kind, {from, chunk.stored_bytes}, chunk.stored_digest,
                  std::span(copy).subspan(i * chunk_bytes, raw.size()), chunk.raw_digest)
          .value();
    }
  };
  encode();
  if (!decoding) decode();
  double best = never;
  double best_memcpy = never;
  for (auto _ : state) {
    best_memcpy = std::min(best_memcpy, seconds([&] { copy_chunks(data, target); }));
    const double pass = decoding ? seconds(decode) : seconds(encode);
    state.SetIterationTime(pass);
    best = std::min(best, pass);
  }
  if (copy != data) state.SkipWithError("the round trip failed");
  std::size_t stored_bytes = 0;
  for (const EncodedChunk& chunk : chunks) stored_bytes += chunk.stored_bytes;
  const auto raw_bytes = static_cast<double>(data.size());
  state.counters["GB/s"] = raw_bytes / best * 1e-9;
  state.counters["of_memcpy"] = best_memcpy / best;
  state.counters["ratio"] = raw_bytes / static_cast<double>(stored_bytes);
  if (!decoding) {
    static std::map<std::string, double> limits;
    double& limit = limits[kind];
    if (limit == 0) limit = bench::order0_bytes(data, element_kind);
    state.counters["over_h0"] = static_cast<double>(stored_bytes) / std::max(limit, 1.0) - 1;
  }
}

void stream_copy_bench(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  const auto offset = static_cast<std::size_t>(state.range(1));
  constexpr std::size_t area = std::size_t{256} << 20;
  std::vector<std::byte> from(area, std::byte{1});
  std::vector<std::byte> to(area + 64);
  double best = never;
  double best_memcpy = never;
  for (auto _ : state) {
    best_memcpy = std::min(best_memcpy, seconds([&] {
                             for (std::size_t at = 0; at < area; at += bytes)
                               std::memcpy(to.data() + at + offset, from.data() + at, bytes);
                           }));
    const double pass = seconds([&] {
      for (std::size_t at = 0; at < area; at += bytes) stream_copy(to.data() + at + offset, from.data() + at, bytes);
    });
    state.SetIterationTime(pass);
    best = std::min(best, pass);
  }
  state.counters["GB/s"] = static_cast<double>(area) / best * 1e-9;
  state.counters["of_memcpy"] = best / best_memcpy;
  state.counters["of_memcpy.at_most"] = 0.65;
}
BENCHMARK(stream_copy_bench)
    ->ArgNames({"bytes", "offset"})
    ->Args({1 << 20, 0})
    ->Args({4 << 20, 0})
    ->Args({4 << 20, 5})
    ->Args({64 << 20, 0})
    ->UseManualTime()
    ->Iterations(9);

void register_all() {
  for (const char* text : {"fast", "zstd:1", "none"}) {
    const Codec codec = Codec::parse(text).value();
    for (const std::string kind :
         {"p", "m", "v", "bf16", "fp16", "f64", "bf16_in_f32", "sparse", "zero_rows", "zeros", "random", "text"}) {
      for (const bool decoding : {false, true}) {
        if (codec.kind == Codec::Kind::none && kind != "p") continue;
        const std::string name = std::string(text) + "/" + kind + (decoding ? "/decode" : "/encode");
        const auto run = [=](benchmark::State& state) { codec_bench(state, kind, codec, decoding); };
        benchmark::RegisterBenchmark(name.c_str(), run)->UseManualTime()->Iterations(9)->Unit(benchmark::kMillisecond);
      }
    }
  }
}

}  // namespace
}  // namespace milepost

int main(int argc, char** argv) {
  milepost::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
