// Coded data whose digests are right: bombs, and frames and pieces that say what is not so. The third chunk holds
// 40,000 bytes in a zstd frame; the first 300 floats in float planes.
#include "tests/engine/hostile/hostile_step.h"

#include <cstring>

namespace milepost::testing {
namespace {

constexpr std::uint64_t gigabyte = std::uint64_t{1} << 30;

template <class Number> void append(FileBytes& bytes, Number number, std::size_t width = sizeof(Number)) {
  for (std::size_t i = 0; i < width; ++i) bytes.push_back(static_cast<std::byte>(number >> (8 * i)));
}

// Blocks that each say "this byte, so often", as few as hold `content` bytes: those of the third chunk.
void append_runs(FileBytes& frame, std::uint64_t content, bool ends = true) {
  constexpr std::uint64_t block_max = 128 << 10;
  while (content > 0) {
    const std::uint64_t run = std::min(content, block_max);
    content -= run;
    append(frame, std::uint32_t(run << 3 | 1 << 1 | (ends && content == 0 ? 1 : 0)), 3);
    append(frame, std::uint8_t{5});
  }
}

FileBytes frame_header(std::uint8_t descriptor) {
  FileBytes frame;
  append(frame, std::uint32_t{0xFD2FB528});
  append(frame, descriptor);
  return frame;
}

// A frame that declares its content's size.
FileBytes frame_of(std::uint64_t declared, std::uint64_t content, bool ends = true) {
  FileBytes frame = frame_header(0xE0);  // 8 bytes of size, a single segment
  append(frame, declared);
  append_runs(frame, content, ends);
  return frame;
}

// One that does not, for which a decoder needs a window.
FileBytes streamed_frame_of(std::uint8_t window, std::uint64_t content) {
  FileBytes frame = frame_header(0);
  append(frame, window);
  append_runs(frame, content);
  return frame;
}

// One for which a decoder needs a dictionary.
FileBytes frame_with_dictionary(std::uint8_t dictionary, std::uint64_t content) {
  FileBytes frame = frame_header(0xE1);
  append(frame, dictionary);
  append(frame, content);
  append_runs(frame, content);
  return frame;
}

FileBytes skippable_frame(std::uint32_t declared) {
  FileBytes frame;
  append(frame, std::uint32_t{0x184D2A50});
  append(frame, declared);
  frame.resize(frame.size() + 40);
  return frame;
}

FileBytes joined(FileBytes a, const FileBytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

void add_hostile_chunks(std::vector<HostileCase>& cases) {
  const auto frame = [&](const std::string& name, const FileBytes& stored) {
    cases.push_back(
        {"data: " + name, "1/state/data-0.bin@8192", [=](HostileStep& step) { step.set_chunk(2, stored); }});
  };
  frame("a gigabyte in 33 kB, declared", frame_of(gigabyte, gigabyte));
  frame("a gigabyte in 33 kB that declares 40,000 bytes", frame_of(40'000, gigabyte));
  frame("a gigabyte in 33 kB that declares nothing", streamed_frame_of(0x50, gigabyte));
  frame("a gigabyte in 33 kB behind the right bytes",
        joined(frame_of(40'000, 40'000), frame_of(gigabyte, gigabyte - 300'000)));
  frame("2^63 bytes, declared", frame_of(std::uint64_t{1} << 63, 40'000));
  frame("2^64 - 1 bytes, declared", frame_of(~std::uint64_t{0}, 40'000));
  frame("2^64 - 2 bytes, declared", frame_of(~std::uint64_t{0} - 1, 40'000));
  frame("a window of 2 GiB", streamed_frame_of(0xA8, 40'000));
  frame("the largest window", streamed_frame_of(0xFF, 40'000));
  frame("a dictionary", frame_with_dictionary(7, 40'000));
  frame("a byte too few", frame_of(40'000, 39'999));
  frame("a byte too many", frame_of(40'000, 40'001));
  frame("a byte less, declared", frame_of(39'999, 39'999));
  frame("no last block", frame_of(40'000, 40'000, false));
  frame("two frames in place of one", joined(frame_of(20'000, 20'000), frame_of(20'000, 20'000)));
  frame("a skippable frame", skippable_frame(40));
  frame("a skippable frame of 4 GiB", skippable_frame(0xFFFFFFFF));
  frame("a skippable frame behind", joined(frame_of(40'000, 40'000), skippable_frame(40)));
  frame("no frame", FileBytes(100));
  frame("a single byte", FileBytes(1));

  // Words of the first piece of the first chunk: docs/format-float-planes.md.
  const auto piece = [&](const std::string& name, std::size_t at, std::uint64_t value, std::size_t width) {
    cases.push_back({"data: " + name + " " + std::to_string(value), "1/state/data-0.bin@0", [=](HostileStep& step) {
                       FileBytes stored = step.chunk(0);
                       std::memcpy(stored.data() + at, &value, width);
                       step.set_chunk(0, stored);
                     }});
  };
  for (const std::uint64_t value : {0u, 1u, 64u, 0xFFFFFFC0u, 0xFFFFFFFFu})
    piece("stored bytes of a piece", 0, value, 4);
  piece("form", 4, 0, 1);
  piece("form", 4, 2, 1);
  piece("rotation", 5, 2, 1);
  piece("zeros", 6, 1, 2);
  for (int plane = 0; plane < 4; ++plane) {
    const std::size_t at = 8 + 12 * static_cast<std::size_t>(plane);
    const std::string of = " of plane " + std::to_string(plane);
    piece("mode" + of, at, 4, 1);
    piece("mode" + of, at, 255, 1);
    piece("coded bytes" + of, at + 4, 0xFFFFFFFF, 4);
    piece("coded bytes" + of, at + 4, 0x80000000, 4);
    piece("escapes" + of, at + 8, 0xFFFFFFFF, 4);
  }
}

}  // namespace milepost::testing
