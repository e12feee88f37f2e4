// The safetensors header of an uncompressed data file, as a function of the manifest: the writer
// writes it, and verification compares it byte by byte.
#pragma once

#include "milepost/engine/format/manifest.h"

#include <cstdint>
#include <string>

namespace milepost {

// `leaves` are those of the tree; only shards of `stream` are in its file. A shard's entry has the
// leaf's path as its name and the shard's extent as its shape. A leaf called "__metadata__", a name
// that the header reserves, is entered as "~__metadata__" ('~_' begins no escape in a path, so that
// no other leaf has this name). Padded so that data begin at a multiple of io_alignment.
Result<std::string> encode_data_header(std::uint32_t stream, const Tree& tree, const StoredLeaves& leaves);

}  // namespace milepost
