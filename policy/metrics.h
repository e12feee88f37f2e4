// What a step is measured by: "loss", "accuracy".
#pragma once

#include <functional>
#include <map>
#include <string>

namespace milepost {

// Any double, NaN and infinities included, survives a save.
using Metrics = std::map<std::string, double, std::less<>>;

}  // namespace milepost
