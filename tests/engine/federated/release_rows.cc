// Releases values for csv_python_test.py, which knows which: release_rows DIRECTORY
#include "milepost/engine/federated/csv_release_manager.h"
#include "milepost/engine/state/tensor.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace milepost {
namespace {

// Numbers whose bits are random: of every magnitude, and now and then none at all.
template <class Number, class Bits> std::vector<Number> any_numbers() {
  std::vector<Number> numbers(3000);
  std::uint64_t bits = 1;
  for (Number& number : numbers) {
    bits = bits * 6364136223846793005u + 1442695040888963407u;
    const Bits some = static_cast<Bits>(bits >> (64 - 8 * sizeof(Bits)));
    std::memcpy(&number, &some, sizeof(number));
  }
  return numbers;
}

Result<void> release_all(const std::string& path, CsvSaveMode mode) {
  auto manager = CsvFileReleaseManager::open(path, {.save_mode = mode});
  if (manager.has_error()) return manager.error();
  std::vector<double> doubles = any_numbers<double, std::uint64_t>();
  std::vector<float> floats = any_numbers<float, std::uint32_t>();
  const auto count = static_cast<std::int64_t>(doubles.size());
  ProgramValue numbers;
  numbers["doubles"] = Tensor::of(doubles.data(), {count});
  numbers["floats"] = Tensor::of(floats.data(), {count});
  numbers["nested"] = ProgramValue::List{true, 1e-7, Tensor::of(doubles.data(), {0}), nullptr};
  ProgramValue texts;
  texts["te,xt"] = "a,b \"c\"\r\nd\re\nü 東京 '";
  texts["doubles"] = "";
  texts["bytes"] = Tree::Bytes{std::byte{0}, std::byte{'\''}, std::byte{0xFF}};
  texts["int"] = std::numeric_limits<std::int64_t>::min();
  texts["uint"] = std::numeric_limits<std::uint64_t>::max();
  const std::vector<std::pair<std::int64_t, ProgramValue>> releases = {
      {-3, numbers}, {5, numbers}, {7, texts}, {5, texts}, {6, 0.5}};
  for (const auto& [key, value] : releases) {
    if (auto released = manager->release(value, key); released.has_error()) return released;
  }
  return {};
}

}  // namespace
}  // namespace milepost

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  for (const char* const name : {"a.csv", "w.csv", "w.csv.gz", "w.csv.bz2", "w.csv.xz", "w.csv.zst"}) {
    const auto mode = name[0] == 'a' ? milepost::CsvSaveMode::append : milepost::CsvSaveMode::write;
    const auto released = milepost::release_all(std::string(argv[1]) + "/" + name, mode);
    if (released.has_value()) continue;
    std::fprintf(stderr, "%s\n", released.error().to_string().c_str());
    return 1;
  }
  return 0;
}
