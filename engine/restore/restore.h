// Reading a committed step back: everything, some leaves, a slice, into given buffers or fresh ones.
// Every digest on the way is verified: step record, manifests, chunk tables, stored and raw chunks.
#pragma once

#include "milepost/engine/format/chunk_table.h"
#include "milepost/engine/format/step_record.h"
#include "milepost/engine/item_handler.h"
#include "milepost/engine/progress.h"
#include "milepost/engine/spares.h"
#include "milepost/io/buffer_pool.h"
#include "milepost/io/codec/codec.h"
#include "milepost/io/store.h"
#include "milepost/io/worker_pool.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace milepost {

// The part [start, start + extent) of one tensor.
struct LeafSlice {
  std::string path;
  Shape start;
  Shape extent;
};

struct RestoreItem {
  std::string name;

  // Where to: leaves of this tree say what is wanted. Tensors with memory are filled in place (any
  // strides); abstract ones, and all leaves without a target, get fresh memory; scalars, strings and
  // bytes are replaced. Paths, kinds, dtypes and shapes must match the checkpoint, but for what `placeholders`, `cast`
  // and `fit` allow: otherwise structure_mismatch lists every difference. Without a target, the tree as saved.
  std::optional<Tree> target = std::nullopt;

  // Only leaves whose path matches one of these patterns (path_matches); empty: all. Containers on
  // the way are kept. Of a target, the other leaves stay as they are.
  std::vector<std::string> select = {};

  // Of these leaves only a part is read; the tensor in the result (and in the target) has the part's shape.
  std::vector<LeafSlice> slices = {};

  // A null in the target stands for what is not wanted, a leaf or all below a map or list: it stays null, and nothing
  // is read for it.
  bool placeholders = false;

  // A tensor of another dtype in the target is no difference: elements are cast as they come, chunk by chunk. Between
  // floats (f64, f32, bf16, f16, f8_e5m2, f8_e4m3 and their fnuz kinds) they are rounded to the nearest, ties to even;
  // too large ones become infinity, or NaN in a type without one; NaN stays NaN. Between integers and bool every value
  // must fit, otherwise invalid_argument names leaf and element. All other pairs, floats and integers too, stay
  // differences.
  bool cast = false;

  // Another shape of the same rank is no difference: the corner that both have is read (of a slice, its corner), and
  // the bytes of all other elements of the target are set to zero. Not of elements under a byte.
  bool fit = false;
};

struct RestoreOptions {
  // Which items; empty: all, as saved.
  std::vector<RestoreItem> items = {};
  // Another directory than the manager's, with steps of the same names; empty: the manager's own. Nothing in it is
  // changed, and a save into it is not waited for. Only for CheckpointManager::restore: a StepReader has its directory.
  std::string directory = {};
  // Reads and checks everything once, casts included, before the first byte of a target is changed, and then again.
  // Without it a target's content has no meaning after an error.
  bool verify_first = false;
  // Of the latest step: if it is damaged, of a newer format, or cannot be read, the newest one before it that is not.
  // Nothing is removed, and Restored::skipped says what was passed over, and why. What does not fit a target or was
  // asked for in a wrong way is an error all the same. invalid_argument with a step, and from a StepReader.
  bool fallback = false;
  ProgressFn on_progress = {};
};

// A step that was passed over, and why.
struct SkippedStep {
  std::int64_t step = 0;
  Error reason;
};

struct Restored {
  std::int64_t step = 0;
  Items items;
  std::vector<SkippedStep> skipped = {};  // with `fallback`; the newest first
  // The tree of the only item, or of the item of that name. Throws std::out_of_range if there is none.
  Tree& tree();
  Tree& tree(std::string_view name);
  // The value of the item of that name, as its handler makes it (value_of). not_found.
  template <HandledItem T> Result<T> get(std::string_view name) const {
    for (const Item& item : items) {
      if (item.name == name) return value_of<T>(item);
    }
    return no_such_item(name);
  }

 private:
  Error no_such_item(std::string_view name) const;
};

// A decoder, and the memory that raw bytes go through when they are wanted in pieces.
struct DecodingSpace {
  ChunkDecoder decoder;
  std::vector<std::byte> scratch;
};

// What reading needs from its owner. All outlive every call.
struct RestoreContext {
  Store* store = nullptr;
  WorkerPool* workers = nullptr;
  BufferPool* staging = nullptr;  // blocks of at least chunk_bytes_max
  Spares<DecodingSpace>* decoders = nullptr;
  // Called before workers write to the caller's memory; returns when no save needs them to let them.
  std::function<void()> before_writing = {};
  // Called before an index takes about so many bytes of memory.
  std::function<void(std::uint64_t bytes)> make_room = {};
};

// One damaged place.
struct Damage {
  std::string file;                 // relative to the root
  std::uint64_t offset = 0;         // bytes from its beginning
  std::uint64_t bytes = 0;          // 0: the whole file
  std::vector<std::string> leaves;  // paths that it affects, "item: path"
  Error error;
};

// A committed step, opened for reading: its record is read and checked, manifests and tables as they
// are first needed. As long as it lives nobody removes or overwrites the step, in any process; on a file
// system without locks, and without the permission to list its directory, reading goes on without that.
// Safe to use from several threads.
class StepReader {
 public:
  // `directory` is relative to the store's root. not_found if there is none; corruption,
  // failed_precondition (a newer format), io; unavailable if somebody has been removing it for ten
  // seconds. All errors name the file.
  static Result<StepReader> open(const RestoreContext& context, std::string directory);
  StepReader(StepReader&&) noexcept;
  StepReader& operator=(StepReader&&) noexcept;
  ~StepReader();

  const std::string& directory() const;
  const StepRecord& record() const;

  // not_found, naming the item and those that there are.
  Result<const Manifest*> manifest(std::string_view item);
  // The chunks of one stream of an item, in raw order.
  Result<const std::vector<Chunk>*> chunks(std::string_view item, std::size_t stream);

  Result<Restored> restore(RestoreOptions options);
  // In place, from the only item or the named one, as with RestoreItem::target, but without a copy of the tree. After
  // an error the tree has not changed, and the content of its memory has no meaning.
  Result<void> restore(Tree& target, std::string_view item = {});

  // Reads and checks every byte of the step, all items; damage does not stop it. An error only when
  // it could not go on. Also reports files in the step that no record names.
  Result<std::vector<Damage>> verify(const ProgressFn& on_progress = {});

 private:
  struct State;
  explicit StepReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace milepost
