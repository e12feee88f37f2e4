// Publishes one file at the root of a store, whole and durable, or not at all.
#pragma once

#include "milepost/io/store.h"

#include <cstdint>
#include <functional>
#include <string>

namespace milepost {

enum class IfThere : std::uint8_t { keep, replace };

// Lets `write` write a new file in an attempt of its own (attempt.h), which is swept should this process die, fsyncs
// it, and gives it its name at once. `last_look` is called right before that, with the path of the new file, which is
// as it will be; its error ends it. False: something of that name is there, and was kept. After an error what was there
// is as it was, but for an error of the last fsync, which says so.
Result<bool> publish_file(Store& store, const std::string& name, IfThere if_there,
                          const std::function<Result<void>(WriteFile&)>& write,
                          const std::function<Result<void>(const std::string& path)>& last_look = {});

}  // namespace milepost
