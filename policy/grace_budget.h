// What can still be saved when the process has been told to stop. Pure: no I/O, no clock, no threads.
//
// A save in flight is always finished: it is nearest to its commit, and the disk has its bytes already. What
// is decided is whether one more is started after it, and whether without compression. Nothing of a
// commit is ever left out to be faster: its seconds are part of every prediction.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

namespace milepost {

// What past saves have been seen to do. Throughputs are in bytes of state a second until the save is durable;
// none: not measured.
struct SaveThroughput {
  std::optional<double> compressed_bytes_per_s = std::nullopt;  // with the codec that the manager uses
  std::optional<double> uncompressed_bytes_per_s = std::nullopt;
  // At least what a save without compression would reach: it has to freeze the state, and to write all of it. From
  // the seconds that other saves took for that alone. (The bytes that compressed saves store over all of their time
  // are a bound as well, but one below what those reach: by it nobody would ever drop compression.)
  std::optional<double> disk_bytes_per_s = std::nullopt;
  std::optional<double> commit_s = std::nullopt;  // from durable to committed
};

// Gathers the throughput of the latest saves. They ran beside training; in a grace period nothing
// does, so what they did is a cautious prediction.
class SaveThroughputMeter {
 public:
  // A finished save. The seconds count from its start, without waiting for an earlier save.
  struct Save {
    bool compressed = true;
    std::uint64_t bytes = 0;  // of state
    double durable_s = 0;
    double committed_s = 0;
    double captured_s = 0;
    std::uint64_t stored_bytes = 0;
    double disk_s = 0;  // during which those were being written or flushed; 0: not known
  };
  void add(const Save& save);
  SaveThroughput throughput() const;

 private:
  struct Sample {
    double bytes = 0;
    double seconds = 0;
  };
  static void add(std::deque<Sample>& samples, Sample sample);
  static std::optional<double> rate(const std::deque<Sample>& samples);

  std::deque<Sample> compressed_;
  std::deque<Sample> uncompressed_;
  std::deque<Sample> disk_;
  std::deque<double> commit_s_;
};

struct GraceBudget {
  double left_s = 0;  // until the deadline; negative: it is over

  struct InFlight {
    std::uint64_t bytes_done = 0;  // of state, written; 0 as long as it is being captured
    std::uint64_t bytes_total = 0;
    bool compressed = true;
  };
  std::optional<InFlight> in_flight = std::nullopt;

  std::optional<std::uint64_t> next_bytes = std::nullopt;  // of state, of one more save; none: none is wanted
  bool next_compressed = true;                             // as it would be without a deadline

  SaveThroughput measured = {};
  // What is assumed of what has not been measured.
  double floor_bytes_per_s = 50e6;
  double floor_commit_s = 1;
};

// For the report of the save: what was done in the grace period, and why.
struct GraceDecision {
  bool start = false;             // one more save
  bool drop_compression = false;  // in it, although it was wanted
  bool fits = false;              // all of it is predicted to be committed by the deadline
  double left_s = 0;
  double predicted_s = 0;  // until all of it is committed
  std::string reason;      // "the save in flight (0.4 s) and one more of 2.1 GB (1.0 s) fit into 28.0 s"
};

GraceDecision decide_grace(const GraceBudget& budget);

}  // namespace milepost
