// How the benchmarks of this folder are registered: every file defines register_all(), main.cc calls it.
//
// The figures are counters; what a counter is held to is another counter of the same name with
// ".at_most" or ".at_least" behind it (tools/bench judges them).
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>

namespace milepost::bench {

void register_all();

// `turns` iterations, timed by `run` itself.
inline void add(const std::string& name, int turns, const std::function<void(benchmark::State&)>& run) {
  benchmark::RegisterBenchmark(name.c_str(), run)->UseManualTime()->Iterations(turns)->Unit(benchmark::kMillisecond);
}

}  // namespace milepost::bench
