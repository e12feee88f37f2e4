#include "milepost/engine/save/publish_file.h"

#include "milepost/engine/save/attempt.h"
#include "milepost/io/caught.h"
#include "milepost/io/try.h"

#include <optional>

namespace milepost {
namespace {

// False: there is one of that name.
Result<bool> give_name(Store& store, const std::string& path, const std::string& name, IfThere if_there) {
  if (if_there == IfThere::replace) {
    MILEPOST_TRY(store.replace_file(path, name));
    return true;
  }
  const auto renamed = store.rename_no_replace(path, name);
  if (renamed.has_error() && renamed.error().code() != ErrorCode::already_exists) return renamed.error();
  return renamed.has_value();
}

}  // namespace

Result<bool> publish_file(Store& store, const std::string& name, IfThere if_there,
                          const std::function<Result<void>(WriteFile&)>& write,
                          const std::function<Result<void>(const std::string& path)>& last_look) {
  MILEPOST_ASSIGN(Attempt attempt, Attempt::begin(store, std::nullopt));
  const auto publish = [&]() -> Result<bool> {
    const std::string path = attempt.path(name, "");
    MILEPOST_ASSIGN(const auto file, store.create_file(path, {}));
    MILEPOST_TRY(write(*file));
    MILEPOST_TRY(file->sync());
    MILEPOST_TRY(file->close());
    if (last_look) MILEPOST_TRY(last_look(path));
    MILEPOST_ASSIGN(const bool published, give_name(store, path, name, if_there));
    // Also for the one that was faster.
    if (auto synced = store.sync_directory(""); synced.has_error()) {
      return synced.error().within(name + " was written whole, but whether it survives a power cut is unknown");
    }
    return published;
  };
  auto published = caught(publish);
  if (published.has_error()) return attempt.abandon(published.error());
  // Of an attempt that cannot be removed now, nothing is needed any more: it is swept later.
  static_cast<void>(caught([&] { return attempt.discard(); }));
  return published;
}

}  // namespace milepost
