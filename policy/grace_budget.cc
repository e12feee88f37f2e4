#include "milepost/policy/grace_budget.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>

namespace milepost {
namespace {

constexpr std::size_t samples_max = 8;

[[gnu::format(printf, 1, 2)]] std::string text(const char* format, ...) {
  char buffer[96];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  return buffer;
}

std::string seconds_text(double seconds) { return text(seconds < 10 ? "%.2f s" : "%.0f s", seconds); }

std::string bytes_text(std::uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  return value < 1e9 ? text("%.1f MB", value / 1e6) : text("%.1f GB", value / 1e9);
}

std::optional<double> usable(std::optional<double> rate) {
  return rate && std::isfinite(*rate) && *rate > 0 ? rate : std::nullopt;
}

bool is_duration(std::optional<double> seconds) { return seconds && std::isfinite(*seconds) && *seconds >= 0; }

struct Prediction {
  double seconds = 0;
  bool measured = false;

  std::string to_string() const { return seconds_text(seconds) + (measured ? "" : ", assumed"); }
};

Prediction predict(const GraceBudget& budget, std::uint64_t bytes, bool compressed) {
  const SaveThroughput& measured = budget.measured;
  auto rate = usable(compressed ? measured.compressed_bytes_per_s : measured.uncompressed_bytes_per_s);
  if (!rate && !compressed) rate = usable(measured.disk_bytes_per_s);
  const double commit_s = is_duration(measured.commit_s) ? *measured.commit_s : budget.floor_commit_s;
  return {static_cast<double>(bytes) / rate.value_or(budget.floor_bytes_per_s) + commit_s, rate.has_value()};
}

}  // namespace

void SaveThroughputMeter::add(std::deque<Sample>& samples, Sample sample) {
  samples.push_back(sample);
  if (samples.size() > samples_max) samples.pop_front();
}

void SaveThroughputMeter::add(const Save& save) {
  add(save.compressed ? compressed_ : uncompressed_, {static_cast<double>(save.bytes), save.durable_s});
  if (save.disk_s > 0 && save.stored_bytes > 0) {
    const double raw_over_stored = static_cast<double>(save.bytes) / static_cast<double>(save.stored_bytes);
    add(disk_, {static_cast<double>(save.bytes), save.captured_s + save.disk_s * std::max(1.0, raw_over_stored)});
  }
  commit_s_.push_back(std::max(0.0, save.committed_s - save.durable_s));
  if (commit_s_.size() > samples_max) commit_s_.pop_front();
}

// Bytes over seconds of all: a small save, which is all latency, says little about large ones.
std::optional<double> SaveThroughputMeter::rate(const std::deque<Sample>& samples) {
  Sample sum;
  for (const Sample& sample : samples) {
    sum.bytes += sample.bytes;
    sum.seconds += sample.seconds;
  }
  return usable(sum.seconds > 0 ? std::optional(sum.bytes / sum.seconds) : std::nullopt);
}

SaveThroughput SaveThroughputMeter::throughput() const {
  SaveThroughput result{rate(compressed_), rate(uncompressed_), rate(disk_), std::nullopt};
  if (!commit_s_.empty()) result.commit_s = *std::max_element(commit_s_.begin(), commit_s_.end());
  return result;
}

GraceDecision decide_grace(const GraceBudget& budget) {
  GraceDecision decision;
  decision.left_s = std::max(0.0, budget.left_s);
  const auto decide = [&](double predicted_s, std::string reason) {
    decision.predicted_s = predicted_s;
    decision.fits = predicted_s <= decision.left_s;
    decision.reason = std::move(reason);
    return decision;
  };
  const std::string left = " into the " + seconds_text(decision.left_s) + " left";

  Prediction flight;
  if (budget.in_flight) {
    const std::uint64_t done = std::min(budget.in_flight->bytes_done, budget.in_flight->bytes_total);
    flight = predict(budget, budget.in_flight->bytes_total - done, budget.in_flight->compressed);
  }
  const bool flight_fits = flight.seconds <= decision.left_s;
  const std::string the_flight = "the save in flight (" + flight.to_string() + ")";
  if (!budget.next_bytes) {
    if (!budget.in_flight) return decide(0, "there is nothing to save");
    return decide(flight.seconds,
                  the_flight + (flight_fits ? " fits" : " does not fit") + left + "; no other is wanted");
  }

  const Prediction wanted = predict(budget, *budget.next_bytes, budget.next_compressed);
  const Prediction raw = predict(budget, *budget.next_bytes, false);
  const double with_wanted_s = flight.seconds + wanted.seconds;
  const double with_raw_s = flight.seconds + raw.seconds;
  const std::string size = bytes_text(*budget.next_bytes);
  const std::string saves = budget.in_flight ? the_flight + " and one more of " + size : "a save of " + size;
  const std::string fit = budget.in_flight ? " fit" : " fits";
  const std::string do_not_fit = budget.in_flight ? " do not fit" : " does not fit";

  if (with_wanted_s <= decision.left_s) {
    decision.start = true;
    return decide(with_wanted_s, saves + " (" + wanted.to_string() + ")" + fit + left);
  }
  const std::string costs = budget.next_compressed
                                ? " (" + wanted.to_string() + "; without compression " + raw.to_string() + ")"
                                : " (" + wanted.to_string() + ")";
  if (with_raw_s <= decision.left_s) {
    decision.start = decision.drop_compression = true;
    return decide(with_raw_s, saves + costs + fit + left + " without compression");
  }
  // What is only assumed to be too slow is tried all the same, and so is the only chance that there is.
  const bool certain = flight.measured && (!flight_fits || (wanted.measured && raw.measured));
  if (budget.in_flight && certain) {
    return decide(flight.seconds, saves + costs + do_not_fit + left +
                                      (flight_fits ? "" : ", nor does the first alone") +
                                      ": the save in flight is the last");
  }
  decision.start = true;
  decision.drop_compression = budget.next_compressed && raw.seconds < wanted.seconds;
  return decide(std::min(with_raw_s, with_wanted_s), saves + costs + do_not_fit + left + ": tried" +
                                                         (decision.drop_compression ? " without compression" : "") +
                                                         " all the same");
}

}  // namespace milepost
