#include "tests/fuzz/target.h"

#include <stdexcept>
#include <utility>

namespace milepost::fuzz {
namespace {

std::map<std::string, Run>& registered() {
  static std::map<std::string, Run> targets;
  return targets;
}

}  // namespace

Target::Target(std::string name, Run run) { registered().emplace(std::move(name), run); }
const std::map<std::string, Run>& targets() { return registered(); }

void expect(bool holds, std::string_view what) {
  if (!holds) throw std::logic_error(std::string(what));
}

}  // namespace milepost::fuzz
