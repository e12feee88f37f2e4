"""The mutants: by file, what is taken out of it, one at a time. mutation_test.py says how they are read.

A statement is deleted; `if (...)` never happens; another expression is false. A pair says what is there in its place.
"""

MUTANTS = {
    # --- The commit.
    "engine/save/attempt.cc": [
        ("LockKind::exclusive", "LockKind::shared"),
        ('return Error(ErrorCode::already_exists, name + " is not a step: it was not touched");', "return lock;"),
        ('return store_->sync_directory(path(item, ""));', "return {};"),
        ("return store_->sync_directory(directory_);", "return {};"),
        ("!overwrite || renamed.error().code() != ErrorCode::already_exists",
         "renamed.error().code() != ErrorCode::already_exists"),
        ("outcome_unknown_ = true;\n  return sync_root();", "return sync_root();"),
        ('store_->sync_directory("")', "Result<void>()"),
        "replaced_ = std::move(lock).value();",
        "exchanged_ = true;",
        "MILEPOST_TRY(sync_root());",
        'if (moved.has_error()) return Error(moved.error()).within("what it replaced could not be put in the trash");',
        "if (outcome_unknown_) return cause;",
    ],
    "engine/save/publish_file.cc": [
        "MILEPOST_TRY(file->sync());",
        ('store.sync_directory("")', "Result<void>()"),
        ("store.rename_no_replace(path, name)", "store.replace_file(path, name)"),
    ],
    "engine/save/save_job.cc": [
        "changed_.wait(lock, [&] { return finished_ == chunk_count_; });",
        "if (written.has_error()) return explain_item(written.error());",
        "MILEPOST_TRY(item.file->truncate(item.file_bytes));",
        "MILEPOST_TRY(item.file->sync());",
        "MILEPOST_TRY(item.file->close());",
        "if (text.size() > manifest_bytes_max)",
    ],
    "engine/save/save_job_chunks.cc": [
        "if (encoded->encoding == ChunkEncoding::raw) std::memcpy(out->data(), raw, chunk.raw_bytes);",
        "std::memset(block->data() + bytes, 0, padded - bytes);",
        "if (error.code() != ErrorCode::io && error.code() != ErrorCode::unavailable) return false;",
        "fail(explain(write.first, result.error()));",
        ("if (!error_) error_ = std::move(error);", "error_ = std::move(error);"),
    ],
    "engine/root.cc": [
        "if (found.error().code() != ErrorCode::not_found) return found.error();",
        "if (found.error().code() == ErrorCode::corruption)",
    ],
    # --- Removal.
    "engine/collector.cc": [
        "put_off.push_back(std::move(victim));",
        "if (lock.has_error() && lock.error().code() != ErrorCode::failed_precondition) return lock.error();",
        "MILEPOST_TRY(unless_gone(store_.sync_directory(options_.todelete_subdir)));",
        ('return store_.sync_directory("");', "return {};"),
        "if (entry.type != EntryType::directory) continue;",
        ("is_attempt_directory_name(entry.name)", 'entry.name.starts_with(".tmp-")'),
        "if (lock.has_error()) continue;",
        'MILEPOST_TRY(store_.sync_directory(""));',
        "static_cast<void>(caught([&] { left_over_.push_back(std::move(directory)); }));",
        "if (error) return *error;",
        "std::erase_if(put_off_, [&](const Victim& victim) { return victim.step == step; });",
    ],
    "engine/manager/retention.cc": [
        ("return !decision.keep && decision.step != newest;", "return !decision.keep;"),
        ('plan.push_back({step.step, true, "its record cannot be read: " + step.error.to_string()});',
         'plan.push_back({step.step, false, ""});'),
        "if (others_removed)",
        "if (decision.keep) collector_.spare(decision.step);",
    ],
    "policy/preservation.cc": [
        'if (!plan.empty() && !plan.back().keep) plan.back() = {plan.back().step, true, "the newest step"};',
        'if (policies.empty()) return keep_all(steps, "there is no policy");',
    ],
    # --- The store.
    "io/posix_store.cc": [
        ("::renameat2(source.directory(), source_name, target.directory(), target_name, RENAME_NOREPLACE)",
         "::renameat(source.directory(), source_name, target.directory(), target_name)"),
        ("result = ::fsync(fd.get());", "result = 0;"),
        "if (result == 0 && S_ISDIR(info.st_mode))",
        ("(kind == LockKind::shared ? LOCK_SH : LOCK_EX) | LOCK_NB", "LOCK_SH | LOCK_NB"),
        ("same_file(fd.get(), named.get())", "true"),
    ],
    "io/posix_file.cc": [
        ("result = ::fsync(file_->buffered.get());", "result = 0;"),
        'refusal_ = Error(ErrorCode::failed_precondition, failure.message() + " (the file is unusable since)",\n'
        "                     failure.system_errno());",
        "if (preallocated_bytes_ > size_) MILEPOST_TRY(set_size(size_));",
        "if (!S_ISREG(info.st_mode))",
        ("::openat(place.directory(), place.name.c_str(), flags, mode)",
         "::openat(place.directory(), place.name.c_str(), flags & ~O_EXCL, mode)"),
    ],
    "io/posix_root.cc": [
        ("RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS", "RESOLVE_BENEATH"),
        ("good = ::fsync(parent_fd.get()) == 0;", "good = true;"),
        ('!component.empty() && component != "." && component != ".."', "true"),
    ],
    "io/async_io.cc": [
        "if (result == -EINTR) return std::nullopt;",
        ("if (transfer.moved == transfer.bytes || at_end) return transfer.moved;", "return transfer.moved;"),
        ('if (transfer.write) return failure_of(transfer, piece, EIO).within("nothing was written");', ";"),
    ],
    "io/store.cc": [
        "MILEPOST_TRY(file->sync());",
    ],
    # --- The decoders of chunks.
    "io/codec/codec.cc": [
        "if (out.size() < encoded_bytes_max(raw.size()))",
        'if (found != stored_digest) return wrong_digest("stored", found, stored_digest);',
        "if (stored.size() != raw.size())",
        'if (raw_digest != stored_digest) return wrong_digest("raw", stored_digest, raw_digest);',
        "const Digest decoded = Digest::of(raw);\n"
        '      if (decoded != raw_digest) return wrong_digest("raw", decoded, raw_digest);',
        "const Digest decoded = digest.finish();\n"
        '      if (decoded != raw_digest) return wrong_digest("raw", decoded, raw_digest);',
    ],
    "io/codec/zstd_coder.cc": [
        "if (header.frameContentSize != content.size())",
        'if (frame_bytes != frame.size()) return malformed_frame("bytes follow its end");',
    ],
    "io/codec/float_planes_decoder.cc": [
        'if (stored.size() < sizeof(header)) return at_piece(malformed("the chunk ends before its header"));',
        'if (header.stored_bytes > stored.size()) return at_piece(malformed("it is longer than the chunk"));',
        "if (header.zero != 0 || header.rotated > 1) return at_piece("
        'malformed("its header is malformed"));',
        "if (stored.size() != raw.size())",
        'if (payload_bytes > rest.size()) return malformed("plane " + std::to_string(k) + '
        '": it is longer than its piece");',
        'if (piece.size() != aligned_up(at)) return malformed("its size is not the sum of its planes");',
        'if (!all_zero(piece.subspan(at))) return malformed("it is not padded with zeros");',
        'if (!planes[k].escapes.empty()) return malformed("plane " + std::to_string(k) + ": escapes are left over");',
        'if (payload.size() != count) return malformed("it is raw, but does not have a byte for each element");',
    ],
    # --- The formats.
    "engine/format/chunk_table.cc": [
        "std::memcmp(bytes.data(), magic.data(), magic.size()) != 0",
        'if (get<std::uint32_t>(&bytes[12]) != record_bytes) return corrupt_table("records of another size");',
        "!are_zeros(bytes.subspan(24, header_bytes - 24))",
        "if (count != stream.chunk_count)",
        "(bytes.size() - header_bytes) % record_bytes != 0 || (bytes.size() - header_bytes) / record_bytes != count",
        "if (encoding > static_cast<std::uint8_t>(ChunkEncoding::float_planes))",
        "if (kind > static_cast<std::uint8_t>(ElementKind::f64))",
        "if (!are_zeros({record + RecordLayout::zeros, record + RecordLayout::raw_digest}))",
        "if (chunk.raw_bytes == 0 || chunk.raw_bytes > chunk_bytes_max)",
        'if (chunk.stored_bytes != chunk.raw_bytes) return corrupt_record(index, "raw, but its two sizes differ");',
        'if (chunk.stored_digest != chunk.raw_digest) return corrupt_record(index, "raw, but its two digests differ");',
        "chunk.stored_bytes == 0 || chunk.stored_bytes > chunk.raw_bytes",
        'if (chunk.file_offset < stream.data_offset) return corrupt_record(index, "lies before data_offset");',
        "if (chunk.file_offset > stream.data_file_bytes || "
        "chunk.stored_bytes > stream.data_file_bytes - chunk.file_offset)",
        'if (chunk.file_offset < end) return corrupt_record(index, "overlaps another in the data file");',
        "if (chunk.file_offset - end >= padding_bytes)",
        "if (stream.data_file_bytes - end >= padding_bytes)",
        "if (chunk.raw_offset != raw_end)",
        "if (raw_end != stream.raw_bytes)",
    ],
    "engine/format/shard_check.cc": [
        'if (shard.stream >= streams.size()) return corrupt("stream " + std::to_string(shard.stream) + '
        '" does not exist");',
        "if (shard.start.size() != rank || shard.extent.size() != rank)",
        "shard.extent[d] > leaf.shape[d] - shard.start[d]",
        "if (shard.offset > stream.raw_bytes || *bytes > stream.raw_bytes - shard.offset)",
        'if (elements > expected) return corrupt("its shards overlap");',
        'if (elements < expected) return corrupt("its shards leave a gap");',
        'if (leaf.shards.size() > 1 && !tile_exactly(leaf)) return corrupt("its shards overlap and leave a gap");',
        "if (range->begin < end)",
        "if (range->begin > end) return gap(end, range->begin);",
        "if (end != manifest.streams[s].raw_bytes) return gap(end, manifest.streams[s].raw_bytes);",
    ],
    "engine/format/manifest_decode.cc": [
        'if (!is_file_name(name)) return fields.fail("not the name of a file beside the manifest");',
        'if (stream.data_offset > stream.data_file_bytes) return fields.fail("data_offset is beyond the end of the '
        'data file");',
        "stream.chunk_count > stream.raw_bytes",
        "stream.chunk_count < stream.raw_bytes / chunk_bytes_max + (stream.raw_bytes % chunk_bytes_max != 0)",
        'if (!streams.empty() && stream.rank <= streams.back().rank) return corrupt("streams: ranks do not ascend");',
        "if (std::adjacent_find(names.begin(), names.end()) != names.end())",
        'if (shape.size() == tensor_rank_max) return corrupt("more than " + std::to_string(tensor_rank_max) + '
        '" dimensions");',
        "if (position == 4 && shard.is_whole() && !shape.empty())",
        "if (leaf.shards.size() == leaf_shards_max)",
        'if (position != 3) return corrupt("expected a leaf of 3 parts, found " + std::to_string(position));',
        "if (leaf.stored_as != StoredAs::tensor && leaf.shape.size() != 1)",
        "if (next_ != leaves_.size())",
        'if (depth > tree_depth_max) return corrupt("nested more than " + std::to_string(tree_depth_max) + " deep");',
        'if (next_ == leaves_.size()) return corrupt("more stored leaves than \\"leaves\\" holds");',
        'if (!object.has_ascending_keys()) return corrupt("the keys of a map do not ascend");',
        'if (key.empty() || key.size() > key_bytes_max) return corrupt("a key that is empty or longer than 1024 '
        'bytes");',
        'if (!is_uuid(manifest.attempt)) return corrupt("attempt: not a uuid");',
        "MILEPOST_TRY(check_streams_tiled(manifest));",
        "if (!newer) MILEPOST_TRY(fields.finish());",
        "if (text.size() > manifest_bytes_max)",
    ],
    "engine/format/step_record.cc": [
        'if (Digest::of(text.substr(digest_line_bytes)) != *digest) return corrupt("its digest does not match its '
        'content");',
        'if (!items.empty() && item.name <= items.back().name) return corrupt("items: their names do not ascend");',
        "if (depth_of(value) > custom_metadata_depth_max)",
        'if (item == items.end() || item->name != name) return corrupt("handlers: there is no item " + '
        "std::string(name));",
        'if (!is_uuid(record.attempt)) return corrupt("attempt: not a uuid");',
        'if (text.size() > step_record_bytes_max) return corrupt("larger than 16 MiB").within(what);',
    ],
    "engine/format/json_reader.cc": [
        "if (twice == keys.end()) return true;",
        "if (open_.size() == static_cast<std::size_t>(json_depth_max))",
        'if (text.starts_with("\\xEF\\xBB\\xBF")) return corrupt("malformed JSON at byte 1: a byte order mark");',
        ("number && *number <= max", "number.has_value()"),
        'if (!field.used) return fail("unknown field " + quoted(field.name));',
    ],
    "engine/format/names.cc": [
        "if (name.front() == '.') return \"a name must not begin with a '.'\";",
        "if (c == '/') return \"a name must not contain a '/'\";",
        "if (text.size() != uuid_bytes) return false;",
    ],
    "engine/format/safetensors.cc": [
        "if (entry.begin != end)",
        "if (entry.end - entry.begin != *bytes)",
        'if (length_bytes + json_bytes > file_bytes) return corrupt_header("exceeds the file");',
        'if (length_bytes + json_bytes > bytes.size()) return invalid_header("fewer bytes were given than the header has");',
        "if (data_bytes != file_bytes - length_bytes - json_bytes)",
    ],
    # --- The restore.
    "engine/restore/step_reader.cc": [
        'if (Digest::of(bytes) != record_.manifest_digest) return corrupt("its digest is not the one in the step '
        'record");',
        "if (manifest.step != step_.step || manifest.item != record_.name || manifest.attempt != step_.attempt)",
        "if (raw_bytes != record_.raw_bytes || leaf_count != record_.leaf_count)",
        'if (Digest::of(bytes) != stream.table_digest) return corrupt("its digest is not the one in the manifest");',
        "if (file->size() != stream.data_file_bytes)",
        "state->lease = std::move(lease).value();",
        ("part.plan.check_only = pass == 0;", "part.plan.check_only = false;"),
        'if (error) return error->within("item " + part.files->manifest.item);',
        "expected.size() != stream.data_offset || found != expected",
        ("if (expected.contains(entry.name)) continue;", "continue;"),
    ],
    "engine/restore/read_job.cc": [
        "item_.manifest.streams[read.stream].data_offset == 0",
        ("part.begin > chunk.raw_offset || chunk.raw_offset + chunk.raw_bytes > part.end", "false"),
        ("read.part_count != 1 || plan_.check_only", "read.part_count != 1"),
        ("if (!destination || chunk.encoding != ChunkEncoding::raw) return false;", "if (!destination) return false;"),
        ("chunk.stored_bytes % io_alignment == 0", "true"),
        ("reinterpret_cast<std::uintptr_t>(destination) % file.memory_alignment() == 0", "true"),
        ("whole_blocks || !is_padded(read)", "true"),
        ("file.is_cached(chunk.file_offset, chunk.stored_bytes)", "true"),
        "if (taken.has_error()) report(read, taken.error(), &part);",
    ],
    "engine/restore/target.cc": [
        "if (given->is_read_only())",
        ("given == saved || (request_.cast && can_cast(saved, given))", "given == saved || can_cast(saved, given)"),
        ("given == extent || (request_.fit && given.size() == extent.size() && is_byte_sized(saved))", "true"),
        "if (part && !check_slice(entry, *part, path)) return Tree();",
    ],
    # --- Releases into files.
    "engine/federated/atomic_appender.cc": [
        ("LockKind::exclusive", "LockKind::shared"),
        "if (context != intent.context) return AppendOutcome::foreign;",
        ("*outcome == AppendOutcome::whole && keep_whole", "false"),
        ("*outcome != AppendOutcome::foreign", "true"),
        "MILEPOST_TRY(file->truncate(intent.size));",
        "MILEPOST_TRY(file->sync());",
        "MILEPOST_TRY(store_.sync_directory(directory_));",
        'MILEPOST_TRY(store_.sync_directory(""));',
        "if (written.has_value()) written = record_->sync();",
        "MILEPOST_TRY(file.sync());",
        "if (named->size() != size) return changed_by_others();",
    ],
    "engine/federated/append_intent.cc": [
        "if (bytes > record.size() - intent_header_bytes) return std::nullopt;",
        "if (digest_of(record, intent.appended) != digest) return std::nullopt;",
        ("is == was || is == '\\0'", "true"),
    ],
}
