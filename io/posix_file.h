// Files of a posix store.
#pragma once

#include "milepost/io/async_io.h"
#include "milepost/io/posix_root.h"
#include "milepost/io/store.h"

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

namespace milepost {

// As Store's functions; `directory_mode`: PosixStoreOptions::path_permission_mode. `root` is used
// during the call only; `io` must outlive the file.
Result<std::unique_ptr<WriteFile>> create_posix_file(const PosixRoot& root, AsyncIo& io, const std::string& path,
                                                     const CreateFileOptions& options,
                                                     std::optional<mode_t> directory_mode);
Result<std::unique_ptr<ReadFile>> open_posix_file(const PosixRoot& root, AsyncIo& io, const std::string& path);
Result<std::unique_ptr<WriteFile>> open_posix_file_to_write(const PosixRoot& root, AsyncIo& io,
                                                            const std::string& path);

}  // namespace milepost
